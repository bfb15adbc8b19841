//! Work that burns a core for milliseconds, kept off the threads that serve requests.
//!
//! A pool is an actix `SyncArbiter` with its own threads. Its queue is unbounded, so a semaphore admits; a panic
//! would end one of its threads for good, so work runs inside `catch_unwind`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use actix::{Actor, Addr, Handler, Message, SyncArbiter, SyncContext, System};
use tokio::sync::{Semaphore, oneshot};

/// A bounded pool of threads for heavy work. Cheap to clone.
#[derive(Clone)]
pub struct CpuPool {
    workers: Addr<Worker>,
    places: Arc<Semaphore>,
}

/// Whether the threads of a pool take part in the contest for cores, or take what others leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Niceness {
    /// Somebody waits for the work.
    Normal,
    /// Nobody does: under load whoever serves comes first, and the work takes longer.
    Background,
}

/// Why work was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CpuError {
    /// As much as may wait is waiting.
    #[error("the pool is full")]
    Overloaded,
    /// The work panicked.
    #[error("the work panicked")]
    Panicked,
}

impl CpuPool {
    /// Starts `threads` threads; beside running work at most `queue_max` pieces wait.
    ///
    /// # Errors
    /// The pool's system thread could not be started.
    pub fn start(
        name: &'static str,
        threads: usize,
        queue_max: usize,
        niceness: Niceness,
    ) -> std::io::Result<Self> {
        let (told, started) = std::sync::mpsc::channel();
        std::thread::Builder::new()
            .name(format!("cpu-{name}"))
            .spawn(move || {
                let system = System::new();
                let workers =
                    system.block_on(async { SyncArbiter::start(threads, move || Worker(niceness)) });
                // Whoever started the pool is waiting for this one message.
                let _ = told.send(workers);
                if let Err(error) = system.run() {
                    tracing::error!(pool = name, %error, "pool ended");
                }
            })?;
        let workers = started.recv().map_err(std::io::Error::other)?;
        Ok(CpuPool {
            workers,
            places: Arc::new(Semaphore::new(threads + queue_max)),
        })
    }

    /// Runs `work` on one of the pool's threads.
    ///
    /// # Errors
    /// The pool is full, or the work panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CpuError> {
        let place = self
            .places
            .clone()
            .try_acquire_owned()
            .map_err(|_| CpuError::Overloaded)?;
        let (told, heard) = oneshot::channel();
        self.workers.do_send(Work(Box::new(move || {
            // Whoever asked has given up in the queue: nobody needs the work.
            if told.is_closed() {
                return;
            }
            let outcome = catch_unwind(AssertUnwindSafe(work));
            drop(place);
            // Whoever asked may have given up at its deadline.
            let _ = told.send(outcome);
        })));
        match heard.await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) | Err(_) => Err(CpuError::Panicked),
        }
    }
}

struct Worker(Niceness);

impl Actor for Worker {
    type Context = SyncContext<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        if self.0 == Niceness::Background {
            // Of this thread alone, on Linux; elsewhere, or where it is refused, the work is merely in the way.
            let _ = rustix::process::nice(19);
        }
    }
}

struct Work(Box<dyn FnOnce() + Send>);

impl Message for Work {
    type Result = ();
}

impl Handler<Work> for Worker {
    type Result = ();

    fn handle(&mut self, work: Work, _: &mut Self::Context) {
        (work.0)();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_reported_and_the_thread_goes_on() {
        let pool = CpuPool::start("test", 1, 4, Niceness::Normal).expect("starts");

        let panicked = pool.run(|| panic!("on purpose")).await;
        let after = pool.run(|| 7).await;

        assert_eq!(panicked, Err::<(), _>(CpuError::Panicked));
        assert_eq!(after, Ok(7));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn only_the_threads_of_a_pool_in_the_background_are_nice() {
        let background = CpuPool::start("test", 1, 0, Niceness::Background).expect("starts");
        let normal = CpuPool::start("test", 1, 0, Niceness::Normal).expect("starts");
        let nice = || rustix::process::nice(0).expect("is told");

        assert_eq!(background.run(nice).await, Ok(19));
        assert_eq!(normal.run(nice).await, Ok(nice()));
    }

    #[tokio::test]
    async fn work_beyond_the_bound_is_refused_at_once() {
        let pool = CpuPool::start("test", 1, 0, Niceness::Normal).expect("starts");
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (began, beginning) = oneshot::channel();
        let busy = tokio::spawn({
            let pool = pool.clone();
            async move {
                pool.run(move || {
                    let _ = began.send(());
                    released.recv().is_ok()
                })
                .await
            }
        });
        beginning.await.expect("the first work begins");

        let refused = pool.run(|| ()).await;
        release.send(()).expect("the first work waits");

        assert_eq!(refused, Err(CpuError::Overloaded));
        assert_eq!(busy.await.expect("joins"), Ok(true));
    }
}
