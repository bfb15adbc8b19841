//! Damages to bundles and redeem codes.

use super::{Damage, tables};

pub(super) const DAMAGES: &[Damage] = &[
    tables(
        "books.bundles_follow_the_journal",
        "a bundle that has become cheaper",
        "UPDATE bundles SET price = price - 1",
    ),
    tables(
        "books.code_batches_follow_the_journal",
        "a batch for another course",
        "UPDATE code_batches SET course_id = gen_random_uuid()",
    ),
    tables(
        "books.redeem_codes_follow_the_journal",
        "a code that somebody else has redeemed",
        "UPDATE redeem_codes SET user_id = gen_random_uuid() WHERE user_id IS NOT NULL",
    ),
    tables(
        "code.redeemed_within_its_batch",
        "a code that was never issued",
        "INSERT INTO redeem_codes (code_id, batch_id, number) SELECT gen_random_uuid(), batch_id, 7 FROM code_batches",
    ),
    tables(
        "code.grants_exactly_when_redeemed",
        "access by a code that nobody has redeemed",
        "UPDATE redeem_codes SET user_id = NULL, redeemed_at = NULL WHERE user_id IS NOT NULL",
    ),
    tables(
        "code.of_a_gift_is_for_somebody_else",
        "a gift that its giver may study",
        "INSERT INTO grants (source_id, course_id, source, user_id, course_version, price, granted_at) \
         SELECT order_id, gen_random_uuid(), 'order', giver, 1, 0, now() FROM redeem_codes WHERE order_id IS NOT NULL LIMIT 1",
    ),
    tables(
        "books.every_event_is_understood",
        "a gift that was redeemed twice, in its events",
        "INSERT INTO events (kind, entity, version, shard, epoch, at, events) \
         SELECT e.kind, e.entity, max(e.version) + 1, e.shard, max(e.epoch), max(e.at), \
            (SELECT events FROM events WHERE kind = 4 AND entity = e.entity AND events::text LIKE '%gift_redeemed%' LIMIT 1)::text::json \
         FROM events AS e WHERE e.kind = 4 AND e.entity = (SELECT entity FROM events WHERE events::text LIKE '%gift_redeemed%' LIMIT 1) \
         GROUP BY e.kind, e.entity, e.shard",
    ),
];
