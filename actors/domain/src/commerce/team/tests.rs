//! Every state of a team and every command.

use std::collections::BTreeSet;
use std::time::Duration;

use lyceum_kernel::{Coded, Currency};

use super::*;

const COURSE: CourseId = CourseId::from_u128(7);
/// When the team is over.
const END: i64 = 1_000;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(super) fn offer(size: u32) -> GroupOffer {
    GroupOffer {
        course_id: COURSE,
        creator: UserId::from_u128(9),
        price: Money::new(9_900, Currency::CNY).unwrap(),
        size,
        lasts_s: 1,
    }
}

fn open(n: u128, size: u32) -> Command {
    Command::Open {
        terms: Terms::of(GroupId::from_u128(1), &offer(size), at(0)),
        order_id: OrderId::from_u128(n),
        user: UserId::from_u128(n),
        until: at(100),
    }
}

/// Buyer `n` wants a place for order `n`.
fn reserve(n: u128) -> Command {
    Command::Reserve {
        order_id: OrderId::from_u128(n),
        user: UserId::from_u128(n),
        course_id: COURSE,
        until: at(100),
    }
}

fn settle(n: u128, outcome: Outcome) -> Command {
    Command::Settle {
        order_id: OrderId::from_u128(n),
        user: UserId::from_u128(n),
        outcome,
    }
}

fn paid(n: u128) -> Command {
    settle(n, Outcome::Consumed)
}

fn left(n: u128) -> Command {
    settle(n, Outcome::Returned)
}

fn act(team: &mut Team, command: Command, now: Timestamp) -> Result<Vec<&'static str>, Error> {
    let events = team.decide(command, now)?;
    for event in &events {
        team.apply(event);
    }
    Ok(events.iter().map(name).collect())
}

fn name(event: &Event) -> &'static str {
    match event {
        Event::Opened { .. } => "opened",
        Event::PlaceReserved { .. } => "reserved",
        Event::PlacePaid { .. } => "paid",
        Event::PlaceRefused { .. } => "refused",
        Event::PlaceReleased { .. } => "released",
        Event::Succeeded { .. } => "succeeded",
        Event::Failed { .. } => "failed",
    }
}

/// A team of two that buyer 1 opened, after these commands in its time.
fn after(commands: Vec<Command>) -> Team {
    let mut team = Team::default();
    for command in [open(1, 2)].into_iter().chain(commands) {
        act(&mut team, command, at(10)).unwrap();
    }
    team
}

fn failed() -> Team {
    let mut team = after(vec![reserve(2), paid(1)]);
    act(&mut team, Command::Expire, at(END)).unwrap();
    team
}

#[test]
fn every_state_answers_every_command_as_the_machine_says() {
    type Answer = Result<Vec<&'static str>, Refusal>;
    let nothing = || Ok(vec![]);
    let absent = || Err(Refusal::NotFound);
    let states: [(&str, Team, [Answer; 6]); 6] = [
        (
            "absent",
            Team::default(),
            [
                Ok(vec!["opened", "reserved"]),
                absent(),
                absent(),
                absent(),
                absent(),
                absent(),
            ],
        ),
        (
            "open",
            after(vec![]),
            [
                nothing(),
                Ok(vec!["reserved"]),
                Ok(vec!["paid"]),
                Ok(vec!["released"]),
                nothing(),
                Err(Refusal::OtherCourse),
            ],
        ),
        (
            "full",
            after(vec![reserve(2)]),
            [
                nothing(),
                Err(Refusal::Full),
                Ok(vec!["paid"]),
                Ok(vec!["released"]),
                nothing(),
                Err(Refusal::OtherCourse),
            ],
        ),
        (
            "one short",
            after(vec![reserve(2), paid(2)]),
            [
                nothing(),
                Err(Refusal::Full),
                Ok(vec!["paid", "succeeded"]),
                Ok(vec!["released"]),
                nothing(),
                Err(Refusal::OtherCourse),
            ],
        ),
        (
            "failed, and 1 unpaid",
            {
                let mut team = after(vec![reserve(2), paid(2)]);
                act(&mut team, Command::Expire, at(END)).unwrap();
                team
            },
            [
                nothing(),
                Err(Refusal::Failed),
                Ok(vec!["refused"]),
                Ok(vec!["released"]),
                nothing(),
                Err(Refusal::OtherCourse),
            ],
        ),
        (
            "succeeded",
            after(vec![reserve(2), paid(1), paid(2)]),
            [
                nothing(),
                Err(Refusal::Succeeded),
                nothing(),
                // Whoever has paid does not come back unpaid; see the next test.
                nothing(),
                nothing(),
                Err(Refusal::OtherCourse),
            ],
        ),
    ];
    for (state, team, answers) in states {
        let other = Command::Reserve {
            order_id: OrderId::from_u128(3),
            user: UserId::from_u128(3),
            course_id: CourseId::from_u128(8),
            until: at(100),
        };
        let back = if state == "succeeded" { left(3) } else { left(1) };
        let commands = [open(1, 2), reserve(3), paid(1), back, Command::Expire, other];
        for (command, answer) in commands.into_iter().zip(answers) {
            let said = format!("{state}: {command:?}");
            let happened = act(&mut team.clone(), command, at(20));
            assert_eq!(happened, answer.map_err(Error::from), "{said}");
        }
    }
}

