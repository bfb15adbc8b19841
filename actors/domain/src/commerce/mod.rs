//! Commerce: wallets, orders, payments, refunds, access and the ledger behind them.
//!
//! Three aggregates. [`Buyer`] is everything one user's purchases may change at once: the wallet, the orders with
//! their checkout sagas, and the access they grant; a wallet purchase is therefore one decision. [`Payment`] is
//! one payment through an external provider, whose outcome may be unknown for a while. Messages link the two, and
//! either accepts any of them twice and in any order. [`Adjustment`] is a transaction that two operators have agreed
//! upon. [`ledger`] turns events into balanced postings.

use std::borrow::Cow;

use lyceum_kernel::{Class, Coded, Currency};
use serde::{Deserialize, Serialize};

pub mod access;
pub mod adjustment;
pub mod allocation;
pub mod batch;
pub mod bundle;
pub mod buyer;
pub mod coupon;
pub mod creator;
pub mod group;
pub mod ledger;
pub mod membership;
pub mod offering;
pub mod order;
pub mod oversight;
pub mod payment;
pub mod plan;
pub mod refund;
pub mod reservation;
pub mod sale;
pub mod team;
pub mod wallet;

#[cfg(test)]
mod adjustment_test;
#[cfg(test)]
mod buyer_test;
#[cfg(test)]
mod gift_test;
#[cfg(test)]
mod held_test;
#[cfg(test)]
mod late_test;
#[cfg(test)]
mod oversight_test;
#[cfg(test)]
mod payer_test;
#[cfg(test)]
mod payment_test;
#[cfg(test)]
mod place_test;
#[cfg(test)]
mod property_test;
#[cfg(test)]
mod reservation_test;

pub use access::{Grant, ImportId, Source};
pub use adjustment::Adjustment;
pub use batch::Batch;
pub use bundle::Bundle;
pub use buyer::{Buyer, Command, Event};
pub use coupon::Coupon;
pub use creator::Creator;
pub use group::Group;
pub use membership::Membership;
pub use offering::Offering;
pub use order::{Line, Method, Order, OrderState, PlaceOrder, Provider};
pub use oversight::{Deed, Intervention};
pub use payment::{Payment, Purpose, Settlement};
pub use plan::Plan;
pub use refund::{Refund, RefundOutcome, RefundState, RefundTerms};
pub use reservation::{Fate, Outcome, Reservation};
pub use sale::Sale;
pub use team::Team;

/// The one currency that wallets and orders are kept in; money of another is refused where it enters.
pub const SETTLEMENT_CURRENCY: Currency = Currency::CNY;

