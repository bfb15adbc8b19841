//! What each event of a membership plan or a membership means: orders that pay periods, each once, one after the other.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use uuid::Uuid;

use super::{Books, Order, id, money, texts_of};
use crate::report::{Report, Rule};

/// Periods and orders agree in the journal itself.
pub(crate) const PERIODS_FOLLOW_ORDERS: Rule = Rule {
    name: "books.periods_follow_their_orders",
    says: "A membership has a period by an order exactly if the order was fulfilled for it, at the price that was agreed when its \
           member joined, and its money has not gone back.",
};

/// What the table of plans says about each.
pub(super) const PLANS_SQL: &str = "SELECT plan_id::text, format('%s by %s price %s every %s', state, coalesce(creator::text, 'platform'), \
    price, every) FROM membership_plans";
/// What the table of memberships says about each. Whether one that lives is late with its payment is told by its charges.
pub(super) const MEMBERSHIPS_SQL: &str = "SELECT membership_id::text, format('user %s plan %s price %s %s renews %s', user_id, plan_id, price, \
    CASE WHEN state IN ('active', 'past_due') THEN 'live' ELSE state END, CASE WHEN renews THEN 'yes' ELSE 'no' END) FROM memberships";
/// What the table of charges says about each.
pub(super) const CHARGES_SQL: &str = "SELECT order_id::text, format('membership %s user %s %s', membership_id, user_id, state) FROM membership_charges";

/// One plan as its events tell it.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// None if it is the platform's.
    creator: Option<Uuid>,
    price: i64,
    every: String,
    withdrawn: bool,
}

/// One membership as its events tell it.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    user: Uuid,
    plan: Uuid,
    price: i64,
    state: &'static str,
    renews: bool,
    /// Every order that was to pay a period, and what became of it.
    charges: BTreeMap<Uuid, &'static str>,
    /// What each of them was to pay.
    prices: HashMap<Uuid, i64>,
}

pub(super) fn plan(books: &mut Books, plan_id: Uuid, event_type: &str, event: &Value) -> Option<()> {
    match event_type {
        "offered" => {
            let offer = &event["offer"];
            let creator = match &offer["issuer"] {
                Value::String(issuer) if issuer == "platform" => None,
                issuer => Some(id("usr", &issuer["creator"])?),
            };
            let courses = &offer["opens"]["courses"];
            let named = courses.is_null() || !texts_of(courses)?.is_empty();
            let plan = Plan {
                creator,
                price: money(&offer["price"])?.0,
                every: offer["every"].as_str()?.to_owned(),
                withdrawn: false,
            };
            let first = books.plans.insert(plan_id, plan).is_none();
            (first && named).then_some(())
        }
        "withdrawn" => {
            let plan = books.plans.get_mut(&plan_id)?;
            (!std::mem::replace(&mut plan.withdrawn, true)).then_some(())
        }
        _ => None,
    }
}

pub(super) fn apply(books: &mut Books, membership_id: Uuid, event_type: &str, event: &Value) -> Option<()> {
    if event_type == "joined" {
        let terms = &event["terms"];
        let before = books.memberships.remove(&membership_id);
        let over = before.as_ref().is_none_or(|before| before.state == "ended");
        let (mut charges, mut prices) = before
            .map(|before| (before.charges, before.prices))
            .unwrap_or_default();
        let (order, price) = (id("ord", &event["order_id"])?, money(&terms["price"])?.0);
        let first = charges.insert(order, "pending").is_none();
        prices.insert(order, price);
        let joined = Membership {
            user: id("usr", &event["user"])?,
            plan: id("pln", &terms["plan_id"])?,
            price,
            state: "pending",
            renews: true,
            charges,
            prices,
        };
        books.memberships.insert(membership_id, joined);
        return (first && over).then_some(());
    }
    let membership = books.memberships.get_mut(&membership_id)?;
    match event_type {
        "charge_begun" => {
            let order = id("ord", &event["order_id"])?;
            membership.prices.insert(order, membership.price);
            let first = membership.charges.insert(order, "pending").is_none();
            (first && membership.state == "live").then_some(())
        }
        "charge_failed" => membership.charge(event, &["pending"], "unpaid"),
        "period_added" => {
            let (from, to) = (event["from"].as_str()?, event["to"].as_str()?);
            match membership.state {
                "ended" => (membership.state, membership.renews) = ("live", false),
                "paused" => {}
                _ => membership.state = "live",
            }
            // A time that is written later is later: they are all written alike.
            let grows = from < to;
            membership.charge(event, &["pending", "unpaid"], "paid")?;
            grows.then_some(())
        }
        "period_removed" => membership.charge(event, &["pending", "unpaid", "paid"], "removed"),
        "cancelled" | "kept" => {
            let renews = event_type == "kept";
            let fits = ["live", "paused"].contains(&membership.state);
            (std::mem::replace(&mut membership.renews, renews) != renews && fits).then_some(())
        }
        "paused" => (std::mem::replace(&mut membership.state, "paused") == "live").then_some(()),
        "resumed" => (std::mem::replace(&mut membership.state, "live") == "paused").then_some(()),
        "ended" => {
            membership.renews = false;
            (std::mem::replace(&mut membership.state, "ended") != "ended").then_some(())
        }
        _ => None,
    }
}

