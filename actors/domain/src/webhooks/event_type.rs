//! What somebody can hear of.

use serde::{Deserialize, Serialize};

/// A type of event; its name is sent to receivers and never changes.
///
/// A buyer hears of `order.*`: all of their own orders. A creator hears of `sale.*`: what was bought or given back of their
/// own courses, and nothing about who bought it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EventType {
    /// An order was paid and its access granted.
    #[serde(rename = "order.fulfilled")]
    OrderFulfilled,
    /// An order ended unpaid: its buyer cancelled it, or the payment was declined.
    #[serde(rename = "order.cancelled")]
    OrderCancelled,
    /// An order ended unpaid, because nobody paid in time.
    #[serde(rename = "order.expired")]
    OrderExpired,
    /// Money of an order is back with its buyer.
    #[serde(rename = "order.refunded")]
    OrderRefunded,
    /// Courses of a creator were sold.
    #[serde(rename = "sale.completed")]
    SaleCompleted,
    /// A sale was given back.
    #[serde(rename = "sale.refunded")]
    SaleRefunded,
}

impl EventType {
    /// Every type, with its name.
    pub const ALL: [(EventType, &str); 6] = [
        (EventType::OrderFulfilled, "order.fulfilled"),
        (EventType::OrderCancelled, "order.cancelled"),
        (EventType::OrderExpired, "order.expired"),
        (EventType::OrderRefunded, "order.refunded"),
        (EventType::SaleCompleted, "sale.completed"),
        (EventType::SaleRefunded, "sale.refunded"),
    ];

    /// The name that receivers see.
    pub fn name(self) -> &'static str {
        EventType::ALL
            .iter()
            .find(|(event_type, _)| *event_type == self)
            .map_or("", |(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_stored_under_the_name_that_receivers_see() {
        for (event_type, name) in EventType::ALL {
            assert_eq!(event_type.name(), name);
            assert_eq!(serde_json::to_value(event_type).unwrap(), serde_json::json!(name));
        }
    }
}
