//! The books: what the journal means, worked out again by rules of our own.
//!
//! Flow: events in order of their versions → accounts, courses, orders, grants, refunds, payments, wallets and postings
//! as they must be → compared row by row with the tables, in both directions. What the product wrote beside its events is thereby checked
//! against the events, and an event that was changed or lost against everything that followed from it.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::TryStreamExt;
use serde_json::Value;
use tokio_postgres::Transaction;
use uuid::Uuid;

use crate::Failure;
use crate::report::{Report, Rule};
use crate::typeid;

mod account;
mod adjustment;
mod buyer;
mod compare;
mod coupon;
mod course;
mod membership;
mod offer;
mod payment;
mod posting;
mod record;
mod refund;
mod sale;
mod subscriber;
mod team;

pub(crate) use compare::RULES as TABLE_RULES;
pub(crate) use coupon::USES_FOLLOW_ORDERS;
pub(crate) use membership::PERIODS_FOLLOW_ORDERS;
pub(crate) use posting::Posting;
pub(crate) use refund::Refund;
pub(crate) use sale::FOLLOWS_ORDERS;
pub(crate) use team::PLACES_FOLLOW_ORDERS;

/// The kinds of entities whose events are read, as numbered in the journal.
const ACCOUNT: i16 = 1;
const COURSE: i16 = 3;
const BUYER: i16 = 4;
const PAYMENT: i16 = 5;
const ADJUSTMENT: i16 = 7;
const SUBSCRIBER: i16 = 20;
const SALE: i16 = 8;
const BUNDLE: i16 = 21;
const BATCH: i16 = 22;
const COUPON: i16 = 23;
const MEMBERSHIP: i16 = 24;
const PLAN: i16 = 25;
const TEAM: i16 = 26;
const GROUP: i16 = 27;

/// Events must be readable: a rule that passes over what it does not know proves nothing.
pub(crate) const READABLE: Rule = Rule {
    name: "books.every_event_is_understood",
    says: "Every event of an account, a course, a buyer, a payment, an adjustment, a subscriber, a sale, a coupon, a membership, a team or an offer is one that the oracle knows how to read.",
};

/// Records of operations agree with the journal.
pub(crate) const RECORDED: Rule = Rule {
    name: "books.recorded_answer_is_what_happened",
    says: "The answer that is kept for a repeated request tells of an order or top-up as it was agreed.",
};

/// One order as its events tell it.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) user: Uuid,
    pub(crate) payment: Uuid,
    pub(crate) method: String,
    pub(crate) state: &'static str,
    pub(crate) lines: Vec<Line>,
    pub(crate) total: i64,
    pub(crate) currency: String,
    /// Whether access was ever granted.
    pub(crate) fulfilled: bool,
    /// Oldest first.
    pub(crate) refunds: Vec<Refund>,
    /// Whether it is for somebody else, who gets access by a code.
    pub(crate) gift: bool,
    /// Who has redeemed that code.
    pub(crate) redeemed_by: Option<Uuid>,
    /// The sales of which it reserved a slot.
    pub(crate) sales: Vec<Uuid>,
    /// The coupons of which it reserved a use.
    pub(crate) coupons: Vec<Uuid>,
    /// The membership of which it pays a period.
    pub(crate) membership: Option<Uuid>,
    /// The team that it has a place in.
    pub(crate) team: Option<Uuid>,
    /// Whether its money was kept until that was decided.
    pub(crate) held: bool,
    /// Payments after the one that the order was placed with, and by what.
    pub(crate) further: Vec<(Uuid, String)>,
    /// Which of several payments paid.
    pub(crate) paid: Option<Uuid>,
    /// Payments that were captured beside it.
    pub(crate) surplus: Vec<Uuid>,
}

impl Order {
    /// The payment that paid the order, or else the latest, and by what.
    pub(crate) fn pays(&self) -> (Uuid, &str) {
        let further = || self.further.iter().map(|(id, method)| (*id, method.as_str()));
        let paid = further().find(|(id, _)| Some(*id) == self.paid);
        let first = (self.payment, self.method.as_str());
        if self.paid.is_some() {
            return paid.unwrap_or(first);
        }
        further().next_back().unwrap_or(first)
    }

