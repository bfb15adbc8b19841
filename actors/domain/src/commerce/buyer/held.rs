//! How a buyer decides about orders that wait for their team.

use lyceum_kernel::Timestamp;

use super::{Buyer, Event};
use crate::commerce::Error;
use crate::commerce::order::{Order, OrderPayment, Placement, Stage};
use crate::commerce::refund::RefundState;
use crate::ids::{OrderId, RefundId};

impl Buyer {
    /// What the capture of an order leads to, if nothing stands against granting it.
    pub(super) fn captured(order: &Order, paid: Option<OrderPayment>, at: Timestamp) -> Event {
        let order_id = order.placement.order_id;
        if order.placement.waits_for_team() {
            Event::OrderHeld { order_id, paid, at }
        } else {
            Event::OrderFulfilled { order_id, paid, at }
        }
    }

    /// An order of a team that the wallet pays as it is placed.
    pub(super) fn placed_and_held(order: Box<Placement>, expires_at: Timestamp) -> Vec<Event> {
        let (order_id, at) = (order.order_id, order.placed_at);
        let paid = Some(OrderPayment {
            payment_id: order.payment_id,
            method: order.method,
            at,
        });
        vec![
            Event::OrderPlaced {
                order,
                payment_token: String::new(),
                expires_at,
            },
            Event::OrderHeld { order_id, paid, at },
        ]
    }

    /// A team is decided once, so whatever it says a second time is known.
    pub(super) fn conclude(
        &self,
        order_id: OrderId,
        granted: bool,
        at: Timestamp,
    ) -> Result<Vec<Event>, Error> {
        let order = self.order(order_id)?;
        match order.stage {
            Stage::Held { .. } => {}
            Stage::Fulfilled | Stage::Unfulfilled => return Ok(vec![]),
            Stage::AwaitingPayment { .. } | Stage::Closing { .. } | Stage::Closed { .. } => {
                return Err(order.refusal());
            }
        }
        if granted && !self.hindered(order, at) {
            return Ok(vec![Event::OrderFulfilled {
                order_id,
                paid: None,
                at,
            }]);
        }
        let refund_id = refund_of(order);
        let mut events = vec![Event::FulfilmentFailed {
            order_id,
            paid: None,
            refund_id,
            at,
        }];
        // The wallet has it back in the same decision; a provider is asked.
        if order.is_paid_at_once() {
            events.push(Event::RefundMoved {
                order_id,
                refund_id,
                attempt: 1,
                state: RefundState::Succeeded,
                at,
            });
        }
        Ok(events)
    }
}

/// The refund of what an order was paid with: one payment has at most one such refund, so the payment's bits make a unique id.
fn refund_of(order: &Order) -> RefundId {
    RefundId::from_u128(order.payment().payment_id.as_u128())
}
