//! Where snapshotted entities are kept while no actor holds them.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::store_error::StoreError;

/// A keyed store of snapshots that may lose its last seconds.
pub trait SnapshotStore: Send + Sync + 'static {
    /// Reads one snapshot.
    fn get(&self, key: String) -> BoxFuture<'static, Result<Option<Bytes>, StoreError>>;

    /// Writes one snapshot, to be kept for `ttl`.
    fn put(&self, key: String, value: Bytes, ttl: Duration) -> BoxFuture<'static, Result<(), StoreError>>;
}

/// Keeps snapshots in memory; for tests.
#[derive(Debug, Default)]
pub struct MemorySnapshots {
    kept: Mutex<BTreeMap<String, Bytes>>,
}

impl SnapshotStore for MemorySnapshots {
    fn get(&self, key: String) -> BoxFuture<'static, Result<Option<Bytes>, StoreError>> {
        let found = self
            .kept
            .lock()
            .map(|kept| kept.get(&key).cloned())
            .map_err(StoreError::refused);
        Box::pin(async move { found })
    }

    fn put(&self, key: String, value: Bytes, _: Duration) -> BoxFuture<'static, Result<(), StoreError>> {
        let outcome = self.kept.lock().map(|mut kept| {
            kept.insert(key, value);
        });
        let outcome = outcome.map_err(StoreError::refused);
        Box::pin(async move { outcome })
    }
}
