//! Keeps the node's model up to date, for as long as the node lives.
//!
//! ```text
//! interactions ─ page by page ─→ histories ─→ (training pool) Trained ─┐
//! catalog ───────────────────────────────────────────────────────────────┴→ (training pool) Model ─→ published
//! ```
//!
//! What is learned from learners is learned again when enough has happened; what the catalog says is looked at again
//! whenever it changed, which takes a fifth of the time and none of the interactions. At the start comes a model without
//! likeness, which takes milliseconds. Both run on the pool for work that burns a core; a failure leaves the last model
//! in place and is tried again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lyceum_domain::recommend::{Model, Settings, Takings, Trained};
use lyceum_runtime::metrics::Histogram;
use lyceum_runtime::{CpuPool, Mark, clock};
use tracing::{info, warn};

use super::recommender::Recommender;
use super::rows::RecommendRows;
use super::sink::Sink;
use crate::meters::{RECOMMEND_MODEL_AGE_SECONDS, RECOMMEND_TRAINING_SECONDS};

/// How often the trainer looks whether there is something to do.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After each training the trainer rests so many times as long as it took: at most 5 % of one core.
const REST: u32 = 20;
/// Without enough events a node trains after so many periods all the same: what was popular fades.
const PATIENCE: u32 = 10;

/// When to train, and with how much; each a setting.
#[derive(Clone, Debug)]
pub struct TrainerSettings {
    /// The pause between two trainings when enough has happened.
    pub every: Duration,
    /// Events that make a training worth while.
    pub events_min: u64,
    /// The newest interactions that are read.
    pub events_max: u64,
}

impl Default for TrainerSettings {
    fn default() -> Self {
        TrainerSettings {
            every: Duration::from_secs(60),
            events_min: 50,
            events_max: 1_000_000,
        }
    }
}

/// Trains until it is dropped or aborted; nothing waits for it. `mark` stays behind while a training is due and fails.
pub async fn train(
    recommender: Arc<Recommender>,
    rows: RecommendRows,
    sink: Sink,
    cpu: CpuPool,
    settings: TrainerSettings,
    mark: Arc<Mark>,
) {
    let mut trainer = Trainer {
        recommender,
        rows,
        cpu,
        settings,
        seconds: RECOMMEND_TRAINING_SECONDS.get(),
        learned: None,
        built: None,
    };
    let age = RECOMMEND_MODEL_AGE_SECONDS.get();
    let mut quick = trainer.recommender.settings().clone();
    quick.content.neighbours_max = 0;
    trainer.build(quick).await;
    trainer.built = None;
    loop {
        let looked = Instant::now();
        if let Some(learned) = &trainer.learned {
            age.set(learned.ended.elapsed().as_secs_f64());
        }
        if trainer.keep_up(sink.recorded_everywhere()).await {
            mark.reach(looked);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

struct Trainer {
    recommender: Arc<Recommender>,
    rows: RecommendRows,
    cpu: CpuPool,
    settings: TrainerSettings,
    seconds: Histogram,
    learned: Option<Learned>,
    built: Option<Built>,
}

/// The last training.
struct Learned {
    trained: Arc<Trained>,
    version: u64,
    /// Events recorded before it.
    recorded: u64,
    ended: Instant,
    took: Duration,
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
        if self.training_is_due(recorded) && !self.learn(recorded).await {
            return false;
        }
        let due = match &self.built {
            None => true,
            Some(built) => {
                let rested = built.ended.elapsed() >= built.took * REST;
                rested && built.revision != self.recommender.shelf().revision()
            }
        };
        let settings = self.recommender.settings().clone();
        !due || self.build(settings).await
    }

    fn training_is_due(&self, recorded: u64) -> bool {
        let Some(learned) = &self.learned else {
            return true;
        };
        let idle = learned.ended.elapsed();
        let events = recorded.saturating_sub(learned.recorded);
        let worth_while = idle >= self.settings.every && events >= self.settings.events_min;
        idle >= learned.took * REST && (worth_while || idle >= self.settings.every * PATIENCE)
    }

    /// Learns from the interactions; says whether it did.
    async fn learn(&mut self, recorded: u64) -> bool {
        let start = Instant::now();
        let settings = self.recommender.settings().clone();
        let features = self.recommender.shelf().features();
        let courses = features.iter().map(|feature| feature.course);
        let weight_min = settings.limits.taken_weight_min;
        let takings = Takings::new(courses, weight_min);
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
        let trained = self
            .cpu
            .run(move || Trained::train(features, &takings.finish(), &settings))
            .await;
        let trained = match trained {
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
        self.seconds.record(took);
        info!(
            learners = trained.learners(),
            events = trained.taken(),
            courses = trained.course_count(),
            duration_ms = took.as_millis(),
            "model trained"
        );
        self.learned = Some(Learned {
            trained: Arc::new(trained),
            version: u64::try_from(clock::now().as_millis()).unwrap_or(0),
            recorded,
            ended: Instant::now(),
            took,
        });
        self.built = None;
        true
    }

    /// Builds a model of the catalog and publishes it; says whether it did.
    async fn build(&mut self, settings: Settings) -> bool {
        let start = Instant::now();
        let (version, trained) = match &self.learned {
            Some(learned) => (learned.version, learned.trained.clone()),
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
