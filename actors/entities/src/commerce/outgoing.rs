//! The messages that events send: the next step of every saga, and its timers.

use lyceum_domain::commerce::order::{OrderPayment, Stage};
use lyceum_domain::commerce::payment::{self, Payment, RefundKey, SendState};
use lyceum_domain::commerce::{
    Buyer, Event, Intervention, Method, Outcome, Purpose, RefundOutcome, RefundState, Settlement,
};
use lyceum_domain::ids::{OrderId, RefundId, UserId};
use lyceum_kernel::Timestamp;
use lyceum_runtime::Effects;

use super::codes::CodeGrant;
use super::flows::{CommerceFlow, MembershipFlow};
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
            let (payment, purpose) = (order.payment().payment_id, Purpose::Order(*order_id));
            effects.message(
                now,
                &CommerceFlow::ClosePayment {
                    user,
                    payment,
                    purpose,
                },
            );
        }
        Event::PaymentAdded {
            order_id,
            payment,
            payment_token,
        } => payment_added(user, state, *order_id, *payment, payment_token, now, effects),
        Event::PaymentSurplus {
            order_id, payment_id, ..
        } => {
            tracing::warn!(order.id = %order_id, payment.id = %payment_id, "an order was paid twice; the surplus goes back");
            let payment = *payment_id;
            effects.message(now, &CommerceFlow::GivePaymentBack { user, payment });
        }
        Event::Purchased(placement) => {
            settle_reservations(user, state, placement.order_id, Outcome::Consumed, now, effects);
        }
        Event::OrderHeld { order_id, .. } => {
            settle_reservations(user, state, *order_id, Outcome::Consumed, now, effects);
            close_others(user, state, *order_id, now, effects);
        }
        Event::OrderFulfilled { order_id, .. } => {
            captured(user, state, *order_id, Outcome::Consumed, now, effects);
        }
        Event::OrderClosed { order_id, .. } => {
            settle_reservations(user, state, *order_id, Outcome::Returned, now, effects);
        }
        Event::FulfilmentFailed {
            order_id, refund_id, ..
        } => {
            captured(user, state, *order_id, Outcome::Returned, now, effects);
            refund_payment(user, state, *order_id, *refund_id, now, effects);
        }
        Event::RefundRequested {
            order_id, refund_id, ..
        } => {
            refund_payment(user, state, *order_id, *refund_id, now, effects);
        }
        Event::RefundMoved {
            order_id,
            refund_id,
            state: refund,
            ..
        } => match refund {
            RefundState::Processing => refund_payment(user, state, *order_id, *refund_id, now, effects),
            RefundState::Failed { retry_at } => {
                tracing::warn!(order.id = %order_id, refund.id = %refund_id, "refund failed and is tried again");
                let (order, refund) = (*order_id, *refund_id);
                effects.message(*retry_at, &CommerceFlow::RetryRefund { user, order, refund });
            }
            RefundState::Succeeded => remove_period(user, state, *order_id, now, effects),
            RefundState::Requested
            | RefundState::Rejected
            | RefundState::Cancelled
            | RefundState::Unknown => {}
        },
        Event::RefundedToWallet { order_id, .. } => remove_period(user, state, *order_id, now, effects),
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
        Event::GiftRedeemed {
            order_id,
            user: holder,
            ..
        } => {
            let Ok(order) = state.order(*order_id) else { return };
            let Some(code) = order.placement.gift else { return };
            let (user, courses) = (*holder, order.gives());
            let grant = CodeGrant { user, code, courses };
            effects.message(now, &CommerceFlow::GrantCode(grant));
        }
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
        | Event::RefundDecided { .. }
        | Event::RefundCancelled { .. }
        | Event::TopUpSettled { .. }
        | Event::CodeGranted { .. }
        | Event::Imported { .. } => {}
    }
}

