//! What a buyer, a payment or a timer can ask of a buyer.

use lyceum_kernel::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use crate::commerce::access::ImportId;
use crate::commerce::ledger::Entry;
use crate::commerce::order::{Method, PlaceOrder, Provider};
use crate::commerce::oversight::{Deed, Intervention};
use crate::commerce::payment::{Purpose, Settlement};
use crate::commerce::refund::{RefundOutcome, Wanted};
use crate::ids::{AdjustmentId, CodeId, CourseId, OrderId, PaymentId, RefundId, UserId};

/// What a buyer, a payment or a timer wants to happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Buy courses.
    PlaceOrder(Box<PlaceOrder>),
    /// Take note of how a payment ended.
    SettlePayment {
        /// The payment.
        payment_id: PaymentId,
        /// What it was for.
        purpose: Purpose,
        /// How it ended.
        outcome: Settlement,
    },
    /// Pay a pending order otherwise than it was begun.
    AddPayment {
        /// The order.
        order_id: OrderId,
        /// The id of the payment, drawn at the edge.
        payment_id: PaymentId,
        /// Who pays.
        method: Method,
        /// What the provider needs to charge.
        payment_token: Option<String>,
    },
    /// Give a pending order up, by the buyer.
    Cancel {
        /// The order.
        order_id: OrderId,
    },
    /// Give a pending order up, by its timer.
    Expire {
        /// The order.
        order_id: OrderId,
    },
    /// Grant an order that waits for its team, or return its money: the team is decided.
    Conclude {
        /// The order.
        order_id: OrderId,
        /// Whether the team has succeeded.
        granted: bool,
    },
    /// Return money of a fulfilled order: all, a part, or what some of its lines cost.
    RequestRefund {
        /// The order.
        order_id: OrderId,
        /// The id of the refund, drawn at the edge.
        refund_id: RefundId,
        /// Why.
        reason: String,
        /// How much of what, and whereto.
        #[serde(flatten)]
        wanted: Wanted,
        /// Who asks.
        #[serde(default)]
        requester: Option<UserId>,
    },
    /// Approve or reject a refund that waits for that, by an operator.
    DecideRefund {
        /// The order.
        order_id: OrderId,
        /// The refund.
        refund_id: RefundId,
        /// Whether it is approved.
        approved: bool,
        /// Who, and why.
        deed: Deed,
    },
    /// Take back a request that nobody has decided about.
    CancelRefund {
        /// The order.
        order_id: OrderId,
        /// The refund.
        refund_id: RefundId,
    },
    /// Take note of what the payment found out about a refund.
    SettleRefund {
        /// The order.
        order_id: OrderId,
        /// The refund.
        refund_id: RefundId,
        /// The provider attempt it is about.
        attempt: u32,
        /// What is known.
        outcome: RefundOutcome,
    },
    /// Try a failed refund again.
    RetryRefund {
        /// The order.
        order_id: OrderId,
        /// The refund.
        refund_id: RefundId,
    },
    /// Bring money into the wallet through a provider.
    StartTopUp {
        /// The id of the payment, drawn at the edge; it identifies the top-up.
        payment_id: PaymentId,
        /// How much.
        amount: Money,
        /// Who takes the payment.
        provider: Provider,
        /// What the provider needs to charge.
        payment_token: Option<String>,
        /// When the payment is given up.
        expires_at: Timestamp,
    },
    /// Do something about a checkout that has not ended, by an operator.
    Intervene {
        /// The order.
        order_id: OrderId,
        /// What.
        action: Intervention,
        /// Who, and why.
        deed: Deed,
    },
    /// Move the wallet by what two operators have agreed upon.
    PostAdjustment {
        /// The adjustment.
        adjustment_id: AdjustmentId,
        /// Its entries, one of which is of this wallet.
        entries: Vec<Entry>,
    },
    /// Let somebody have what was bought as a gift.
    RedeemGift {
        /// The order.
        order_id: OrderId,
        /// The code they have.
        code: CodeId,
        /// Who.
        user: UserId,
    },
    /// Grant what a redeem code gives, once.
    GrantCode {
        /// The code.
        code: CodeId,
        /// Which courses, at which version.
        courses: Vec<(CourseId, u32)>,
    },
    /// Grant access that was bought elsewhere, without money; at most [`LINES_MAX`](crate::commerce::order::LINES_MAX) at once.
    Import {
        /// What was bought.
        purchases: Vec<ImportedPurchase>,
    },
}

/// A purchase of another system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedPurchase {
    /// The record of the import.
    pub import_id: ImportId,
    /// The course.
    pub course_id: CourseId,
    /// Its current version.
    pub course_version: u32,
    /// When it was bought.
    pub at: Timestamp,
}
