//! What can happen to a buyer.

use lyceum_kernel::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::command::ImportedPurchase;
use crate::commerce::ledger::Entry;
use crate::commerce::order::{CloseReason, OrderPayment, Placement, Provider};
use crate::commerce::oversight::{Deed, Intervention};
use crate::commerce::refund::{RefundState, RefundTerms};
use crate::commerce::wallet::TopUpState;
use crate::ids::{AdjustmentId, CodeId, CourseId, OrderId, PaymentId, RefundId, UserId};

/// What happened to a buyer. Stored for good, so names and fields are never changed, only added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// An order was placed, paid from the wallet (or free), posted, granted and fulfilled.
    Purchased(Box<Placement>),
    /// An order was placed and a provider is to be charged.
    OrderPlaced {
        /// What was agreed.
        order: Box<Placement>,
        /// What the provider needs.
        payment_token: String,
        /// When the payment is given up.
        expires_at: Timestamp,
    },
    /// The buyer wants to pay otherwise; a provider is to be charged, and the payments before it are to close.
    PaymentAdded {
        /// The order.
        order_id: OrderId,
        /// The payment.
        payment: OrderPayment,
        /// What the provider needs.
        payment_token: String,
    },
    /// Another payment than the one that paid was captured; its money goes back.
    PaymentSurplus {
        /// The order.
        order_id: OrderId,
        /// The payment.
        payment_id: PaymentId,
        /// When.
        at: Timestamp,
    },
    /// The total was captured, and is kept until the team of the order is decided; its payer is owed it until then.
    OrderHeld {
        /// The order.
        order_id: OrderId,
        /// What paid, if the order has had several payments, or the wallet paid.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        paid: Option<OrderPayment>,
        /// When.
        at: Timestamp,
    },
    /// The total was captured, now or before; access was granted and the sale posted.
    OrderFulfilled {
        /// The order.
        order_id: OrderId,
        /// What paid, if the order has had several payments.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        paid: Option<OrderPayment>,
        /// When.
        at: Timestamp,
    },
    /// The total was captured, and access cannot be granted: it is too late, or the order's team has failed. The money goes back.
    FulfilmentFailed {
        /// The order.
        order_id: OrderId,
        /// What was captured, if the order has had several payments.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        paid: Option<OrderPayment>,
        /// The refund that was begun.
        refund_id: RefundId,
        /// When.
        at: Timestamp,
    },
    /// The payment was asked to close.
    OrderClosing {
        /// The order.
        order_id: OrderId,
        /// What the order becomes then.
        reason: CloseReason,
        /// When.
        at: Timestamp,
    },
    /// The order ended without payment.
    OrderClosed {
        /// The order.
        order_id: OrderId,
        /// Why.
        reason: CloseReason,
        /// When.
        at: Timestamp,
    },
    /// The money of a refund is back in the wallet, and access to the lines that are returned with it is gone.
    RefundedToWallet {
        /// The order.
        order_id: OrderId,
        /// The refund.
        refund_id: RefundId,
        /// Why.
        reason: String,
        /// How much of which line; everything if it is missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        terms: Option<Box<RefundTerms>>,
        /// When.
        at: Timestamp,
    },
    /// A refund was asked for. Unless its terms await an approval it is approved, and the payment is to return the money.
    RefundRequested {
        /// The order.
        order_id: OrderId,
        /// The refund.
        refund_id: RefundId,
        /// Why.
        reason: String,
        /// How much of which line, and whereto; everything, the way it came, if it is missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        terms: Option<Box<RefundTerms>>,
        /// When.
        at: Timestamp,
    },
    /// An operator decided about a refund; what followed from it is in the events after this one.
    RefundDecided {
        /// The order.
        order_id: OrderId,
        /// The refund.
        refund_id: RefundId,
        /// Whether it was approved.
        approved: bool,
        /// Who, and why.
        deed: Deed,
        /// When.
        at: Timestamp,
    },
    /// A refund that nobody had decided about was taken back.
    RefundCancelled {
        /// The order.
        order_id: OrderId,
        /// The refund.
        refund_id: RefundId,
        /// When.
        at: Timestamp,
    },
    /// A refund moved.
    RefundMoved {
        /// The order.
        order_id: OrderId,
        /// The refund.
        refund_id: RefundId,
        /// The number of the provider attempt.
        attempt: u32,
        /// Where to.
        state: RefundState,
        /// When.
        at: Timestamp,
    },
    /// A top-up began.
    TopUpStarted {
        /// The payment that brings it.
        payment_id: PaymentId,
        /// How much.
        amount: Money,
        /// Who takes the payment.
        provider: Provider,
        /// What the provider needs.
        payment_token: String,
        /// When the payment is given up.
        expires_at: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// A top-up ended, with or without money.
    TopUpSettled {
        /// The payment.
        payment_id: PaymentId,
        /// How.
        state: TopUpState,
        /// When.
        at: Timestamp,
    },
    /// An operator did something about a checkout; what followed from it is in the events after this one.
    Intervened {
        /// The order.
        order_id: OrderId,
        /// What.
        action: Intervention,
        /// Who, and why.
        deed: Deed,
        /// When.
        at: Timestamp,
    },
    /// The wallet was moved by what two operators had agreed upon.
    Adjusted {
        /// The adjustment.
        adjustment_id: AdjustmentId,
        /// Its entries.
        entries: Vec<Entry>,
        /// When.
        at: Timestamp,
    },
    /// The wallet cannot bear an adjustment, and never will: whoever wants it nevertheless proposes another.
    AdjustmentRefused {
        /// The adjustment.
        adjustment_id: AdjustmentId,
        /// The code of the rule.
        code: String,
        /// When.
        at: Timestamp,
    },
    /// Somebody has redeemed what was bought as a gift.
    GiftRedeemed {
        /// The order.
        order_id: OrderId,
        /// Who.
        user: UserId,
        /// When.
        at: Timestamp,
    },
    /// A redeem code gave access.
    CodeGranted {
        /// The code.
        code: CodeId,
        /// To which courses, at which version.
        courses: Vec<(CourseId, u32)>,
        /// When.
        at: Timestamp,
    },
    /// Access was imported.
    Imported {
        /// What was bought elsewhere.
        purchases: Vec<ImportedPurchase>,
    },
}
