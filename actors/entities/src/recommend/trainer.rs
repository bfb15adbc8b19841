//! Keeps the node's model up to date, for as long as the node lives.
//!
//! ```text
//! interactions ─ page by page ─→ histories ─→ (training pool) Trained ─→ kept as the active version    one node's turn
//! active version ─→ (training pool) Trained ─┐
//! catalog ─────────────────────────────────────┴→ (training pool) Model ─→ published                   every node
//! ```
//!
//! What is learned from learners is learned again when enough has happened, by the node that takes the turn; every node finds
//! the new version within a second and swaps, unless it trains itself just then: that comes first, and takes seconds. What the catalog says is looked at again whenever it changed, which takes a
//! fifth of the time and none of the interactions. At the start comes a model without likeness, which takes milliseconds.
//!
//! Invariants: what is served is what is kept; a version that cannot be read, a training that fails or a node that dies in
//! one leaves the last model in place.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lyceum_domain::recommend::{Model, Settings, Takings, Trained};
use lyceum_runtime::metrics::{Counter, Gauge, Histogram};
use lyceum_runtime::{CpuPool, Mark};
use serde_json::json;
use tracing::{info, warn};

use super::recommender::Recommender;
use super::rows::RecommendRows;
use super::sink::Sink;
use super::store::{Kept, LoadError, Look, ModelStore, Turn};
use crate::meters::{
    RECOMMEND_MODEL_AGE_SECONDS, RECOMMEND_MODEL_BYTES, RECOMMEND_MODELS_REFUSED_TOTAL,
    RECOMMEND_TRAINING_SECONDS,
};

/// How often the trainer looks whether there is something to do.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After each training the trainer rests so many times as long as it took: at most 5 % of one core.
const REST: u32 = 20;
/// Without enough events a node trains after so many periods all the same: what was popular fades.
const PATIENCE: u32 = 10;
/// How long a version that was refused, or a training that failed, is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// When to train, and with how much; each a setting.
#[derive(Clone, Debug)]
pub struct TrainerSettings {
    /// The pause between two trainings when enough has happened.
    pub every: Duration,
    /// Events that make a training worth while.
    pub events_min: u64,
    /// The newest interactions that are read.
    pub events_max: u64,
    /// How long a training may take before another node may begin one.
    pub lease: Duration,
    /// Retired versions that are kept, to go back to.
    pub kept: u32,
}

impl Default for TrainerSettings {
    fn default() -> Self {
        TrainerSettings {
            every: Duration::from_secs(60),
            events_min: 50,
            events_max: 1_000_000,
            lease: Duration::from_mins(10),
            kept: 5,
        }
    }
}

