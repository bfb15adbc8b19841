//! Everything at once, for a while: clients buy while a seed decides what breaks next, and the oracle has the last word.
//!
//! The server reaches Postgres through the fault proxy, so that the network between them can fail as well as either of them. Faults
//! follow one another without a pause in which everything would be repaired first: each ends by itself, the next may come before
//! what the last one broke has recovered.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::Failure;
use crate::buying::{Prepared, Shape, Tally};
use crate::dice::Dice;
use crate::hostile;
use crate::judge::{self, Ledger};
use crate::proxy::{Faults, Lane, Proxy};
use crate::rows::Trial;
use crate::site::Site;
use crate::stores::Stores;
use crate::verdict::Check;

const SHAPE: Shape = Shape {
    clients: 8,
    buyers: 10,
    courses: 600,
    price: 100,
    // Ten minutes of this can be repeated by the oracle within the minutes that it may take.
    pace: Duration::from_millis(120),
    through_provider: 10,
};
/// Between two faults.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long a fault of the network lasts at most; some longer than a statement may take.
const NETWORK_MAX: Duration = Duration::from_secs(5);
/// Malformed requests at once.
const MALFORMED: u64 = 300;
/// Progress that even a bad minute allows.
const ACKNOWLEDGED_A_MINUTE: u64 = 100;

/// Something that breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    ServerKilled,
    PostgresCrashed,
    RedisKilled,
    RedisEmptied,
    NetworkSilent,
    NetworkReset,
    NetworkLate,
    NetworkInSlices,
    AnswersLost,
    Floods,
    Malformed,
}

const FAULTS: [Fault; 11] = [
    Fault::ServerKilled,
    Fault::PostgresCrashed,
    Fault::RedisKilled,
    Fault::RedisEmptied,
    Fault::NetworkSilent,
    Fault::NetworkReset,
    Fault::NetworkLate,
    Fault::NetworkInSlices,
    Fault::AnswersLost,
    Fault::Floods,
    Fault::Malformed,
];

/// Lets everything go wrong for so long.
///
/// # Errors
/// The trial itself broke.
pub(crate) async fn run(trial: &Trial<'_>, lasts: Duration) -> Result<Vec<Check>, Failure> {
    let stores = trial.stores().await?;
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let proxy = Proxy::start(anywhere, stores.postgres()?).await?;
    let site = trial.site_over(&stores.reached_at(proxy.address())?, &[]).await?;
    let world = hostile::world(&site).await?;
    let ledger = Ledger::watch(&stores);
    let mut buying = Prepared::new(site.address, SHAPE)
        .await?
        .start(&[site.address], &trial.place.out)?;

    let mut dice = Dice::new(trial.seed);
    let mut happened: BTreeMap<Fault, usize> = BTreeMap::new();
    let began = Instant::now();
    while began.elapsed() < lasts {
        sleep(dice.duration_up_to(PAUSE_MAX)).await;
        let Some(fault) = dice.pick(&FAULTS).copied() else {
            break;
        };
        *happened.entry(fault).or_default() += 1;
        let during = dice.duration_up_to(NETWORK_MAX);
        match fault {
            Fault::ServerKilled => site.kill().await?,
            Fault::PostgresCrashed => {
                stores.crash().await?;
                stores.start().await?;
            }
            Fault::RedisKilled => {
                stores.crash_redis().await?;
                sleep(during).await;
                stores.start().await?;
            }
            Fault::RedisEmptied => stores.flush_redis().await?,
            Fault::Floods => hostile::flood_once(&site, &world).await,
            Fault::Malformed => {
                // What they are answered is judged by row 13; here a store may be away.
                hostile::malformed_once(&site, dice.roll(), MALFORMED, &world).await;
            }
            Fault::NetworkSilent
            | Fault::NetworkReset
            | Fault::NetworkLate
            | Fault::NetworkInSlices
            | Fault::AnswersLost => {
                proxy.set(network(fault));
                sleep(during).await;
                proxy.set(Faults::default());
            }
        }
    }
    trial.ready(&site).await?;
    buying.stop().await?;
    judged(&site, &stores, ledger, &buying, &happened, lasts).await
}

fn network(fault: Fault) -> Faults {
    let both = |lane| Faults {
        up: lane,
        down: lane,
        reset: false,
    };
    match fault {
        Fault::NetworkSilent => Faults::partition(),
        Fault::NetworkReset => Faults {
            reset: true,
            ..Faults::default()
        },
        Fault::NetworkLate => both(Lane {
            latency: Duration::from_millis(40),
            jitter: Duration::from_millis(80),
            ..Lane::default()
        }),
        Fault::NetworkInSlices => both(Lane {
            slice_bytes: Some(7),
            ..Lane::default()
        }),
        // Commits arrive, and nobody hears of it.
        Fault::AnswersLost => Faults {
            down: Lane {
                silent: true,
                ..Lane::default()
            },
            ..Faults::default()
        },
        Fault::ServerKilled
        | Fault::PostgresCrashed
        | Fault::RedisKilled
        | Fault::RedisEmptied
        | Fault::Floods
        | Fault::Malformed => Faults::default(),
    }
}

async fn judged(
    site: &Site,
    stores: &Stores,
    ledger: Ledger,
    buying: &crate::buying::Buying,
    happened: &BTreeMap<Fault, usize>,
    lasts: Duration,
) -> Result<Vec<Check>, Failure> {
    let told: Vec<String> = happened
        .iter()
        .map(|(fault, count)| format!("{fault:?} ×{count}"))
        .collect();
    let wanted = ACKNOWLEDGED_A_MINUTE * lasts.as_secs() / 60;
    let mut checks = vec![
        Check::judged(told.join(", "), happened.values().sum::<usize>(), "any", true),
        Check::at_least(
            "purchases acknowledged",
            Tally::of(&buying.tally.acknowledged),
            wanted,
        ),
        Check::judged(
            "purchases refused",
            Tally::of(&buying.tally.refused),
            "0",
            Tally::of(&buying.tally.refused) == 0,
        ),
    ];
    checks.extend(ledger.judge().await?);
    checks.extend(judge::oracle(site, stores, Some(&buying.history)).await?);
    checks.push(Check::none("panics", site.panics()?));
    Ok(checks)
}
