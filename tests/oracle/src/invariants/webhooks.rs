//! Whoever is told of something is told of what happened, and only of what is theirs to hear.

use super::Holds::{Always, AtRest};
use super::{Invariant, invariant};

pub(super) const INVARIANTS: &[Invariant] = &[
    invariant(
        "webhooks.buyers_hear_of_their_own_orders",
        Always,
        "A buyer is told of an order of their own, and that it was paid or given back only if it was.",
        "SELECT d.delivery_id, d.event_type, d.user_id, o.user_id AS buyer, o.state FROM webhook_deliveries AS d \
         LEFT JOIN orders AS o ON o.order_id = d.subject \
         WHERE d.event_type LIKE 'order.%' AND (o.user_id IS DISTINCT FROM d.user_id OR CASE d.event_type \
            WHEN 'order.fulfilled' THEN o.state IN ('pending', 'cancelled', 'expired') \
            WHEN 'order.refunded' THEN o.state IN ('pending', 'fulfilled', 'cancelled', 'expired') ELSE false END)",
    ),
    invariant(
        "webhooks.creators_hear_of_their_own_sales",
        Always,
        "A creator is told of a sale only if a course of theirs was in it; a gift or a membership brings its buyer no grant that would tell.",
        "SELECT d.delivery_id, d.event_type, d.user_id, d.subject FROM webhook_deliveries AS d \
         WHERE d.event_type LIKE 'sale.%' AND NOT EXISTS (SELECT FROM grants AS g JOIN courses AS c USING (course_id) \
            WHERE g.source = 'order' AND g.source_id = d.subject AND c.creator_id = d.user_id) \
         AND NOT EXISTS (SELECT FROM redeem_codes AS c WHERE c.order_id = d.subject) \
         AND NOT EXISTS (SELECT FROM membership_charges AS c WHERE c.order_id = d.subject)",
    ),
    invariant(
        "webhooks.creators_hear_nothing_of_buyers",
        Always,
        "What a creator is told of a sale names nobody.",
        "SELECT delivery_id, body FROM webhook_deliveries WHERE event_type LIKE 'sale.%' AND body LIKE '%usr\\_%'",
    ),
    invariant(
        "webhooks.bodies_are_of_their_event",
        Always,
        "What is sent says which event it is, and says the same to everybody who is told of it.",
        "SELECT event_id, event_type, count(DISTINCT body) AS bodies FROM webhook_deliveries GROUP BY event_id, event_type \
         HAVING count(DISTINCT body) > 1 OR bool_or(body::json->>'type' IS DISTINCT FROM event_type)",
    ),
    invariant(
        "webhooks.deliveries_go_to_their_listener",
        Always,
        "A delivery goes to an endpoint of whom it was announced to.",
        "SELECT d.delivery_id, d.user_id, e.user_id AS owner FROM webhook_deliveries AS d \
         LEFT JOIN webhook_endpoints AS e USING (endpoint_id) WHERE e.user_id IS DISTINCT FROM d.user_id",
    ),
    invariant(
        "webhooks.nothing_waits_for_the_deaf",
        AtRest,
        "Nothing waits for an endpoint that is disabled or gone.",
        "SELECT d.delivery_id, d.endpoint_id, e.state FROM webhook_deliveries AS d \
         LEFT JOIN webhook_endpoints AS e USING (endpoint_id) \
         WHERE d.state = 'pending' AND e.state IS DISTINCT FROM 'enabled'",
    ),
];
