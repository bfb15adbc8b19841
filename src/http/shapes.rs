//! Shapes of values that are at home below the edge, where nothing knows of OpenAPI.
//!
//! Bodies refer to them by `#[schema(value_type = …)]`; nobody makes one.

use serde::Deserialize;
use utoipa::ToSchema;

/// A type of event that webhooks tell of.
#[derive(Deserialize, ToSchema)]
pub(super) enum WebhookEventType {
    /// An order of one's own was paid and its access granted.
    #[serde(rename = "order.fulfilled")]
    OrderFulfilled,
    /// An order of one's own ended unpaid: cancelled, or declined.
    #[serde(rename = "order.cancelled")]
    OrderCancelled,
    /// An order of one's own ended unpaid, because nobody paid in time.
    #[serde(rename = "order.expired")]
    OrderExpired,
    /// Money of an order of one's own is back.
    #[serde(rename = "order.refunded")]
    OrderRefunded,
    /// Courses of one's own were sold.
    #[serde(rename = "sale.completed")]
    SaleCompleted,
    /// A sale of one's own courses was given back.
    #[serde(rename = "sale.refunded")]
    SaleRefunded,
}

/// Money in minor units of its currency.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"amount": 19900, "currency": "CNY"}))]
#[expect(dead_code, reason = "describes a value of another package")]
pub(super) struct Money {
    /// Minor units.
    #[schema(minimum = 0, maximum = 100_000_000_000_i64)]
    amount: i64,
    /// ISO 4217 code of a currency that there are wallets in.
    #[schema(pattern = "^(CNY|USD|EUR)$")]
    currency: String,
}

/// The id of a course.
#[derive(Deserialize, ToSchema)]
#[schema(value_type = String, pattern = "^crs_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
#[expect(dead_code, reason = "describes a value of another package")]
pub(super) struct CourseId(String);

/// A file to print.
#[derive(Deserialize, ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "describes bytes")]
pub(super) struct Pdf(String);

/// One thing of a cart: a course or a bundle.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[expect(
    dead_code,
    reason = "describes what is read as one struct, for the sake of better refusals"
)]
pub(super) enum CartItem {
    Course(CartCourse),
    Bundle(CartBundle),
}

/// A course.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "a part of the description above")]
pub(super) struct CartCourse {
    #[schema(example = "crs_01h455vb4pex5vsknk084sn02q")]
    course_id: String,
}

/// A bundle: those of its courses that the buyer does not own, each at its part of the bundle's price.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "a part of the description above")]
pub(super) struct CartBundle {
    bundle_id: String,
}

/// One thing of an order: a course or a bundle.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[expect(
    dead_code,
    reason = "describes what is read as one struct, for the sake of better refusals"
)]
pub(super) enum OrderItem {
    Course(OrderCourse),
    Bundle(CartBundle),
}

/// A course, with at most one of `sale_id`, `group_offer_id` and `team_id`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "a part of the description above")]
pub(super) struct OrderCourse {
    #[schema(example = "crs_01h455vb4pex5vsknk084sn02q")]
    course_id: String,
    /// The flash sale of this course that it is bought in, at the price of the sale.
    sale_id: Option<String>,
    /// The group price of this course at which it is bought by opening a team; then the order has nothing else in it.
    group_offer_id: Option<String>,
    /// The team that buys this course, to join it; then the order has nothing else in it.
    team_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use lyceum_domain::webhooks::EventType;
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_types_of_events_are_described_as_the_domain_names_them() {
        let schema = serde_json::to_value(WebhookEventType::schema()).unwrap();

        let described: BTreeSet<_> = schema["enum"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect();
        let named: BTreeSet<_> = EventType::ALL.map(|(_, name)| name.to_owned()).into();
        assert_eq!(described, named);
    }
}
