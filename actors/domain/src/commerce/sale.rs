//! A flash sale: a few slots of one course at a lower price, for a while. Each slot is `available → reserved → sold | released`.
//!
//! An order reserves a slot before it is placed and is told the price then, so that the price is frozen with it. A paid order
//! consumes its slot for good: a refund later returns money, not slots. An order that ends unpaid, or that was never placed,
//! releases it, and the next buyer has it.
//!
//! The state is what makes a hot sale cheap: a slot is one entry under its buyer, a buyer without one leaves no trace, and a
//! refusal is decided without any event. Twenty thousand buyers of five hundred seats are five hundred entries.
//!
//! Invariants: reserved and sold slots together stay within the stock; a buyer has at most one; a slot is released at most once.

use std::collections::BTreeMap;

use lyceum_kernel::{Aggregate, Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::reservation::Outcome;
use super::{Error, SETTLEMENT_CURRENCY};
use crate::ids::{CourseId, OrderId, UserId};

mod message;
mod refusal;

#[cfg(test)]
mod tests;

pub use message::{Command, Event};
pub use refusal::Refusal;

/// The most slots of one sale: its state, a hundred bytes for each, is read and written as a whole.
pub const STOCK_MAX: u32 = 10_000;

/// What a sale offers; it never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// What is sold.
    pub course_id: CourseId,
    /// At which price.
    pub price: Money,
    /// How many times.
    pub stock: u32,
    /// From when on.
    pub starts_at: Timestamp,
    /// Until when slots are reserved.
    pub ends_at: Timestamp,
}

/// One flash sale.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sale {
    offer: Option<Box<Offer>>,
}

/// A sale that exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// What it offers.
    pub terms: Terms,
    /// Who made it.
    pub by: UserId,
    /// When.
    pub at: Timestamp,
    /// Every slot that is not available, by whose it is.
    slots: BTreeMap<UserId, Slot>,
    /// How many of them are sold.
    sold: u32,
}

/// A slot that is not available.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Which order has it.
    pub order_id: OrderId,
    /// Until when that order may be placed; `None` once the slot is sold.
    pub reserved_until: Option<Timestamp>,
}

/// The state of a sale as people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its time has not come.
    Scheduled,
    /// There are slots.
    Open,
    /// Every slot is sold or reserved; a reserved one may come back.
    SoldOut,
    /// Its time is over.
    Ended,
}

impl State {
    /// The name of the state.
    pub fn name(self) -> &'static str {
        match self {
            State::Scheduled => "scheduled",
            State::Open => "open",
            State::SoldOut => "sold_out",
            State::Ended => "ended",
        }
    }
}

impl Aggregate for Sale {
    type Command = Command;
    type Event = Event;
    type Error = Error;

    fn decide(&self, command: Command, now: Timestamp) -> Result<Vec<Event>, Error> {
        let offer = match (&self.offer, command) {
            (None, Command::Open { terms, by }) => {
                let terms = terms.checked(now)?;
                return Ok(vec![Event::Opened {
                    terms,
                    by,
                    at: now,
                    deed: None,
                }]);
            }
            (None, Command::OpenFor { terms, deed }) => {
                let (terms, deed) = (terms.checked(now)?, deed.checked()?);
                return Ok(vec![Event::Opened {
                    terms,
                    by: deed.operator,
                    at: now,
                    deed: Some(deed),
                }]);
            }
            // Redelivered under its id.
            (Some(_), Command::Open { .. } | Command::OpenFor { .. }) => return Ok(vec![]),
            (None, _) => return Err(Refusal::NotFound.into()),
            (Some(offer), command) => (offer, command),
        };
        match offer {
            (
                offer,
                Command::Reserve {
                    order_id,
                    user,
                    course_id,
                    until,
                },
            ) => {
                if offer.slot(user).is_some_and(|slot| slot.order_id == order_id) {
                    return Ok(vec![]);
                }
                offer.may_reserve(user, course_id, now)?;
                Ok(vec![Event::SlotReserved {
                    order_id,
                    user,
                    until,
                    at: now,
                }])
            }
            (
                offer,
                Command::Settle {
                    order_id,
                    user,
                    outcome,
                },
            ) => {
                let slot = offer.slot(user).filter(|slot| slot.order_id == order_id);
                match (slot, outcome) {
                    (
                        Some(Slot {
                            reserved_until: Some(_),
                            ..
                        }),
                        Outcome::Consumed,
                    ) => Ok(vec![Event::SlotSold {
                        order_id,
                        user,
                        at: now,
                    }]),
                    (
                        Some(Slot {
                            reserved_until: Some(_),
                            ..
                        }),
                        Outcome::Returned,
                    ) => Ok(vec![Event::SlotReleased {
                        order_id,
                        user,
                        at: now,
                    }]),
                    // Redelivered: it is sold, or came back already.
                    (Some(_), Outcome::Consumed) | (None, Outcome::Returned) => Ok(vec![]),
                    // Its buyer says otherwise than before, which must be looked into.
                    (Some(_), Outcome::Returned) => Err(Error::wrong_state("sold")),
                    (None, Outcome::Consumed) => Err(Error::wrong_state("available")),
                }
            }
            // Handled above.
            (_, Command::Open { .. } | Command::OpenFor { .. }) => Ok(vec![]),
        }
    }

