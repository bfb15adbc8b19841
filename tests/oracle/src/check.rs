//! One whole check: rest, tables, books, provider, claims, API, replay, in this order.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::{Client, Transaction};
use uuid::Uuid;

use crate::Failure;
use crate::audit::{self, Audit};
use crate::books::{self, Books};
use crate::claims::{self, Claim};
use crate::database;
use crate::history::{self, Request};
use crate::invariants;
use crate::node::Node;
use crate::provider::{self, Statement};
use crate::report::{Report, Rule};
use crate::rest;

/// What a check looks at.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The database, by a role that may only read.
    pub database: String,
    /// The files of the clients' histories.
    pub histories: Vec<PathBuf>,
    /// The nodes of the product; none leaves the API and the replay out.
    pub nodes: Vec<String>,
    /// The provider; none leaves it out.
    pub sandbox: Option<String>,
    /// How long everything may take to come to rest.
    pub rest_limit: Duration,
    /// The password of clients that did not register within the history.
    pub password: Option<String>,
    /// The most clients to go through over the API.
    pub clients_max: usize,
}

impl Plan {
    /// Looks at the tables of a database, and at nothing else yet.
    #[must_use]
    pub fn new(database: &str) -> Self {
        Self {
            database: database.to_owned(),
            histories: Vec::new(),
            nodes: Vec::new(),
            sandbox: None,
            rest_limit: Duration::from_secs(120),
            password: None,
            clients_max: 1_000,
        }
    }
}

/// What is known beside the tables.
#[derive(Clone, Copy, Debug, Default)]
pub struct Evidence<'a> {
    /// The histories of the clients.
    pub histories: &'a [Vec<Request>],
    /// What the provider says.
    pub provider: Option<&'a Statement>,
}

/// What the tables say, for what is compared with them next.
struct Looked {
    books: Books,
    claims: Vec<Claim>,
    accounts: HashMap<String, Uuid>,
}

/// Waits for rest and checks everything the plan names.
///
/// # Errors
/// When something could not be looked at. What does not hold is part of the report.
pub async fn check(plan: &Plan) -> Result<Report, Failure> {
    let mut histories = Vec::new();
    for path in &plan.histories {
        histories.push(history::read(path).map_err(|error| format!("{}: {error}", path.display()))?);
    }
    let (mut client, connected) = database::connect(&plan.database).await?;
    let mut report = Report::default();
    rest::wait(&client, plan.sandbox.as_deref(), plan.rest_limit, &mut report).await?;

    let provider = match &plan.sandbox {
        Some(url) => Some(Statement::fetch(url).await?),
        None => None,
    };
    let evidence = Evidence {
        histories: &histories,
        provider: provider.as_ref(),
    };
    let snapshot = database::snapshot(&mut client).await?;
    let looked = look(&snapshot, evidence, &mut report).await?;
    snapshot.commit().await?;

    if !plan.nodes.is_empty() {
        let before = lengths(&client).await?;
        let audit = Audit {
            nodes: plan.nodes.iter().map(|url| Node::new(url)).collect(),
            books: &looked.books,
            accounts: &looked.accounts,
            password: plan.password.as_deref(),
            clients_max: plan.clients_max,
        };
        audit.run(&looked.claims, &mut report).await?;
        let after = lengths(&client).await?;
        if before != after {
            let text = format!("events and transactions: {before:?}, then {after:?}");
            report.violate(audit::UNCHANGED, 1, text);
        }
    }
    connected.close(client).await;
    Ok(report)
}

/// Checks the tables as one transaction sees them, and the evidence beside them; nothing is waited for.
///
/// # Errors
/// When something could not be looked at.
pub async fn check_tables(snapshot: &Transaction<'_>, evidence: Evidence<'_>) -> Result<Report, Failure> {
    let mut report = Report::default();
    look(snapshot, evidence, &mut report).await?;
    Ok(report)
}

async fn look(
    snapshot: &Transaction<'_>,
    evidence: Evidence<'_>,
    report: &mut Report,
) -> Result<Looked, Failure> {
    for invariant in invariants::all() {
        invariants::examine(snapshot, invariant, report).await?;
    }
    let books = Books::read(snapshot, report).await?;
    books.compare(snapshot, report).await?;
    if let Some(statement) = evidence.provider {
        provider::examine(statement, &books, snapshot, report).await?;
    }
    let accounts = claims::accounts(snapshot).await?;
    let claims = claims::claims(evidence.histories, report);
    claims::examine(&claims, &books, &accounts, report);
    Ok(Looked {
        books,
        claims,
        accounts,
    })
}

/// How many events of money and access, and how many transactions there are.
async fn lengths(client: &Client) -> Result<(i64, i64), Failure> {
    let sql = "SELECT (SELECT count(*) FROM events WHERE kind IN (1, 3, 4, 5, 7)), \
        (SELECT count(*) FROM ledger_transactions)";
    let row = client.query_one(sql, &[]).await?;
    Ok((row.get(0), row.get(1)))
}

/// Every rule that a whole check looks at, by name.
#[must_use]
pub fn rules() -> Vec<Rule> {
    let mut rules: Vec<Rule> = invariants::all().map(|invariant| invariant.rule).collect();
    rules.extend([
        rest::REACHED,
        books::READABLE,
        books::RECORDED,
        books::FOLLOWS_ORDERS,
        books::USES_FOLLOW_ORDERS,
        books::PERIODS_FOLLOW_ORDERS,
        books::PLACES_FOLLOW_ORDERS,
    ]);
    rules.extend(books::TABLE_RULES);
    rules.extend(provider::RULES);
    rules.extend(claims::RULES);
    rules.extend(audit::RULES);
    rules.sort_by_key(|rule| rule.name);
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_rules_share_a_name() {
        let rules = rules();

        assert!(rules.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert!(rules.len() > 60, "{}", rules.len());
    }
}