/// Why commerce refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// The buyer has no such order.
    #[error("there is no such order")]
    OrderNotFound,
    /// There is no such payment.
    #[error("there is no such payment")]
    PaymentNotFound,
    /// The buyer has no such top-up.
    #[error("there is no such top-up")]
    TopUpNotFound,
    /// The order has no such refund.
    #[error("there is no such refund")]
    RefundNotFound,
    /// The order has no line.
    #[error("an order needs at least one item")]
    OrderEmpty,
    /// The order has too many lines.
    #[error("an order has at most {max} items", max = order::LINES_MAX)]
    TooManyLines,
    /// A course appears twice in one order.
    #[error("a course can be in an order only once")]
    DuplicateCourse,
    /// The course cannot be bought.
    #[error("the course is not for sale")]
    CourseNotForSale,
    /// The buyer has access to the course.
    #[error("the course is owned already")]
    CourseAlreadyOwned,
    /// A pending order of the buyer contains the course.
    #[error("a pending order contains the course already")]
    CourseInPendingOrder,
    /// The buyer made the course.
    #[error("the course is the buyer's own")]
    OwnCourse,
    /// The total is another than the buyer agreed to.
    #[error("the price has changed meanwhile; ask for a new quote")]
    PriceChanged,
    /// The wallet does not cover the total.
    #[error("the wallet does not hold enough money")]
    InsufficientFunds,
    /// The buyer has too many orders that wait for a payment.
    #[error("at most {max} orders may wait for their payment", max = order::OPEN_ORDERS_MAX)]
    TooManyOpenOrders,
    /// The buyer has too many orders in teams that are not decided.
    #[error("at most {max} orders may wait for their team", max = order::TEAM_ORDERS_MAX)]
    TooManyTeamOrders,
    /// The buyer has too many top-ups under way.
    #[error("at most {max} top-ups may be under way", max = wallet::OPEN_TOP_UPS_MAX)]
    TooManyOpenTopUps,
    /// The money is not of the settlement currency.
    #[error("only {SETTLEMENT_CURRENCY} is accepted")]
    CurrencyUnsupported,
    /// The amount is zero or beyond what a wallet or an order may hold.
    #[error("the amount is out of range")]
    AmountOutOfRange,
    /// A flash sale refuses.
    #[error(transparent)]
    Sale(#[from] sale::Refusal),
    /// A redeem code refuses.
    #[error(transparent)]
    Code(#[from] batch::Refusal),
    /// A bundle refuses.
    #[error(transparent)]
    Bundle(#[from] bundle::Refusal),
    /// A coupon refuses.
    #[error(transparent)]
    Coupon(#[from] coupon::Refusal),
    /// A membership plan refuses.
    #[error(transparent)]
    Plan(#[from] plan::Refusal),
    /// A membership refuses.
    #[error(transparent)]
    Membership(#[from] membership::Refusal),
    /// A group price refuses.
    #[error(transparent)]
    Group(#[from] group::Refusal),
    /// A team refuses.
    #[error(transparent)]
    Team(#[from] team::Refusal),
    /// The payment method is not offered.
    #[error("the payment method is not offered")]
    PaymentMethodUnknown,
    /// The payment method needs a token.
    #[error("the payment method needs a payment_token")]
    PaymentTokenRequired,
    /// The state machine has no such transition.
    #[error("not possible while the state is {current}")]
    WrongState {
        /// The name of the state that refused.
        current: Cow<'static, str>,
    },
    /// The time for a refund is over.
    #[error("the time in which the order can be refunded is over")]
    RefundWindowClosed,
    /// The order has too many payments.
    #[error("an order has at most {max} payments", max = order::PAYMENTS_MAX)]
    TooManyPayments,
    /// The order has no such line.
    #[error("the order has no line with this course")]
    RefundItemUnknown,
    /// The order has too many refunds.
    #[error("an order has at most {max} refunds", max = refund::REFUNDS_MAX)]
    TooManyRefunds,
    /// Money cannot go where it is wanted.
    #[error("a refund cannot go there")]
    RefundDestinationUnsupported,
    /// Whoever asked for a refund wants to decide about it.
    #[error("somebody else than the one who asked for it must decide")]
    RefundSameOperator,
    /// Refunds would exceed what was captured.
    #[error("refunds cannot exceed what was captured")]
    RefundExceedsCapture,
    /// The provider speaks of another amount or currency than was asked for.
    #[error("the amount or currency is not that of the payment")]
    AmountMismatch,
    /// The signature of a callback is missing, wrong or too old.
    #[error("the signature is missing, wrong or too old")]
    SignatureInvalid,
    /// A callback is the provider's and cannot be read, or is not meant for this merchant.
    #[error("the callback cannot be read, or is meant for somebody else")]
    CallbackMalformed,
    /// The caller has no access to the course.
    #[error("access to the course is required")]
    AccessRequired,
    /// There is no such adjustment.
    #[error("there is no such adjustment")]
    AdjustmentNotFound,
    /// The operator who proposed an adjustment wants to decide about it.
    #[error("another operator than the one who proposed it must decide")]
    AdjustmentSameOperator,
    /// The entries do not add up to zero.
    #[error("the entries must add up to zero")]
    AdjustmentUnbalanced,
    /// There are too few or too many entries, an account twice, or an owner where none may or must be.
    #[error(
        "an adjustment has a few entries of different accounts, with an owner exactly where an account is somebody's"
    )]
    AdjustmentEntries,
    /// Several wallets are concerned.
    #[error("an adjustment moves at most one wallet")]
    AdjustmentOneWallet,
    /// The reason is too short or too long.
    #[error("a reason has from 3 to 500 characters")]
    ReasonLength,
    /// There is no such saga.
    #[error("there is no such saga")]
    SagaNotFound,
    /// The order has too many reservations.
    #[error("an order has at most {max} reservations", max = reservation::RESERVATIONS_MAX)]
    TooManyReservations,
    /// What was reserved for the order is kept no longer.
    #[error("what was reserved for the order is kept no longer; order again")]
    ReservationExpired,
}

impl Error {
    /// The refusal of a transition by a state of this name.
    pub(crate) fn wrong_state(current: &'static str) -> Self {
        Error::WrongState {
            current: Cow::Borrowed(current),
        }
    }
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Error::OrderNotFound => "commerce.order_not_found",
            Error::PaymentNotFound => "commerce.payment_not_found",
            Error::TopUpNotFound => "commerce.top_up_not_found",
            Error::RefundNotFound => "commerce.refund_not_found",
            Error::OrderEmpty => "commerce.order_empty",
            Error::TooManyLines => "commerce.too_many_lines",
            Error::DuplicateCourse => "commerce.duplicate_course",
            Error::CourseNotForSale => "commerce.course_not_for_sale",
            Error::CourseAlreadyOwned => "commerce.course_already_owned",
            Error::CourseInPendingOrder => "commerce.course_in_pending_order",
            Error::OwnCourse => "commerce.own_course",
            Error::PriceChanged => "commerce.price_changed",
            Error::InsufficientFunds => "commerce.insufficient_funds",
            Error::TooManyOpenOrders => "commerce.too_many_open_orders",
            Error::TooManyTeamOrders => "commerce.too_many_team_orders",
            Error::TooManyOpenTopUps => "commerce.too_many_open_top_ups",
            Error::CurrencyUnsupported => "commerce.currency_unsupported",
            Error::AmountOutOfRange => "commerce.amount_out_of_range",
            Error::Bundle(refusal) => refusal.code(),
            Error::Sale(refusal) => refusal.code(),
            Error::Code(refusal) => refusal.code(),
            Error::Coupon(refusal) => refusal.code(),
            Error::Plan(refusal) => refusal.code(),
            Error::Membership(refusal) => refusal.code(),
            Error::Group(refusal) => refusal.code(),
            Error::Team(refusal) => refusal.code(),
            Error::PaymentMethodUnknown => "commerce.payment_method_unknown",
            Error::PaymentTokenRequired => "commerce.payment_token_required",
            Error::WrongState { .. } => "commerce.wrong_state",
            Error::RefundWindowClosed => "commerce.refund_window_closed",
            Error::TooManyPayments => "commerce.too_many_payments",
            Error::RefundItemUnknown => "commerce.refund_item_unknown",
            Error::TooManyRefunds => "commerce.too_many_refunds",
            Error::RefundDestinationUnsupported => "commerce.refund_destination_unsupported",
            Error::RefundSameOperator => "commerce.refund_same_operator",
            Error::RefundExceedsCapture => "commerce.refund_exceeds_capture",
            Error::AmountMismatch => "commerce.amount_mismatch",
            Error::SignatureInvalid => "commerce.signature_invalid",
            Error::CallbackMalformed => "commerce.callback_malformed",
            Error::AccessRequired => "commerce.access_required",
            Error::AdjustmentNotFound => "commerce.adjustment_not_found",
            Error::AdjustmentSameOperator => "commerce.adjustment_same_operator",
            Error::AdjustmentUnbalanced => "commerce.adjustment_unbalanced",
            Error::AdjustmentEntries => "commerce.adjustment_entries",
            Error::AdjustmentOneWallet => "commerce.adjustment_one_wallet",
            Error::ReasonLength => "commerce.reason_length",
            Error::SagaNotFound => "commerce.saga_not_found",
            Error::TooManyReservations => "commerce.too_many_reservations",
            Error::ReservationExpired => "commerce.reservation_expired",
        }
    }

    fn class(&self) -> Class {
        match self {
            Error::OrderNotFound
            | Error::PaymentNotFound
            | Error::TopUpNotFound
            | Error::RefundNotFound
            | Error::AdjustmentNotFound
            | Error::SagaNotFound => Class::NotFound,
            Error::CourseAlreadyOwned
            | Error::CourseInPendingOrder
            | Error::OwnCourse
            | Error::PriceChanged
            | Error::WrongState { .. }
            | Error::RefundExceedsCapture
            | Error::ReservationExpired => Class::Conflict,
            Error::Bundle(refusal) => refusal.class(),
            Error::Sale(refusal) => refusal.class(),
            Error::Code(refusal) => refusal.class(),
            Error::Coupon(refusal) => refusal.class(),
            Error::Plan(refusal) => refusal.class(),
            Error::Membership(refusal) => refusal.class(),
            Error::Group(refusal) => refusal.class(),
            Error::Team(refusal) => refusal.class(),
            Error::InsufficientFunds => Class::PaymentRequired,
            Error::SignatureInvalid => Class::Unauthenticated,
            Error::CallbackMalformed => Class::Malformed,
            Error::AccessRequired | Error::AdjustmentSameOperator | Error::RefundSameOperator => {
                Class::Forbidden
            }
            Error::OrderEmpty
            | Error::TooManyLines
            | Error::DuplicateCourse
            | Error::CourseNotForSale
            | Error::TooManyOpenOrders
            | Error::TooManyTeamOrders
            | Error::TooManyOpenTopUps
            | Error::CurrencyUnsupported
            | Error::AmountOutOfRange
            | Error::PaymentMethodUnknown
            | Error::PaymentTokenRequired
            | Error::RefundWindowClosed
            | Error::TooManyPayments
            | Error::RefundItemUnknown
            | Error::TooManyRefunds
            | Error::RefundDestinationUnsupported
            | Error::AmountMismatch
            | Error::AdjustmentUnbalanced
            | Error::AdjustmentEntries
            | Error::AdjustmentOneWallet
            | Error::ReasonLength
            | Error::TooManyReservations => Class::Unprocessable,
        }
    }

    fn current_state(&self) -> Option<Cow<'static, str>> {
        match self {
            Error::WrongState { current } => Some(current.clone()),
            Error::Bundle(refusal) => refusal.current_state(),
            Error::Sale(refusal) => refusal.current_state(),
            Error::Code(refusal) => refusal.current_state(),
            Error::Coupon(refusal) => refusal.current_state(),
            Error::Membership(refusal) => refusal.current_state(),
            Error::Team(refusal) => refusal.current_state(),
            Error::CourseAlreadyOwned => Some(Cow::Borrowed("owned")),
            Error::CourseInPendingOrder => Some(Cow::Borrowed("pending")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_belong_to_commerce() {
        let errors = [
            Error::OrderNotFound,
            Error::PaymentNotFound,
            Error::TopUpNotFound,
            Error::RefundNotFound,
            Error::OrderEmpty,
            Error::TooManyLines,
            Error::DuplicateCourse,
            Error::CourseNotForSale,
            Error::CourseAlreadyOwned,
            Error::CourseInPendingOrder,
            Error::OwnCourse,
            Error::PriceChanged,
            Error::InsufficientFunds,
            Error::TooManyOpenOrders,
            Error::TooManyTeamOrders,
            Error::TooManyOpenTopUps,
            Error::CurrencyUnsupported,
            Error::AmountOutOfRange,
            Error::Bundle(bundle::Refusal::NotFound),
            Error::Sale(sale::Refusal::NotFound),
            Error::Code(batch::Refusal::Unknown),
            Error::Coupon(coupon::Refusal::Unknown),
            Error::Plan(plan::Refusal::NotFound),
            Error::Membership(membership::Refusal::NotFound),
            Error::Group(group::Refusal::NotFound),
            Error::Team(team::Refusal::NotFound),
            Error::PaymentMethodUnknown,
            Error::PaymentTokenRequired,
            Error::wrong_state("pending"),
            Error::RefundWindowClosed,
            Error::TooManyPayments,
            Error::RefundItemUnknown,
            Error::TooManyRefunds,
            Error::RefundDestinationUnsupported,
            Error::RefundSameOperator,
            Error::RefundExceedsCapture,
            Error::AmountMismatch,
            Error::SignatureInvalid,
            Error::CallbackMalformed,
            Error::AccessRequired,
            Error::AdjustmentNotFound,
            Error::AdjustmentSameOperator,
            Error::AdjustmentUnbalanced,
            Error::AdjustmentEntries,
            Error::AdjustmentOneWallet,
            Error::ReasonLength,
            Error::SagaNotFound,
            Error::TooManyReservations,
            Error::ReservationExpired,
        ];

        let codes: BTreeSet<_> = errors.iter().map(Coded::code).collect();

        assert_eq!(codes.len(), errors.len());
        assert!(codes.iter().all(|code| code.starts_with("commerce.")));
    }
}
