//! Row 4: 20,000 buyers want 500 seats of a flash sale on three nodes, and one node is killed in the middle.
//!
//! Every buyer asks until there is an answer. Some pay from their wallet, most through the provider, which declines every tenth, so that
//! seats come back. Whoever found it sold out asks again once seats are available. In the end exactly the stock is sold, one seat to each
//! buyer, and the oracle finds nobody charged without a seat: tables, the provider's own list and what clients were told agree.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Trial;
use super::takeover::within;
use crate::Failure;
use crate::api::{self, Account, Call, Client, money, unique};
use crate::fleet::Fleet;
use crate::judge::{self, Ledger};
use crate::ownership::Tables;
use crate::site;
use crate::verdict::Check;

const NODES: usize = 3;
const BUYERS: usize = 20_000;
const SEATS: usize = 500;
const LIST_PRICE: i64 = 19_900;
const PRICE: i64 = 5_000;
/// Clients at once, each with the next buyer that nobody has taken.
const CLIENTS: usize = 64;
/// One buyer of so many pays from the wallet, and one of so many through a card that is declined.
const WITH_WALLET: usize = 50;
const DECLINED: usize = 10;
/// The node dies once so many orders were acknowledged.
const KILLED_AFTER: usize = SEATS / 2;
const VICTIM: usize = 1;
const BALANCE_TIMEOUT: Duration = Duration::from_secs(30);
const RETRY_PAUSE: Duration = Duration::from_millis(50);
const LOOK: Duration = Duration::from_millis(10);
/// From the first request until every seat is sold; what died with the node comes back after seconds.
const SOLD_MAX: Duration = Duration::from_mins(3);
/// For one buyer, whatever happens.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a buyer was told in the end.
enum Told {
    /// An order was placed.
    Placed(String),
    /// Every seat was taken then.
    SoldOut,
    /// A seat is kept for an order of theirs whose answer got lost.
    Kept,
}

/// A sale and those who want a seat.
struct Crowd {
    nodes: Vec<SocketAddr>,
    buyers: Vec<Account>,
    course: String,
    sale: String,
    /// Orders that were acknowledged, by buyer.
    placed: Mutex<Vec<(usize, String)>>,
    acknowledged: AtomicUsize,
}

/// Holds a sale and kills a node in the middle.
pub(super) async fn run(trial: &Trial<'_>) -> Result<Vec<Check>, Failure> {
    let stores = trial.stores().await?;
    // All buyers register and log in from one address.
    let settings = [("http.rate.credentials.requests", "0".to_owned())];
    let mut fleet = Fleet::start_with(trial.place, &stores, NODES, false, &settings).await?;
    let tables = Tables::open(&stores).await?;
    tables.balanced(NODES, BALANCE_TIMEOUT).await?;
    let crowd = Arc::new(Crowd::gather(&fleet.addresses()).await?);
    let ledger = Ledger::watch(&stores);

    let began = Instant::now();
    let rush = tokio::spawn(crowd.clone().ask_all((0..BUYERS).collect()));
    while crowd.acknowledged.load(Ordering::Relaxed) < KILLED_AFTER && !rush.is_finished() {
        sleep(LOOK).await;
    }
    let killed_after = crowd.acknowledged.load(Ordering::Relaxed);
    fleet.kill(VICTIM).await?;
    let mut waiting = rush.await??;
    let rushed = began.elapsed();
    let answered = crowd.acknowledged.load(Ordering::Relaxed) + waiting.len();
    let all = fill(&crowd, &mut waiting, began).await?;
    let sold_after = began.elapsed();
    fleet.launch(VICTIM)?;
    fleet.all_ready().await?;
    tables.balanced(NODES, BALANCE_TIMEOUT).await?;

    let mut checks = vec![
        Check::at_least("buyers answered in the first rush", answered, BUYERS),
        Check::judged(
            "acknowledged when the node was killed",
            killed_after,
            format!("≥ {KILLED_AFTER}"),
            killed_after >= KILLED_AFTER,
        ),
        Check::judged(
            "the first rush, buyers/s with a node lost in it",
            BUYERS as u128 * 1000 / rushed.as_millis().max(1),
            "any",
            true,
        ),
        within("every seat is sold after", sold_after, SOLD_MAX),
        Check::judged("seats sold", all, SEATS.to_string(), all == SEATS as u64),
    ];
    checks.extend(ledger.judge().await?);
    checks.extend(tables.one_writer().await?);
    checks.extend(judge::oracle_of(&fleet.addresses(), fleet.sandbox, &stores, None).await?);
    checks.extend(crowd.told_and_kept().await?);
    checks.push(Check::none("panics", fleet.panics()?));
    fleet.end().await?;
    Ok(checks)
}

