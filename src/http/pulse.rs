//! The pulse of one connection: what it is doing, since when, and when that has taken too long.
//!
//! One sweeper looks at all connections a few times a second and tells those to go that are slow or silent.
//! A timer per request, as hyper has for headers, costs an allocation and two visits to the timer wheel on each
//! request; here a request pays a few stores. Times are those of the sweeper's clock, so limits are exact to
//! a tick.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use super::framing::Trail;

/// Milliseconds of the server's life, moved on by the sweeper. The first is 1, so that 0 can mean "never".
#[derive(Debug)]
pub(super) struct Clock {
    origin: Instant,
    now_ms: AtomicU64,
}

impl Clock {
    pub(super) fn new() -> Self {
        Clock {
            origin: Instant::now(),
            now_ms: AtomicU64::new(1),
        }
    }

    pub(super) fn advance(&self) {
        self.set(self.origin.elapsed());
    }

    fn set(&self, elapsed: Duration) {
        let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        self.now_ms.store(ms.saturating_add(1), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        self.now_ms.load(Ordering::Relaxed)
    }
}

/// How long a connection may do what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) header: Duration,
    pub(super) idle: Duration,
    pub(super) write: Duration,
}

/// What a connection is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Order {
    /// Go on.
    Serve = 0,
    /// Finish what is open and take nothing new.
    Drain = 1,
    /// End at once.
    Cut = 2,
}

/// Which protocol the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Protocol {
    /// It has not said enough yet.
    Unknown = 0,
    Http1 = 1,
    Http2 = 2,
}

/// What the connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// Its first request.
    Fresh = 0,
    /// The rest of a request's headers (HTTP/1.1).
    Head = 1,
    /// Handlers.
    Busy = 2,
    /// The next request.
    Idle = 3,
}

/// One connection as the sweeper, the socket and the handlers see it.
#[derive(Debug)]
pub(super) struct Pulse {
    clock: Arc<Clock>,
    phase: AtomicU8,
    since_ms: AtomicU64,
    stalled_ms: AtomicU64,
    open_requests: AtomicU32,
    order: AtomicU8,
    protocol: AtomicU8,
    waker: OnceLock<Waker>,
    /// Whether a head is on its way (HTTP/1.1).
    head_begun: AtomicBool,
    /// How many requests have come before the first whose framing is in doubt, and how many were looked at.
    certain: AtomicU64,
    screened: AtomicU64,
}

impl Pulse {
    pub(super) fn new(clock: Arc<Clock>) -> Self {
        let now = clock.now();
        Pulse {
            clock,
            phase: AtomicU8::new(Phase::Fresh as u8),
            since_ms: AtomicU64::new(now),
            stalled_ms: AtomicU64::new(0),
            open_requests: AtomicU32::new(0),
            order: AtomicU8::new(Order::Serve as u8),
            protocol: AtomicU8::new(Protocol::Unknown as u8),
            waker: OnceLock::new(),
            head_begun: AtomicBool::new(false),
            certain: AtomicU64::new(0),
            screened: AtomicU64::new(0),
        }
    }

    /// Milliseconds of the server's life.
    pub(super) fn now_ms(&self) -> u64 {
        self.clock.now()
    }

    fn enter(&self, phase: Phase) {
        self.since_ms.store(self.clock.now(), Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn is(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Relaxed) == phase as u8
    }

    pub(super) fn speaks(&self, protocol: Protocol) {
        self.protocol.store(protocol as u8, Ordering::Relaxed);
    }

    /// The socket has handed over bytes, and the trail has followed them (HTTP/1.1).
    pub(super) fn received(&self, trail: &Trail) {
        let begun = trail.has_begun();
        self.head_begun.store(begun, Ordering::Relaxed);
        self.certain.store(trail.certain(), Ordering::Relaxed);
        // A connection counts as silent until its first request, so Fresh and Head share one deadline.
        if begun && self.is(Phase::Idle) {
            self.enter(Phase::Head);
        }
    }

    /// The socket has taken bytes, or has refused them because the client does not read.
    pub(super) fn sent(&self, taken: bool) {
        if taken {
            self.stalled_ms.store(0, Ordering::Relaxed);
        } else if self.stalled_ms.load(Ordering::Relaxed) == 0 {
            self.stalled_ms.store(self.clock.now(), Ordering::Relaxed);
        }
    }

    /// A request has reached its handler; it is open until the guard is dropped.
    pub(super) fn request(&self) -> OpenRequest<'_> {
        if self.open_requests.fetch_add(1, Ordering::Relaxed) == 0 {
            self.enter(Phase::Busy);
        }
        OpenRequest(self)
    }

