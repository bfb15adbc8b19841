//! The tables of commerce, and what each event changes in them.

use lyceum_domain::commerce::access::Source;
use lyceum_domain::commerce::buyer::ImportedPurchase;
use lyceum_domain::commerce::order::{Line, Order, Placement};
use lyceum_domain::commerce::payment::{self, Payment, State};
use lyceum_domain::commerce::{Buyer, Deed, Event, Intervention, Method, Purpose, Refund, RefundState};
use lyceum_domain::ids::{OrderId, UserId};
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Column, Effects, Table, row};

use super::batches::REDEEM_CODES;
use super::payments::PaymentKey;

static ORDERS: Table = Table {
    name: "orders",
    statement: "INSERT INTO orders (order_id, user_id, payment_id, method, state, saga, due_at, lines, total, \
                placed_at, updated_at, since) \
                SELECT order_id, user_id, payment_id, method, state, saga, to_timestamp(due_ms / 1000.0), lines, total, \
                to_timestamp(placed_ms / 1000.0), to_timestamp(updated_ms / 1000.0), \
                CASE WHEN due_ms IS NOT NULL THEN to_timestamp(updated_ms / 1000.0) END \
                FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::bigint[], \
                $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[]) \
                AS o(order_id, user_id, payment_id, method, state, saga, due_ms, lines, total, placed_ms, updated_ms) \
                ON CONFLICT (order_id) DO UPDATE SET payment_id = excluded.payment_id, method = excluded.method, state = excluded.state, saga = excluded.saga, \
                due_at = excluded.due_at, updated_at = excluded.updated_at, \
                since = CASE WHEN orders.saga = excluded.saga THEN orders.since ELSE excluded.since END",
    columns: &[
        Column::Uuid,
        Column::Uuid,
        Column::Uuid,
        Column::Text,
        Column::Text,
        Column::Text,
        Column::Time,
        Column::Int,
        Column::Int,
        Column::Time,
        Column::Time,
    ],
    key: 1,
};

static GRANTS: Table = Table {
    name: "grants",
    statement: "INSERT INTO grants (source_id, course_id, source, user_id, course_version, price, granted_at, revoked_at, \
                discount) \
                SELECT source_id, course_id, source, user_id, course_version, price, \
                to_timestamp(granted_ms / 1000.0), to_timestamp(revoked_ms / 1000.0), discount \
                FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::bigint[], $6::bigint[], $7::bigint[], \
                $8::bigint[], $9::bigint[]) \
                AS g(source_id, course_id, source, user_id, course_version, price, granted_ms, revoked_ms, discount) \
                ON CONFLICT (source_id, course_id, source) DO UPDATE SET revoked_at = excluded.revoked_at",
    columns: &[
        Column::Uuid,
        Column::Uuid,
        Column::Text,
        Column::Uuid,
        Column::Int,
        Column::Int,
        Column::Time,
        Column::Time,
        Column::Int,
    ],
    key: 3,
};

static REFUNDS: Table = Table {
    name: "refunds",
    statement: "INSERT INTO refunds (refund_id, order_id, payment_id, user_id, method, amount, state, attempt, \
                requested_at, updated_at, checker) \
                SELECT refund_id, order_id, payment_id, user_id, method, amount, state, attempt, \
                to_timestamp(requested_ms / 1000.0), to_timestamp(updated_ms / 1000.0), checker \
                FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::bigint[], $7::text[], \
                $8::bigint[], $9::bigint[], $10::bigint[], $11::uuid[]) \
                AS r(refund_id, order_id, payment_id, user_id, method, amount, state, attempt, requested_ms, updated_ms, checker) \
                ON CONFLICT (refund_id) DO UPDATE SET state = excluded.state, attempt = excluded.attempt, \
                updated_at = excluded.updated_at, checker = excluded.checker",
    columns: &[
        Column::Uuid,
        Column::Uuid,
        Column::Uuid,
        Column::Uuid,
        Column::Text,
        Column::Int,
        Column::Text,
        Column::Int,
        Column::Time,
        Column::Time,
        Column::Uuid,
    ],
    key: 1,
};

