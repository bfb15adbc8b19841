//! [`Payment`] bound to the runtime. It lives with its user: the key holds both ids.

use lyceum_domain::commerce::oversight::Return;
use lyceum_domain::commerce::payment::{Event, Next, PayerAction, RefundKey, State};
use lyceum_domain::commerce::{Error, Payment, Provider};
use lyceum_domain::ids::{PaymentId, UserId};
use lyceum_kernel::{Money, Timestamp};
use lyceum_runtime::{Durability, Effects, Entity, Key, Kind};
use serde::{Deserialize, Serialize};

use super::{ledger_rows, outgoing, rows, sagas};
use crate::operators::audit;

/// Identifies a payment, and places it with its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PaymentKey {
    /// The payment.
    pub payment: PaymentId,
    /// Whose it is.
    pub user: UserId,
}

impl Key for PaymentKey {
    fn id(self) -> u128 {
        self.payment.as_u128()
    }

    fn placement(self) -> u128 {
        self.user.as_u128()
    }

    fn from_parts(id: u128, placement: u128) -> Self {
        PaymentKey {
            payment: PaymentId::from_u128(id),
            user: UserId::from_u128(placement),
        }
    }
}

/// Binds [`Payment`] to the runtime.
pub struct Payments {
    snapshot_every: u32,
}

impl Payments {
    /// Payments whose recovery reads at most `snapshot_every` decisions.
    pub fn new(snapshot_every: u32) -> Self {
        Payments { snapshot_every }
    }
}

/// What can be asked about a payment.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentQuestion {
    /// Nothing: the caller only wants the command done.
    Nothing,
    /// The name of its state.
    State,
    /// What compensating it would do.
    WayBack,
    /// What to do next about the charge.
    Charge,
    /// What its payer has to do.
    PayerAction,
    /// What to do next about a refund.
    Refund {
        /// Which.
        refund: RefundKey,
    },
}

/// What a payment answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentAnswer {
    /// To [`PaymentQuestion::Nothing`].
    Nothing,
    /// To [`PaymentQuestion::State`].
    State(String),
    /// To [`PaymentQuestion::WayBack`].
    WayBack(Vec<Return>),
    /// To [`PaymentQuestion::Charge`]; `None` if nothing is left to do.
    Charge(Option<Box<ChargeJob>>),
    /// To [`PaymentQuestion::PayerAction`]; `None` if it is not their turn.
    PayerAction(Option<PayerAction>),
    /// To [`PaymentQuestion::Refund`]; `None` if nothing is left to do.
    Refund(Option<Box<RefundJob>>),
}

/// The next call to the provider about a charge.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChargeJob {
    /// Whom to call.
    pub provider: Provider,
    /// The idempotency key of the attempt.
    pub key: String,
    /// How much.
    pub amount: Money,
    /// What to charge.
    pub token: String,
    /// The number of the attempt.
    pub attempt: u32,
    /// What to do.
    pub next: Next,
    /// When the buyer's side gives it up.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// What the provider calls the attempt, if it has said so.
    #[serde(default)]
    pub provider_id: Option<String>,
}

/// The next call to the provider about a refund.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RefundJob {
    /// Whom to call.
    pub provider: Provider,
    /// The idempotency key of the attempt.
    pub key: String,
    /// The charge whose money goes back.
    pub charge_id: String,
    /// How much.
    pub amount: Money,
    /// How much the charge was.
    #[serde(default)]
    pub total: Money,
    /// The number of the attempt.
    pub attempt: u32,
    /// What to do.
    pub next: Next,
}

impl Entity for Payments {
    type State = Payment;
    type Key = PaymentKey;
    type Question = PaymentQuestion;
    type Answer = PaymentAnswer;

    const KIND: Kind = Kind {
        name: "payment",
        number: 5,
    };

    fn durability(&self) -> Durability {
        Durability::Journaled {
            snapshot_every: self.snapshot_every,
        }
    }

    fn answer(
        &self,
        state: &Payment,
        question: PaymentQuestion,
        _: Timestamp,
    ) -> Result<PaymentAnswer, Error> {
        Ok(match question {
            PaymentQuestion::Nothing => PaymentAnswer::Nothing,
            PaymentQuestion::State => {
                if *state.state() == State::Absent {
                    return Err(Error::PaymentNotFound);
                }
                PaymentAnswer::State(state.state().name().to_owned())
            }
            PaymentQuestion::WayBack => PaymentAnswer::WayBack(state.way_back()?),
            PaymentQuestion::Charge => PaymentAnswer::Charge(charge_job(state).map(Box::new)),
            // A payment that has not begun asks nothing of anybody yet.
            PaymentQuestion::PayerAction => PaymentAnswer::PayerAction(state.state().payer_action().cloned()),
            PaymentQuestion::Refund { refund } => {
                PaymentAnswer::Refund(refund_job(state, refund)?.map(Box::new))
            }
        })
    }

    fn saga_step(&self, state: &Payment, events: &[Event]) -> Option<&'static str> {
        sagas::payment_step(state, events)
    }

    fn effects(
        &self,
        key: PaymentKey,
        state: &Payment,
        events: &[Event],
        now: Timestamp,
        effects: &mut Effects,
    ) {
        sagas::payment_moved(state, events, effects);
        for event in events {
            rows::collect_payment(key, state, event, now, effects);
            ledger_rows::collect_payment(key, state, event, now, effects);
            outgoing::after_payment(key, state, event, now, effects);
            if let Event::Intervened { action, deed, .. } = event {
                let details = serde_json::json!({"user": key.user, "saga": "payment"});
                audit::record(deed, action.name(), key.payment.to_string(), &details, effects);
            }
        }
    }
}

fn charge_job(state: &Payment) -> Option<ChargeJob> {
    let (terms, next) = (state.terms()?, state.state().next()?);
    Some(ChargeJob {
        provider: terms.provider,
        key: terms.provider_key(),
        amount: terms.amount,
        token: terms.token.clone(),
        attempt: terms.attempt,
        next,
        expires_at: terms.expires_at,
        provider_id: state.provider_id().map(str::to_owned),
    })
}

fn refund_job(state: &Payment, key: RefundKey) -> Result<Option<RefundJob>, Error> {
    let refund = state.refund(key)?;
    let (Some(terms), Some(next)) = (state.terms(), refund.state.next()) else {
        return Ok(None);
    };
    Ok(Some(RefundJob {
        provider: terms.provider,
        key: refund.provider_key(terms.payment_id),
        charge_id: refund.charge_id.clone(),
        amount: refund.amount,
        total: terms.amount,
        attempt: refund.attempt,
        next,
    }))
}
