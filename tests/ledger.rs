//! The chart of accounts, as the rules, docs/ledger.md and the tables have to agree on it.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use lyceum_domain::commerce::ledger::{Account, Side, Step};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The cells of the rows of the table under a heading.
fn table(document: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, rest) = document.split_once(&format!("## {heading}\n")).unwrap();
    rest.lines()
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            line.trim_matches('|')
                .split('|')
                .map(|cell| cell.trim().to_owned())
                .collect()
        })
        .collect()
}

#[test]
fn the_document_lists_every_account_as_the_rules_have_it() {
    let written = table(&read("docs/ledger.md"), "Accounts");

    let rules: Vec<[String; 5]> = Account::ALL
        .into_iter()
        .map(|account| {
            let posted_by: Vec<String> = Step::KINDS
                .into_iter()
                .filter(|step| step.posts_to(account))
                .map(|step| format!("`{}`", step.name()))
                .collect();
            let side = match account.side() {
                Side::Debit => "debit",
                Side::Credit => "credit",
            };
            [
                account.number().to_string(),
                format!("`{}`", account.name()),
                side.to_owned(),
                if account.is_owned() { "owned" } else { "" }.to_owned(),
                posted_by.join(" "),
            ]
        })
        .collect();
    let listed: Vec<[String; 5]> = written
        .iter()
        .map(|row| [0, 1, 2, 3, 5].map(|column| row[column].clone()))
        .collect();
    assert_eq!(listed, rules);
    assert!(written.iter().all(|row| !row[4].is_empty()));
}

#[test]
fn the_document_lists_every_kind_of_transaction() {
    let written = table(&read("docs/ledger.md"), "Transactions");

    let listed: Vec<(String, String)> = written
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();

    let number = |step: Step| match step {
        Step::Surplus(_) => "100 + 2n".to_owned(),
        Step::SurplusRefund(_) => "101 + 2n".to_owned(),
        Step::Sale
        | Step::TopUp
        | Step::Unfulfilled
        | Step::Refund
        | Step::Adjustment
        | Step::Payout
        | Step::Forfeiture => step.number().to_string(),
    };
    let rules: Vec<(String, String)> = Step::KINDS
        .into_iter()
        .map(|step| (number(step), format!("`{}`", step.name())))
        .collect();
    assert_eq!(listed, rules);
}

#[test]
fn every_example_balances_and_posts_where_its_kind_may() {
    let document = read("docs/ledger.md");
    let (_, examples) = document.split_once("One example of each").unwrap();
    let mut lines = examples.lines().filter(|line| line.starts_with('|'));
    let cells = |line: &str| -> Vec<String> {
        let inner = line.strip_prefix('|').unwrap().strip_suffix('|').unwrap();
        inner.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let head = cells(lines.next().unwrap());
    let account = |column: usize| {
        let name = head[column].trim_matches('`');
        Account::ALL
            .into_iter()
            .find(|account| account.name() == name)
            .unwrap()
    };
    let mut kinds = Vec::new();
    for line in lines.skip(1) {
        let row = cells(line);
        let kind = row[0].split('`').nth(1).unwrap().to_owned();
        let step = Step::KINDS.into_iter().find(|step| step.name() == kind).unwrap();
        let mut sum = 0;
        for (column, cell) in row
            .iter()
            .enumerate()
            .skip(1)
            .filter(|(_, cell)| !cell.is_empty())
        {
            let (amount, owner) = cell.split_once(' ').unwrap_or((cell, ""));
            sum += amount.parse::<i64>().unwrap();

            assert!(step.posts_to(account(column)), "{line}");
            assert_eq!(account(column).is_owned(), !owner.is_empty(), "{line}");
        }
        assert_eq!(sum, 0, "{line}");
        kinds.push(kind);
    }
    for step in Step::KINDS {
        assert!(
            kinds.iter().any(|kind| kind == step.name()),
            "{} has no example",
            step.name()
        );
    }
}

#[test]
fn the_table_of_accounts_is_the_chart() {
    let migration = read("config/migrations/0004_commerce.sql");
    for account in Account::ALL {
        let row = format!("({}, '{}')", account.number(), account.name());
        assert!(migration.contains(&row), "{row}");
    }
    // The trigger's condition leaves out what the chart knows.
    let numbers: Vec<String> = Account::ALL
        .into_iter()
        .map(|account| account.number().to_string())
        .collect();
    let condition = format!("'{{{}}}'::smallint[]", numbers.join(","));
    assert!(read("config/migrations/0012_ledger.sql").contains(&condition));
}

#[test]
fn numbers_of_accounts_and_steps_are_read_back() {
    for account in Account::ALL {
        assert_eq!(Account::of_number(account.number()), Some(account));
    }
    for step in Step::KINDS
        .into_iter()
        .chain([Step::Surplus(7), Step::SurplusRefund(7)])
    {
        assert_eq!(Step::of_number(step.number()), Some(step));
    }
    assert_eq!(
        (Account::of_number(0), Step::of_number(0), Step::of_number(6)),
        (None, None, None)
    );
}
