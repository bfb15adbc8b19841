//! A run from beginning to end: prepare, load, hurt, judge.
//!
//! Flow: [`prepare`] reads the catalogue and makes users → [`run`] gives each worker thread its part of the plan, and
//! one more thread the canaries and faults → all begin at the same moment → tallies are merged → the generator judges
//! itself, then the target. A run whose generator fell short is *invalid*, whatever was measured.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lyceum_oracle::history::History;
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::Instant;

use crate::Failure;
use crate::arrival::{Plan, Share};
use crate::canary::Canaries;
use crate::catalog::Catalog;
use crate::chaos::{Injector, Means};
use crate::client::{Client, Site};
use crate::funding;
use crate::journey::Journey;
use crate::outcome::{Board, ChaosSpan, Machine, Recording, Run, Tally, process_cpu};
use crate::request::Ask;
use crate::scenario::Scenario;
use crate::users::{self, Account, User};
use crate::vitals::Vitals;
use crate::worker::{self, Harvest, Task};

/// Beyond it the generator is what was measured.
const LAG_MAX: Duration = Duration::from_millis(5);
/// Between the workers' making and the first start, so that all are there.
const HEAD_START: Duration = Duration::from_millis(200);
/// Bounds what is asked before a run.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bounds what is asked after a run, of a target that may be gone.
const VITALS_TIMEOUT: Duration = Duration::from_secs(5);
/// What is asked before a run is asked by few.
const PREPARE_CONNECTIONS: usize = 16;
/// Purchases are not spread evenly over users and courses: so much room is made for one that is planned.
const ROOM: f64 = 2.0;

/// What a run needs besides its scenario.
#[derive(Clone, Debug)]
pub struct Options {
    /// Base address of the target.
    pub target: String,
    /// Seed of arrivals and choices.
    pub seed: u64,
    /// Threads that send.
    pub workers: usize,
    /// The part of the plan that this generator sends.
    pub share: Share,
    /// When the first start is due; at once if it is not given.
    pub begin: Option<SystemTime>,
    /// Where users are remembered from run to run.
    pub users: PathBuf,
    /// Where requests that change something are written down.
    pub history: Option<PathBuf>,
    /// What faults may use.
    pub means: Means,
    /// The command line, for the report.
    pub command: String,
}

/// A target that is ready to be loaded.
pub struct Prepared {
    site: Site,
    catalog: Arc<Catalog>,
    accounts: Vec<Account>,
    canary: Option<Account>,
    commit: String,
}

/// Reads the catalogue and prepares users.
///
/// # Errors
/// Nothing serves at the target, or it refuses what the journeys need.
pub fn prepare(scenario: &Scenario, options: &Options) -> Result<Prepared, Failure> {
    options.means.check(&scenario.chaos)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        let site = Site::resolve(&options.target).await?;
        let client = Client::new(site.clone(), PREPARE_TIMEOUT, PREPARE_CONNECTIONS);
        let ready = client.send(Ask::get("/readyz").build(None)).await;
        if ready.is_err() {
            return Err(Failure::new(format!(
                "nothing serves at {}: start it first, for instance with `make run`.",
                site.url
            )));
        }
        let learns = scenario.mix.iter().any(|(journey, _)| *journey == Journey::Learn);
        let catalog = Catalog::read(&client, scenario.zipf, learns).await?;
        let writes = scenario.canary.is_some_and(|canary| canary.write);
        let wanted = wanted(scenario, options, catalog.courses.len()) + usize::from(writes);
        let length = scenario.profile.length() + scenario.drain;
        let mut accounts = users::prepare(&client, &catalog, wanted, length, &options.users).await?;
        if scenario.mix.iter().any(|(journey, _)| journey.spends()) {
            funding::fund(&client, &mut accounts).await?;
        }
        Ok(Prepared {
            canary: if writes { accounts.pop() } else { None },
            commit: Vitals::read(&client)
                .await
                .commit
                .unwrap_or_else(|| "unknown".to_owned()),
            accounts,
            catalog: Arc::new(catalog),
            site,
        })
    })
}

