//! What coupons take off a cart: shown in a quote, kept for an order.
//!
//! ```text
//! codes ─ found ─ arranged: the creator's, then the platform's ─┬─▶ quote: what each would take off
//!                                                               └─▶ order: one use of each is kept, and its discounts are the lines'
//! ```
//!
//! A use that was kept before a refusal is given back by whoever asked (`reserving::release`), or later by the coupon's timer.

use std::sync::Arc;
use std::time::Duration;

use lyceum_domain::commerce::coupon::{COUPONS_MAX, Code, Command, Discount, Issuer, Item, Refusal, arrange};
use lyceum_domain::commerce::order::no_discount;
use lyceum_domain::commerce::{Error, Line, PlaceOrder, Reservation};
use lyceum_domain::ids::{CouponId, UserId};
use lyceum_entities::commerce::{CouponAnswer, CouponQuestion};
use lyceum_kernel::{Class, Coded, Money};
use lyceum_runtime::{AskError, Context};

use super::pricing::{Cart, at};
use super::unexpected;
use super::wire::QuoteCoupon;
use crate::http::{Api, Problem, Request};

/// After which a buyer who found too many others waiting for a coupon comes again: a full mailbox is worked off in less.
const WAITING_ROOM: Duration = Duration::from_secs(1);

/// The codes of a request, each with where it stands.
pub(super) struct Codes(Vec<(String, String)>);

/// A coupon of a request.
pub(super) struct Named {
    id: CouponId,
    issuer: Issuer,
    code: Code,
    pointer: String,
}

impl Codes {
    /// The one code of a request, and its list of codes; either may be left out.
    pub(super) fn of(code: Option<String>, codes: Vec<String>) -> Self {
        let one = code.map(|code| ("/coupon_code".to_owned(), code));
        let more = codes.into_iter().enumerate();
        let more = more.map(|(index, code)| (format!("/coupon_codes/{index}"), code));
        Codes(one.into_iter().chain(more).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Finds the coupons, in the order in which they apply.
    ///
    /// # Errors
    /// 422 `commerce.coupon_unknown`, `commerce.coupon_not_stackable`; 429 after too many wrong codes.
    pub(super) async fn find(self, api: &Api, request: &Request) -> Result<Vec<Named>, Problem> {
        if self.is_empty() {
            return Ok(vec![]);
        }
        if self.0.len() > COUPONS_MAX {
            return Err(not_stackable());
        }
        request.may_guess()?;
        let mut named = Vec::with_capacity(self.0.len());
        for (pointer, text) in self.0 {
            let code = Code::parse(&text).ok();
            let found = match &code {
                Some(code) => api.platform.commerce.coupon_of(code).await?,
                None => None,
            };
            let (Some(code), Some(found)) = (code, found) else {
                request.guessed_wrong();
                return Err(refused(&Error::Coupon(Refusal::Unknown), &pointer));
            };
            named.push(Named {
                id: found.id,
                issuer: found.issuer,
                code,
                pointer,
            });
        }
        arrange(named, |coupon| coupon.issuer).map_err(|_| not_stackable())
    }
}

/// Takes off a cart what each coupon would take off an order of it; nothing is kept.
///
/// # Errors
/// Why a coupon would not serve the order, by the code that names it.
pub(super) async fn preview(
    api: &Api,
    context: &Context,
    named: &[Named],
    user: UserId,
    cart: &mut Cart,
) -> Result<Vec<QuoteCoupon>, Problem> {
    let mut taken = Vec::with_capacity(named.len());
    for coupon in named {
        let question = CouponQuestion::Offer {
            user,
            items: items(&cart.lines, &cart.categories),
            stacked: named.len() > 1,
        };
        let answered = api.platform.coupons.read(coupon.id, question, context).await;
        let discounts = coupon.discounts(answered)?;
        take_off(&mut cart.lines, &discounts)?;
        taken.push(QuoteCoupon::of(&coupon.code, sum(&discounts)?));
    }
    Ok(taken)
}

/// Keeps a use of each coupon for an order, and takes off its lines what they promise.
///
/// # Errors
/// Why a coupon does not serve the order, by the code that names it; 503 `commerce.coupon_crowded` where too many others wait.
pub(super) async fn reserve(
    api: &Api,
    context: &Context,
    named: &[Named],
    categories: &[Option<Arc<str>>],
    place: &mut PlaceOrder,
) -> Result<(), Problem> {
    for coupon in named {
        let until = place.reserved_until.ok_or_else(unexpected)?;
        let order_id = place.order_id;
        let command = Command::Reserve {
            order_id,
            user: place.buyer,
            items: items(&place.lines, categories),
            stacked: named.len() > 1,
            until,
        };
        // The order is the operation, as for a slot.
        let context = Context {
            operation: None,
            ..*context
        };
        let question = CouponQuestion::Claim { order_id };
        let coupons = &api.platform.coupons;
        let discounts = coupon.discounts(coupons.ask(coupon.id, command, question, &context).await)?;
        place
            .reservations
            .push(Reservation::Coupon { coupon_id: coupon.id });
        take_off(&mut place.lines, &discounts)?;
    }
    Ok(())
}

/// Whether the order may have been placed meanwhile, by an equal request that came a little earlier: it has the use then.
pub(super) fn may_be_repeated(code: &str) -> bool {
    [Refusal::Used, Refusal::Exhausted]
        .iter()
        .any(|refusal| refusal.code() == code)
}

impl Named {
    fn discounts(&self, answered: Result<CouponAnswer, AskError<Error>>) -> Result<Vec<Discount>, Problem> {
        match answered {
            Ok(CouponAnswer::Discounts(discounts)) => Ok(discounts),
            Ok(_) => Err(unexpected()),
            Err(AskError::Overloaded) => Err(Problem::new(
                Class::Unavailable,
                "commerce.coupon_crowded",
                "Too many buyers are waiting for this coupon. Nothing was changed.",
            )
            .retry_after(WAITING_ROOM)),
            Err(AskError::Refused(refusal)) => Err(refused(&refusal, &self.pointer)),
            Err(error) => Err(at(error.into(), &self.pointer)),
        }
    }
}

/// The lines as a coupon looks at them: at what is left to pay of each.
fn items(lines: &[Line], categories: &[Option<Arc<str>>]) -> Vec<Item> {
    let categories = categories.iter().cloned().chain(std::iter::repeat(None));
    let item = |(line, category): (&Line, Option<Arc<str>>)| Item {
        course_id: line.course_id,
        category,
        creator: line.creator,
        price: line.net(),
    };
    lines.iter().zip(categories).map(item).collect()
}

/// Adds what is taken off to what was taken off before.
fn take_off(lines: &mut [Line], discounts: &[Discount]) -> Result<(), Problem> {
    for discount in discounts {
        let line = lines.iter_mut().find(|line| line.course_id == discount.course_id);
        let line = line.ok_or_else(unexpected)?;
        line.discount = plus(line.discount, discount.off)?;
    }
    Ok(())
}

fn sum(discounts: &[Discount]) -> Result<Money, Problem> {
    let mut off = no_discount();
    for discount in discounts {
        off = plus(off, discount.off)?;
    }
    Ok(off)
}

fn plus(sum: Money, more: Money) -> Result<Money, Problem> {
    sum.plus(more)
        .map_err(|_| Problem::from_error(&Error::AmountOutOfRange))
}

fn not_stackable() -> Problem {
    Problem::from_error(&Error::Coupon(Refusal::NotStackable))
}

fn refused(refusal: &Error, pointer: &str) -> Problem {
    Problem::from_error(refusal).at(pointer, refusal.to_string())
}
