//! The heads of one HTTP/1.1 connection as they came: from the first message that was not whole when one was last
//! answered.
//!
//! Invariant: what is kept has no gap, and begins where a message begins.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::framing::{self, Message};

/// Sees what hyper does not show.
///
/// hyper resolves Content-Length beside Transfer-Encoding by removing the former, which the specification
/// allows; here such requests are refused, because a proxy in front may have resolved it the other way.
#[derive(Debug, Default)]
pub(super) struct Head {
    answered: AtomicBool,
    received: Mutex<Received>,
}

/// Any head is shorter: headers are limited to 64 kB, and framing fields rarely come last.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Capacity that a quiet connection may keep.
const HEAD_BYTES_KEPT: usize = 1024;

impl Head {
    /// These bytes have come.
    pub(super) fn received(&self, bytes: &[u8]) {
        let mut received = self.look();
        if self.answered.load(Ordering::Relaxed) {
            self.answered.store(false, Ordering::Relaxed);
            received.forget_whole();
        }
        received.add(bytes);
    }

    /// A part of an answer has gone out.
    pub(super) fn answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Whether the latest heads held this field.
    pub(super) fn names(&self, field: &str) -> bool {
        self.look().names(field)
    }

    /// Whether a message has begun whose head is not all there.
    pub(super) fn has_begun(&self) -> bool {
        matches!(self.look().rest(|_| ()), Rest::Beginning(_) | Rest::Unseen)
    }

    fn look(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first bytes of what was received, and how many more there were.
#[derive(Debug, Default)]
struct Received {
    kept: Vec<u8>,
    more: usize,
}

/// What follows the whole messages.
enum Rest {
    Nothing,
    /// A part of a head, from here.
    Beginning(usize),
    /// A message whose body is on its way, from here.
    Open(usize),
    /// Something, behind more than is kept.
    Unseen,
}

impl Received {
    fn add(&mut self, bytes: &[u8]) {
        // Nothing is kept beyond a gap.
        let room = match self.more {
            0 => HEAD_BYTES_MAX.saturating_sub(self.kept.len()),
            _ => 0,
        };
        let kept = bytes.len().min(room);
        self.kept.extend_from_slice(&bytes[..kept]);
        self.more += bytes.len() - kept;
    }

    fn forget_whole(&mut self) {
        // Nearly every message: whatever followed its head would stand behind the blank line.
        let plain = self.more == 0 && self.kept.starts_with(b"GET ") && self.kept.ends_with(b"\r\n\r\n");
        match if plain { Rest::Nothing } else { self.rest(|_| ()) } {
            Rest::Nothing | Rest::Unseen => {
                self.kept.clear();
                self.more = 0;
            }
            Rest::Beginning(from) | Rest::Open(from) => drop(self.kept.drain(..from)),
        }
        self.kept.shrink_to(HEAD_BYTES_KEPT);
    }

    fn names(&self, field: &str) -> bool {
        let mut found = false;
        let rest = self.rest(|head| found |= framing::names(head, field));
        // Messages that were sent ahead are judged together: who mixes them so is not worth telling apart.
        found
            || match rest {
                Rest::Beginning(from) => framing::names(&self.kept[from..], field),
                Rest::Unseen => true,
                Rest::Nothing | Rest::Open(_) => false,
            }
    }

    /// Shows each head and tells what follows the last whole message.
    fn rest(&self, mut show: impl FnMut(&[u8])) -> Rest {
        let mut at = 0;
        loop {
            match framing::first(&self.kept[at..]) {
                Message::Nothing if self.more == 0 => return Rest::Nothing,
                Message::Nothing => return Rest::Unseen,
                Message::Beginning => return Rest::Beginning(at),
                Message::Whole(head, length) => {
                    show(head);
                    at += length;
                }
                Message::Open(head, missing) => {
                    show(head);
                    let more = self.more as u64;
                    return match missing {
                        Some(missing) if missing == more => Rest::Nothing,
                        Some(missing) if missing < more => Rest::Unseen,
                        // Where long chunks end is not known, and they are taken to go on.
                        Some(_) | None => Rest::Open(at),
                    };
                }
            }
        }
    }
}
