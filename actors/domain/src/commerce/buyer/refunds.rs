//! How a buyer decides about refunds, and what their events change.

use lyceum_kernel::Timestamp;

use super::{Buyer, Event};
use crate::commerce::Error;
use crate::commerce::access::Source;
use crate::commerce::oversight::Deed;
use crate::commerce::refund::{REFUNDS_MAX, Refund, RefundOutcome, RefundState, RefundTerms, Wanted};
use crate::ids::{OrderId, RefundId, UserId};

/// How refunds are decided.
impl Buyer {
    pub(super) fn request_refund(
        &self,
        order_id: OrderId,
        refund_id: RefundId,
        reason: String,
        wanted: &Wanted,
        requester: Option<UserId>,
        now: Timestamp,
    ) -> Result<Vec<Event>, Error> {
        let order = self.order(order_id)?;
        if order.refund(refund_id).is_some() {
            return Ok(vec![]);
        }
        let terms = order.terms_of(wanted, requester)?;
        if now >= order.placement.refundable_until {
            return Err(Error::RefundWindowClosed);
        }
        if order.refunds.len() >= REFUNDS_MAX {
            return Err(Error::TooManyRefunds);
        }
        let to_wallet = order.goes_to_wallet(terms.destination);
        if to_wallet {
            self.room_for(order_id, &terms)?;
        }
        let terms = Some(Box::new(terms));
        let awaits = terms.as_ref().is_some_and(|terms| terms.awaits_approval);
        Ok(vec![if to_wallet && !awaits {
            Event::RefundedToWallet {
                order_id,
                refund_id,
                reason,
                terms,
                at: now,
            }
        } else {
            Event::RefundRequested {
                order_id,
                refund_id,
                reason,
                terms,
                at: now,
            }
        }])
    }

    pub(super) fn decide_refund(
        &self,
        order_id: OrderId,
        refund_id: RefundId,
        approved: bool,
        deed: Deed,
        now: Timestamp,
    ) -> Result<Vec<Event>, Error> {
        let deed = deed.checked()?;
        let (order, refund) = (self.order(order_id)?, self.refund(order_id, refund_id)?);
        if refund.state != RefundState::Requested {
            return Err(Error::wrong_state(refund.state.name()));
        }
        if refund.requester == Some(deed.operator) {
            return Err(Error::RefundSameOperator);
        }
        let mut events = vec![Event::RefundDecided {
            order_id,
            refund_id,
            approved,
            deed,
            at: now,
        }];
        if approved {
            let state = if order.returns_to_wallet(refund) {
                self.room_for(order_id, &refund.terms())?;
                RefundState::Succeeded
            } else {
                RefundState::Processing
            };
            events.push(Event::RefundMoved {
                order_id,
                refund_id,
                attempt: refund.attempt,
                state,
                at: now,
            });
        }
        Ok(events)
    }

    pub(super) fn cancel_refund(
        &self,
        order_id: OrderId,
        refund_id: RefundId,
        now: Timestamp,
    ) -> Result<Vec<Event>, Error> {
        let refund = self.refund(order_id, refund_id)?;
        match refund.state {
            RefundState::Requested => Ok(vec![Event::RefundCancelled {
                order_id,
                refund_id,
                at: now,
            }]),
            RefundState::Cancelled => Ok(vec![]),
            _ => Err(Error::wrong_state(refund.state.name())),
        }
    }

    pub(super) fn settle_refund(
        &self,
        order_id: OrderId,
        refund_id: RefundId,
        attempt: u32,
        outcome: RefundOutcome,
        now: Timestamp,
    ) -> Result<Vec<Event>, Error> {
        let refund = self.refund(order_id, refund_id)?;
        let Some(state) = refund.reported(attempt, outcome, now) else {
            return Ok(vec![]);
        };
        Ok(vec![Event::RefundMoved {
            order_id,
            refund_id,
            attempt: refund.attempt,
            state,
            at: now,
        }])
    }

    pub(super) fn retry_refund(
        &self,
        order_id: OrderId,
        refund_id: RefundId,
        now: Timestamp,
    ) -> Result<Vec<Event>, Error> {
        let refund = self.refund(order_id, refund_id)?;
        if !refund.retried()? {
            return Ok(vec![]);
        }
        let (attempt, state) = (refund.attempt.saturating_add(1), RefundState::Processing);
        Ok(vec![Event::RefundMoved {
            order_id,
            refund_id,
            attempt,
            state,
            at: now,
        }])
    }

    fn refund(&self, order_id: OrderId, refund_id: RefundId) -> Result<&Refund, Error> {
        self.order(order_id)?
            .refund(refund_id)
            .ok_or(Error::RefundNotFound)
    }

    /// Refuses money that did not come from the wallet and could ever bring it out of range.
    fn room_for(&self, order_id: OrderId, terms: &RefundTerms) -> Result<(), Error> {
        if self.order(order_id)?.is_paid_at_once() {
            return Ok(());
        }
        let balance = self.wallet.balance();
        self.top_ups
            .bear(terms.amount.amount(), balance, self.reachable())
    }
}

/// How the events of refunds are applied.
impl Buyer {
    /// Notes a refund; without terms it is of everything, as those were that had none.
    pub(super) fn begin_refund(
        &mut self,
        order_id: OrderId,
        refund_id: RefundId,
        reason: &str,
        terms: Option<&RefundTerms>,
        at: Timestamp,
    ) {
        let Some(order) = self.orders.get_mut(&order_id) else {
            return;
        };
        let RefundTerms {
            amount,
            parts,
            destination,
            requester,
            awaits_approval,
        } = terms.cloned().unwrap_or_else(|| order.whole());
        order.refunds.push(Refund {
            refund_id,
            amount,
            parts,
            destination,
            requester,
            checker: None,
            reason: reason.to_owned(),
            requested_at: at,
            attempt: 1,
            state: if awaits_approval {
                RefundState::Requested
            } else {
                RefundState::Processing
            },
        });
        order.note(at);
    }

    pub(super) fn note_decision(
        &mut self,
        order_id: OrderId,
        refund_id: RefundId,
        approved: bool,
        deed: &Deed,
        at: Timestamp,
    ) {
        let Some(order) = self.orders.get_mut(&order_id) else {
            return;
        };
        if let Some(refund) = order.refund_mut(refund_id) {
            refund.checker = Some(deed.clone());
            // An approval is followed by the move that it allows.
            if !approved {
                refund.state = RefundState::Rejected;
            }
        }
        order.note(at);
    }

    pub(super) fn move_refund(
        &mut self,
        order_id: OrderId,
        refund_id: RefundId,
        attempt: u32,
        state: RefundState,
        at: Timestamp,
    ) {
        let Some(order) = self.orders.get_mut(&order_id) else {
            return;
        };
        let Some(refund) = order.refund_mut(refund_id) else {
            return;
        };
        let succeeds = state == RefundState::Succeeded && refund.state != state;
        refund.attempt = attempt;
        refund.state = state;
        let refund = refund.clone();
        order.note(at);
        if !succeeds {
            return;
        }
        if order.returns_to_wallet(&refund) {
            self.wallet.credit(refund.amount);
        }
        for line in &order.placement.lines {
            if order.is_returned(line) {
                self.access.revoke(line.course_id, Source::Order(order_id), at);
            }
        }
    }
}
