//! What each event of a coupon means: uses that are kept for orders, redeemed or given back, never more than were promised.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use uuid::Uuid;

use super::{Books, Order, id, money};
use crate::report::{Report, Rule};

/// Uses and orders agree in the journal itself.
pub(crate) const USES_FOLLOW_ORDERS: Rule = Rule {
    name: "books.coupon_uses_follow_their_orders",
    says: "A use is redeemed exactly if the order that reserved it was fulfilled; no order is fulfilled with a coupon of which it \
           has no use, and none has less taken off than its uses say.",
};

/// What the table of coupons says about each.
pub(super) const COUPONS_SQL: &str = "SELECT coupon_id::text, format('%s of %s by %s: %s uses, %s each, %s reserved, %s redeemed, disabled %s', \
    code, coalesce(creator::text, 'platform'), issued_by, uses_max, per_user, reserved, redeemed, \
    CASE WHEN disabled_at IS NULL THEN 'no' ELSE 'yes' END) FROM coupons";
/// What the table of uses says about each.
pub(super) const USES_SQL: &str = "SELECT format('%s of %s', order_id, coupon_id), format('user %s off %s %s', user_id, off, state) FROM coupon_uses";

/// One coupon as its events tell it.
#[derive(Clone, Debug)]
pub(crate) struct Coupon {
    code: String,
    /// None if it is the platform's.
    creator: Option<Uuid>,
    by: Uuid,
    limit: usize,
    per_user: usize,
    disabled: bool,
    /// Every use that an order has had, by order.
    uses: BTreeMap<Uuid, Use>,
}

/// A use that an order has had.
#[derive(Clone, Debug)]
struct Use {
    user: Uuid,
    off: i64,
    /// By course.
    discounts: HashMap<Uuid, i64>,
    state: &'static str,
}

pub(super) fn apply(books: &mut Books, coupon_id: Uuid, event_type: &str, event: &Value) -> Option<()> {
    match event_type {
        "issued" => {
            let terms = &event["terms"];
            let size = |value: &Value| usize::try_from(value.as_u64()?).ok();
            let coupon = Coupon {
                code: terms["code"].as_str()?.to_owned(),
                creator: match &terms["issuer"] {
                    Value::String(issuer) if issuer == "platform" => None,
                    issuer => Some(id("usr", &issuer["creator"])?),
                },
                by: id("usr", &event["by"])?,
                limit: size(&terms["limit"])?,
                per_user: size(&terms["per_user"])?,
                disabled: false,
                uses: BTreeMap::new(),
            };
            // A code belongs to one coupon for good.
            let known = books.coupons.values().any(|known| known.code == coupon.code);
            let first = books.coupons.insert(coupon_id, coupon).is_none();
            (first && !known).then_some(())
        }
        "disabled" => {
            let coupon = books.coupons.get_mut(&coupon_id)?;
            (!std::mem::replace(&mut coupon.disabled, true)).then_some(())
        }
        "reserved" => reserved(books.coupons.get_mut(&coupon_id)?, event),
        "redeemed" | "released" => {
            let coupon = books.coupons.get_mut(&coupon_id)?;
            let claim = coupon.uses.get_mut(&id("ord", &event["order_id"])?)?;
            let fits = claim.state == "reserved"
                && claim.user == id("usr", &event["user"])?
                && claim.off == money(&event["off"])?.0;
            claim.state = if event_type == "redeemed" {
                "redeemed"
            } else {
                "released"
            };
            fits.then_some(())
        }
        _ => None,
    }
}

/// A use is reserved once, while the coupon serves, within its limits.
fn reserved(coupon: &mut Coupon, event: &Value) -> Option<()> {
    let user = id("usr", &event["user"])?;
    let mut discounts = HashMap::new();
    for discount in event["discounts"].as_array()? {
        let course = id("crs", &discount["course_id"])?;
        *discounts.entry(course).or_default() += money(&discount["off"])?.0;
    }
    let claim = Use {
        user,
        off: money(&event["off"])?.0,
        discounts,
        state: "reserved",
    };
    let adds_up = claim.off > 0 && claim.discounts.values().sum::<i64>() == claim.off;
    let order = id("ord", &event["order_id"])?;
    let first = coupon.uses.insert(order, claim).is_none();
    let taken = || coupon.uses.values().filter(|claim| claim.state != "released");
    let of_user = taken().filter(|claim| claim.user == user).count();
    let within = taken().count() <= coupon.limit && of_user <= coupon.per_user;
    (first && adds_up && within && !coupon.disabled).then_some(())
}

