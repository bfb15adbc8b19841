//! Bundles: an [`Offering`](super::Offerings) that is read by every order of it.

use lyceum_domain::commerce::bundle::Offer;
use lyceum_domain::ids::{BundleId, UserId};
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Column, Effects, Kind, Table, Value, row};
use serde_json::json;
use uuid::Uuid;

use super::offerings::{OfferAnswer, Offered, Offerings};

/// Binds bundles to the runtime.
pub type Bundles = Offerings<Offer>;
/// What a bundle answers.
pub type BundleAnswer = OfferAnswer<Offer>;

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

impl Offered for Offer {
    type Id = BundleId;

    const KIND: Kind = Kind {
        name: "bundle",
        number: 21,
    };
    const WITHDRAWAL: &'static str = "withdraw_bundle";

    fn creator(&self) -> Option<UserId> {
        Some(self.creator)
    }

    fn details(&self) -> serde_json::Value {
        json!({"creator": self.creator, "title": &*self.title})
    }

    fn row(&self, id: BundleId, state: &'static str, now: Timestamp, effects: &mut Effects) {
        let courses: Vec<String> = self
            .course_ids
            .iter()
            .map(|course| Uuid::from_u128(course.as_u128()).to_string())
            .collect();
        effects.row(
            &BUNDLES,
            row![
                id,
                self.creator,
                self.title.to_string(),
                Value::json(&courses),
                self.price,
                self.price.currency().code(),
                state,
                now,
            ],
        );
    }
}
