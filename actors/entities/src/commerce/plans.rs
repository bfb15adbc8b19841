//! [`Plan`] bound to the runtime: an offer, read by whoever joins.

use lyceum_domain::commerce::coupon::Issuer;
use lyceum_domain::commerce::plan::{Event, PlanOffer};
use lyceum_domain::commerce::{Error, Plan};
use lyceum_domain::ids::PlanId;
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Column, Durability, Effects, Entity, Kind, Table, Value, row};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::operators::audit;

/// Binds [`Plan`] to the runtime.
pub struct Plans {
    snapshot_every: u32,
}

impl Plans {
    /// Plans whose recovery reads at most `snapshot_every` decisions.
    pub fn new(snapshot_every: u32) -> Self {
        Plans { snapshot_every }
    }
}

/// What can be asked about a plan.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanQuestion {
    /// What it is, offered or not.
    View,
    /// What it offers to whoever wants to join; refused once it is withdrawn.
    Offer,
}

/// What a plan answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlanAnswer {
    /// What it offers.
    pub offer: PlanOffer,
    /// `offered` or `withdrawn`.
    pub state: String,
}

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

impl Entity for Plans {
    type State = Plan;
    type Key = PlanId;
    type Question = PlanQuestion;
    type Answer = PlanAnswer;

    const KIND: Kind = Kind {
        name: "membership_plan",
        number: 25,
    };

    fn durability(&self) -> Durability {
        Durability::Journaled {
            snapshot_every: self.snapshot_every,
        }
    }

    fn answer(&self, state: &Plan, question: PlanQuestion, _: Timestamp) -> Result<PlanAnswer, Error> {
        let offer = match question {
            PlanQuestion::View => state.offer()?,
            PlanQuestion::Offer => state.for_sale()?,
        };
        Ok(PlanAnswer {
            offer: offer.clone(),
            state: state.name().to_owned(),
        })
    }

    fn effects(&self, key: PlanId, state: &Plan, events: &[Event], now: Timestamp, effects: &mut Effects) {
        let Ok(offer) = state.offer() else { return };
        if events.is_empty() {
            return;
        }
        let creator = match offer.issuer {
            Issuer::Creator(creator) => Some(creator),
            Issuer::Platform => None,
        };
        for event in events {
            if let Event::Withdrawn { deed: Some(deed), .. } = event {
                let details = json!({"creator": creator, "title": &*offer.title});
                audit::record(deed, "withdraw_plan", key.to_string(), &details, effects);
            }
        }
        effects.row(
            &PLANS,
            row![
                key,
                creator,
                offer.by,
                Value::json(offer),
                offer.price,
                offer.every.name(),
                state.name(),
                now,
            ],
        );
    }
}
