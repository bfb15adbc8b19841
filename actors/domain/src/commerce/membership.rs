//! A membership: somebody's paid periods of a plan, one after the other, renewed by the clock until they cancel or nobody pays.
//!
//! ```text
//! absent ─ join ─▶ pending ─ paid ─▶ active ⇄ paused
//!   ▲                 └ unpaid ─▶ ended  │ ▲
//!   └────────── join again ─────────┘ ▲  │ └─ paid ─┐
//!                                     │  └ unpaid ─▶ past_due ─ unpaid until the grace is over ─▶ ended
//!                                     └─ end of a membership that was cancelled
//! ```
//!
//! Each period is an order of its own, which its member's buyer decides like any other: the membership is what the order reserves
//! ([`Reservation::Period`](super::Reservation)), so a paid order adds one period `[max(now, end), +n)` and one that ends otherwise is told
//! as well. A renewal that is not paid is tried again after frozen pauses (dunning); the member keeps access until the grace is over. A
//! refund of an order removes the period that it paid, and brings those after it forward.
//!
//! A person has one membership of a plan; who joins again continues it. Money is never kept without access: a payment that arrives for an
//! ended membership begins a period, which is not renewed.
//!
//! Invariants: an order adds one period, whatever is heard of it, however often; no period overlaps another; a membership that is
//! active, past due or paused has either an order under way or a due time.

use std::time::Duration;

use lyceum_kernel::{Aggregate, Timestamp};
use serde::{Deserialize, Serialize};

use super::Error;
use super::reservation::Outcome;
use crate::ids::{OrderId, UserId};

mod decide;
mod message;
#[cfg(test)]
mod renewal_tests;
mod stage;
mod terms;
#[cfg(test)]
mod tests;

pub use message::{Command, EndReason, Event, Refusal};
pub use stage::{Action, Charge, Due, Period, Stage};
pub use terms::{Dunning, RETRIES_MAX, Terms};

/// One membership.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    joined: Option<Box<Joined>>,
}

/// A membership that somebody has joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// What was agreed when they last joined.
    pub terms: Terms,
    /// Who.
    pub user: UserId,
    /// When they last joined.
    pub at: Timestamp,
    /// How far it is.
    pub stage: Stage,
    /// The periods that were paid, oldest first: one for each order.
    pub periods: Vec<Period>,
    /// The order that is to pay the next period.
    pub charge: Option<Charge>,
    /// Counts what is due, so that a timer of something earlier is recognised.
    pub steps: u32,
    /// What the clock does next.
    pub due: Option<Due>,
    /// The day of the month that its periods begin on, or on the last of a month that is shorter; 0 before the first.
    #[serde(default)]
    pub day: u32,
    /// How often it was paused since a period was paid.
    #[serde(default)]
    pub pauses: u32,
}

impl Aggregate for Membership {
    type Command = Command;
    type Event = Event;
    type Error = Error;

    fn decide(&self, command: Command, now: Timestamp) -> Result<Vec<Event>, Error> {
        if let Command::Join {
            terms,
            user,
            order_id,
            until,
        } = command
        {
            return self.join(*terms, user, order_id, until, now);
        }
        let joined = self.joined()?;
        match command {
            Command::Join { .. } => Ok(vec![]),
            Command::Settle {
                order_id,
                outcome: Outcome::Consumed,
            } => Ok(joined.paid(order_id, now)),
            Command::Settle {
                order_id,
                outcome: Outcome::Returned,
            } => Ok(joined.unpaid(order_id, now)),
            Command::Remove { order_id } => Ok(joined.remove(order_id, now)),
            Command::Act {
                step,
                order_id,
                until,
            } => Ok(joined.act(step, order_id, until, now)),
            Command::Cancel => joined.cancel(now),
            Command::Pause => joined.pause(now),
            Command::Resume => joined.resume(now),
        }
    }

    fn apply(&mut self, event: &Event) {
        if let Event::Joined {
            terms,
            user,
            order_id,
            until,
            at,
        } = event
        {
            let before = self.joined.take();
            let (order_id, until, at) = (*order_id, *until, *at);
            let (periods, steps) = before.map_or((vec![], 0), |before| (before.periods, before.steps));
            self.joined = Some(Box::new(Joined {
                terms: Terms::clone(terms),
                user: *user,
                at,
                stage: Stage::Pending,
                periods,
                charge: Some(Charge {
                    order_id,
                    at,
                    until,
                    renewal: false,
                }),
                steps: steps + 1,
                due: None,
                day: 0,
                pauses: 0,
            }));
            return;
        }
        if let Some(joined) = &mut self.joined {
            joined.apply(event);
        }
    }
}

