//! The provider's book: every charge, refund and closed key, as facts that are decided and applied.
//!
//! Pure and in memory; [`crate::store`] makes the facts durable. Invariants: one charge per key for good; a closed
//! key is never charged; the successful refunds of a charge never exceed it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::views::{charge_event, event};
pub(crate) use self::views::{view_of_charge, view_of_dispute, view_of_refund};
use crate::tokens::Token;
use crate::wire::Wire;

mod views;

/// The client's name for one attempt, from `Idempotency-Key`.
pub(crate) type Key = String;

/// One attempt to take money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Charge {
    pub(crate) id: String,
    pub(crate) key: Key,
    pub(crate) state: State,
    pub(crate) decline_code: Option<String>,
    #[serde(flatten)]
    pub(crate) order: ChargeOrder,
    pub(crate) created_at: String,
}

/// What a client asks to charge; a repeated key must repeat all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChargeOrder {
    /// Minor units, above zero.
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) token: Token,
    pub(crate) reference: String,
    pub(crate) callback_url: Option<String>,
    #[serde(default, skip_serializing_if = "Wire::is_sandbox")]
    pub(crate) wire: Wire,
}

/// One attempt to give money back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refund {
    pub(crate) id: String,
    pub(crate) key: Key,
    pub(crate) state: State,
    pub(crate) failure_code: Option<String>,
    #[serde(flatten)]
    pub(crate) order: RefundOrder,
    pub(crate) created_at: String,
}

/// What a client asks to refund; a repeated key must repeat all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefundOrder {
    pub(crate) charge_id: String,
    /// Minor units, above zero.
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) reference: String,
}

/// A charge that its payer disputes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dispute {
    pub(crate) id: String,
    pub(crate) charge_id: String,
    pub(crate) created_at: String,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// The money moved.
    Succeeded,
    /// A charge that the payment method refused.
    Declined,
    /// A refund that was not possible.
    Failed,
}

/// A durable fact: one line of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Fact {
    /// The file was created. `instance` keeps ids unique when somebody starts over with an empty file.
    Opened { instance: u32 },
    /// An order was placed, for its payer to pay.
    Ordered { key: Key, order: Arc<ChargeOrder> },
    /// A charge was attempted.
    Charged(Arc<Charge>),
    /// A key was closed before any charge used it.
    Closed { key: Key },
    /// A refund was attempted.
    Refunded(Arc<Refund>),
    /// The payer of a charge disputed it.
    Disputed(Arc<Dispute>),
    /// A callback is never sent, on purpose.
    Withheld { event: String },
    /// A callback was acknowledged.
    Delivered { event: String },
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The key was used with another body.
    KeyReused,
    /// The key was closed.
    KeyClosed,
    /// There is no charge with this id.
    ChargeNotFound,
}

/// What a close found.
#[derive(Clone, Debug)]
pub(crate) enum Closing {
    /// No charge uses the key, and none ever will.
    Closed,
    /// A charge came first.
    Charged(Arc<Charge>),
}

/// A decision: the fact to make durable, if anything new happened, and what to answer.
pub(crate) struct Decided<T> {
    pub(crate) fact: Option<Fact>,
    pub(crate) answer: T,
}

/// A callback to be delivered.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Stable per event: receivers deduplicate by it.
    pub(crate) id: String,
    pub(crate) url: String,
    pub(crate) body: Arc<str>,
    pub(crate) copies: u32,
    /// How it is written.
    pub(crate) wire: Wire,
}

/// Everything the provider knows.
#[derive(Default)]
pub(crate) struct Book {
    instance: u32,
    orders: HashMap<Key, Arc<ChargeOrder>>,
    charges: Vec<Arc<Charge>>,
    charge_by_key: HashMap<Key, usize>,
    charge_by_id: HashMap<String, usize>,
    closed: HashSet<Key>,
    refunds: Vec<Arc<Refund>>,
    refund_by_key: HashMap<Key, usize>,
    /// Successful refunds in minor units, by charge.
    refunded: HashMap<String, i64>,
    disputes: Vec<Arc<Dispute>>,
    dispute_by_charge: HashMap<String, usize>,
    /// Callbacks that are not to be sent any more.
    delivered: BTreeSet<String>,
}

impl Book {
    /// Whether the file behind this book has been opened before.
    pub(crate) fn is_opened(&self) -> bool {
        self.instance != 0
    }

    /// All charges, oldest first.
    pub(crate) fn charges(&self) -> &[Arc<Charge>] {
        &self.charges
    }

    /// All refunds, oldest first.
    pub(crate) fn refunds(&self) -> &[Arc<Refund>] {
        &self.refunds
    }