static PAYMENTS: Table = Table {
    name: "payments",
    statement: "INSERT INTO payments (payment_id, user_id, purpose, order_id, provider, amount, state, attempt, \
                charge_id, action, due_at, updated_at, since) \
                SELECT payment_id, user_id, purpose, order_id, provider, amount, state, attempt, charge_id, action, \
                to_timestamp(due_ms / 1000.0), to_timestamp(updated_ms / 1000.0), \
                CASE WHEN due_ms IS NOT NULL THEN to_timestamp(updated_ms / 1000.0) END \
                FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::bigint[], $7::text[], \
                $8::bigint[], $9::text[], $10::text[], $11::bigint[], $12::bigint[]) \
                AS p(payment_id, user_id, purpose, order_id, provider, amount, state, attempt, charge_id, action, \
                due_ms, updated_ms) \
                ON CONFLICT (payment_id) DO UPDATE SET state = excluded.state, attempt = excluded.attempt, \
                charge_id = excluded.charge_id, action = excluded.action, due_at = excluded.due_at, \
                updated_at = excluded.updated_at, \
                since = CASE WHEN payments.state = excluded.state THEN payments.since ELSE excluded.since END",
    columns: &[
        Column::Uuid,
        Column::Uuid,
        Column::Text,
        Column::Uuid,
        Column::Text,
        Column::Int,
        Column::Text,
        Column::Int,
        Column::Text,
        Column::Text,
        Column::Time,
        Column::Time,
    ],
    key: 1,
};

static RECONCILIATIONS: Table = Table {
    name: "saga_reconciliations",
    statement: "INSERT INTO saga_reconciliations (saga_id, kind, state, operator, note, at) \
                SELECT saga_id, kind, state, operator, note, to_timestamp(at_ms / 1000.0) \
                FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::bigint[]) \
                AS r(saga_id, kind, state, operator, note, at_ms) \
                ON CONFLICT (saga_id) DO UPDATE SET state = excluded.state, operator = excluded.operator, \
                note = excluded.note, at = excluded.at",
    columns: &[
        Column::Uuid,
        Column::Text,
        Column::Text,
        Column::Uuid,
        Column::Text,
        Column::Time,
    ],
    key: 1,
};