#[test]
fn whatever_a_team_hears_once_its_time_is_over_finds_it_failed() {
    let team = || after(vec![reserve(2), paid(2)]);

    assert_eq!(act(&mut team(), Command::Expire, at(END - 1)), Ok(vec![]));
    assert_eq!(act(&mut team(), Command::Expire, at(END)), Ok(vec!["failed"]));
    assert_eq!(
        act(&mut team(), paid(1), at(END - 1)),
        Ok(vec!["paid", "succeeded"])
    );
    assert_eq!(act(&mut team(), paid(1), at(END)), Ok(vec!["failed", "refused"]));
    assert_eq!(act(&mut team(), left(1), at(END)), Ok(vec!["failed", "released"]));
    assert_eq!(act(&mut team(), reserve(3), at(END)), Err(Refusal::Failed.into()));
    assert_eq!(
        act(&mut Team::default(), open(1, 2), at(END)),
        Err(Refusal::Failed.into())
    );
    assert_eq!(team().opened().unwrap().state(at(END)), State::Failed);
    assert_eq!(team().opened().unwrap().decided(), State::Open);
}

#[test]
fn a_place_is_settled_once_and_a_buyer_who_says_otherwise_is_refused() {
    let wrong = |state| Err(Error::wrong_state(state));
    let mut team = after(vec![reserve(2), paid(1)]);

    assert_eq!(act(&mut team, paid(1), at(20)), Ok(vec![]));
    assert_eq!(act(&mut team, left(1), at(20)), wrong("paid"));
    assert_eq!(act(&mut team, left(2), at(20)), Ok(vec!["released"]));
    assert_eq!(act(&mut team, left(2), at(20)), Ok(vec![]));
    assert_eq!(act(&mut team, paid(2), at(20)), wrong("free"));

    let mut late = failed();
    assert_eq!(act(&mut late, paid(2), at(END)), Ok(vec!["refused"]));
    assert_eq!(act(&mut late, paid(2), at(END)), Ok(vec![]));
    assert_eq!(act(&mut late, left(2), at(END)), wrong("paid"));
}

#[test]
fn a_buyer_has_one_place_and_may_come_back_after_leaving() {
    let mut team = after(vec![]);
    let another = Command::Reserve {
        order_id: OrderId::from_u128(5),
        user: UserId::from_u128(1),
        course_id: COURSE,
        until: at(100),
    };

    assert_eq!(act(&mut team, reserve(1), at(20)), Ok(vec![]));
    assert_eq!(
        act(&mut team, another.clone(), at(20)),
        Err(Refusal::PlaceReserved.into())
    );
    act(&mut team, left(1), at(20)).unwrap();
    assert_eq!(act(&mut team, another, at(20)), Ok(vec!["reserved"]));
    assert_eq!(
        act(&mut team, paid(1), at(20)),
        Err(Error::wrong_state("free")),
        "another order"
    );
    act(&mut team, reserve(2), at(20)).unwrap();
    act(&mut team, paid(2), at(20)).unwrap();
    let again = Command::Reserve {
        order_id: OrderId::from_u128(6),
        user: UserId::from_u128(2),
        course_id: COURSE,
        until: at(100),
    };
    assert_eq!(act(&mut team, again, at(20)), Err(Refusal::PlacePaid.into()));
}

#[test]
fn the_verdict_on_a_place_is_that_of_the_team_once_it_is_decided() {
    let verdicts = |team: &Team| -> Vec<Option<bool>> {
        let team = team.opened().unwrap();
        team.places().map(|(_, place)| team.verdict(place)).collect()
    };
    let mut late = failed();
    act(&mut late, paid(2), at(END)).unwrap();

    assert_eq!(verdicts(&after(vec![reserve(2), paid(1)])), [None, None]);
    assert_eq!(
        verdicts(&after(vec![reserve(2), paid(1), paid(2)])),
        [Some(true), Some(true)]
    );
    assert_eq!(verdicts(&failed()), [Some(false), None]);
    assert_eq!(verdicts(&late), [Some(false), Some(false)]);
}

#[test]
fn a_team_has_the_terms_of_its_offering_and_the_time_from_its_opening() {
    let terms = Terms::of(GroupId::from_u128(4), &offer(3), at(50));

    assert_eq!(terms.ends_at, at(50).plus(Duration::from_secs(1)));
    assert_eq!((terms.size, terms.price.amount()), (3, 9_900));
}

#[test]
fn codes_of_refusals_are_unique_and_belong_to_commerce() {
    let refusals = [
        Refusal::NotFound,
        Refusal::OtherCourse,
        Refusal::Full,
        Refusal::Succeeded,
        Refusal::Failed,
        Refusal::PlaceReserved,
        Refusal::PlacePaid,
        Refusal::NotAlone,
    ];

    let codes: BTreeSet<_> = refusals.iter().map(Coded::code).collect();

    assert_eq!(codes.len(), refusals.len());
    assert!(codes.iter().all(|code| code.starts_with("commerce.team_")));
}
