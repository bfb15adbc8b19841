//! Bundles and redeem codes agree with the orders and the access that they lead to.

use super::Holds::{Always, AtRest};
use super::{Invariant, invariant};

pub(super) const INVARIANTS: &[Invariant] = &[
    invariant(
        "code.redeemed_within_its_batch",
        Always,
        "A batch has as many codes as were issued, and those that were redeemed are counted.",
        "SELECT b.batch_id, b.codes, b.redeemed, count(*) AS rows, count(c.user_id) AS rows_redeemed FROM code_batches AS b \
         LEFT JOIN redeem_codes AS c USING (batch_id) GROUP BY b.batch_id \
         HAVING b.codes <> count(c.code_id) OR b.redeemed <> count(c.user_id)",
    ),
    invariant(
        "code.of_a_gift_is_for_somebody_else",
        Always,
        "Whoever pays for a gift has no access by its order, and only a paid gift is redeemed.",
        "SELECT c.order_id, c.giver, o.user_id, o.state, c.user_id AS holder, g.course_id FROM redeem_codes AS c \
         LEFT JOIN orders AS o USING (order_id) LEFT JOIN grants AS g ON g.source = 'order' AND g.source_id = c.order_id \
         WHERE c.order_id IS NOT NULL AND (o.user_id IS DISTINCT FROM c.giver OR g.source_id IS NOT NULL \
            OR (c.user_id IS NOT NULL AND o.state NOT IN ('fulfilled', 'partially_refunded')))",
    ),
    invariant(
        "code.grants_exactly_when_redeemed",
        AtRest,
        "Whoever redeemed a code has access by it, and nobody has access by a code that was not redeemed.",
        "SELECT coalesce(c.code_id, g.source_id) AS code, c.user_id, g.user_id AS granted FROM \
            (SELECT * FROM redeem_codes WHERE user_id IS NOT NULL) AS c \
         FULL JOIN (SELECT DISTINCT source_id, user_id FROM grants WHERE source = 'code') AS g ON g.source_id = c.code_id \
         WHERE c.user_id IS DISTINCT FROM g.user_id",
    ),
];
