//! A thread of the generator: starts what is due, holds its own connections, users and counts, shares nothing.
//!
//! Lifecycle: [`run`] waits for the epoch, starts each journey of its part of the plan when it is due (or drops it when
//! too many are under way), waits for the last answers, and hands back its tally and its users. Everything runs on one
//! thread; an async task is a journey, a connection or one of two tickers.
//!
//! Starts wait for a timer of the kernel, since Tokio's fire up to a millisecond late; what is due by the time that it
//! goes off starts in one batch, and latency counts from the planned time all the same.

mod alarm;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use lyceum_oracle::history::{History, Intent, Outcome, Ticket};
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio::time::{Instant, interval, sleep_until};

use self::alarm::Alarm;
use crate::Failure;
use crate::arrival::{Plan, Start};
use crate::catalog::Catalog;
use crate::client::{Answer, Client, Site};
use crate::journey::{Journey, Step};
use crate::outcome::{Board, ErrorKind, OperationId, Tally};
use crate::request::Ask;
use crate::scenario::{Scenario, Think};
use crate::users::{Account, User};
use crate::visit::{Ended, Visit};

/// Starts in one go before answers are looked at again; a millisecond of 60,000 a second.
const BATCH: usize = 64;
/// How often the live view hears of a worker.
const BEAT: Duration = Duration::from_millis(200);
/// How often tokens are looked at; they are exchanged a minute before they end.
const REFRESH: Duration = Duration::from_secs(10);
/// How often the end of the last journey is looked for.
const DRAIN_POLL: Duration = Duration::from_millis(5);
/// One user in so many is for logging in only.
const GUEST_SHARE: usize = 8;

/// What a worker needs to know.
pub(crate) struct Task {
    pub(crate) number: usize,
    pub(crate) scenario: Arc<Scenario>,
    pub(crate) plan: Plan,
    pub(crate) site: Site,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) accounts: Vec<Account>,
    pub(crate) first_user: u64,
    pub(crate) history: Option<History>,
    pub(crate) epoch: Instant,
    /// Names the run in keys and usernames.
    pub(crate) run: u64,
    /// The bound on journeys under way of this worker.
    pub(crate) journeys_max: usize,
    /// The bound on its connections.
    pub(crate) connections_max: usize,
    pub(crate) board: Arc<Board>,
    pub(crate) stop: watch::Receiver<bool>,
}

/// What a worker hands back.
pub(crate) struct Harvest {
    pub(crate) tally: Tally,
    pub(crate) accounts: Vec<Account>,
    /// Starts dropped although the target was not what held the others up.
    pub(crate) unexplained: u64,
    /// What kept it from doing its work, as a sentence.
    pub(crate) trouble: Option<String>,
}

/// The state that the journeys of a thread share.
pub(crate) struct Worker {
    pub(crate) client: Client,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) epoch: Instant,
    pub(crate) run: u64,
    pub(crate) think: Think,
    pub(crate) timeout: Duration,
    pub(crate) tally: RefCell<Tally>,
    places: Vec<Option<OperationId>>,
    shoppers: Vec<Rc<User>>,
    guests: Vec<Rc<User>>,
    history: Option<History>,
    /// Journeys under way, and how many of their requests wait for the target.
    under_way: Cell<usize>,
    waiting: Cell<usize>,
    journeys_max: usize,
    unexplained: Cell<u64>,
    trouble: RefCell<Option<String>>,
}

/// Makes an empty tally of what the journeys of a scenario perform.
pub(crate) fn empty_tally(scenario: &Scenario) -> Tally {
    let performed = |step: &Step| {
        scenario
            .mix
            .iter()
            .any(|(journey, _)| journey.operations().contains(step))
    };
    let names = Step::ALL
        .iter()
        .filter(|step| performed(step))
        .map(|step| step.name());
    Tally::new(names, scenario.profile.length())
}

/// Does a worker's part of a run on this thread.
///
/// # Errors
/// The runtime cannot be made, or an account is unusable.
pub(crate) fn run(task: Task) -> Result<Harvest, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = LocalSet::new();
    let worker = runtime.block_on(local.run_until(work(task)))?;
    // Ends what is still under way; open requests count as unfinished.
    drop(local);
    let tally = worker.tally.borrow().clone();
    let users = worker.shoppers.iter().chain(&worker.guests);
    let trouble = worker.trouble.borrow_mut().take();
    Ok(Harvest {
        tally,
        accounts: users.map(|user| user.account()).collect(),
        unexplained: worker.unexplained(),
        trouble,
    })
}

