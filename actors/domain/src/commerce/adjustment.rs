//! A manual adjustment of the ledger: `proposed → approved → posted | rejected`; `proposed → rejected`.
//!
//! One operator proposes a balanced transaction and says why; another approves or rejects it. What moves a user's
//! wallet is posted by that user's buyer, who alone knows whether the wallet can bear it: until it has answered, the
//! adjustment is approved and not posted. Anything else is posted in the decision that approves it.
//!
//! Invariants: nobody decides about a proposal of their own; what is posted was approved, is posted once, and is
//! what was proposed to the minor unit.

use std::collections::BTreeSet;

use lyceum_kernel::{Aggregate, Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::ledger::{Account, Entry, Step, Transaction};
use super::oversight::Deed;
use super::{Error, SETTLEMENT_CURRENCY};
use crate::ids::{AdjustmentId, UserId};

/// One manual adjustment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Adjustment {
    /// Nobody has proposed it.
    #[default]
    Absent,
    /// Another operator is to decide.
    Proposed {
        /// What is to be posted.
        proposal: Proposal,
    },
    /// Decided, and on its way to the wallet it moves.
    Approved {
        /// What is to be posted.
        proposal: Proposal,
        /// Who approved it.
        checker: Deed,
    },
    /// In the ledger.
    Posted {
        /// What was posted.
        proposal: Proposal,
        /// Who approved it.
        checker: Deed,
    },
    /// Not in the ledger, for good.
    Rejected {
        /// What was proposed.
        proposal: Proposal,
        /// Who rejected it, or approved it in vain.
        checker: Deed,
        /// The code of the rule that the wallet refused it by, if an operator had approved it.
        refusal: Option<String>,
    },
}

/// What an operator wants to have posted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Entries that add up to zero.
    pub entries: Vec<Entry>,
    /// Who proposes it, and why.
    pub maker: Deed,
    /// When.
    pub at: Timestamp,
}

/// Bounds on a proposal; both are settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// The largest amount of one entry, minor units.
    pub amount_max: i64,
    /// The most entries.
    pub entries_max: usize,
}

/// What an operator, or the wallet concerned, wants to happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Propose.
    Propose {
        /// Entries that add up to zero.
        entries: Vec<Entry>,
        /// Who, and why.
        maker: Deed,
        /// What is too much.
        bounds: Bounds,
    },
    /// Have it posted.
    Approve {
        /// Who, and why.
        checker: Deed,
    },
    /// Have it never posted.
    Reject {
        /// Who, and why.
        checker: Deed,
    },
    /// Take note that the wallet has it.
    Settle,
    /// Take note that the wallet refuses it.
    Refuse {
        /// By which rule: its code.
        code: String,
    },
}

/// What happened to an adjustment. Stored for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// It was proposed.
    Proposed {
        /// What.
        proposal: Proposal,
    },
    /// Another operator wants it posted.
    Approved {
        /// Who.
        checker: Deed,
        /// When.
        at: Timestamp,
    },
    /// It is in the ledger: from this decision on, or by the wallet's.
    Posted {
        /// When.
        at: Timestamp,
    },
    /// It will not be posted.
    Rejected {
        /// Who; the approver, if the wallet refused.
        checker: Deed,
        /// The code of the rule by which the wallet refused.
        refusal: Option<String>,
        /// When.
        at: Timestamp,
    },
}

impl Aggregate for Adjustment {
    type Command = Command;
    type Event = Event;
    type Error = Error;

    fn decide(&self, command: Command, now: Timestamp) -> Result<Vec<Event>, Error> {
        match (self, command) {
            (
                Adjustment::Absent,
                Command::Propose {
                    entries,
                    maker,
                    bounds,
                },
            ) => {
                let maker = maker.checked()?;
                check(&entries, bounds)?;
                let proposal = Proposal {
                    entries,
                    maker,
                    at: now,
                };
                Ok(vec![Event::Proposed { proposal }])
            }
            // Redelivered under its id.
            (_, Command::Propose { .. }) => Ok(vec![]),
            (Adjustment::Absent, _) => Err(Error::AdjustmentNotFound),
            (Adjustment::Proposed { proposal }, Command::Approve { checker }) => {
                let checker = proposal.another(checker)?;
                let approved = Event::Approved { checker, at: now };
                Ok(if proposal.wallet().is_some() {
                    vec![approved]
                } else {
                    vec![approved, Event::Posted { at: now }]
                })
            }
            (Adjustment::Proposed { proposal }, Command::Reject { checker }) => Ok(vec![Event::Rejected {
                checker: proposal.another(checker)?,
                refusal: None,
                at: now,
            }]),
            // The same operator says the same again.
            (
                Adjustment::Approved { checker: by, .. } | Adjustment::Posted { checker: by, .. },
                Command::Approve { checker },
            ) if by.operator == checker.operator => Ok(vec![]),
            (
                Adjustment::Rejected {
                    checker: by,
                    refusal: None,
                    ..
                },
                Command::Reject { checker },
            ) if by.operator == checker.operator => Ok(vec![]),
            (Adjustment::Approved { .. }, Command::Settle) => Ok(vec![Event::Posted { at: now }]),
            (Adjustment::Approved { checker, .. }, Command::Refuse { code }) => Ok(vec![Event::Rejected {
                checker: checker.clone(),
                refusal: Some(code),
                at: now,
            }]),
            // Redelivered.
            (Adjustment::Posted { .. }, Command::Settle)
            | (Adjustment::Rejected { refusal: Some(_), .. }, Command::Refuse { .. }) => Ok(vec![]),
            (
                Adjustment::Proposed { .. }
                | Adjustment::Approved { .. }
                | Adjustment::Posted { .. }
                | Adjustment::Rejected { .. },
                _,
            ) => Err(Error::wrong_state(self.name())),
        }
    }

