//! What operators did is on record, and the record is as it was written.

use super::Holds::Always;
use super::{Invariant, invariant};

pub(super) const INVARIANTS: &[Invariant] = &[
    invariant(
        "operators.audit_log_is_chained",
        Always,
        "The rows of the audit log are 1, 2, 3 and so on, and each follows from the one before and its own content.",
        "SELECT number, encode(hash, 'hex') AS hash FROM ( \
            SELECT l.*, lag(number, 1, 0) OVER w AS number_before, \
                lag(hash, 1, decode(repeat('00', 32), 'hex')) OVER w AS hash_before, \
                sha256(previous || ( \
                    SELECT string_agg(int8send(length(convert_to(part, 'UTF8'))) || convert_to(part, 'UTF8'), '' ORDER BY place) \
                    FROM unnest(ARRAY[number::text, (extract(epoch FROM at) * 1000)::bigint::text, operator::text, node, \
                        action, target, reason, details::text]) WITH ORDINALITY AS parts (part, place))) AS computed \
            FROM audit_log AS l WINDOW w AS (ORDER BY number)) AS log \
         WHERE number <> number_before + 1 OR previous <> hash_before OR hash <> computed",
    ),
    invariant(
        "operators.shards_are_moved_on_record",
        Always,
        "Nobody wished for a shard without being named in the audit log with the same reason.",
        "SELECT w.id, w.shard, w.to_node, w.reason FROM shard_wishes AS w WHERE NOT EXISTS ( \
            SELECT FROM audit_log AS l WHERE l.action = 'move' AND l.target = w.shard::text AND l.reason = w.reason)",
    ),
    invariant(
        "operators.adjustments_need_two",
        Always,
        "Nobody has decided about an adjustment of their own, and none was decided by nobody.",
        "SELECT adjustment_id, state, maker, checker FROM adjustments \
         WHERE checker = maker OR (checker IS NULL) <> (state = 'proposed')",
    ),
    invariant(
        "operators.adjustments_are_on_record",
        Always,
        "Whoever proposed, approved or rejected an adjustment is named in the audit log with the same reason.",
        "SELECT a.adjustment_id, a.state, a.maker, a.checker FROM adjustments AS a WHERE NOT EXISTS ( \
            SELECT FROM audit_log AS l WHERE l.action = 'propose_adjustment' AND l.operator = a.maker AND l.reason = a.reason) \
         OR a.checker IS NOT NULL AND NOT EXISTS ( \
            SELECT FROM audit_log AS l WHERE l.operator = a.checker AND l.reason = a.note \
                AND l.action = CASE WHEN a.state = 'rejected' AND a.refusal IS NULL THEN 'reject_adjustment' \
                    ELSE 'approve_adjustment' END)",
    ),
    invariant(
        "operators.interventions_are_on_record",
        Always,
        "Everything that an operator has decided about a saga or an adjustment is in the audit log, once for each event.",
        "SELECT e.action, e.operator, e.events, coalesce(l.rows, 0) AS logged FROM ( \
            SELECT d.event->>'action' || '_saga' AS action, d.event->'deed'->>'reason' AS reason, \
                d.event->'deed'->>'operator' AS operator, count(*) AS events \
            FROM events CROSS JOIN LATERAL json_array_elements(events.events) AS d (event) \
            WHERE kind IN (4, 5) AND d.event->>'type' = 'intervened' GROUP BY 1, 2, 3) AS e \
         LEFT JOIN (SELECT action, reason, count(*) AS rows FROM audit_log GROUP BY action, reason) AS l \
            USING (action, reason) \
         WHERE coalesce(l.rows, 0) < e.events",
    ),
    invariant(
        "operators.reconciliations_are_on_record",
        Always,
        "Nobody has declared a saga reconciled without being named in the audit log with the same note.",
        "SELECT r.saga_id, r.kind, r.operator, r.note FROM saga_reconciliations AS r WHERE NOT EXISTS ( \
            SELECT FROM audit_log AS l WHERE l.action = 'reconcile_saga' AND l.operator = r.operator AND l.reason = r.note)",
    ),
];