async fn work(task: Task) -> Result<Rc<Worker>, Failure> {
    let (number, plan, board) = (task.number, task.plan.clone(), task.board.clone());
    let mut stop = task.stop.clone();
    let scenario = task.scenario.clone();
    let worker = Rc::new(Worker::new(task)?);

    let beating = spawn_local(beat(worker.clone(), number, board.clone()));
    let refreshing = spawn_local(keep_fresh(worker.clone()));
    let alarm = Alarm::new()?;
    tokio::select! {
        paced = pace(&worker, &scenario, plan, &alarm) => paced?,
        // The sender lives until all workers have ended.
        _ = stop.changed() => {}
    }
    let patience = Instant::now() + scenario.drain;
    while worker.under_way.get() > 0 && Instant::now() < patience && !*stop.borrow() {
        sleep_until(Instant::now() + DRAIN_POLL).await;
    }
    refreshing.abort();
    beating.abort();
    board.publish(number, worker.tally.borrow().beat(worker.now()));
    Ok(worker)
}

/// Starts each journey when it is due.
///
/// # Errors
/// There is no timer to wait for.
async fn pace(worker: &Rc<Worker>, scenario: &Scenario, plan: Plan, alarm: &Alarm) -> Result<(), Failure> {
    let mut batch = 0;
    for start in plan {
        let due = worker.epoch + start.at;
        if due > Instant::now() {
            alarm.wait_until(due).await?;
            batch = 0;
        } else if batch >= BATCH {
            yield_now().await;
            batch = 0;
        }
        batch += 1;
        worker.start(scenario.mix[start.journey].0, start);
    }
    sleep_until(worker.epoch + scenario.profile.length()).await;
    Ok(())
}

async fn beat(worker: Rc<Worker>, number: usize, board: Arc<Board>) {
    let mut ticks = interval(BEAT);
    loop {
        ticks.tick().await;
        let beat = worker.tally.borrow().beat(worker.now());
        board.publish(number, beat);
    }
}

async fn keep_fresh(worker: Rc<Worker>) {
    let mut ticks = interval(REFRESH);
    loop {
        ticks.tick().await;
        for user in worker.shoppers.iter().chain(&worker.guests) {
            user.keep_fresh(&worker.client).await;
        }
    }
}

impl Worker {
    pub(crate) fn new(task: Task) -> Result<Self, Failure> {
        let Task {
            scenario,
            accounts,
            first_user,
            ..
        } = task;
        let logs_in = scenario.mix.iter().any(|(journey, _)| *journey == Journey::Login);
        let (mut shoppers, mut guests) = (Vec::new(), Vec::new());
        for (number, account) in (first_user..).zip(accounts) {
            let user = Rc::new(User::new(number, account)?);
            let is_guest = logs_in && (shoppers.len() + guests.len()) % GUEST_SHARE == 1;
            if is_guest { &mut guests } else { &mut shoppers }.push(user);
        }
        let tally = empty_tally(&scenario);
        Ok(Worker {
            client: Client::new(task.site, scenario.timeout, task.connections_max),
            catalog: task.catalog,
            epoch: task.epoch,
            run: task.run,
            think: scenario.think,
            timeout: scenario.timeout,
            places: Step::ALL.iter().map(|step| tally.id(step.name())).collect(),
            tally: RefCell::new(tally),
            shoppers,
            guests,
            history: task.history,
            under_way: Cell::new(0),
            waiting: Cell::new(0),
            journeys_max: task.journeys_max,
            unexplained: Cell::new(0),
            trouble: RefCell::default(),
        })
    }

    /// Returns the time since the start of the run.
    pub(crate) fn now(&self) -> Duration {
        Instant::now().saturating_duration_since(self.epoch)
    }

