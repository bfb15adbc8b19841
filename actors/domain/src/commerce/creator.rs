//! A creator and what they are paid: `available → processing → paid | failed → available`; `available → held | forfeited`.
//!
//! What a creator has earned is in the ledger; whoever asks for a payout has added up what of it has waited long enough
//! and brings the sum along, without what was paid or forfeited before: that the creator knows. One payout is under
//! way at a time. It is sent to the provider under its id, as often as it takes to hear of its end, and posted when
//! it is paid; one that failed leaves the money where it was. Holds, by operators and by open disputes, stand against the next
//! payout and not against one that is under way. A refund after a payout makes the balance negative, and the next payout smaller.
//!
//! Invariants: a payout, and what is forfeited, never exceeds what is available; an id is paid at most once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lyceum_kernel::{Aggregate, Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::SETTLEMENT_CURRENCY;
use super::ledger::{Account, Entry, Step, Transaction};
use super::oversight::Deed;
use crate::ids::{ForfeitureId, PayoutId, UserId};

mod message;
mod refusal;
#[cfg(test)]
mod tests;

pub use message::{Command, Event, PayoutOutcome};
pub use refusal::Refusal;

/// How many holds one creator may have: each is an operator's or an open dispute's.
pub const HOLDS_MAX: usize = 1_000;

/// How long to wait before a payout whose end is unknown is sent again; the last one counts for all that follow.
const ASK_AGAIN_AFTER: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(10),
    Duration::from_hours(1),
];

/// What one creator is paid, how, and what stands against it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Creator {
    method: Option<PayoutMethod>,
    /// By name: an operator's, or a dispute's.
    holds: BTreeMap<String, Hold>,
    /// Names that were released before their hold was heard of, so that it has no effect any more.
    released: BTreeSet<String>,
    /// Every payout; few, since one is under way at a time and none is below the minimum.
    payouts: BTreeMap<PayoutId, Payout>,
    /// What was forfeited, by deed; people do it.
    forfeitures: BTreeMap<ForfeitureId, Money>,
}

/// Whereto payouts go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayoutMethod {
    /// The name of the provider.
    pub provider: String,
    /// What the provider calls the account; it is shown to nobody.
    pub account_token: String,
    /// What is shown of it.
    pub masked: String,
}

impl PayoutMethod {
    /// A method whose account is shown by its last four characters.
    ///
    /// # Errors
    /// [`Refusal::MethodInvalid`]: the token is empty, too long, or not visible ASCII.
    pub fn new(provider: &str, account_token: &str) -> Result<Self, Refusal> {
        const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 8..=256;
        let fits = TOKEN_BYTES.contains(&account_token.len())
            && account_token.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits {
            return Err(Refusal::MethodInvalid);
        }
        Ok(PayoutMethod {
            provider: provider.to_owned(),
            account_token: account_token.to_owned(),
            masked: format!("•••• {}", &account_token[account_token.len() - 4..]),
        })
    }
}

/// What stands against payouts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// One payout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payout {
    /// How much.
    pub amount: Money,
    /// Whereto, as it was when it was asked for.
    pub method: PayoutMethod,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// How far it is.
    pub state: PayoutState,
}

/// How far a payout is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayoutState {
    /// It is being sent, or its end is not known.
    Processing {
        /// How often it was sent without an answer.
        tries: u32,
        /// When it is sent next.
        due_at: Timestamp,
    },
    /// The provider has it.
    Paid {
        /// Since when.
        at: Timestamp,
    },
    /// The provider refused it; the money is available again.
    Failed {
        /// By which code.
        code: String,
        /// When.
        at: Timestamp,
    },
}

impl PayoutState {
    /// The name of the state.
    pub fn name(&self) -> &'static str {
        match self {
            PayoutState::Processing { .. } => "processing",
            PayoutState::Paid { .. } => "paid",
            PayoutState::Failed { .. } => "failed",
        }
    }
}

impl Aggregate for Creator {
    type Command = Command;
    type Event = Event;
    type Error = Refusal;

