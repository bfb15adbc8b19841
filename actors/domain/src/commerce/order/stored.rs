//! How orders were stored: one refund at most, within the stage, and always of everything.
//!
//! States are snapshots of what events say, and answers that were recorded for repeated requests; both are read as they were
//! written, by whatever version.

use lyceum_kernel::Timestamp;
use serde::Deserialize;

use super::{CloseReason, Order, OrderPayment, OrderState, Placement, Stage};
use crate::commerce::refund::Refund;
use crate::ids::{PaymentId, UserId};

/// An order of any version.
#[derive(Deserialize)]
pub(super) struct StoredOrder {
    placement: Placement,
    stage: StoredStage,
    timeline: Vec<(OrderState, Timestamp)>,
    #[serde(default)]
    refunds: Vec<Refund>,
    #[serde(default)]
    further: Vec<OrderPayment>,
    #[serde(default)]
    paid_by: Option<PaymentId>,
    #[serde(default)]
    surplus: Vec<PaymentId>,
    #[serde(default)]
    redeemed_by: Option<UserId>,
    #[serde(default)]
    held_at: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredStage {
    AwaitingPayment { expires_at: Timestamp },
    Closing { reason: CloseReason, since: Timestamp },
    Held { until: Timestamp },
    Fulfilled,
    Unfulfilled,
    Closed { reason: CloseReason },
    // Not written any more.
    Refunding(Refund),
    Refunded(Refund),
}

impl From<StoredOrder> for Order {
    fn from(stored: StoredOrder) -> Self {
        let StoredOrder {
            placement,
            stage,
            timeline,
            mut refunds,
            further,
            paid_by,
            surplus,
            redeemed_by,
            held_at,
        } = stored;
        let was_fulfilled = timeline.iter().any(|(state, _)| *state == OrderState::Fulfilled);
        let stage = match stage {
            StoredStage::AwaitingPayment { expires_at } => Stage::AwaitingPayment { expires_at },
            StoredStage::Closing { reason, since } => Stage::Closing { reason, since },
            StoredStage::Held { until } => Stage::Held { until },
            StoredStage::Fulfilled => Stage::Fulfilled,
            StoredStage::Unfulfilled => Stage::Unfulfilled,
            StoredStage::Closed { reason } => Stage::Closed { reason },
            StoredStage::Refunding(refund) | StoredStage::Refunded(refund) => {
                refunds.push(refund);
                if was_fulfilled {
                    Stage::Fulfilled
                } else {
                    Stage::Unfulfilled
                }
            }
        };
        let mut order = Order {
            placement,
            stage,
            timeline,
            refunds,
            further,
            paid_by,
            surplus,
            redeemed_by,
            held_at,
        };
        let whole = order.whole();
        for refund in &mut order.refunds {
            // A refund of today has a part at least, also of an order that cost nothing.
            if refund.parts.is_empty() {
                refund.parts.clone_from(&whole.parts);
            }
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::CourseId;

    /// As version 1 wrote it.
    fn stored(stage: &str) -> String {
        format!(
            r#"{{"placement":{{"order_id":"ord_00000000000000000000000001","payment_id":"pay_00000000000000000000000001",
            "method":{{"provider":"sandbox"}},"lines":[{{"course_id":"crs_00000000000000000000000007","course_version":3,
            "title":"t","price":{{"amount":500,"currency":"CNY"}},"creator":"usr_00000000000000000000000009","share_bps":7000}}],
            "total":{{"amount":500,"currency":"CNY"}},"placed_at":"1970-01-01T00:00:00.000Z",
            "refundable_until":"1970-01-02T00:00:00.000Z"}},"stage":{stage},
            "timeline":[["pending","1970-01-01T00:00:00.000Z"],["paid","1970-01-01T00:00:00.000Z"],
            ["fulfilled","1970-01-01T00:00:00.000Z"]]}}"#
        )
    }

    fn refund(state: &str) -> String {
        format!(
            r#"{{"refund_id":"ref_00000000000000000000000005","amount":{{"amount":500,"currency":"CNY"}},"reason":"r",
            "requested_at":"1970-01-01T00:00:00.000Z","attempt":1,"state":"{state}"}}"#
        )
    }

    #[test]
    fn an_order_that_was_stored_with_its_refund_in_the_stage_is_read_as_it_was() {
        for (stage, state) in [
            (r#""fulfilled""#.to_owned(), OrderState::Fulfilled),
            (
                format!(r#"{{"refunding":{}}}"#, refund("unknown")),
                OrderState::Refunding,
            ),
            (
                format!(r#"{{"refunded":{}}}"#, refund("succeeded")),
                OrderState::Refunded,
            ),
        ] {
            let order: Order = serde_json::from_str(&stored(&stage)).unwrap();

            assert_eq!(order.state(), state, "{stage}");
            for refund in &order.refunds {
                assert_eq!(refund.parts.len(), 1);
                assert_eq!(refund.parts[0].course_id, CourseId::from_u128(7));
                assert_eq!(refund.parts[0].amount, order.placement.total);
            }
            let again: Order = serde_json::from_str(&serde_json::to_string(&order).unwrap()).unwrap();
            assert_eq!(again, order);
        }
    }
}
