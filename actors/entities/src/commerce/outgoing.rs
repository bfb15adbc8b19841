//! The messages that events send: the next step of every saga, and its timers.

use lyceum_domain::commerce::order::Stage;
use lyceum_domain::commerce::payment::{self, Payment, RefundKey, SendState};
use lyceum_domain::commerce::{
    Buyer, Event, Intervention, Method, Outcome, Purpose, RefundOutcome, RefundState, Settlement,
};
use lyceum_domain::ids::{OrderId, UserId};
use lyceum_kernel::Timestamp;
use lyceum_runtime::Effects;

use super::flows::CommerceFlow;
use super::payments::PaymentKey;

/// The messages of one event of a buyer.
pub(super) fn after_buyer(user: UserId, state: &Buyer, event: &Event, now: Timestamp, effects: &mut Effects) {
    match event {
        Event::OrderPlaced {
            order,
            payment_token,
            expires_at,
        } => {
            let Method::Provider(provider) = order.method else {
                return;
            };
            let (payment, purpose) = (order.payment_id, Purpose::Order(order.order_id));
            let (amount, token, expires) = (order.total, payment_token.clone(), Some(*expires_at));
            effects.message(
                now,
                &CommerceFlow::StartPayment {
                    user,
                    payment,
                    purpose,
                    provider,
                    amount,
                    token,
                    expires_at: expires,
                },
            );
            effects.message(
                *expires_at,
                &CommerceFlow::ExpireOrder {
                    user,
                    order: order.order_id,
                },
            );
        }
        Event::OrderClosing { order_id, .. } => {
            let Ok(order) = state.order(*order_id) else { return };
            let (payment, purpose) = (order.placement.payment_id, Purpose::Order(*order_id));
            effects.message(
                now,
                &CommerceFlow::ClosePayment {
                    user,
                    payment,
                    purpose,
                },
            );
        }
        Event::Purchased(placement) => {
            settle_reservations(user, state, placement.order_id, Outcome::Consumed, now, effects);
        }
        Event::OrderFulfilled { order_id, .. } => {
            settle_reservations(user, state, *order_id, Outcome::Consumed, now, effects);
        }
        Event::OrderClosed { order_id, .. } => {
            settle_reservations(user, state, *order_id, Outcome::Returned, now, effects);
        }
        Event::FulfilmentFailed { order_id, .. } => {
            settle_reservations(user, state, *order_id, Outcome::Returned, now, effects);
            refund_payment(user, state, *order_id, now, effects);
        }
        Event::RefundRequested { order_id, .. } => {
            refund_payment(user, state, *order_id, now, effects);
        }
        Event::RefundMoved {
            order_id,
            refund_id,
            state: refund,
            ..
        } => match refund {
            RefundState::Processing => refund_payment(user, state, *order_id, now, effects),
            RefundState::Failed { retry_at } => {
                tracing::warn!(order.id = %order_id, refund.id = %refund_id, "refund failed and is tried again");
                let (order, refund) = (*order_id, *refund_id);
                effects.message(*retry_at, &CommerceFlow::RetryRefund { user, order, refund });
            }
            RefundState::Unknown | RefundState::Succeeded => {}
        },
        Event::TopUpStarted {
            payment_id,
            amount,
            provider,
            payment_token,
            expires_at,
            ..
        } => {
            let (payment, purpose, token) = (*payment_id, Purpose::TopUp, payment_token.clone());
            let (provider, amount, expires) = (*provider, *amount, Some(*expires_at));
            effects.message(
                now,
                &CommerceFlow::StartPayment {
                    user,
                    payment,
                    purpose,
                    provider,
                    amount,
                    token,
                    expires_at: expires,
                },
            );
            effects.message(
                *expires_at,
                &CommerceFlow::ClosePayment {
                    user,
                    payment,
                    purpose,
                },
            );
        }
        Event::Intervened {
            order_id,
            action: Intervention::Retry,
            ..
        } => retry(user, state, *order_id, now, effects),
        Event::Adjusted { adjustment_id, .. } => {
            let adjustment = *adjustment_id;
            effects.message(now, &CommerceFlow::SettleAdjustment { adjustment });
        }
        Event::AdjustmentRefused {
            adjustment_id, code, ..
        } => {
            let (adjustment, code) = (*adjustment_id, code.clone());
            effects.message(now, &CommerceFlow::RefuseAdjustment { adjustment, code });
        }
        Event::Intervened { .. }
        | Event::RefundedToWallet { .. }
        | Event::TopUpSettled { .. }
        | Event::Imported { .. } => {}
    }
}

/// Tells whoever keeps something for an order what became of it.
fn settle_reservations(
    user: UserId,
    state: &Buyer,
    order_id: OrderId,
    outcome: Outcome,
    now: Timestamp,
    effects: &mut Effects,
) {
    let Ok(order) = state.order(order_id) else { return };
    for reservation in &order.placement.reservations {
        effects.message(
            now,
            &CommerceFlow::SettleReservation {
                user,
                order: order_id,
                reservation: reservation.clone(),
                outcome,
            },
        );
    }
}

