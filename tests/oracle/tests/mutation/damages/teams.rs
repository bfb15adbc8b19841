//! Damages to group buying.

use super::{Damage, tables};

pub(super) const DAMAGES: &[Damage] = &[
    tables(
        "team.within_size",
        "a member too many",
        "ALTER TABLE teams DROP CONSTRAINT teams_size, DROP CONSTRAINT teams_check; \
         UPDATE teams SET paid = size + 1 WHERE state = 'succeeded'",
    ),
    tables(
        "team.within_size",
        "a team that succeeded without one of its members",
        "UPDATE team_places SET state = 'released' WHERE (team_id, order_id) IN ( \
            SELECT team_id, order_id FROM team_places JOIN teams AS t USING (team_id) WHERE t.state = 'succeeded' LIMIT 1)",
    ),
    tables(
        "team.one_place_per_buyer",
        "two places of one buyer",
        "DROP INDEX team_places_one_per_buyer; INSERT INTO team_places SELECT team_id, gen_random_uuid(), user_id, state, reserved_at, \
            updated_at FROM team_places WHERE state = 'paid' LIMIT 1",
    ),
    tables(
        "team.grants_once_it_has_succeeded",
        "a course by a team that has failed",
        "INSERT INTO grants (source_id, course_id, source, user_id, course_version, price, granted_at) \
         SELECT p.order_id, t.course_id, 'order', p.user_id, 1, t.price, now() FROM team_places AS p JOIN teams AS t USING (team_id) \
         WHERE t.state = 'failed' AND p.state = 'paid' LIMIT 1",
    ),
    tables(
        "team.paid_is_granted_or_returned",
        "a payer of a failed team who never had the money back",
        "UPDATE orders SET state = 'fulfil_failed' WHERE order_id = (SELECT order_id FROM team_places JOIN teams AS t USING (team_id) \
            WHERE t.state = 'failed' AND team_places.state = 'paid' LIMIT 1)",
    ),
    tables(
        "team.paid_is_granted_or_returned",
        "a place that is kept for an order that has ended",
        "UPDATE team_places SET state = 'reserved' WHERE state = 'released'",
    ),
    tables(
        "ledger.sale_of_each_paid_order",
        "a sale of a team that was paid a second time",
        "UPDATE ledger_transactions SET accounts = array_replace(accounts, 10::smallint, 1::smallint), \
            owners = array_replace(owners, user_id, NULL) WHERE step = 1 AND 10 = ANY (accounts)",
    ),
    tables(
        "books.group_offers_follow_the_journal",
        "a team that needs one member less",
        "UPDATE group_offers SET size = size + 1",
    ),
    tables(
        "books.teams_follow_the_journal",
        "a team that has failed and says that it is open",
        "UPDATE teams SET state = 'open' WHERE state = 'failed'",
    ),
    tables(
        "books.team_places_follow_the_journal",
        "a place of somebody else",
        "UPDATE team_places SET user_id = gen_random_uuid() WHERE state = 'released'",
    ),
    tables(
        "books.places_follow_their_orders",
        "an order that was for nothing of the kind, in its events",
        "UPDATE events SET events = replace(events::text, '\"type\":\"place\"', '\"type\":\"plaza\"')::json \
         WHERE kind = 4 AND events::text LIKE '%\"type\":\"place\"%'",
    ),
    tables(
        "books.every_event_is_understood",
        "a team that succeeds too late, in its events",
        "UPDATE events SET events = replace(events::text, '\"failed\"', '\"succeeded\"')::json \
         WHERE kind = 26 AND events::text LIKE '%\"failed\"%'",
    ),
    tables(
        "books.every_event_is_understood",
        "a place that was paid twice, in its events",
        "INSERT INTO events (kind, entity, version, shard, epoch, at, events) \
         SELECT e.kind, e.entity, max(e.version) + 1, e.shard, max(e.epoch), max(e.at), \
            (SELECT events FROM events WHERE kind = 26 AND entity = e.entity AND events::text LIKE '%place_paid%' LIMIT 1)::text::json \
         FROM events AS e WHERE e.kind = 26 AND e.entity = (SELECT entity FROM events WHERE kind = 26 \
            AND events::text LIKE '%place_paid%' LIMIT 1) GROUP BY e.kind, e.entity, e.shard",
    ),
];
