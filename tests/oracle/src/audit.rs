//! The public API of every node: what clients see is what the books say, and every acknowledged request, sent once more
//! under its key, is answered as it was the first time.
//!
//! Reports of what learners did are the exception: they leave no record, and a server that was killed may have forgotten
//! them. So they are sent twice more: the second time nothing in them may be new, because the server has just been told.
//!
//! Flow, for each client of the history: log in → on each node orders, access and wallet → every acknowledged request
//! again, on the nodes in turn. Nodes must be at rest; afterwards the journal must be as long as before.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Failure;
use crate::books::Books;
use crate::claims::{Claim, Effect, same_lines};
use crate::history::sha256;
use crate::node::{Ask, Node};
use crate::report::{Report, Rule};
use crate::typeid;

/// Clients that are gone through at once.
const CLIENTS_AT_ONCE: usize = 8;
/// All of it, whatever hangs.
const LIMIT: Duration = Duration::from_secs(900);

const LOGIN: Rule = Rule {
    name: "api.clients_can_log_in",
    says: "A client of the history is still known by its password.",
};
const ORDER: Rule = Rule {
    name: "api.order_reads_back",
    says: "Every node shows an acknowledged order with its lines and amounts, in the state of the tables, \
        which is one that the acknowledged state leads to.",
};
const ACCESS: Rule = Rule {
    name: "api.access_is_granted",
    says: "Every node lists exactly the courses that its owner may study by orders.",
};
const WALLET: Rule = Rule {
    name: "api.wallet_is_the_ledger",
    says: "Every node shows a wallet as the ledger has it.",
};
const REPLAY: Rule = Rule {
    name: "replay.answers_identically",
    says: "An acknowledged request that is sent again under its key is answered identically to the byte.",
};
const SIGNALS: Rule = Rule {
    name: "replay.signals_are_known_again",
    says: "An acknowledged report of what a learner did, each event with its id, that is sent again counts as many events, and \
        sent once more right after it none that is new.",
};
/// Compared by whoever holds the database.
pub(crate) const UNCHANGED: Rule = Rule {
    name: "replay.changes_nothing",
    says: "Sending every acknowledged request again leaves the journal and the ledger as they were.",
};

/// Every rule of this module.
pub(crate) const RULES: [Rule; 7] = [LOGIN, ORDER, ACCESS, WALLET, REPLAY, SIGNALS, UNCHANGED];

/// What clients are compared with.
pub(crate) struct Audit<'a> {
    pub(crate) nodes: Vec<Node>,
    pub(crate) books: &'a Books,
    pub(crate) accounts: &'a HashMap<String, Uuid>,
    /// Of clients that did not register within the history.
    pub(crate) password: Option<&'a str>,
    /// More clients than this are not gone through; the report says how many were.
    pub(crate) clients_max: usize,
}

/// One client: who it is and what it was told.
struct Client<'a> {
    name: String,
    password: String,
    claims: Vec<&'a Claim>,
}

