//! The history of the clients beside the books: nothing lost, nothing made up, nothing twice.
//!
//! Requests of one caller to one route under one key with one body are one *claim*, however often they were sent. A claim
//! that was acknowledged names its effect, which must be there; one of unknown outcome may have had an effect; one that
//! was only ever refused must not have had any. An effect that no claim explains is a phantom.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;
use tokio_postgres::Transaction;
use uuid::Uuid;

use crate::Failure;
use crate::books::{Books, Line};
use crate::history::{Outcome, Request};
use crate::report::{Report, Rule};
use crate::typeid;

mod phantom;

const LOST: Rule = Rule {
    name: "claims.nothing_is_lost",
    says: "Whatever a client was told had happened is in the tables.",
};
const AS_TOLD: Rule = Rule {
    name: "claims.it_is_as_it_was_told",
    says: "It belongs to that client and has the lines and amounts that were told.",
};
const ONCE: Rule = Rule {
    name: "claims.one_effect_each",
    says: "Two different requests never stand for one effect.",
};
const ALIKE: Rule = Rule {
    name: "claims.repetitions_are_answered_alike",
    says: "A request that was repeated under its key was answered identically to the byte.",
};

/// Every rule of this module and its parts.
pub(crate) const RULES: [Rule; 5] = [LOST, AS_TOLD, ONCE, ALIKE, phantom::PHANTOM];

/// One thing a client wanted.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) user: Option<String>,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) key: Option<String>,
    pub(crate) body: String,
    pub(crate) begun_at_unix_us: u64,
    /// Status, digest and body of the answer that acknowledged it.
    pub(crate) acknowledged: Option<(u16, String, Value)>,
    /// Whether some attempt's outcome is unknown.
    pub(crate) open: bool,
}

/// What a claim is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Effect {
    Order(Uuid),
    TopUp(Uuid),
    Refund(Uuid),
    Account(Uuid),
}

impl Claim {
    /// The effect that the acknowledgement names; `None` for requests that make nothing new.
    pub(crate) fn effect(&self) -> Option<Effect> {
        let (_, _, response) = self.acknowledged.as_ref()?;
        let id = response["id"].as_str()?;
        match self.route()? {
            Route::Orders => typeid::parse("ord", id).map(Effect::Order),
            Route::TopUps => typeid::parse("pay", id).map(Effect::TopUp),
            Route::Refunds(_) => typeid::parse("ref", id).map(Effect::Refund),
            Route::Users => typeid::parse("usr", id).map(Effect::Account),
        }
    }

    fn route(&self) -> Option<Route> {
        if self.method != "POST" {
            return None;
        }
        let segments: Vec<&str> = self.path.trim_start_matches('/').split('/').collect();
        match segments.as_slice() {
            ["v1", "orders"] => Some(Route::Orders),
            ["v1", "me", "wallet", "top-ups"] => Some(Route::TopUps),
            ["v1", "orders", order, "refunds"] => typeid::parse("ord", order).map(Route::Refunds),
            ["v1", "users"] => Some(Route::Users),
            _ => None,
        }
    }

    /// Whether it names an effect although none can be read from it.
    fn should_have_effect(&self) -> bool {
        self.acknowledged.is_some() && self.route().is_some()
    }
}

/// The routes that make something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Orders,
    TopUps,
    Refunds(Uuid),
    Users,
}

/// Makes claims of requests.
pub(crate) fn claims(histories: &[Vec<Request>], report: &mut Report) -> Vec<Claim> {
    report.examine(ALIKE);
    let mut claims: BTreeMap<(usize, Vec<Option<String>>), Claim> = BTreeMap::new();
    let mut unkeyed = 0;
    for request in histories.iter().flatten() {
        let intent = &request.intent;
        // Without a key each request stands for itself.
        let number = if intent.idempotency_key.is_some() {
            0
        } else {
            unkeyed += 1;
            unkeyed
        };
        let scope = vec![
            intent.user.clone(),
            Some(intent.method.clone()),
            Some(intent.path.clone()),
            intent.idempotency_key.clone(),
            Some(intent.body.clone()),
        ];
        let claim = claims.entry((number, scope)).or_insert_with(|| Claim {
            user: intent.user.clone(),
            method: intent.method.clone(),
            path: intent.path.clone(),
            key: intent.idempotency_key.clone(),
            body: intent.body.clone(),
            begun_at_unix_us: request.begun_at_unix_us,
            acknowledged: None,
            open: false,
        });
        claim.begun_at_unix_us = claim.begun_at_unix_us.min(request.begun_at_unix_us);
        match &request.outcome {
            None | Some(Outcome::Unknown { .. }) => claim.open = true,
            Some(Outcome::Refused { .. }) => {}
            Some(Outcome::Acknowledged {
                http,
                body_sha256,
                response,
            }) => match &claim.acknowledged {
                Some((first, sha256, _)) if first != http || sha256 != body_sha256 => {
                    let text = format!(
                        "{} {} {:?}: {first} and {http}",
                        claim.method, claim.path, claim.key
                    );
                    report.violate(ALIKE, 1, text);
                }
                Some(_) => {}
                None => claim.acknowledged = Some((*http, body_sha256.clone(), response.clone())),
            },
        }
    }
    claims.into_values().collect()
}

