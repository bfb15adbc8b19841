//! What each event of a flash sale means: slots that are kept for orders, sold or given back, never more than there are.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use uuid::Uuid;

use super::{Books, id, money};
use crate::report::{Report, Rule};

/// Slots and orders agree in the journal itself.
pub(crate) const FOLLOWS_ORDERS: Rule = Rule {
    name: "books.slots_follow_their_orders",
    says: "A slot is sold exactly if the order that reserved it was fulfilled; no order is fulfilled on a slot that it does not have.",
};

/// What the table of sales says about each.
pub(super) const SALES_SQL: &str = "SELECT sale_id::text, format('course %s by %s price %s stock %s sold %s reserved %s', course_id, \
    created_by, price, stock, sold, reserved) FROM sales";
/// What the table of slots says about each.
pub(super) const SLOTS_SQL: &str =
    "SELECT format('%s of %s', order_id, sale_id), format('user %s %s', user_id, state) FROM sale_slots";

/// One sale as its events tell it.
#[derive(Clone, Debug)]
pub(crate) struct Sale {
    course: Uuid,
    by: Uuid,
    price: i64,
    stock: usize,
    /// Every slot that an order has had, by order.
    pub(crate) slots: BTreeMap<Uuid, Slot>,
}

/// A slot that an order has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    user: Uuid,
    pub(crate) state: &'static str,
}

pub(super) fn apply(books: &mut Books, sale_id: Uuid, event_type: &str, event: &Value) -> Option<()> {
    if event_type == "opened" {
        let terms = &event["terms"];
        let sale = Sale {
            course: id("crs", &terms["course_id"])?,
            by: id("usr", &event["by"])?,
            price: money(&terms["price"])?.0,
            stock: usize::try_from(terms["stock"].as_u64()?).ok()?,
            slots: BTreeMap::new(),
        };
        return books.sales.insert(sale_id, sale).is_none().then_some(());
    }
    let sale = books.sales.get_mut(&sale_id)?;
    let (order, user) = (id("ord", &event["order_id"])?, id("usr", &event["user"])?);
    let before = sale.slots.get(&order).copied();
    let (expected, state) = match event_type {
        "slot_reserved" => (None, "reserved"),
        "slot_sold" => (Some("reserved"), "sold"),
        "slot_released" => (Some("reserved"), "released"),
        _ => return None,
    };
    if before.map(|slot| slot.state) != expected || before.is_some_and(|slot| slot.user != user) {
        return None;
    }
    sale.slots.insert(order, Slot { user, state });
    // Never more than there are, and never two of one buyer.
    let mut taken = sale.slots.values().filter(|slot| slot.state != "released");
    let of_user = taken.clone().filter(|slot| slot.user == user).count();
    (taken.by_ref().count() <= sale.stock && of_user <= 1).then_some(())
}

/// What the table of sales must say.
pub(super) fn sales(books: &Books) -> HashMap<String, String> {
    let row = |(id, sale): (&Uuid, &Sale)| {
        let count = |state| sale.slots.values().filter(|slot| slot.state == state).count();
        let text = format!(
            "course {} by {} price {} stock {} sold {} reserved {}",
            sale.course,
            sale.by,
            sale.price,
            sale.stock,
            count("sold"),
            count("reserved")
        );
        (id.to_string(), text)
    };
    books.sales.iter().map(row).collect()
}

/// What the table of slots must say.
pub(super) fn slots(books: &Books) -> HashMap<String, String> {
    let mut rows = HashMap::new();
    for (sale_id, sale) in &books.sales {
        for (order, Slot { user, state }) in &sale.slots {
            rows.insert(format!("{order} of {sale_id}"), format!("user {user} {state}"));
        }
    }
    rows
}

/// Compares every slot with its order, and every order with its slots, at rest.
pub(super) fn examine(books: &Books, report: &mut Report) {
    report.examine(FOLLOWS_ORDERS);
    for (sale_id, sale) in &books.sales {
        for (order_id, slot) in &sale.slots {
            let order = books.orders.get(order_id);
            let paid = order.is_some_and(|order| order.fulfilled && order.sales.contains(sale_id));
            if paid != (slot.state == "sold") {
                let order = order.map(|order| order.state);
                report.violate(
                    FOLLOWS_ORDERS,
                    1,
                    format!("slot {} of {order_id} in {sale_id}, order {order:?}", slot.state),
                );
            }
        }
    }
    for (order_id, order) in books.orders.iter().filter(|(_, order)| order.fulfilled) {
        for sale_id in &order.sales {
            let slot = books.sales.get(sale_id).and_then(|sale| sale.slots.get(order_id));
            if slot.is_none_or(|slot| slot.state != "sold") {
                report.violate(
                    FOLLOWS_ORDERS,
                    1,
                    format!("order {order_id} has no slot of {sale_id}"),
                );
            }
        }
    }
}

/// The sales of which an order has a slot, by what was agreed when it was placed.
pub(super) fn reserved_by(placement: &Value) -> Option<Vec<Uuid>> {
    let Some(reservations) = placement["reservations"].as_array() else {
        return placement["reservations"].is_null().then(Vec::new);
    };
    let slots = reservations
        .iter()
        .filter(|reservation| reservation["type"] == "slot");
    slots.map(|slot| id("sal", &slot["sale_id"])).collect()
}
