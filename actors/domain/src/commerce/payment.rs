//! One payment through an external provider.
//!
//! `absent → processing → succeeded | declined | cancelled`; `processing ⇄ unknown → succeeded | declined |
//! cancelled`; `processing | unknown → requires_action → processing | succeeded | declined | cancelled` where the payer
//! has to scan, log in or confirm; `declined → processing` with a new token. A charge whose answer is missing is `unknown`, and only
//! the provider resolves it: by its callback, or by being asked with growing pauses. The provider key (payment
//! and attempt number) stays the same after an ambiguous outcome, so that asking or charging again cannot charge
//! twice, and changes after a definite decline. A capture is a fact whenever it is heard of; a second one is a
//! surplus, which is returned; so is the whole of a payment whose order was paid by another one: `succeeded → surplus`.
//!
//! Invariants: `processing`, `requires_action` and `unknown` always have a next action and a due time; refunds never exceed what was
//! captured.

use lyceum_kernel::{Aggregate, Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::Error;

mod message;
mod oversee;
mod refund;
mod terms;

pub use message::{ChargeOutcome, Command, Event};
pub use refund::{ProviderRefund, RefundKey, SendOutcome, SendState};
pub use terms::{Action, Next, PayerAction, Purpose, Settlement, State, Terms};

/// How many surplus captures of one payment are followed; more would be a provider out of its mind.
const SURPLUS_MAX: usize = 16;

/// One payment: the saga of its attempts and of its refunds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    terms: Option<Terms>,
    state: State,
    /// Counts every scheduled action, so that a message about an earlier one is recognised.
    steps: u32,
    refunds: Vec<ProviderRefund>,
    /// What the provider calls the present attempt, where it has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provider_id: Option<String>,
}

impl Aggregate for Payment {
    type Command = Command;
    type Event = Event;
    type Error = Error;

    fn decide(&self, command: Command, now: Timestamp) -> Result<Vec<Event>, Error> {
        match command {
            Command::Start {
                payment_id,
                purpose,
                provider,
                amount,
                token,
                attempt,
                expires_at,
            } => {
                let terms = Terms {
                    payment_id,
                    purpose,
                    provider,
                    amount,
                    token,
                    attempt,
                    expires_at,
                };
                Ok(self.start(terms, now))
            }
            Command::Report {
                attempt,
                step,
                outcome,
            } => self.report(attempt, step, outcome, now),
            Command::Close { purpose } => Ok(self.close(purpose, now)),
            Command::GiveBack => Ok(self.give_back(now)),
            Command::Retry => self.retry(now),
            Command::Intervene { action, deed } => self.intervene(action, deed, now),
            Command::StartRefund {
                refund,
                attempt,
                amount,
            } => self.start_refund(refund, attempt, amount, now),
            Command::ReportRefund {
                refund,
                attempt,
                step,
                outcome,
            } => {
                let held = self.refund(refund)?;
                let Some(reported) = held.reported(attempt, step, outcome, self.steps + 1, now) else {
                    return Ok(vec![]);
                };
                let (attempt, state) = reported;
                Ok(vec![Event::RefundMoved {
                    refund,
                    attempt,
                    state,
                    at: now,
                }])
            }
        }
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Started { terms, next } => {
                self.terms = Some(terms.clone());
                self.provider_id = None;
                self.steps = next.step;
                self.state = State::Processing(*next);
            }
            Event::CloseRequested { next } => {
                self.steps = next.step;
                self.state = match self.state {
                    State::Unknown(_) => State::Unknown(*next),
                    _ => State::Processing(*next),
                };
            }
            Event::Intervened { .. } => {}
            Event::Rescheduled { next } => {
                self.steps = next.step;
                if let State::Processing(held) | State::Unknown(held) = &mut self.state {
                    *held = *next;
                }
            }
            Event::BecameUnknown { next } => {
                self.steps = next.step;
                self.state = State::Unknown(*next);
            }
            Event::ActionRequired {
                provider_id,
                action,
                next,
            } => {
                self.identify(provider_id.as_deref());
                self.steps = next.step;
                self.state = State::RequiresAction {
                    next: *next,
                    action: action.clone(),
                };
            }
            Event::Awaited { next: later } => {
                self.steps = later.step;
                if let State::RequiresAction { next, .. } = &mut self.state {
                    *next = *later;
                }
            }
            Event::Pending { provider_id, next } => {
                self.identify(provider_id.as_deref());
                self.steps = next.step;
                self.state = State::Processing(*next);
            }
            Event::Succeeded { charge_id, .. } => {
                self.state = State::Succeeded {
                    charge_id: charge_id.clone(),
                };
            }
            Event::Declined { code, .. } => self.state = State::Declined { code: code.clone() },
            Event::Cancelled { .. } => self.state = State::Cancelled,
            Event::SurplusCaptured {
                index,
                charge_id,
                next,
                ..
            } => {
                self.steps = next.step;
                if self.is_own(charge_id) {
                    self.state = State::Surplus {
                        charge_id: charge_id.clone(),
                    };
                }
                let amount = self.terms.as_ref().map(|terms| terms.amount).unwrap_or_default();
                let refund = RefundKey::Surplus(*index);
                self.refunds
                    .push(ProviderRefund::new(refund, charge_id.clone(), amount, 1, *next));
            }
            Event::RefundStarted {
                refund,
                attempt,
                amount,
                next,
            } => {
                self.steps = next.step;
                let State::Succeeded { charge_id } = &self.state else {
                    return;
                };
                let begun = ProviderRefund::new(*refund, charge_id.clone(), *amount, *attempt, *next);
                match self.refunds.iter_mut().find(|held| held.key == *refund) {
                    Some(held) => *held = begun,
                    None => self.refunds.push(begun),
                }
            }
            Event::RefundMoved {
                refund,
                attempt,
                state,
                ..
            } => {
                if let Some(next) = state.next() {
                    self.steps = next.step;
                }
                if let Some(held) = self.refunds.iter_mut().find(|held| held.key == *refund) {
                    held.attempt = *attempt;
                    held.state = *state;
                }
            }
        }
    }
}

