//! What each event of a buyer means for orders, access, wallet and ledger. `None` is an event that makes no sense.

use serde_json::Value;
use uuid::Uuid;

use super::posting::{self, TOP_UP, UNFULFILLED};
use super::{
    Books, Line, Order, TopUp, adjustment, coupon, id, membership, money, offer, refund, sale, state_name,
    team,
};

pub(super) fn apply(books: &mut Books, user: Uuid, event_type: &str, event: &Value) -> Option<()> {
    match event_type {
        // Bought and settled in one decision, from the wallet or for nothing; there are no further fields around it.
        "purchased" => {
            let (order_id, mut order) = placement(user, event)?;
            order.state = "fulfilled";
            order.fulfilled = true;
            spend(books, &order);
            posting::sale(books, order_id, &order);
            place(books, order_id, order)
        }
        "order_placed" => {
            let (order_id, order) = placement(user, &event["order"])?;
            place(books, order_id, order)
        }
        // Paid, and kept until the team of the order is decided.
        "order_held" => {
            let (order_id, order) = known(books, user, event)?;
            let waits = order.team.is_some() && !order.held && !order.fulfilled && order.refunds.is_empty();
            paid(order, event)?;
            order.held = true;
            order.state = "paid";
            let order = order.clone();
            if order.pays().1 == "wallet" {
                spend(books, &order);
            }
            posting::capture_without_sale(books, (order_id, UNFULFILLED), &order);
            waits.then_some(())
        }
        "order_fulfilled" => {
            let (order_id, order) = known(books, user, event)?;
            if order.refunds.iter().any(super::Refund::succeeded) || order.fulfilled {
                return None;
            }
            paid(order, event)?;
            order.state = "fulfilled";
            order.fulfilled = true;
            let order = order.clone();
            if !order.held && !order.further.is_empty() && order.pays().1 == "wallet" {
                spend(books, &order);
            }
            posting::sale(books, order_id, &order);
            Some(())
        }
        "fulfilment_failed" => {
            let (order_id, order) = known(books, user, event)?;
            paid(order, event)?;
            refund::begin(order, &refund::Event(event), "processing")?;
            let order = order.clone();
            // What was kept for a team was posted then.
            if !order.held {
                posting::capture_without_sale(books, (order_id, UNFULFILLED), &order);
            }
            Some(())
        }
        "payment_added" => {
            let (_, order) = known(books, user, event)?;
            let payment = further(&event["payment"])?;
            if order.state != "pending" || order.has_payment(payment.0) {
                return None;
            }
            order.further.push(payment);
            Some(())
        }
        "payment_surplus" => {
            let (_, order) = known(books, user, event)?;
            let payment = id("pay", &event["payment_id"])?;
            let is_another = order.has_payment(payment) && order.pays().0 != payment;
            let captured = order.fulfilled || order.held || !order.refunds.is_empty();
            order.surplus.push(payment);
            (is_another && captured).then_some(())
        }
        "order_closing" => known(books, user, event).map(|_| ()),
        "order_closed" => {
            let (_, order) = known(books, user, event)?;
            order.state = match event["reason"].as_str()? {
                "expired" => "expired",
                "cancelled" | "payment_declined" => "cancelled",
                _ => return None,
            };
            Some(())
        }
        "refund_requested" | "refunded_to_wallet" | "refund_decided" | "refund_cancelled"
        | "refund_moved" => {
            let (order_id, _) = known(books, user, event)?;
            refund::apply(books, (order_id, user), event_type, event)
        }
        "top_up_started" => {
            let (amount, currency) = money(&event["amount"])?;
            let top_up = TopUp {
                user,
                amount,
                currency,
                arrived: false,
            };
            let payment = id("pay", &event["payment_id"])?;
            books.top_ups.insert(payment, top_up).is_none().then_some(())
        }
        "top_up_settled" => top_up_settled(books, user, event),
        // A gift is redeemed once, and only while its money stays.
        "gift_redeemed" => {
            let holder = id("usr", &event["user"])?;
            let (_, order) = known(books, user, event)?;
            let fits = order.is_redeemable();
            order.redeemed_by = Some(holder);
            fits.then_some(())
        }
        "code_granted" => offer::code_granted(books, user, event),
        "imported" => {
            for purchase in event["purchases"].as_array()? {
                let record = purchase["import_id"].as_str()?;
                let (_, record) = record.split_once('_')?;
                // The prefix of imports is nobody's business but the importer's.
                let record = crate::typeid::parse("any", &format!("any_{record}"))?;
                let course = id("crs", &purchase["course_id"])?;
                let version = purchase["course_version"].as_i64()?;
                books.imports.insert((record, course), (user, version));
            }
            Some(())
        }
        // An operator had the step taken that was due, or made a note; what followed are events of their own.
        "intervened" => {
            let known = known(books, user, event).is_some();
            let named = ["retry", "compensate", "reconcile"].contains(&event["action"].as_str()?);
            (known && named && id("usr", &event["deed"]["operator"]).is_some()).then_some(())
        }
        "adjusted" => adjustment::adjusted(books, user, event),
        "adjustment_refused" => adjustment::refused(books, event),
        // The person was erased; what the tables keep has no other source any more.
        "redacted" => Some(()),
        _ => None,
    }
}

