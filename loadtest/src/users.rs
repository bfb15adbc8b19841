//! The people of a load test: registered before the run, remembered from run to run, shared by journeys.
//!
//! Registering and logging in cost the target a password hash each, so accounts are kept in a file beside the results and
//! come back with a refresh token or the token they have. An account that owns most of the catalogue has nothing left to
//! buy and is left behind; as many new ones are made as the planned purchases need.
//!
//! Invariant: what a purse says is what the target acknowledged, less what is still open.

use std::cell::RefCell;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fixedbitset::FixedBitSet;
use futures_util::stream::{self, StreamExt};
use hyper::header::HeaderValue;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Failure;
use crate::catalog::Catalog;
use crate::client::{Answer, Client};
use crate::request::{Ask, percent};

/// The password of every account of a load test; they are worth nothing.
const PASSWORD: &str = "paper-lantern-harbor-9317";
/// Accounts prepared at once: password hashes keep that many cores of the target busy.
const PREPARED_AT_ONCE: usize = 4;
/// The share of the catalogue beyond which an account is left behind.
const OWNED_MAX: f64 = 0.7;
/// A token that expires earlier than this after the run's end is exchanged before it begins.
const TOKEN_MARGIN: Duration = Duration::from_secs(60);

/// An account as it is kept between runs and handed to a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) access_token: String,
    refresh_token: String,
    expires_unix_s: u64,
    #[serde(skip)]
    pub(crate) balance: u64,
    #[serde(skip)]
    taken: FixedBitSet,
}

/// A purchase that could be returned.
#[derive(Clone, Debug)]
pub(crate) struct Bought {
    pub(crate) order: String,
    pub(crate) course: usize,
    pub(crate) price: u64,
}

/// Somebody who is logged in, on one worker.
pub(crate) struct User {
    /// Counts the users of a run.
    pub(crate) number: u64,
    pub(crate) name: String,
    login: RefCell<Login>,
    purse: RefCell<Purse>,
}

struct Login {
    bearer: HeaderValue,
    access_token: String,
    refresh_token: String,
    expires_unix_s: u64,
}

#[derive(Default)]
struct Purse {
    /// Minor units that no journey has reserved.
    balance: u64,
    /// Courses that are owned, or were asked for.
    taken: FixedBitSet,
    bought: Vec<Bought>,
}

impl User {
    /// Takes an account over.
    pub(crate) fn new(number: u64, account: Account) -> Result<Self, Failure> {
        Ok(User {
            number,
            name: account.name,
            login: RefCell::new(Login::new(
                account.access_token,
                account.refresh_token,
                account.expires_unix_s,
            )?),
            purse: RefCell::new(Purse {
                balance: account.balance,
                taken: account.taken,
                bought: Vec::new(),
            }),
        })
    }

    /// Gives the account back, for the next run.
    pub(crate) fn account(&self) -> Account {
        let login = self.login.borrow();
        let purse = self.purse.borrow();
        Account {
            name: self.name.clone(),
            access_token: login.access_token.clone(),
            refresh_token: login.refresh_token.clone(),
            expires_unix_s: login.expires_unix_s,
            balance: purse.balance,
            taken: purse.taken.clone(),
        }
    }

    /// Returns the header that proves who it is.
    pub(crate) fn bearer(&self) -> HeaderValue {
        self.login.borrow().bearer.clone()
    }

    /// Returns the body of a login.
    pub(crate) fn proof(&self) -> String {
        proof(&self.name)
    }

    /// Exchanges the token if it ends soon; what goes wrong shows as refused requests.
    pub(crate) async fn keep_fresh(&self, client: &Client) {
        let expires = self.login.borrow().expires_unix_s;
        if expires > unix_s() + TOKEN_MARGIN.as_secs() {
            return;
        }
        let ask = refreshing(&self.login.borrow().refresh_token);
        if let Ok(answer) = client.send(ask.build(None)).await
            && let Some(tokens) = Tokens::read(&answer)
            && let Ok(login) = Login::new(tokens.access_token, tokens.refresh_token, tokens.expires_unix_s)
        {
            *self.login.borrow_mut() = login;
        }
    }

