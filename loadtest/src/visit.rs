//! One journey under way: who goes on it, what it draws its choices from, when its next request was due.
//!
//! A request is due when the plan says so, when the pause before it ends, or, without a pause, when the answer before it
//! came. Latency counts from there. A visit that is dropped with a request open, because the run is over, leaves it
//! counted as unfinished.

use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use hyper::header::HeaderValue;
use tokio::time::sleep_until;

use crate::arrival::Start;
use crate::catalog::Catalog;
use crate::client::Answer;
use crate::journey::{Journey, Step};
use crate::outcome::{Completion, ErrorKind, OperationId};
use crate::request::Ask;
use crate::users::User;
use crate::worker::Worker;

/// A journey has come to its end before its time; what failed has been counted.
pub(crate) struct Ended;

/// A journey under way.
pub(crate) struct Visit {
    worker: Rc<Worker>,
    user: Option<Rc<User>>,
    rng: Rng,
    seed: u64,
    keys: u32,
    /// When the next request is due, since the start of the run.
    due: Duration,
}

impl Visit {
    /// Begins a planned journey.
    pub(crate) fn new(worker: Rc<Worker>, journey: Journey, start: Start) -> Self {
        let mut rng = Rng::with_seed(start.seed);
        worker.arrived();
        Visit {
            user: worker.somebody(journey, &mut rng),
            worker,
            rng,
            seed: start.seed,
            keys: 0,
            due: start.at,
        }
    }

    /// Returns what there is to browse and buy.
    pub(crate) fn catalog(&self) -> std::sync::Arc<Catalog> {
        self.worker.catalog.clone()
    }

    /// Returns who is on the journey.
    pub(crate) fn user(&self) -> &User {
        self.user
            .as_deref()
            .expect("journeys that ask for a user are given one")
    }

    /// Returns the deadline of a request.
    pub(crate) fn timeout(&self) -> Duration {
        self.worker.timeout
    }