/// Lets those who found it sold out ask again whenever seats have come back, until every seat is sold; answers how many are.
async fn fill(crowd: &Arc<Crowd>, waiting: &mut Vec<usize>, began: Instant) -> Result<u64, Failure> {
    loop {
        let shown = crowd.shown().await;
        let number = |field: &str| shown.as_ref().and_then(|sale| sale[field].as_u64());
        let sold = number("sold").unwrap_or(0);
        if sold == SEATS as u64 || began.elapsed() > SOLD_MAX {
            return Ok(sold);
        }
        let available = number("available").unwrap_or(0);
        let next = waiting.len().min(usize::try_from(available)? * 2);
        if next == 0 {
            sleep(RETRY_PAUSE).await;
            continue;
        }
        let again = waiting.split_off(waiting.len() - next);
        let still = crowd.clone().ask_all(again).await?;
        // At the other end, so that somebody else has the next turn.
        drop(waiting.splice(0..0, still));
    }
}

impl Crowd {
    /// Publishes the course, opens the sale, registers everybody and fills some wallets.
    async fn gather(nodes: &[SocketAddr]) -> Result<Self, Failure> {
        let course = site::courses(nodes[0], 1, LIST_PRICE).await?.remove(0);
        let operator = site::operator(nodes[0]).await?;
        let body = json!({
            "course_id": course, "price": money(PRICE), "stock": SEATS,
            "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2100-01-01T00:00:00Z", "reason": "a trial",
        });
        let sale = Client::with_token(nodes[0], &operator.token)
            .post("/v1/sales", &unique("sale-"), &body, &[201])
            .await?;
        let mut gathering = JoinSet::new();
        for client in 0..CLIENTS {
            let node = nodes[client % nodes.len()];
            gathering.spawn(async move {
                let mut buyers = Vec::new();
                for number in (client..BUYERS).step_by(CLIENTS) {
                    let buyer = api::register(node).await?;
                    if number.is_multiple_of(WITH_WALLET) {
                        Client::with_token(node, &buyer.token).top_up(PRICE).await?;
                    }
                    buyers.push((number, buyer));
                }
                Ok::<_, Failure>(buyers)
            });
        }
        let mut buyers = Vec::with_capacity(BUYERS);
        while let Some(some) = gathering.join_next().await {
            buyers.extend(some??);
        }
        buyers.sort_by_key(|(number, _)| *number);
        Ok(Crowd {
            nodes: nodes.to_vec(),
            buyers: buyers.into_iter().map(|(_, buyer)| buyer).collect(),
            course,
            sale: sale["id"].as_str().ok_or("a sale has an id")?.to_owned(),
            placed: Mutex::default(),
            acknowledged: AtomicUsize::new(0),
        })
    }