/// The rows of one event of a buyer, without its ledger.
pub(super) fn collect(user: UserId, state: &Buyer, event: &Event, now: Timestamp, effects: &mut Effects) {
    match event {
        Event::Purchased(placement) => {
            order_row(user, state, placement.order_id, now, effects);
            grant_rows(user, placement, placement.placed_at, None, effects);
            gift_row(user, placement, None, effects);
        }
        Event::OrderPlaced { order, .. } => {
            order_row(user, state, order.order_id, now, effects);
            gift_row(user, order, None, effects);
        }
        Event::OrderFulfilled { order_id, at, .. } => {
            if let Some(order) = order_row(user, state, *order_id, now, effects) {
                grant_rows(user, &order.placement, *at, None, effects);
            }
        }
        Event::OrderHeld { order_id, .. }
        | Event::OrderClosing { order_id, .. }
        | Event::OrderClosed { order_id, .. }
        | Event::PaymentAdded { order_id, .. }
        | Event::PaymentSurplus { order_id, .. } => {
            order_row(user, state, *order_id, now, effects);
        }
        Event::FulfilmentFailed {
            order_id, refund_id, ..
        }
        | Event::RefundedToWallet {
            order_id, refund_id, ..
        }
        | Event::RefundRequested {
            order_id, refund_id, ..
        }
        | Event::RefundDecided {
            order_id, refund_id, ..
        }
        | Event::RefundCancelled {
            order_id, refund_id, ..
        }
        | Event::RefundMoved {
            order_id, refund_id, ..
        } => {
            let Some(order) = order_row(user, state, *order_id, now, effects) else {
                return;
            };
            let Some(refund) = order.refund(*refund_id) else {
                return;
            };
            refund_row(user, order, refund, now, effects);
            if refund.state == RefundState::Succeeded
                && order.was_fulfilled()
                && order.placement.brings_access()
            {
                // The columns that are set at the grant are kept as they are.
                let (placement, at) = (&order.placement, order.placement.placed_at);
                let returned = |line: &&Line| {
                    order.is_returned(line)
                        && refund.parts.iter().any(|part| part.course_id == line.course_id)
                };
                for line in placement.lines.iter().filter(returned) {
                    grant_row(user, placement, line, at, Some(now), effects);
                }
            }
        }
        Event::GiftRedeemed {
            order_id,
            user: holder,
            at,
        } => {
            if let Ok(order) = state.order(*order_id) {
                gift_row(user, &order.placement, Some((*holder, *at)), effects);
            }
        }
        Event::CodeGranted { code, courses, at } => {
            for (course_id, course_version) in courses {
                let (source, version, none) = (Source::Code(*code), *course_version, None::<Timestamp>);
                effects.row(
                    &GRANTS,
                    row![
                        *code,
                        *course_id,
                        source.name(),
                        user,
                        version,
                        0_i64,
                        *at,
                        none,
                        0_i64
                    ],
                );
            }
        }
        Event::Imported { purchases } => {
            for purchase in purchases {
                import_row(user, purchase, effects);
            }
        }
        Event::Intervened {
            order_id,
            action: Intervention::Reconcile,
            deed,
            at,
        } => {
            if let Ok(order) = state.order(*order_id) {
                reconciliation_row(order_id.as_u128(), "checkout", order.saga(), deed, *at, effects);
            }
        }
        Event::TopUpStarted { .. }
        | Event::TopUpSettled { .. }
        | Event::Intervened { .. }
        | Event::Adjusted { .. }
        | Event::AdjustmentRefused { .. } => {}
    }
}

fn order_row<'state>(
    user: UserId,
    state: &'state Buyer,
    order_id: OrderId,
    now: Timestamp,
    effects: &mut Effects,
) -> Option<&'state Order> {
    let order = state.order(order_id).ok()?;
    let (placement, payment) = (&order.placement, order.payment());
    effects.row(
        &ORDERS,
        row![
            order_id,
            user,
            payment.payment_id,
            payment.method.name(),
            order.state().name(),
            order.saga(),
            order.due_at(),
            lines(placement),
            placement.total,
            placement.placed_at,
            now,
        ],
    );
    Some(order)
}

fn lines(placement: &Placement) -> i64 {
    i64::try_from(placement.lines.len()).unwrap_or(i64::MAX)
}

fn grant_rows(
    user: UserId,
    placement: &Placement,
    granted_at: Timestamp,
    revoked_at: Option<Timestamp>,
    effects: &mut Effects,
) {
    // Whoever redeems a gift has access by its code, and a member by the membership.
    if !placement.brings_access() {
        return;
    }
    for line in &placement.lines {
        grant_row(user, placement, line, granted_at, revoked_at, effects);
    }
}

fn grant_row(
    user: UserId,
    placement: &Placement,
    line: &Line,
    granted_at: Timestamp,
    revoked_at: Option<Timestamp>,
    effects: &mut Effects,
) {
    effects.row(
        &GRANTS,
        row![
            placement.order_id,
            line.course_id,
            "order",
            user,
            line.course_version,
            line.net(),
            granted_at,
            revoked_at,
            line.discount,
        ],
    );
}

