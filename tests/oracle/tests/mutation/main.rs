//! The oracle's own test: a real server is driven and found clean; then its data is damaged in every way that a rule speaks
//! of, each on its own, and each damage must be found by the rule it was made for.
//!
//! A checker that never complains looks like one that always does its work; this tells them apart. The server is a black
//! box: its binary lies beside the oracle's. `LYCEUM_TEST_DATABASE_URL` and `LYCEUM_TEST_REDIS_URL` name the stores;
//! `make test` sets them.

#![expect(clippy::unwrap_used, reason = "tests")]

mod damages;
#[path = "../../../shared/databases.rs"]
mod databases;
mod drive;
mod renaming;
mod server;
mod stores;

use std::collections::BTreeSet;
use std::time::Duration;

use lyceum_oracle::history::Request;
use lyceum_oracle::provider::Statement;
use lyceum_oracle::report::Report;
use lyceum_oracle::{Evidence, Plan, check, check_tables, history, rules};

use damages::{Damage, Harm};
use drive::Drive;
use renaming::Renaming;
use server::{Sandbox, Server};
use stores::Copies;

/// What one honest run left behind.
struct Clean {
    copies: Copies,
    /// A copy for damages that are taken back.
    spare: String,
    sandbox: Sandbox,
    history: Vec<Request>,
    statement: Statement,
}

#[tokio::test]
async fn an_honest_run_is_found_clean_and_every_damage_to_it_is_found() {
    let clean = honest_run().await;

    let mut missed = Vec::new();
    for damage in damages::all() {
        missed.extend(clean.suffer(&damage).await);
    }

    assert!(missed.is_empty(), "not found:\n{}", missed.join("\n"));
}

#[test]
fn every_rule_has_a_damage_that_it_must_find() {
    let named: BTreeSet<&str> = damages::all().iter().map(|damage| damage.breaks).collect();

    let unproven: Vec<&str> = rules()
        .iter()
        .map(|rule| rule.name)
        .filter(|name| !named.contains(name))
        .collect();

    assert!(unproven.is_empty(), "{unproven:?}");
}

/// Drives a server, takes the clean verdict with all its parts, and stops the server.
async fn honest_run() -> Clean {
    let copies = Copies::create().await;
    let sandbox = Sandbox::start().await;
    let server = Server::start(copies.original(), &sandbox).await;
    let drive = Drive::over(&server);
    drive.everything().await;

    let plan = Plan {
        histories: vec![drive.path().to_owned()],
        nodes: vec![server.url()],
        sandbox: Some(sandbox.url()),
        ..Plan::new(&copies.reading(copies.original()))
    };
    let report = check(&plan).await.unwrap();

    assert!(report.clean, "{report}");
    let unseen: Vec<&str> = rules()
        .iter()
        .map(|rule| rule.name)
        .filter(|name| !report.rules.contains_key(name))
        .collect();
    assert!(unseen.is_empty(), "not looked at: {unseen:?}");
    for (what, at_least) in [
        ("orders", 13),
        ("acknowledged claims", 18),
        ("requests sent again", 18),
        ("clients passed over", 0),
        ("charges at the provider", 9),
        ("refunds at the provider", 3),
    ] {
        let number = report.looked_at[what];
        assert!(number >= at_least, "{number} {what}: {report}");
    }
    assert_eq!(report.looked_at["clients passed over"], 0);
    drop(server);
    Clean {
        spare: copies.damaged("").await,
        history: history::read(drive.path()).unwrap(),
        statement: Statement::fetch(&sandbox.url()).await.unwrap(),
        copies,
        sandbox,
    }
}

impl Clean {
    /// Does a damage; tells of it if the rule it was made for did not find it.
    async fn suffer(&self, damage: &Damage) -> Option<String> {
        let (mut history, mut statement) = (self.history.clone(), self.statement.clone());
        let report = match damage.harm {
            Harm::Tables(sql) => self.look(sql, history, &statement).await,
            Harm::Provider(harm) => {
                harm(&mut statement);
                self.look("", history, &statement).await
            }
            Harm::History(harm) => {
                harm(&mut history);
                self.look("", history, &statement).await
            }
            Harm::Served(sql) => self.serve(sql, &history, None).await,
            Harm::ServedHistory(harm) => {
                harm(&mut history);
                self.serve("", &history, None).await
            }
            Harm::Renamed(name) => self.serve("", &history, Some(name)).await,
            Harm::Unrest(sql) => {
                let copy = self.copies.damaged(sql).await;
                let plan = Plan {
                    rest_limit: Duration::ZERO,
                    ..Plan::new(&self.copies.reading(&copy))
                };
                check(&plan).await.unwrap()
            }
        };
        let found = report.violated();
        (!found.contains(&damage.breaks))
            .then(|| format!("{}: {} holds, violated are {found:?}", damage.what, damage.breaks))
    }

    /// Damages the tables in a transaction, looks at them through it, and takes it back: a copy that costs nothing.
    async fn look(&self, sql: &str, history: Vec<Request>, statement: &Statement) -> Report {
        let mut owner = self.copies.own(&self.spare).await;
        let transaction = owner.transaction().await.unwrap();
        transaction
            .batch_execute(&damages::past_the_guards(sql))
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let evidence = Evidence {
            histories: &[history],
            provider: Some(statement),
        };
        let report = check_tables(&transaction, evidence).await.unwrap();
        transaction.rollback().await.unwrap();
        report
    }

    /// Has a server read a damaged copy, and looks at it through that server; `renamed` never reaches it as it was sent.
    async fn serve(&self, sql: &str, history: &[Request], renamed: Option<&'static str>) -> Report {
        let copy = self.copies.damaged(sql).await;
        let server = Server::start(&copy, &self.sandbox).await;
        let between = renamed.map(|name| Renaming::before(server.address(), name));
        let path = server::scratch("history.jsonl");
        drive::write(&path, history).await;
        let plan = Plan {
            histories: vec![path.clone()],
            nodes: vec![between.as_ref().map_or_else(|| server.url(), Renaming::url)],
            ..Plan::new(&self.copies.reading(&copy))
        };
        let report = check(&plan).await;
        // The folder of scratch files is emptied with the build.
        let _ = std::fs::remove_file(path);
        report.unwrap()
    }
}