impl Payment {
    /// What is to be charged, once it was asked for.
    pub fn terms(&self) -> Option<&Terms> {
        self.terms.as_ref()
    }

    /// How far it is.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Its refunds.
    pub fn refunds(&self) -> &[ProviderRefund] {
        &self.refunds
    }

    /// One refund.
    ///
    /// # Errors
    /// [`Error::RefundNotFound`].
    pub fn refund(&self, key: RefundKey) -> Result<&ProviderRefund, Error> {
        self.refunds
            .iter()
            .find(|refund| refund.key == key)
            .ok_or(Error::RefundNotFound)
    }

    /// What the provider calls the present attempt, where it has said so.
    pub fn provider_id(&self) -> Option<&str> {
        self.provider_id.as_deref()
    }

    fn identify(&mut self, provider_id: Option<&str>) {
        if let Some(id) = provider_id {
            self.provider_id = Some(id.to_owned());
        }
    }

    fn first(&self, action: Action, now: Timestamp) -> Next {
        Next {
            action,
            due_at: now,
            step: self.steps + 1,
            tries: 0,
        }
    }

    fn start(&self, terms: Terms, now: Timestamp) -> Vec<Event> {
        let begins = match self.state {
            State::Absent => true,
            // Only a definite decline lets the provider key change.
            State::Declined { .. } => self
                .terms
                .as_ref()
                .is_some_and(|held| terms.attempt == held.attempt + 1),
            // Redelivered, or closed before it could start.
            State::Processing(_)
            | State::RequiresAction { .. }
            | State::Unknown(_)
            | State::Succeeded { .. }
            | State::Surplus { .. }
            | State::Cancelled => false,
        };
        if begins {
            vec![Event::Started {
                terms,
                next: self.first(Action::Send, now),
            }]
        } else {
            vec![]
        }
    }

    fn close(&self, purpose: Purpose, now: Timestamp) -> Vec<Event> {
        match &self.state {
            State::Absent => vec![Event::Cancelled { purpose, at: now }],
            State::Processing(next) | State::Unknown(next) if next.action == Action::Close => vec![],
            State::Processing(_) | State::RequiresAction { .. } | State::Unknown(_) => {
                vec![Event::CloseRequested {
                    next: self.first(Action::Close, now),
                }]
            }
            // The buyer has been told how it ended.
            State::Succeeded { .. } | State::Surplus { .. } | State::Declined { .. } | State::Cancelled => {
                vec![]
            }
        }
    }

    fn report(
        &self,
        attempt: u32,
        step: Option<u32>,
        outcome: ChargeOutcome,
        now: Timestamp,
    ) -> Result<Vec<Event>, Error> {
        let terms = self.terms.as_ref().ok_or(Error::PaymentNotFound)?;
        if let ChargeOutcome::Succeeded { charge_id, amount } = outcome {
            return if amount == terms.amount {
                Ok(self.captured(charge_id, now))
            } else {
                Err(Error::AmountMismatch)
            };
        }
        let Some(next) = self.state.next().filter(|_| attempt == terms.attempt) else {
            // Settled before, or about an attempt that is over.
            return Ok(vec![]);
        };
        match outcome {
            ChargeOutcome::Declined { code } => Ok(vec![Event::Declined { code, at: now }]),
            ChargeOutcome::Closed => Ok(vec![Event::Cancelled {
                purpose: terms.purpose,
                at: now,
            }]),
            // What is unsure only counts as the answer to the latest action, never as news.
            unsure if step == Some(next.step) => Ok(self.unsettled(unsure, next, now).into_iter().collect()),
            _ => Ok(vec![]),
        }
    }