    /// Whether its buyer may study its lines for good once it is paid.
    pub(crate) fn brings_access(&self) -> bool {
        !self.gift && self.membership.is_none()
    }

    fn has_payment(&self, id: Uuid) -> bool {
        self.payment == id || self.further.iter().any(|(further, _)| *further == id)
    }
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) course: Uuid,
    pub(crate) version: i64,
    /// The list price.
    pub(crate) price: i64,
    pub(crate) creator: Uuid,
    pub(crate) share_bps: i64,
    pub(crate) discount: i64,
}

impl Line {
    /// What is paid.
    pub(crate) fn net(&self) -> i64 {
        self.price - self.discount
    }
}

/// One top-up as its events tell it.
#[derive(Clone, Debug)]
pub(crate) struct TopUp {
    pub(crate) user: Uuid,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) arrived: bool,
}

/// One payment as its events tell it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Payment {
    /// The order it is for; none for a top-up.
    pub(crate) order: Option<Uuid>,
    pub(crate) provider: Option<String>,
    pub(crate) amount: Option<i64>,
    pub(crate) currency: Option<String>,
    pub(crate) attempt: i64,
    pub(crate) state: &'static str,
    pub(crate) charge: Option<String>,
    /// Surplus captures: charge, and whether it has gone back.
    pub(crate) surplus: Vec<(String, bool)>,
}

/// Everything the journal says about people, courses, money and access.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) orders: BTreeMap<Uuid, Order>,
    pub(crate) top_ups: HashMap<Uuid, TopUp>,
    pub(crate) payments: HashMap<Uuid, Payment>,
    /// Imported grants: record and course, then user and version.
    imports: HashMap<(Uuid, Uuid), (Uuid, i64)>,
    /// Balances of wallets that ever moved.
    wallets: HashMap<Uuid, i64>,
    /// By source and step.
    postings: HashMap<(Uuid, i16), Posting>,
    adjustments: HashMap<Uuid, adjustment::Adjustment>,
    endpoints: HashMap<Uuid, subscriber::Endpoint>,
    sales: HashMap<Uuid, sale::Sale>,
    coupons: HashMap<Uuid, coupon::Coupon>,
    plans: HashMap<Uuid, membership::Plan>,
    memberships: HashMap<Uuid, membership::Membership>,
    teams: HashMap<Uuid, team::Team>,
    groups: HashMap<Uuid, team::Group>,
    bundles: HashMap<Uuid, offer::Bundle>,
    batches: HashMap<Uuid, offer::Batch>,
    /// Grants by redeem codes: code and course, then user and version.
    codes: HashMap<(Uuid, Uuid), (Uuid, i64)>,
    accounts: HashMap<Uuid, account::Account>,
    courses: HashMap<Uuid, course::Course>,
    /// What buyers were shown, by course and version.
    versions: HashMap<String, Value>,
    events: usize,
}

