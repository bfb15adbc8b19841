//! Refusals cross from one node to another as JSON and must say there exactly what they say here.

use std::fmt::Debug;

use lyceum_domain::{accounts, catalog, commerce, recommend, webhooks};
use lyceum_kernel::Coded;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn crosses<E: Coded + Serialize + DeserializeOwned + PartialEq + Debug>(refusal: &E) {
    let text = serde_json::to_string(refusal).expect("writable");

    let read: E = serde_json::from_str(&text).expect("readable");

    assert_eq!(&read, refusal);
    assert_eq!(read.to_string(), refusal.to_string());
    assert_eq!(read.code(), refusal.code());
    assert_eq!(read.current_state(), refusal.current_state());
}

#[test]
fn refusals_of_every_domain_cross_without_loss() {
    crosses(&accounts::Error::InvalidCredentials);
    crosses(&accounts::Error::WrongState {
        state: "suspended".into(),
    });
    crosses(&catalog::Error::WrongState {
        state: "draft".into(),
    });
    crosses(&catalog::Error::RevisionMismatch { current: u64::MAX });
    for gate in [catalog::Gate::Title, catalog::Gate::Price, catalog::Gate::Lesson] {
        crosses(&catalog::Error::Incomplete { gate });
    }
    crosses(&catalog::Error::InvalidField {
        field: "tags".into(),
        rule: "at most 16".into(),
    });
    crosses(&commerce::Error::InsufficientFunds);
    crosses(&commerce::Error::WrongState {
        current: "refunded".into(),
    });
    crosses(&webhooks::Error::TooManyEndpoints { max: 7 });
    crosses(&webhooks::Error::EndpointDisabled);
    crosses(&webhooks::Error::AccountErased);
    crosses(&recommend::Error::ValueOutOfRange { position: 7 });
}
