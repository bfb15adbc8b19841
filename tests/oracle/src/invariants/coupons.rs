//! Invariants of coupons: no more uses than were promised, and each spent exactly if its order was paid.

use super::Holds::{Always, AtRest, Sampled};
use super::{Invariant, invariant};

pub(super) const INVARIANTS: &[Invariant] = &[
    invariant(
        "coupon.within_its_limit",
        Sampled,
        "Reserved and redeemed uses together stay within the limit of their coupon, and are counted as they are.",
        "SELECT c.coupon_id, c.uses_max, c.reserved, c.redeemed, count(u.*) FILTER (WHERE u.state = 'reserved') AS uses_reserved, \
            count(u.*) FILTER (WHERE u.state = 'redeemed') AS uses_redeemed \
         FROM coupons AS c LEFT JOIN coupon_uses AS u USING (coupon_id) GROUP BY c.coupon_id \
         HAVING c.reserved + c.redeemed > c.uses_max OR count(u.*) FILTER (WHERE u.state = 'reserved') <> c.reserved \
            OR count(u.*) FILTER (WHERE u.state = 'redeemed') <> c.redeemed",
    ),
    invariant(
        "coupon.within_the_limit_of_each_buyer",
        Always,
        "Nobody has more uses of a coupon than one person may, and every use is of a coupon that there is.",
        "SELECT u.coupon_id, u.user_id, c.per_user, count(*) AS uses FROM coupon_uses AS u LEFT JOIN coupons AS c USING (coupon_id) \
         WHERE u.state <> 'released' GROUP BY u.coupon_id, u.user_id, c.per_user \
         HAVING c.per_user IS NULL OR count(*) > c.per_user",
    ),
    invariant(
        "coupon.one_of_each_issuer_in_an_order",
        Always,
        "An order has at most one coupon of a creator and one of the platform, and two only if both serve beside another.",
        "SELECT u.order_id, count(*) FILTER (WHERE c.creator IS NULL) AS of_platform, \
            count(*) FILTER (WHERE c.creator IS NOT NULL) AS of_creators, bool_and((c.terms ->> 'stackable')::boolean) AS stackable \
         FROM coupon_uses AS u JOIN coupons AS c USING (coupon_id) WHERE u.state <> 'released' GROUP BY u.order_id \
         HAVING count(*) FILTER (WHERE c.creator IS NULL) > 1 OR count(*) FILTER (WHERE c.creator IS NOT NULL) > 1 \
            OR (count(*) > 1 AND NOT bool_and((c.terms ->> 'stackable')::boolean))",
    ),
    invariant(
        "coupon.use_is_redeemed_exactly_if_paid",
        AtRest,
        "A use is redeemed exactly if its buyer's order was paid and gave access, with no less taken off than the use says; else it \
         came back, once.",
        "SELECT u.coupon_id, u.order_id, u.state, u.off, o.state AS order_state, g.discount FROM coupon_uses AS u \
         LEFT JOIN orders AS o ON o.order_id = u.order_id AND o.user_id = u.user_id \
         LEFT JOIN (SELECT source_id, sum(discount) AS discount FROM grants WHERE source = 'order' GROUP BY source_id) AS g \
            ON g.source_id = o.order_id \
         WHERE u.state = 'reserved' OR ((u.state = 'redeemed') <> (g.source_id IS NOT NULL) \
            AND NOT EXISTS (SELECT FROM redeem_codes AS c WHERE c.order_id = u.order_id)) \
            OR (u.state = 'redeemed' AND (o.order_id IS NULL OR u.off > g.discount))",
    ),
];
