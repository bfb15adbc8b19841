//! [`Bundle`] bound to the runtime: an offer, read by every order of it.

use lyceum_domain::commerce::bundle::{Event, Offer};
use lyceum_domain::commerce::{Bundle, Error};
use lyceum_domain::ids::BundleId;
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Column, Durability, Effects, Entity, Kind, Table, Value, row};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::operators::audit;

/// Binds [`Bundle`] to the runtime.
pub struct Bundles {
    snapshot_every: u32,
}

impl Bundles {
    /// Bundles whose recovery reads at most `snapshot_every` decisions.
    pub fn new(snapshot_every: u32) -> Self {
        Bundles { snapshot_every }
    }
}

/// What can be asked about a bundle.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BundleQuestion {
    /// What it is, offered or not.
    View,
    /// What it offers to a buyer; refused once it is withdrawn.
    Offer,
}

/// What a bundle answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BundleAnswer {
    /// What it offers.
    pub offer: Offer,
    /// `offered` or `withdrawn`.
    pub state: String,
}

static BUNDLES: Table = Table {
    name: "bundles",
    statement: "INSERT INTO bundles (bundle_id, creator, title, course_ids, price, currency, state, updated_at) \
                SELECT bundle_id, creator, title, ARRAY(SELECT json_array_elements_text(course_ids)::uuid), price, currency, state, \
                to_timestamp(updated_ms / 1000.0) \
                FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::json[], $5::bigint[], $6::text[], $7::text[], $8::bigint[]) \
                AS b(bundle_id, creator, title, course_ids, price, currency, state, updated_ms) \
                ON CONFLICT (bundle_id) DO UPDATE SET state = excluded.state, updated_at = excluded.updated_at",
    columns: &[
        Column::Uuid,
        Column::Uuid,
        Column::Text,
        Column::Json,
        Column::Int,
        Column::Text,
        Column::Text,
        Column::Time,
    ],
    key: 1,
};

impl Entity for Bundles {
    type State = Bundle;
    type Key = BundleId;
    type Question = BundleQuestion;
    type Answer = BundleAnswer;

    const KIND: Kind = Kind {
        name: "bundle",
        number: 21,
    };

    fn durability(&self) -> Durability {
        Durability::Journaled {
            snapshot_every: self.snapshot_every,
        }
    }

    fn answer(&self, state: &Bundle, question: BundleQuestion, _: Timestamp) -> Result<BundleAnswer, Error> {
        let offer = match question {
            BundleQuestion::View => state.offer()?,
            BundleQuestion::Offer => state.for_sale()?,
        };
        Ok(BundleAnswer {
            offer: offer.clone(),
            state: state.name().to_owned(),
        })
    }

    fn effects(
        &self,
        key: BundleId,
        state: &Bundle,
        events: &[Event],
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let Ok(offer) = state.offer() else { return };
        if events.is_empty() {
            return;
        }
        for event in events {
            if let Event::Withdrawn { deed: Some(deed), .. } = event {
                let details = json!({"creator": offer.creator, "title": &*offer.title});
                audit::record(deed, "withdraw_bundle", key.to_string(), &details, effects);
            }
        }
        let courses: Vec<String> = offer
            .course_ids
            .iter()
            .map(|course| Uuid::from_u128(course.as_u128()).to_string())
            .collect();
        effects.row(
            &BUNDLES,
            row![
                key,
                offer.creator,
                offer.title.to_string(),
                Value::json(&courses),
                offer.price,
                offer.price.currency().code(),
                state.name(),
                now,
            ],
        );
    }
}
