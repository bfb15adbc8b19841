//! The rules of logins, each as a sentence.

use std::time::Duration;

use super::*;
use crate::accounts::SessionState;

const DAY: Duration = Duration::from_secs(86_400);

fn day(n: u32) -> Timestamp {
    Timestamp::EPOCH.plus(DAY * n)
}

fn id(n: u128) -> SessionId {
    SessionId::from_u128(n)
}

fn hash(n: u8) -> TokenHash {
    TokenHash::new([n; 32])
}

fn log_in(n: u8) -> SessionCommand {
    SessionCommand::LogIn {
        session_id: id(n.into()),
        device: "browser".into(),
        refresh_hash: hash(n),
        attempt: None,
        policy: Policy::default(),
    }
}

fn refresh(session: u128, presented: u8, next: u8) -> SessionCommand {
    let (presented, next) = (hash(presented), hash(next));
    SessionCommand::Refresh {
        session_id: id(session),
        presented,
        next,
        policy: Policy::default(),
    }
}

fn run(sessions: &mut Sessions, command: SessionCommand, now: Timestamp) -> Result<Vec<SessionEvent>, Error> {
    let events = sessions.decide(command, now)?;
    for event in &events {
        sessions.apply(event);
    }
    Ok(events)
}

fn one_login() -> Sessions {
    let mut sessions = Sessions::default();
    run(&mut sessions, log_in(1), day(0)).expect("a first login is allowed");
    sessions
}

fn state(sessions: &Sessions, session: u128, now: Timestamp) -> Option<SessionState> {
    sessions.login(id(session)).map(|login| login.state(now))
}

#[test]
fn each_token_serves_once_and_is_replaced_by_the_next() {
    let mut sessions = one_login();

    assert!(run(&mut sessions, refresh(1, 1, 101), day(1)).is_ok());
    assert!(run(&mut sessions, refresh(1, 101, 102), day(2)).is_ok());
    assert!(sessions.login(id(1)).is_some_and(|login| login.serves(hash(102))));
}

#[test]
fn a_token_presented_twice_revokes_its_login_and_no_other() {
    let mut sessions = one_login();
    run(&mut sessions, log_in(2), day(0)).expect("allowed");
    run(&mut sessions, refresh(1, 1, 101), day(1)).expect("allowed");

    let events = run(&mut sessions, refresh(1, 1, 103), day(1));

    assert_eq!(
        events,
        Ok(vec![SessionEvent::ReuseDetected {
            session_id: id(1),
            at: day(1)
        }])
    );
    assert_eq!(state(&sessions, 1, day(1)), Some(SessionState::Revoked));
    assert_eq!(state(&sessions, 2, day(1)), Some(SessionState::Active));
    assert_eq!(
        run(&mut sessions, refresh(1, 101, 104), day(1)),
        Err(Error::SessionEnded)
    );
}

#[test]
fn a_token_that_never_was_ones_own_ends_nothing() {
    let mut sessions = one_login();

    assert_eq!(
        run(&mut sessions, refresh(1, 77, 101), day(0)),
        Err(Error::RefreshInvalid)
    );
    assert_eq!(
        run(&mut sessions, refresh(9, 1, 101), day(0)),
        Err(Error::RefreshInvalid)
    );
    assert_eq!(state(&sessions, 1, day(0)), Some(SessionState::Active));
}

#[test]
fn a_login_expires_when_it_is_not_refreshed_for_thirty_days() {
    let mut sessions = one_login();
    run(&mut sessions, refresh(1, 1, 101), day(29)).expect("in time");

    assert_eq!(state(&sessions, 1, day(58)), Some(SessionState::Active));
    assert_eq!(
        run(&mut sessions, refresh(1, 101, 102), day(59)),
        Err(Error::SessionEnded)
    );
    assert_eq!(state(&sessions, 1, day(59)), Some(SessionState::Expired));
}

#[test]
fn a_login_expires_after_ninety_days_however_often_it_is_refreshed() {
    let mut sessions = one_login();
    for n in 1..=4 {
        let presented = if n == 1 { 1 } else { 99 + n };
        run(
            &mut sessions,
            refresh(1, presented, 100 + n),
            day(u32::from(n) * 22),
        )
        .expect("in time");
    }

    assert_eq!(state(&sessions, 1, day(89)), Some(SessionState::Active));
    assert_eq!(state(&sessions, 1, day(90)), Some(SessionState::Expired));
}

