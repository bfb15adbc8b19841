//! What must hold between the tables, as queries for whatever breaks it.
//!
//! Each invariant is a name, a sentence and a query whose rows are the violations. Some hold in every committed state;
//! the others only at rest, because one purchase through a provider is several commits.

use tokio_postgres::Transaction;

use crate::Failure;
use crate::report::{EXAMPLES_MAX, Report, Rule};

mod billing;
mod commerce;
mod coupons;
mod journal;
mod ledger;
mod memberships;
mod offers;
mod operators;
mod sales;
mod teams;
mod webhooks;

/// Something that must be true of the tables.
#[derive(Clone, Copy, Debug)]
pub struct Invariant {
    /// Its name and sentence.
    pub rule: Rule,
    /// When it holds.
    pub holds: Holds,
    /// Gives a row for each violation.
    pub query: &'static str,
}

/// When an invariant holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// In every committed state, and a glance tells: it is sampled while a run goes on.
    Sampled,
    /// In every committed state.
    Always,
    /// When nothing is under way.
    AtRest,
}

/// Every invariant, by area.
pub fn all() -> impl Iterator<Item = &'static Invariant> {
    ledger::INVARIANTS
        .iter()
        .chain(commerce::INVARIANTS)
        .chain(billing::INVARIANTS)
        .chain(journal::INVARIANTS)
        .chain(operators::INVARIANTS)
        .chain(webhooks::INVARIANTS)
        .chain(sales::INVARIANTS)
        .chain(coupons::INVARIANTS)
        .chain(teams::INVARIANTS)
        .chain(memberships::INVARIANTS)
        .chain(offers::INVARIANTS)
}

const fn invariant(name: &'static str, holds: Holds, says: &'static str, query: &'static str) -> Invariant {
    Invariant {
        rule: Rule { name, says },
        holds,
        query,
    }
}

/// Looks at one invariant in a snapshot.
///
/// # Errors
/// When the query cannot be run.
pub async fn examine(
    snapshot: &Transaction<'_>,
    invariant: &Invariant,
    report: &mut Report,
) -> Result<(), Failure> {
    report.examine(invariant.rule);
    let sql = format!(
        "SELECT count(*) OVER () AS violations, to_json(v)::text AS example FROM ({}) AS v LIMIT {EXAMPLES_MAX}",
        invariant.query
    );
    let rows = snapshot
        .query(&sql, &[])
        .await
        .map_err(|error| format!("{}: {error}", invariant.rule.name))?;
    // The first row brings the number of all.
    let mut times = rows.first().map_or(0, |row| row.get::<_, i64>("violations"));
    for row in &rows {
        let weight = times - i64::try_from(rows.len()).unwrap_or(i64::MAX) + 1;
        report.violate(
            invariant.rule,
            u64::try_from(weight.max(1)).unwrap_or(1),
            row.get("example"),
        );
        times = 0;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_invariant_has_a_name_of_its_own_and_a_sentence() {
        let mut names = BTreeSet::new();
        for Invariant { rule, query, .. } in all() {
            assert!(names.insert(rule.name), "{} twice", rule.name);
            let (area, what) = rule.name.split_once('.').expect("area.what_holds");
            assert!(!area.is_empty() && !what.is_empty(), "{}", rule.name);
            assert!(rule.says.ends_with('.'), "{}", rule.name);
            assert!(
                query.starts_with("SELECT ") || query.starts_with("WITH "),
                "{}",
                rule.name
            );
        }
    }
}
