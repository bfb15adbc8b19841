//! What becomes of endpoints, whatever their owner and their receivers do.

use std::collections::BTreeSet;
use std::time::Duration;

use lyceum_kernel::{Aggregate, Timestamp};

use super::*;
use crate::ids::WebhookEndpointId;

const ID: WebhookEndpointId = WebhookEndpointId::from_u128(1);
const OTHER: WebhookEndpointId = WebhookEndpointId::from_u128(2);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn create(endpoint_id: WebhookEndpointId) -> Command {
    Command::Create {
        endpoint_id,
        url: "https://example.com/hook".into(),
        events: BTreeSet::from([EventType::OrderFulfilled]),
        endpoints_max: 2,
    }
}

fn change(enabled: Option<bool>) -> Command {
    Command::Change {
        endpoint_id: ID,
        url: None,
        events: None,
        enabled,
    }
}

fn disable(attempted_since: i64) -> Command {
    Command::Disable {
        endpoint_id: ID,
        reason: DisableReason::Failing,
        attempted_since: at(attempted_since),
    }
}

fn act(subscriber: &mut Subscriber, seconds: i64, command: Command) -> Result<usize, Error> {
    let events = subscriber.decide(command, at(seconds))?;
    for event in &events {
        subscriber.apply(event);
    }
    Ok(events.len())
}

fn one() -> Subscriber {
    let mut subscriber = Subscriber::default();
    act(&mut subscriber, 10, create(ID)).unwrap();
    subscriber
}

#[test]
fn nobody_has_more_endpoints_than_the_limit_and_repeating_adds_none() {
    let mut subscriber = one();

    assert_eq!(act(&mut subscriber, 11, create(ID)), Ok(0));
    assert_eq!(act(&mut subscriber, 11, create(OTHER)), Ok(1));
    assert_eq!(
        act(&mut subscriber, 11, create(WebhookEndpointId::from_u128(3))),
        Err(Error::TooManyEndpoints { max: 2 })
    );
    assert_eq!(
        act(&mut subscriber, 12, Command::Delete { endpoint_id: ID }),
        Ok(1)
    );
    assert_eq!(
        act(&mut subscriber, 13, create(WebhookEndpointId::from_u128(3))),
        Ok(1)
    );
    assert_eq!(subscriber.endpoints().count(), 2);
}

#[test]
fn what_can_be_neither_called_nor_told_anything_is_refused() {
    let mut subscriber = Subscriber::default();
    let (mut nowhere, mut far, mut deaf) = (create(ID), create(ID), create(ID));
    if let Command::Create { url, .. } = &mut nowhere {
        url.clear();
    }
    if let Command::Create { url, .. } = &mut far {
        url.push_str(&"x".repeat(URL_CHARS_MAX));
    }
    if let Command::Create { events, .. } = &mut deaf {
        events.clear();
    }

    assert_eq!(act(&mut subscriber, 1, nowhere), Err(Error::UrlRefused));
    assert_eq!(act(&mut subscriber, 1, far), Err(Error::UrlRefused));
    assert_eq!(act(&mut subscriber, 1, deaf), Err(Error::EventsEmpty));
    assert_eq!(subscriber, Subscriber::default());
}

#[test]
fn what_failed_disables_unless_the_owner_was_there_after_it_began() {
    let mut subscriber = one();

    // It began before the endpoint did: somebody else's delivery cannot be, an older life of it can.
    assert_eq!(act(&mut subscriber, 20, disable(9)), Ok(0));
    assert_eq!(act(&mut subscriber, 20, disable(15)), Ok(1));
    assert!(!subscriber.endpoint(ID).unwrap().is_enabled());
    assert_eq!(act(&mut subscriber, 21, disable(15)), Ok(0), "once");
    assert_eq!(act(&mut subscriber, 22, change(Some(true))), Ok(1));
    assert_eq!(act(&mut subscriber, 23, disable(15)), Ok(0), "mended since");
    assert!(subscriber.endpoint(ID).unwrap().is_enabled());
    // Another address is another receiver.
    let moved = Command::Change {
        endpoint_id: ID,
        url: Some("https://example.com/other".into()),
        events: None,
        enabled: None,
    };
    assert_eq!(act(&mut subscriber, 30, moved), Ok(1));
    assert_eq!(act(&mut subscriber, 31, disable(25)), Ok(0));
}

