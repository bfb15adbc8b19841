//! The ledger's tables: one row for each transaction, and the wallet it changes.
//!
//! The entries of a transaction share a row as arrays, which is a third of the tuples, index entries and WAL
//! records of a row for each; the view `ledger_entries` shows them one by one.

use std::fmt::Write;

use lyceum_domain::commerce::ledger::{self, Entry, Transaction};
use lyceum_domain::commerce::payment::{self, Payment};
use lyceum_domain::commerce::{Buyer, Event};
use lyceum_domain::ids::UserId;
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Column, Effects, Table, row};

use super::payments::PaymentKey;

static WALLETS: Table = Table {
    name: "wallets",
    statement: "INSERT INTO wallets (user_id, balance, held) \
                SELECT user_id, balance, held FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) \
                AS w(user_id, balance, held) \
                ON CONFLICT (user_id) DO UPDATE SET balance = excluded.balance, held = excluded.held",
    columns: &[Column::Uuid, Column::Int, Column::Int],
    key: 1,
};

static TRANSACTIONS: Table = Table {
    name: "ledger_transactions",
    // No ON CONFLICT: a transaction that is posted twice must fail.
    statement: "INSERT INTO ledger_transactions (source_id, step, user_id, at, wallet_change, accounts, owners, amounts) \
                SELECT source_id, step, user_id, to_timestamp(at_ms / 1000.0), wallet_change, accounts::smallint[], \
                owners::uuid[], amounts::bigint[] \
                FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], \
                $8::text[]) AS t(source_id, step, user_id, at_ms, wallet_change, accounts, owners, amounts)",
    columns: &[
        Column::Uuid,
        Column::Int,
        Column::Uuid,
        Column::Time,
        Column::Int,
        Column::Text,
        Column::Text,
        Column::Text,
    ],
    key: 0,
};

/// The ledger rows of one event of a buyer.
pub(super) fn collect(user: UserId, state: &Buyer, event: &Event, now: Timestamp, effects: &mut Effects) {
    let Some(transaction) = ledger::posting(user, state, event) else {
        return;
    };
    if transaction.wallet_change() != 0 {
        let wallet = state.wallet();
        effects.row(&WALLETS, row![user, wallet.balance(), wallet.held()]);
    }
    write(user, &transaction, now, effects);
}

/// The ledger rows of one event of a payment.
pub(super) fn collect_payment(
    key: PaymentKey,
    state: &Payment,
    event: &payment::Event,
    now: Timestamp,
    effects: &mut Effects,
) {
    if let Some(transaction) = ledger::payment_posting(key.user, key.payment, state, event) {
        write(key.user, &transaction, now, effects);
    }
}

/// The row of a transaction that was posted for a user.
pub(super) fn write(user: UserId, transaction: &Transaction, now: Timestamp, effects: &mut Effects) {
    let (accounts, owners, amounts) = arrays(&transaction.entries);
    effects.row(
        &TRANSACTIONS,
        row![
            transaction.source,
            transaction.step.number(),
            user,
            now,
            transaction.wallet_change(),
            accounts,
            owners,
            amounts,
        ],
    );
}

/// Accounts, owners and amounts of some entries, as Postgres array literals.
pub(super) fn arrays(entries: &[Entry]) -> (String, String, String) {
    let owner = |entry: &Entry| entry.owner.map(|owner| uuid::Uuid::from_u128(owner.as_u128()));
    (
        array(entries.iter().map(|entry| Some(entry.account.number()))),
        array(entries.iter().map(owner)),
        array(entries.iter().map(|entry| Some(entry.amount))),
    )
}

/// A Postgres array literal.
fn array<T: std::fmt::Display>(values: impl Iterator<Item = Option<T>>) -> String {
    let mut text = String::with_capacity(64);
    for value in values {
        text.push(if text.is_empty() { '{' } else { ',' });
        match value {
            // Writing to a String does not fail.
            Some(value) => _ = write!(text, "{value}"),
            None => text.push_str("NULL"),
        }
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn array_literals_are_written_as_postgres_reads_them() {
        assert_eq!(array([Some(2), Some(-4)].into_iter()), "{2,-4}");
        assert_eq!(array([None, Some("a-b")].into_iter()), "{NULL,a-b}");
    }
}
