//! Spans: what took how long as part of which, for whoever collects them.
//!
//! A span begins only if its parent is sampled; else it is empty and hands its parent on. Whatever has ended goes into
//! a bounded queue and is dropped, and counted, when the collector is behind: work never waits for being watched.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;

use super::{Trace, random};
use crate::meters;

static COLLECTOR: OnceLock<mpsc::Sender<FinishedSpan>> = OnceLock::new();

/// Keeps spans that end from now on, up to `queue_max` that are not yet taken; `None` if somebody collects already.
pub fn collect(queue_max: usize) -> Option<mpsc::Receiver<FinishedSpan>> {
    let (sender, receiver) = mpsc::channel(queue_max.max(1));
    COLLECTOR.set(sender).ok().map(|()| receiver)
}

/// What a span is to the processes on both of its sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// Within this process.
    Internal,
    /// Answers a request from outside.
    Server,
    /// Makes a request to the outside.
    Client,
    /// Takes what was left in a queue.
    Consumer,
}

/// What is told about a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// Words.
    Text(Cow<'static, str>),
    /// A number.
    Number(i64),
}

impl From<&'static str> for Attribute {
    fn from(text: &'static str) -> Self {
        Attribute::Text(Cow::Borrowed(text))
    }
}

impl From<i64> for Attribute {
    fn from(number: i64) -> Self {
        Attribute::Number(number)
    }
}

/// A span that has ended.
#[derive(Clone, Debug)]
pub struct FinishedSpan {
    /// Of which trace.
    pub trace_id: u128,
    /// Its own id.
    pub span_id: u64,
    /// The span it is part of; 0 for the first of a trace.
    pub parent_id: u64,
    /// What was done.
    pub name: Cow<'static, str>,
    /// On which side.
    pub kind: SpanKind,
    /// When it began.
    pub began: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// What else is known.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Whether it did not do what it was to do.
    pub failed: bool,
}

/// A span that ends when it is dropped.
pub struct Span {
    context: Trace,
    open: Option<Box<Open>>,
}

struct Open {
    span: FinishedSpan,
    began: Instant,
}

impl Span {
    /// Begins a span within `parent`, if that is sampled.
    pub fn begin(parent: Trace, kind: SpanKind, name: &'static str) -> Self {
        if !parent.sampled {
            return Span {
                context: parent,
                open: None,
            };
        }
        let span_id = random();
        let open = || {
            Box::new(Open {
                began: Instant::now(),
                span: FinishedSpan {
                    trace_id: parent.trace_id,
                    span_id,
                    parent_id: parent.parent_id,
                    name: name.into(),
                    kind,
                    began: SystemTime::now(),
                    took: Duration::ZERO,
                    attributes: Vec::new(),
                    failed: false,
                },
            })
        };
        Span {
            context: Trace {
                parent_id: span_id,
                ..parent
            },
            open: COLLECTOR.get().map(|_| open()),
        }
    }

    /// The trace as it continues within this span.
    pub fn context(&self) -> Trace {
        self.context
    }

    /// Changes the name, when only the end tells it.
    pub fn rename(&mut self, name: impl FnOnce() -> String) {
        if let Some(open) = &mut self.open {
            open.span.name = name().into();
        }
    }

    /// Notes something about it.
    pub fn note(&mut self, key: &'static str, value: impl Into<Attribute>) {
        if let Some(open) = &mut self.open {
            open.span.attributes.push((key, value.into()));
        }
    }

    /// Notes whether it did what it was to do.
    pub fn ended(&mut self, well: bool) {
        if let Some(open) = &mut self.open {
            open.span.failed = !well;
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let (Some(open), Some(collector)) = (self.open.take(), COLLECTOR.get()) else {
            return;
        };
        let Open { mut span, began } = *open;
        span.took = began.elapsed();
        if collector.try_send(span).is_err() {
            meters::spans_dropped().increment();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_nest_if_the_trace_is_sampled_and_what_does_not_fit_is_dropped() {
        let mut finished = collect(2).expect("nobody collects in this test");
        assert!(collect(2).is_none());
        let root = Trace {
            trace_id: 7,
            parent_id: 0,
            sampled: true,
        };

        let mut outer = Span::begin(root, SpanKind::Server, "outer");
        outer.note("size", 3_i64);
        let inner = Span::begin(outer.context(), SpanKind::Internal, "inner");
        let (outer_id, inner_id) = (outer.context().parent_id, inner.context().parent_id);
        drop(inner);
        outer.ended(false);
        drop(outer);
        drop(Span::begin(root, SpanKind::Client, "one too many"));
        let unsampled = Trace {
            sampled: false,
            ..root
        };
        assert_eq!(
            Span::begin(unsampled, SpanKind::Client, "none").context(),
            unsampled
        );

        let inner = finished.try_recv().expect("the inner span ended first");
        let outer = finished.try_recv().expect("then the outer");
        assert!(finished.try_recv().is_err());
        assert_eq!(
            (inner.trace_id, inner.span_id, inner.parent_id),
            (7, inner_id, outer_id)
        );
        assert_eq!(
            (outer.span_id, outer.parent_id, outer.failed),
            (outer_id, 0, true)
        );
        assert_eq!(outer.attributes, [("size", Attribute::Number(3))]);
    }
}