#[test]
fn a_change_that_changes_nothing_is_nothing() {
    let mut subscriber = one();

    assert_eq!(act(&mut subscriber, 11, change(None)), Ok(0));
    assert_eq!(act(&mut subscriber, 11, change(Some(true))), Ok(0));
    assert_eq!(act(&mut subscriber, 12, change(Some(false))), Ok(1));
    assert_eq!(act(&mut subscriber, 13, change(Some(false))), Ok(0));
    let state = subscriber.endpoint(ID).unwrap().state;
    assert_eq!(
        state,
        EndpointState::Disabled {
            reason: DisableReason::Owner,
            since: at(12)
        }
    );
}

#[test]
fn a_rotated_secret_leaves_its_predecessor_good_for_a_while() {
    let mut subscriber = one();
    let rotate = Command::RotateSecret {
        endpoint_id: ID,
        overlap: Duration::from_hours(24),
    };

    act(&mut subscriber, 100, rotate).unwrap();

    let endpoint = subscriber.endpoint(ID).unwrap();
    assert_eq!(
        (endpoint.secret_version, endpoint.previous_until),
        (2, Some(at(100 + 86_400)))
    );
}

#[test]
fn nothing_can_be_done_to_an_endpoint_that_is_not_there() {
    let rotate = Command::RotateSecret {
        endpoint_id: ID,
        overlap: Duration::ZERO,
    };
    for command in [
        change(None),
        rotate,
        disable(1),
        Command::Delete { endpoint_id: ID },
    ] {
        let mut subscriber = Subscriber::default();

        assert_eq!(
            act(&mut subscriber, 1, command.clone()),
            Err(Error::EndpointNotFound),
            "{command:?}"
        );
    }
}

#[test]
fn an_erased_account_has_no_endpoint_and_gets_none() {
    let mut subscriber = one();
    act(&mut subscriber, 11, create(OTHER)).unwrap();

    assert_eq!(act(&mut subscriber, 20, Command::Erase), Ok(3));

    assert_eq!(subscriber.endpoints().count(), 0);
    assert_eq!(act(&mut subscriber, 21, Command::Erase), Ok(0), "once");
    assert_eq!(act(&mut subscriber, 21, create(ID)), Err(Error::AccountErased));
    // What was said before is redacted, and read again nevertheless.
    let mut reloaded = Subscriber::default();
    reloaded.apply(&Event::Redacted);
    reloaded.apply(&Event::EndpointDeleted { endpoint_id: ID });
    reloaded.apply(&Event::Erased);
    assert_eq!(reloaded, subscriber);
    let state = serde_json::to_string(&subscriber).unwrap();
    assert_eq!(serde_json::from_str::<Subscriber>(&state).unwrap(), subscriber);
}

#[test]
fn events_are_read_back_as_they_were_written() {
    let mut subscriber = one();
    let command = change(Some(false));
    let events = subscriber.decide(command, at(12)).unwrap();
    let text = serde_json::to_string(&events).unwrap();

    assert_eq!(serde_json::from_str::<Vec<Event>>(&text).unwrap(), events);
    assert_eq!(
        text,
        r#"[{"type":"endpoint_changed","endpoint_id":"whe_00000000000000000000000001","url":"https://example.com/hook","events":["order.fulfilled"],"state":"disabled","reason":"owner","since":"1970-01-01T00:00:12.000Z"}]"#
    );
    events.iter().for_each(|event| subscriber.apply(event));
    let state = serde_json::to_string(&subscriber).unwrap();
    assert_eq!(serde_json::from_str::<Subscriber>(&state).unwrap(), subscriber);
}
