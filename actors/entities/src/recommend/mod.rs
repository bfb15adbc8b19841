//! The recommender bound to the runtime: one profile actor a user, one model a node.
//!
//! Flow: events reach the user's [`Profiles`] actor, change its very next answer, and pass on through the
//! [`Sink`] into the table the next model is trained on. The actor answers with the node's current model, so a
//! list costs one message and, while nothing changed, no ranking.
//!
//! Durability: a profile is snapshotted. Whatever is lost is rebuilt from grants, interests and interactions.

mod history;
mod listing;
mod privacy;
mod recommender;
mod rows;
mod shelf;
mod sink;
mod store;
mod trainer;

pub use history::PastEvent;
pub use listing::Fragment;
pub(crate) use privacy::ForgetError;
pub use privacy::Privacy;
pub use recommender::{Recommender, RecommenderSettings, Shelf};
pub use rows::RecommendRows;
pub use sink::{Sink, SinkSettings, SinkWorker};
pub(crate) use store::ModelStore;
pub use trainer::TrainerSettings;
pub(crate) use trainer::train;

use std::sync::Arc;
use std::time::Duration;

use lyceum_domain::ids::UserId;
use lyceum_domain::recommend::{Activity, Error, Event, Profile, Signal, Tally};
use lyceum_kernel::{Aggregate, Timestamp};
use lyceum_runtime::{Durability, Effects, Entity, Kind, StoreError};
use serde::{Deserialize, Serialize};

/// A profile nobody used for half a year says little; it is rebuilt if its user returns.
const TTL: Duration = Duration::from_secs(180 * 86_400);
/// What a crash may cost: a second of signals, which the table of interactions has anyway.
const FLUSH_AFTER: Duration = Duration::from_secs(1);

/// The profiles of users.
pub struct Profiles {
    recommender: Arc<Recommender>,
    rows: RecommendRows,
    sink: Sink,
}

impl Profiles {
    /// Binds profiles to the node's recommender, the facts they are rebuilt from and the sink of their events.
    pub fn new(recommender: Arc<Recommender>, rows: RecommendRows, sink: Sink) -> Self {
        Profiles {
            recommender,
            rows,
            sink,
        }
    }
}

/// What can be asked of a profile.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Question {
    /// What became of the events of the observation this was asked with?
    Observed,
    /// What should the user study next?
    Recommend {
        /// The user, who names the list in the node's cache.
        user: UserId,
        /// Courses wanted.
        limit: u16,
    },
    /// What is known of the user? For operators and exports.
    Explain,
}

/// The answers, in the order of the questions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// Counts of accepted, repeated and ignored events.
    Observed(Tally),
    /// A ready-made `{"data": […], "model_version": …}`.
    Recommended(Fragment),
    /// The profile.
    Explained(Box<Profile>),
}

impl Entity for Profiles {
    type State = Profile;
    type Key = UserId;
    type Question = Question;
    type Answer = Answer;

    const KIND: Kind = Kind {
        name: "profile",
        number: 6,
    };

    fn durability(&self) -> Durability {
        Durability::Snapshotted {
            ttl: TTL,
            flush_after: FLUSH_AFTER,
        }
    }

    fn answer(&self, state: &Profile, question: Question, _: Timestamp) -> Result<Answer, Error> {
        Ok(match question {
            Question::Observed => Answer::Observed(state.last_tally()),
            Question::Recommend { user, limit } => {
                Answer::Recommended(self.recommender.list(user, state, usize::from(limit)))
            }
            Question::Explain => Answer::Explained(Box::new(state.clone())),
        })
    }

    fn effects(&self, key: UserId, state: &Profile, events: &[Event], _: Timestamp, _: &mut Effects) {
        for event in events {
            match event {
                Event::Observed { signals, .. } if state.is_personal() => self.sink.record(key, signals),
                Event::Observed { signals, .. } => {
                    // A rating is for everybody who looks at the course, and what is completed or dismissed stays hidden when
                    // the profile is lost. Nothing is learned from it.
                    let kept = |signal: &&Signal| {
                        matches!(
                            signal.activity,
                            Activity::Rate | Activity::Complete | Activity::Dismiss
                        )
                    };
                    let kept: Vec<Signal> = signals.iter().filter(kept).copied().collect();
                    self.sink.record(key, &kept);
                }
                Event::Excluded { course, at } if state.is_personal() => {
                    let (course, at) = (*course, *at);
                    let bought = Signal {
                        id: None,
                        activity: Activity::Purchase,
                        course,
                        at,
                        value: 0.0,
                    };
                    self.sink.record(key, &[bought]);
                }
                // What is owned is known from grants.
                Event::Excluded { .. }
                | Event::InterestsSet { .. }
                | Event::Included { .. }
                | Event::Personalised { .. }
                | Event::Erased => {}
            }
        }
    }

    async fn rebuild(&self, key: UserId) -> Result<Profile, StoreError> {
        self.rows.profile(key).await
    }

    /// The choice is written down before the profile hears of it, and its snapshot follows a second later: a crash between
    /// brings back one that does not know. Without Postgres the snapshot's word counts until the profile is loaded again.
    async fn confirm(&self, key: UserId, mut state: Profile) -> Profile {
        match self.rows.personal(key).await {
            Ok(personal) if personal == state.is_personal() => {}
            Ok(personal) => state.apply(&Event::Personalised { personal }),
            Err(error) => tracing::warn!(%error, "a choice could not be read; the snapshot's holds"),
        }
        state
    }

    fn rebuilds(&self) -> bool {
        true
    }
}