    fn decide(&self, command: Command, now: Timestamp) -> Result<Vec<Event>, Refusal> {
        match command {
            Command::ChooseMethod { method } => {
                if self.method.as_ref() == Some(&method) {
                    return Ok(vec![]);
                }
                Ok(vec![Event::MethodChosen { method, at: now }])
            }
            Command::RequestPayout {
                payout_id,
                amount,
                matured,
                minimum,
            } => self.request(payout_id, amount, matured, minimum, now),
            Command::Report { payout_id, outcome } => self.report(payout_id, outcome, now),
            Command::Hold { name, reason, deed } => {
                let deed = deed.map(checked).transpose()?;
                if self.holds.contains_key(&name) || deed.is_none() && self.released.contains(&name) {
                    return Ok(vec![]);
                }
                if self.holds.len() >= HOLDS_MAX {
                    return Err(Refusal::TooManyHolds);
                }
                Ok(vec![Event::Held {
                    name,
                    reason,
                    deed,
                    at: now,
                }])
            }
            Command::Release { name, deed } => {
                let deed = deed.map(checked).transpose()?;
                match (self.holds.contains_key(&name), &deed) {
                    // What was never held, an operator has mistaken; a dispute was faster than its hold.
                    (false, Some(_)) => Err(Refusal::NotHeld),
                    (false, None) if self.released.contains(&name) => Ok(vec![]),
                    _ => Ok(vec![Event::Released { name, deed, at: now }]),
                }
            }
            Command::Forfeit {
                forfeiture_id,
                amount,
                matured,
                deed,
            } => {
                let deed = checked(deed)?;
                if self.forfeitures.contains_key(&forfeiture_id) {
                    return Ok(vec![]);
                }
                self.covers(amount, matured)?;
                Ok(vec![Event::Forfeited {
                    forfeiture_id,
                    amount,
                    deed,
                    at: now,
                }])
            }
        }
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::MethodChosen { method, .. } => self.method = Some(method.clone()),
            Event::PayoutRequested {
                payout_id,
                amount,
                method,
                at,
            } => {
                let payout = Payout {
                    amount: *amount,
                    method: method.clone(),
                    requested_at: *at,
                    state: PayoutState::Processing {
                        tries: 0,
                        due_at: *at,
                    },
                };
                self.payouts.insert(*payout_id, payout);
            }
            Event::PayoutDelayed {
                payout_id,
                tries,
                due_at,
            } => self.enter(
                *payout_id,
                PayoutState::Processing {
                    tries: *tries,
                    due_at: *due_at,
                },
            ),
            Event::PayoutPaid { payout_id, at } => self.enter(*payout_id, PayoutState::Paid { at: *at }),
            Event::PayoutFailed { payout_id, code, at } => {
                let (code, at) = (code.clone(), *at);
                self.enter(*payout_id, PayoutState::Failed { code, at });
            }
            Event::Held { name, reason, at, .. } => {
                let (reason, since) = (reason.clone(), *at);
                self.holds.insert(name.clone(), Hold { reason, since });
            }
            Event::Released { name, deed, .. } => {
                self.holds.remove(name);
                if deed.is_none() {
                    self.released.insert(name.clone());
                }
            }
            Event::Forfeited {
                forfeiture_id,
                amount,
                ..
            } => {
                self.forfeitures.insert(*forfeiture_id, *amount);
            }
        }
    }
}

/// What can be seen.
impl Creator {
    /// Whereto payouts go.
    pub fn method(&self) -> Option<&PayoutMethod> {
        self.method.as_ref()
    }

    /// What stands against payouts, by name.
    pub fn holds(&self) -> &BTreeMap<String, Hold> {
        &self.holds
    }

    /// One payout.
    ///
    /// # Errors
    /// [`Refusal::PayoutNotFound`].
    pub fn payout(&self, payout_id: PayoutId) -> Result<&Payout, Refusal> {
        self.payouts.get(&payout_id).ok_or(Refusal::PayoutNotFound)
    }

    /// The payout that is under way.
    pub fn under_way(&self) -> Option<(PayoutId, &Payout)> {
        let mut payouts = self.payouts.iter().rev();
        payouts
            .find(|(_, payout)| matches!(payout.state, PayoutState::Processing { .. }))
            .map(|(id, payout)| (*id, payout))
    }

    /// What may be paid out of `matured`: what was earned long enough ago and adjusted since, whatever was paid of it.
    /// Negative if more was given back than that.
    pub fn available(&self, matured: i64) -> i64 {
        let spent = self
            .payouts
            .values()
            .filter(|payout| !matches!(payout.state, PayoutState::Failed { .. }));
        let spent: i64 = spent.map(|payout| payout.amount.amount()).sum();
        let forfeited: i64 = self.forfeitures.values().map(|amount| amount.amount()).sum();
        matured - spent - forfeited
    }