#[test]
fn the_twenty_first_login_displaces_the_oldest() {
    let mut sessions = Sessions::default();
    for n in 1..=21 {
        run(&mut sessions, log_in(n), day(u32::from(n) / 10)).expect("allowed");
    }

    assert_eq!(sessions.active(day(2)).count(), 20);
    assert_eq!(state(&sessions, 1, day(2)), Some(SessionState::Revoked));
    assert_eq!(state(&sessions, 21, day(2)), Some(SessionState::Active));
}

#[test]
fn ended_logins_are_forgotten_so_that_the_state_stays_bounded() {
    let mut sessions = Sessions::default();
    for n in 1..=200 {
        run(&mut sessions, log_in(n), day(u32::from(n))).expect("allowed");
        run(
            &mut sessions,
            SessionCommand::LogOut {
                session_id: id(n.into()),
            },
            day(u32::from(n)),
        )
        .expect("allowed");
    }

    assert!(sessions.logins.len() <= ENDED_MAX + 1);
}

#[test]
fn spent_hashes_are_bounded() {
    let mut sessions = one_login();
    let policy = Policy {
        spent_max: 2,
        ..Policy::default()
    };
    for n in 1..=5 {
        let command = SessionCommand::Refresh {
            session_id: id(1),
            presented: hash(n),
            next: hash(n + 1),
            policy,
        };
        run(&mut sessions, command, day(0)).expect("allowed");
    }

    assert_eq!(
        run(&mut sessions, refresh(1, 1, 50), day(0)),
        Err(Error::RefreshInvalid)
    );
    assert!(run(&mut sessions, refresh(1, 5, 50), day(0)).is_ok_and(|events| events.len() == 1));
    assert_eq!(state(&sessions, 1, day(0)), Some(SessionState::Revoked));
}

#[test]
fn logging_out_ends_a_login_once() {
    let mut sessions = one_login();
    let log_out = || SessionCommand::LogOut { session_id: id(1) };

    assert!(run(&mut sessions, log_out(), day(0)).is_ok());
    assert_eq!(run(&mut sessions, log_out(), day(0)), Err(Error::SessionNotFound));
    assert_eq!(
        run(&mut sessions, refresh(1, 1, 101), day(0)),
        Err(Error::SessionEnded)
    );
}

#[test]
fn logging_out_everywhere_else_keeps_one_login_and_may_be_repeated() {
    let mut sessions = one_login();
    run(&mut sessions, log_in(2), day(0)).expect("allowed");
    run(&mut sessions, log_in(3), day(1)).expect("allowed");
    let command = || SessionCommand::LogOutAll {
        reason: EndReason::PasswordChanged,
        except: Some(id(2)),
        until: day(0),
    };

    assert_eq!(
        run(&mut sessions, command(), day(1)).map(|events| events.len()),
        Ok(1)
    );
    assert_eq!(run(&mut sessions, command(), day(1)), Ok(vec![]));
    assert_eq!(state(&sessions, 2, day(1)), Some(SessionState::Active));
    assert_eq!(
        state(&sessions, 3, day(1)),
        Some(SessionState::Active),
        "it began later"
    );
}

#[test]
fn a_redelivered_refresh_changes_nothing() {
    let mut sessions = one_login();
    run(&mut sessions, refresh(1, 1, 101), day(1)).expect("allowed");

    assert_eq!(run(&mut sessions, refresh(1, 1, 101), day(1)), Ok(vec![]));
    assert_eq!(state(&sessions, 1, day(1)), Some(SessionState::Active));
}

#[test]
fn a_login_that_is_repeated_under_its_name_begins_no_other() {
    let mut sessions = Sessions::default();
    let named = |n| SessionCommand::LogIn {
        session_id: id(n),
        device: "browser".into(),
        refresh_hash: hash(1),
        attempt: Some(hash(200)),
        policy: Policy::default(),
    };
    run(&mut sessions, named(1), day(0)).expect("a first login is allowed");

    assert_eq!(run(&mut sessions, named(2), day(1)), Ok(vec![]));
    assert_eq!(
        sessions.begun_by(hash(200)).map(|(session_id, _)| session_id),
        Some(id(1))
    );
    run(&mut sessions, refresh(1, 1, 101), day(1)).expect("allowed");
    assert_eq!(run(&mut sessions, named(3), day(1)), Err(Error::SessionEnded));
}

#[test]
fn a_token_hash_is_written_as_hexadecimal_and_never_printed() {
    let written = String::from(hash(0xa7));

    assert_eq!(TokenHash::try_from(written.clone()), Ok(hash(0xa7)));
    assert_eq!(written.len(), 64);
    assert_eq!(format!("{:?}", hash(1)), "***");
    assert_eq!(TokenHash::try_from("zz".repeat(32)), Err(Error::RefreshInvalid));
}