    /// Lets buyers ask, many at once; answers who got no seat.
    async fn ask_all(self: Arc<Self>, who: Vec<usize>) -> Result<Vec<usize>, Failure> {
        let (who, next) = (Arc::new(who), Arc::new(AtomicUsize::new(0)));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS.min(who.len()) {
            let (crowd, who, next) = (self.clone(), who.clone(), next.clone());
            clients.spawn(async move {
                let mut without = Vec::new();
                while let Some(buyer) = who.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match crowd.ask(*buyer).await? {
                        Told::Placed(order) => {
                            crowd.placed.lock().await.push((*buyer, order));
                            crowd.acknowledged.fetch_add(1, Ordering::Relaxed);
                        }
                        Told::SoldOut | Told::Kept => without.push(*buyer),
                    }
                }
                Ok::<_, Failure>(without)
            });
        }
        let mut without = Vec::new();
        while let Some(some) = clients.join_next().await {
            without.extend(some??);
        }
        Ok(without)
    }

    /// Asks for a seat until there is an answer, at another node whenever there was none.
    async fn ask(&self, buyer: usize) -> Result<Told, Failure> {
        let token = match buyer {
            buyer if buyer.is_multiple_of(WITH_WALLET) => None,
            buyer if buyer % DECLINED == 1 => Some("tok_declined"),
            _ => Some("tok_ok"),
        };
        let method = if token.is_some() { "sandbox" } else { "wallet" };
        let body = json!({
            "items": [{"course_id": self.course, "sale_id": self.sale}], "payment_method": method, "payment_token": token,
        });
        let key = unique("seat-");
        let call = Call {
            method: "POST",
            path: "/v1/orders",
            key: Some(&key),
            body: Some(&body),
        };
        let began = Instant::now();
        let mut last = String::new();
        for attempt in 0.. {
            if began.elapsed() > PATIENCE {
                break;
            }
            let node = self.nodes[(buyer + attempt) % self.nodes.len()];
            let answered = Client::with_token(node, &self.buyers[buyer].token)
                .call(&call)
                .await;
            let Ok(answer) = answered else {
                sleep(RETRY_PAUSE).await;
                continue;
            };
            let code = answer.code();
            match (answer.status, code.as_str()) {
                (201 | 202, _) => {
                    let order = answer.json()["id"].as_str().map(ToOwned::to_owned);
                    return order.map(Told::Placed).ok_or_else(|| "an order has an id".into());
                }
                (409, "commerce.sale_sold_out") => return Ok(Told::SoldOut),
                (409, "commerce.sale_slot_reserved") => return Ok(Told::Kept),
                (409 | 429 | 503, _) => sleep(RETRY_PAUSE).await,
                (status, code) => return Err(format!("a buyer was answered with {status} {code}").into()),
            }
            last = format!("{} {code}", answer.status);
        }
        Err(format!("a buyer was not answered within {PATIENCE:?}; last: {last}").into())
    }

    /// The sale as any node shows it.
    async fn shown(&self) -> Option<Value> {
        let path = format!("/v1/sales/{}", self.sale);
        for node in &self.nodes {
            if let Ok(sale) = Client::new(*node).get(&path).await {
                return Some(sale);
            }
        }
        None
    }

    /// Compares what buyers were told with what they find.
    async fn told_and_kept(&self) -> Result<Vec<Check>, Failure> {
        let placed = self.placed.lock().await;
        let (mut lost, mut fulfilled, mut unpaid) = (0, 0, 0);
        for (buyer, order) in placed.iter() {
            let mut client = Client::with_token(self.nodes[0], &self.buyers[*buyer].token);
            match client.get(&format!("/v1/orders/{order}")).await {
                Ok(order) if order["state"] == "fulfilled" => fulfilled += 1,
                Ok(_) => unpaid += 1,
                Err(_) => lost += 1,
            }
        }
        Ok(vec![
            Check::none(
                format!("acknowledged orders that are lost, of {}", placed.len()),
                lost,
            ),
            Check::judged(
                format!("acknowledged orders that were paid; {unpaid} were declined or given up"),
                fulfilled,
                format!("≤ {SEATS}"),
                fulfilled <= SEATS,
            ),
        ])
    }
}
