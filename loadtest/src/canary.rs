//! Canaries: a small read and a small write every 20 ms, whatever the journeys do, to tell when nobody was served.
//!
//! A canary counts if it was answered well, however late; the target was unavailable between two such answers that are
//! further apart than [`GAP_MIN`]. Each is sent at its time (open loop), on connections of their own.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use hyper::Method;
use hyper::header::HeaderValue;
use tokio::task::spawn_local;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::client::{Client, Site};
use crate::outcome::{ErrorKind, Window};
use crate::request::Ask;
use crate::scenario::Canary;
use crate::users::User;

/// What is shorter is no outage: five canaries of 20 ms.
const GAP_MIN: Duration = Duration::from_millis(100);
/// A canary without an answer is given up.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Canaries of one kind without an answer; as many as are sent until the first is given up, and some more.
const UNANSWERED_MAX: usize = 256;
/// Answers that are remembered of each kind: over three hours.
const ANSWERS_MAX: usize = 600_000;

/// When canaries of one kind were answered, since the start of the run, in order.
type Answers = Rc<RefCell<Vec<Duration>>>;

/// The canaries of a run.
pub(crate) struct Canaries {
    kinds: Vec<Answers>,
}

impl Canaries {
    /// Sends canaries until the thread's tasks end; the user is whose profile is written.
    pub(crate) fn start(site: &Site, canary: Canary, user: Option<User>, epoch: Instant) -> Self {
        let client = Rc::new(Client::new(site.clone(), TIMEOUT, 2 * UNANSWERED_MAX));
        let read = |_: u64| Ask::get("/v1/courses?limit=1");
        let mut kinds = vec![send(client.clone(), canary.interval, epoch, None, read)];
        if let Some(user) = user.filter(|_| canary.write) {
            let write = |number: u64| Ask {
                method: Method::PATCH,
                ..Ask::post("/v1/me", format!(r#"{{"bio":"canary {number}"}}"#))
            };
            kinds.push(send(client, canary.interval, epoch, Some(user.bearer()), write));
        }
        Canaries { kinds }
    }

    /// Returns the longest stretch between these times in which canaries of a kind went unanswered.
    pub(crate) fn unavailable(&self, from: Duration, to: Duration) -> Option<Window> {
        self.kinds
            .iter()
            .filter_map(|answers| longest_gap(&answers.borrow(), from, to))
            .max_by_key(Window::length)
    }
}

fn send(
    client: Rc<Client>,
    every: Duration,
    epoch: Instant,
    bearer: Option<HeaderValue>,
    ask: impl Fn(u64) -> Ask + 'static,
) -> Answers {
    let answers = Answers::default();
    let heard = answers.clone();
    spawn_local(async move {
        let unanswered = Rc::new(());
        let mut ticks = interval_at(epoch, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut number = 0;
        loop {
            ticks.tick().await;
            if Rc::strong_count(&unanswered) > UNANSWERED_MAX {
                continue;
            }
            number += 1;
            let request = ask(number).build(bearer.as_ref());
            let (client, heard, mine) = (client.clone(), heard.clone(), unanswered.clone());
            spawn_local(async move {
                let answer = client.send(request).await;
                let at = Instant::now().saturating_duration_since(epoch);
                let mut heard = heard.borrow_mut();
                if is_good(&answer) && heard.len() < ANSWERS_MAX {
                    heard.push(at);
                }
                drop(mine);
            });
        }
    });
    answers
}

fn is_good(answer: &Result<crate::client::Answer, ErrorKind>) -> bool {
    matches!(answer, Ok(answer) if answer.status == 200)
}

/// Returns the longest gap between answers, the edges included, that lies within or reaches into the stretch.
fn longest_gap(answers: &[Duration], from: Duration, to: Duration) -> Option<Window> {
    let after = answers.partition_point(|at| *at < from);
    let until = answers.partition_point(|at| *at <= to);
    let inner = answers[after..until].iter().copied();
    let edges: Vec<Duration> = [from].into_iter().chain(inner).chain([to]).collect();
    edges
        .windows(2)
        .map(|pair| Window {
            from: pair[0],
            to: pair[1],
        })
        .filter(|gap| gap.length() > GAP_MIN)
        .max_by_key(Window::length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_longest_silence_counts_and_jitter_does_not() {
        let mut answers: Vec<_> = (0..50).map(|number| ms(number * 20)).collect();
        answers.extend([ms(2980), ms(3000), ms(3150), ms(3170)]);

        let gap = longest_gap(&answers, ms(500), ms(3200)).unwrap();
        assert_eq!((gap.from, gap.to), (ms(980), ms(2980)));

        assert_eq!(longest_gap(&answers, ms(100), ms(980)), None);
    }

    #[test]
    fn silence_until_the_end_is_silence() {
        let gap = longest_gap(&[ms(10), ms(30)], ms(0), ms(1000)).unwrap();

        assert_eq!((gap.from, gap.to), (ms(30), ms(1000)));
    }
}
