//! Membership plans: an [`Offering`](super::Offerings) that is read by whoever joins.

use lyceum_domain::commerce::coupon::Issuer;
use lyceum_domain::commerce::plan::PlanOffer;
use lyceum_domain::ids::{PlanId, UserId};
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Column, Effects, Kind, Table, Value, row};
use serde_json::json;

use super::offerings::{OfferAnswer, Offered, Offerings};

/// Binds plans to the runtime.
pub type Plans = Offerings<PlanOffer>;
/// What a plan answers.
pub type PlanAnswer = OfferAnswer<PlanOffer>;

static PLANS: Table = Table {
    name: "membership_plans",
    statement: "INSERT INTO membership_plans (plan_id, creator, offered_by, offer, price, every, state, updated_at) \
                SELECT plan_id, creator, offered_by, offer, price, every, state, to_timestamp(updated_ms / 1000.0) \
                FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::json[], $5::bigint[], $6::text[], $7::text[], $8::bigint[]) \
                AS p(plan_id, creator, offered_by, offer, price, every, state, updated_ms) \
                ON CONFLICT (plan_id) DO UPDATE SET state = excluded.state, updated_at = excluded.updated_at",
    columns: &[
        Column::Uuid,
        Column::Uuid,
        Column::Uuid,
        Column::Json,
        Column::Int,
        Column::Text,
        Column::Text,
        Column::Time,
    ],
    key: 1,
};

impl Offered for PlanOffer {
    type Id = PlanId;

    const KIND: Kind = Kind {
        name: "membership_plan",
        number: 25,
    };
    const WITHDRAWAL: &'static str = "withdraw_plan";

    fn creator(&self) -> Option<UserId> {
        match self.issuer {
            Issuer::Creator(creator) => Some(creator),
            Issuer::Platform => None,
        }
    }

    fn details(&self) -> serde_json::Value {
        json!({"creator": self.creator(), "title": &*self.title})
    }

    fn row(&self, id: PlanId, state: &'static str, now: Timestamp, effects: &mut Effects) {
        effects.row(
            &PLANS,
            row![
                id,
                self.creator(),
                self.by,
                Value::json(self),
                self.price,
                self.every.name(),
                state,
                now,
            ],
        );
    }
}