/// How many users journeys need: those of the scenario, and enough for all purchases to be new.
fn wanted(scenario: &Scenario, options: &Options, courses: usize) -> usize {
    if !scenario.mix.iter().any(|(journey, _)| journey.needs_user()) {
        return 0;
    }
    let weights: f64 = scenario.mix.iter().map(|(_, weight)| weight).sum();
    let buying: f64 = scenario
        .mix
        .iter()
        .filter(|(journey, _)| journey.buys())
        .map(|(_, weight)| weight)
        .sum();
    let purchases = scenario.profile.starts() * buying / weights / options.share.of as f64;
    // A count of users; a plan of 2⁵³ purchases is refused elsewhere.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive count"
    )]
    let for_purchases = (ROOM * purchases / courses as f64).ceil() as usize;
    // Each worker needs a shopper and a guest.
    scenario.users.max(for_purchases).max(2 * options.workers)
}

/// Asks the target what it tells about itself.
fn vitals(site: &Site) -> Result<Vitals, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let client = Client::new(site.clone(), VITALS_TIMEOUT, PREPARE_CONNECTIONS);
    Ok(LocalSet::new().block_on(&runtime, Vitals::read(&client)))
}

/// Runs a scenario against a prepared target; `stop` ends it early when it turns true.
///
/// # Errors
/// The history cannot be opened, or a thread of the generator failed.
pub fn run(
    scenario: &Arc<Scenario>,
    options: &Options,
    prepared: &mut Prepared,
    board: &Arc<Board>,
    stop: &watch::Receiver<bool>,
) -> Result<Recording, Failure> {
    let history = match &options.history {
        Some(path) => Some(History::open(path)?),
        None => None,
    };
    let before = vitals(&prepared.site)?;
    let head_start = options
        .begin
        .and_then(|begin| begin.duration_since(SystemTime::now()).ok())
        .unwrap_or(HEAD_START);
    let epoch = Instant::now() + head_start;
    let started = SystemTime::now() + head_start;
    let cpu_before = process_cpu();

    let tasks = tasks(scenario, options, prepared, board, stop, history.as_ref(), epoch);
    let (over, ended) = watch::channel(false);
    let (harvests, (chaos, troubles)) = thread::scope(|threads| {
        let hurting = threads.spawn(|| hurt(scenario, options, prepared, board, epoch, ended));
        let workers: Vec<_> = tasks
            .into_iter()
            .map(|task| threads.spawn(move || worker::run(task)))
            .collect();
        let harvests: Vec<_> = workers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        // The receiver is gone only if its thread has failed, which its join tells.
        let _ = over.send(true);
        let hurt = hurting.join();
        let lost = |_| Failure::new("a thread of the generator has failed.");
        let harvests = harvests
            .into_iter()
            .map(|harvest| harvest.map_err(lost)?)
            .collect::<Result<Vec<Harvest>, Failure>>()?;
        Ok::<_, Failure>((harvests, hurt.map_err(lost)??))
    })?;

    let mut invalid = troubles;
    let elapsed = Instant::now().saturating_duration_since(epoch);
    let target_cpu = vitals(&prepared.site)?.cpu_since(&before);
    let duration = scenario.profile.length().min(elapsed);
    if *stop.borrow() {
        invalid.push(format!("it was interrupted after {:.0} s", elapsed.as_secs_f64()));
    }
    let mut tally = worker::empty_tally(scenario);
    prepared.accounts.clear();
    let mut unexplained = 0;
    for harvest in harvests {
        tally
            .merge(&harvest.tally)
            .map_err(|error| Failure::new(error.to_string()))?;
        prepared.accounts.extend(harvest.accounts);
        unexplained += harvest.unexplained;
        invalid.extend(harvest.trouble);
    }
    remember(options, prepared);
    invalid.extend(shortcomings(&tally, unexplained));
    let thresholds = scenario.thresholds.iter();
    Ok(Recording {
        run: Run {
            scenario: scenario.name.clone(),
            target: prepared.site.url.clone(),
            commit: prepared.commit.clone(),
            seed: options.seed,
            command: options.command.clone(),
            started,
            duration,
            machine: Machine::here(),
            generators: 1,
            generator_cpu: process_cpu().saturating_sub(cpu_before),
            target_cpu,
        },
        thresholds: thresholds
            .map(|rule| rule.judge(&tally, &chaos, duration))
            .collect(),
        tally,
        chaos,
        invalid,
    })
}

