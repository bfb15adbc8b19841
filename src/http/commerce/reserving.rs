//! What an order reserves before it is placed, and gives back if it is not.
//!
//! ```text
//! lines ─ reserve a slot or a place for each in a sale or a team ─ and a use of each coupon (`discounting`) ─▶ place ─▶ the order
//!              └ refused                          └ refused                                 └ refused: released at once
//! ```
//!
//! Whatever is lost on the way is returned by the entity that reserved it, once the order can be placed no more.

use std::time::Duration;

use lyceum_domain::commerce::order::no_discount;
use lyceum_domain::commerce::{
    Error, Outcome, PlaceOrder, Reservation, coupon, group, membership, sale, team,
};
use lyceum_domain::ids::{CourseId, GroupId, OrderId, SaleId, TeamId};
use lyceum_entities::commerce::{
    Answer, MembershipKey, OfferQuestion, SaleAnswer, SaleQuestion, TeamAnswer, TeamQuestion,
};
use lyceum_kernel::{Class, Coded};
use lyceum_runtime::{AskError, Context, clock, ids};

use super::wire::OrderItemBody;
use super::{discounting, unexpected};
use crate::http::{Api, Problem};

/// After which a buyer who found too many others waiting for a sale comes again: a full mailbox is worked off in less.
const WAITING_ROOM: Duration = Duration::from_secs(1);

/// Reserves what the items of an order ask for, and prices its lines by it. What was reserved before a refusal is in `place`, and the
/// caller's to release.
///
/// # Errors
/// What a sale, a group price or a team refuses, by the item that asked for it; 400 `http.invalid_body` for a bundle in one of them and
/// for a course in several; 503 `commerce.sale_crowded` where too many others wait.
pub(super) async fn reserve(
    api: &Api,
    context: &Context,
    items: &[OrderItemBody],
    place: &mut PlaceOrder,
) -> Result<(), Problem> {
    for (index, item) in items.iter().enumerate() {
        // Bundles have other lines before it; a sale or a team is of a course.
        let course = || item.course_id.ok_or_else(|| of_a_course(index));
        match (item.sale_id, item.group_offer_id, item.team_id) {
            (None, None, None) => {}
            (Some(sale_id), None, None) => slot(api, context, sale_id, (index, course()?), place).await?,
            (None, Some(group_id), None) => {
                open_team(api, context, group_id, (index, course()?), place).await?;
            }
            (None, None, Some(team_id)) => {
                join_team(api, context, team_id, (index, course()?), place).await?;
            }
            _ => return Err(of_a_course(index)),
        }
    }
    Ok(())
}

/// Whether an order would open or join a team.
pub(super) fn is_in_team(items: &[OrderItemBody]) -> bool {
    let in_team = |item: &OrderItemBody| item.group_offer_id.is_some() || item.team_id.is_some();
    items.iter().any(in_team)
}

/// 400 for a bundle in a sale or a team, and for a course in several of them.
fn of_a_course(index: usize) -> Problem {
    let problem = Problem::new(
        Class::Malformed,
        "http.invalid_body",
        "The body cannot be understood.",
    );
    problem.at(
        format!("/items/{index}"),
        "a course, and at most one of sale_id, group_offer_id and team_id",
    )
}

/// Opens a team at a group price, with its first place for one line.
async fn open_team(
    api: &Api,
    context: &Context,
    group_id: GroupId,
    (index, course_id): (usize, CourseId),
    place: &mut PlaceOrder,
) -> Result<(), Problem> {
    let pointer = format!("/items/{index}/group_offer_id");
    let unnamed = Context {
        operation: None,
        ..*context
    };
    let groups = &api.platform.groups;
    let read = groups.read(group_id, OfferQuestion::Offer, &unnamed).await;
    let offer = read.map_err(|error| refused(error, &pointer))?.offer;
    if offer.course_id != course_id {
        let refusal = Error::Group(group::Refusal::OtherCourse);
        return Err(Problem::from_error(&refusal).at(pointer, refusal.to_string()));
    }
    let command = team::Command::Open {
        terms: team::Terms::of(group_id, &offer, clock::now()),
        order_id: place.order_id,
        user: place.buyer,
        until: place.reserved_until.ok_or_else(unexpected)?,
    };
    take_place(api, &unnamed, (ids::new(), command), &pointer, place).await
}

/// Reserves a place in a team for one line.
async fn join_team(
    api: &Api,
    context: &Context,
    team_id: TeamId,
    (index, course_id): (usize, CourseId),
    place: &mut PlaceOrder,
) -> Result<(), Problem> {
    let command = team::Command::Reserve {
        order_id: place.order_id,
        user: place.buyer,
        course_id,
        until: place.reserved_until.ok_or_else(unexpected)?,
    };
    // The order is the operation, as for a slot.
    let context = Context {
        operation: None,
        ..*context
    };
    let pointer = format!("/items/{index}/team_id");
    take_place(api, &context, (team_id, command), &pointer, place).await
}

/// Has a team keep a place for the order, which is then priced by it, expires with it, and may be refunded for the usual time after it.
async fn take_place(
    api: &Api,
    context: &Context,
    (team_id, command): (TeamId, team::Command),
    pointer: &str,
    place: &mut PlaceOrder,
) -> Result<(), Problem> {
    let question = TeamQuestion::Place { user: place.buyer };
    match api.platform.teams.ask(team_id, command, question, context).await {
        Ok(TeamAnswer::Place { price, ends_at }) => {
            place.reservations.push(Reservation::Place { team_id, ends_at });
            place.expires_at = place.expires_at.min(ends_at);
            // The course is had when the team succeeds, which may be as late as that.
            place.refundable_until = ends_at.plus(*api.settings.commerce.refund_window_s);
            // An order of a team has one line; the buyer refuses any other.
            if let Some(line) = place.lines.first_mut() {
                line.discount = line.price.minus(price).unwrap_or(no_discount());
            }
            Ok(())
        }
        Ok(_) => Err(unexpected()),
        Err(error) => Err(refused(error, pointer)),
    }
}

/// A refusal by the item that asked for it.
fn refused(error: AskError<Error>, pointer: &str) -> Problem {
    match error {
        AskError::Refused(refusal) => {
            let detail = refusal.to_string();
            Problem::from_error(&refusal).at(pointer.to_owned(), detail)
        }
        error => error.into(),
    }
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
        Err(error) => Err(refused(error, &format!("/items/{index}/sale_id"))),
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
            Reservation::Place { team_id, .. } => {
                let command = team::Command::Settle {
                    order_id: place.order_id,
                    user: place.buyer,
                    outcome: Outcome::Returned,
                };
                api.platform.teams.tell(*team_id, command);
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

/// Whether the order may have been placed before, by the first time of this request: its buyer has a slot, a place, or a use, by it, or
/// had a slot of a sale that has none left by now, or is over.
pub(super) fn may_be_repeated(problem: &Problem) -> bool {
    // Looked up only once a sale refuses: in a rush whoever gets a slot does not pay for those who ask again.
    let slots = [
        sale::Refusal::SlotReserved,
        sale::Refusal::SlotSold,
        sale::Refusal::SoldOut,
        sale::Refusal::Ended,
    ]
    .map(Error::Sale);
    let places = [team::Refusal::PlaceReserved, team::Refusal::PlacePaid].map(Error::Team);
    slots
        .iter()
        .chain(&places)
        .any(|refusal| problem.code() == refusal.code())
        || discounting::may_be_repeated(problem.code())
}
