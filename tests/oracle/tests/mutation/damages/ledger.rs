//! Damages to the ledger and the wallets. The ledger refuses them, so its triggers are switched off for each, and on again.

use super::{Damage, tables};

/// The sale of an order from the wallet.
macro_rules! wallet_sale {
    () => {
        "(SELECT source_id FROM ledger_transactions WHERE step = 1 AND accounts[1] = 2 ORDER BY source_id LIMIT 1)"
    };
}

pub(super) const DAMAGES: &[Damage] = &[
    tables(
        "ledger.trial_balance_is_zero",
        "money out of nothing",
        "UPDATE ledger_transactions SET amounts[2] = amounts[2] + 1000 WHERE step = 2",
    ),
    tables(
        "ledger.transaction_balances",
        "a line off by one",
        concat!(
            "UPDATE ledger_transactions SET amounts[1] = amounts[1] - 1 WHERE step = 1 AND source_id = ",
            wallet_sale!()
        ),
    ),
    tables(
        "ledger.wallet_equals_entries",
        "a balance off by one",
        "UPDATE wallets SET balance = balance + 1 WHERE user_id = (SELECT min(user_id::text)::uuid FROM wallets)",
    ),
    tables(
        "ledger.no_wallet_is_negative",
        "more spent than there was",
        "ALTER TABLE wallets DROP CONSTRAINT wallets_balance_check; UPDATE wallets SET balance = -1",
    ),
    tables(
        "ledger.wallet_change_is_its_entries",
        "a statement that shows another amount",
        concat!(
            "UPDATE ledger_transactions SET wallet_change = wallet_change - 1 WHERE step = 1 AND source_id = ",
            wallet_sale!()
        ),
    ),
    tables(
        "ledger.entries_have_an_account_and_its_owner",
        "an entry of an account that does not exist",
        concat!(
            "UPDATE ledger_transactions SET accounts[3] = 77 WHERE step = 1 AND source_id = ",
            wallet_sale!()
        ),
    ),
    tables(
        "ledger.entries_have_an_account_and_its_owner",
        "earnings of nobody",
        concat!(
            "UPDATE ledger_transactions SET owners[2] = NULL WHERE step = 1 AND source_id = ",
            wallet_sale!()
        ),
    ),
    tables(
        "ledger.money_is_whole",
        "a column with room for fractions",
        "ALTER TABLE wallets ALTER COLUMN held TYPE numeric",
    ),
    tables(
        "ledger.one_currency",
        "a swapped currency",
        concat!(
            "UPDATE ledger_transactions SET currency = 'USD' WHERE step = 1 AND source_id = ",
            wallet_sale!()
        ),
    ),
    tables(
        "ledger.sale_of_each_paid_order",
        "a sale taken from the wallet although the provider paid",
        "UPDATE ledger_transactions AS t SET accounts[1] = 2, owners[1] = t.user_id, \
            wallet_change = t.amounts[1] FROM orders AS o \
         WHERE o.order_id = t.source_id AND t.step = 1 AND o.method = 'sandbox'",
    ),
    tables(
        "ledger.fulfilled_order_is_posted",
        "a capture that is missing in the ledger",
        "DELETE FROM ledger_transactions AS t USING orders AS o \
         WHERE o.order_id = t.source_id AND t.step = 1 AND o.method = 'sandbox' AND o.state = 'fulfilled'",
    ),
    tables(
        "ledger.top_up_of_each_capture",
        "a top-up that is posted although its payment was declined",
        "UPDATE payments SET state = 'declined', charge_id = NULL WHERE purpose = 'top_up'",
    ),
    tables(
        "ledger.every_posting_has_its_cause",
        "a balanced transaction that stands for nothing",
        concat!(
            "INSERT INTO ledger_transactions SELECT gen_random_uuid(), step, user_id, at, wallet_change, accounts, \
                owners, amounts, currency FROM ledger_transactions WHERE step = 1 AND source_id = ",
            wallet_sale!()
        ),
    ),
    tables(
        "ledger.refund_reverses_its_sale",
        "a refund that takes one unit too few from the creator",
        "UPDATE ledger_transactions SET amounts[2] = amounts[2] + 1, amounts[3] = amounts[3] - 1 WHERE step = 4",
    ),
    tables(
        "ledger.refund_returns_its_amount",
        "a refund of which a unit stayed with the platform",
        "UPDATE ledger_transactions SET amounts[1] = amounts[1] - 1, amounts[2] = amounts[2] + 1 WHERE step = 4",
    ),
    tables(
        "ledger.nothing_is_owed_at_rest",
        "a surplus capture that never went back",
        "INSERT INTO ledger_transactions SELECT payment_id, 100, user_id, updated_at, 0, '{1,10}', \
            ARRAY[NULL, user_id], ARRAY[-amount, amount], 'CNY' FROM payments WHERE state = 'succeeded' LIMIT 1",
    ),
    tables(
        "ledger.rows_commit_with_their_events",
        "a transaction rewritten as it was",
        concat!(
            "UPDATE ledger_transactions SET amounts = amounts WHERE step = 1 AND source_id = ",
            wallet_sale!()
        ),
    ),
    tables(
        "books.ledger_follows_the_journal",
        "a revenue split off by one, balanced",
        concat!(
            "UPDATE ledger_transactions SET amounts[2] = amounts[2] + 1, amounts[3] = amounts[3] - 1 \
             WHERE step = 1 AND source_id = ",
            wallet_sale!()
        ),
    ),
    tables(
        "books.ledger_follows_the_journal",
        "a sale and its refund deleted together, which leaves every sum as it was",
        "DELETE FROM ledger_transactions AS t USING refunds AS r \
         WHERE (t.source_id = r.refund_id AND t.step = 4) OR (t.source_id = r.order_id AND t.step = 1)",
    ),
    tables(
        "books.ledger_follows_the_journal",
        "every amount of one sale doubled, with the wallet",
        concat!(
            "UPDATE wallets AS w SET balance = w.balance + t.wallet_change FROM ledger_transactions AS t \
             WHERE t.user_id = w.user_id AND t.step = 1 AND t.source_id = ",
            wallet_sale!(),
            "; UPDATE ledger_transactions SET wallet_change = 2 * wallet_change, \
                amounts = ARRAY(SELECT 2 * amount FROM unnest(amounts) AS amount) WHERE step = 1 AND source_id = ",
            wallet_sale!()
        ),
    ),
    tables(
        "ledger.every_posting_has_its_cause",
        "an adjustment that is posted although it was rejected",
        "INSERT INTO ledger_transactions SELECT adjustment_id, 5, maker, updated_at, 0, accounts, owners, amounts, currency \
         FROM adjustments WHERE state = 'rejected' AND user_id IS NULL",
    ),
    tables(
        "ledger.adjustment_is_posted_as_proposed",
        "an adjustment that was posted to another account",
        "UPDATE ledger_transactions SET accounts = ARRAY(SELECT CASE account WHEN 7 THEN 8 ELSE account END \
            FROM unnest(accounts) AS account) WHERE step = 5 AND 7 = ANY (accounts)",
    ),
    tables(
        "ledger.adjustment_is_posted_as_proposed",
        "an adjustment that says that it is posted and is not",
        "DELETE FROM ledger_transactions WHERE step = 5 AND wallet_change = 0",
    ),
    tables(
        "ledger.guards_itself",
        "a ledger that takes what does not balance",
        "DROP TRIGGER ledger_balances ON ledger_transactions",
    ),
    tables(
        "ledger.guards_itself",
        "a log that may be changed",
        "ALTER TABLE audit_log DISABLE TRIGGER audit_log_stays",
    ),
    tables(
        "ledger.owners_find_their_entries",
        "a second creator whose statement lacks a sale",
        "DELETE FROM ledger_owners",
    ),
    tables(
        "ledger.owners_find_their_entries",
        "a statement with a sale of somebody else's",
        "INSERT INTO ledger_owners SELECT gen_random_uuid(), 4, at, source_id, step FROM ledger_transactions WHERE step = 1 LIMIT 1",
    ),
    tables(
        "ledger.summary_is_its_entries",
        "a summary off by one",
        "UPDATE ledger_closing SET summed_until = now(); DELETE FROM ledger_summary; \
         INSERT INTO ledger_summary SELECT account, currency, balance + 1, entries FROM ledger_sums('1970-01-01', now())",
    ),
    tables(
        "ledger.trial_balances_were_zero",
        "a trial balance that was not zero and that nobody looked at",
        "UPDATE trial_balances SET imbalance = 1",
    ),
    tables(
        "ledger.trial_balances_were_zero",
        "a trial balance whose lines do not add up to its result",
        "INSERT INTO trial_balance_accounts SELECT number, 6, 'CNY', 5, 1 FROM trial_balances LIMIT 1",
    ),
    tables(
        "books.wallets_follow_the_journal",
        "a wallet that is gone",
        "DELETE FROM wallets WHERE user_id = (SELECT min(user_id::text)::uuid FROM wallets)",
    ),
];
