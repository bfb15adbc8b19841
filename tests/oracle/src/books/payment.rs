//! What each event of a payment means: its state, and money that was captured once too often.

use serde_json::Value;
use uuid::Uuid;

use super::posting::{self, SURPLUS};
use super::{Books, Payment, id, money, state_name};

pub(super) fn apply(books: &mut Books, payment_id: Uuid, event_type: &str, event: &Value) -> Option<()> {
    let payment = books.payments.entry(payment_id).or_default();
    match event_type {
        "started" => {
            let terms = &event["terms"];
            let (amount, currency) = money(&terms["amount"])?;
            if id("pay", &terms["payment_id"])? != payment_id {
                return None;
            }
            payment.order = order_of(&terms["purpose"])?;
            payment.provider = Some(terms["provider"].as_str()?.to_owned());
            payment.amount = Some(amount);
            payment.currency = Some(currency);
            payment.attempt = terms["attempt"].as_i64()?;
            payment.state = "processing";
        }
        // What is closed is not the payer's turn any more.
        "close_requested" if payment.state == "requires_action" => payment.state = "processing",
        // None of them says what became of the charge.
        "close_requested" | "intervened" | "rescheduled" => {}
        "action_required" => payment.state = "requires_action",
        "pending" => payment.state = "processing",
        // It goes on as it is.
        "awaited" => {}
        "became_unknown" => payment.state = "unknown",
        "succeeded" => {
            payment.state = "succeeded";
            payment.charge = Some(event["charge_id"].as_str()?.to_owned());
        }
        "declined" => payment.state = "declined",
        "cancelled" => {
            payment.order = order_of(&event["purpose"])?;
            payment.state = "cancelled";
        }
        "surplus_captured" => {
            let index = payment.surplus.len();
            if event["index"].as_u64()? != u64::try_from(index).ok()? {
                return None;
            }
            let charge = event["charge_id"].as_str()?.to_owned();
            // The whole payment was once too often, because another had paid the order.
            if payment.charge.as_ref() == Some(&charge) {
                payment.state = "surplus";
            }
            payment.surplus.push((charge, false));
            return surplus(books, payment_id, index, false);
        }
        "refund_started" => {}
        "refund_moved" => {
            let index = &event["refund"]["surplus"];
            if state_name(&event["state"])? == "succeeded" && !index.is_null() {
                let index = usize::try_from(index.as_u64()?).ok()?;
                payment.surplus.get_mut(index)?.1 = true;
                return surplus(books, payment_id, index, true);
            }
        }
        _ => return None,
    }
    Some(())
}

/// `"top_up"` or `{"order": "ord_…"}`.
fn order_of(purpose: &Value) -> Option<Option<Uuid>> {
    match purpose.as_str() {
        Some("top_up") => Some(None),
        Some(_) => None,
        None => id("ord", &purpose["order"]).map(Some),
    }
}

fn surplus(books: &mut Books, payment_id: Uuid, index: usize, returned: bool) -> Option<()> {
    let user = books.user_of(payment_id)?;
    let payment = books.payments.get(&payment_id)?;
    let (amount, currency) = (payment.amount?, payment.currency.clone()?);
    let step = SURPLUS + 2 * i16::try_from(index).ok()? + i16::from(returned);
    let sign = if returned { -1 } else { 1 };
    posting::captured(books, (payment_id, step), user, sign * amount, &currency);
    Some(())
}

impl Books {
    /// Whose payment it is: the buyer knows, the payment does not.
    pub(super) fn user_of(&self, payment_id: Uuid) -> Option<Uuid> {
        if let Some(top_up) = self.top_ups.get(&payment_id) {
            return Some(top_up.user);
        }
        let payment: &Payment = self.payments.get(&payment_id)?;
        let order = self.orders.get(&payment.order?)?;
        order.has_payment(payment_id).then_some(order.user)
    }
}
