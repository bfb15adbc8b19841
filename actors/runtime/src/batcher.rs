//! Batches: callers hand in one thing each, and one call to a store serves all who wait.
//!
//! A question waits in a bounded queue, is taken with whatever else waits, and is answered by the call that they share. While a call is
//! under way the next batch gathers, so a crowd shares and a lone caller does not wait; who lingers is told so by the limits. A batch that the store refuses
//! is asked again one by one: nobody is refused for what another brought.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::store_error::StoreError;
use crate::worker;

/// Limits of a batcher; each a setting.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// Questions in one call, at most.
    pub batch_max: usize,
    /// Questions that wait, at most; more are refused.
    pub queue_max: usize,
    /// How long the first question waits for others to come; zero does not wait.
    pub linger: Duration,
}

/// Answers questions of one kind in batches. Cheap to clone.
pub struct Batcher<Q, A> {
    queue: mpsc::Sender<Asked<Q, A>>,
}

impl<Q, A> Clone for Batcher<Q, A> {
    fn clone(&self) -> Self {
        Batcher {
            queue: self.queue.clone(),
        }
    }
}

struct Asked<Q, A> {
    question: Q,
    reply: oneshot::Sender<Result<A, StoreError>>,
}

/// Answers a batch in the order of its questions; ends by itself, for it is waited for.
type Answer<Q, A> = dyn Fn(Arc<[Q]>) -> BoxFuture<'static, Result<Vec<A>, StoreError>> + Send + Sync;

