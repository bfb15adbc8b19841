//! Traces: which request a piece of work belongs to, wherever it is carried on.
//!
//! A trace begins at the edge, continued from a client's `traceparent` or drawn by lot, and travels in the context of
//! every request to an entity, in every outbox row and in every call to a provider, so that all steps of a saga share
//! it. Work that is not sampled carries the ids and pays nothing else. [`Span`] tells what took how long.

mod span;

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};
use tracing::Instrument;

pub use self::span::{Attribute, FinishedSpan, Span, SpanKind, collect};

/// One new trace in so many is sampled; 0 for none.
static SAMPLE: AtomicU32 = AtomicU32::new(0);

tokio::task_local! {
    static CURRENT: Trace;
}

/// The W3C trace that a piece of work belongs to; all zero when there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// `trace-id` of the `traceparent` header.
    pub trace_id: u128,
    /// `parent-id` of the `traceparent` header: the span that the work is part of.
    pub parent_id: u64,
    /// Whether its spans are kept.
    pub sampled: bool,
}

/// Samples one new trace in `one_in`; 0 for none.
pub fn sample(one_in: u32) {
    SAMPLE.store(one_in, Ordering::Relaxed);
}

/// The trace of the work that this task does.
pub fn current() -> Trace {
    CURRENT.try_with(|trace| *trace).unwrap_or_default()
}

/// Does `work` as part of a trace; if it is sampled, log lines that are written meanwhile name it.
pub async fn scope<F: Future>(trace: Trace, work: F) -> F::Output {
    CURRENT.scope(trace, work.instrument(trace.named())).await
}

impl Trace {
    /// A new trace if the lot falls on it, and none otherwise.
    pub fn draw() -> Self {
        let one_in = SAMPLE.load(Ordering::Relaxed);
        if one_in == 0 || !random().is_multiple_of(u64::from(one_in)) {
            return Trace::default();
        }
        Trace {
            trace_id: u128::from(random()) << 64 | u128::from(random()),
            parent_id: 0,
            sampled: true,
        }
    }

    /// Whether there is one.
    pub fn exists(self) -> bool {
        self.trace_id != 0
    }

    /// Reads a `traceparent`. Version 00: `00-{trace-id}-{parent-id}-{flags}`; later versions may append fields,
    /// which are ignored.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let separated = text.len() >= 55 && [2, 35, 52].iter().all(|&place| text[place] == b'-');
        if !separated || &text[..2] == b"ff" || (text.len() > 55 && (&text[..2] == b"00" || text[55] != b'-'))
        {
            return None;
        }
        hex(&text[..2])?;
        let trace_id = hex(&text[3..35])?;
        let parent_id = u64::try_from(hex(&text[36..52])?).ok()?;
        let flags = hex(&text[53..55])?;
        // The specification declares all-zero ids invalid.
        (trace_id != 0 && parent_id != 0).then_some(Trace {
            trace_id,
            parent_id,
            sampled: flags & 1 == 1,
        })
    }

    /// A span for the log: lines that are written within it name this trace, if it is sampled.
    pub fn named(self) -> tracing::Span {
        if self.sampled {
            // At the highest level, so that no filter lets a line pass without it.
            tracing::error_span!("trace", trace_id = %format_args!("{:032x}", self.trace_id))
        } else {
            tracing::Span::none()
        }
    }
}

/// As a `traceparent`.
impl fmt::Display for Trace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Trace {
            trace_id,
            parent_id,
            sampled,
        } = self;
        write!(
            formatter,
            "00-{trace_id:032x}-{parent_id:016x}-{:02x}",
            u8::from(*sampled)
        )
    }
}

fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |value: u128, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

/// A number that is never 0. Ids of traces have to differ and need not be secret, so `SplitMix64` is enough.
fn random() -> u64 {
    thread_local! {
        // The hasher's keys are the cheapest randomness at hand.
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0_u8));
    }
    let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ mixed >> 31).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_well_formed_parent_is_continued_and_written_as_it_came() {
        let trace = Trace::parse(TEXT.as_bytes());

        let expected = Trace {
            trace_id: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
            parent_id: 0x00f0_67aa_0ba9_02b7,
            sampled: true,
        };
        assert_eq!(trace, Some(expected));
        assert_eq!(expected.to_string(), TEXT);
    }

    #[test]
    fn malformed_parents_are_ignored() {
        for text in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(Trace::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[tokio::test]
    async fn work_knows_its_trace_and_other_work_does_not() {
        let trace = Trace::parse(TEXT.as_bytes()).expect("well formed");

        let inside = scope(trace, async { current() }).await;

        assert_eq!(inside, trace);
        assert_eq!(current(), Trace::default());
    }

    #[test]
    fn numbers_differ() {
        let mut numbers: Vec<u64> = (0..1_000).map(|_| random()).collect();
        numbers.sort_unstable();
        numbers.dedup();

        assert_eq!(numbers.len(), 1_000);
    }
}
