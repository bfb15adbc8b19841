//! Damages to orders, payments, refunds, access, accounts and the catalog.

use super::{Damage, tables};

/// A fulfilled order from the wallet that cost money.
macro_rules! fulfilled {
    () => {
        "(SELECT order_id FROM orders WHERE state = 'fulfilled' AND method = 'wallet' AND total > 0 \
          ORDER BY order_id LIMIT 1)"
    };
}

/// A fulfilled order through the provider.
macro_rules! charged {
    () => {
        "(SELECT order_id FROM orders WHERE state = 'fulfilled' AND method = 'sandbox' ORDER BY order_id LIMIT 1)"
    };
}

pub(super) const DAMAGES: &[Damage] = &[
    tables(
        "access.follows_payment",
        "a paid order without its grants",
        concat!("DELETE FROM grants WHERE source_id = ", fulfilled!()),
    ),
    tables(
        "access.follows_payment",
        "access left behind by a refund",
        "UPDATE grants SET revoked_at = NULL WHERE revoked_at IS NOT NULL",
    ),
    tables(
        "access.one_grant_per_course",
        "a doubled grant",
        "DROP INDEX grants_one_live_order; \
         INSERT INTO grants SELECT gen_random_uuid(), course_id, source, user_id, course_version, price, granted_at \
         FROM grants WHERE revoked_at IS NULL LIMIT 1",
    ),
    tables(
        "access.has_its_order",
        "a grant given to somebody else",
        concat!(
            "UPDATE grants SET user_id = (SELECT user_id FROM accounts WHERE username = 'operator') WHERE source_id = ",
            charged!()
        ),
    ),
    tables(
        "access.pins_version_and_price",
        "a published price changed afterwards",
        "UPDATE course_versions SET price = price + 1 WHERE price > 0",
    ),
    tables(
        "order.total_is_its_lines",
        "an order's total other than its lines",
        concat!(
            "UPDATE orders SET total = total + 1 WHERE order_id = ",
            charged!()
        ),
    ),
    tables(
        "order.is_paid_by_its_own_payment",
        "a payment of another amount than its order's",
        concat!(
            "UPDATE payments SET amount = amount - 1 WHERE order_id = ",
            charged!()
        ),
    ),
    tables(
        "order.is_paid_by_its_own_payment",
        "a payment that is gone",
        concat!("DELETE FROM payments WHERE order_id = ", charged!()),
    ),
    tables(
        "order.state_follows_its_payment",
        "an order cancelled although its payment succeeded",
        concat!(
            "UPDATE orders SET state = 'cancelled' WHERE order_id = ",
            charged!()
        ),
    ),
    tables(
        "payment.belongs_to_its_order",
        "a payment that names another order",
        concat!(
            "UPDATE payments SET order_id = ",
            fulfilled!(),
            " WHERE order_id = ",
            charged!()
        ),
    ),
    tables(
        "payment.one_success_per_order",
        "a second success for one order",
        concat!(
            "INSERT INTO payments SELECT gen_random_uuid(), user_id, purpose, order_id, provider, amount, state, \
                attempt, 'ch_another', action, due_at, updated_at FROM payments WHERE order_id = ",
            charged!()
        ),
    ),
    tables(
        "payment.surplus_is_of_a_paid_order",
        "a surplus that is the only payment of its order",
        concat!(
            "UPDATE payments SET state = 'surplus' WHERE order_id = ",
            charged!()
        ),
    ),
    tables(
        "payment.success_has_its_charge",
        "a success without a charge",
        concat!(
            "UPDATE payments SET charge_id = NULL WHERE order_id = ",
            charged!()
        ),
    ),
    tables(
        "payment.success_has_its_charge",
        "one charge that pays twice",
        "UPDATE payments SET charge_id = (SELECT min(charge_id) FROM payments) WHERE state = 'succeeded'",
    ),
    tables(
        "refund.within_capture",
        "a refund above what was captured",
        "UPDATE refunds SET amount = amount + 1",
    ),
    tables(
        "refund.is_approved_by_somebody_else",
        "a refund that was approved by whoever asked for it",
        "ALTER TABLE refunds DROP CONSTRAINT refunds_two_people; UPDATE refunds SET checker = user_id",
    ),
    tables(
        "refund.of_each_refunded_order",
        "an order that counts as refunded when a part of its money has gone back",
        "UPDATE orders SET state = 'refunded' WHERE state = 'partially_refunded'",
    ),
    tables(
        "access.follows_payment",
        "access that ended with a part of what it cost",
        "UPDATE grants SET revoked_at = now() WHERE source_id IN (SELECT order_id FROM orders WHERE state = 'fulfilled')",
    ),
    tables(
        "refund.agrees_with_its_order",
        "a refund that has failed although the order is refunded",
        "UPDATE refunds SET state = 'failed'",
    ),
    tables(
        "refund.of_each_refunded_order",
        "a refunded order without its refund",
        "DELETE FROM refunds WHERE method = 'wallet'",
    ),
    tables(
        "hold.matches_open_orders",
        "a hold left behind",
        "UPDATE wallets SET balance = balance - 100, held = held + 100",
    ),
    tables(
        "saga.has_a_next_action",
        "an open saga without a time for its next action",
        concat!(
            "ALTER TABLE orders DROP CONSTRAINT orders_check; \
             UPDATE orders SET state = 'pending' WHERE order_id = ",
            charged!()
        ),
    ),
    tables(
        "saga.has_ended",
        "a payment that is unknown for good",
        "UPDATE payments SET state = 'unknown', charge_id = NULL, action = 'query', due_at = now() + interval '1 day' \
         WHERE purpose = 'order' AND state = 'succeeded'",
    ),
    tables(
        "account.owns_what_is_its_own",
        "a learner's account that is gone",
        "DELETE FROM accounts WHERE username = 'ada'",
    ),
    tables(
        "catalog.live_version_exists",
        "a course on sale without its live version",
        "DELETE FROM course_versions WHERE price = 3333",
    ),
    tables(
        "books.orders_follow_the_journal",
        "a lost order, with everything that belongs to it",
        concat!(
            "DELETE FROM grants WHERE source_id = ",
            fulfilled!(),
            "; DELETE FROM ledger_transactions WHERE source_id = ",
            fulfilled!(),
            "; DELETE FROM orders WHERE order_id = ",
            fulfilled!()
        ),
    ),
    tables(
        "books.orders_follow_the_journal",
        "a phantom order that no event knows",
        concat!(
            "INSERT INTO orders SELECT gen_random_uuid(), user_id, gen_random_uuid(), method, 'cancelled', \
                'compensated', NULL, lines, total, placed_at, updated_at FROM orders WHERE order_id = ",
            fulfilled!()
        ),
    ),
    tables(
        "books.grants_follow_the_journal",
        "a discount that nobody gave",
        concat!(
            "UPDATE grants SET price = price - 1, discount = discount + 1 WHERE source_id = ",
            fulfilled!()
        ),
    ),
    tables(
        "books.grants_follow_the_journal",
        "access that was imported by nobody",
        "INSERT INTO grants SELECT gen_random_uuid(), course_id, 'import', user_id, course_version, 0, granted_at \
         FROM grants LIMIT 1",
    ),
    tables(
        "books.payments_follow_the_journal",
        "a decline that became a cancellation",
        "UPDATE payments SET state = 'cancelled' WHERE state = 'declined'",
    ),
    tables(
        "books.refunds_follow_the_journal",
        "a refund that was tried once more than its events say",
        "UPDATE refunds SET attempt = attempt + 1",
    ),
];
