//! How a payment decides what operators want.

use lyceum_kernel::Timestamp;

use super::{Action, Event, Next, Payment, Purpose, SendState, State};
use crate::commerce::Error;
use crate::commerce::oversight::{self, Deed, Intervention, Return, ReturnStep};

impl Payment {
    /// Whether the charge, or a refund, still has a next action.
    fn is_open(&self) -> bool {
        self.state.next().is_some() || self.refunds.iter().any(|refund| refund.state.next().is_some())
    }

    /// Has every step that is due later taken now, and the pauses between further ones begin anew: whoever asks for it has seen
    /// the provider come back. The keys stay, so that nothing is charged or returned twice.
    pub(super) fn retry(&self, now: Timestamp) -> Result<Vec<Event>, Error> {
        if self.state == State::Absent {
            return Err(Error::PaymentNotFound);
        }
        if !self.is_open() {
            return Err(Error::wrong_state(self.state.name()));
        }
        let mut steps = self.steps;
        let mut at_once = |next: Next| {
            steps += 1;
            Next {
                due_at: now,
                step: steps,
                tries: 0,
                ..next
            }
        };
        let mut events = Vec::new();
        if let Some(next) = self.state.next() {
            events.push(Event::Rescheduled { next: at_once(next) });
        }
        for refund in &self.refunds {
            let state = match refund.state {
                SendState::Sending(next) => SendState::Sending(at_once(next)),
                SendState::Unknown(next) => SendState::Unknown(at_once(next)),
                SendState::Failed | SendState::Succeeded => continue,
            };
            events.push(Event::RefundMoved {
                refund: refund.key,
                attempt: refund.attempt,
                state,
                at: now,
            });
        }
        Ok(events)
    }

    pub(super) fn intervene(
        &self,
        action: Intervention,
        deed: Deed,
        now: Timestamp,
    ) -> Result<Vec<Event>, Error> {
        let deed = deed.checked()?;
        let follows = match action {
            Intervention::Retry => self.retry(now)?,
            Intervention::Compensate => {
                self.way_back()?;
                self.terms
                    .as_ref()
                    .map(|terms| self.close(terms.purpose, now))
                    .unwrap_or_default()
            }
            Intervention::Reconcile if self.state == State::Absent => return Err(Error::PaymentNotFound),
            Intervention::Reconcile if !self.is_open() => {
                return Err(Error::wrong_state(self.state.name()));
            }
            Intervention::Reconcile => vec![],
        };
        let mut events = vec![Event::Intervened {
            action,
            deed,
            at: now,
        }];
        events.extend(follows);
        Ok(events)
    }

    /// What compensating a top-up would do, step by step. The payment of an order is led back by its order, which has to know.
    ///
    /// # Errors
    /// [`Error::WrongState`]: it has ended, is on its way back, or belongs to an order.
    pub fn way_back(&self) -> Result<Vec<Return>, Error> {
        let terms = self.terms.as_ref().ok_or(Error::PaymentNotFound)?;
        match self.state {
            State::Processing(next) | State::Unknown(next)
                if next.action != Action::Close && terms.purpose == Purpose::TopUp =>
            {
                Ok(oversight::way_back(terms.amount, ReturnStep::Credit))
            }
            _ => Err(Error::wrong_state(self.state.name())),
        }
    }
}