    fn apply(&mut self, event: &Event) {
        *self = match (std::mem::take(self), event) {
            (_, Event::Proposed { proposal }) => Adjustment::Proposed {
                proposal: proposal.clone(),
            },
            (Adjustment::Proposed { proposal }, Event::Approved { checker, .. }) => Adjustment::Approved {
                proposal,
                checker: checker.clone(),
            },
            (Adjustment::Approved { proposal, checker }, Event::Posted { .. }) => {
                Adjustment::Posted { proposal, checker }
            }
            (
                Adjustment::Proposed { proposal } | Adjustment::Approved { proposal, .. },
                Event::Rejected { checker, refusal, .. },
            ) => Adjustment::Rejected {
                proposal,
                checker: checker.clone(),
                refusal: refusal.clone(),
            },
            // `decide` makes no other pair.
            (unchanged, _) => unchanged,
        };
    }
}

impl Adjustment {
    /// The name of the state.
    pub fn name(&self) -> &'static str {
        match self {
            Adjustment::Absent => "absent",
            Adjustment::Proposed { .. } => "proposed",
            Adjustment::Approved { .. } => "approved",
            Adjustment::Posted { .. } => "posted",
            Adjustment::Rejected { .. } => "rejected",
        }
    }

    /// What was proposed.
    ///
    /// # Errors
    /// [`Error::AdjustmentNotFound`].
    pub fn proposal(&self) -> Result<&Proposal, Error> {
        match self {
            Adjustment::Absent => Err(Error::AdjustmentNotFound),
            Adjustment::Proposed { proposal }
            | Adjustment::Approved { proposal, .. }
            | Adjustment::Posted { proposal, .. }
            | Adjustment::Rejected { proposal, .. } => Ok(proposal),
        }
    }

    /// Who decided, once somebody has.
    pub fn checker(&self) -> Option<&Deed> {
        match self {
            Adjustment::Absent | Adjustment::Proposed { .. } => None,
            Adjustment::Approved { checker, .. }
            | Adjustment::Posted { checker, .. }
            | Adjustment::Rejected { checker, .. } => Some(checker),
        }
    }

    /// The code of the rule that refused it after its approval.
    pub fn refusal(&self) -> Option<&str> {
        match self {
            Adjustment::Rejected { refusal, .. } => refusal.as_deref(),
            Adjustment::Absent
            | Adjustment::Proposed { .. }
            | Adjustment::Approved { .. }
            | Adjustment::Posted { .. } => None,
        }
    }

    /// The posting of an event that no buyer posts, `self` being the adjustment after it.
    pub fn posting(&self, adjustment_id: AdjustmentId, event: &Event) -> Option<Transaction> {
        let proposal = self.proposal().ok()?;
        let here = matches!(event, Event::Posted { .. }) && proposal.wallet().is_none();
        here.then(|| transaction(adjustment_id, proposal.entries.clone()))
    }
}

impl Proposal {
    /// Whose wallet it moves, if it moves one.
    pub fn wallet(&self) -> Option<UserId> {
        let mut entries = self.entries.iter();
        entries
            .find(|entry| entry.account == Account::UserWallet)
            .and_then(|entry| entry.owner)
    }

    /// Whom the transaction is posted for: the owner of the wallet, or the operator who proposed it.
    pub fn user(&self) -> UserId {
        self.wallet().unwrap_or(self.maker.operator)
    }

    /// The deed of somebody else than the maker.
    fn another(&self, checker: Deed) -> Result<Deed, Error> {
        if checker.operator == self.maker.operator {
            return Err(Error::AdjustmentSameOperator);
        }
        checker.checked()
    }
}

/// The transaction of an adjustment with these entries.
pub(super) fn transaction(adjustment_id: AdjustmentId, entries: Vec<Entry>) -> Transaction {
    Transaction {
        source: adjustment_id.as_u128(),
        step: Step::Adjustment,
        entries,
    }
}

/// Refuses what no ledger may hold, and what is beyond the bounds.
fn check(entries: &[Entry], bounds: Bounds) -> Result<(), Error> {
    if entries.len() < 2 || entries.len() > bounds.entries_max {
        return Err(Error::AdjustmentEntries);
    }
    let mut seen = BTreeSet::new();
    let mut sum = 0_i128;
    let mut wallets = 0;
    for entry in entries {
        let units = entry.amount.checked_abs().ok_or(Error::AmountOutOfRange)?;
        if units == 0 || units > bounds.amount_max || Money::new(units, SETTLEMENT_CURRENCY).is_err() {
            return Err(Error::AmountOutOfRange);
        }
        // A hold belongs to an order, and moves with it alone.
        let fits = entry.account != Account::WalletHold && entry.owner.is_some() == entry.account.is_owned();
        if !fits || !seen.insert((entry.account, entry.owner)) {
            return Err(Error::AdjustmentEntries);
        }
        wallets += usize::from(entry.account == Account::UserWallet);
        sum += i128::from(entry.amount);
    }
    // Each wallet has its own buyer, and one transaction is one decision.
    if wallets > 1 {
        return Err(Error::AdjustmentOneWallet);
    }
    if sum != 0 {
        return Err(Error::AdjustmentUnbalanced);
    }
    Ok(())
}
