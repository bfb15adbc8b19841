//! Phantoms: effects of clients of the history that none of their requests explains.
//!
//! An effect that no acknowledgement names must be the doing of a claim whose outcome is unknown, asked for the same and
//! explains nothing else. Effects from before the client's first request in the history are somebody else's business.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use uuid::Uuid;

use super::{Claim, Effect, Route};
use crate::books::Books;
use crate::report::{Report, Rule};
use crate::typeid;

pub(super) const PHANTOM: Rule = Rule {
    name: "claims.nothing_is_made_up",
    says: "No order, top-up or refund of a client exists that none of its requests explains.",
};

/// Clocks of clients and servers may differ by this much.
const CLOCKS_MS: u64 = 1_000;

/// What a claim asked for, or an effect consists of, as far as both can tell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Shape {
    Order { courses: Vec<Uuid>, method: String },
    TopUp { amount: i64 },
    Refund { order: Uuid },
}

/// Looks for phantoms, `known` being the effects that were acknowledged.
pub(super) fn examine(
    claims: &[Claim],
    known: &HashSet<Effect>,
    books: &Books,
    accounts: &HashMap<String, Uuid>,
    report: &mut Report,
) {
    let mut since: HashMap<Uuid, u64> = HashMap::new();
    let mut perhaps: HashMap<(Uuid, Shape), usize> = HashMap::new();
    for claim in claims {
        let name = claim.user.as_ref().map(|name| name.to_lowercase());
        let Some(user) = name.and_then(|name| accounts.get(&name)).copied() else {
            continue;
        };
        let begun_ms = claim.begun_at_unix_us / 1_000;
        let first = since.entry(user).or_insert(begun_ms);
        *first = begun_ms.min(*first);
        if claim.open
            && claim.acknowledged.is_none()
            && let Some(shape) = shape_of(claim)
        {
            *perhaps.entry((user, shape)).or_default() += 1;
        }
    }

    let mut explain = |user: Uuid, id: Uuid, effect: Effect, shape: Shape| {
        let is_ours = since
            .get(&user)
            .is_some_and(|first| drawn_at_ms(id) + CLOCKS_MS >= *first);
        if !is_ours || known.contains(&effect) {
            return;
        }
        match perhaps.get_mut(&(user, shape.clone())).filter(|left| **left > 0) {
            Some(left) => *left -= 1,
            None => report.violate(PHANTOM, 1, format!("{effect:?} of {user}: {shape:?}")),
        }
    };
    // A membership is renewed by the clock, without a request.
    for (id, order) in books
        .orders
        .iter()
        .filter(|(_, order)| order.membership.is_none())
    {
        let mut courses: Vec<Uuid> = order.lines.iter().map(|line| line.course).collect();
        courses.sort_unstable();
        let method = order.method.clone();
        explain(
            order.user,
            *id,
            Effect::Order(*id),
            Shape::Order { courses, method },
        );
        // What could not be fulfilled goes back without anybody asking.
        for refund in order.refunds.iter().filter(|_| order.fulfilled) {
            explain(
                order.user,
                refund.id,
                Effect::Refund(refund.id),
                Shape::Refund { order: *id },
            );
        }
    }
    for (id, top_up) in &books.top_ups {
        let shape = Shape::TopUp {
            amount: top_up.amount,
        };
        explain(top_up.user, *id, Effect::TopUp(*id), shape);
    }
}

/// The time in front of a `UUIDv7`.
fn drawn_at_ms(id: Uuid) -> u64 {
    u64::try_from(id.as_u128() >> 80).unwrap_or_default()
}

fn shape_of(claim: &Claim) -> Option<Shape> {
    let body: Value = serde_json::from_str(&claim.body).unwrap_or_default();
    match claim.route()? {
        Route::Orders => {
            let items = body["items"].as_array()?;
            let course = |item: &Value| typeid::parse("crs", item["course_id"].as_str()?);
            let mut courses = items.iter().map(course).collect::<Option<Vec<Uuid>>>()?;
            courses.sort_unstable();
            let method = body["payment_method"].as_str()?.to_owned();
            Some(Shape::Order { courses, method })
        }
        Route::TopUps => Some(Shape::TopUp {
            amount: body["amount"]["amount"].as_i64()?,
        }),
        Route::Refunds(order) => Some(Shape::Refund { order }),
        Route::Users => None,
    }
}
