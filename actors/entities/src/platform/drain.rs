//! The end of a node: entities finish, what is buffered is written, and others learn that it leaves.

use std::sync::PoisonError;
use std::time::Duration;

use super::Platform;

impl Platform {
    /// Lets every entity finish and stop, then writes what is buffered. Returns whether all was done in time.
    pub async fn drain(&self, budget: Duration) -> bool {
        let ends = tokio::time::Instant::now() + budget;
        // The rest is for the buffer.
        let finished = self.node.supervisors.drain(budget * 3 / 4).await;
        let worker = self
            .sink_worker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let written = match worker {
            Some(worker) => tokio::time::timeout_at(ends, worker.close()).await.is_ok(),
            None => true,
        };
        if let Some(link) = &self.link {
            // What others still ask is answered, if only with who serves it now.
            link.drain(ends.saturating_duration_since(tokio::time::Instant::now()))
                .await;
        }
        if let Err(error) = self.cluster.leave().await {
            tracing::warn!(%error, "this member could not say that it leaves");
        }
        finished && written
    }
}
