//! Builds models in the background, for as long as the node lives.
//!
//! Flow: at the start a model of popularity and interests alone, which takes milliseconds; then, and whenever the
//! catalog changed or enough has happened, a full one. The building runs on the pool for work that burns a core;
//! a failure leaves the last model in place and is tried again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lyceum_domain::recommend::{Model, Settings};
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

/// When to train; each a setting.
#[derive(Clone, Debug)]
pub struct TrainerSettings {
    /// The pause between two trainings when enough has happened.
    pub every: Duration,
    /// Events that make a training worth while.
    pub events_min: u64,
}

impl Default for TrainerSettings {
    fn default() -> Self {
        TrainerSettings {
            every: Duration::from_secs(60),
            events_min: 50,
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
    let trainer = Trainer {
        recommender,
        rows,
        cpu,
        seconds: RECOMMEND_TRAINING_SECONDS.get(),
    };
    let age = RECOMMEND_MODEL_AGE_SECONDS.get();
    let mut quick = trainer.recommender.settings().clone();
    quick.content.neighbours_max = 0;
    trainer.build(quick).await;

    let mut built: Option<Built> = None;
    loop {
        let looked = Instant::now();
        let due = match &built {
            None => true,
            Some(built) => {
                let idle = built.ended.elapsed();
                age.set(idle.as_secs_f64());
                let rested = idle >= built.took * REST && idle >= LOOK_EVERY;
                let catalog_changed = trainer.recommender.shelf().revision() != built.revision;
                let events = sink.recorded_everywhere() - built.recorded;
                let worth_while = idle >= settings.every && events >= settings.events_min;
                rested && (catalog_changed || worth_while || idle >= settings.every * PATIENCE)
            }
        };
        // What waits for its time on purpose is not behind.
        let mut current = !due;
        if due {
            let revision = trainer.recommender.shelf().revision();
            let recorded = sink.recorded_everywhere();
            let start = Instant::now();
            if trainer.build(trainer.recommender.settings().clone()).await {
                built = Some(Built {
                    revision,
                    recorded,
                    ended: Instant::now(),
                    took: start.elapsed(),
                });
                current = true;
            }
        }
        if current {
            mark.reach(looked);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The last training.
struct Built {
    revision: u64,
    recorded: u64,
    ended: Instant,
    took: Duration,
}

struct Trainer {
    recommender: Arc<Recommender>,
    rows: RecommendRows,
    cpu: CpuPool,
    seconds: Histogram,
}

impl Trainer {
    /// Builds and publishes one model; says whether it did.
    async fn build(&self, settings: Settings) -> bool {
        let start = Instant::now();
        let now = clock::now();
        let version = u64::try_from(now.as_millis()).unwrap_or(0);
        let popularity = match self.rows.popularity(now, settings.popularity_half_life).await {
            Ok(popularity) => popularity,
            Err(error) => {
                warn!(%error, "interactions could not be read; the model stays");
                return false;
            }
        };
        let shelf = self.recommender.shelf().clone();
        let built = self
            .cpu
            .run(move || Model::build(version, shelf.features(), &popularity, &settings))
            .await;
        match built {
            Ok(model) => {
                info!(
                    model.version = version,
                    courses = model.course_count(),
                    "model published"
                );
                self.recommender.publish(model);
                self.seconds.record(start.elapsed());
                true
            }
            Err(error) => {
                warn!(?error, "training failed; the model stays");
                false
            }
        }
    }
}
