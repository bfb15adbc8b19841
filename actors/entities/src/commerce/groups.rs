//! Group prices: an [`Offering`](super::Offerings) that is read by whoever opens a team.

use lyceum_domain::commerce::group::GroupOffer;
use lyceum_domain::ids::{GroupId, UserId};
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Column, Effects, Kind, Table, row};
use serde_json::json;

use super::offerings::{OfferAnswer, Offered, Offerings};

/// Binds group prices to the runtime.
pub type Groups = Offerings<GroupOffer>;
/// What a group price answers.
pub type GroupAnswer = OfferAnswer<GroupOffer>;

static GROUP_OFFERS: Table = Table {
    name: "group_offers",
    statement: "INSERT INTO group_offers (group_id, course_id, creator, price, size, lasts_s, state, updated_at) \
                SELECT group_id, course_id, creator, price, size, lasts_s, state, to_timestamp(updated_ms / 1000.0) \
                FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::bigint[]) \
                AS g(group_id, course_id, creator, price, size, lasts_s, state, updated_ms) \
                ON CONFLICT (group_id) DO UPDATE SET state = excluded.state, updated_at = excluded.updated_at",
    columns: &[
        Column::Uuid,
        Column::Uuid,
        Column::Uuid,
        Column::Int,
        Column::Int,
        Column::Int,
        Column::Text,
        Column::Time,
    ],
    key: 1,
};

impl Offered for GroupOffer {
    type Id = GroupId;

    const KIND: Kind = Kind {
        name: "group_offer",
        number: 27,
    };
    const WITHDRAWAL: &'static str = "withdraw_group_offer";

    fn creator(&self) -> Option<UserId> {
        Some(self.creator)
    }

    fn details(&self) -> serde_json::Value {
        json!({"creator": self.creator, "course": self.course_id})
    }

    fn row(&self, id: GroupId, state: &'static str, now: Timestamp, effects: &mut Effects) {
        effects.row(
            &GROUP_OFFERS,
            row![
                id,
                self.course_id,
                self.creator,
                self.price,
                self.size,
                self.lasts_s,
                state,
                now,
            ],
        );
    }
}
