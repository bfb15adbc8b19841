//! The journal has no gaps, one writer, and is never rewritten; whatever was asked under a key happened once.

use super::Holds::{Always, AtRest};
use super::{Invariant, invariant};

pub(super) const INVARIANTS: &[Invariant] = &[
    invariant(
        "journal.versions_have_no_gaps",
        Always,
        "The versions of an entity are 1, 2, 3 and so on.",
        "SELECT kind, entity, count(*) AS events, min(version) AS first, max(version) AS last FROM events \
         GROUP BY kind, entity HAVING count(*) <> max(version) OR min(version) <> 1",
    ),
    invariant(
        "journal.versions_follow_in_time",
        Always,
        "A later version of an entity was committed later, under the same or a later epoch, and by the clock not before.",
        "SELECT kind, entity, version, epoch, epoch_before, at, at_before FROM ( \
            SELECT kind, entity, version, epoch, at, txid::text::bigint AS txid, \
                lag(epoch) OVER w AS epoch_before, lag(at) OVER w AS at_before, \
                lag(txid::text::bigint) OVER w AS txid_before \
            FROM events WINDOW w AS (PARTITION BY kind, entity ORDER BY version)) AS e \
         WHERE epoch < epoch_before OR txid < txid_before OR at < at_before - interval '1 second'",
    ),
    invariant(
        "journal.one_writer_per_shard",
        Always,
        "Nothing was written in a shard under an epoch after a later one had begun, nor under one that never began.",
        "SELECT shard, epoch, first, last_before FROM ( \
            SELECT shard, epoch, min(txid::text::bigint) AS first, \
                lag(max(txid::text::bigint)) OVER (PARTITION BY shard ORDER BY epoch) AS last_before \
            FROM events GROUP BY shard, epoch) AS e \
         WHERE first <= last_before OR epoch > (SELECT s.epoch FROM shard_owner AS s WHERE s.shard = e.shard)",
    ),
    invariant(
        "journal.entity_has_one_shard",
        Always,
        "An entity never changes its shard.",
        "SELECT kind, entity, count(DISTINCT shard) AS shards FROM events \
         GROUP BY kind, entity HAVING min(shard) <> max(shard)",
    ),
    invariant(
        "journal.events_are_never_rewritten",
        Always,
        "An event is as the transaction left it that wrote it, unless it was redacted.",
        "SELECT kind, entity, version, txid::text AS committed_by, xmin::text AS written_by FROM events \
         WHERE xmin::text::bigint <> txid::text::bigint % 4294967296 \
            AND events::text <> '[{\"type\":\"redacted\"}]'",
    ),
    invariant(
        "journal.snapshots_are_of_the_past",
        Always,
        "A snapshot is of a version that exists.",
        "SELECT s.kind, s.entity, s.version FROM snapshots AS s \
         LEFT JOIN events AS e ON e.kind = s.kind AND e.entity = s.entity AND e.version = s.version \
         WHERE e.version IS NULL",
    ),
    invariant(
        "idempotency.one_effect_per_key",
        Always,
        "One operation changed something at most once.",
        "SELECT operation, count(*) AS effects FROM events WHERE operation IS NOT NULL \
         GROUP BY operation HAVING count(*) > 1",
    ),
    invariant(
        "idempotency.record_of_each_effect",
        Always,
        "Whatever happened under a key has its record, unless the person was erased.",
        "SELECT e.kind, e.entity, e.version, e.operation FROM events AS e \
         LEFT JOIN operations AS o ON o.id = e.operation AND o.kind = e.kind AND o.entity = e.entity \
         WHERE e.operation IS NOT NULL AND o.id IS NULL \
            AND e.entity NOT IN (SELECT user_id FROM accounts WHERE state = 'erased')",
    ),
    invariant(
        "idempotency.record_has_its_entity",
        Always,
        "A record belongs to an entity to which something happened.",
        "SELECT o.id, o.kind, o.entity FROM operations AS o WHERE NOT EXISTS ( \
            SELECT FROM events AS e WHERE e.kind = o.kind AND e.entity = o.entity)",
    ),
    invariant(
        "outbox.is_drained",
        AtRest,
        "No message is overdue or was tried in vain.",
        "SELECT id, shard, kind, entity, due_at, attempts, faults, left(payload::text, 200) AS payload FROM outbox \
         WHERE due_at <= now() - interval '1 second' OR attempts > 0",
    ),
    invariant(
        "outbox.nothing_was_given_up",
        Always,
        "No message is a dead letter.",
        "SELECT id, shard, kind, entity, attempts, reason, died_at FROM dead_letters",
    ),
];