    /// Draws one of several.
    pub(crate) fn any<'i, T>(&mut self, items: &'i [T]) -> Option<&'i T> {
        self.rng.choice(items)
    }

    /// Draws a number up to this one.
    pub(crate) fn up_to(&mut self, max: u32) -> u32 {
        self.rng.u32(..=max)
    }

    /// Draws a course, the popular ones more often.
    pub(crate) fn popular(&mut self, catalog: &Catalog) -> usize {
        catalog.popularity.draw(&mut self.rng)
    }

    /// Draws a course that the user can still buy; somebody else goes if there is none, and nobody if all have all.
    pub(crate) fn take_course(&mut self, catalog: &Catalog) -> Option<usize> {
        let count = catalog.courses.len();
        if self.user().taken() >= count {
            self.user = Some(self.worker.with_room(count)?);
        }
        let drawn = self.popular(catalog);
        // The next less popular one that is left, and from the most popular on when there is none below.
        (drawn..count)
            .chain(0..drawn)
            .find(|course| self.user().take(*course))
    }

    /// Makes a key that names an operation of this visit and of no other run.
    pub(crate) fn key(&mut self) -> String {
        self.keys += 1;
        format!("load-{:x}-{:x}-{}", self.worker.run, self.seed, self.keys)
    }

    /// Makes a username that nobody has.
    pub(crate) fn new_name(&mut self) -> String {
        format!(
            "load-{:x}-{:x}",
            self.worker.run & 0xffff_ffff,
            self.seed & 0xffff_ffff_ffff
        )
    }

    /// Pauses as people do between two steps.
    pub(crate) async fn think(&mut self) {
        let think = self.worker.think;
        if think.max.is_zero() {
            return;
        }
        self.due += think.min + think.max.saturating_sub(think.min).mul_f64(self.rng.f64());
        sleep_until(self.worker.epoch + self.due).await;
    }

    /// Asks without saying who asks.
    pub(crate) async fn call(&mut self, step: Step, ask: Ask, expected: &[u16]) -> Result<Answer, Ended> {
        self.measure(step, ask, None, |answer| status(answer, expected))
            .await
    }

    /// Asks as the user.
    pub(crate) async fn call_as_user(
        &mut self,
        step: Step,
        ask: Ask,
        expected: &[u16],
    ) -> Result<Answer, Ended> {
        let bearer = self.user().bearer();
        self.measure(step, ask, Some(&bearer), |answer| status(answer, expected))
            .await
    }

    /// Asks, measures, and ends the journey if the answer is not accepted.
    pub(crate) async fn measure(
        &mut self,
        step: Step,
        ask: Ask,
        bearer: Option<&HeaderValue>,
        accept: impl Fn(&Answer) -> Result<(), ErrorKind>,
    ) -> Result<Answer, Ended> {
        // Writing the history is not the generator being late.
        let lag = self.lag();
        let ticket = self.worker.intend(&ask, self.user.as_deref(), Some(step)).await?;
        let open = self.open(step, lag);
        let answer = self.worker.client.send(ask.build(bearer)).await;
        let result = match &answer {
            Ok(answer) => accept(answer),
            Err(kind) => Err(*kind),
        };
        self.due = open.end(result);
        self.worker.learn(ticket, &answer).await;
        match (result, answer) {
            (Ok(()), Ok(answer)) => Ok(answer),
            _ => Err(Ended),
        }
    }

    /// Asks as the user as part of something that is measured as a whole.
    pub(crate) async fn answer_of(&mut self, ask: Ask) -> Result<Answer, ErrorKind> {
        let bearer = self.user().bearer();
        let Ok(ticket) = self.worker.intend(&ask, self.user.as_deref(), None).await else {
            return Err(ErrorKind::Unfinished);
        };
        let answer = self.worker.client.send(ask.build(Some(&bearer))).await;
        self.worker.learn(ticket, &answer).await;
        let answer = answer?;
        status(&answer, &[200, 201, 202]).map(|()| answer)
    }

    /// Begins something that consists of several requests and is measured as a whole.
    pub(crate) fn begin(&self, step: Step) -> Open {
        self.open(step, self.lag())
    }

    /// Ends it; the journey ends too if it failed.
    pub(crate) fn end(&mut self, open: Open, result: Result<(), ErrorKind>) -> Ended {
        self.due = open.end(result);
        Ended
    }

    /// Counts a purchase that could not be tried, because every user has everything.
    pub(crate) fn nobody_left(&mut self, step: Step) -> Ended {
        self.worker.nobody_left(step, self.due);
        Ended
    }

    /// How late the generator itself is.
    fn lag(&self) -> Duration {
        self.worker.now().saturating_sub(self.due)
    }

    fn open(&self, step: Step, lag: Duration) -> Open {
        let operation = self.worker.operation(step);
        let started = self.worker.now();
        let mut tally = self.worker.tally.borrow_mut();
        tally.offered(operation, self.due);
        tally.started(operation, started, lag);
        drop(tally);
        self.worker.waits();
        Open {
            worker: self.worker.clone(),
            operation,
            intended: self.due,
            started,
            ended: false,
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.worker.left();
    }
}

/// Something measured that has begun and not ended.
pub(crate) struct Open {
    worker: Rc<Worker>,
    operation: OperationId,
    intended: Duration,
    started: Duration,
    ended: bool,
}

impl Open {
    /// Ends it, and says when, since the start of the run.
    fn end(mut self, result: Result<(), ErrorKind>) -> Duration {
        self.ended = true;
        self.complete(result)
    }

    fn complete(&self, result: Result<(), ErrorKind>) -> Duration {
        let ended = self.worker.now();
        self.worker.heard();
        self.worker.tally.borrow_mut().completed(
            self.operation,
            Completion {
                intended: self.intended,
                started: self.started,
                ended,
                result,
            },
        );
        ended
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.ended {
            self.complete(Err(ErrorKind::Unfinished));
        }
    }
}

/// Accepts these statuses.
pub(crate) fn status(answer: &Answer, expected: &[u16]) -> Result<(), ErrorKind> {
    if expected.contains(&answer.status) {
        Ok(())
    } else {
        Err(ErrorKind::Status(answer.status))
    }
}