/// What the table of coupons must say.
pub(super) fn coupons(books: &Books) -> HashMap<String, String> {
    let row = |(id, coupon): (&Uuid, &Coupon)| {
        let count = |state| coupon.uses.values().filter(|claim| claim.state == state).count();
        let text = format!(
            "{} of {} by {}: {} uses, {} each, {} reserved, {} redeemed, disabled {}",
            coupon.code,
            coupon
                .creator
                .map_or_else(|| "platform".to_owned(), |creator| creator.to_string()),
            coupon.by,
            coupon.limit,
            coupon.per_user,
            count("reserved"),
            count("redeemed"),
            if coupon.disabled { "yes" } else { "no" }
        );
        (id.to_string(), text)
    };
    books.coupons.iter().map(row).collect()
}

/// What the table of uses must say.
pub(super) fn uses(books: &Books) -> HashMap<String, String> {
    let mut rows = HashMap::new();
    for (coupon_id, coupon) in &books.coupons {
        for (order, claim) in &coupon.uses {
            let text = format!("user {} off {} {}", claim.user, claim.off, claim.state);
            rows.insert(format!("{order} of {coupon_id}"), text);
        }
    }
    rows
}

/// Compares every use with its order, and every order with its uses, at rest.
pub(super) fn examine(books: &Books, report: &mut Report) {
    report.examine(USES_FOLLOW_ORDERS);
    for (coupon_id, coupon) in &books.coupons {
        for (order_id, claim) in &coupon.uses {
            let order = books.orders.get(order_id);
            let paid = order.is_some_and(|order| {
                order.fulfilled && order.user == claim.user && order.coupons.contains(coupon_id)
            });
            if paid != (claim.state == "redeemed") {
                let order = order.map(|order| order.state);
                let text = format!(
                    "use {} of {coupon_id} by {order_id}, order {order:?}",
                    claim.state
                );
                report.violate(USES_FOLLOW_ORDERS, 1, text);
            }
        }
    }
    for (order_id, order) in books.orders.iter().filter(|(_, order)| order.fulfilled) {
        if !serves(books, *order_id, order) {
            let text = format!(
                "order {order_id} has not what its coupons {:?} promise",
                order.coupons
            );
            report.violate(USES_FOLLOW_ORDERS, 1, text);
        }
    }
}

/// Whether an order has a redeemed use of each of its coupons, and what they take off each line is taken off.
fn serves(books: &Books, order_id: Uuid, order: &Order) -> bool {
    let mut off: HashMap<Uuid, i64> = HashMap::new();
    for coupon_id in &order.coupons {
        let claim = books
            .coupons
            .get(coupon_id)
            .and_then(|coupon| coupon.uses.get(&order_id));
        let Some(claim) = claim.filter(|claim| claim.state == "redeemed") else {
            return false;
        };
        for (course, discount) in &claim.discounts {
            *off.entry(*course).or_default() += discount;
        }
    }
    // A sale or a bundle may take off more.
    off.into_iter().all(|(course, off)| {
        order
            .lines
            .iter()
            .any(|line| line.course == course && line.discount >= off)
    })
}

/// The coupons of which an order has a use, by what was agreed when it was placed.
pub(super) fn reserved_by(placement: &Value) -> Option<Vec<Uuid>> {
    let Some(reservations) = placement["reservations"].as_array() else {
        return placement["reservations"].is_null().then(Vec::new);
    };
    let coupons = reservations
        .iter()
        .filter(|reservation| reservation["type"] == "coupon");
    coupons.map(|coupon| id("cpn", &coupon["coupon_id"])).collect()
}