/// Trains until it is dropped or aborted; nothing waits for it. `mark` stays behind while a training is due and fails.
pub(crate) async fn train(
    recommender: Arc<Recommender>,
    rows: RecommendRows,
    store: ModelStore,
    sink: Sink,
    cpu: CpuPool,
    settings: TrainerSettings,
    mark: Arc<Mark>,
) {
    let mut trainer = Trainer {
        recommender,
        rows,
        store,
        cpu,
        settings,
        seconds: RECOMMEND_TRAINING_SECONDS.get(),
        refused: RECOMMEND_MODELS_REFUSED_TOTAL.get(),
        bytes: RECOMMEND_MODEL_BYTES.get(),
        adopted: None,
        built: None,
        left_alone: None,
        trained: None,
    };
    let age = RECOMMEND_MODEL_AGE_SECONDS.get();
    let mut quick = trainer.recommender.settings().clone();
    quick.content.neighbours_max = 0;
    trainer.build(quick).await;
    trainer.built = None;
    loop {
        let looked = Instant::now();
        if trainer.keep_up(sink.recorded_everywhere()).await {
            mark.reach(looked);
        }
        if let Some(adopted) = &trainer.adopted {
            age.set(adopted.age().as_secs_f64());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

struct Trainer {
    recommender: Arc<Recommender>,
    rows: RecommendRows,
    store: ModelStore,
    cpu: CpuPool,
    settings: TrainerSettings,
    seconds: Histogram,
    refused: Counter,
    bytes: Gauge,
    /// The version that is served.
    adopted: Option<Adopted>,
    built: Option<Built>,
    /// The version that was refused last, and when.
    left_alone: Option<(u64, Instant)>,
    trained: Option<Attempt>,
}

/// What was learned, and how much has happened since.
struct Adopted {
    trained: Arc<Trained>,
    version: u64,
    /// Events recorded before it, as far as this node knows.
    recorded: u64,
    since: Instant,
    /// How old it was then.
    age_then: Duration,
}

impl Adopted {
    fn age(&self) -> Duration {
        self.age_then + self.since.elapsed()
    }
}

/// The last training of this node.
struct Attempt {
    ended: Instant,
    took: Duration,
    /// What it was made as; none if it failed.
    version: Option<u64>,
    recorded: u64,
}

/// The last time the catalog was looked at.
struct Built {
    revision: u64,
    ended: Instant,
    took: Duration,
}

impl Trainer {
    /// Does what is due; says whether nothing is left to do. What waits for its time on purpose is not left.
    async fn keep_up(&mut self, recorded: u64) -> bool {
        let mut current = true;
        match self.store.look().await {
            Ok(look) => {
                current &= self.follow(look, recorded).await;
                if self.training_is_due(look, recorded) {
                    current &= self.take_turn(recorded).await;
                }
            }
            Err(error) => {
                warn!(%error, "the active version is not known; the model stays");
                current = false;
            }
        }
        let due = match &self.built {
            None => true,
            Some(built) => {
                let rested = built.ended.elapsed() >= built.took * REST;
                rested && built.revision != self.recommender.shelf().revision()
            }
        };
        let settings = self.recommender.settings().clone();
        current & (!due || self.build(settings).await)
    }

    /// Serves the active version from now on; says whether it does.
    async fn follow(&mut self, look: Look, recorded: u64) -> bool {
        let Some((version, age)) = look.active else {
            return true;
        };
        if self
            .adopted
            .as_ref()
            .is_some_and(|adopted| adopted.version == version)
        {
            return true;
        }
        if self
            .left_alone
            .is_some_and(|(refused, at)| refused == version && at.elapsed() < RETRY_AFTER)
        {
            return false;
        }
        match self.load(version).await {
            Ok(trained) => {
                let own = self
                    .trained
                    .as_ref()
                    .filter(|attempt| attempt.version == Some(version));
                self.adopted = Some(Adopted {
                    trained: Arc::new(trained),
                    version,
                    recorded: own.map_or(recorded, |attempt| attempt.recorded),
                    since: Instant::now(),
                    age_then: age,
                });
                self.built = None;
                true
            }
            Err(LoadError::Refused(reason)) => {
                self.refused.increment();
                self.left_alone = Some((version, Instant::now()));
                warn!(
                    model.version = version,
                    reason, "a kept model was refused; the last one stays"
                );
                false
            }
            Err(LoadError::Store(error)) => {
                warn!(%error, "a kept model could not be read; the last one stays");
                false
            }
        }
    }

    async fn load(&self, version: u64) -> Result<Trained, LoadError> {
        let kept = self.store.load(version).await?;
        match self.cpu.run(move || kept.read()).await {
            Ok(read) => read,
            Err(error) => Err(LoadError::Refused(error.to_string())),
        }
    }

    fn training_is_due(&self, look: Look, recorded: u64) -> bool {
        let failed = |attempt: &Attempt| attempt.version.is_none() && attempt.ended.elapsed() < RETRY_AFTER;
        if self.trained.as_ref().is_some_and(failed) {
            return false;
        }
        let rested = self
            .trained
            .as_ref()
            .is_none_or(|attempt| attempt.ended.elapsed() >= attempt.took * REST);
        let Some(adopted) = &self.adopted else {
            // An active version that could only not be read just now is worth waiting for.
            let none = look
                .active
                .is_none_or(|(active, _)| self.left_alone.is_some_and(|(refused, _)| refused == active));
            return look.wanted || (rested && none && !look.pinned);
        };
        let idle = adopted.age();
        let events = recorded.saturating_sub(adopted.recorded);
        let worth_while = idle >= self.settings.every && events >= self.settings.events_min;
        let due = rested && (worth_while || idle >= self.settings.every * PATIENCE);
        look.wanted || (due && !look.pinned)
    }

    /// Trains, unless another node does; says whether nothing is left to do.
    async fn take_turn(&mut self, recorded: u64) -> bool {
        let turn = match self.store.claim(self.settings.lease).await {
            Ok(Some(turn)) => turn,
            Ok(None) => return true,
            Err(error) => {
                warn!(%error, "no turn to train; the model stays");
                return false;
            }
        };
        let start = Instant::now();
        let done = self.learn(turn).await;
        if !done && let Err(error) = self.store.release(turn).await {
            // It ends by itself when its time is over, and whoever keeps the next model takes the parts away.
            warn!(%error, "the turn to train could not be given back");
        }
        self.trained = Some(Attempt {
            ended: Instant::now(),
            took: start.elapsed(),
            version: done.then_some(turn.version),
            recorded,
        });
        done
    }

    /// Learns from the interactions and keeps what was learned; says whether it did.
    async fn learn(&self, turn: Turn) -> bool {
        let start = Instant::now();
        let settings = self.recommender.settings().clone();
        let weight_min = settings.limits.taken_weight_min;
        let shelf = self.recommender.shelf().clone();
        // What every course of the catalog is about is megabytes to copy.
        let begun = self
            .cpu
            .run(move || {
                let features = shelf.features();
                let takings = Takings::new(features.iter().map(|feature| feature.course), weight_min);
                (features, takings)
            })
            .await;
        let (features, takings) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                warn!(?error, "training failed; the model stays");
                return false;
            }
        };
        let takings = match self
            .rows
            .takings(takings, weight_min, self.settings.events_max)
            .await
        {
            Ok(takings) => takings,
            Err(error) => {
                warn!(%error, "interactions could not be read; the model stays");
                return false;
            }
        };
        let read = start.elapsed();
        let trained = self
            .cpu
            .run(move || {
                let trained = Trained::train(features, &takings.finish(), &settings)?;
                let made = Kept::of(&trained);
                Some((trained, made))
            })
            .await;
        let (trained, made) = match trained {
            Ok(Some(trained)) => trained,
            Ok(None) => {
                warn!("the matrix has no inverse; the model stays");
                return false;
            }
            Err(error) => {
                warn!(?error, "training failed; the model stays");
                return false;
            }
        };
        let took = start.elapsed();
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let metrics = json!({"read_ms": millis(read), "train_ms": millis(took - read), "memory_bytes": trained.bytes()});
        match self.store.publish(turn, &trained, &made, &metrics).await {
            Ok(true) => {
                self.seconds.record(start.elapsed());
                info!(
                    model.version = turn.version,
                    learners = trained.learners(),
                    events = trained.taken(),
                    courses = trained.course_count(),
                    duration_ms = took.as_millis(),
                    "model trained"
                );
                true
            }
            Ok(false) => {
                warn!(
                    model.version = turn.version,
                    "a training was not published: its turn is over, a version was chosen, or somebody is forgotten since"
                );
                false
            }
            Err(error) => {
                warn!(%error, "a model could not be kept; the last one stays");
                false
            }
        }
    }

    /// Builds a model of the catalog and publishes it; says whether it did.
    async fn build(&mut self, settings: Settings) -> bool {
        let start = Instant::now();
        let (version, trained) = match &self.adopted {
            Some(adopted) => (adopted.version, adopted.trained.clone()),
            None => (0, Arc::default()),
        };
        let shelf = self.recommender.shelf().clone();
        // Before it is read: a change during the reading is a reason to look again.
        let revision = shelf.revision();
        let built = self
            .cpu
            .run(move || Model::build(version, shelf.features(), &trained, &settings))
            .await;
        match built {
            Ok(model) => {
                info!(
                    model.version = version,
                    courses = model.course_count(),
                    "model published"
                );
                #[expect(clippy::cast_precision_loss, reason = "megabytes")]
                self.bytes.set(model.bytes() as f64);
                self.recommender.publish(model);
                self.built = Some(Built {
                    revision,
                    ended: Instant::now(),
                    took: start.elapsed(),
                });
                true
            }
            Err(error) => {
                warn!(?error, "the model could not be built; the last one stays");
                false
            }
        }
    }
}