    /// All disputes, oldest first, each with its charge.
    pub(crate) fn disputes(&self) -> Vec<(Arc<Dispute>, Arc<Charge>)> {
        self.disputes
            .iter()
            .filter_map(|dispute| Some((Arc::clone(dispute), self.charge_of_id(&dispute.charge_id)?)))
            .collect()
    }

    fn charge_of_id(&self, id: &str) -> Option<Arc<Charge>> {
        self.charge_by_id
            .get(id)
            .map(|index| Arc::clone(&self.charges[*index]))
    }

    /// The order of a key, if one was placed.
    pub(crate) fn order_of(&self, key: &str) -> Option<Arc<ChargeOrder>> {
        self.orders.get(key).map(Arc::clone)
    }

    /// The charge of a key.
    pub(crate) fn charge_of(&self, key: &str) -> Option<Arc<Charge>> {
        self.charge_by_key
            .get(key)
            .map(|index| Arc::clone(&self.charges[*index]))
    }

    /// Whether a key was closed before any charge used it.
    pub(crate) fn is_closed(&self, key: &str) -> bool {
        self.closed.contains(key)
    }

    /// The refund of a key.
    pub(crate) fn refund_of(&self, key: &str) -> Option<Arc<Refund>> {
        self.refund_by_key
            .get(key)
            .map(|index| Arc::clone(&self.refunds[*index]))
    }

    /// Callbacks that nobody has acknowledged, oldest charge first.
    pub(crate) fn undelivered(&self) -> Vec<Event> {
        let charges = self.charges.iter().filter_map(|charge| charge_event(charge));
        let refunds = self.refunds.iter().filter_map(|refund| self.refund_event(refund));
        let disputes = self
            .disputes
            .iter()
            .filter_map(|dispute| self.dispute_event(dispute));
        charges
            .chain(refunds)
            .chain(disputes)
            .filter(|event| !self.delivered.contains(&event.id))
            .collect()
    }

    /// Decides an order that its payer has yet to pay: the one that the key already has, or a new one.
    pub(crate) fn place(&self, key: &str, order: &ChargeOrder) -> Decided<Result<(), Refusal>> {
        if self.is_closed(key) {
            return Decided::refused(Refusal::KeyClosed);
        }
        match self.order_of(key) {
            Some(placed) if *placed == *order => Decided {
                fact: None,
                answer: Ok(()),
            },
            Some(_) => Decided::refused(Refusal::KeyReused),
            None => Decided {
                fact: Some(Fact::Ordered {
                    key: key.to_owned(),
                    order: Arc::new(order.clone()),
                }),
                answer: Ok(()),
            },
        }
    }

    /// Decides a charge: the one the key already has, or a new one.
    pub(crate) fn charge(
        &self,
        key: &str,
        order: &ChargeOrder,
        now: String,
    ) -> Decided<Result<Arc<Charge>, Refusal>> {
        if self.is_closed(key) {
            return Decided::refused(Refusal::KeyClosed);
        }
        if let Some(charge) = self.charge_of(key) {
            let answer = if charge.order == *order {
                Ok(charge)
            } else {
                Err(Refusal::KeyReused)
            };
            return Decided { fact: None, answer };
        }
        let decline_code = order.token.decline_code().map(str::to_owned);
        let charge = Arc::new(Charge {
            id: format!("ch_{:08x}{:08x}", self.instance, self.charges.len() + 1),
            key: key.to_owned(),
            state: if decline_code.is_some() {
                State::Declined
            } else {
                State::Succeeded
            },
            decline_code,
            order: order.clone(),
            created_at: now,
        });
        Decided {
            fact: Some(Fact::Charged(Arc::clone(&charge))),
            answer: Ok(charge),
        }
    }

    /// Decides the closing of a key.
    pub(crate) fn close(&self, key: &str) -> Decided<Closing> {
        if let Some(charge) = self.charge_of(key) {
            return Decided {
                fact: None,
                answer: Closing::Charged(charge),
            };
        }
        let fact = (!self.is_closed(key)).then(|| Fact::Closed { key: key.to_owned() });
        Decided {
            fact,
            answer: Closing::Closed,
        }
    }

