//! Damages to coupons.

use super::{Damage, tables};

pub(super) const DAMAGES: &[Damage] = &[
    tables(
        "coupon.within_its_limit",
        "more uses than were promised",
        "ALTER TABLE coupons DROP CONSTRAINT coupons_limit; UPDATE coupons SET uses_max = 1, per_user = 1",
    ),
    tables(
        "coupon.within_its_limit",
        "a use that was redeemed and not counted",
        "UPDATE coupons SET redeemed = redeemed - 1 WHERE redeemed > 0",
    ),
    tables(
        "coupon.within_the_limit_of_each_buyer",
        "more uses of one buyer than one person may have",
        "UPDATE coupon_uses SET user_id = (SELECT min(user_id::text)::uuid FROM coupon_uses) WHERE state = 'redeemed'",
    ),
    tables(
        "coupon.one_of_each_issuer_in_an_order",
        "two coupons of the platform in one order",
        "UPDATE coupons SET creator = NULL",
    ),
    tables(
        "coupon.one_of_each_issuer_in_an_order",
        "a coupon beside another that serves alone",
        "UPDATE coupons SET terms = replace(terms::text, '\"stackable\":true', '\"stackable\":false')::json",
    ),
    tables(
        "coupon.use_is_redeemed_exactly_if_paid",
        "a use that was given back although its order was paid",
        "UPDATE coupon_uses SET state = 'released' WHERE state = 'redeemed'",
    ),
    tables(
        "coupon.use_is_redeemed_exactly_if_paid",
        "a use that was spent although its order was not paid",
        "UPDATE coupon_uses SET state = 'redeemed' WHERE state = 'released'",
    ),
    tables(
        "coupon.use_is_redeemed_exactly_if_paid",
        "a use of an order that is somebody else's",
        "UPDATE coupon_uses SET user_id = gen_random_uuid() WHERE state = 'redeemed'",
    ),
    tables(
        "coupon.use_is_redeemed_exactly_if_paid",
        "an order that paid more than its coupon promised",
        "UPDATE coupon_uses SET off = off + 100000 WHERE state = 'redeemed'",
    ),
    tables(
        "books.coupons_follow_the_journal",
        "a limit that nobody set",
        "UPDATE coupons SET uses_max = uses_max + 1",
    ),
    tables(
        "books.coupon_uses_follow_the_journal",
        "a use that is gone",
        "DELETE FROM coupon_uses WHERE state = 'released'",
    ),
    tables(
        "books.coupon_uses_follow_their_orders",
        "a use of an order that reserved none",
        "UPDATE events SET events = replace(events::text, '\"type\":\"coupon\"', '\"type\":\"voucher\"')::json \
         WHERE kind = 4 AND events::text LIKE '%\"type\":\"coupon\"%'",
    ),
    tables(
        "books.coupon_uses_follow_their_orders",
        "less taken off an order than its coupon promised, in its events",
        "UPDATE events SET events = regexp_replace(events::text, '\"off\":\\{\"amount\":', '\"off\":{\"amount\":90', 'g')::json \
         WHERE kind = 23 AND events::text LIKE '%\"type\":\"reserved\"%'",
    ),
    tables(
        "books.every_event_is_understood",
        "a use that was given back twice, in its events",
        "INSERT INTO events (kind, entity, version, shard, epoch, at, events) \
         SELECT e.kind, e.entity, max(e.version) + 1, e.shard, max(e.epoch), max(e.at), \
            (SELECT events FROM events WHERE kind = 23 AND entity = e.entity AND events::text LIKE '%\"released\"%' LIMIT 1)::text::json \
         FROM events AS e WHERE e.kind = 23 AND e.entity = (SELECT entity FROM events WHERE kind = 23 \
            AND events::text LIKE '%\"released\"%' LIMIT 1) GROUP BY e.kind, e.entity, e.shard",
    ),
];