    /// Whether all readers agree on where the next request ends (HTTP/1.1). Asked once for each, in their order.
    pub(super) fn next_is_certain(&self) -> bool {
        self.screened.fetch_add(1, Ordering::Relaxed) < self.certain.load(Ordering::Relaxed)
    }

    /// What to do now. Called by the connection's own task before it goes on, so that it can be woken.
    pub(super) fn order(&self, context: &Context<'_>) -> Order {
        // A task has one waker for life, so that the first stays good.
        self.waker.get_or_init(|| context.waker().clone());
        match self.order.load(Ordering::Acquire) {
            0 => Order::Serve,
            1 => Order::Drain,
            _ => Order::Cut,
        }
    }

    /// Gives an order. Orders only ever become stricter.
    pub(super) fn tell(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::AcqRel);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// What the limits ask of the connection at this moment.
    pub(super) fn judge(&self, patience: &Patience) -> Order {
        if self.is(Phase::Idle) && self.head_begun.load(Ordering::Relaxed) {
            // It came with the request before; unless the connection has gone on, it is late since that was answered.
            let _ = self.phase.compare_exchange(
                Phase::Idle as u8,
                Phase::Head as u8,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
        }
        let now = self.clock.now();
        let over = |since: u64, limit: Duration| Duration::from_millis(now.saturating_sub(since)) > limit;
        let stalled = self.stalled_ms.load(Ordering::Relaxed);
        if stalled != 0 && over(stalled, patience.write) {
            return Order::Cut;
        }
        let since = self.since_ms.load(Ordering::Relaxed);
        if self.is(Phase::Busy) {
            Order::Serve
        } else if self.is(Phase::Idle) {
            // An answer that the client does not take, or a GOAWAY that it ignores, gets as long again as a head.
            if over(since, patience.idle + patience.header) {
                Order::Cut
            } else if over(since, patience.idle) {
                Order::Drain
            } else {
                Order::Serve
            }
        } else if over(since, patience.header) {
            Order::Cut
        } else {
            Order::Serve
        }
    }

    /// For the gauge of connections: the protocol, and whether a request is open.
    pub(super) fn state(&self) -> (Protocol, bool) {
        let protocol = match self.protocol.load(Ordering::Relaxed) {
            1 => Protocol::Http1,
            2 => Protocol::Http2,
            _ => Protocol::Unknown,
        };
        (protocol, self.is(Phase::Busy))
    }
}

/// A request between hyper and its answer.
pub(super) struct OpenRequest<'a>(&'a Pulse);

