//! The payment provider: remembers keys, answers the same for the same key, and sometimes does not answer.

use std::collections::BTreeMap;

use lyceum_domain::commerce::payment::{Action, ChargeOutcome, SendOutcome};
use lyceum_kernel::Money;

use crate::checks::Checks;
use crate::dice::Dice;

/// What it is asked.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) refund: bool,
    pub(crate) action: Action,
    pub(crate) payment: u128,
    pub(crate) key: String,
    pub(crate) amount: Money,
}

/// What it says.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    Charge(ChargeOutcome),
    Refund(SendOutcome),
}

/// The provider's book.
#[derive(Default)]
pub(crate) struct Provider {
    charges: BTreeMap<String, ChargeOutcome>,
    refunds: BTreeMap<String, SendOutcome>,
    /// By payment: what was captured and not returned.
    taken: BTreeMap<u128, i64>,
    captures: u64,
}

impl Provider {
    pub(crate) fn call(&mut self, ask: &Ask, dice: &mut Dice, checks: &mut Checks) -> Says {
        if ask.refund {
            return Says::Refund(self.refund(ask, dice));
        }
        if let Some(known) = self.charges.get(&ask.key) {
            return Says::Charge(known.clone());
        }
        let outcome = match ask.action {
            Action::Query => return Says::Charge(ChargeOutcome::NeverSeen),
            Action::Close => ChargeOutcome::Closed,
            Action::Send if dice.chance(1, 10) => return Says::Charge(ChargeOutcome::Unknown),
            Action::Send if dice.chance(1, 10) => ChargeOutcome::Declined {
                code: "card_declined".to_owned(),
            },
            Action::Send => {
                self.captures += 1;
                let taken = self.taken.entry(ask.payment).or_default();
                if *taken != 0 {
                    checks.wrong(format!("payment {:x} was charged twice", ask.payment));
                }
                *taken += ask.amount.amount();
                ChargeOutcome::Succeeded {
                    charge_id: format!("ch-{}", self.captures),
                    amount: ask.amount,
                }
            }
        };
        self.charges.insert(ask.key.clone(), outcome.clone());
        Says::Charge(outcome)
    }

    fn refund(&mut self, ask: &Ask, dice: &mut Dice) -> SendOutcome {
        if let Some(known) = self.refunds.get(&ask.key) {
            return *known;
        }
        let outcome = match ask.action {
            Action::Query | Action::Close => return SendOutcome::NeverSeen,
            Action::Send if dice.chance(1, 10) => return SendOutcome::Unknown,
            Action::Send if dice.chance(1, 20) => SendOutcome::Failed,
            Action::Send => {
                *self.taken.entry(ask.payment).or_default() -= ask.amount.amount();
                SendOutcome::Succeeded
            }
        };
        self.refunds.insert(ask.key.clone(), outcome);
        outcome
    }

    /// What it has taken for payments and not given back.
    pub(crate) fn taken(&self) -> &BTreeMap<u128, i64> {
        &self.taken
    }
}