/// The code of a gift: there from the beginning, so that whoever has it early is told that it is not paid.
fn gift_row(
    giver: UserId,
    placement: &Placement,
    redeemed: Option<(UserId, Timestamp)>,
    effects: &mut Effects,
) {
    let Some(code) = placement.gift else { return };
    let (holder, at) = (redeemed.map(|(user, _)| user), redeemed.map(|(_, at)| at));
    effects.row(
        &REDEEM_CODES,
        row![code, None::<UserId>, placement.order_id, giver, 0_i64, holder, at],
    );
}

fn import_row(user: UserId, purchase: &ImportedPurchase, effects: &mut Effects) {
    let source = Source::Import(purchase.import_id);
    effects.row(
        &GRANTS,
        row![
            purchase.import_id,
            purchase.course_id,
            source.name(),
            user,
            purchase.course_version,
            0_i64,
            purchase.at,
            None::<Timestamp>,
            0_i64,
        ],
    );
}

fn refund_row(user: UserId, order: &Order, refund: &Refund, now: Timestamp, effects: &mut Effects) {
    let (placement, payment) = (&order.placement, order.payment());
    let through = if order.returns_to_wallet(refund) {
        Method::Wallet
    } else {
        payment.method
    };
    effects.row(
        &REFUNDS,
        row![
            refund.refund_id,
            placement.order_id,
            payment.payment_id,
            user,
            through.name(),
            refund.amount,
            refund.state.name(),
            refund.attempt,
            refund.requested_at,
            now,
            refund.checker.as_ref().map(|deed| deed.operator),
        ],
    );
}

/// What an operator found out about a saga in the state it is in.
fn reconciliation_row(
    saga: u128,
    kind: &'static str,
    state: &'static str,
    deed: &Deed,
    at: Timestamp,
    effects: &mut Effects,
) {
    effects.row(
        &RECONCILIATIONS,
        row![saga, kind, state, deed.operator, &deed.reason, at],
    );
}

/// The row of a payment; its refunds are rows of the buyer.
pub(super) fn collect_payment(
    key: PaymentKey,
    state: &Payment,
    event: &payment::Event,
    now: Timestamp,
    effects: &mut Effects,
) {
    let purpose = match event {
        payment::Event::Intervened {
            action: Intervention::Reconcile,
            deed,
            at,
        } => {
            let (payment, state) = (key.payment.as_u128(), state.state().name());
            return reconciliation_row(payment, "payment", state, deed, *at, effects);
        }
        payment::Event::RefundStarted { .. }
        | payment::Event::RefundMoved { .. }
        | payment::Event::Intervened { .. } => return,
        payment::Event::Cancelled { purpose, .. } => Some(*purpose),
        payment::Event::Started { .. }
        | payment::Event::CloseRequested { .. }
        | payment::Event::Rescheduled { .. }
        | payment::Event::BecameUnknown { .. }
        | payment::Event::ActionRequired { .. }
        | payment::Event::Awaited { .. }
        | payment::Event::Pending { .. }
        | payment::Event::Succeeded { .. }
        | payment::Event::SurplusCaptured { .. }
        | payment::Event::Declined { .. } => state.terms().map(|terms| terms.purpose),
    };
    let Some(purpose) = purpose else { return };
    let (purpose, order_id) = match purpose {
        Purpose::Order(order_id) => ("order", Some(order_id)),
        Purpose::TopUp => ("top_up", None),
    };
    let terms = state.terms();
    let charge_id = match state.state() {
        State::Succeeded { charge_id } | State::Surplus { charge_id } => Some(charge_id),
        _ => None,
    };
    let next = state.state().next();
    effects.row(
        &PAYMENTS,
        row![
            key.payment,
            key.user,
            purpose,
            order_id,
            terms.map(|terms| terms.provider.name()),
            terms.map(|terms| terms.amount),
            state.state().name(),
            terms.map_or(0, |terms| terms.attempt),
            charge_id,
            next.map(|next| next.action.name()),
            next.map(|next| next.due_at),
            now,
        ],
    );
}