impl Drop for OpenRequest<'_> {
    fn drop(&mut self) {
        if self.0.open_requests.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.enter(Phase::Idle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        header: Duration::from_secs(8),
        idle: Duration::from_secs(60),
        write: Duration::from_secs(20),
    };

    fn pulse() -> (Pulse, Arc<Clock>) {
        let clock = Arc::new(Clock::new());
        let pulse = Pulse::new(clock.clone());
        pulse.speaks(Protocol::Http1);
        (pulse, clock)
    }

    /// What the socket does with bytes.
    fn receiver(pulse: &Pulse) -> impl FnMut(&[u8]) {
        let mut trail = Trail::new(16 * 1024);
        move |bytes| {
            trail.follow(bytes);
            pulse.received(&trail);
        }
    }

    fn after(clock: &Clock, seconds: u64) {
        let now = clock.now() - 1;
        clock.set(Duration::from_millis(now + seconds * 1000));
    }

    #[test]
    fn a_silent_connection_is_cut_after_the_header_timeout() {
        let (pulse, clock) = pulse();

        after(&clock, 8);
        assert_eq!(pulse.judge(&PATIENCE), Order::Serve);
        after(&clock, 1);
        assert_eq!(pulse.judge(&PATIENCE), Order::Cut);
    }

    #[test]
    fn dripping_headers_do_not_prolong_the_header_timeout() {
        let (pulse, clock) = pulse();
        let mut received = receiver(&pulse);
        drop(pulse.request());
        after(&clock, 59);
        received(b"G");

        for _ in 0..8 {
            after(&clock, 1);
            received(b"x");
            assert_eq!(pulse.judge(&PATIENCE), Order::Serve);
        }
        after(&clock, 1);
        assert_eq!(pulse.judge(&PATIENCE), Order::Cut);
    }

    #[test]
    fn an_open_request_has_no_connection_limit_and_resting_has_one() {
        let (pulse, clock) = pulse();
        let (first, second) = (pulse.request(), pulse.request());

        after(&clock, 1000);
        drop(first);
        assert_eq!(pulse.judge(&PATIENCE), Order::Serve);
        drop(second);
        after(&clock, 60);
        assert_eq!(pulse.judge(&PATIENCE), Order::Serve);
        after(&clock, 1);
        assert_eq!(pulse.judge(&PATIENCE), Order::Drain);
        after(&clock, 8);
        assert_eq!(pulse.judge(&PATIENCE), Order::Cut);
    }

    #[test]
    fn a_client_that_does_not_read_is_cut_and_one_that_goes_on_is_not() {
        let (pulse, clock) = pulse();
        let _open = pulse.request();

        pulse.sent(false);
        after(&clock, 15);
        pulse.sent(true);
        pulse.sent(false);
        after(&clock, 15);
        assert_eq!(pulse.judge(&PATIENCE), Order::Serve);
        pulse.sent(false);
        after(&clock, 6);
        assert_eq!(pulse.judge(&PATIENCE), Order::Cut);
    }

    #[test]
    fn a_request_is_certain_until_the_first_that_is_ambiguous() {
        let (pulse, _) = pulse();
        let mut received = receiver(&pulse);

        received(b"GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer");
        assert!(pulse.next_is_certain());
        received(b"-Encoding: chunked\r\n\r\n");
        assert!(!pulse.next_is_certain());
        received(b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n");
        assert!(!pulse.next_is_certain());
    }

    #[test]
    fn blank_lines_at_rest_begin_no_head() {
        let (pulse, clock) = pulse();
        let mut received = receiver(&pulse);
        received(b"GET / HTTP/1.1\r\n\r\n");
        drop(pulse.request());

        received(b"\r\n\r");
        after(&clock, 59);
        assert_eq!(pulse.judge(&PATIENCE), Order::Serve);
        received(b"\nG");
        after(&clock, 9);
        assert_eq!(pulse.judge(&PATIENCE), Order::Cut);
    }

    #[test]
    fn a_head_that_begins_behind_another_request_shares_the_header_timeout() {
        let (pulse, clock) = pulse();
        let mut received = receiver(&pulse);
        received(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nabGET / HT");
        let open = pulse.request();
        after(&clock, 100);
        assert_eq!(pulse.judge(&PATIENCE), Order::Serve);
        pulse.sent(true);
        drop(open);

        after(&clock, 7);
        assert_eq!(pulse.judge(&PATIENCE), Order::Serve);
        received(b"TP");
        after(&clock, 2);
        assert_eq!(pulse.judge(&PATIENCE), Order::Cut);
    }

    #[test]
    fn a_long_or_announced_body_is_not_taken_for_a_head() {
        for body in ["x".repeat(50_000), "x".to_owned()] {
            let (pulse, clock) = pulse();
            let mut received = receiver(&pulse);
            received(format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes());
            let open = pulse.request();
            // The client is told to go on.
            pulse.sent(true);
            body.as_bytes().chunks(1000).for_each(&mut received);
            pulse.sent(true);
            drop(open);

            after(&clock, 59);
            assert_eq!(pulse.judge(&PATIENCE), Order::Serve);
        }
    }

    #[test]
    fn orders_only_become_stricter() {
        let (pulse, _) = pulse();
        let context = Context::from_waker(Waker::noop());

        pulse.tell(Order::Cut);
        pulse.tell(Order::Drain);

        assert_eq!(pulse.order(&context), Order::Cut);
    }
}
