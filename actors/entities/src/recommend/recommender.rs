//! The node's current model and the lists made with it.
//!
//! Lifecycle: starts with an empty model and answers at once; the trainer publishes better ones, each swapped in
//! as a whole. A user's last list is kept as rendered bytes under everything it depended on, so while neither
//! profile nor model nor catalog changed, a list costs one look-up.
//!
//! Invariant: a course the catalog does not list now is in no list, whatever the model remembers.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use lyceum_domain::ids::{CourseId, UserId};
use lyceum_domain::recommend::{ActivityWeights, Features, Model, Profile, Scratch, Settings, Trained, rank};
use lyceum_runtime::metrics::{Counter, Gauge, Histogram};
use quick_cache::sync::Cache;

use super::listing::{self, Fragment};
use crate::meters::{RECOMMEND_LISTS_CACHED_TOTAL, RECOMMEND_MODEL_VERSION, RECOMMEND_SECONDS};

/// Ranked beyond what was asked for, so that courses delisted since the model was built leave no gap.
const SPARE: usize = 16;

/// What the recommender reads of the catalog: the node's snapshot of it.
pub trait Shelf: Send + Sync + 'static {
    /// A number that changes with the snapshot.
    fn generation(&self) -> u64;
    /// A number that changes with what courses are about and which are listed: with what a model is built from.
    fn revision(&self) -> u64;
    /// What every listed course is about.
    fn features(&self) -> Vec<Features>;
    /// Appends a listed course as rendered JSON; `false` for one that is not to be recommended now.
    fn push_card(&self, course: CourseId, out: &mut Vec<u8>) -> bool;
    /// Whether there is a course that may be seen, listed or not.
    fn knows(&self, course: CourseId) -> bool;
}

/// Limits and numbers of the recommender.
#[derive(Clone, Debug)]
pub struct RecommenderSettings {
    /// The numbers of models and rankings.
    pub ranking: Settings,
    /// Rendered lists kept in memory, bytes: those of 10,000 users are about 64 MiB.
    pub lists_bytes_max: u64,
}

impl Default for RecommenderSettings {
    fn default() -> Self {
        RecommenderSettings {
            ranking: Settings::default(),
            lists_bytes_max: 64 << 20,
        }
    }
}

/// Everything a rendered list depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    build: u64,
    catalog: u64,
    profile: u64,
    limit: usize,
}

#[derive(Clone)]
struct Rendered {
    stamp: Stamp,
    body: Fragment,
}

#[derive(Clone)]
struct ByBytes;

impl quick_cache::Weighter<UserId, Rendered> for ByBytes {
    fn weight(&self, _: &UserId, list: &Rendered) -> u64 {
        // The entry itself takes about as much as a hundred bytes of body.
        100 + list.body.len() as u64
    }
}

/// A model and the number of its publication: one version is built again whenever the catalog changes.
struct Published {
    model: Model,
    build: u64,
}

/// Ranks and renders with the current model.
pub struct Recommender {
    shelf: Arc<dyn Shelf>,
    current: ArcSwap<Published>,
    builds: AtomicU64,
    settings: Settings,
    lists: Cache<UserId, Rendered, ByBytes>,
    metrics: Metrics,
}

struct Metrics {
    ranked: Histogram,
    similar: Histogram,
    cached: Counter,
    version: Gauge,
}

thread_local! {
    /// One per worker thread: a list then allocates little more than itself.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Recommender {
    /// Starts with an empty model: lists are empty until [`Recommender::publish`].
    pub fn new(shelf: Arc<dyn Shelf>, settings: RecommenderSettings) -> Arc<Self> {
        let model = Model::build(0, vec![], &Trained::default(), &settings.ranking);
        // An estimate that only sizes the cache's tables: a list of twenty cards is about 6 KiB.
        let lists = usize::try_from(settings.lists_bytes_max / 6_144)
            .unwrap_or(1)
            .max(1);
        let metrics = Metrics {
            ranked: RECOMMEND_SECONDS.with(["ranked"]),
            similar: RECOMMEND_SECONDS.with(["similar"]),
            cached: RECOMMEND_LISTS_CACHED_TOTAL.get(),
            version: RECOMMEND_MODEL_VERSION.get(),
        };
        Arc::new(Recommender {
            shelf,
            current: ArcSwap::from_pointee(Published { model, build: 0 }),
            builds: AtomicU64::new(0),
            settings: settings.ranking,
            lists: Cache::with_weighter(lists, settings.lists_bytes_max, ByBytes),
            metrics,
        })
    }

    /// The user's list as a ready-made response body.
    pub fn list(&self, user: UserId, profile: &Profile, limit: usize) -> Fragment {
        let current = self.current.load();
        let model = &current.model;
        let stamp = Stamp {
            build: current.build,
            catalog: self.shelf.generation(),
            profile: profile.revision(),
            limit,
        };
        if let Some(known) = self.lists.get(&user)
            && known.stamp == stamp
        {
            self.metrics.cached.increment();
            return known.body;
        }
        let start = Instant::now();
        let ranked = SCRATCH.with_borrow_mut(|scratch| rank(model, profile, limit + SPARE, scratch));
        let body = listing::recommendations(&*self.shelf, &ranked, limit, model.version());
        self.lists.insert(
            user,
            Rendered {
                stamp,
                body: body.clone(),
            },
        );
        self.metrics.ranked.record(start.elapsed());
        body
    }

    /// The courses most like one, as a ready-made response body; `None` if it may not be seen.
    pub fn similar(&self, course: CourseId, limit: usize) -> Option<Fragment> {
        if !self.shelf.knows(course) {
            return None;
        }
        let start = Instant::now();
        let current = self.current.load();
        let model = &current.model;
        let similar = model.similar(course, limit + SPARE);
        let body = listing::similar(&*self.shelf, &similar, limit, model.version());
        self.metrics.similar.record(start.elapsed());
        Some(body)
    }

    /// Makes a model the current one.
    pub fn publish(&self, model: Model) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds since 1970 stay below 2^53"
        )]
        self.metrics.version.set(model.version() as f64);
        let build = self.builds.fetch_add(1, Ordering::Relaxed) + 1;
        self.current.store(Arc::new(Published { model, build }));
    }

    /// The version of the current model; 0 before the first.
    pub fn model_version(&self) -> u64 {
        self.current.load().model.version()
    }

    /// Whether there is a course that may be seen, listed or not.
    pub fn knows(&self, course: CourseId) -> bool {
        self.shelf.knows(course)
    }

    /// How much each activity says, for the sink.
    pub fn weights(&self) -> &ActivityWeights {
        &self.settings.weights
    }

    pub(super) fn shelf(&self) -> &Arc<dyn Shelf> {
        &self.shelf
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }
}

