//! How far everything that this node keeps of other nodes' decisions is behind them.
//!
//! | kept | follows | within |
//! |---|---|---|
//! | catalog: courses, creators' names | the journal of courses and accounts | 200 ms |
//! | logins that ended | the journal of accounts | 100 ms |
//! | counters: students, ratings, events, rate limits | bulletins of the other nodes | 400 ms |
//! | keys that sign access tokens | their table | 500 ms |
//! | model of the recommender | the active version, which one node trains for all, and the catalog | 1 s; seconds on a node that trains |
//!
//! Whatever belongs to one entity is kept by its owner alone, and moves with its shard.

use std::sync::Arc;
use std::time::Duration;

use lyceum_runtime::Mark;

use crate::meters::SNAPSHOT_LAG_SECONDS;

/// Something that every node keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// Courses and creators' names.
    Catalog,
    /// Logins that ended while their access tokens are valid.
    Logins,
    /// Students, ratings, events and rate limits.
    Counters,
    /// The keys that sign access tokens.
    Keys,
    /// The model of the recommender.
    Model,
}

impl Followed {
    /// All of them.
    pub const ALL: [Followed; 5] = [
        Followed::Catalog,
        Followed::Logins,
        Followed::Counters,
        Followed::Keys,
        Followed::Model,
    ];

    /// The name in metrics and for operators.
    pub fn name(self) -> &'static str {
        match self {
            Followed::Catalog => "catalog",
            Followed::Logins => "logins",
            Followed::Counters => "counters",
            Followed::Keys => "keys",
            Followed::Model => "model",
        }
    }
}

/// How far each is. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Freshness([Arc<Mark>; 5]);

impl Freshness {
    /// Everything is known up to now; `keys` brings a mark of its own.
    pub(crate) fn new(keys: Arc<Mark>) -> Self {
        let mut marks = <[Arc<Mark>; 5]>::default();
        marks[Followed::Keys as usize] = keys;
        Freshness(marks)
    }

    /// The mark of one, to be moved by whoever follows.
    pub(crate) fn of(&self, followed: Followed) -> Arc<Mark> {
        self.0[followed as usize].clone()
    }

    /// How far each is behind.
    pub fn lags(&self) -> impl Iterator<Item = (Followed, Duration)> {
        Followed::ALL
            .into_iter()
            .map(|followed| (followed, self.0[followed as usize].lag()))
    }

    /// Sets the gauges, and answers whether everything that decides who is let in is at most `limit` behind.
    pub fn measure(&self, limit: Duration) -> bool {
        let mut current = true;
        for (followed, lag) in self.lags() {
            SNAPSHOT_LAG_SECONDS
                .with([followed.name()])
                .set(lag.as_secs_f64());
            current &= followed == Followed::Model || lag <= limit;
        }
        current
    }
}
