//! Long-lived workers that are not actors: started again after a panic, ever more slowly while it lasts.

use std::time::Duration;

use crate::meters;

const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Runs what `make` makes until it returns; after a panic it is made and run again.
pub fn supervise<F, W>(name: &'static str, mut make: F)
where
    F: FnMut() -> W + Send + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    let restarts = meters::worker_restarts(name);
    tokio::spawn(async move {
        let mut backoff = BACKOFF_MIN;
        while let Err(end) = tokio::spawn(make()).await {
            if end.is_cancelled() {
                return;
            }
            tracing::error!(worker = name, error = %end, "worker failed and is started again");
            restarts.increment();
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    });
}