#[cfg(test)]
mod tests {
    use lyceum_domain::recommend::{Activity, Command, Observation};
    use lyceum_kernel::{Aggregate, Timestamp};

    use super::*;

    /// Courses 1 to 9; those below the generation are delisted.
    #[derive(Default)]
    struct Nine(AtomicU64);

    impl Shelf for Nine {
        fn generation(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }

        fn revision(&self) -> u64 {
            self.generation()
        }

        fn features(&self) -> Vec<Features> {
            let about = |number| Features {
                title: "rust".to_owned(),
                ..Features::new(CourseId::from_u128(number))
            };
            (1..=9).map(about).collect()
        }

        fn push_card(&self, course: CourseId, out: &mut Vec<u8>) -> bool {
            let listed = self.knows(course) && course.as_u128() >= u128::from(self.generation());
            if listed {
                out.extend_from_slice(format!("{{\"id\":\"{course}\"}}").as_bytes());
            }
            listed
        }

        fn knows(&self, course: CourseId) -> bool {
            (1..=9).contains(&course.as_u128())
        }
    }

    fn recommender(shelf: &Arc<Nine>) -> Arc<Recommender> {
        let recommender = Recommender::new(shelf.clone(), RecommenderSettings::default());
        let model = Model::build(7, shelf.features(), &Trained::default(), recommender.settings());
        recommender.publish(model);
        recommender
    }

    fn courses(body: &Fragment) -> Vec<CourseId> {
        let body: serde_json::Value = serde_json::from_slice(body).expect("the body is JSON");
        let items = body["data"].as_array().expect("a list");
        items
            .iter()
            .map(|item| {
                item["course"]["id"]
                    .as_str()
                    .expect("an id")
                    .parse()
                    .expect("an id")
            })
            .collect()
    }

    #[test]
    fn a_delisted_course_leaves_the_next_list() {
        let shelf = Arc::new(Nine::default());
        let recommender = recommender(&shelf);
        let user = UserId::from_u128(1);
        assert_eq!(courses(&recommender.list(user, &Profile::default(), 5)).len(), 5);

        shelf.0.store(6, Ordering::Relaxed);
        let listed = courses(&recommender.list(user, &Profile::default(), 5));

        assert_eq!(listed.len(), 4);
        assert!(listed.iter().all(|course| course.as_u128() >= 6));
    }

    #[test]
    fn one_event_changes_the_very_next_list() {
        let recommender = recommender(&Arc::new(Nine::default()));
        let user = UserId::from_u128(1);
        let mut profile = Profile::default();
        let before = recommender.list(user, &profile, 9);
        assert_eq!(
            recommender.list(user, &profile, 9),
            before,
            "an unchanged profile"
        );

        let course = CourseId::from_u128(3);
        let dismissed = Observation {
            id: None,
            activity: Activity::Dismiss,
            course,
            at: None,
            value: None,
        };
        let command = Command::Observe {
            events: vec![dismissed],
        };
        for event in profile.decide(command, Timestamp::EPOCH).expect("accepted") {
            profile.apply(&event);
        }

        assert!(courses(&before).contains(&course));
        assert!(!courses(&recommender.list(user, &profile, 9)).contains(&course));
    }

    #[test]
    fn the_same_version_built_again_changes_the_very_next_list() {
        let shelf = Arc::new(Nine::default());
        let recommender = recommender(&shelf);
        let user = UserId::from_u128(1);
        assert_eq!(courses(&recommender.list(user, &Profile::default(), 20)).len(), 9);

        let four = shelf.features().split_off(5);
        recommender.publish(Model::build(7, four, &Trained::default(), recommender.settings()));

        assert_eq!(courses(&recommender.list(user, &Profile::default(), 20)).len(), 4);
    }

    #[test]
    fn before_the_first_model_lists_are_empty() {
        let recommender = Recommender::new(Arc::new(Nine::default()), RecommenderSettings::default());

        assert!(courses(&recommender.list(UserId::from_u128(1), &Profile::default(), 5)).is_empty());
        assert_eq!(recommender.similar(CourseId::from_u128(99), 5), None);
    }
}
