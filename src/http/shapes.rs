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