    fn covers(&self, amount: Money, matured: i64) -> Result<(), Refusal> {
        if amount.currency() != SETTLEMENT_CURRENCY || amount.is_zero() {
            return Err(Refusal::AmountInvalid);
        }
        if amount.amount() > self.available(matured) {
            return Err(Refusal::ExceedsAvailable);
        }
        Ok(())
    }

    fn request(
        &self,
        payout_id: PayoutId,
        amount: Option<Money>,
        matured: i64,
        minimum: Money,
        now: Timestamp,
    ) -> Result<Vec<Event>, Refusal> {
        // Redelivered under its id.
        if self.payouts.contains_key(&payout_id) {
            return Ok(vec![]);
        }
        let method = self.method.clone().ok_or(Refusal::MethodRequired)?;
        if !self.holds.is_empty() {
            return Err(Refusal::Held);
        }
        if self.under_way().is_some() {
            return Err(Refusal::UnderWay);
        }
        let all = Money::new(self.available(matured).max(0), SETTLEMENT_CURRENCY);
        let amount = amount.map_or_else(|| all.map_err(|_| Refusal::AmountInvalid), Ok)?;
        if amount.amount() < minimum.amount() {
            return Err(Refusal::BelowMinimum);
        }
        self.covers(amount, matured)?;
        Ok(vec![Event::PayoutRequested {
            payout_id,
            amount,
            method,
            at: now,
        }])
    }

    fn report(
        &self,
        payout_id: PayoutId,
        outcome: PayoutOutcome,
        now: Timestamp,
    ) -> Result<Vec<Event>, Refusal> {
        let payout = self.payout(payout_id)?;
        let PayoutState::Processing { tries, .. } = payout.state else {
            return match (&payout.state, outcome) {
                // Money that was paid although a refusal was heard: nobody may take it for available.
                (PayoutState::Failed { .. }, PayoutOutcome::Paid) => {
                    Ok(vec![Event::PayoutPaid { payout_id, at: now }])
                }
                // Told again, or late.
                _ => Ok(vec![]),
            };
        };
        Ok(vec![match outcome {
            PayoutOutcome::Paid => Event::PayoutPaid { payout_id, at: now },
            PayoutOutcome::Failed { code } => Event::PayoutFailed {
                payout_id,
                code,
                at: now,
            },
            PayoutOutcome::Unknown => {
                let index = usize::try_from(tries).unwrap_or(usize::MAX);
                let pause = ASK_AGAIN_AFTER[index.min(ASK_AGAIN_AFTER.len() - 1)];
                Event::PayoutDelayed {
                    payout_id,
                    tries: tries.saturating_add(1),
                    due_at: now.plus(pause),
                }
            }
        }])
    }

    fn enter(&mut self, payout_id: PayoutId, state: PayoutState) {
        if let Some(payout) = self.payouts.get_mut(&payout_id) {
            payout.state = state;
        }
    }

    /// The posting of an event, `self` being the creator after it.
    pub fn posting(&self, creator: UserId, event: &Event) -> Option<Transaction> {
        match event {
            Event::PayoutPaid { payout_id, .. } => {
                let amount = self.payout(*payout_id).ok()?.amount;
                let source = payout_id.as_u128();
                Some(leaves(
                    creator,
                    source,
                    Step::Payout,
                    amount,
                    Account::ProviderClearing,
                ))
            }
            Event::Forfeited {
                forfeiture_id,
                amount,
                ..
            } => {
                let source = forfeiture_id.as_u128();
                Some(leaves(
                    creator,
                    source,
                    Step::Forfeiture,
                    *amount,
                    Account::PlatformRevenue,
                ))
            }
            Event::MethodChosen { .. }
            | Event::PayoutRequested { .. }
            | Event::PayoutDelayed { .. }
            | Event::PayoutFailed { .. }
            | Event::Held { .. }
            | Event::Released { .. } => None,
        }
    }
}

/// Money that a creator is not owed any more.
fn leaves(creator: UserId, source: u128, step: Step, amount: Money, to: Account) -> Transaction {
    let units = amount.amount();
    let entries = vec![
        Entry {
            account: Account::CreatorPayable,
            owner: Some(creator),
            amount: -units,
        },
        Entry {
            account: to,
            owner: None,
            amount: units,
        },
    ];
    Transaction {
        source,
        step,
        entries,
    }
}

fn checked(deed: Deed) -> Result<Deed, Refusal> {
    deed.checked().map_err(|_| Refusal::ReasonLength)
}
