//! Orders, payments, refunds and access agree with one another.

use super::Holds::{Always, AtRest, Sampled};
use super::{Invariant, invariant};

pub(super) const INVARIANTS: &[Invariant] = &[
    invariant(
        "access.follows_payment",
        Sampled,
        "Whoever paid an order has access to each of its lines, unless it is for somebody else or pays a membership, and nobody has by an \
         order that is not paid.",
        "SELECT o.order_id, o.state, o.lines, count(g.source_id) AS live FROM orders AS o \
         LEFT JOIN grants AS g ON g.source_id = o.order_id AND g.source = 'order' AND g.revoked_at IS NULL \
         WHERE NOT EXISTS (SELECT FROM redeem_codes AS c WHERE c.order_id = o.order_id) \
            AND NOT EXISTS (SELECT FROM membership_charges AS c WHERE c.order_id = o.order_id) \
         GROUP BY o.order_id HAVING NOT CASE o.state WHEN 'fulfilled' THEN count(g.source_id) = o.lines \
            WHEN 'partially_refunded' THEN count(g.source_id) <= o.lines AND (count(g.source_id) > 0 OR o.total > 0) \
            WHEN 'refunding' THEN count(g.source_id) <= o.lines ELSE count(g.source_id) = 0 END",
    ),
    invariant(
        "access.one_grant_per_course",
        Sampled,
        "Nobody holds two effective grants to one course by orders: it would have been sold twice.",
        "SELECT user_id, course_id, count(*) AS grants FROM grants WHERE source = 'order' AND revoked_at IS NULL \
         GROUP BY user_id, course_id HAVING count(*) > 1",
    ),
    invariant(
        "access.has_its_order",
        Always,
        "A grant by an order belongs to that order's buyer, is taken back once all the money has gone back, and never before some has.",
        "SELECT g.source_id, g.course_id, g.user_id, o.user_id AS buyer, o.state, g.revoked_at FROM grants AS g \
         LEFT JOIN orders AS o ON o.order_id = g.source_id \
         WHERE g.source = 'order' AND (o.order_id IS NULL OR o.user_id <> g.user_id \
            OR (g.revoked_at IS NULL AND o.state = 'refunded') \
            OR (g.revoked_at IS NOT NULL AND NOT EXISTS ( \
                SELECT FROM refunds AS r WHERE r.order_id = o.order_id AND r.state = 'succeeded')))",
    ),
    invariant(
        "access.pins_version_and_price",
        Always,
        "A line was bought at the price of a version of the course that was published, less its discount.",
        "SELECT g.source_id, g.course_id, g.course_version, g.price, g.discount, v.price AS published FROM grants AS g \
         LEFT JOIN course_versions AS v ON v.course_id = g.course_id AND v.version = g.course_version \
         WHERE g.source = 'order' AND v.price IS DISTINCT FROM g.price + g.discount",
    ),
    invariant(
        "order.total_is_its_lines",
        Always,
        "The total of an order is the sum of its lines.",
        "SELECT o.order_id, o.total, o.lines, sum(g.price) AS lines_total, count(*) AS lines_granted FROM orders AS o \
         JOIN grants AS g ON g.source_id = o.order_id AND g.source = 'order' \
         GROUP BY o.order_id HAVING sum(g.price) <> o.total OR count(*) <> o.lines",
    ),
    invariant(
        "order.is_paid_by_its_own_payment",
        AtRest,
        "An order through a provider has the payment it names, for itself, its buyer and its total; \
         one from the wallet has none.",
        "SELECT o.order_id, o.state, o.method, o.total, p.payment_id, p.order_id AS paid_order, p.amount, p.state AS paid \
         FROM orders AS o LEFT JOIN payments AS p ON p.payment_id = o.payment_id \
         WHERE CASE WHEN o.method = 'wallet' OR o.total = 0 THEN p.payment_id IS NOT NULL \
            ELSE p.payment_id IS NULL OR p.purpose <> 'order' OR p.order_id IS DISTINCT FROM o.order_id \
                OR p.user_id <> o.user_id OR coalesce(p.amount, o.total) <> o.total END",
    ),
    invariant(
        "order.state_follows_its_payment",
        AtRest,
        "An order through a provider is fulfilled or refunded exactly if its payment succeeded.",
        "SELECT o.order_id, o.state, p.state AS payment FROM orders AS o JOIN payments AS p ON p.payment_id = o.payment_id \
         WHERE (p.state = 'succeeded') <> (o.state IN ('fulfilled', 'refunding', 'refunded', 'partially_refunded'))",
    ),
    invariant(
        "payment.belongs_to_its_order",
        AtRest,
        "A payment for an order has its order, which names it if it succeeded; one for a wallet names no order.",
        "SELECT p.payment_id, p.purpose, p.order_id, o.payment_id AS named FROM payments AS p \
         LEFT JOIN orders AS o ON o.order_id = p.order_id \
         WHERE CASE p.purpose \
            WHEN 'order' THEN o.order_id IS NULL OR (p.state = 'succeeded' AND o.payment_id <> p.payment_id) \
            ELSE p.order_id IS NOT NULL END",
    ),
    invariant(
        "payment.surplus_is_of_a_paid_order",
        AtRest,
        "A payment whose money goes back because another had paid is of an order that another has paid.",
        "SELECT p.payment_id, p.order_id, o.payment_id AS paid_by, o.state FROM payments AS p \
         LEFT JOIN orders AS o ON o.order_id = p.order_id WHERE p.state = 'surplus' AND (o.order_id IS NULL \
            OR o.payment_id = p.payment_id OR o.state IN ('pending', 'cancelled', 'expired'))",
    ),
    invariant(
        "payment.one_success_per_order",
        AtRest,
        "No order is charged twice.",
        "SELECT order_id, count(*) AS successes FROM payments WHERE state = 'succeeded' AND order_id IS NOT NULL \
         GROUP BY order_id HAVING count(*) > 1",
    ),
    invariant(
        "payment.success_has_its_charge",
        Always,
        "A payment has the provider's charge exactly if it was captured, and no charge pays twice.",
        "SELECT payment_id, state, charge_id FROM ( \
            SELECT payment_id, state, charge_id, provider, count(*) OVER (PARTITION BY provider, charge_id) AS uses \
            FROM payments) AS p \
         WHERE (state IN ('succeeded', 'surplus')) <> (charge_id IS NOT NULL) OR (charge_id IS NOT NULL AND uses > 1)",
    ),
    invariant(
        "refund.within_capture",
        Sampled,
        "Refunds of an order that are neither rejected nor cancelled never exceed what it cost, together.",
        "SELECT o.order_id, o.total, sum(r.amount) AS refunds FROM orders AS o JOIN refunds AS r USING (order_id) \
         WHERE r.state NOT IN ('rejected', 'cancelled') GROUP BY o.order_id HAVING sum(r.amount) > o.total",
    ),
    invariant(
        "refund.agrees_with_its_order",
        Always,
        "A refund is of its order's buyer and payment, goes back by its method or to the wallet, and has left its mark on the order.",
        "SELECT r.refund_id, r.state, r.order_id, o.state AS order_state FROM refunds AS r \
         LEFT JOIN orders AS o ON o.order_id = r.order_id \
         WHERE o.order_id IS NULL OR o.user_id <> r.user_id OR o.payment_id <> r.payment_id \
            OR r.method NOT IN (o.method, 'wallet') \
            OR NOT CASE WHEN r.state = 'succeeded' THEN o.state IN ('refunded', 'partially_refunded', 'refunding') \
                WHEN r.state IN ('processing', 'unknown', 'failed') THEN o.state = 'refunding' \
                ELSE o.state IN ('fulfilled', 'refunded', 'partially_refunded', 'refunding') END",
    ),
    invariant(
        "refund.of_each_refunded_order",
        Always,
        "An order that is refunding has a refund under way, and one that is refunded has had all of its money returned.",
        "SELECT o.order_id, o.state FROM orders AS o LEFT JOIN refunds AS r USING (order_id) \
         WHERE o.state IN ('refunding', 'refunded', 'partially_refunded') GROUP BY o.order_id HAVING NOT CASE o.state \
            WHEN 'refunding' THEN count(*) FILTER (WHERE r.state IN ('processing', 'unknown', 'failed')) > 0 \
            WHEN 'refunded' THEN count(r.refund_id) > 0 \
                AND coalesce(sum(r.amount) FILTER (WHERE r.state = 'succeeded'), 0) = o.total \
            ELSE count(*) FILTER (WHERE r.state = 'succeeded') > 0 END",
    ),
    invariant(
        "refund.is_approved_by_somebody_else",
        Always,
        "Nobody has decided about a refund that they asked for, and none that waits was decided about.",
        "SELECT refund_id, user_id, checker, state FROM refunds \
         WHERE checker = user_id OR (checker IS NOT NULL AND state IN ('requested', 'cancelled')) \
            OR (checker IS NULL AND state = 'rejected')",
    ),
    invariant(
        "hold.matches_open_orders",
        Always,
        "What a wallet has reserved is what its owner's open orders from the wallet cost.",
        "SELECT w.user_id, w.held, coalesce(sum(o.total), 0) AS open FROM wallets AS w \
         LEFT JOIN orders AS o ON o.user_id = w.user_id AND o.method = 'wallet' AND o.state = 'pending' \
         GROUP BY w.user_id HAVING w.held <> coalesce(sum(o.total), 0)",
    ),
    invariant(
        "saga.has_a_next_action",
        Always,
        "Every saga that has not ended has a time for its next action, and no other has one.",
        "SELECT 'order' AS kind, order_id AS id, state, due_at FROM orders \
         WHERE (due_at IS NOT NULL) <> (state IN ('pending', 'paid', 'refunding')) \
         UNION ALL SELECT 'payment', payment_id, state, due_at FROM payments \
         WHERE (due_at IS NOT NULL) <> (state IN ('processing', 'requires_action', 'unknown')) \
            OR (due_at IS NOT NULL) <> (action IS NOT NULL)",
    ),
    invariant(
        "saga.has_ended",
        AtRest,
        "No saga is left over.",
        "SELECT kind, id, state, due_at, updated_at FROM sagas",
    ),
    invariant(
        "account.owns_what_is_its_own",
        Always,
        "Every order, wallet and grant belongs to an account.",
        "SELECT * FROM (SELECT 'order' AS kind, order_id AS id, user_id FROM orders \
            UNION ALL SELECT 'wallet', user_id, user_id FROM wallets \
            UNION ALL SELECT 'grant', source_id, user_id FROM grants) AS owned \
         WHERE user_id NOT IN (SELECT user_id FROM accounts)",
    ),
    invariant(
        "catalog.live_version_exists",
        Always,
        "A course that sells has its live version.",
        "SELECT c.course_id, c.state, c.version FROM courses AS c \
         LEFT JOIN course_versions AS v ON v.course_id = c.course_id AND v.version = c.version \
         WHERE c.state IN ('published', 'unlisted') AND v.course_id IS NULL",
    ),
];
