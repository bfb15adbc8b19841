//! What each event of a subscriber means: where somebody wants to hear of what.

use std::collections::HashMap;

use serde_json::Value;
use uuid::Uuid;

use super::account::Account;
use super::{Books, id, texts_of};

/// What the table of endpoints says about each.
pub(super) const SQL: &str = "SELECT endpoint_id::text, format('user %s url %s hears %s is %s by %s secret %s', user_id, url, events, \
    state, coalesce(reason, '-'), secret_version) FROM webhook_endpoints";

/// One endpoint as its events tell it.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    user: Uuid,
    url: String,
    events: Vec<String>,
    state: &'static str,
    reason: Option<String>,
    secret: i64,
}

impl Endpoint {
    fn deleted(user: Uuid) -> Self {
        Endpoint {
            user,
            url: String::new(),
            events: vec![],
            state: "deleted",
            reason: None,
            secret: 1,
        }
    }
}

pub(super) fn apply(books: &mut Books, user: Uuid, event_type: &str, event: &Value) -> Option<()> {
    let erased = books.accounts.get(&user).is_some_and(Account::is_erased);
    if matches!(event_type, "redacted" | "erased") {
        return erased.then_some(());
    }
    let endpoint_id = id("whe", &event["endpoint_id"])?;
    // What created it is redacted.
    if event_type == "endpoint_deleted" && erased {
        books.endpoints.insert(endpoint_id, Endpoint::deleted(user));
        return Some(());
    }
    if event_type == "endpoint_created" {
        let endpoint = Endpoint {
            user,
            url: event["url"].as_str()?.to_owned(),
            events: texts_of(&event["events"])?,
            state: "enabled",
            reason: None,
            secret: 1,
        };
        let before = books.endpoints.insert(endpoint_id, endpoint);
        return before.is_none().then_some(());
    }
    let endpoint = books.endpoints.get_mut(&endpoint_id)?;
    // Nobody else's, and nothing happens to what is gone.
    if endpoint.user != user || endpoint.state == "deleted" {
        return None;
    }
    match event_type {
        "endpoint_changed" => {
            endpoint.url = event["url"].as_str()?.to_owned();
            endpoint.events = texts_of(&event["events"])?;
            endpoint.state = match event["state"].as_str()? {
                "enabled" => "enabled",
                "disabled" => "disabled",
                _ => return None,
            };
            endpoint.reason = event["reason"].as_str().map(ToOwned::to_owned);
        }
        "secret_rotated" => endpoint.secret += 1,
        "endpoint_disabled" => {
            endpoint.state = "disabled";
            endpoint.reason = Some(event["reason"].as_str()?.to_owned());
        }
        "endpoint_deleted" => {
            *endpoint = Endpoint::deleted(user);
        }
        _ => return None,
    }
    Some(())
}

/// What the table must say.
pub(super) fn rows(books: &Books) -> HashMap<String, String> {
    let row = |(id, endpoint): (&Uuid, &Endpoint)| {
        let text = format!(
            "user {} url {} hears {{{}}} is {} by {} secret {}",
            endpoint.user,
            endpoint.url,
            endpoint.events.join(","),
            endpoint.state,
            endpoint.reason.as_deref().unwrap_or("-"),
            endpoint.secret,
        );
        (id.to_string(), text)
    };
    books.endpoints.iter().map(row).collect()
}
