//! Money for buyers, through the sandbox provider.
//!
//! Accounts get some before a run: a run that begins with empty wallets measures top-ups instead of purchases, and one that
//! overloads its target never leaves that state, because refused top-ups are asked for again by every buyer.

use std::process;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use hyper::header::HeaderValue;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::Failure;
use crate::client::Client;
use crate::request::Ask;
use crate::users::Account;

/// Minor units of a top-up: some fifty courses, so that one purchase in fifty begins with one.
pub(crate) const TOP_UP: u64 = 500_000;
/// With less than this an account is topped up before a run: some ten courses.
const ENOUGH: u64 = TOP_UP / 5;
/// Top-ups under way at once before a run.
const FUNDED_AT_ONCE: usize = 4;
/// How long the provider may take before a run.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a top-up.
const POLL: Duration = Duration::from_millis(20);

/// Asks for a top-up.
pub(crate) fn top_up() -> Ask {
    let body = format!(
        r#"{{"amount":{{"amount":{TOP_UP},"currency":"CNY"}},"provider":"sandbox","payment_token":"tok_ok"}}"#
    );
    Ask::post("/v1/me/wallet/top-ups", body)
}

/// Asks how a top-up is doing.
pub(crate) fn look(top_up: &Value) -> Ask {
    let id = top_up["id"].as_str().unwrap_or_default();
    Ask::get(&format!("/v1/me/wallet/top-ups/{id}"))
}

/// Tops up every account that has too little.
///
/// # Errors
/// The target or its provider refuses, or takes too long.
pub(crate) async fn fund(client: &Client, accounts: &mut [Account]) -> Result<(), Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // An account that is short again in a later run is given money again.
    let key = format!("fund-{:x}-{:x}", now.as_millis(), process::id());
    let short = accounts.iter_mut().filter(|account| account.balance < ENOUGH);
    stream::iter(short)
        .map(|account| fund_one(client, account, &key))
        .buffer_unordered(FUNDED_AT_ONCE)
        .try_collect()
        .await
}

async fn fund_one(client: &Client, account: &mut Account, key: &str) -> Result<(), Failure> {
    let refused = |why: &dyn std::fmt::Display| {
        Failure::new(format!("the target gives no money for a load test: {why}"))
    };
    let bearer = HeaderValue::try_from(format!("Bearer {}", account.access_token))
        .map_err(|_| Failure::new("the target's access tokens do not fit into a header."))?;
    let deadline = Instant::now() + PATIENCE;
    let mut ask = top_up().keyed(format!("{key}-{}", account.name));
    loop {
        let answer = client
            .send(ask.build(Some(&bearer)))
            .await
            .map_err(|kind| refused(&kind))?;
        let seen = answer.json();
        match seen["state"].as_str() {
            Some("succeeded") => break,
            Some("processing") if Instant::now() < deadline => {}
            _ => {
                let body = String::from_utf8_lossy(&answer.body);
                return Err(refused(&format_args!("{} {body}", answer.status)));
            }
        }
        sleep(POLL).await;
        ask = look(&seen);
    }
    account.balance += TOP_UP;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;

    use super::*;
    use crate::testing::{target, works};

    async fn funded(
        script: fn(&str, &str) -> (u16, String),
        accounts: &mut [Account],
    ) -> (Result<(), Failure>, usize) {
        let run = async {
            let (site, seen) = target(script).await;
            let outcome = fund(&Client::new(site, PATIENCE, 4), accounts).await;
            let asked = seen
                .borrow()
                .iter()
                .filter(|(line, _)| line.starts_with("POST"))
                .count();
            (outcome, asked)
        };
        LocalSet::new().run_until(run).await
    }

    #[tokio::test]
    async fn only_accounts_that_are_short_are_topped_up() {
        let mut accounts = ["ada", "bob"].map(Account::without_money);
        accounts[1].balance = ENOUGH;

        let (outcome, asked) = funded(works, &mut accounts).await;

        assert!(outcome.is_ok(), "{outcome:?}");
        assert_eq!(accounts.map(|account| account.balance), [TOP_UP, ENOUGH]);
        assert_eq!(asked, 1);
    }

    #[tokio::test]
    async fn a_provider_that_declines_ends_the_preparation() {
        let declines = |_: &str, _: &str| (201, r#"{"id":"pay_1","state":"declined"}"#.to_owned());

        let (outcome, _) = funded(declines, &mut [Account::without_money("ada")]).await;

        assert!(outcome.unwrap_err().to_string().contains("declined"));
    }
}