/// What was agreed when an order was placed.
pub(super) fn placement(user: Uuid, value: &Value) -> Option<(Uuid, Order)> {
    let (total, currency) = money(&value["total"])?;
    let method = &value["method"];
    let method = method.as_str().or_else(|| method["provider"].as_str())?;
    let mut lines = Vec::new();
    for line in value["lines"].as_array()? {
        let (price, of) = money(&line["price"])?;
        let (discount, taken_of) = match &line["discount"] {
            Value::Null => (0, of.clone()),
            discount => money(discount)?,
        };
        if of != currency || taken_of != currency || discount > price {
            return None;
        }
        lines.push(Line {
            course: id("crs", &line["course_id"])?,
            version: line["course_version"].as_i64()?,
            price,
            creator: id("usr", &line["creator"])?,
            share_bps: line["share_bps"].as_i64()?,
            discount,
        });
    }
    let order = Order {
        user,
        payment: id("pay", &value["payment_id"])?,
        method: method.to_owned(),
        state: "pending",
        lines,
        total,
        currency,
        fulfilled: false,
        refunds: vec![],
        further: vec![],
        paid: None,
        surplus: vec![],
        gift: value["gift"].is_string(),
        redeemed_by: None,
        sales: sale::reserved_by(value)?,
        coupons: coupon::reserved_by(value)?,
        membership: membership::paid_by(value)?,
        team: team::reserved_by(value)?,
        held: false,
    };
    Some((id("ord", &value["order_id"])?, order))
}

/// One payment of an order beside its first.
fn further(value: &Value) -> Option<(Uuid, String)> {
    let method = &value["method"];
    let method = method.as_str().or_else(|| method["provider"].as_str())?;
    Some((id("pay", &value["payment_id"])?, method.to_owned()))
}

/// Notes which of several payments paid.
fn paid(order: &mut Order, event: &Value) -> Option<()> {
    if event["paid"].is_null() {
        // What waited for its team has been paid before.
        return (order.held || order.further.is_empty()).then_some(());
    }
    let payment = further(&event["paid"])?;
    order.paid = Some(payment.0);
    if !order.has_payment(payment.0) {
        order.further.push(payment);
    }
    Some(())
}

fn place(books: &mut Books, order_id: Uuid, order: Order) -> Option<()> {
    let adds_up = order.lines.iter().map(Line::net).sum::<i64>() == order.total;
    (books.orders.insert(order_id, order).is_none() && adds_up).then_some(())
}

fn known<'books>(books: &'books mut Books, user: Uuid, event: &Value) -> Option<(Uuid, &'books mut Order)> {
    let order_id = id("ord", &event["order_id"])?;
    let order = books.orders.get_mut(&order_id)?;
    (order.user == user).then_some((order_id, order))
}

fn top_up_settled(books: &mut Books, user: Uuid, event: &Value) -> Option<()> {
    let payment = id("pay", &event["payment_id"])?;
    let top_up = books.top_ups.get_mut(&payment)?;
    if state_name(&event["state"])? != "succeeded" {
        return Some(());
    }
    // Money arrives once.
    if std::mem::replace(&mut top_up.arrived, true) {
        return None;
    }
    let (amount, currency) = (top_up.amount, top_up.currency.clone());
    *books.wallets.entry(user).or_default() += amount;
    posting::top_up(books, (payment, TOP_UP), user, amount, &currency);
    Some(())
}

fn spend(books: &mut Books, order: &Order) {
    if order.total > 0 {
        *books.wallets.entry(order.user).or_default() -= order.total;
    }
}
