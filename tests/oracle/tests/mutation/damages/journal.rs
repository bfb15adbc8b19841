//! Damages to the journal, the idempotency records, the outbox and the inbox.

use super::{Damage, Harm, tables};

/// Somebody with several events, of which one is in the middle.
macro_rules! buyer {
    () => {
        "(SELECT entity FROM events WHERE kind = 4 GROUP BY entity HAVING count(*) > 4 ORDER BY entity LIMIT 1)"
    };
}

pub(super) const DAMAGES: &[Damage] = &[
    tables(
        "journal.versions_have_no_gaps",
        "a deleted event",
        concat!(
            "DELETE FROM events WHERE kind = 4 AND version = 2 AND entity = ",
            buyer!()
        ),
    ),
    tables(
        "journal.versions_have_no_gaps",
        "a gap in the versions",
        concat!(
            "UPDATE events SET version = version + 1 WHERE kind = 4 AND entity = ",
            buyer!(),
            " AND version = (SELECT max(version) FROM events WHERE kind = 4 AND entity = ",
            buyer!(),
            ")"
        ),
    ),
    tables(
        "books.refunds_follow_the_journal",
        "the newest event of a buyer deleted, which leaves no gap",
        "DELETE FROM events WHERE kind = 4 AND events::text LIKE '%refund_moved%succeeded%'",
    ),
    tables(
        "journal.versions_follow_in_time",
        "an event of before the one that it follows",
        concat!(
            "UPDATE events SET at = at - interval '1 hour' WHERE kind = 4 AND version = 3 AND entity = ",
            buyer!()
        ),
    ),
    tables(
        "journal.versions_follow_in_time",
        "an epoch that went back",
        concat!(
            "UPDATE events SET epoch = epoch - 1 WHERE kind = 4 AND version = 3 AND entity = ",
            buyer!()
        ),
    ),
    tables(
        "journal.one_writer_per_shard",
        "a write under an epoch that never was",
        "UPDATE events SET epoch = epoch + 1 WHERE kind = 1",
    ),
    tables(
        "journal.one_writer_per_shard",
        "a write of a former owner after its successor's",
        "UPDATE shard_owner SET epoch = epoch + 1; \
         UPDATE events AS e SET epoch = epoch + 1 WHERE kind = 4 AND txid <> ( \
            SELECT max(txid::text::bigint)::text::xid8 FROM events AS last WHERE last.shard = e.shard)",
    ),
    tables(
        "journal.entity_has_one_shard",
        "an entity in two shards",
        concat!(
            "UPDATE events SET shard = (shard + 1) % 256 WHERE kind = 4 AND version = 2 AND entity = ",
            buyer!()
        ),
    ),
    tables(
        "journal.events_are_never_rewritten",
        "an edited event",
        "UPDATE events SET events = replace(events::text, 'not for me', 'for nobody')::json \
         WHERE events::text LIKE '%not for me%'",
    ),
    tables(
        "books.every_event_is_understood",
        "an order whose lines do not add up to its total",
        "UPDATE events SET events = regexp_replace(events::text, '\"total\":{\"amount\":', '\"total\":{\"amount\":1')::json \
         WHERE kind = 4 AND events::text LIKE '%purchased%'",
    ),
    tables(
        "journal.snapshots_are_of_the_past",
        "a snapshot of the future",
        "UPDATE snapshots SET version = version + 1000 WHERE kind = 4",
    ),
    tables(
        "idempotency.one_effect_per_key",
        "one operation that happened twice",
        "UPDATE events SET operation = (SELECT operation FROM events WHERE operation IS NOT NULL AND kind = 4 LIMIT 1) \
         WHERE kind = 4 AND operation IS NOT NULL",
    ),
    tables(
        "idempotency.record_of_each_effect",
        "a deleted idempotency record",
        "DELETE FROM operations WHERE id = (SELECT operation FROM events WHERE operation IS NOT NULL AND kind = 4 LIMIT 1)",
    ),
    tables(
        "idempotency.record_has_its_entity",
        "an idempotency record of nobody",
        "UPDATE operations SET entity = gen_random_uuid() WHERE kind = 4",
    ),
    tables(
        "books.recorded_answer_is_what_happened",
        "a recorded answer that tells another price",
        "UPDATE operations SET answer = replace(answer::text, ':1990,', ':1991,')::json WHERE kind = 4",
    ),
    tables(
        "books.recorded_answer_is_what_happened",
        "the answers of two operations confused",
        "UPDATE operations SET answer = (SELECT answer FROM operations WHERE kind = 4 \
            AND answer->'order' IS NOT NULL ORDER BY id LIMIT 1) WHERE kind = 4",
    ),
    tables(
        "outbox.is_drained",
        "a message that is stuck",
        "UPDATE outbox SET due_at = now() - interval '1 hour', attempts = 9",
    ),
    tables(
        "outbox.nothing_was_given_up",
        "a dead letter",
        "INSERT INTO dead_letters (id, shard, kind, entity, attempts, payload, reason) \
         SELECT id, shard, kind, entity, 3, payload, 'gave up' FROM outbox LIMIT 1",
    ),
    tables(
        "provider.every_callback_is_worked_through",
        "a callback that nobody worked through",
        "UPDATE provider_events SET processed_at = NULL",
    ),
    Damage {
        what: "a message that stays under way",
        breaks: "rest.is_reached",
        harm: Harm::Unrest("UPDATE outbox SET due_at = now() - interval '1 hour'"),
    },
];
