//! What every trial of several nodes has: a fleet, buyers, canaries in known shards, and the same last word.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::Trial;
use crate::Failure;
use crate::buying::{Buying, Prepared, Shape, Tally};
use crate::fleet::Fleet;
use crate::judge::{self, Ledger};
use crate::ownership::Tables;
use crate::prober::{self, Canary, Prober};
use crate::stores::Stores;
use crate::verdict::Check;

/// Shards that canaries are sent to.
const SHARDS: usize = 64;
/// One read or write of each such shard.
const EVERY: Duration = Duration::from_millis(40);
/// What else goes on.
const SHAPE: Shape = Shape {
    clients: 4,
    // The longest trial lasts four minutes and a half.
    buyers: 10,
    courses: 800,
    price: 100,
    pace: Duration::from_millis(40),
    through_provider: 10,
};
/// Between two looks at what nodes hold in memory.
const LOOK: Duration = Duration::from_millis(50);
/// A start balances the shards, and so does every return of a node.
const BALANCE_TIMEOUT: Duration = Duration::from_secs(30);

/// A cluster under load.
pub(super) struct Scene {
    pub(super) stores: Stores,
    pub(super) fleet: Fleet,
    pub(super) tables: Tables,
    pub(super) canaries: Vec<Canary>,
    pub(super) buying: Buying,
    ledger: Ledger,
}

impl Scene {
    /// Three nodes that share all shards, and clients that buy from them.
    pub(super) async fn set(trial: &Trial<'_>, cuttable: bool) -> Result<Self, Failure> {
        let stores = trial.stores().await?;
        let fleet = Fleet::start(trial.place, &stores, 3, cuttable).await?;
        let addresses = fleet.addresses();
        Self::through(trial, stores, fleet, &addresses).await
    }

    /// The same for a fleet of three that runs, reached at these addresses.
    pub(super) async fn through(
        trial: &Trial<'_>,
        stores: Stores,
        fleet: Fleet,
        addresses: &[SocketAddr],
    ) -> Result<Self, Failure> {
        let tables = Tables::open(&stores).await?;
        tables.balanced(3, BALANCE_TIMEOUT).await?;
        let ledger = Ledger::watch(&stores);
        let canaries = prober::canaries(fleet.nodes[0].http, SHARDS).await?;
        let buying = Prepared::new(fleet.nodes[0].http, SHAPE)
            .await?
            .start(addresses, &trial.place.out)?;
        Ok(Scene {
            stores,
            fleet,
            tables,
            canaries,
            buying,
            ledger,
        })
    }

    /// Canaries through every node.
    pub(super) fn probe(&self) -> Result<Prober, Failure> {
        Ok(Prober::start(&self.fleet.addresses(), &self.canaries, EVERY)?)
    }

    /// Waits until so many nodes share all shards again, and a while longer.
    pub(super) async fn calm(&self, nodes: usize, calm: Duration) -> Result<(), Failure> {
        self.tables.balanced(nodes, BALANCE_TIMEOUT).await?;
        sleep(calm).await;
        Ok(())
    }

    /// How long after a moment a node was declared dead, which has to come within `patience`.
    pub(super) async fn dead_after(
        &self,
        node: &str,
        at: Instant,
        patience: Duration,
    ) -> Result<Duration, Failure> {
        self.tables.until(node, &["dead"], patience).await?;
        Ok(at.elapsed())
    }

    /// What each node holds in memory, bytes.
    pub(super) fn resident<const N: usize>(&self, nodes: [usize; N]) -> Result<[u64; N], Failure> {
        let mut resident = [0; N];
        for (bytes, node) in resident.iter_mut().zip(nodes) {
            *bytes = self.fleet.resident(node)?;
        }
        Ok(resident)
    }

    /// The most that one of these nodes holds beyond what it held `before`, bytes, until then.
    pub(super) async fn grown<const N: usize>(
        &self,
        nodes: [usize; N],
        before: [u64; N],
        until: Instant,
    ) -> Result<u64, Failure> {
        let mut grown = 0;
        while Instant::now() < until {
            let now = self.resident(nodes)?;
            let more = now
                .iter()
                .zip(before)
                .map(|(now, before)| now.saturating_sub(before));
            grown = grown.max(more.max().unwrap_or(0));
            sleep(LOOK).await;
        }
        Ok(grown)
    }

    /// Ends the load and judges what is left.
    pub(super) async fn judge(mut self) -> Result<Vec<Check>, Failure> {
        self.fleet.all_ready().await?;
        self.buying.stop().await?;
        let mut checks = vec![
            Check::at_least(
                "purchases acknowledged meanwhile",
                Tally::of(&self.buying.tally.acknowledged),
                100,
            ),
            Check::judged(
                "purchases refused",
                Tally::of(&self.buying.tally.refused),
                "0",
                Tally::of(&self.buying.tally.refused) == 0,
            ),
        ];
        checks.extend(self.ledger.judge().await?);
        checks.extend(self.tables.one_writer().await?);
        let nodes = self.fleet.addresses();
        checks.extend(
            judge::oracle_of(
                &nodes,
                self.fleet.sandbox,
                &self.stores,
                Some(&self.buying.history),
            )
            .await?,
        );
        checks.push(Check::none("panics", self.fleet.panics()?));
        self.fleet.end().await?;
        Ok(checks)
    }
}