impl<Q, A> Batcher<Q, A>
where
    Q: Clone + Send + Sync + 'static,
    A: Send + 'static,
{
    /// Starts the worker of this name, which answers with `answer`: one answer for each question, in their order.
    pub fn start<F>(name: &'static str, limits: BatchLimits, answer: F) -> Self
    where
        F: Fn(Arc<[Q]>) -> BoxFuture<'static, Result<Vec<A>, StoreError>> + Send + Sync + 'static,
    {
        let (sender, queue) = mpsc::channel(limits.queue_max);
        let queue = Arc::new(Mutex::new(queue));
        let answer: Arc<Answer<Q, A>> = Arc::new(answer);
        worker::supervise(name, move || serve(queue.clone(), limits, answer.clone()));
        Batcher { queue: sender }
    }

    /// Asks, and waits for the call that brings the answer.
    ///
    /// # Errors
    /// Too many wait, or the store is away or refuses this question.
    pub async fn ask(&self, question: Q) -> Result<A, StoreError> {
        let (reply, answered) = oneshot::channel();
        self.queue
            .try_send(Asked { question, reply })
            .map_err(|_| StoreError::unavailable("too many wait for the store"))?;
        answered
            .await
            .map_err(|_| StoreError::unavailable("the batch was interrupted"))?
    }
}

async fn serve<Q, A>(
    queue: Arc<Mutex<mpsc::Receiver<Asked<Q, A>>>>,
    limits: BatchLimits,
    answer: Arc<Answer<Q, A>>,
) where
    Q: Clone + Send + Sync + 'static,
    A: Send + 'static,
{
    let mut queue = queue.lock().await;
    let mut asked = Vec::with_capacity(limits.batch_max);
    while queue.recv_many(&mut asked, limits.batch_max).await > 0 {
        if !limits.linger.is_zero() {
            let others = gather(&mut queue, &mut asked, limits.batch_max);
            // Both ends are good: the batch is full, or it has waited long enough.
            let _ = tokio::time::timeout(limits.linger, others).await;
        }
        // Whoever has left needs no answer, but what it handed in is still done.
        let (questions, replies): (Vec<Q>, Vec<_>) =
            asked.drain(..).map(|one| (one.question, one.reply)).unzip();
        let questions: Arc<[Q]> = questions.into();
        match answer(questions.clone()).await {
            Ok(answers) => {
                for (reply, answer) in replies.into_iter().zip(answers) {
                    let _ = reply.send(Ok(answer));
                }
            }
            Err(StoreError::Refused(_)) if questions.len() > 1 => {
                for (question, reply) in questions.iter().zip(replies) {
                    let alone = answer([question.clone()].into()).await;
                    let _ = reply.send(alone.and_then(only));
                }
            }
            Err(error) => {
                for reply in replies {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }
}

async fn gather<T>(queue: &mut mpsc::Receiver<T>, taken: &mut Vec<T>, max: usize) {
    while taken.len() < max {
        let room = max - taken.len();
        if queue.recv_many(taken, room).await == 0 {
            return;
        }
    }
}

fn only<A>(answers: Vec<A>) -> Result<A, StoreError> {
    answers
        .into_iter()
        .next()
        .ok_or_else(|| StoreError::refused("a batch without an answer"))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as StdMutex;

    use futures_util::future::join_all;

    use super::*;

    type Calls = Arc<StdMutex<Vec<Vec<u32>>>>;

    /// Doubles what it is asked; refuses every batch with a 13 in it.
    fn doubling(limits: BatchLimits) -> (Batcher<u32, u32>, Calls) {
        let calls = Calls::default();
        let noted = calls.clone();
        let batcher = Batcher::start("doubling", limits, move |questions: Arc<[u32]>| {
            noted.lock().unwrap().push(questions.to_vec());
            Box::pin(async move {
                // Somebody else's turn, as in a call to a store.
                tokio::task::yield_now().await;
                if questions.contains(&13) {
                    return Err(StoreError::refused("unlucky"));
                }
                Ok(questions.iter().map(|number| number * 2).collect())
            })
        });
        (batcher, calls)
    }

    const LIMITS: BatchLimits = BatchLimits {
        batch_max: 4,
        queue_max: 16,
        linger: Duration::ZERO,
    };

    #[tokio::test]
    async fn a_crowd_shares_calls_and_each_gets_its_own_answer() {
        let (batcher, calls) = doubling(LIMITS);

        let answers = join_all((0..10).map(|number| batcher.ask(number))).await;

        let answers: Vec<u32> = answers.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers, (0..10).map(|number| number * 2).collect::<Vec<_>>());
        let calls = calls.lock().unwrap();
        assert_eq!(calls.len(), 3, "{calls:?}");
        assert!(calls.iter().all(|call| call.len() <= LIMITS.batch_max));
    }

    #[tokio::test]
    async fn only_the_one_at_fault_is_refused() {
        let (batcher, _) = doubling(LIMITS);

        let answers = join_all([1, 13, 2].map(|number| batcher.ask(number))).await;

        assert!(matches!(answers[0], Ok(2)));
        assert!(matches!(answers[1], Err(StoreError::Refused(_))));
        assert!(matches!(answers[2], Ok(4)));
    }

    #[tokio::test]
    async fn more_than_may_wait_are_refused_at_once() {
        let limits = BatchLimits {
            queue_max: 2,
            ..LIMITS
        };
        let (batcher, calls) = doubling(limits);

        let answers = join_all((0..5).map(|number| batcher.ask(number))).await;

        let refused = answers
            .iter()
            .filter(|answer| matches!(answer, Err(StoreError::Unavailable(_))));
        assert_eq!(refused.count(), 3);
        assert_eq!(calls.lock().unwrap().concat().len(), 2);
    }

    #[tokio::test]
    async fn who_lingers_goes_with_those_who_come_a_little_later() {
        let limits = BatchLimits {
            batch_max: 2,
            // The batch is full long before.
            linger: Duration::from_mins(1),
            ..LIMITS
        };
        let (batcher, calls) = doubling(limits);

        let later = async {
            // The worker has taken the first by then, and waits.
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
            batcher.ask(2).await
        };
        let (first, second) = tokio::join!(batcher.ask(1), later);

        assert_eq!((first.unwrap(), second.unwrap()), (2, 4));
        assert_eq!(*calls.lock().unwrap(), [[1, 2]]);
    }

    #[tokio::test]
    async fn a_lone_caller_waits_no_longer_than_it_may_linger() {
        let limits = BatchLimits {
            linger: Duration::from_millis(1),
            ..LIMITS
        };
        let (batcher, calls) = doubling(limits);

        let answer = batcher.ask(1).await;

        assert_eq!(answer.unwrap(), 2);
        assert_eq!(*calls.lock().unwrap(), [[1]]);
    }
}