    /// Reserves money, if it is there.
    pub(crate) fn reserve(&self, price: u64) -> bool {
        let mut purse = self.purse.borrow_mut();
        let left = purse.balance.checked_sub(price);
        purse.balance = left.unwrap_or(purse.balance);
        left.is_some()
    }

    /// Adds money.
    pub(crate) fn receive(&self, amount: u64) {
        self.purse.borrow_mut().balance += amount;
    }

    /// Takes the course if it is still to be had.
    pub(crate) fn take(&self, course: usize) -> bool {
        let mut purse = self.purse.borrow_mut();
        purse.taken.grow(course + 1);
        !purse.taken.put(course)
    }

    /// Returns how many courses are not to be had any more.
    pub(crate) fn taken(&self) -> usize {
        self.purse.borrow().taken.count_ones(..)
    }

    /// Remembers a purchase.
    pub(crate) fn bought(&self, bought: Bought) {
        self.purse.borrow_mut().bought.push(bought);
    }

    /// Says whether there is a purchase to return.
    pub(crate) fn has_bought(&self) -> bool {
        !self.purse.borrow().bought.is_empty()
    }

    /// Takes the last purchase.
    pub(crate) fn take_bought(&self) -> Option<Bought> {
        self.purse.borrow_mut().bought.pop()
    }

    /// Books a purchase that was returned: the money is back and the course to be had again.
    pub(crate) fn returned(&self, bought: &Bought) {
        let mut purse = self.purse.borrow_mut();
        purse.balance += bought.price;
        purse.taken.remove(bought.course);
    }
}

impl Login {
    fn new(access_token: String, refresh_token: String, expires_unix_s: u64) -> Result<Self, Failure> {
        let mut bearer = HeaderValue::try_from(format!("Bearer {access_token}"))
            .map_err(|_| Failure::new("the target's access tokens do not fit into a header."))?;
        bearer.set_sensitive(true);
        Ok(Login {
            bearer,
            access_token,
            refresh_token,
            expires_unix_s,
        })
    }
}

/// The tokens of a login or a refresh.
struct Tokens {
    access_token: String,
    refresh_token: String,
    expires_unix_s: u64,
}

impl Tokens {
    fn read(answer: &Answer) -> Option<Self> {
        let body = answer.json();
        let text = |name: &str| body[name].as_str().map(ToOwned::to_owned);
        (answer.status < 300).then_some(())?;
        Some(Tokens {
            access_token: text("access_token")?,
            refresh_token: text("refresh_token")?,
            expires_unix_s: unix_s() + body["expires_in"].as_u64()?,
        })
    }
}

/// Prepares `count` accounts that are good for `length`; those of earlier runs come first.
///
/// # Errors
/// The target refuses new accounts.
pub(crate) async fn prepare(
    client: &Client,
    catalog: &Catalog,
    count: usize,
    length: Duration,
    cache: &Path,
) -> Result<Vec<Account>, Failure> {
    let known = recall(cache);
    let last_s = unix_s() + (length + TOKEN_MARGIN).as_secs();
    let mut accounts: Vec<Account> = stream::iter(known)
        .map(|account| revive(client, catalog, account, last_s))
        .buffered(PREPARED_AT_ONCE)
        .filter_map(|revived| async { revived })
        .take(count)
        .collect()
        .await;
    let owned_max = catalog.courses.len() as f64 * OWNED_MAX;
    accounts.retain(|account| account.taken.count_ones(..) as f64 <= owned_max);

    let missing = count.saturating_sub(accounts.len());
    let prefix = format!("load-{:x}-{:x}", unix_s(), std::process::id());
    let mut made = stream::iter(0..missing)
        .map(|number| register(client, format!("{prefix}-{number}")))
        .buffered(PREPARED_AT_ONCE);
    while let Some(account) = made.next().await {
        accounts.push(account?);
    }
    remember(cache, &accounts);
    Ok(accounts)
}

