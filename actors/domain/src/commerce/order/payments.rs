//! The payments of an order: the one it was placed with, and those by which its buyer then tried to pay it otherwise.
//!
//! The latest is the one that counts while the order is pending; those before it are asked to close. Whichever is captured first pays
//! the order, be it one of those before. Every further capture is a surplus, which goes back.

use lyceum_kernel::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Method, Order};
use crate::ids::PaymentId;

/// How many payments one order may have: a buyer who has tried so many ways waits for one of them, or orders again.
pub const PAYMENTS_MAX: usize = 5;

/// One payment of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPayment {
    /// Which.
    pub payment_id: PaymentId,
    /// Who pays.
    pub method: Method,
    /// When it was begun.
    pub at: Timestamp,
}

impl Order {
    /// Every payment, oldest first.
    pub fn payments(&self) -> impl DoubleEndedIterator<Item = OrderPayment> {
        let first = OrderPayment {
            payment_id: self.placement.payment_id,
            method: self.placement.method,
            at: self.placement.placed_at,
        };
        std::iter::once(first).chain(self.further.iter().copied())
    }

    /// The payment that paid the order, or else the latest.
    pub fn payment(&self) -> OrderPayment {
        let paid = self.paid_by.and_then(|paid| self.payment_of(paid));
        let latest = OrderPayment {
            payment_id: self.placement.payment_id,
            method: self.placement.method,
            at: self.placement.placed_at,
        };
        paid.or(self.further.last().copied()).unwrap_or(latest)
    }

    /// One of its payments.
    pub fn payment_of(&self, payment_id: PaymentId) -> Option<OrderPayment> {
        self.payments().find(|payment| payment.payment_id == payment_id)
    }

    /// Whether the wallet pays, or nothing is to be paid.
    pub fn is_paid_at_once(&self) -> bool {
        self.payment().method == Method::Wallet || self.placement.total.is_zero()
    }
}