    /// Decides a refund: the one the key already has, or a new one, which fails where the charge does not cover it.
    pub(crate) fn refund(
        &self,
        key: &str,
        order: &RefundOrder,
        now: String,
    ) -> Decided<Result<Arc<Refund>, Refusal>> {
        if let Some(refund) = self.refund_of(key) {
            let answer = if refund.order == *order {
                Ok(refund)
            } else {
                Err(Refusal::KeyReused)
            };
            return Decided { fact: None, answer };
        }
        let Some(charge) = self
            .charge_by_id
            .get(&order.charge_id)
            .map(|index| &self.charges[*index])
        else {
            return Decided::refused(Refusal::ChargeNotFound);
        };
        let failure_code = self.refund_failure(charge, order).map(str::to_owned);
        let refund = Arc::new(Refund {
            id: format!("re_{:08x}{:08x}", self.instance, self.refunds.len() + 1),
            key: key.to_owned(),
            state: if failure_code.is_some() {
                State::Failed
            } else {
                State::Succeeded
            },
            failure_code,
            order: order.clone(),
            created_at: now,
        });
        Decided {
            fact: Some(Fact::Refunded(Arc::clone(&refund))),
            answer: Ok(refund),
        }
    }

    /// Decides a dispute: the one the charge already has, or a new one.
    pub(crate) fn dispute(&self, charge_id: &str, now: String) -> Decided<Result<Arc<Dispute>, Refusal>> {
        let charged = self.charge_of_id(charge_id);
        if charged.is_none_or(|charge| charge.state != State::Succeeded) {
            return Decided::refused(Refusal::ChargeNotFound);
        }
        if let Some(index) = self.dispute_by_charge.get(charge_id) {
            return Decided {
                fact: None,
                answer: Ok(Arc::clone(&self.disputes[*index])),
            };
        }
        let dispute = Arc::new(Dispute {
            id: format!("dp_{:08x}{:08x}", self.instance, self.disputes.len() + 1),
            charge_id: charge_id.to_owned(),
            created_at: now,
        });
        Decided {
            fact: Some(Fact::Disputed(Arc::clone(&dispute))),
            answer: Ok(dispute),
        }
    }

    fn refund_failure(&self, charge: &Charge, order: &RefundOrder) -> Option<&'static str> {
        let refunded = self.refunded.get(&charge.id).copied().unwrap_or(0);
        if charge.state != State::Succeeded {
            Some("charge_not_captured")
        } else if charge.order.currency != order.currency {
            Some("currency_mismatch")
        } else if order.amount > charge.order.amount - refunded {
            Some("exceeds_charge")
        } else {
            None
        }
    }

    /// Moves the book forward by one fact; the callback that the fact causes, if any.
    pub(crate) fn apply(&mut self, fact: &Fact) -> Option<Event> {
        match fact {
            Fact::Opened { instance } => {
                self.instance = *instance;
                None
            }
            Fact::Ordered { key, order } => {
                self.orders.insert(key.clone(), Arc::clone(order));
                None
            }
            Fact::Charged(charge) => {
                self.charge_by_key.insert(charge.key.clone(), self.charges.len());
                self.charge_by_id.insert(charge.id.clone(), self.charges.len());
                self.charges.push(Arc::clone(charge));
                charge_event(charge)
            }
            Fact::Closed { key } => {
                self.closed.insert(key.clone());
                None
            }
            Fact::Refunded(refund) => {
                if refund.state == State::Succeeded {
                    *self.refunded.entry(refund.order.charge_id.clone()).or_default() += refund.order.amount;
                }
                self.refund_by_key.insert(refund.key.clone(), self.refunds.len());
                self.refunds.push(Arc::clone(refund));
                self.refund_event(refund)
            }
            Fact::Disputed(dispute) => {
                self.dispute_by_charge
                    .insert(dispute.charge_id.clone(), self.disputes.len());
                self.disputes.push(Arc::clone(dispute));
                self.dispute_event(dispute)
            }
            Fact::Withheld { event } | Fact::Delivered { event } => {
                self.delivered.insert(event.clone());
                None
            }
        }
    }

    fn dispute_event(&self, dispute: &Dispute) -> Option<Event> {
        let charge = self.charge_of_id(&dispute.charge_id)?;
        // The other formats have their own ways to tell, which nobody speaks here yet.
        if charge.order.wire != Wire::Sandbox {
            return None;
        }
        let view = view_of_dispute(dispute, &charge);
        event(&dispute.id, &charge.order, "dispute.opened", &view, 1)
    }

    fn refund_event(&self, refund: &Refund) -> Option<Event> {
        let charge = &self.charges[*self.charge_by_id.get(&refund.order.charge_id)?];
        let kind = if refund.state == State::Succeeded {
            "refund.succeeded"
        } else {
            "refund.failed"
        };
        event(&refund.id, &charge.order, kind, &view_of_refund(refund), 1)
    }
}

impl<T> Decided<Result<T, Refusal>> {
    fn refused(refusal: Refusal) -> Self {
        Decided {
            fact: None,
            answer: Err(refusal),
        }
    }
}

#[cfg(test)]
mod tests;
