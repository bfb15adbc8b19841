//! Batches: callers hand in one thing each, and one call to a store serves all who wait.
//!
//! A question waits in a bounded queue, is taken with whatever else waits, and is answered by the call that they share. While a call is
//! under way the next batch gathers, so a crowd shares and a lone caller does not wait; who lingers is told so by the limits. A batch that
//! the store refuses is asked again by halves, down to the one at fault: nobody is refused for what another brought. A store that goes
//! away meanwhile is not asked for the others; and nobody waits longer than the limits say, whatever the store does.

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
    /// How long a question waits for its answer, at most.
    pub wait_max: Duration,
}

/// Answers questions of one kind in batches. Cheap to clone.
pub struct Batcher<Q, A> {
    queue: mpsc::Sender<Asked<Q, A>>,
    wait_max: Duration,
}

impl<Q, A> Clone for Batcher<Q, A> {
    fn clone(&self) -> Self {
        Batcher {
            queue: self.queue.clone(),
            wait_max: self.wait_max,
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
        Batcher {
            queue: sender,
            wait_max: limits.wait_max,
        }
    }

    /// Asks, and waits for the call that brings the answer. After an error that is no refusal it may still be carried out.
    ///
    /// # Errors
    /// Too many wait, or the store is away, does not answer in time or refuses this question.
    pub async fn ask(&self, question: Q) -> Result<A, StoreError> {
        let (reply, answered) = oneshot::channel();
        self.queue
            .try_send(Asked { question, reply })
            .map_err(|_| StoreError::unavailable("too many wait for the store"))?;
        tokio::time::timeout(self.wait_max, answered)
            .await
            .map_err(|_| StoreError::unavailable("the batch takes too long"))?
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
        let piece = asked.drain(..).map(|one| (one.question, one.reply)).unzip();
        settle(piece, &*answer).await;
    }
}

/// Questions, and where the answer to each goes.
type Piece<Q, A> = (Vec<Q>, Vec<oneshot::Sender<Result<A, StoreError>>>);

/// Answers a batch, by halves where it is refused as a whole. Who is at fault costs the others some calls, as many as the logarithm of
/// the batch.
async fn settle<Q, A>(batch: Piece<Q, A>, answer: &Answer<Q, A>)
where
    Q: Clone + Send + Sync + 'static,
    A: Send + 'static,
{
    let mut pieces = vec![batch];
    while let Some((mut questions, mut replies)) = pieces.pop() {
        match answer(questions.as_slice().into()).await {
            Ok(answers) => {
                for (reply, answer) in replies.into_iter().zip(answers) {
                    let _ = reply.send(Ok(answer));
                }
            }
            Err(StoreError::Refused(_)) if questions.len() > 1 => {
                let middle = questions.len() / 2;
                pieces.push((questions.split_off(middle), replies.split_off(middle)));
                pieces.push((questions, replies));
            }
            Err(error) => {
                // Whatever else was in the batch: a store that is away would make each of them wait for its time to run out.
                let away = !matches!(error, StoreError::Refused(_));
                let others = if away { std::mem::take(&mut pieces) } else { vec![] };
                let others = others.into_iter().flat_map(|(_, replies)| replies);
                for reply in replies.into_iter().chain(others) {
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
        wait_max: Duration::from_mins(1),
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

    #[tokio::test]
    async fn the_one_at_fault_is_found_by_halves() {
        let limits = BatchLimits {
            batch_max: 256,
            queue_max: 256,
            ..LIMITS
        };
        let (batcher, calls) = doubling(limits);

        let answers = join_all((0..256).map(|number| batcher.ask(number))).await;

        let refused = answers.iter().filter(|answer| answer.is_err());
        assert_eq!(refused.count(), 1);
        assert!(answers[13].is_err());
        // The batch, and two for each time that it is halved.
        assert_eq!(calls.lock().unwrap().len(), 1 + 2 * 8);
    }

    #[tokio::test]
    async fn once_the_store_goes_away_nobody_else_of_a_refused_batch_is_asked_about() {
        let calls = Arc::new(StdMutex::new(0));
        let counted = calls.clone();
        let batcher = Batcher::start("going", LIMITS, move |questions: Arc<[u32]>| {
            *counted.lock().unwrap() += 1;
            Box::pin(async move {
                tokio::task::yield_now().await;
                if questions.len() > 2 {
                    return Err::<Vec<u32>, _>(StoreError::refused("unlucky"));
                }
                Err(StoreError::unavailable("gone"))
            })
        });

        let answers = join_all((0..4).map(|number| batcher.ask(number))).await;

        let unavailable =
            |answer: &Result<u32, StoreError>| matches!(answer, Err(StoreError::Unavailable(_)));
        assert!(answers.iter().all(unavailable), "{answers:?}");
        assert_eq!(*calls.lock().unwrap(), 2, "the batch, and its first half");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_the_limit_for_a_store_that_does_not_answer() {
        let limits = BatchLimits {
            wait_max: Duration::from_secs(5),
            ..LIMITS
        };
        let batcher = Batcher::start("silent", limits, |_: Arc<[u32]>| {
            Box::pin(std::future::pending::<Result<Vec<u32>, StoreError>>())
        });

        let answer = batcher.ask(1).await;

        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    }
}
