//! Every state of an offering and every command, and how offerings were stored before they were one machine.

use lyceum_kernel::{Currency, Money};

use super::*;
use crate::commerce::bundle::{Offer, Refusal};
use crate::commerce::{Bundle, Plan};
use crate::ids::CourseId;

const CREATOR: UserId = UserId::from_u128(7);

fn offer() -> Offer {
    Offer {
        title: " Two ".into(),
        creator: CREATOR,
        course_ids: [1, 2].map(CourseId::from_u128).to_vec(),
        price: Money::new(9_900, Currency::CNY).unwrap(),
    }
}

fn withdraw(deed: Option<Deed>) -> Command<Offer> {
    Command::Withdraw { by: CREATOR, deed }
}

fn after(commands: &[Command<Offer>]) -> Bundle {
    let mut offering = Bundle::default();
    for command in commands {
        for event in offering.decide(command.clone(), Timestamp::EPOCH).unwrap() {
            offering.apply(&event);
        }
    }
    offering
}

#[test]
fn every_state_answers_every_command() {
    let absent = after(&[]);
    let offered = after(&[Command::Offer(offer())]);
    let withdrawn = after(&[Command::Offer(offer()), withdraw(None)]);
    let events = |offering: &Bundle, command| {
        offering
            .decide(command, Timestamp::EPOCH)
            .map(|events| events.len())
    };

    assert_eq!(events(&absent, Command::Offer(offer())), Ok(1));
    assert_eq!(events(&absent, withdraw(None)), Err(Refusal::NotFound.into()));
    assert_eq!(events(&offered, Command::Offer(offer())), Ok(0));
    assert_eq!(events(&offered, withdraw(None)), Ok(1));
    assert_eq!(events(&withdrawn, Command::Offer(offer())), Ok(0));
    assert_eq!(events(&withdrawn, withdraw(None)), Ok(0));

    assert_eq!(absent.for_sale(), Err(Refusal::NotFound.into()));
    assert_eq!(&*offered.for_sale().unwrap().title, "Two");
    assert_eq!(withdrawn.for_sale(), Err(Refusal::Withdrawn.into()));
    assert!(
        withdrawn.offer().is_ok(),
        "what was bought can still be explained"
    );
    assert_eq!(
        [absent.name(), offered.name(), withdrawn.name()],
        ["absent", "offered", "withdrawn"]
    );
}

#[test]
fn whoever_withdraws_somebody_elses_says_why() {
    let offered = after(&[Command::Offer(offer())]);
    let deed = |reason: &str| Deed {
        operator: UserId::from_u128(9),
        reason: reason.into(),
        node: "n1".into(),
    };

    let without = offered.decide(withdraw(Some(deed(" "))), Timestamp::EPOCH);
    let events = offered.decide(withdraw(Some(deed("a complaint"))), Timestamp::EPOCH);

    assert_eq!(without, Err(Error::ReasonLength));
    assert!(
        matches!(&events.unwrap()[..], [Event::Withdrawn { deed: Some(deed), .. }] if deed.reason == "a complaint")
    );
}

#[test]
fn what_was_stored_as_a_bundle_or_a_plan_of_its_own_is_read() {
    let bundle = r#"{"state":"offered","offer":{"title":"Two","creator":"usr_00000000000000000000000007","course_ids":[],"price":{"amount":5,"currency":"CNY"}}}"#;
    let event =
        r#"{"type":"withdrawn","by":"usr_00000000000000000000000007","at":"1970-01-01T00:00:00.000Z"}"#;

    let bundle: Bundle = serde_json::from_str(bundle).unwrap();
    let plan: Plan = serde_json::from_str(r#"{"state":"absent"}"#).unwrap();
    let event: Event<Offer> = serde_json::from_str(event).unwrap();

    assert_eq!(bundle.for_sale().unwrap().price.amount(), 5);
    assert_eq!(plan, Plan::Absent);
    assert!(matches!(event, Event::Withdrawn { deed: None, .. }));
}
