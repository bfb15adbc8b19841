//! Every damage, and the rule that must find it.
//!
//! A damage usually breaks several rules; it is listed for the one that speaks of it most directly.

use lyceum_oracle::history::Request;
use lyceum_oracle::provider::Statement;

mod billing;
mod commerce;
mod coupons;
mod journal;
mod ledger;
mod memberships;
mod offers;
mod operators;
mod people;
mod sales;
mod seen;
mod teams;
mod webhooks;

/// One damage.
#[derive(Clone, Copy)]
pub(crate) struct Damage {
    /// What is done.
    pub(crate) what: &'static str,
    /// The rule that must find it.
    pub(crate) breaks: &'static str,
    /// How it is done.
    pub(crate) harm: Harm,
}

/// What a damage is done to.
#[derive(Clone, Copy)]
pub(crate) enum Harm {
    /// The tables.
    Tables(&'static str),
    /// The tables, from which a server is then started.
    Served(&'static str),
    /// The tables, so that they are not at rest.
    Unrest(&'static str),
    /// What the provider says.
    Provider(fn(&mut Statement)),
    /// What the clients remember.
    History(fn(&mut Vec<Request>)),
    /// What the clients remember, while a server runs over undamaged tables.
    ServedHistory(fn(&mut Vec<Request>)),
    /// A name in what is sent: it becomes another each time it comes by on the way to the server.
    Renamed(&'static str),
}

/// Every damage.
pub(crate) fn all() -> Vec<Damage> {
    [
        ledger::DAMAGES,
        billing::DAMAGES,
        people::DAMAGES,
        commerce::DAMAGES,
        journal::DAMAGES,
        seen::DAMAGES,
        operators::DAMAGES,
        webhooks::DAMAGES,
        sales::DAMAGES,
        coupons::DAMAGES,
        teams::DAMAGES,
        memberships::DAMAGES,
        offers::DAMAGES,
    ]
    .concat()
}

/// The SQL of a damage as the owner of the tables gets it past what guards the ledger, which is as it was afterwards.
pub(crate) fn past_the_guards(sql: &str) -> String {
    let mut guarded = ["ledger_", "trial_balance", "invoices"].iter();
    // A damage to a trigger stays only if triggers are not switched on again after it.
    if sql.contains(" TRIGGER ") || !guarded.any(|guarded| sql.contains(guarded)) {
        return sql.to_owned();
    }
    let switch = |how: &str| {
        [
            "ledger_transactions",
            "ledger_accounts",
            "ledger_owners",
            "trial_balances",
            "trial_balance_accounts",
            "invoices",
        ]
        .map(|table| format!("ALTER TABLE {table} {how} TRIGGER USER;"))
        .concat()
    };
    format!("{} {sql}; {}", switch("DISABLE"), switch("ENABLE"))
}

const fn tables(breaks: &'static str, what: &'static str, sql: &'static str) -> Damage {
    Damage {
        what,
        breaks,
        harm: Harm::Tables(sql),
    }
}