    /// Starts a journey, or drops it: it is never put off.
    fn start(self: &Rc<Self>, journey: Journey, start: Start) {
        let under_way = self.under_way.get();
        if under_way >= self.journeys_max {
            // As long as most of the others wait for the target, it is the target that is too slow.
            if self.waiting.get() * 2 < under_way {
                self.unexplained.set(self.unexplained.get() + 1);
            }
            self.dropped(journey.operations()[0], start.at);
            return;
        }
        let mut visit = Visit::new(self.clone(), journey, start);
        spawn_local(async move {
            // Whatever ended it has been counted.
            let _ = journey.go(&mut visit).await;
        });
    }

    fn dropped(&self, step: Step, at: Duration) {
        let operation = self.operation(step);
        let mut tally = self.tally.borrow_mut();
        tally.offered(operation, at);
        tally.dropped(operation, at);
    }

    /// Counts a purchase for which there is neither a buyer nor a course left.
    pub(crate) fn nobody_left(&self, step: Step, at: Duration) {
        self.dropped(step, at);
        self.unexplained.set(self.unexplained.get() + 1);
    }

    /// Returns how many starts were dropped although the target was not what held the others up.
    pub(crate) fn unexplained(&self) -> u64 {
        self.unexplained.get()
    }

    /// Returns the place of an operation in the tally.
    pub(crate) fn operation(&self, step: Step) -> OperationId {
        self.places[step as usize].expect("journeys perform only what they say they do")
    }

    /// Draws a user for a journey that needs one.
    pub(crate) fn somebody(&self, journey: Journey, rng: &mut Rng) -> Option<Rc<User>> {
        let users = if journey == Journey::Login {
            &self.guests
        } else {
            &self.shoppers
        };
        journey.needs_user().then(|| rng.choice(users).cloned()).flatten()
    }

    /// Finds a user who has fewer courses than there are.
    pub(crate) fn with_room(&self, courses: usize) -> Option<Rc<User>> {
        self.shoppers.iter().find(|user| user.taken() < courses).cloned()
    }

    pub(crate) fn arrived(&self) {
        self.under_way.set(self.under_way.get() + 1);
    }

    pub(crate) fn left(&self) {
        self.under_way.set(self.under_way.get() - 1);
    }

    pub(crate) fn waits(&self) {
        self.waiting.set(self.waiting.get() + 1);
    }

    pub(crate) fn heard(&self) {
        self.waiting.set(self.waiting.get() - 1);
    }

    /// Writes down what is about to be asked, if it changes something and there is a history.
    ///
    /// # Errors
    /// It is not on disk: the request must not be sent.
    pub(crate) async fn intend(
        &self,
        ask: &Ask,
        user: Option<&User>,
        step: Option<Step>,
    ) -> Result<Option<Ticket>, Ended> {
        let Some(history) = self.history.as_ref().filter(|_| ask.method != hyper::Method::GET) else {
            return Ok(None);
        };
        let intent = Intent {
            client: user.map_or(0, |user| user.number),
            kind: kind(step).to_owned(),
            method: ask.method.to_string(),
            path: ask.uri.to_string(),
            idempotency_key: ask.key.clone(),
            user: user.map(|user| user.name.clone()),
            body: String::from_utf8_lossy(&ask.body).into_owned(),
        };
        match history.begin(&intent).await {
            Ok(ticket) => Ok(Some(ticket)),
            Err(error) => {
                self.trouble
                    .replace(Some(format!("the history cannot be written: {error}")));
                Err(Ended)
            }
        }
    }

    /// Writes down what was answered.
    pub(crate) async fn learn(&self, ticket: Option<Ticket>, answer: &Result<Answer, ErrorKind>) {
        let (Some(history), Some(ticket)) = (&self.history, ticket) else {
            return;
        };
        let outcome = match answer {
            Ok(answer) => Outcome::of_answer(answer.status, &answer.body),
            Err(kind) => Outcome::Unknown {
                why: kind.to_string(),
            },
        };
        if let Err(error) = history.end(ticket, outcome).await {
            self.trouble
                .replace(Some(format!("the history cannot be written: {error}")));
        }
    }
}

/// Names a request that changes something as histories do; what is measured as a whole is a top-up.
fn kind(step: Option<Step>) -> &'static str {
    match step {
        None => "top_up",
        Some(Step::Buy | Step::BuySandbox) => "buy",
        Some(Step::Login) => "log_in",
        Some(Step::Logout) => "log_out",
        Some(Step::Learn | Step::Rate) => "event",
        Some(step) => step.name(),
    }
}

#[cfg(test)]
mod tests;
