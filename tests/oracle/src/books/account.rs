//! What each event of an account means for its row: who it is, what they may do, and whether they may come in.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;
use uuid::Uuid;

use super::{Books, texts_of};

/// What the row of each account says, in the words of [`rows`].
pub(super) const SQL: &str = "SELECT user_id::text, format('%s (%s), %s (%s), called %s, %s as %s, likes %s, since %s', \
    coalesce(username, '-'), coalesce(username_key, '-'), coalesce(email, '-'), coalesce(email_key, '-'), \
    coalesce(display_name, '-'), state, \
    (SELECT string_agg(role, ' ' ORDER BY role COLLATE \"C\") FROM jsonb_array_elements_text(roles) AS role), \
    (SELECT string_agg(interest, ' ' ORDER BY place) \
        FROM jsonb_array_elements_text(interests) WITH ORDINALITY AS chosen(interest, place)), \
    CASE WHEN state <> 'erased' \
        THEN to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') ELSE '-' END) \
    FROM accounts";

/// One account as its events tell it.
#[derive(Debug)]
pub(super) struct Account {
    state: &'static str,
    /// Nothing once they are erased.
    person: Option<Person>,
}

impl Account {
    pub(super) fn is_erased(&self) -> bool {
        self.state == "erased"
    }
}

#[derive(Debug)]
struct Person {
    username: String,
    email: String,
    display_name: String,
    roles: BTreeSet<String>,
    interests: Vec<String>,
    since: String,
}

pub(super) fn apply(books: &mut Books, user: Uuid, event_type: &str, event: &Value) -> Option<()> {
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let account = match event_type {
        "registered" => {
            let person = Person {
                username: text(&event["username"])?,
                email: text(&event["email"])?,
                display_name: text(&event["display_name"])?,
                roles: texts_of(&event["roles"])?.into_iter().collect(),
                interests: texts_of(&event["interests"])?,
                since: text(&event["at"])?,
            };
            let account = Account {
                state: "active",
                person: Some(person),
            };
            return books.accounts.insert(user, account).is_none().then_some(());
        }
        // What it said is gone, and the erasure is the event that follows.
        "redacted" => return Some(()),
        "erased" => {
            let account = Account {
                state: "erased",
                person: None,
            };
            books.accounts.insert(user, account);
            return Some(());
        }
        _ => books.accounts.get_mut(&user)?,
    };
    let person = account.person.as_mut()?;
    match event_type {
        "profile_changed" => {
            let change = &event["change"];
            if let Some(name) = text(&change["display_name"]) {
                person.display_name = name;
            }
            if let Some(interests) = texts_of(&change["interests"]) {
                person.interests = interests;
            }
        }
        "password_changed" | "login_ended" => {}
        "suspended" if account.state == "active" => account.state = "suspended",
        "reinstated" if account.state == "suspended" => account.state = "active",
        "role_granted" => drop(person.roles.insert(text(&event["role"])?)),
        "role_revoked" => drop(person.roles.remove(event["role"].as_str()?)),
        _ => return None,
    }
    Some(())
}

/// What the row of each account must say.
pub(super) fn rows(books: &Books) -> HashMap<String, String> {
    let row = |(user, account): (&Uuid, &Account)| {
        let state = account.state;
        let says = account.person.as_ref().map_or_else(
            || format!("- (-), - (-), called -, {state} as , likes , since -"),
            |person| {
                let roles: Vec<&str> = person.roles.iter().map(String::as_str).collect();
                format!(
                    "{} ({}), {} ({}), called {}, {state} as {}, likes {}, since {}",
                    person.username,
                    person.username.to_lowercase(),
                    person.email,
                    person.email.to_lowercase(),
                    person.display_name,
                    roles.join(" "),
                    person.interests.join(" "),
                    person.since
                )
            },
        );
        (user.to_string(), says)
    };
    books.accounts.iter().map(row).collect()
}