/// Accounts by their name, its case folded.
pub(crate) async fn accounts(snapshot: &Transaction<'_>) -> Result<HashMap<String, Uuid>, Failure> {
    let sql = "SELECT lower(username), user_id FROM accounts WHERE username IS NOT NULL";
    let rows = snapshot.query(sql, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Compares claims with the books.
pub(crate) fn examine(
    claims: &[Claim],
    books: &Books,
    accounts: &HashMap<String, Uuid>,
    report: &mut Report,
) {
    for rule in RULES {
        report.examine(rule);
    }
    report.count("claims", claims.len());
    let refunds: HashMap<Uuid, Uuid> = books
        .orders
        .iter()
        .flat_map(|(order, held)| held.refunds.iter().map(|refund| (refund.id, *order)))
        .collect();
    let owners: HashSet<Uuid> = accounts.values().copied().collect();
    let mut effects: HashMap<Effect, &Claim> = HashMap::new();
    for claim in claims.iter().filter(|claim| claim.should_have_effect()) {
        report.count("acknowledged claims", 1);
        let told = || {
            format!(
                "{} {} {:?} of {:?}",
                claim.method, claim.path, claim.key, claim.user
            )
        };
        let Some(effect) = claim.effect() else {
            report.violate(AS_TOLD, 1, format!("{} was answered without an id", told()));
            continue;
        };
        if effects.insert(effect, claim).is_some() {
            report.violate(ONCE, 1, format!("{effect:?}: {}", told()));
        }
        let exists = match effect {
            Effect::Order(order) => books.orders.contains_key(&order),
            Effect::TopUp(payment) => books.top_ups.contains_key(&payment),
            Effect::Refund(refund) => refunds.contains_key(&refund),
            Effect::Account(user) => owners.contains(&user),
        };
        if !exists {
            report.violate(LOST, 1, format!("{effect:?}: {}", told()));
        } else if !is_as_told(claim, effect, books, &refunds, accounts) {
            report.violate(AS_TOLD, 1, format!("{effect:?}: {}", told()));
        }
    }
    let known: HashSet<Effect> = effects.into_keys().collect();
    phantom::examine(claims, &known, books, accounts, report);
}

fn is_as_told(
    claim: &Claim,
    effect: Effect,
    books: &Books,
    refunds: &HashMap<Uuid, Uuid>,
    accounts: &HashMap<String, Uuid>,
) -> bool {
    let Some((_, _, response)) = &claim.acknowledged else {
        return false;
    };
    let user = claim
        .user
        .as_ref()
        .map(|name| accounts.get(&name.to_lowercase()).copied());
    let is_owner = |owner: Uuid| user.is_none_or(|user| user == Some(owner));
    let is_amount = |field: &str, amount: i64, currency: &str| {
        response[field]["amount"].as_i64() == Some(amount) && response[field]["currency"] == currency
    };
    match effect {
        Effect::Order(id) => books.orders.get(&id).is_some_and(|order| {
            is_owner(order.user)
                && is_amount("total", order.total, &order.currency)
                && same_lines(&order.lines, &response["items"])
        }),
        Effect::TopUp(id) => books
            .top_ups
            .get(&id)
            .is_some_and(|held| is_owner(held.user) && is_amount("amount", held.amount, &held.currency)),
        Effect::Refund(id) => refunds
            .get(&id)
            .and_then(|order| books.orders.get(order))
            .is_some_and(|order| {
                let refund = order.refunds.iter().find(|refund| refund.id == id);
                let amount = refund.map_or(0, |refund| refund.amount);
                is_owner(order.user) && is_amount("amount", amount, &order.currency)
            }),
        Effect::Account(id) => {
            let name = response["username"].as_str().map(str::to_lowercase);
            name.and_then(|name| accounts.get(&name)) == Some(&id)
        }
    }
}

/// Whether these are the lines that a client was shown.
pub(crate) fn same_lines(lines: &[Line], items: &Value) -> bool {
    let items = items.as_array().map(Vec::as_slice).unwrap_or_default();
    let same = |(line, item): (&Line, &Value)| {
        item["course_id"].as_str() == Some(&typeid::write("crs", line.course))
            && item["course_version"].as_i64() == Some(line.version)
            && item["price"]["amount"].as_i64() == Some(line.price)
            && item["discount"]["amount"].as_i64().unwrap_or(0) == line.discount
    };
    lines.len() == items.len() && lines.iter().zip(items).all(same)
}
