//! What each event of a buyer means for orders, access, wallet and ledger. `None` is an event that makes no sense.

use serde_json::Value;
use uuid::Uuid;

use super::posting::{self, TOP_UP, UNFULFILLED};
use super::{Books, Line, Order, Refund, TopUp, adjustment, id, money, sale, state_name};

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
        "order_fulfilled" => {
            let (order_id, order) = known(books, user, event)?;
            order.state = "fulfilled";
            order.fulfilled = true;
            let order = order.clone();
            posting::sale(books, order_id, &order);
            Some(())
        }
        "fulfilment_failed" => {
            let (order_id, order) = known(books, user, event)?;
            order.state = "refunding";
            order.refund = Some(refund(event, "processing")?);
            let order = order.clone();
            posting::capture_without_sale(books, (order_id, UNFULFILLED), &order);
            Some(())
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
        "refund_requested" => {
            let (_, order) = known(books, user, event)?;
            order.state = "refunding";
            order.refund = Some(refund(event, "processing")?);
            Some(())
        }
        "refunded_to_wallet" => {
            let (order_id, order) = known(books, user, event)?;
            order.state = "refunded";
            let refund = refund(event, "succeeded")?;
            let refund_id = refund.id;
            order.refund = Some(refund);
            let order = order.clone();
            *books.wallets.entry(user).or_default() += order.total;
            posting::reverse(books, order_id, refund_id, &order)
        }
        "refund_moved" => refund_moved(books, user, event),
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
        refund: None,
        sales: sale::reserved_by(value)?,
    };
    Some((id("ord", &value["order_id"])?, order))
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

fn refund(event: &Value, state: &str) -> Option<Refund> {
    Some(Refund {
        id: id("ref", &event["refund_id"])?,
        attempt: 1,
        state: state.to_owned(),
    })
}

fn refund_moved(books: &mut Books, user: Uuid, event: &Value) -> Option<()> {
    let state = state_name(&event["state"])?.to_owned();
    let attempt = event["attempt"].as_i64()?;
    let (order_id, order) = known(books, user, event)?;
    let refund = order.refund.as_mut()?;
    if refund.id != id("ref", &event["refund_id"])? {
        return None;
    }
    refund.attempt = attempt;
    refund.state.clone_from(&state);
    if state != "succeeded" {
        return Some(());
    }
    let refund_id = refund.id;
    order.state = "refunded";
    let order = order.clone();
    posting::reverse(books, order_id, refund_id, &order)
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