/// Divides plan, users and room among the workers.
fn tasks(
    scenario: &Arc<Scenario>,
    options: &Options,
    prepared: &Prepared,
    board: &Arc<Board>,
    stop: &watch::Receiver<bool>,
    history: Option<&History>,
    epoch: Instant,
) -> Vec<Task> {
    let run = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| {
        since.as_secs() << 20 | u64::from(since.subsec_micros())
    });
    let workers = options.workers.max(1);
    let weights = || scenario.mix.iter().map(|(_, weight)| *weight);
    let mut first_user = 1;
    (0..workers)
        .map(|number| {
            let part = prepared.accounts.iter().skip(number).step_by(workers);
            let accounts: Vec<Account> = part.cloned().collect();
            let users = accounts.len() as u64;
            first_user += users;
            Task {
                number,
                scenario: scenario.clone(),
                plan: Plan::new(
                    &scenario.profile,
                    scenario.kind,
                    weights(),
                    options.seed,
                    options.share.divide(number as u64, workers as u64),
                ),
                site: prepared.site.clone(),
                catalog: prepared.catalog.clone(),
                accounts,
                first_user: first_user - users,
                history: history.cloned(),
                epoch,
                run,
                journeys_max: scenario.journeys_max.div_ceil(workers),
                connections_max: scenario.connections_max.div_ceil(workers),
                board: board.clone(),
                stop: stop.clone(),
            }
        })
        .collect()
}

/// Sends canaries and injects faults until the run is over.
fn hurt(
    scenario: &Scenario,
    options: &Options,
    prepared: &Prepared,
    board: &Arc<Board>,
    epoch: Instant,
    mut over: watch::Receiver<bool>,
) -> Result<(Vec<ChaosSpan>, Vec<String>), Failure> {
    let Some(canary) = scenario.canary else {
        return Ok((Vec::new(), Vec::new()));
    };
    let user = prepared
        .canary
        .clone()
        .map(|account| User::new(0, account))
        .transpose()?;
    let injector = Rc::new(Injector {
        means: options.means.clone(),
        client: Client::new(prepared.site.clone(), PREPARE_TIMEOUT, PREPARE_CONNECTIONS),
        site: prepared.site.clone(),
        board: board.clone(),
        epoch,
        popular: prepared.catalog.courses[0].id.clone(),
        done: Vec::new().into(),
        troubles: Vec::new().into(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        let canaries = Canaries::start(&prepared.site, canary, user, epoch);
        // One generator of several hurts the target, or it would be hurt several times.
        let faults = if options.share.part == 0 {
            scenario.chaos.as_slice()
        } else {
            &[]
        };
        for fault in faults {
            spawn_local(injector.clone().inject(fault.clone()));
        }
        // Its sender says so or is gone: either way the run is over.
        let _ = over.changed().await;
        let end = Instant::now().saturating_duration_since(epoch);
        let mut spans = injector.done.take();
        spans.sort_by_key(|span| span.at);
        let ends: Vec<Duration> = spans.iter().skip(1).map(|span| span.at).chain([end]).collect();
        for (span, until) in spans.iter_mut().zip(ends) {
            span.unavailable = canaries.unavailable(span.at, until);
        }
        Ok((spans, injector.troubles.take()))
    })
}

/// Says why the figures cannot be trusted, if they cannot.
fn shortcomings(tally: &Tally, unexplained: u64) -> Vec<String> {
    let mut found = Vec::new();
    let lag_us = tally.lag().value_at_quantile(0.99);
    if Duration::from_micros(lag_us) > LAG_MAX {
        found.push(format!(
            "the generator was late: one start in a hundred by more than {:.1} ms, and {} ms are allowed",
            lag_us as f64 / 1e3,
            LAG_MAX.as_millis()
        ));
    }
    if unexplained > 0 {
        found.push(format!(
            "{unexplained} starts were dropped for want of room in the generator, not because of the target: raise \
             arrival.journeys_max or users.count"
        ));
    }
    if tally.total().offered == 0 {
        found.push("no request was due".to_owned());
    }
    found
}

/// Keeps the users for the next run.
fn remember(options: &Options, prepared: &Prepared) {
    let all: Vec<Account> = prepared
        .accounts
        .iter()
        .chain(&prepared.canary)
        .cloned()
        .collect();
    users::remember(&options.users, &all);
}
