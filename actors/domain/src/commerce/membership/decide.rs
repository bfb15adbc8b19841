//! How a membership decides.

use std::borrow::Cow;
use std::time::Duration;

use lyceum_kernel::Timestamp;

use super::{Action, EndReason, Event, Joined, Membership, Refusal, Stage, Terms, millis};
use crate::commerce::Error;
use crate::ids::{OrderId, UserId};

/// Pauses between two payments. Without a bound somebody would pause whenever they do not study, and a month would last for years.
const PAUSES_MAX: u32 = 2;

impl Membership {
    pub(super) fn join(
        &self,
        terms: Terms,
        user: UserId,
        order_id: OrderId,
        until: Timestamp,
        at: Timestamp,
    ) -> Result<Vec<Event>, Error> {
        if let Some(joined) = &self.joined {
            let known = joined.charge.is_some_and(|charge| charge.order_id == order_id);
            // Redelivered.
            if known || joined.period_of(order_id).is_some() {
                return Ok(vec![]);
            }
            if !matches!(joined.stage, Stage::Ended { .. }) {
                let state = Cow::Borrowed(joined.stage.name());
                return Err(Refusal::AlreadyMember { state }.into());
            }
        }
        let terms = Box::new(terms.checked()?);
        Ok(vec![Event::Joined {
            terms,
            user,
            order_id,
            until,
            at,
        }])
    }
}

impl Joined {
    pub(super) fn paid(&self, order_id: OrderId, at: Timestamp) -> Vec<Event> {
        if self.period_of(order_id).is_some() {
            return vec![];
        }
        let from = match self.stage {
            Stage::Active { end, .. } | Stage::PastDue { end, .. } => end.max(at),
            Stage::Paused { since, left_ms, .. } => since.plus(Duration::from_millis(left_ms)),
            Stage::Pending | Stage::Ended { .. } => at,
        };
        let to = self.terms.end_of(from, self.day_for(from));
        vec![Event::PeriodAdded {
            order_id,
            from,
            to,
            at,
        }]
    }

    pub(super) fn unpaid(&self, order_id: OrderId, at: Timestamp) -> Vec<Event> {
        if self.charge.is_none_or(|charge| charge.order_id != order_id) {
            return vec![];
        }
        let failed = Event::ChargeFailed { order_id, at };
        match self.stage {
            Stage::Pending => vec![failed, ended(EndReason::NeverPaid, at)],
            _ => vec![failed],
        }
    }

    pub(super) fn remove(&self, order_id: OrderId, at: Timestamp) -> Vec<Event> {
        if self
            .period_of(order_id)
            .is_some_and(|held| held.removed_at.is_some())
        {
            return vec![];
        }
        let mut events = vec![Event::PeriodRemoved { order_id, at }];
        // It may be refunded before it is known to be paid.
        let is_charge = self.charge.is_some_and(|charge| charge.order_id == order_id);
        let was_left = self
            .period_of(order_id)
            .is_some_and(|held| held.to > self.had_by(at));
        let over = match self.stage_without(order_id, at) {
            // The money of a period that is long over says nothing of one that is being paid.
            Stage::Active { end, .. } => end <= at && (was_left || is_charge),
            Stage::Paused { left_ms, .. } => left_ms == 0,
            Stage::Pending => is_charge,
            Stage::PastDue { .. } => is_charge || self.last_paid() == Some(order_id),
            Stage::Ended { .. } => false,
        };
        if over {
            events.push(ended(EndReason::Refunded, at));
        }
        events
    }

    pub(super) fn act(&self, step: u32, order_id: OrderId, until: Timestamp, at: Timestamp) -> Vec<Event> {
        // Of an earlier timer, or delivered again.
        let Some(due) = self.due.filter(|_| step == self.steps) else {
            return vec![];
        };
        match due.action {
            Action::Renew => vec![Event::ChargeBegun { order_id, until, at }],
            Action::End => {
                let reason = match self.stage {
                    Stage::PastDue { .. } => EndReason::Unpaid,
                    _ => EndReason::Cancelled,
                };
                vec![ended(reason, at)]
            }
            Action::Resume => self.resumed(at),
        }
    }

    pub(super) fn cancel(&self, at: Timestamp) -> Result<Vec<Event>, Error> {
        match self.stage {
            Stage::Active { renews: true, .. } | Stage::Paused { renews: true, .. } => {
                Ok(vec![Event::Cancelled { at }])
            }
            Stage::Active { .. } | Stage::Paused { .. } => Ok(vec![]),
            // Nothing is left that was paid.
            Stage::PastDue { .. } => Ok(vec![ended(EndReason::Cancelled, at)]),
            // Its order is what can be cancelled.
            Stage::Pending | Stage::Ended { .. } => Err(self.refusal()),
        }
    }

    pub(super) fn pause(&self, at: Timestamp) -> Result<Vec<Event>, Error> {
        match self.stage {
            // What is just being renewed goes on.
            Stage::Active { end, .. } if at < end && self.charge.is_none() => {
                if self.pauses >= PAUSES_MAX {
                    return Err(Refusal::PausesUsed.into());
                }
                let until = at.plus(Duration::from_millis(self.terms.pause_max_ms));
                let left_ms = millis(end.since(at));
                Ok(vec![Event::Paused { left_ms, until, at }])
            }
            Stage::Paused { .. } => Ok(vec![]),
            _ => Err(self.refusal()),
        }
    }

    pub(super) fn resume(&self, at: Timestamp) -> Result<Vec<Event>, Error> {
        match self.stage {
            Stage::Paused { .. } => Ok(self.resumed(at)),
            Stage::Active { renews: true, .. } => Ok(vec![]),
            Stage::Active { end, .. } if at < end => Ok(vec![Event::Kept { at }]),
            _ => Err(self.refusal()),
        }
    }

    fn resumed(&self, at: Timestamp) -> Vec<Event> {
        let Stage::Paused { left_ms, .. } = self.stage else {
            return vec![];
        };
        let end = at.plus(Duration::from_millis(left_ms));
        vec![Event::Resumed { end, at }]
    }

    fn refusal(&self) -> Error {
        Error::wrong_state(self.stage.name())
    }
}

fn ended(reason: EndReason, at: Timestamp) -> Event {
    Event::Ended { reason, at }
}
