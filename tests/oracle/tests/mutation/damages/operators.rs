//! Damages to what operators did, and to the log of it. The log refuses them, so they switch its trigger off first.

use super::{Damage, tables};

/// Two rows as the server writes them.
macro_rules! logged {
    ($harm:literal) => {
        concat!(
            "SELECT audit(gen_random_uuid(), 'n1', 'drain', 'n2', 'its disk', '{}'); \
             SELECT audit(gen_random_uuid(), 'n1', 'move', '7', 'by hand', '{}'); \
             INSERT INTO shard_wishes (shard, to_node, reason) VALUES (7, 'n2', 'by hand'); \
             ALTER TABLE audit_log DISABLE TRIGGER USER; ",
            $harm
        )
    };
}

pub(super) const DAMAGES: &[Damage] = &[
    tables(
        "operators.audit_log_is_chained",
        "a deed that somebody else has done",
        logged!("UPDATE audit_log SET operator = gen_random_uuid() WHERE number = 1"),
    ),
    tables(
        "operators.audit_log_is_chained",
        "a deed that was never done",
        logged!("DELETE FROM audit_log WHERE number = 1"),
    ),
    tables(
        "operators.audit_log_is_chained",
        "a deed with a better reason and a hash that fits it",
        logged!(
            "UPDATE audit_log SET reason = 'its fire', hash = sha256(previous || convert_to('its fire', 'UTF8')) \
             WHERE number = 2"
        ),
    ),
    tables(
        "operators.adjustments_need_two",
        "an adjustment that its maker has approved",
        "ALTER TABLE adjustments DROP CONSTRAINT adjustments_two_operators; UPDATE adjustments SET checker = maker",
    ),
    tables(
        "operators.adjustments_are_on_record",
        "an adjustment with another reason than was given",
        "UPDATE adjustments SET reason = 'because' WHERE state = 'posted'",
    ),
    tables(
        "operators.adjustments_are_on_record",
        "an approval that nobody has given",
        "ALTER TABLE audit_log DISABLE TRIGGER USER; DELETE FROM audit_log WHERE action = 'approve_adjustment'",
    ),
    tables(
        "operators.interventions_are_on_record",
        "a saga that was retried and nobody knows by whom",
        "INSERT INTO events (kind, entity, version, shard, epoch, at, events) \
         SELECT kind, entity, version + 1, shard, epoch, at, '[{\"type\":\"intervened\",\"action\":\"retry\", \
            \"deed\":{\"operator\":\"usr_00000000000000000000000001\",\"reason\":\"nobody knows\",\"node\":\"n1\"}}]' \
         FROM events WHERE kind = 4 ORDER BY version DESC LIMIT 1",
    ),
    tables(
        "operators.reconciliations_are_on_record",
        "a saga that somebody declares settled without saying so in the log",
        "INSERT INTO saga_reconciliations SELECT order_id, 'checkout', 'closing', user_id, 'all is well', now() FROM orders LIMIT 1 \
         ON CONFLICT (saga_id) DO UPDATE SET note = excluded.note",
    ),
    tables(
        "books.adjustments_follow_the_journal",
        "an adjustment that is called posted although it was rejected",
        "UPDATE adjustments SET state = 'posted' WHERE state = 'rejected'",
    ),
    tables(
        "books.adjustments_follow_the_journal",
        "an adjustment that is gone",
        "DELETE FROM adjustments WHERE state = 'rejected'",
    ),
    tables(
        "operators.shards_are_moved_on_record",
        "a shard that somebody wants elsewhere and does not say why",
        logged!("INSERT INTO shard_wishes (shard, to_node, reason) VALUES (8, 'n2', 'by night')"),
    ),
];
