//! Damages to memberships.

use super::{Damage, tables};

pub(super) const DAMAGES: &[Damage] = &[
    tables(
        "membership.one_of_each_plan",
        "two memberships of one person",
        "ALTER TABLE memberships DROP CONSTRAINT memberships_one_each; \
         INSERT INTO memberships SELECT gen_random_uuid(), user_id, plan_id, creator, opens, price, state, renews, access_until, due_at, \
            joined_at, updated_at FROM memberships WHERE state = 'active' LIMIT 1",
    ),
    tables(
        "membership.one_of_each_plan",
        "a membership of a plan that nobody offered",
        "UPDATE memberships SET plan_id = gen_random_uuid() WHERE state = 'active'",
    ),
    tables(
        "membership.period_is_paid_by_its_order",
        "a period that nobody paid",
        "UPDATE membership_charges SET state = 'paid', begins_at = now(), ends_at = now() WHERE state = 'unpaid'",
    ),
    tables(
        "membership.period_is_paid_by_its_order",
        "a period whose money was kept",
        "UPDATE membership_charges SET state = 'removed' WHERE state = 'paid'",
    ),
    tables(
        "membership.period_is_paid_by_its_order",
        "a period whose money went back",
        "UPDATE membership_charges SET state = 'paid', begins_at = coalesce(begins_at, now()), ends_at = coalesce(ends_at, now()) \
         WHERE state = 'removed'",
    ),
    tables(
        "membership.period_is_paid_by_its_order",
        "a period that somebody else paid",
        "UPDATE membership_charges SET user_id = gen_random_uuid() WHERE state = 'paid'",
    ),
    tables(
        "membership.periods_do_not_overlap",
        "a time that is paid twice",
        "INSERT INTO membership_charges SELECT gen_random_uuid(), membership_id, user_id, state, begins_at, ends_at, updated_at \
         FROM membership_charges WHERE state = 'paid'",
    ),
    tables(
        "membership.access_is_paid",
        "access for longer than anybody paid",
        "UPDATE memberships SET access_until = access_until + interval '1 year' WHERE access_until IS NOT NULL",
    ),
    tables(
        "membership.access_is_paid",
        "a member who is locked out of what was paid",
        "UPDATE memberships SET access_until = now() WHERE access_until IS NOT NULL",
    ),
    tables(
        "membership.has_a_next_action",
        "a membership that nobody would ever renew",
        "UPDATE memberships SET due_at = NULL WHERE state = 'active'",
    ),
    tables(
        "membership.order_brings_no_course",
        "a course for good by a period",
        "INSERT INTO grants (source_id, course_id, source, user_id, course_version, price, granted_at) \
         SELECT c.order_id, g.course_id, 'order', c.user_id, 1, 0, now() FROM membership_charges AS c, \
            (SELECT course_id FROM grants LIMIT 1) AS g WHERE c.state = 'paid'",
    ),
    tables(
        "books.membership_plans_follow_the_journal",
        "a price that nobody set",
        "UPDATE membership_plans SET price = price + 1",
    ),
    tables(
        "books.memberships_follow_the_journal",
        "a membership that is renewed although it was cancelled",
        "UPDATE memberships SET renews = NOT renews",
    ),
    tables(
        "books.membership_charges_follow_the_journal",
        "a charge that is gone",
        "DELETE FROM membership_charges WHERE state = 'unpaid'",
    ),
    tables(
        "books.periods_follow_their_orders",
        "a period by an order that was for nothing of the kind, in its events",
        "UPDATE events SET events = replace(events::text, '\"type\":\"period\"', '\"type\":\"epoch\"')::json \
         WHERE kind = 4 AND events::text LIKE '%\"type\":\"period\"%'",
    ),
    tables(
        "books.periods_follow_their_orders",
        "a period at another price than was agreed, in its events",
        "UPDATE events SET events = replace(events::text, '\"price\":{\"amount\":1500', '\"price\":{\"amount\":1400')::json \
         WHERE kind = 24 AND events::text LIKE '%\"joined\"%'",
    ),
    tables(
        "books.every_event_is_understood",
        "a period that was added twice, in its events",
        "INSERT INTO events (kind, entity, version, shard, epoch, at, events) \
         SELECT e.kind, e.entity, max(e.version) + 1, e.shard, max(e.epoch), max(e.at), \
            (SELECT events FROM events WHERE kind = 24 AND entity = e.entity AND events::text LIKE '%period_added%' LIMIT 1)::text::json \
         FROM events AS e WHERE e.kind = 24 AND e.entity = (SELECT entity FROM events WHERE kind = 24 \
            AND events::text LIKE '%period_added%' LIMIT 1) GROUP BY e.kind, e.entity, e.shard",
    ),
];