/// Reads the accounts of earlier runs; a file that is missing or damaged holds none.
fn recall(cache: &Path) -> Vec<Account> {
    let text = std::fs::read(cache).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Keeps accounts for later runs; without the file they are merely made anew.
pub(crate) fn remember(cache: &Path, accounts: &[Account]) {
    if let Some(folder) = cache.parent() {
        let _ = std::fs::create_dir_all(folder);
    }
    if let Ok(text) = serde_json::to_vec_pretty(accounts) {
        let _ = std::fs::write(cache, text);
    }
}

/// Brings an account back; `None` if the target does not know it any more.
async fn revive(client: &Client, catalog: &Catalog, mut account: Account, last_s: u64) -> Option<Account> {
    let mut alive = false;
    if account.expires_unix_s > last_s {
        alive = account.look_around(client, catalog).await.is_some();
    }
    if !alive {
        let refresh = refreshing(&account.refresh_token);
        let login = Ask::post("/v1/sessions", proof(&account.name));
        let mut tokens = None;
        for ask in [refresh, login] {
            tokens = tokens.or(client
                .send(ask.build(None))
                .await
                .ok()
                .as_ref()
                .and_then(Tokens::read));
        }
        account.adopt(tokens?);
        account.look_around(client, catalog).await?;
    }
    Some(account)
}

async fn register(client: &Client, name: String) -> Result<Account, Failure> {
    let refused = |what: &str, answer: Result<Answer, _>| {
        let why = match answer {
            Ok(answer) => format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)),
            Err(kind) => format!("{kind}"),
        };
        Failure::new(format!("the target refuses {what} for a load test: {why}"))
    };
    let asked = Ask::post("/v1/users", registration(&name)).build(None);
    let answer: Result<Answer, crate::outcome::ErrorKind> = client.send(asked).await;
    if !matches!(&answer, Ok(answer) if answer.status == 201) {
        return Err(refused("a new account", answer));
    }
    let answer = client
        .send(Ask::post("/v1/sessions", proof(&name)).build(None))
        .await;
    let Some(tokens) = answer.as_ref().ok().and_then(Tokens::read) else {
        return Err(refused("a login", answer));
    };
    let mut account = Account {
        name,
        access_token: String::new(),
        refresh_token: String::new(),
        expires_unix_s: 0,
        balance: 0,
        taken: FixedBitSet::new(),
    };
    account.adopt(tokens);
    Ok(account)
}

impl Account {
    #[cfg(test)]
    pub(crate) fn without_money(name: &str) -> Self {
        Account {
            name: name.to_owned(),
            access_token: "token".to_owned(),
            refresh_token: String::new(),
            expires_unix_s: u64::MAX,
            balance: 0,
            taken: FixedBitSet::new(),
        }
    }

    fn adopt(&mut self, tokens: Tokens) {
        self.access_token = tokens.access_token;
        self.refresh_token = tokens.refresh_token;
        self.expires_unix_s = tokens.expires_unix_s;
    }

    /// Learns what is in the wallet and on the shelf; `None` if the token is not accepted.
    async fn look_around(&mut self, client: &Client, catalog: &Catalog) -> Option<()> {
        let wallet = self.get(client, "/v1/me/wallet?limit=1").await?;
        self.balance = wallet["balance"]["amount"].as_u64()?;
        let mut next = Some("/v1/me/courses?limit=100".to_owned());
        while let Some(path) = next {
            let page = self.get(client, &path).await?;
            for owned in page["data"].as_array().into_iter().flatten() {
                let place = owned["id"].as_str().and_then(|id| catalog.place(id));
                self.taken.extend(place);
            }
            next = page["next"]
                .as_str()
                .map(|cursor| format!("/v1/me/courses?limit=100&after={}", percent(cursor)));
        }
        Some(())
    }

    async fn get(&self, client: &Client, path: &str) -> Option<Value> {
        let bearer = HeaderValue::try_from(format!("Bearer {}", self.access_token)).ok()?;
        let answer = client.send(Ask::get(path).build(Some(&bearer))).await.ok()?;
        (answer.status == 200).then(|| answer.json())
    }
}

/// Returns the body that registers an account.
pub(crate) fn registration(name: &str) -> String {
    format!(r#"{{"username":"{name}","password":"{PASSWORD}","email":"{name}@load.example"}}"#)
}

fn proof(name: &str) -> String {
    format!(r#"{{"username":"{name}","password":"{PASSWORD}"}}"#)
}

fn refreshing(refresh_token: &str) -> Ask {
    let body = serde_json::json!({ "refresh_token": refresh_token });
    Ask::post("/v1/sessions/refresh", body.to_string())
}

fn unix_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
