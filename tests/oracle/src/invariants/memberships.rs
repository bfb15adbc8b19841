//! Memberships: each period is paid by one order, and whoever may study has paid.

use super::Holds::{Always, AtRest, Sampled};
use super::{Invariant, invariant};

pub(super) const INVARIANTS: &[Invariant] = &[
    invariant(
        "membership.one_of_each_plan",
        Always,
        "Nobody has two memberships of one plan, and every membership is of a plan that there is.",
        "SELECT m.user_id, m.plan_id, p.plan_id AS plan, count(*) AS memberships FROM memberships AS m \
         LEFT JOIN membership_plans AS p USING (plan_id) GROUP BY m.user_id, m.plan_id, p.plan_id \
         HAVING count(*) > 1 OR p.plan_id IS NULL",
    ),
    invariant(
        "membership.period_is_paid_by_its_order",
        AtRest,
        "A period was added exactly by an order of the member that was paid, and removed exactly if all its money has gone back.",
        "SELECT c.order_id, c.membership_id, c.state, c.user_id, m.user_id AS member, o.user_id AS buyer, o.state AS order_state \
         FROM membership_charges AS c LEFT JOIN memberships AS m USING (membership_id) LEFT JOIN orders AS o USING (order_id) \
         WHERE m.user_id IS DISTINCT FROM c.user_id OR o.user_id <> c.user_id OR CASE c.state \
            WHEN 'paid' THEN o.state IS NULL OR o.state NOT IN ('fulfilled', 'partially_refunded') \
            WHEN 'removed' THEN o.state IS DISTINCT FROM 'refunded' \
            WHEN 'unpaid' THEN o.state IN ('pending', 'fulfilled', 'partially_refunded', 'refunding') ELSE true END",
    ),
    invariant(
        "membership.periods_do_not_overlap",
        Sampled,
        "Of one membership no time is paid twice.",
        "SELECT a.membership_id, a.order_id, b.order_id AS other, a.begins_at, a.ends_at, b.begins_at AS other_begins \
         FROM membership_charges AS a JOIN membership_charges AS b ON b.membership_id = a.membership_id AND b.order_id > a.order_id \
         WHERE a.state = 'paid' AND b.state = 'paid' AND a.begins_at < b.ends_at AND b.begins_at < a.ends_at",
    ),
    invariant(
        "membership.access_is_paid",
        Always,
        "Whoever may study by a membership has paid a period that lasts, or is not over for longer than any grace.",
        "SELECT m.membership_id, m.state, m.access_until, c.ends FROM memberships AS m LEFT JOIN ( \
            SELECT membership_id, max(ends_at) AS ends FROM membership_charges WHERE state = 'paid' GROUP BY membership_id) AS c \
            USING (membership_id) \
         WHERE m.access_until IS NOT NULL AND (c.ends IS NULL OR m.access_until < c.ends OR m.access_until > c.ends + interval '60 days')",
    ),
    invariant(
        "membership.has_a_next_action",
        Always,
        "A membership that lives has something due, or an order that is to pay its next period.",
        "SELECT m.membership_id, m.state, m.due_at FROM memberships AS m \
         WHERE m.state IN ('active', 'past_due', 'paused') AND m.due_at IS NULL \
            AND NOT EXISTS (SELECT FROM membership_charges AS c WHERE c.membership_id = m.membership_id AND c.state = 'pending')",
    ),
    invariant(
        "membership.order_brings_no_course",
        Always,
        "An order that pays a period brings no course for good.",
        "SELECT c.order_id, g.course_id FROM membership_charges AS c JOIN grants AS g ON g.source_id = c.order_id AND g.source = 'order'",
    ),
];
