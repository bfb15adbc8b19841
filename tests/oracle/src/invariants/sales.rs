//! Invariants of flash sales: never more sold than there is, one to each buyer, and each exactly if its order was paid.

use super::Holds::{Always, AtRest, Sampled};
use super::{Invariant, invariant};

pub(super) const INVARIANTS: &[Invariant] = &[
    invariant(
        "sale.within_stock",
        Sampled,
        "Sold and reserved slots together stay within the stock of their sale, and are counted as they are.",
        "SELECT s.sale_id, s.stock, s.sold, s.reserved, count(t.*) FILTER (WHERE t.state = 'sold') AS slots_sold, \
            count(t.*) FILTER (WHERE t.state = 'reserved') AS slots_reserved \
         FROM sales AS s LEFT JOIN sale_slots AS t USING (sale_id) GROUP BY s.sale_id \
         HAVING s.sold + s.reserved > s.stock OR count(t.*) FILTER (WHERE t.state = 'sold') <> s.sold \
            OR count(t.*) FILTER (WHERE t.state = 'reserved') <> s.reserved",
    ),
    invariant(
        "sale.one_slot_per_buyer",
        Always,
        "Nobody has two slots of one sale.",
        "SELECT sale_id, user_id, count(*) AS slots FROM sale_slots WHERE state <> 'released' \
         GROUP BY sale_id, user_id HAVING count(*) > 1",
    ),
    invariant(
        "sale.slot_is_sold_exactly_if_paid",
        AtRest,
        "A slot is sold exactly if its buyer's order was paid and gave access, at the price of the sale or below; else it came back.",
        "SELECT t.sale_id, t.order_id, t.state, o.state AS order_state, g.price, s.price AS sale_price FROM sale_slots AS t \
         JOIN sales AS s USING (sale_id) LEFT JOIN orders AS o ON o.order_id = t.order_id AND o.user_id = t.user_id \
         LEFT JOIN grants AS g ON g.source = 'order' AND g.source_id = o.order_id AND g.course_id = s.course_id \
         WHERE ((t.state = 'sold') <> (g.source_id IS NOT NULL) \
            AND NOT EXISTS (SELECT FROM redeem_codes AS c WHERE c.order_id = t.order_id)) OR t.state = 'reserved' OR g.price > s.price",
    ),
];
