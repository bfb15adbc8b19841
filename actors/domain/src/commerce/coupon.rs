//! A coupon: `available → reserved → redeemed` for each of its uses; `reserved → available` once, on cancel or expiry.
//!
//! An order reserves a use before it is placed and is told then what the use takes off which line, so that the price is
//! frozen with it. A paid order redeems the use, for good: a refund later returns money, not coupons. A cancelled or
//! expired one releases it, as does an order that was never placed. Of a redeemed use only the counts are kept, so that
//! the state of a coupon grows with the people who use it and not with their orders.
//!
//! An order takes at most one coupon of a creator and one of the platform, and two only if both are stackable. The
//! creator's comes first; the platform's looks at what is left to pay then, for its threshold as well.
//!
//! Invariants: reserved and redeemed uses together stay within the limit, and those of one buyer within theirs; a use is
//! released or redeemed once; no line is discounted below zero.

use std::collections::BTreeMap;

use lyceum_kernel::{Aggregate, Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Error, SETTLEMENT_CURRENCY};
use crate::ids::{OrderId, UserId};

mod message;
mod refusal;
mod terms;

#[cfg(test)]
mod terms_test;
#[cfg(test)]
mod tests;

pub use message::{Command, Discount, Event};
pub use refusal::{COUPONS_MAX, Refusal};
pub use terms::{
    Benefit, CODE_LENGTH_MAX, CODE_LENGTH_MIN, COURSES_MAX, Code, Issuer, Item, Scope, Terms, USES_MAX,
};

/// One coupon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coupon {
    issued: Option<Box<Issued>>,
}

/// A coupon that exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// What it promises.
    pub terms: Terms,
    /// Who issued it.
    pub by: UserId,
    /// When.
    pub at: Timestamp,
    /// Since when it serves no further order.
    pub disabled_at: Option<Timestamp>,
    /// The uses that wait for what becomes of their orders.
    pub reserved: BTreeMap<OrderId, Claim>,
    /// How many uses are spent.
    pub redeemed: u32,
    /// How many uses each buyer has reserved or redeemed, where there are any.
    uses: BTreeMap<UserId, u32>,
}

/// One reserved use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Whose.
    pub user: UserId,
    /// What it takes off which course.
    pub discounts: Vec<Discount>,
    /// All of it.
    pub off: Money,
    /// Until when its order may be placed.
    pub until: Timestamp,
}

impl Aggregate for Coupon {
    type Command = Command;
    type Event = Event;
    type Error = Error;

    fn decide(&self, command: Command, now: Timestamp) -> Result<Vec<Event>, Error> {
        let issued = match (&self.issued, command) {
            (None, Command::Issue { terms, by }) => {
                let terms = Box::new(terms.checked(now)?);
                return Ok(vec![Event::Issued { terms, by, at: now }]);
            }
            // Redelivered under its id.
            (Some(_), Command::Issue { .. }) => return Ok(vec![]),
            (None, _) => return Err(Refusal::NotFound.into()),
            (Some(issued), command) => (issued, command),
        };
        match issued {
            (issued, Command::Disable { by }) => Ok(match issued.disabled_at {
                None => vec![Event::Disabled { by, at: now }],
                Some(_) => vec![],
            }),
            (
                issued,
                Command::Reserve {
                    order_id,
                    user,
                    items,
                    stacked,
                    until,
                },
            ) => {
                if issued.reserved.contains_key(&order_id) {
                    return Ok(vec![]);
                }
                let discounts = issued.offer(user, &items, stacked, now)?;
                let mut off = Money::zero(SETTLEMENT_CURRENCY);
                for discount in &discounts {
                    off = off.plus(discount.off).map_err(|_| Error::AmountOutOfRange)?;
                }
                Ok(vec![Event::Reserved {
                    order_id,
                    user,
                    discounts,
                    off,
                    until,
                    at: now,
                }])
            }
            // Neither is known of an order whose use is spent or given back: there the message comes a second time.
            (issued, Command::Redeem { order_id }) => Ok(match issued.reserved.get(&order_id) {
                Some(&Claim { user, off, .. }) => vec![Event::Redeemed {
                    order_id,
                    user,
                    off,
                    at: now,
                }],
                None => vec![],
            }),
            (issued, Command::Release { order_id }) => Ok(match issued.reserved.get(&order_id) {
                Some(&Claim { user, off, .. }) => vec![Event::Released {
                    order_id,
                    user,
                    off,
                    at: now,
                }],
                None => vec![],
            }),
            // Handled above.
            (_, Command::Issue { .. }) => Ok(vec![]),
        }
    }

