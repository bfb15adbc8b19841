//! How a buyer decides to pay an order otherwise, and what becomes of the payments of an order that has several.

use lyceum_kernel::Timestamp;

use super::{Buyer, Event, decide};
use crate::commerce::Error;
use crate::commerce::order::{Method, OrderPayment, PAYMENTS_MAX, Stage};
use crate::ids::{OrderId, PaymentId};

/// How payments are decided.
impl Buyer {
    pub(super) fn add_payment(
        &self,
        order_id: OrderId,
        payment_id: PaymentId,
        method: Method,
        payment_token: Option<String>,
        now: Timestamp,
    ) -> Result<Vec<Event>, Error> {
        let order = self.order(order_id)?;
        if order.payment_of(payment_id).is_some() {
            return Ok(vec![]);
        }
        if !matches!(order.stage, Stage::AwaitingPayment { .. }) {
            return Err(order.refusal());
        }
        if order.payments().count() >= PAYMENTS_MAX {
            return Err(Error::TooManyPayments);
        }
        let payment = OrderPayment {
            payment_id,
            method,
            at: now,
        };
        if method != Method::Wallet {
            let payment_token = decide::token(method, payment_token)?;
            return Ok(vec![Event::PaymentAdded {
                order_id,
                payment,
                payment_token,
            }]);
        }
        if self.hindered(order, now) {
            return Err(Error::CourseAlreadyOwned);
        }
        if !self.wallet.covers(order.placement.total) {
            return Err(Error::InsufficientFunds);
        }
        Ok(vec![Self::captured(order, Some(payment), now)])
    }
}

/// How their events are applied.
impl Buyer {
    pub(super) fn note_payment(&mut self, order_id: OrderId, payment: OrderPayment) {
        if let Some(order) = self.orders.get_mut(&order_id)
            && order.payment_of(payment.payment_id).is_none()
        {
            order.further.push(payment);
        }
    }

    /// Notes which payment paid, and spends from the wallet what it paid.
    pub(super) fn note_paid(&mut self, order_id: OrderId, paid: Option<OrderPayment>) {
        let Some(paid) = paid else { return };
        self.note_payment(order_id, paid);
        let Some(order) = self.orders.get_mut(&order_id) else {
            return;
        };
        order.paid_by = Some(paid.payment_id);
        if paid.method == Method::Wallet {
            // The hold is captured in the same decision, so it never shows.
            self.wallet.reserve(order.placement.total);
            self.wallet.capture(order.placement.total);
        }
    }
}
