//! Damages to flash sales.

use super::{Damage, tables};

pub(super) const DAMAGES: &[Damage] = &[
    tables(
        "sale.within_stock",
        "more sold than there is",
        "ALTER TABLE sales DROP CONSTRAINT sales_stock; UPDATE sales SET stock = 1",
    ),
    tables(
        "sale.within_stock",
        "a slot that was sold and not counted",
        "UPDATE sales SET sold = sold - 1 WHERE sold > 0",
    ),
    tables(
        "sale.one_slot_per_buyer",
        "two slots of one buyer",
        "DROP INDEX sale_slots_one_per_buyer; \
         UPDATE sale_slots SET user_id = (SELECT min(user_id::text)::uuid FROM sale_slots) WHERE state = 'sold'",
    ),
    tables(
        "sale.slot_is_sold_exactly_if_paid",
        "a slot that was given back although its order was paid",
        "UPDATE sale_slots SET state = 'released' WHERE state = 'sold'",
    ),
    tables(
        "sale.slot_is_sold_exactly_if_paid",
        "a slot that was sold although its order was not paid",
        "DROP INDEX sale_slots_one_per_buyer; UPDATE sale_slots SET state = 'sold' WHERE state = 'released'",
    ),
    tables(
        "books.sales_follow_the_journal",
        "a price that nobody set",
        "UPDATE sales SET price = price + 1",
    ),
    tables(
        "books.slots_follow_the_journal",
        "a slot that is gone",
        "DELETE FROM sale_slots WHERE state = 'released'",
    ),
    tables(
        "books.slots_follow_their_orders",
        "a slot of an order that reserved none",
        "UPDATE events SET events = replace(events::text, '\"reservations\":', '\"reserved\":')::json \
         WHERE kind = 4 AND events::text LIKE '%\"reservations\":%'",
    ),
];
