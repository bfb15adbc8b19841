//! Damages to who hears of what, and to what they are told.

use super::{Damage, tables};

pub(super) const DAMAGES: &[Damage] = &[
    tables(
        "webhooks.buyers_hear_of_their_own_orders",
        "somebody who is told of another buyer's order",
        "UPDATE webhook_deliveries AS d SET subject = (SELECT order_id FROM orders AS o WHERE o.user_id <> d.user_id \
            AND o.state = 'fulfilled' LIMIT 1) WHERE event_type = 'order.fulfilled'",
    ),
    tables(
        "webhooks.buyers_hear_of_their_own_orders",
        "a buyer who is told of money that never came back",
        "UPDATE webhook_deliveries SET event_type = 'order.refunded' WHERE subject IN ( \
            SELECT order_id FROM orders WHERE state = 'fulfilled')",
    ),
    tables(
        "webhooks.creators_hear_of_their_own_sales",
        "a creator who is told of somebody else's sale",
        "UPDATE courses SET creator_id = gen_random_uuid() WHERE course_id IN ( \
            SELECT course_id FROM grants AS g JOIN webhook_deliveries AS d ON d.subject = g.source_id \
            WHERE d.event_type = 'sale.completed')",
    ),
    tables(
        "webhooks.creators_hear_nothing_of_buyers",
        "a creator who is told who bought",
        "UPDATE webhook_deliveries SET body = replace(body, '\"data\":{', '\"data\":{\"buyer\":\"usr_01h455vb4pex5vsknk084sn02q\",') \
         WHERE event_type = 'sale.completed'",
    ),
    tables(
        "webhooks.bodies_are_of_their_event",
        "a delivery that says that it is of another type",
        "UPDATE webhook_deliveries SET body = replace(body, 'order.fulfilled', 'order.expired') WHERE delivery_id = ( \
            SELECT delivery_id FROM webhook_deliveries WHERE event_type = 'order.fulfilled' LIMIT 1)",
    ),
    tables(
        "webhooks.deliveries_go_to_their_listener",
        "a delivery to an endpoint of somebody else",
        "UPDATE webhook_endpoints SET user_id = gen_random_uuid() WHERE endpoint_id IN ( \
            SELECT endpoint_id FROM webhook_deliveries)",
    ),
    tables(
        "webhooks.nothing_waits_for_the_deaf",
        "a delivery that still waits for an endpoint that is disabled",
        "UPDATE webhook_endpoints SET state = 'disabled', reason = 'gone' WHERE state = 'enabled'",
    ),
    tables(
        "books.webhook_endpoints_follow_the_journal",
        "an endpoint that somebody has pointed elsewhere",
        "UPDATE webhook_endpoints SET url = 'https://example.org/' WHERE state = 'enabled'",
    ),
    tables(
        "books.webhook_endpoints_follow_the_journal",
        "an endpoint that is gone",
        "DELETE FROM webhook_endpoints WHERE state = 'disabled'",
    ),
];
