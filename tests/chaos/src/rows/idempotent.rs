//! Row 3: one key is one effect, however many ask at once, with whatever body, before and after a crash.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::{Duration, sleep};

use super::Trial;
use crate::Failure;
use crate::api::{Account, Call, Client, order, unique};
use crate::judge::{self, Ledger};
use crate::verdict::Check;
use crate::wire::Answer;

const KEYS: usize = 200;
const AT_ONCE: usize = 64;
const BUYERS: usize = 4;
const PRICE: i64 = 100;
/// Between two looks at the ledger; a fast machine is through with everything in three seconds.
const LOOK: Duration = Duration::from_millis(200);
/// "Still running" is asked again after so long.
const AGAIN: Duration = Duration::from_millis(20);
/// Longer than any purchase takes.
const ATTEMPTS: usize = 500;

/// A key that was used, and everything it was answered with.
struct Used<'a> {
    buyer: &'a Account,
    key: String,
    body: Value,
    answer: Answer,
}

/// Repeats, contradicts and leaves out keys.
pub(super) async fn run(trial: &Trial<'_>) -> Result<Vec<Check>, Failure> {
    let (stores, site) = trial.site(&[]).await?;
    let ledger = Ledger::watch_every(&stores, LOOK);
    let each = KEYS / BUYERS;
    let buyers = site.buyers(BUYERS, PRICE * i64::try_from(each)?).await?;
    let courses = site.courses(each, PRICE).await?;

    let mut used = Vec::with_capacity(KEYS);
    let mut differing = 0;
    for buyer in &buyers {
        for course in &courses {
            let (key, body) = (unique("key-"), order(course));
            let asked = (0..AT_ONCE).map(|_| settled(site.address, buyer, &key, &body));
            let answers: Vec<Answer> = join_all(asked)
                .await
                .into_iter()
                .collect::<Result<_, Failure>>()?;
            let distinct: BTreeSet<(u16, &[u8])> = answers
                .iter()
                .map(|answer| (answer.status, answer.body.as_slice()))
                .collect();
            differing += usize::from(distinct.len() != 1 || answers[0].status != 201);
            let answer = answers.into_iter().next().ok_or("somebody asked")?;
            used.push(Used {
                buyer,
                key,
                body,
                answer,
            });
        }
    }
    let mut checks = vec![Check::none(
        format!("of {KEYS} keys × {AT_ONCE} at once: answered differently"),
        differing,
    )];

    let (mut taken, mut without) = (0, 0);
    let other = order("crs_01h455vb4pex5vsknk084sn02q");
    for one in &used {
        let other = ask(site.address, one.buyer, Some(&one.key), &other).await?;
        taken += usize::from(other.status != 422);
        let none = ask(site.address, one.buyer, None, &one.body).await?;
        without += usize::from(none.status != 400);
    }
    checks.push(Check::none(
        "other body under a used key: not refused with 422",
        taken,
    ));
    checks.push(Check::none("no key: not refused with 400", without));

    site.kill().await?;
    trial.ready(&site).await?;
    let mut changed = 0;
    for one in &used {
        let again = settled(site.address, one.buyer, &one.key, &one.body).await?;
        changed += usize::from((again.status, &again.body) != (one.answer.status, &one.answer.body));
    }
    checks.push(Check::none(
        "repeated after a kill: not the same status and bytes",
        changed,
    ));

    let mut balance = 0;
    let mut orders = 0;
    for buyer in &buyers {
        let mut client = Client::with_token(site.address, &buyer.token);
        balance += client.balance().await?;
        let page = client.get("/v1/me/orders?limit=100").await?;
        orders += page["data"].as_array().map_or(0, Vec::len);
    }
    checks.push(Check::judged("orders", orders, KEYS.to_string(), orders == KEYS));
    checks.push(Check::judged(
        "money left in wallets that held the exact sum",
        balance,
        "0",
        balance == 0,
    ));
    checks.extend(ledger.judge().await?);
    checks.extend(judge::oracle(&site, &stores, None).await?);
    checks.push(Check::none("panics", site.panics()?));
    site.end().await?;
    Ok(checks)
}

async fn ask(
    address: std::net::SocketAddr,
    buyer: &Account,
    key: Option<&str>,
    body: &Value,
) -> Result<Answer, Failure> {
    let call = Call {
        method: "POST",
        path: "/v1/orders",
        key,
        body: Some(body),
    };
    Ok(Client::with_token(address, &buyer.token).call(&call).await?)
}

/// Asks until the answer is not "still running".
async fn settled(
    address: std::net::SocketAddr,
    buyer: &Account,
    key: &str,
    body: &Value,
) -> Result<Answer, Failure> {
    for _ in 0..ATTEMPTS {
        let answer = ask(address, buyer, Some(key), body).await?;
        let running = answer.status == 503 || answer.status == 409 && answer.code().starts_with("http.");
        if !running {
            return Ok(answer);
        }
        sleep(AGAIN).await;
    }
    Err(format!("a purchase is still running after {ATTEMPTS} attempts").into())
}
