//! The oracle's word on a trial: everything must come to rest, and nothing may be lost, made up or done twice.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use lyceum_oracle::{Plan, check, watch};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::Failure;
use crate::api::PASSWORD;
use crate::site::Site;
use crate::stores::Stores;
use crate::verdict::Check;

/// The ledger is looked at so often.
const EVERY: Duration = Duration::from_secs(1);
/// How long a database that has lost something is waited for.
const LOSER_RESTS: Duration = Duration::from_secs(10);
/// Violations that are told with an example.
const TOLD_MAX: usize = 5;

/// Asks the oracle about everything that can be seen from outside.
///
/// # Errors
/// It cannot look.
pub async fn oracle(site: &Site, stores: &Stores, history: Option<&Path>) -> Result<Vec<Check>, Failure> {
    oracle_of(&[site.address], site.sandbox_address, stores, history).await
}

/// Asks the oracle about several nodes as one.
///
/// # Errors
/// It cannot look.
pub async fn oracle_of(
    nodes: &[SocketAddr],
    sandbox: SocketAddr,
    stores: &Stores,
    history: Option<&Path>,
) -> Result<Vec<Check>, Failure> {
    let mut plan = Plan::new(&stores.readable);
    plan.histories.extend(history.map(Path::to_owned));
    plan.nodes
        .extend(nodes.iter().map(|address| format!("http://{address}")));
    plan.sandbox = Some(format!("http://{sandbox}"));
    plan.password = Some(PASSWORD.to_owned());
    let report = check(&plan).await?;
    let rested = report.at_rest_after_ms.map_or_else(
        || "never".to_owned(),
        |ms| format!("{:.1} s", Duration::from_millis(ms).as_secs_f64()),
    );
    let mut checks = vec![
        Check::judged(
            "at rest after",
            rested,
            "≤ 120 s",
            report.at_rest_after_ms.is_some(),
        ),
        Check::judged(
            "violations that the oracle reports",
            report.violations,
            "0",
            report.clean,
        ),
    ];
    for name in report.violated().into_iter().take(TOLD_MAX) {
        let finding = &report.rules[name];
        let example = finding.examples.first().map_or("", String::as_str);
        checks.push(Check::judged(
            format!("  {name}: {example}"),
            finding.violations,
            "0",
            false,
        ));
    }
    Ok(checks)
}

/// Requests that were acknowledged and left no trace, as the oracle counts them.
///
/// # Errors
/// It cannot look.
pub async fn lost(site: &Site, stores: &Stores, history: &Path) -> Result<u64, Failure> {
    let mut plan = Plan::new(&stores.readable);
    plan.histories.push(history.to_owned());
    plan.nodes.push(format!("http://{}", site.address));
    plan.password = Some(PASSWORD.to_owned());
    // What lost its memory need not come to rest.
    plan.rest_limit = LOSER_RESTS;
    let report = check(&plan).await?;
    let lost = report
        .rules
        .iter()
        .filter(|(name, _)| name.contains("lost") || name.contains("acknowledged"));
    Ok(lost.map(|(_, finding)| finding.violations).sum())
}

/// The ledger under observation.
pub struct Ledger {
    stop: oneshot::Sender<()>,
    samples: JoinHandle<lyceum_oracle::watch::Samples>,
}

impl Ledger {
    /// Begins to look at it every second.
    #[must_use]
    pub fn watch(stores: &Stores) -> Self {
        Self::watch_every(stores, EVERY)
    }

    /// Begins to look at it this often: what is over within seconds leaves too few looks otherwise.
    #[must_use]
    pub fn watch_every(stores: &Stores, every: Duration) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let url = stores.readable.clone();
        let samples = tokio::spawn(async move {
            // Whoever lets go of the other end wants it to stop as well.
            watch::watch(&url, every, async { drop(stopped.await) }).await
        });
        Ledger { stop, samples }
    }

    /// Ends the observation and judges it.
    ///
    /// # Errors
    /// The observer broke.
    pub async fn judge(self) -> Result<Vec<Check>, Failure> {
        let _ = self.stop.send(());
        let seen = self.samples.await?;
        let what = format!(
            "ledger out of balance, in {} samples ({} while Postgres was away)",
            seen.samples, seen.missed
        );
        Ok(vec![
            Check::judged(what, seen.report.violations, "0", seen.report.clean),
            Check::at_least("samples of the ledger", seen.samples, 5),
        ])
    }
}
