//! What can be asked of a creator's payouts, and what can happen to them.

use lyceum_kernel::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::PayoutMethod;
use crate::commerce::oversight::Deed;
use crate::ids::{ForfeitureId, PayoutId};

/// What a creator, an operator, a dispute or the provider wants to happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Have payouts sent there from now on.
    ChooseMethod {
        /// Whereto.
        method: PayoutMethod,
    },
    /// Be paid.
    RequestPayout {
        /// The id of the payout, drawn at the edge.
        payout_id: PayoutId,
        /// How much; all that is available if left out.
        amount: Option<Money>,
        /// What was earned long enough ago, and adjusted since, by the ledger; payouts and forfeitures not taken off.
        matured: i64,
        /// The least that is paid out at once.
        minimum: Money,
    },
    /// Take note of what the provider said.
    Report {
        /// About which payout.
        payout_id: PayoutId,
        /// What.
        outcome: PayoutOutcome,
    },
    /// Let nothing be paid out.
    Hold {
        /// Whose hold it is; one that has it already is the same.
        name: String,
        /// Why.
        reason: String,
        /// The operator who wants it, unless a dispute does.
        deed: Option<Deed>,
    },
    /// Take a hold away.
    Release {
        /// Whose.
        name: String,
        /// The operator who wants it, unless a dispute does.
        deed: Option<Deed>,
    },
    /// Take what is available away for good, by an operator.
    Forfeit {
        /// The id of the forfeiture, drawn at the edge.
        forfeiture_id: ForfeitureId,
        /// How much.
        amount: Money,
        /// As for a payout.
        matured: i64,
        /// Who, and why.
        deed: Deed,
    },
}

/// What is known of a payout that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayoutOutcome {
    /// The provider has paid it, or has it for good.
    Paid,
    /// The provider will not pay it.
    Failed {
        /// By which code.
        code: String,
    },
    /// Nobody knows.
    Unknown,
}

/// What happened to a creator's payouts. Stored for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// Payouts go there from now on.
    MethodChosen {
        /// Whereto.
        method: PayoutMethod,
        /// When.
        at: Timestamp,
    },
    /// A payout was asked for and is to be sent.
    PayoutRequested {
        /// Which.
        payout_id: PayoutId,
        /// How much.
        amount: Money,
        /// Whereto.
        method: PayoutMethod,
        /// When.
        at: Timestamp,
    },
    /// What became of a payout is not known; it is sent again.
    PayoutDelayed {
        /// Which.
        payout_id: PayoutId,
        /// How often that was so.
        tries: u32,
        /// When it is sent again.
        due_at: Timestamp,
    },
    /// The provider has paid it.
    PayoutPaid {
        /// Which.
        payout_id: PayoutId,
        /// When.
        at: Timestamp,
    },
    /// The provider will not pay it; the money is available again.
    PayoutFailed {
        /// Which.
        payout_id: PayoutId,
        /// By which code.
        code: String,
        /// When.
        at: Timestamp,
    },
    /// Nothing is paid out for now.
    Held {
        /// Whose hold it is.
        name: String,
        /// Why.
        reason: String,
        /// The operator who wanted it.
        deed: Option<Deed>,
        /// When.
        at: Timestamp,
    },
    /// A hold is gone.
    Released {
        /// Whose.
        name: String,
        /// The operator who wanted it.
        deed: Option<Deed>,
        /// When.
        at: Timestamp,
    },
    /// What was available is the platform's.
    Forfeited {
        /// Which forfeiture.
        forfeiture_id: ForfeitureId,
        /// How much.
        amount: Money,
        /// Who, and why.
        deed: Deed,
        /// When.
        at: Timestamp,
    },
}