/// Tells a membership that the money of one of its periods has gone back, all of it.
fn remove_period(user: UserId, state: &Buyer, order: OrderId, now: Timestamp, effects: &mut Effects) {
    let Ok(known) = state.order(order) else { return };
    let Some(membership) = known.placement.membership() else {
        return;
    };
    let whole = known.placement.lines.iter().all(|line| known.is_returned(line));
    // What was never fulfilled has added none.
    if whole && known.was_fulfilled() {
        let remove = MembershipFlow::Remove {
            user,
            membership,
            order,
        };
        effects.message(now, &CommerceFlow::Membership(remove));
    }
}

/// What follows from a capture; of an order that waited for its team that was done when it was paid.
fn captured(
    user: UserId,
    state: &Buyer,
    order_id: OrderId,
    outcome: Outcome,
    now: Timestamp,
    effects: &mut Effects,
) {
    if state.order(order_id).is_ok_and(|order| order.held_at.is_some()) {
        return;
    }
    settle_reservations(user, state, order_id, outcome, now, effects);
    close_others(user, state, order_id, now, effects);
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
    let (payment, purpose) = (order.payment().payment_id, Purpose::Order(order_id));
    match &order.stage {
        Stage::Closing { .. } => effects.message(
            now,
            &CommerceFlow::ClosePayment {
                user,
                payment,
                purpose,
            },
        ),
        Stage::Fulfilled | Stage::Unfulfilled => {
            // A refund that has failed moves in the same decision, which asks for it anew.
            for refund in order.under_way() {
                if refund.state != RefundState::Processing {
                    refund_payment(user, state, order_id, refund.refund_id, now, effects);
                }
            }
        }
        // The team is told once more, in case it never heard of it; if it has decided, its verdict comes back with that.
        Stage::Held { .. } => settle_reservations(user, state, order_id, Outcome::Consumed, now, effects),
        Stage::AwaitingPayment { .. } | Stage::Closed { .. } => {}
    }
    effects.message(now, &CommerceFlow::RetryPayment { user, payment });
}

/// Begins another payment of an order; those before it are asked to close.
fn payment_added(
    user: UserId,
    state: &Buyer,
    order_id: OrderId,
    payment: OrderPayment,
    token: &str,
    now: Timestamp,
    effects: &mut Effects,
) {
    let Ok(order) = state.order(order_id) else { return };
    let (Method::Provider(provider), Stage::AwaitingPayment { expires_at }) = (payment.method, &order.stage)
    else {
        return;
    };
    close_others(user, state, order_id, now, effects);
    effects.message(
        now,
        &CommerceFlow::StartPayment {
            user,
            payment: payment.payment_id,
            purpose: Purpose::Order(order_id),
            provider,
            amount: order.placement.total,
            token: token.to_owned(),
            expires_at: Some(*expires_at),
        },
    );
}

/// Asks every payment through a provider to close that does not pay the order.
fn close_others(user: UserId, state: &Buyer, order_id: OrderId, now: Timestamp, effects: &mut Effects) {
    let Ok(order) = state.order(order_id) else { return };
    let pays = order.payment();
    for other in order.payments() {
        if other != pays && other.method != Method::Wallet {
            let (payment, purpose) = (other.payment_id, Purpose::Order(order_id));
            effects.message(
                now,
                &CommerceFlow::ClosePayment {
                    user,
                    payment,
                    purpose,
                },
            );
        }
    }
}

/// Asks the payment to return the money of a refund, if it is approved and that is where the money goes back to.
fn refund_payment(
    user: UserId,
    state: &Buyer,
    order_id: OrderId,
    refund_id: RefundId,
    now: Timestamp,
    effects: &mut Effects,
) {
    let Ok(order) = state.order(order_id) else { return };
    let Some(refund) = order
        .refund(refund_id)
        .filter(|refund| refund.state.is_under_way())
    else {
        return;
    };
    let (payment, attempt, amount) = (order.payment().payment_id, refund.attempt, refund.amount);
    effects.message(
        now,
        &CommerceFlow::RefundPayment {
            user,
            payment,
            refund: refund_id,
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