impl Membership {
    /// Moves an order from one of some states to another.
    fn charge(&mut self, event: &Value, from: &[&str], to: &'static str) -> Option<()> {
        let charge = self.charges.get_mut(&id("ord", &event["order_id"])?)?;
        from.contains(&std::mem::replace(charge, to)).then_some(())
    }
}

/// What the table of plans must say.
pub(super) fn plans(books: &Books) -> HashMap<String, String> {
    let row = |(id, plan): (&Uuid, &Plan)| {
        let text = format!(
            "{} by {} price {} every {}",
            if plan.withdrawn { "withdrawn" } else { "offered" },
            plan.creator
                .map_or_else(|| "platform".to_owned(), |creator| creator.to_string()),
            plan.price,
            plan.every
        );
        (id.to_string(), text)
    };
    books.plans.iter().map(row).collect()
}

/// What the table of memberships must say.
pub(super) fn memberships(books: &Books) -> HashMap<String, String> {
    let row = |(id, membership): (&Uuid, &Membership)| {
        let text = format!(
            "user {} plan {} price {} {} renews {}",
            membership.user,
            membership.plan,
            membership.price,
            membership.state,
            if membership.renews { "yes" } else { "no" }
        );
        (id.to_string(), text)
    };
    books.memberships.iter().map(row).collect()
}

/// What the table of charges must say.
pub(super) fn charges(books: &Books) -> HashMap<String, String> {
    let mut rows = HashMap::new();
    for (membership_id, membership) in &books.memberships {
        for (order, state) in &membership.charges {
            let text = format!("membership {membership_id} user {} {state}", membership.user);
            rows.insert(order.to_string(), text);
        }
    }
    rows
}

/// Compares every period with its order, and every order with its period, at rest.
pub(super) fn examine(books: &Books, report: &mut Report) {
    report.examine(PERIODS_FOLLOW_ORDERS);
    for (membership_id, membership) in &books.memberships {
        for (order_id, state) in &membership.charges {
            let order = books.orders.get(order_id);
            let paid = order.is_some_and(|order| {
                let agreed = membership.prices.get(order_id).copied();
                order.fulfilled
                    && order.user == membership.user
                    && order.membership == Some(*membership_id)
                    && agreed == Some(order.total)
                    && !gone_back(order)
            });
            if paid != (*state == "paid") {
                let order = order.map(|order| order.state);
                let text = format!("period {state} of {membership_id} by {order_id}, order {order:?}");
                report.violate(PERIODS_FOLLOW_ORDERS, 1, text);
            }
        }
    }
    for (order_id, order) in &books.orders {
        let Some(membership_id) = order.membership.filter(|_| order.fulfilled) else {
            continue;
        };
        let membership = books.memberships.get(&membership_id);
        if membership.is_none_or(|membership| !membership.charges.contains_key(order_id)) {
            let text = format!("order {order_id} was paid for {membership_id}, which does not know it");
            report.violate(PERIODS_FOLLOW_ORDERS, 1, text);
        }
    }
}

/// Whether all that an order cost has gone back.
fn gone_back(order: &Order) -> bool {
    order.lines.iter().all(|line| order.is_returned(line))
}

/// The membership of which an order pays a period, by what was agreed when it was placed.
pub(super) fn paid_by(placement: &Value) -> Option<Option<Uuid>> {
    let Some(reservations) = placement["reservations"].as_array() else {
        return placement["reservations"].is_null().then_some(None);
    };
    let mut periods = reservations
        .iter()
        .filter(|reservation| reservation["type"] == "period");
    match (periods.next(), periods.next()) {
        (None, _) => Some(None),
        (Some(period), None) => id("mbr", &period["membership_id"]).map(Some),
        // One order pays one period.
        (Some(_), Some(_)) => None,
    }
}