    /// What becomes of an attempt that is not settled by an answer.
    fn unsettled(&self, outcome: ChargeOutcome, next: Next, now: Timestamp) -> Option<Event> {
        let later = |action| next.later(action, self.steps + 1, now);
        let payer_acts = self.state.payer_action().is_some();
        let event = match (outcome, next.action) {
            (ChargeOutcome::Succeeded { .. } | ChargeOutcome::Declined { .. } | ChargeOutcome::Closed, _) => {
                return None;
            }
            (_, Action::Close) => Event::BecameUnknown {
                next: later(Action::Close),
            },
            (ChargeOutcome::ActionRequired { action, .. }, _)
                if self.state.payer_action() == Some(&action) =>
            {
                Event::Awaited {
                    next: later(Action::Query),
                }
            }
            (ChargeOutcome::ActionRequired { provider_id, action }, _) => Event::ActionRequired {
                provider_id,
                action,
                // The payer's time begins now, and so do the pauses.
                next: self
                    .first(Action::Query, now)
                    .later(Action::Query, self.steps + 1, now),
            },
            (ChargeOutcome::Pending { provider_id }, _) => Event::Pending {
                provider_id,
                next: later(Action::Query),
            },
            // That a question was not answered, or that nobody has come to pay yet, takes nothing back from the payer.
            (ChargeOutcome::Unknown | ChargeOutcome::NeverSeen, _) if payer_acts => Event::Awaited {
                next: later(Action::Query),
            },
            (ChargeOutcome::Unknown, _) => Event::BecameUnknown {
                next: later(Action::Query),
            },
            (ChargeOutcome::NeverSeen, _) => Event::BecameUnknown {
                next: later(Action::Send),
            },
        };
        Some(event)
    }

    fn captured(&self, charge_id: String, now: Timestamp) -> Vec<Event> {
        let (State::Succeeded { charge_id: first } | State::Surplus { charge_id: first }) = &self.state
        else {
            return vec![Event::Succeeded { charge_id, at: now }];
        };
        let surplus = self
            .refunds
            .iter()
            .filter(|refund| matches!(refund.key, RefundKey::Surplus(_)));
        let known = *first == charge_id || surplus.clone().any(|refund| refund.charge_id == charge_id);
        if known {
            return vec![];
        }
        self.surplus(charge_id, now)
    }

    /// Gives the capture back, because the order was paid by another payment.
    fn give_back(&self, now: Timestamp) -> Vec<Event> {
        match &self.state {
            State::Succeeded { charge_id } => self.surplus(charge_id.clone(), now),
            // Redelivered; nothing else is ever asked to.
            _ => vec![],
        }
    }

    fn surplus(&self, charge_id: String, now: Timestamp) -> Vec<Event> {
        let surplus = self
            .refunds
            .iter()
            .filter(|refund| matches!(refund.key, RefundKey::Surplus(_)));
        let count = surplus.count();
        if count >= SURPLUS_MAX {
            return vec![];
        }
        let index = u16::try_from(count).unwrap_or(u16::MAX);
        vec![Event::SurplusCaptured {
            index,
            charge_id,
            next: self.first(Action::Send, now),
            at: now,
        }]
    }

    fn is_own(&self, charge_id: &str) -> bool {
        matches!(&self.state, State::Succeeded { charge_id: own } if own == charge_id)
    }

    fn start_refund(
        &self,
        refund: RefundKey,
        attempt: u32,
        amount: Money,
        now: Timestamp,
    ) -> Result<Vec<Event>, Error> {
        let (State::Succeeded { .. }, Some(terms)) = (&self.state, &self.terms) else {
            return Err(Error::wrong_state(self.state.name()));
        };
        let held = self.refunds.iter().find(|held| held.key == refund);
        if let Some(held) = held
            && (held.state != SendState::Failed || attempt <= held.attempt)
        {
            return Ok(vec![]);
        }
        let mut left = terms.amount;
        for other in &self.refunds {
            let counts = matches!(other.key, RefundKey::Order(_)) && other.state != SendState::Failed;
            if counts && other.key != refund {
                left = left
                    .minus(other.amount)
                    .map_err(|_| Error::RefundExceedsCapture)?;
            }
        }
        left.minus(amount).map_err(|_| Error::RefundExceedsCapture)?;
        Ok(vec![Event::RefundStarted {
            refund,
            attempt,
            amount,
            next: self.first(Action::Send, now),
        }])
    }
}