impl Audit<'_> {
    /// Goes through the clients of these claims.
    pub(crate) async fn run(&self, claims: &[Claim], report: &mut Report) -> Result<(), Failure> {
        for rule in RULES {
            report.examine(rule);
        }
        let (clients, skipped) = self.clients(claims);
        report.count("clients", clients.len());
        report.count("clients passed over", skipped);
        let work = stream::iter(clients.iter().enumerate())
            .map(|(number, client)| async move {
                let mut found = Vec::new();
                let looked = self.client(number, client, &mut found).await;
                (looked, found)
            })
            .buffer_unordered(CLIENTS_AT_ONCE)
            .collect::<Vec<_>>();
        for (looked, found) in tokio::time::timeout(LIMIT, work)
            .await
            .map_err(|_| "the nodes were not gone through within 15 minutes")?
        {
            for (rule, example) in found {
                report.violate(rule, 1, example);
            }
            report.count("requests sent again", looked?);
        }
        Ok(())
    }

    /// Clients with their password, and how many are left out.
    fn clients<'a>(&self, claims: &'a [Claim]) -> (Vec<Client<'a>>, usize) {
        let mut passwords: HashMap<String, String> = HashMap::new();
        let mut by_name: BTreeMap<String, Vec<&Claim>> = BTreeMap::new();
        for claim in claims {
            let body: Value = serde_json::from_str(&claim.body).unwrap_or_default();
            let registered = claim.method == "POST" && claim.path == "/v1/users";
            let name = if registered {
                body["username"].as_str()
            } else {
                claim.user.as_deref()
            };
            let Some(name) = name.map(str::to_lowercase) else {
                continue;
            };
            if let (true, Some(password)) = (registered, body["password"].as_str()) {
                passwords.insert(name.clone(), password.to_owned());
            }
            if claim.acknowledged.is_some() {
                by_name.entry(name).or_default().push(claim);
            }
        }
        let all = by_name.len();
        let mut clients = Vec::new();
        for (name, claims) in by_name {
            let password = passwords
                .remove(&name)
                .or_else(|| self.password.map(ToOwned::to_owned));
            if let Some(password) = password.filter(|_| clients.len() < self.clients_max) {
                clients.push(Client {
                    name,
                    password,
                    claims,
                });
            }
        }
        let skipped = all - clients.len();
        (clients, skipped)
    }

    async fn client(
        &self,
        number: usize,
        client: &Client<'_>,
        found: &mut Vec<(Rule, String)>,
    ) -> Result<usize, Failure> {
        let body = json!({"username": client.name, "password": client.password}).to_string();
        let login = Ask {
            method: "POST",
            path: "/v1/sessions",
            body: &body,
            ..Ask::default()
        };
        let login = self.nodes[number % self.nodes.len()].ask(login).await?.json();
        let (Some(token), Some(user)) = (login["access_token"].as_str(), self.accounts.get(&client.name))
        else {
            found.push((LOGIN, client.name.clone()));
            return Ok(0);
        };
        for node in &self.nodes {
            self.orders(node, token, client, found).await?;
            self.access(node, token, *user, found).await?;
            self.wallet(node, token, *user, found).await?;
        }
        let mut sent = 0;
        for (claim, (status, digest, response)) in client
            .claims
            .iter()
            .filter_map(|claim| Some((claim, claim.acknowledged.as_ref()?)))
        {
            let signals = claim.path == "/v1/events";
            let Some(key) = claim.key.as_deref().filter(|_| !signals || have_ids(&claim.body)) else {
                continue;
            };
            let node = &self.nodes[(number + sent) % self.nodes.len()];
            sent += 1;
            let again = Ask {
                method: &claim.method,
                path: &claim.path,
                token: claim.user.is_some().then_some(token),
                key: Some(key),
                body: &claim.body,
            };
            let mut answer = node.ask(again).await?;
            let mut alike = if signals {
                counted(&answer.json()) == counted(response)
            } else {
                sha256(&answer.body) == *digest
            };
            // A server that has just been told knows every event, whatever it forgot since the history.
            if signals && alike && answer.status == *status {
                answer = node.ask(again).await?;
                alike = counted(&answer.json()) == counted(response) && answer.json()["accepted"] == 0;
            }
            if answer.status != *status || !alike {
                let body = String::from_utf8_lossy(&answer.body)
                    .chars()
                    .take(300)
                    .collect::<String>();
                let text = format!(
                    "{} {} {key} of {} on {}: {status} became {} {body}",
                    claim.method,
                    claim.path,
                    client.name,
                    node.url(),
                    answer.status
                );
                found.push((if signals { SIGNALS } else { REPLAY }, text));
            }
        }
        Ok(sent)
    }

    async fn orders(
        &self,
        node: &Node,
        token: &str,
        client: &Client<'_>,
        found: &mut Vec<(Rule, String)>,
    ) -> Result<(), Failure> {
        for claim in &client.claims {
            let Some(Effect::Order(id)) = claim.effect() else {
                continue;
            };
            let path = format!("/v1/orders/{}", typeid::write("ord", id));
            let answer = node.get(&path, Some(token)).await?;
            let shown = answer.json();
            let told = claim
                .acknowledged
                .as_ref()
                .map(|(_, _, response)| response["state"].clone());
            let agrees = self.books.orders.get(&id).is_some_and(|order| {
                shown["state"] == order.state
                    && shown["total"]["amount"].as_i64() == Some(order.total)
                    && shown["total"]["currency"] == order.currency.as_str()
                    && same_lines(&order.lines, &shown["items"])
                    && told
                        .as_ref()
                        .and_then(Value::as_str)
                        .is_some_and(|told| leads_to(told, order.state))
            });
            if !agrees {
                let text = format!("{} on {}: {} {shown}", path, node.url(), answer.status);
                found.push((ORDER, text));
            }
        }
        Ok(())
    }

    async fn access(
        &self,
        node: &Node,
        token: &str,
        user: Uuid,
        found: &mut Vec<(Rule, String)>,
    ) -> Result<(), Failure> {
        let mut shown = HashSet::new();
        let mut path = "/v1/me/courses?limit=100".to_owned();
        loop {
            let page = node.get(&path, Some(token)).await?.json();
            for course in page["data"].as_array().into_iter().flatten() {
                if let (Some(course), Some(order)) = (course["id"].as_str(), course["order_id"].as_str()) {
                    shown.insert((course.to_owned(), order.to_owned()));
                }
            }
            match page["next"].as_str() {
                Some(next) => path = format!("/v1/me/courses?limit=100&after={next}"),
                None => break,
            }
        }
        let granted = self.books.access_of(user);
        for (course, order) in granted.symmetric_difference(&shown) {
            let text = format!("{course} by {order} of {user} on {}", node.url());
            found.push((ACCESS, text));
        }
        Ok(())
    }

    async fn wallet(
        &self,
        node: &Node,
        token: &str,
        user: Uuid,
        found: &mut Vec<(Rule, String)>,
    ) -> Result<(), Failure> {
        let shown = node.get("/v1/me/wallet?limit=1", Some(token)).await?.json();
        let amounts = (
            shown["balance"]["amount"].as_i64(),
            shown["held"]["amount"].as_i64(),
        );
        let balance = self.books.balance_of(user);
        if amounts != (Some(balance), Some(0)) {
            let text = format!(
                "{user} on {}: {balance} in the ledger, {amounts:?} shown",
                node.url()
            );
            found.push((WALLET, text));
        }
        Ok(())
    }
}

/// Whether every event of a report is recognised when it comes again.
fn have_ids(body: &str) -> bool {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let events = body["events"].as_array();
    events.is_some_and(|events| events.iter().all(|event| event["id"].is_string()))
}

/// How many events of a report the answer speaks of.
fn counted(answer: &Value) -> Option<u64> {
    let count = |field| answer[field].as_u64();
    Some(count("accepted")? + count("duplicates")? + count("ignored")?)
}

/// Whether an order that was shown in one state may be in another later.
fn leads_to(told: &str, now: &str) -> bool {
    told == now
        || match told {
            "pending" => true,
            // It waited for its team.
            "paid" => ["fulfilled", "refunding", "refunded", "partially_refunded"].contains(&now),
            // Money that arrives late revives an order, or goes back.
            "cancelled" | "expired" | "fulfilled" => {
                ["fulfilled", "refunding", "refunded", "partially_refunded"].contains(&now)
            }
            "refunding" => ["refunded", "partially_refunded"].contains(&now),
            "partially_refunded" => ["refunding", "refunded"].contains(&now),
            _ => false,
        }
}
