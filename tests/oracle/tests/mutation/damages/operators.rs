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
        "operators.shards_are_moved_on_record",
        "a shard that somebody wants elsewhere and does not say why",
        logged!("INSERT INTO shard_wishes (shard, to_node, reason) VALUES (8, 'n2', 'by night')"),
    ),
];
