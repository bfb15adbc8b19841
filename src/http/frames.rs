//! Follows the frames of an HTTP/2 connection and has the idle ones paid for.
//!
//! Pings, settings, priorities, window updates, resets, continuations and scraps of data cost the server as much as a
//! request and are answered by the protocol itself, without any limit but the speed of the client (CVE-2019-9512,
//! 9514, 9515 and 9518). So each costs a credit. A connection begins with a burst of them, gains some a second and a few with
//! each request, and never holds more than the burst; whoever has none left is cut before the frame is looked at.
//!
//! Invariant: frames are counted by their heads alone, so a byte costs the same however it is cut into packets.

use super::settings::ControlFrames;

/// Bytes of a frame's head (RFC 9113, section 4.1).
const HEAD_BYTES: usize = 9;
/// Bytes of the client's preface, before its first frame.
const PREFACE_BYTES: u32 = 24;
/// Data shorter than this costs more to handle than to hold, unless it ends its stream.
const SCRAP_BYTES_MAX: u32 = 16;
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const END_STREAM: u8 = 0x1;

/// Where in its frames a connection is, and what it may still send.
#[derive(Debug)]
pub(super) struct Frames {
    limits: ControlFrames,
    credit: u32,
    /// When the credit was last added to, in milliseconds of the server's life.
    added_ms: u64,
    /// Bytes of the current frame that were announced and have not come.
    rest: u32,
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
}

impl Frames {
    pub(super) fn new(limits: ControlFrames, now_ms: u64) -> Self {
        Frames {
            limits,
            credit: limits.burst,
            added_ms: now_ms,
            rest: PREFACE_BYTES,
            head: [0; HEAD_BYTES],
            head_bytes: 0,
        }
    }

    /// Follows the next bytes. Returns whether the client could pay for what they begin.
    pub(super) fn follow(&mut self, mut bytes: &[u8], now_ms: u64) -> bool {
        self.gain(now_ms);
        loop {
            let skipped = bytes.len().min(usize::try_from(self.rest).unwrap_or(usize::MAX));
            self.rest -= u32::try_from(skipped).unwrap_or(self.rest);
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return true;
            }
            let taken = bytes.len().min(HEAD_BYTES - self.head_bytes);
            self.head[self.head_bytes..self.head_bytes + taken].copy_from_slice(&bytes[..taken]);
            self.head_bytes += taken;
            bytes = &bytes[taken..];
            if self.head_bytes == HEAD_BYTES && !self.begin() {
                return false;
            }
        }
    }

    /// A frame begins: it pays, or it brings something.
    fn begin(&mut self) -> bool {
        self.head_bytes = 0;
        let [high, middle, low, kind, flags, ..] = self.head;
        self.rest = u32::from_be_bytes([0, high, middle, low]);
        match kind {
            HEADERS => {
                self.credit = self.limits.burst.min(self.credit + self.limits.per_request);
                true
            }
            DATA if self.rest >= SCRAP_BYTES_MAX || flags & END_STREAM != 0 => true,
            _ => match self.credit.checked_sub(1) {
                Some(left) => {
                    self.credit = left;
                    true
                }
                None => false,
            },
        }
    }

    fn gain(&mut self, now_ms: u64) {
        let gained = now_ms.saturating_sub(self.added_ms) * u64::from(self.limits.per_second) / 1000;
        if gained > 0 {
            self.added_ms = now_ms;
            let credit = u64::from(self.credit) + gained;
            self.credit =
                u32::try_from(credit).map_or(self.limits.burst, |credit| credit.min(self.limits.burst));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ControlFrames = ControlFrames {
        burst: 10,
        per_second: 5,
        per_request: 3,
    };
    const CONTINUATION: u8 = 0x9;
    const PING: u8 = 0x6;

    fn frame(kind: u8, flags: u8, length: u32) -> Vec<u8> {
        let mut bytes = length.to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags, 0, 0, 0, 1]);
        bytes.resize(HEAD_BYTES + usize::try_from(length).unwrap(), b'x');
        bytes
    }

    /// A connection that has said its preface.
    fn frames() -> Frames {
        let mut frames = Frames::new(LIMITS, 1);
        assert!(frames.follow(&[b'P'; 24], 1));
        frames
    }

    #[test]
    fn a_flood_is_cut_when_its_credit_is_spent_however_it_is_cut_into_packets() {
        for kind in [PING, CONTINUATION] {
            for size in [1, 5, 17, 1000] {
                let mut frames = frames();
                let flood = frame(kind, 0, 8).repeat(11);

                let mut packets = flood.chunks(size);
                assert!(!packets.all(|packet| frames.follow(packet, 1)), "{kind} {size}");
                assert_eq!(frames.credit, 0);
            }
        }
    }

    #[test]
    fn requests_and_time_bring_credit_and_never_more_than_a_burst() {
        let mut frames = frames();
        assert!(frames.follow(&frame(PING, 0, 8).repeat(10), 1));

        assert!(frames.follow(&frame(HEADERS, END_STREAM, 40), 1));
        assert_eq!(frames.credit, 3);
        assert!(frames.follow(&[], 1001));
        assert_eq!(frames.credit, 8);
        assert!(frames.follow(&[], 60_001));
        assert_eq!(frames.credit, 10);
    }

    #[test]
    fn time_in_small_steps_counts_in_full() {
        let mut frames = frames();
        assert!(frames.follow(&frame(PING, 0, 8).repeat(10), 1));

        for now in (51..=2001).step_by(50) {
            assert!(frames.follow(&[], now));
        }

        assert_eq!(frames.credit, 10);
    }

    #[test]
    fn data_is_free_unless_it_is_a_scrap() {
        let mut frames = frames();

        assert!(frames.follow(&frame(DATA, 0, 16_000).repeat(100), 1));
        assert!(frames.follow(&frame(DATA, END_STREAM, 0), 1));
        assert_eq!(frames.credit, 10);
        assert!(frames.follow(&frame(DATA, 0, 0), 1));
        assert_eq!(frames.credit, 9);
    }
}
