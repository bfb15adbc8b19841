//! What operators did to the cluster is on record, and the record is as it was written.

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
];