    fn apply(&mut self, event: &Event) {
        if let Event::Issued { terms, by, at } = event {
            self.issued = Some(Box::new(Issued {
                terms: Terms::clone(terms),
                by: *by,
                at: *at,
                disabled_at: None,
                reserved: BTreeMap::new(),
                redeemed: 0,
                uses: BTreeMap::new(),
            }));
        }
        let Some(issued) = &mut self.issued else { return };
        match event {
            Event::Issued { .. } => {}
            Event::Disabled { at, .. } => issued.disabled_at = Some(*at),
            Event::Reserved {
                order_id,
                user,
                discounts,
                off,
                until,
                ..
            } => {
                let claim = Claim {
                    user: *user,
                    discounts: discounts.clone(),
                    off: *off,
                    until: *until,
                };
                issued.reserved.insert(*order_id, claim);
                *issued.uses.entry(*user).or_default() += 1;
            }
            Event::Redeemed { order_id, .. } => {
                if issued.reserved.remove(order_id).is_some() {
                    issued.redeemed += 1;
                }
            }
            Event::Released { order_id, .. } => {
                if let Some(claim) = issued.reserved.remove(order_id)
                    && let Some(uses) = issued.uses.get_mut(&claim.user)
                {
                    *uses -= 1;
                    if *uses == 0 {
                        issued.uses.remove(&claim.user);
                    }
                }
            }
        }
    }
}

impl Coupon {
    /// The coupon, if it exists.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub fn issued(&self) -> Result<&Issued, Error> {
        self.issued.as_deref().ok_or(Error::Coupon(Refusal::NotFound))
    }
}

impl Issued {
    /// What the coupon would take off an order of this buyer, which may have another coupon (`stacked`).
    ///
    /// # Errors
    /// Why it would not serve the order.
    pub fn offer(
        &self,
        user: UserId,
        items: &[Item],
        stacked: bool,
        now: Timestamp,
    ) -> Result<Vec<Discount>, Refusal> {
        let terms = &self.terms;
        if self.disabled_at.is_some() {
            return Err(Refusal::Disabled);
        }
        if now < terms.starts_at {
            return Err(Refusal::NotStarted);
        }
        if now >= terms.ends_at {
            return Err(Refusal::Expired);
        }
        if self.uses_of(user) >= terms.per_user {
            return Err(Refusal::Used);
        }
        if self.uses() >= terms.limit {
            return Err(Refusal::Exhausted);
        }
        if stacked && !terms.stackable {
            return Err(Refusal::NotStackable);
        }
        let off = terms.discounts(items)?;
        let discounts = items.iter().zip(off).map(|(item, off)| Discount {
            course_id: item.course_id,
            off,
        });
        Ok(discounts.filter(|discount| !discount.off.is_zero()).collect())
    }

    /// Uses that are reserved or redeemed.
    pub fn uses(&self) -> u32 {
        let reserved = u32::try_from(self.reserved.len()).unwrap_or(u32::MAX);
        self.redeemed.saturating_add(reserved)
    }

    /// Uses that one buyer has reserved or redeemed.
    pub fn uses_of(&self, user: UserId) -> u32 {
        self.uses.get(&user).copied().unwrap_or_default()
    }

    /// The name of the state at `now`: `disabled`, `not_started`, `expired`, `exhausted` or `available`.
    pub fn state(&self, now: Timestamp) -> &'static str {
        self.terms.state(self.disabled_at, self.uses(), now)
    }
}

/// Brings the coupons of one order into the order in which they apply: the creator's, then the platform's.
///
/// # Errors
/// [`Refusal::NotStackable`]: two of one kind of issuer, or more than [`COUPONS_MAX`].
pub fn arrange<T>(mut coupons: Vec<T>, issuer: impl Fn(&T) -> Issuer) -> Result<Vec<T>, Refusal> {
    let is_platform = |coupon: &T| issuer(coupon) == Issuer::Platform;
    let of_platform = coupons.iter().filter(|coupon| is_platform(coupon)).count();
    if of_platform > 1 || coupons.len() - of_platform > 1 {
        return Err(Refusal::NotStackable);
    }
    coupons.sort_by_key(is_platform);
    Ok(coupons)
}