/// Has the step of a checkout taken that is due: by its payment, which has it, and by the message that asks for it, in case that was lost.
fn retry(user: UserId, state: &Buyer, order_id: OrderId, now: Timestamp, effects: &mut Effects) {
    let Ok(order) = state.order(order_id) else { return };
    let (payment, purpose) = (order.placement.payment_id, Purpose::Order(order_id));
    match &order.stage {
        Stage::Closing { .. } => effects.message(
            now,
            &CommerceFlow::ClosePayment {
                user,
                payment,
                purpose,
            },
        ),
        Stage::Refunding(refund) => {
            // A refund that has failed moves in the same decision, which asks for it anew.
            if refund.state != RefundState::Processing {
                refund_payment(user, state, order_id, now, effects);
            }
        }
        Stage::AwaitingPayment { .. } | Stage::Fulfilled | Stage::Refunded(_) | Stage::Closed { .. } => {}
    }
    effects.message(now, &CommerceFlow::RetryPayment { user, payment });
}

fn refund_payment(user: UserId, state: &Buyer, order_id: OrderId, now: Timestamp, effects: &mut Effects) {
    let Ok(order) = state.order(order_id) else { return };
    let Some(refund) = order.refund() else { return };
    let (payment, attempt, amount) = (order.placement.payment_id, refund.attempt, refund.amount);
    let refund = refund.refund_id;
    effects.message(
        now,
        &CommerceFlow::RefundPayment {
            user,
            payment,
            refund,
            attempt,
            amount,
        },
    );
}

/// The messages of one event of a payment.
pub(super) fn after_payment(
    key: PaymentKey,
    state: &Payment,
    event: &payment::Event,
    now: Timestamp,
    effects: &mut Effects,
) {
    let PaymentKey { payment, user } = key;
    let mut settle = |purpose, outcome| {
        effects.message(
            now,
            &CommerceFlow::SettlePayment {
                user,
                payment,
                purpose,
                outcome,
            },
        );
    };
    let purpose = state.terms().map(|terms| terms.purpose);
    match event {
        payment::Event::Started { next, .. }
        | payment::Event::CloseRequested { next }
        | payment::Event::Rescheduled { next }
        | payment::Event::BecameUnknown { next }
        | payment::Event::ActionRequired { next, .. }
        | payment::Event::Awaited { next }
        | payment::Event::Pending { next, .. } => {
            effects.message(
                next.due_at,
                &CommerceFlow::CallProvider {
                    user,
                    payment,
                    step: next.step,
                },
            );
        }
        payment::Event::Succeeded { .. } => {
            if let Some(purpose) = purpose {
                settle(purpose, Settlement::Succeeded);
            }
        }
        payment::Event::Declined { code, .. } => {
            if let Some(purpose) = purpose {
                settle(purpose, Settlement::Declined { code: code.clone() });
            }
        }
        payment::Event::Intervened { .. } => {}
        payment::Event::Cancelled { purpose, .. } => settle(*purpose, Settlement::Closed),
        payment::Event::SurplusCaptured { index, next, .. } => {
            tracing::error!(payment.id = %payment, "provider captured twice; the surplus goes back");
            let (refund, step) = (RefundKey::Surplus(*index), next.step);
            effects.message(
                next.due_at,
                &CommerceFlow::CallProviderForRefund {
                    user,
                    payment,
                    refund,
                    step,
                },
            );
        }
        payment::Event::RefundStarted { refund, next, .. } => {
            let (refund, step) = (*refund, next.step);
            effects.message(
                next.due_at,
                &CommerceFlow::CallProviderForRefund {
                    user,
                    payment,
                    refund,
                    step,
                },
            );
        }
        payment::Event::RefundMoved {
            refund,
            attempt,
            state: moved,
            ..
        } => {
            if let Some(next) = moved.next() {
                let (refund, step) = (*refund, next.step);
                effects.message(
                    next.due_at,
                    &CommerceFlow::CallProviderForRefund {
                        user,
                        payment,
                        refund,
                        step,
                    },
                );
            }
            if let (RefundKey::Order(refund), Some(Purpose::Order(order))) = (*refund, purpose) {
                let (attempt, outcome) = (*attempt, known(*moved));
                effects.message(
                    now,
                    &CommerceFlow::SettleRefund {
                        user,
                        order,
                        refund,
                        attempt,
                        outcome,
                    },
                );
            }
        }
    }
}

fn known(state: SendState) -> RefundOutcome {
    match state {
        SendState::Sending(_) | SendState::Unknown(_) => RefundOutcome::Unknown,
        SendState::Failed => RefundOutcome::Failed,
        SendState::Succeeded => RefundOutcome::Succeeded,
    }
}
