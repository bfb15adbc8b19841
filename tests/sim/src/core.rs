//! What all parts of a world share: the time, the queue of what is about to happen, the dice, the network and the trace.
//!
//! Times are microseconds of true time, which nobody in the world can see: nodes have monotonic clocks that run a little fast or
//! slow, and wall clocks that jump.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lyceum_runtime::cluster::lease::LeaseTerms;

use crate::checks::Checks;
use crate::client::ClientEvent;
use crate::database::Call;
use crate::dice::Dice;
use crate::node::{NodeEvent, NodeId};
use crate::trace::Trace;

/// Microseconds of true time.
pub(crate) type Time = u64;

/// Microseconds of a millisecond.
pub(crate) const MS: Time = 1000;
/// Microseconds of a second.
pub(crate) const SECOND: Time = 1_000_000;

/// A safeguard that is left out, to show that its loss is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Commits are not compared with the shard's owner.
    Fence,
    /// Nodes serve on when their lease is over.
    Lease,
    /// The journal takes a second turn of one version.
    Unique,
    /// Leases are counted from the answer, without a margin.
    Margin,
    /// Repeated operations are carried out again.
    Replay,
}

impl Break {
    /// Every one.
    pub const ALL: [Break; 5] = [
        Break::Fence,
        Break::Lease,
        Break::Unique,
        Break::Margin,
        Break::Replay,
    ];

    /// As the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Break::Fence => "fence",
            Break::Lease => "lease",
            Break::Unique => "unique",
            Break::Margin => "margin",
            Break::Replay => "replay",
        }
    }
}

/// Something that happens at a moment.
pub(crate) enum Event {
    /// To a node: later if it is frozen, never if it has ended.
    Node(NodeId, NodeEvent),
    /// A call arrives at the database.
    Database(Box<Call>),
    /// To a client.
    Client(usize, ClientEvent),
    /// A call arrives at the provider.
    Provider(NodeId, u64, crate::provider::Ask),
    /// The next fault.
    Fault,
    /// A node begins.
    Start(usize),
    /// A frozen or stalled node goes on.
    Thaw(NodeId),
    /// A cut is over.
    Heal(Place, Place),
    /// The database is up again.
    DatabaseUp,
    /// Whether everything is at rest.
    Rest,
}

/// A place in the network: a node by its name, or the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// The machine of a node.
    Machine(usize),
    /// The database.
    Database,
}

/// What all parts share.
pub(crate) struct Core {
    pub(crate) now: Time,
    queue: BTreeMap<(Time, u64), Event>,
    sequence: u64,
    pub(crate) dice: Dice,
    pub(crate) trace: Trace,
    pub(crate) checks: Checks,
    pub(crate) broken: Option<Break>,
    pub(crate) terms: LeaseTerms,
    /// Directed: from, to.
    cuts: BTreeSet<(Place, Place)>,
    /// What was sent into a cut and arrives when it is over.
    held: Vec<(Place, Place, Event)>,
    ids: u64,
    /// How slow the network may be at worst.
    pub(crate) slow: Time,
    /// Whether messages between nodes are lost, doubled and delayed.
    pub(crate) rough: bool,
}

impl Core {
    pub(crate) fn new(seed: u64, broken: Option<Break>, keep: bool) -> Self {
        let mut dice = Dice::new(seed ^ 0x5eed_0000_0000_0000);
        let terms = LeaseTerms::default();
        let slow = [20 * MS, 150 * MS, 500 * MS][usize::try_from(dice.below(3)).unwrap_or(0)];
        Core {
            now: 0,
            queue: BTreeMap::new(),
            sequence: 0,
            dice,
            trace: Trace::new(keep),
            checks: Checks::default(),
            broken,
            terms,
            cuts: BTreeSet::new(),
            held: Vec::new(),
            ids: 0,
            slow,
            rough: true,
        }
    }

    /// Something happens after a while.
    pub(crate) fn after(&mut self, delay: Time, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.now + delay, self.sequence), event);
    }

    /// What happens next.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let ((at, _), event) = self.queue.pop_first()?;
        self.now = at;
        Some(event)
    }

    /// A number that was never given before.
    pub(crate) fn id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// How long a message travels: mostly short, sometimes long.
    pub(crate) fn travel(&mut self) -> Time {
        if self.rough && self.dice.chance(1, 12) {
            self.dice.between(2 * MS, self.slow)
        } else {
            self.dice.between(100, 2 * MS)
        }
    }

    /// Sends something from one place to another: over a stream if `kept`, so that it may come late but is not lost on the way.
    pub(crate) fn send(&mut self, from: Place, to: Place, event: Event, kept: bool) {
        if self.cuts.contains(&(from, to)) {
            // What is in a buffer is sent again when the cut is over; or the stream is closed before.
            if kept && self.dice.chance(1, 2) {
                self.held.push((from, to, event));
            }
            return;
        }
        if !kept && self.rough && self.dice.chance(1, 50) {
            return;
        }
        let delay = self.travel();
        self.after(delay, event);
    }

    /// Cuts a direction.
    pub(crate) fn cut(&mut self, from: Place, to: Place) {
        self.cuts.insert((from, to));
    }

    /// Ends a cut.
    pub(crate) fn heal(&mut self, from: Place, to: Place) {
        if !self.cuts.remove(&(from, to)) {
            return;
        }
        let held = std::mem::take(&mut self.held);
        for (one, other, event) in held {
            if (one, other) == (from, to) {
                let delay = self.travel();
                self.after(delay, event);
            } else {
                self.held.push((one, other, event));
            }
        }
    }

    /// Ends all cuts.
    pub(crate) fn heal_all(&mut self) {
        for (from, to) in std::mem::take(&mut self.cuts) {
            self.cuts.insert((from, to));
            self.heal(from, to);
        }
    }

    /// Adds a line to the trace.
    pub(crate) fn note(&mut self, what: std::fmt::Arguments<'_>) {
        self.trace.line(self.now, what);
    }
}

/// Microseconds of a duration.
pub(crate) fn micros(duration: Duration) -> Time {
    Time::try_from(duration.as_micros()).unwrap_or(Time::MAX)
}
