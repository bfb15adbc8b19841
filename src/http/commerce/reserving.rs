//! What an order reserves before it is placed, and gives back if it is not.
//!
//! ```text
//! lines ─ reserve a slot for each in a sale ─ and a use of each coupon (`discounting`) ─▶ place ─▶ the order
//!              └ refused                          └ refused                                 └ refused: released at once
//! ```
//!
//! Whatever is lost on the way is returned by the entity that reserved it, once the order can be placed no more.

use std::time::Duration;

use lyceum_domain::commerce::order::no_discount;
use lyceum_domain::commerce::{Error, Outcome, PlaceOrder, Reservation, coupon, membership, sale};
use lyceum_domain::ids::{CourseId, OrderId, SaleId};
use lyceum_entities::commerce::{Answer, MembershipKey, SaleAnswer, SaleQuestion};
use lyceum_kernel::{Class, Coded};
use lyceum_runtime::{AskError, Context};

use super::wire::OrderItemBody;
use super::{discounting, unexpected};
use crate::http::{Api, Problem};

/// After which a buyer who found too many others waiting for a sale comes again: a full mailbox is worked off in less.
const WAITING_ROOM: Duration = Duration::from_secs(1);

/// Reserves what the items of an order ask for, and prices its lines by it. What was reserved before a refusal is in `place`, and the
/// caller's to release.
///
/// # Errors
/// What a sale refuses, by the item that asked for it; 503 `commerce.sale_crowded` where too many others wait.
pub(super) async fn reserve(
    api: &Api,
    context: &Context,
    items: &[OrderItemBody],
    place: &mut PlaceOrder,
) -> Result<(), Problem> {
    for (index, item) in items.iter().enumerate() {
        let Some(sale_id) = item.sale_id else { continue };
        // Bundles have other lines before it; a sale is of a course.
        let asked = (index, item.course_id.ok_or_else(|| of_a_course(index))?);
        slot(api, context, sale_id, asked, place).await?;
    }
    Ok(())
}

/// 400 for a bundle in a sale.
fn of_a_course(index: usize) -> Problem {
    let problem = Problem::new(
        Class::Malformed,
        "http.invalid_body",
        "The body cannot be understood.",
    );
    problem.at(format!("/items/{index}/sale_id"), "a sale is of a course")
}

/// Reserves a slot of a sale for one line.
async fn slot(
    api: &Api,
    context: &Context,
    sale_id: SaleId,
    (index, course_id): (usize, CourseId),
    place: &mut PlaceOrder,
) -> Result<(), Problem> {
    let mut lines = place.lines.iter_mut();
    let line = lines.find(|line| line.course_id == course_id);
    let (Some(until), Some(line)) = (place.reserved_until, line) else {
        return Err(unexpected());
    };
    let command = sale::Command::Reserve {
        order_id: place.order_id,
        user: place.buyer,
        course_id: line.course_id,
        until,
    };
    let question = SaleQuestion::Slot { user: place.buyer };
    // The order is the operation: a repeated request is another order until it is known to be a repetition, and what its
    // first time has reserved is not its own.
    let context = Context {
        operation: None,
        ..*context
    };
    match api.platform.sales.ask(sale_id, command, question, &context).await {
        Ok(SaleAnswer::Slot { price }) => {
            line.discount = line.price.minus(price).unwrap_or(no_discount());
            place.reservations.push(Reservation::Slot { sale_id });
            Ok(())
        }
        Ok(_) => Err(unexpected()),
        Err(AskError::Overloaded) => Err(Problem::new(
            Class::Unavailable,
            "commerce.sale_crowded",
            "Too many buyers are waiting for this sale. Nothing was changed.",
        )
        .retry_after(WAITING_ROOM)),
        Err(AskError::Refused(refusal)) => {
            let detail = refusal.to_string();
            Err(Problem::from_error(&refusal).at(format!("/items/{index}/sale_id"), detail))
        }
        Err(error) => Err(error.into()),
    }
}

/// Gives back what was reserved for an order that is not placed. Nobody waits for it: if it is lost, a timer does the same later.
pub(super) fn release(api: &Api, place: &PlaceOrder) {
    for reservation in &place.reservations {
        match reservation {
            Reservation::Slot { sale_id } => {
                let command = sale::Command::Settle {
                    order_id: place.order_id,
                    user: place.buyer,
                    outcome: Outcome::Returned,
                };
                api.platform.sales.tell(*sale_id, command);
            }
            Reservation::Coupon { coupon_id } => {
                let order_id = place.order_id;
                let command = coupon::Command::Release { order_id };
                api.platform.coupons.tell(*coupon_id, command);
            }
            Reservation::Period { membership_id } => {
                let (membership, user) = (*membership_id, place.buyer);
                let command = membership::Command::Settle {
                    order_id: place.order_id,
                    outcome: Outcome::Returned,
                };
                let key = MembershipKey { membership, user };
                api.platform.memberships.tell(key, command);
            }
        }
    }
}

/// Whether it is certain that this order was not placed, and will not be.
pub(super) fn is_not_placed(answered: &Result<Answer, AskError<Error>>, order_id: OrderId) -> bool {
    match answered {
        // A repeated request was answered with the order of its first time.
        Ok(Answer::Order(order)) => order.placement.order_id != order_id,
        Err(AskError::Refused(_) | AskError::Overloaded | AskError::KeyReused) => true,
        // Whatever else came of it, the buyer is asked later.
        Ok(_) | Err(_) => false,
    }
}

/// Whether the order may have been placed before, by the first time of this request: its buyer has a slot, or a use, by it.
pub(super) fn may_be_repeated(problem: &Problem) -> bool {
    let had = [sale::Refusal::SlotReserved, sale::Refusal::SlotSold];
    had.into_iter()
        .any(|refusal| problem.code() == Error::Sale(refusal).code())
        || discounting::may_be_repeated(problem.code())
}
