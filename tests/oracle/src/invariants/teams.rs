//! Invariants of group buying: exactly so many, all paid in time, or nobody; and nobody's money kept without either.

use super::Holds::{Always, AtRest, Sampled};
use super::{Invariant, invariant};

pub(super) const INVARIANTS: &[Invariant] = &[
    invariant(
        "team.within_size",
        Sampled,
        "Paid and reserved places together stay within the size of their team, and are counted as they are; one that has succeeded is full.",
        "SELECT t.team_id, t.state, t.size, t.paid, t.reserved, count(p.*) FILTER (WHERE p.state = 'paid') AS places_paid, \
            count(p.*) FILTER (WHERE p.state = 'reserved') AS places_reserved \
         FROM teams AS t LEFT JOIN team_places AS p USING (team_id) GROUP BY t.team_id \
         HAVING t.paid + t.reserved > t.size OR count(p.*) FILTER (WHERE p.state = 'paid') <> t.paid \
            OR count(p.*) FILTER (WHERE p.state = 'reserved') <> t.reserved OR (t.state = 'succeeded' AND t.paid <> t.size)",
    ),
    invariant(
        "team.one_place_per_buyer",
        Always,
        "Nobody has two places in one team.",
        "SELECT team_id, user_id, count(*) AS places FROM team_places WHERE state <> 'released' \
         GROUP BY team_id, user_id HAVING count(*) > 1",
    ),
    invariant(
        "team.grants_once_it_has_succeeded",
        Sampled,
        "Nobody has a course by an order of a team that has not succeeded, nor at a higher price than the team's.",
        "SELECT p.team_id, p.order_id, p.state, t.state AS team, g.price, t.price AS team_price FROM team_places AS p \
         JOIN teams AS t USING (team_id) JOIN grants AS g ON g.source = 'order' AND g.source_id = p.order_id \
         WHERE (g.price > 0 AND (p.state <> 'paid' OR t.state <> 'succeeded')) OR g.price > t.price OR g.course_id <> t.course_id",
    ),
    invariant(
        "team.paid_is_granted_or_returned",
        AtRest,
        "A paid place is granted if its team has succeeded, waits while that is open, and has its money back else; an unpaid one is free.",
        "SELECT p.team_id, p.order_id, p.state, t.state AS team, o.state AS order_state FROM team_places AS p \
         LEFT JOIN teams AS t USING (team_id) LEFT JOIN orders AS o ON o.order_id = p.order_id AND o.user_id = p.user_id \
         WHERE p.state = 'reserved' OR (coalesce(o.total, 1) > 0 AND NOT CASE \
            WHEN p.state = 'released' THEN coalesce(o.state, 'expired') IN ('cancelled', 'expired', 'refunded') \
            WHEN p.state = 'paid' AND t.state = 'succeeded' \
                THEN coalesce(o.state, '-') IN ('fulfilled', 'partially_refunded', 'refunding', 'refunded') \
            WHEN p.state = 'paid' AND t.state = 'open' THEN coalesce(o.state, '-') = 'paid' \
            ELSE coalesce(o.state, '-') = 'refunded' END)",
    ),
];