impl Membership {
    /// The membership, if anybody has joined it.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub fn joined(&self) -> Result<&Joined, Error> {
        self.joined.as_deref().ok_or(Error::Membership(Refusal::NotFound))
    }
}

impl Joined {
    /// Until when what its plan opens may be studied; `None` if it may not.
    pub fn access_until(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::Active { end, renews: false } => Some(end),
            // At the end the next period is paid, which may take a while: the grace begins with it.
            Stage::Active { end, renews: true } | Stage::PastDue { end, .. } => {
                Some(end.plus(self.terms.dunning.grace()))
            }
            Stage::Pending | Stage::Paused { .. } | Stage::Ended { .. } => None,
        }
    }

    /// Whether another period follows by itself.
    pub fn renews(&self) -> bool {
        match self.stage {
            Stage::Active { renews, .. } | Stage::Paused { renews, .. } => renews,
            Stage::Pending | Stage::PastDue { .. } => true,
            Stage::Ended { .. } => false,
        }
    }

    /// When what was paid ends, while it is known.
    pub fn ends_at(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::Active { end, .. } | Stage::PastDue { end, .. } => Some(end),
            Stage::Pending | Stage::Paused { .. } | Stage::Ended { .. } => None,
        }
    }

    /// The period that an order has paid.
    pub fn period_of(&self, order_id: OrderId) -> Option<&Period> {
        self.periods.iter().find(|period| period.order_id == order_id)
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Joined { .. } => {}
            Event::ChargeBegun { order_id, until, at } => {
                self.charge = Some(Charge {
                    order_id: *order_id,
                    at: *at,
                    until: *until,
                    renewal: true,
                });
            }
            Event::ChargeFailed { order_id, .. } => {
                let renewal = self.charge.is_some_and(|charge| charge.renewal);
                self.end_charge(*order_id);
                self.stage = match self.stage {
                    // The order of somebody who has joined again may fail while what an earlier one has paid lasts.
                    Stage::Active { end, renews: true } if renewal => Stage::PastDue { end, failures: 1 },
                    Stage::PastDue { end, failures } => Stage::PastDue {
                        end,
                        failures: failures + 1,
                    },
                    other => other,
                };
            }
            Event::PeriodAdded {
                order_id, from, to, ..
            } => self.add(*order_id, *from, *to),
            Event::PeriodRemoved { order_id, at } => self.take_away(*order_id, *at),
            Event::Cancelled { .. } => self.set_renewing(false),
            Event::Kept { .. } => self.set_renewing(true),
            Event::Paused {
                left_ms, until, at, ..
            } => {
                self.stage = Stage::Paused {
                    since: *at,
                    left_ms: *left_ms,
                    renews: self.renews(),
                    until: *until,
                };
                self.pauses += 1;
            }
            Event::Resumed { end, at } => {
                self.stand_still_until(*at);
                self.stage = Stage::Active {
                    end: *end,
                    renews: self.renews(),
                };
            }
            Event::Ended { reason, at } => {
                self.stage = Stage::Ended {
                    reason: *reason,
                    at: *at,
                };
            }
        }
        let due = self.next();
        // What is done then is decided then: who cancels and thinks again a thousand times has one timer.
        if due.map(|due| due.at) != self.due.map(|due| due.at) {
            self.steps += 1;
        }
        self.due = due;
    }

    /// The day of the month that a period which begins at `from` counts from: that of joining, also where a month was too short for it. A
    /// pause or a refund moves the beginning to another day, and the next periods with it.
    fn day_for(&self, from: Timestamp) -> u32 {
        let is_its_day = self.day != 0 && from.plus_months(0, self.day) == from;
        if is_its_day { self.day } else { from.day_of_month() }
    }

    /// The order that has paid the last period which was not given back.
    fn last_paid(&self) -> Option<OrderId> {
        let mut periods = self.periods.iter().rev();
        periods
            .find(|held| held.removed_at.is_none())
            .map(|held| held.order_id)
    }

    fn end_charge(&mut self, order_id: OrderId) {
        self.charge = self.charge.filter(|charge| charge.order_id != order_id);
    }

    fn add(&mut self, order_id: OrderId, from: Timestamp, to: Timestamp) {
        self.end_charge(order_id);
        self.day = self.day_for(from);
        self.pauses = 0;
        self.stage = match self.stage {
            Stage::Active { renews, .. } => Stage::Active { end: to, renews },
            Stage::Pending | Stage::PastDue { .. } => Stage::Active {
                end: to,
                renews: true,
            },
            Stage::Paused {
                since,
                left_ms,
                renews,
                until,
            } => Stage::Paused {
                since,
                left_ms: left_ms.saturating_add(millis(to.since(from))),
                renews,
                until,
            },
            // Whoever has paid gets what they have paid for, and nothing more by itself.
            Stage::Ended { .. } => Stage::Active {
                end: to,
                renews: false,
            },
        };
        self.periods.push(Period {
            order_id,
            from,
            to,
            removed_at: None,
        });
    }

    fn take_away(&mut self, order_id: OrderId, at: Timestamp) {
        self.end_charge(order_id);
        let had_by = self.had_by(at);
        self.stage = self.stage_without(order_id, at);
        let Some(index) = self.periods.iter().position(|held| held.order_id == order_id) else {
            // The refund was faster than the news of the payment, which then adds nothing.
            self.periods.push(Period {
                order_id,
                from: at,
                to: at,
                removed_at: Some(at),
            });
            return;
        };
        let gone = self.periods[index];
        self.periods[index].removed_at = Some(at);
        let length = gone.to.since(gone.from);
        if gone.to <= had_by {
            return;
        }
        for later in &mut self.periods[index + 1..] {
            if later.removed_at.is_none() {
                later.from = earlier(later.from, length);
                later.to = earlier(later.to, length);
            }
        }
    }

    /// The stage that it is in without the period of an order.
    fn stage_without(&self, order_id: OrderId, at: Timestamp) -> Stage {
        let Some(gone) = self.period_of(order_id).filter(|held| held.removed_at.is_none()) else {
            return self.stage;
        };
        let length = gone.to.since(gone.from);
        match self.stage {
            // What is over was had.
            _ if gone.to <= self.had_by(at) => self.stage,
            Stage::Active { end, renews } => Stage::Active {
                end: earlier(end, length),
                renews,
            },
            Stage::Paused {
                since,
                left_ms,
                renews,
                until,
            } => Stage::Paused {
                since,
                left_ms: left_ms.saturating_sub(millis(length)),
                renews,
                until,
            },
            other => other,
        }
    }

    /// Up to when what was paid has been had, at `at`.
    fn had_by(&self, at: Timestamp) -> Timestamp {
        match self.stage {
            Stage::Paused { since, .. } => since,
            _ => at,
        }
    }

    /// Moves what was not had before the pause behind it.
    fn stand_still_until(&mut self, at: Timestamp) {
        let Stage::Paused { since, .. } = self.stage else {
            return;
        };
        let pause = at.since(since);
        for period in self.periods.iter_mut().filter(|held| held.removed_at.is_none()) {
            if period.from > since {
                period.from = period.from.plus(pause);
            }
            if period.to > since {
                period.to = period.to.plus(pause);
            }
        }
    }

    fn set_renewing(&mut self, to: bool) {
        if let Stage::Active { renews, .. } | Stage::Paused { renews, .. } = &mut self.stage {
            *renews = to;
        }
    }

    /// What the clock does next; an order under way is told of by its buyer instead.
    fn next(&self) -> Option<Due> {
        let due = |action, at| Some(Due { action, at });
        match self.stage {
            Stage::Pending | Stage::Ended { .. } => None,
            Stage::Active { end, renews: false } => due(Action::End, end),
            Stage::Active { .. } | Stage::PastDue { .. } if self.charge.is_some() => None,
            Stage::Active { end, renews: true } => due(Action::Renew, end),
            Stage::PastDue { end, failures } => match self.terms.dunning.retry(failures) {
                Some(pause) => due(Action::Renew, end.plus(pause)),
                None => due(Action::End, end.plus(self.terms.dunning.grace())),
            },
            Stage::Paused { until, .. } => due(Action::Resume, until),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(time.as_millis().saturating_sub(by))
}