    fn apply(&mut self, event: &Event) {
        if let Event::Opened { terms, by, at, .. } = event {
            self.offer = Some(Box::new(Offer {
                terms: terms.clone(),
                by: *by,
                at: *at,
                slots: BTreeMap::new(),
                sold: 0,
            }));
        }
        let Some(offer) = &mut self.offer else { return };
        match event {
            Event::Opened { .. } => {}
            Event::SlotReserved {
                order_id,
                user,
                until,
                ..
            } => {
                let slot = Slot {
                    order_id: *order_id,
                    reserved_until: Some(*until),
                };
                offer.slots.insert(*user, slot);
            }
            Event::SlotSold { user, .. } => {
                if let Some(slot) = offer.slots.get_mut(user)
                    && slot.reserved_until.take().is_some()
                {
                    offer.sold += 1;
                }
            }
            Event::SlotReleased { user, .. } => {
                offer.slots.remove(user);
            }
        }
    }
}

impl Sale {
    /// The sale, if it exists.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub fn offer(&self) -> Result<&Offer, Error> {
        self.offer.as_deref().ok_or(Error::Sale(Refusal::NotFound))
    }
}

impl Offer {
    /// The slot of a buyer, if they have one.
    pub fn slot(&self, user: UserId) -> Option<&Slot> {
        self.slots.get(&user)
    }

    /// How many slots are sold.
    pub fn sold(&self) -> u32 {
        self.sold
    }

    /// How many slots wait for what becomes of their orders.
    pub fn reserved(&self) -> u32 {
        self.taken() - self.sold
    }

    /// How many slots can be reserved.
    pub fn available(&self) -> u32 {
        self.terms.stock.saturating_sub(self.taken())
    }

    /// The state at `now`.
    pub fn state(&self, now: Timestamp) -> State {
        if now < self.terms.starts_at {
            State::Scheduled
        } else if now >= self.terms.ends_at {
            State::Ended
        } else if self.available() == 0 {
            State::SoldOut
        } else {
            State::Open
        }
    }

    fn taken(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    fn may_reserve(&self, user: UserId, course_id: CourseId, now: Timestamp) -> Result<(), Refusal> {
        if course_id != self.terms.course_id {
            return Err(Refusal::OtherCourse);
        }
        // Whoever has a slot hears of it whatever the state is, so that a repeated request finds its order.
        match self.slot(user) {
            Some(Slot {
                reserved_until: None, ..
            }) => return Err(Refusal::SlotSold),
            Some(_) => return Err(Refusal::SlotReserved),
            None => {}
        }
        match self.state(now) {
            State::Scheduled => Err(Refusal::NotStarted),
            State::Ended => Err(Refusal::Ended),
            State::SoldOut => Err(Refusal::SoldOut),
            State::Open => Ok(()),
        }
    }
}

impl Terms {
    fn checked(self, now: Timestamp) -> Result<Self, Error> {
        if self.price.currency() != SETTLEMENT_CURRENCY {
            return Err(Error::CurrencyUnsupported);
        }
        if self.stock == 0 || self.stock > STOCK_MAX {
            return Err(Refusal::StockInvalid.into());
        }
        if self.starts_at >= self.ends_at || self.ends_at <= now {
            return Err(Refusal::TimeInvalid.into());
        }
        Ok(self)
    }
}