impl Books {
    /// Reads the journal of a snapshot.
    ///
    /// # Errors
    /// When it cannot be read; an event that makes no sense is a violation instead.
    pub(crate) async fn read(snapshot: &Transaction<'_>, report: &mut Report) -> Result<Self, Failure> {
        report.examine(READABLE);
        let mut books = Self::default();
        // Payments come after all buyers, who say whose payment it is.
        let rows = snapshot
            .query_raw(
                "SELECT kind, entity, version, events::text AS events FROM events WHERE kind = ANY ($1) \
                 ORDER BY kind, entity, version",
                [&[
                    ACCOUNT, COURSE, BUYER, PAYMENT, ADJUSTMENT, SUBSCRIBER, SALE, BUNDLE, BATCH, COUPON,
                    MEMBERSHIP, PLAN, TEAM, GROUP,
                ][..]],
            )
            .await?;
        let mut rows = std::pin::pin!(rows);
        while let Some(row) = rows.try_next().await? {
            let (kind, entity): (i16, Uuid) = (row.get("kind"), row.get("entity"));
            let events: Vec<Value> = serde_json::from_str(row.get("events")).unwrap_or_default();
            books.events += events.len();
            let understood = !events.is_empty()
                && events.iter().all(|event| {
                    let event_type = event["type"].as_str().unwrap_or_default();
                    let carried_out = match kind {
                        ACCOUNT => account::apply(&mut books, entity, event_type, event),
                        COURSE => course::apply(&mut books, entity, event_type, event),
                        BUYER => buyer::apply(&mut books, entity, event_type, event),
                        ADJUSTMENT => adjustment::apply(&mut books, entity, event_type, event),
                        SUBSCRIBER => subscriber::apply(&mut books, entity, event_type, event),
                        SALE => sale::apply(&mut books, entity, event_type, event),
                        COUPON => coupon::apply(&mut books, entity, event_type, event),
                        MEMBERSHIP => membership::apply(&mut books, entity, event_type, event),
                        PLAN => membership::plan(&mut books, entity, event_type, event),
                        TEAM => team::apply(&mut books, entity, event_type, event),
                        GROUP => team::group(&mut books, entity, event_type, event),
                        BUNDLE => offer::bundle(&mut books, entity, event_type, event),
                        BATCH => offer::batch(&mut books, entity, event_type, event),
                        _ => payment::apply(&mut books, entity, event_type, event),
                    };
                    carried_out.is_some()
                });
            if !understood {
                let version: i64 = row.get("version");
                report.violate(
                    READABLE,
                    1,
                    format!(
                        "kind {kind} {entity} version {version}: {}",
                        row.get::<_, &str>("events")
                    ),
                );
            }
        }
        report.count("events", books.events);
        report.count("accounts", books.accounts.len());
        report.count("courses", books.courses.len());
        report.count("orders", books.orders.len());
        report.count("payments", books.payments.len());
        report.count("ledger transactions", books.postings.len());
        report.count("adjustments", books.adjustments.len());
        report.count("webhook endpoints", books.endpoints.len());
        report.count("sales", books.sales.len());
        report.count("coupons", books.coupons.len());
        report.count("membership plans", books.plans.len());
        report.count("memberships", books.memberships.len());
        report.count("group prices", books.groups.len());
        report.count("teams", books.teams.len());
        report.count("bundles", books.bundles.len());
        report.count("batches of redeem codes", books.batches.len());
        Ok(books)
    }

    /// Compares the tables of the same snapshot with what the journal means.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub(crate) async fn compare(
        &self,
        snapshot: &Transaction<'_>,
        report: &mut Report,
    ) -> Result<(), Failure> {
        compare::tables(self, snapshot, report).await?;
        sale::examine(self, report);
        coupon::examine(self, report);
        membership::examine(self, report);
        team::examine(self, report);
        record::examine(self, snapshot, report).await
    }
}

impl Books {
    /// The courses that somebody may study by orders, each with its order, as clients name them.
    pub(crate) fn access_of(&self, user: Uuid) -> HashSet<(String, String)> {
        let orders = self.orders.iter().filter(|(_, order)| order.user == user);
        orders
            .flat_map(|(id, order)| {
                let order_id = typeid::write("ord", *id);
                let lines = order.lines.iter().filter(|line| order.grants(line));
                lines.map(move |line| (typeid::write("crs", line.course), order_id.clone()))
            })
            .collect()
    }

    /// What somebody may spend.
    pub(crate) fn balance_of(&self, user: Uuid) -> i64 {
        self.wallets.get(&user).copied().unwrap_or_default()
    }
}

/// A money value `{"amount": …, "currency": …}`.
fn money(value: &Value) -> Option<(i64, String)> {
    let currency = value["currency"].as_str()?;
    Some((value["amount"].as_i64()?, currency.to_owned()))
}

/// A list of texts.
fn texts_of(value: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    value.as_array()?.iter().map(text).collect()
}

/// An id in a field of an event.
fn id(prefix: &str, value: &Value) -> Option<Uuid> {
    typeid::parse(prefix, value.as_str()?)
}

/// The name of a state that is written as a text, or as an object with one field of that name.
fn state_name(value: &Value) -> Option<&str> {
    value
        .as_str()
        .or_else(|| value.as_object()?.keys().next().map(String::as_str))
}
