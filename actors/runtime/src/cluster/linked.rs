//! Keepers that talk over the link: what one of them says becomes a notice, and a notice becomes what it is told.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::Cluster;
use super::peers::{Hot, Peers};
use crate::link::{self, Link, Notice, Notices, NotifyError};
use crate::ownership::Owner;
use crate::placement::Shard;

/// The way to the keepers of other nodes over the link.
pub struct Linked {
    link: Arc<Link>,
    timeout: Duration,
}

impl Cluster {
    /// Lets this node's keeper talk to others over `link`, and hear them. Before [`Cluster::begin`], or never.
    pub fn link_over(self: &Arc<Self>, link: &Arc<Link>) {
        self.link(Arc::new(Linked {
            link: link.clone(),
            timeout: self.settings.call_timeout,
        }));
        link.hear(Arc::new(Heard(Arc::downgrade(self))));
    }
}

impl Peers for Linked {
    fn prepare(&self, to: &Owner, shard: Shard, epoch: i64, hot: Vec<Hot>) -> BoxFuture<'static, bool> {
        let (link, to, deadline) = (self.link.clone(), to.clone(), Instant::now() + self.timeout);
        Box::pin(async move {
            let hot = hot.into_iter().map(link::Hot::from).collect();
            let notice = Notice::Prepare { shard, epoch, hot };
            !matches!(
                link.notify(&to, notice, deadline).await,
                Err(NotifyError::Declined(_))
            )
        })
    }

    fn open(&self, to: &Owner, shard: Shard) -> BoxFuture<'static, bool> {
        let (link, to, deadline) = (self.link.clone(), to.clone(), Instant::now() + self.timeout);
        Box::pin(async move {
            let epoch = to.epoch;
            link.notify(&to, Notice::Open { shard, epoch }, deadline)
                .await
                .is_ok()
        })
    }

    fn suspects(&self, incarnation: Uuid) -> bool {
        self.link.suspects(incarnation)
    }
}

impl From<Hot> for link::Hot {
    fn from(hot: Hot) -> Self {
        link::Hot {
            kind: hot.kind,
            id: Uuid::from_u128(hot.id),
            placement: Uuid::from_u128(hot.placement),
        }
    }
}

impl From<link::Hot> for Hot {
    fn from(hot: link::Hot) -> Self {
        Hot {
            kind: hot.kind,
            id: hot.id.as_u128(),
            placement: hot.placement.as_u128(),
        }
    }
}

/// Hears for a cluster, which outlives no node because of it.
struct Heard(Weak<Cluster>);

impl Notices for Heard {
    fn notice(&self, _: Uuid, notice: Notice) -> BoxFuture<'static, Result<(), String>> {
        let done = match (self.0.upgrade(), notice) {
            (None, _) => Err("this node ends".to_owned()),
            (Some(_), Notice::Ping) => Ok(()),
            (Some(cluster), Notice::Prepare { shard, hot, .. }) => {
                let hot = hot.into_iter().map(Hot::from).collect();
                let taken = cluster.takes(shard, hot);
                taken
                    .then_some(())
                    .ok_or_else(|| "this node takes no shards now".to_owned())
            }
            (Some(cluster), Notice::Open { shard, epoch }) => {
                return Box::pin(async move {
                    let opened = cluster.opened(shard, epoch).await;
                    let declined = || "this node does not serve that shard under that epoch".to_owned();
                    opened.then_some(()).ok_or_else(declined)
                });
            }
        };
        Box::pin(std::future::ready(done))
    }
}
