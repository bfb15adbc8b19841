//! Ten thousand requests that were right until somebody touched them, and what they are answered with.
//!
//! Each is a valid request with one to three changes, drawn from a seed: request `n` of a seed is always the same. It has a
//! connection of its own. A request that waits for bytes that never come is ended from this side, since how long the server
//! would have waited is another trial's question.

mod change;
mod valid;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

pub(crate) use self::valid::Site;
use crate::dice::Dice;
use crate::wire::Wire;

/// Requests under way at once: enough to hurt, few enough that their sender is not what is measured.
const AT_ONCE: usize = 16;
/// Longer than any answer, shorter than the server waits for a body.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Faults that are told with their requests.
const TOLD_MAX: usize = 5;

/// How the whole corpus was answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Answered {
    /// How many answers had which status; 0 for connections that ended without one.
    pub(super) statuses: BTreeMap<u16, usize>,
    /// Requests that waited for more.
    pub(super) waiting: usize,
    /// The first faults: status and request.
    pub(super) faults: Vec<String>,
}

impl Answered {
    /// Answers of 500 and above, but for 503, which sheds load.
    pub(super) fn faulty(&self) -> usize {
        let faulty = self
            .statuses
            .iter()
            .filter(|(status, _)| **status >= 500 && **status != 503);
        faulty.map(|(_, count)| count).sum()
    }

    /// The statuses and their numbers, in a line.
    pub(super) fn told(&self) -> String {
        let counts: Vec<String> = self
            .statuses
            .iter()
            .map(|(status, count)| match status {
                0 => format!("closed ×{count}"),
                _ => format!("{status} ×{count}"),
            })
            .collect();
        counts.join(", ")
    }
}

/// Request `number` of a seed.
pub(super) fn request(seed: &Dice, number: u64, site: &Site) -> Vec<u8> {
    let mut dice = seed.part(number);
    let mut request = valid::any(&mut dice, site);
    let changes = 1 + dice.below(3);
    for _ in 0..changes {
        change::structure(&mut dice, &mut request);
    }
    let mut bytes = request.render();
    if dice.chance(1, 8) {
        change::bytes(&mut dice, &mut bytes);
    }
    bytes
}

/// Sends the first `count` requests of a seed.
pub(super) async fn all(address: SocketAddr, seed: u64, count: u64, site: &Site) -> Answered {
    let dice = Dice::new(seed);
    let workers: Vec<_> = (0..AT_ONCE)
        .map(|first| {
            let dice = &dice;
            async move {
                let mut answered = Answered::default();
                let first = u64::try_from(first).unwrap_or(0);
                for number in (first..count).step_by(AT_ONCE) {
                    one(address, &request(dice, number, site), number, &mut answered).await;
                }
                answered
            }
        })
        .collect();
    let mut total = Answered::default();
    for answered in futures_util::future::join_all(workers).await {
        for (status, count) in answered.statuses {
            *total.statuses.entry(status).or_default() += count;
        }
        total.waiting += answered.waiting;
        total.faults.extend(answered.faults);
    }
    total.faults.truncate(TOLD_MAX);
    total
}

async fn one(address: SocketAddr, bytes: &[u8], number: u64, answered: &mut Answered) {
    let exchange = async {
        let mut wire = Wire::open(address).await.ok()?;
        // It may refuse before it has read everything.
        let _ = wire.send(bytes).await;
        let to_head = bytes.starts_with(b"HEAD ");
        let Ok(answer) = timeout(ANSWER_TIMEOUT, wire.answer(to_head)).await else {
            return Some(None);
        };
        answer.ok()?.map(|answer| Some(answer.status))
    };
    let status = match exchange.await {
        Some(Some(status)) => status,
        Some(None) => {
            answered.waiting += 1;
            return;
        }
        None => 0,
    };
    *answered.statuses.entry(status).or_default() += 1;
    if status >= 500 && status != 503 && answered.faults.len() < TOLD_MAX {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(600)]).into_owned();
        answered
            .faults
            .push(format!("request {number}: {status} to {text:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_requests_and_they_differ() {
        let site = Site::for_tests();
        let corpus = |seed| {
            (0..200)
                .map(|number| request(&Dice::new(seed), number, &site))
                .collect::<Vec<_>>()
        };

        assert!(corpus(7) == corpus(7));
        let mut distinct = corpus(7);
        distinct.sort_unstable();
        distinct.dedup();
        assert!(distinct.len() > 190, "{}", distinct.len());
    }

    #[test]
    fn only_500_and_its_like_are_faults() {
        let answered = Answered {
            statuses: BTreeMap::from([(0, 3), (200, 5), (400, 90), (500, 1), (503, 4), (504, 1)]),
            ..Answered::default()
        };

        assert_eq!(answered.faulty(), 2);
        assert!(answered.told().starts_with("closed ×3, 200 ×5"));
    }
}
