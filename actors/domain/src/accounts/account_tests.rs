//! The rules of an account, each as a sentence.

use super::*;
use crate::accounts::Interest;

const NOW: Timestamp = Timestamp::EPOCH;

fn register() -> Command {
    Command::Register {
        username: Username::parse("Ada").expect("valid"),
        email: Email::parse("ada@example.com").expect("valid"),
        display_name: DisplayName::parse("Ada L.").expect("valid"),
        password_hash: PasswordHash::new("old"),
        roles: Roles::default(),
        interests: Interests::new([Interest::parse("rust").expect("valid")]).expect("one"),
    }
}

fn after(commands: impl IntoIterator<Item = Command>) -> Account {
    let mut account = Account::default();
    for command in commands {
        run(&mut account, command).expect("the commands that lead to a test's state are allowed");
    }
    account
}

fn run(account: &mut Account, command: Command) -> Result<usize, Error> {
    let events = account.decide(command, NOW)?;
    for event in &events {
        account.apply(event);
    }
    Ok(events.len())
}

fn suspend() -> Command {
    Command::Suspend {
        reason: Reason::parse("spam").expect("valid"),
    }
}

fn rename(text: &str, expected_version: Option<u64>) -> Command {
    let display_name = Some(DisplayName::parse(text).expect("valid"));
    Command::ChangeProfile {
        change: ProfileChange {
            display_name,
            ..Default::default()
        },
        expected_version,
    }
}

fn change_password(replaces: &str) -> Command {
    Command::ChangePassword {
        password_hash: PasswordHash::new("new"),
        replaces: PasswordHash::new(replaces),
        keep_session: None,
    }
}

fn end_login(session: u128) -> Command {
    Command::EndLogin {
        session_id: SessionId::from_u128(session),
    }
}

/// Every command, for the table of transitions.
fn commands() -> Vec<(&'static str, Command)> {
    vec![
        ("register", register()),
        ("change profile", rename("Countess", None)),
        ("change password", change_password("old")),
        ("suspend", suspend()),
        ("reinstate", Command::Reinstate),
        ("end login", end_login(1)),
        ("grant role", Command::GrantRole { role: Role::Creator }),
        ("revoke role", Command::RevokeRole { role: Role::Creator }),
        ("erase", Command::Erase),
    ]
}

#[test]
fn every_transition_that_is_not_listed_is_refused_and_changes_nothing() {
    let allowed = |state: &str| -> &[&str] {
        match state {
            "absent" => &["register"],
            "active" => &[
                "change profile",
                "change password",
                "suspend",
                "end login",
                "grant role",
                "revoke role",
                "erase",
            ],
            "suspended" => &["reinstate", "end login", "grant role", "revoke role", "erase"],
            _ => &[],
        }
    };
    for account in [
        after([]),
        after([register()]),
        after([register(), suspend()]),
        after([register(), Command::Erase]),
    ] {
        for (name, command) in commands() {
            let decided = account.decide(command, NOW);

            assert_eq!(
                decided.is_ok(),
                allowed(account.state()).contains(&name),
                "{name} {}",
                account.state()
            );
        }
    }
}

#[test]
fn a_new_account_is_an_active_learner_at_version_one() {
    let account = after([register()]);
    let member = account.active().expect("active");

    assert_eq!(Vec::from(member.roles), [Role::Learner]);
    assert_eq!(member.version, 1);
    assert!(member.profile.personalised);
}

#[test]
fn the_end_of_a_login_is_recorded_once_and_stands_in_the_way_of_no_edit() {
    let mut account = after([register()]);

    assert_eq!(run(&mut account, end_login(1)), Ok(1));
    assert_eq!(run(&mut account, end_login(1)), Ok(0));
    assert_eq!(run(&mut account, rename("Countess", Some(1))), Ok(1));
    let ended = &account.member().expect("open").ended;
    let later = NOW.plus(std::time::Duration::from_secs(1));
    assert!(ended.contains(SessionId::from_u128(1), later));
    assert!(!ended.contains(SessionId::from_u128(2), later));
}

#[test]
fn another_password_and_a_suspension_end_the_logins_that_had_begun() {
    for (command, kept) in [(change_password("old"), true), (suspend(), false)] {
        let command = match command {
            Command::ChangePassword {
                password_hash,
                replaces,
                ..
            } => Command::ChangePassword {
                password_hash,
                replaces,
                keep_session: Some(SessionId::from_u128(1)),
            },
            command => command,
        };
        let account = after([register(), command]);
        let ended = &account.member().expect("open").ended;

        assert_eq!(ended.contains(SessionId::from_u128(1), NOW), !kept);
        assert!(ended.contains(SessionId::from_u128(2), NOW));
    }
}

#[test]
fn an_edit_of_a_version_that_is_gone_is_refused() {
    let mut account = after([register()]);

    assert_eq!(run(&mut account, rename("Countess", Some(1))), Ok(1));
    assert_eq!(
        run(&mut account, rename("Ada", Some(1))),
        Err(Error::ChangedMeanwhile)
    );
    assert_eq!(
        account.member().map(|m| m.profile.display_name.to_string()),
        Ok("Countess".into())
    );
}

#[test]
fn an_edit_that_changes_nothing_leaves_no_event() {
    let mut account = after([register()]);

    assert_eq!(run(&mut account, rename("Ada L.", Some(1))), Ok(0));
    assert_eq!(account.member().map(|member| member.version), Ok(1));
}

#[test]
fn of_two_password_changes_at_once_only_one_wins() {
    let mut account = after([register()]);

    assert_eq!(run(&mut account, change_password("old")), Ok(1));
    assert_eq!(
        run(&mut account, change_password("old")),
        Err(Error::InvalidCredentials)
    );
}

#[test]
fn a_suspended_account_cannot_be_used_until_it_is_reinstated() {
    let mut account = after([register(), suspend()]);

    assert_eq!(account.active().err(), Some(Error::AccountSuspended));
    assert_eq!(
        run(&mut account, rename("Countess", None)),
        Err(Error::AccountSuspended)
    );
    assert_eq!(run(&mut account, suspend()), Err(Error::wrong_state("suspended")));

    assert_eq!(run(&mut account, Command::Reinstate), Ok(1));
    assert!(account.active().is_ok());
    assert_eq!(
        run(&mut account, Command::Reinstate),
        Err(Error::wrong_state("active"))
    );
}

#[test]
fn a_role_is_given_and_taken_once_and_the_learner_role_stays() {
    let mut account = after([register()]);

    assert_eq!(
        run(&mut account, Command::GrantRole { role: Role::Creator }),
        Ok(1)
    );
    assert_eq!(
        run(&mut account, Command::GrantRole { role: Role::Creator }),
        Ok(0)
    );
    assert_eq!(
        run(&mut account, Command::RevokeRole { role: Role::Creator }),
        Ok(1)
    );
    assert_eq!(
        run(&mut account, Command::RevokeRole { role: Role::Creator }),
        Ok(0)
    );
    assert_eq!(
        run(&mut account, Command::RevokeRole { role: Role::Learner }),
        Err(Error::RoleRequired)
    );
}

#[test]
fn an_erased_account_holds_nothing_personal_and_comes_back_from_a_redacted_journal() {
    let erased = after([register(), suspend(), Command::Erase]);
    let mut replayed = Account::default();
    for event in [Event::Redacted, Event::Redacted, Event::Erased { at: NOW }] {
        replayed.apply(&event);
    }

    assert_eq!(erased, Account::Erased { at: NOW });
    assert_eq!(replayed, erased);
}
