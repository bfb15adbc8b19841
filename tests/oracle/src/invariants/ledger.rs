//! The ledger balances, and says the same as wallets, orders, payments and refunds.

use super::Holds::{Always, AtRest, Sampled};
use super::{Invariant, invariant};

pub(super) const INVARIANTS: &[Invariant] = &[
    invariant(
        "ledger.trial_balance_is_zero",
        Sampled,
        "All entries of a currency add up to zero.",
        "SELECT currency, sum(amount) AS balance FROM ledger_entries GROUP BY currency HAVING sum(amount) <> 0",
    ),
    invariant(
        "ledger.transaction_balances",
        Sampled,
        "Every transaction has at least two entries, none of them zero, which add up to zero.",
        "SELECT source_id, step, accounts, amounts FROM ledger_transactions AS t \
         WHERE (SELECT coalesce(sum(amount), 0) FROM unnest(amounts) AS amount) <> 0 \
            OR cardinality(amounts) < 2 OR cardinality(accounts) <> cardinality(amounts) \
            OR cardinality(owners) <> cardinality(amounts) OR 0 = ANY (amounts) \
            OR array_position(amounts, NULL) IS NOT NULL OR array_position(accounts, NULL) IS NOT NULL",
    ),
    invariant(
        "ledger.wallet_equals_entries",
        Sampled,
        "What a wallet may spend and has reserved is the sum of its entries.",
        "SELECT coalesce(w.user_id, e.owner_id) AS user_id, w.balance, w.held, \
            e.balance AS posted_balance, e.held AS posted_held \
         FROM wallets AS w FULL JOIN ( \
            SELECT owner_id, coalesce(sum(amount) FILTER (WHERE account = 'user_wallet'), 0) AS balance, \
                coalesce(sum(amount) FILTER (WHERE account = 'wallet_hold'), 0) AS held \
            FROM ledger_entries WHERE account IN ('user_wallet', 'wallet_hold') GROUP BY owner_id) AS e \
            ON e.owner_id = w.user_id \
         WHERE coalesce(w.balance, 0) <> coalesce(e.balance, 0) OR coalesce(w.held, 0) <> coalesce(e.held, 0)",
    ),
    invariant(
        "ledger.no_wallet_is_negative",
        Sampled,
        "Nobody can have spent or reserved more than there was.",
        "SELECT user_id, balance, held FROM wallets WHERE balance < 0 OR held < 0",
    ),
    invariant(
        "ledger.wallet_change_is_its_entries",
        Always,
        "What a statement shows as the change of a wallet is what the transaction's entries do to it.",
        "SELECT t.source_id, t.step, t.wallet_change, coalesce(e.amount, 0) AS posted FROM ledger_transactions AS t \
         LEFT JOIN ( \
            SELECT source_id, step, owner_id, sum(amount) AS amount FROM ledger_entries WHERE account = 'user_wallet' \
            GROUP BY source_id, step, owner_id) AS e \
            ON e.source_id = t.source_id AND e.step = t.step AND e.owner_id = t.user_id \
         WHERE t.wallet_change <> coalesce(e.amount, 0)",
    ),
    invariant(
        "ledger.entries_have_an_account_and_its_owner",
        Always,
        "Every entry is of an account of the chart, which has an owner exactly if it is somebody's.",
        "SELECT t.source_id, t.step, e.account, e.owner_id FROM ledger_transactions AS t \
         CROSS JOIN LATERAL unnest(t.accounts, t.owners) AS e (account, owner_id) \
         LEFT JOIN ledger_accounts AS a USING (account) \
         WHERE a.name IS NULL OR (e.owner_id IS NOT NULL) <> \
            (a.name IN ('user_wallet', 'wallet_hold', 'creator_payable', 'affiliate_payable', 'refund_payable'))",
    ),
    invariant(
        "ledger.money_is_whole",
        Always,
        "Every column that holds money is an integer of 64 bits.",
        "SELECT table_name, column_name, udt_name FROM information_schema.columns \
         WHERE table_schema = 'public' \
            AND column_name IN ('amount', 'amounts', 'balance', 'held', 'price', 'total', 'wallet_change') \
            AND udt_name NOT IN ('int8', '_int8')",
    ),
    invariant(
        "ledger.one_currency",
        Always,
        "Everything is posted in the currency that courses are sold in.",
        "SELECT t.source_id, t.step, t.currency FROM ledger_transactions AS t \
         WHERE t.currency NOT IN (SELECT currency FROM course_versions) AND EXISTS (SELECT FROM course_versions)",
    ),
    invariant(
        "ledger.sale_of_each_paid_order",
        Always,
        "An order with access was posted once as a sale of its total, paid by its method, or by what was kept of it for its team.",
        "SELECT o.order_id, o.state, o.method, o.total, s.paid FROM orders AS o LEFT JOIN ( \
            SELECT t.source_id, -sum(e.amount) AS paid, min(e.account) AS account FROM ledger_transactions AS t \
            CROSS JOIN LATERAL unnest(t.accounts, t.amounts) AS e (account, amount) \
            WHERE t.step = 1 AND e.amount < 0 GROUP BY t.source_id) AS s ON s.source_id = o.order_id \
         WHERE o.total > 0 AND EXISTS (SELECT FROM grants AS g WHERE g.source = 'order' AND g.source_id = o.order_id) \
            AND (s.paid IS DISTINCT FROM o.total OR s.account <> CASE WHEN EXISTS ( \
                SELECT FROM ledger_transactions AS h WHERE h.source_id = o.order_id AND h.step = 3) THEN 10 \
                WHEN o.method = 'wallet' THEN 2 ELSE 1 END)",
    ),
    invariant(
        "ledger.fulfilled_order_is_posted",
        Always,
        "A fulfilled order that cost money has its sale in the ledger.",
        "SELECT o.order_id, o.total FROM orders AS o WHERE o.state = 'fulfilled' AND o.total > 0 \
            AND NOT EXISTS (SELECT FROM ledger_transactions AS t WHERE t.source_id = o.order_id AND t.step = 1)",
    ),
    invariant(
        "ledger.top_up_of_each_capture",
        AtRest,
        "A top-up is in the wallet exactly if its payment succeeded, and to the same amount.",
        "SELECT p.payment_id, p.state, p.amount, t.wallet_change FROM payments AS p \
         LEFT JOIN ledger_transactions AS t ON t.source_id = p.payment_id AND t.step = 2 \
         WHERE p.purpose = 'top_up' \
            AND t.wallet_change IS DISTINCT FROM CASE p.state WHEN 'succeeded' THEN p.amount END",
    ),
    invariant(
        "ledger.every_posting_has_its_cause",
        Always,
        "No transaction stands for an order, payment, refund or adjustment that does not exist, belongs to somebody else or is not due.",
        "SELECT t.source_id, t.step, t.user_id FROM ledger_transactions AS t WHERE NOT CASE \
            WHEN t.step IN (1, 3) THEN EXISTS ( \
                SELECT FROM orders AS o WHERE o.order_id = t.source_id AND o.user_id = t.user_id) \
            WHEN t.step = 5 THEN EXISTS ( \
                SELECT FROM adjustments AS a WHERE a.adjustment_id = t.source_id AND t.user_id = coalesce(a.user_id, a.maker) \
                    AND a.state IN ('approved', 'posted')) \
            WHEN t.step = 4 THEN EXISTS ( \
                SELECT FROM refunds AS r WHERE r.refund_id = t.source_id AND r.user_id = t.user_id \
                    AND r.state = 'succeeded') \
            ELSE EXISTS (SELECT FROM payments AS p WHERE p.payment_id = t.source_id AND p.user_id = t.user_id) END",
    ),
    invariant(
        "ledger.refund_reverses_its_sale",
        Always,
        "Once all of an order's money has gone back, its refunds have taken back entry for entry what its sale, or its capture \
         without a sale, had given to anybody but the payer.",
        "SELECT o.order_id, o.total, b.account, b.owner_id, sum(b.amount) AS left_over FROM orders AS o JOIN ( \
            SELECT t.source_id AS order_id, e.account, e.owner_id, e.amount FROM ledger_transactions AS t \
                CROSS JOIN LATERAL unnest(t.accounts, t.owners, t.amounts) AS e (account, owner_id, amount) WHERE t.step IN (1, 3) \
            UNION ALL SELECT r.order_id, e.account, e.owner_id, e.amount FROM refunds AS r \
                JOIN ledger_transactions AS t ON t.source_id = r.refund_id AND t.step = 4 \
                CROSS JOIN LATERAL unnest(t.accounts, t.owners, t.amounts) AS e (account, owner_id, amount)) AS b USING (order_id) \
         WHERE o.state = 'refunded' AND b.account NOT IN (1, 2) \
         GROUP BY o.order_id, b.account, b.owner_id HAVING sum(b.amount) <> 0",
    ),
    invariant(
        "ledger.refund_returns_its_amount",
        Always,
        "A refund that has succeeded has brought its amount to the wallet, or to the provider, and nothing else to either.",
        "SELECT r.refund_id, r.method, r.amount, b.accounts, b.amounts FROM refunds AS r \
         LEFT JOIN ledger_transactions AS b ON b.source_id = r.refund_id AND b.step = 4 \
         WHERE r.state = 'succeeded' AND r.amount > 0 AND r.amount IS DISTINCT FROM ( \
            SELECT sum(e.amount) FILTER (WHERE e.account = CASE r.method WHEN 'wallet' THEN 2 ELSE 1 END) \
                + count(*) FILTER (WHERE e.account = CASE r.method WHEN 'wallet' THEN 1 ELSE 2 END) \
            FROM unnest(b.accounts, b.amounts) AS e (account, amount))",
    ),
    invariant(
        "ledger.adjustment_is_posted_as_proposed",
        Always,
        "An adjustment that says that it is posted is in the ledger, entry for entry, and one that was not approved is not.",
        "SELECT a.adjustment_id, a.state, a.amounts AS proposed, t.amounts AS posted FROM adjustments AS a \
         LEFT JOIN ledger_transactions AS t ON t.source_id = a.adjustment_id AND t.step = 5 \
         WHERE CASE WHEN a.state = 'posted' OR t.source_id IS NOT NULL AND a.state = 'approved' \
            THEN (t.accounts, t.owners, t.amounts, t.currency) IS DISTINCT FROM (a.accounts, a.owners, a.amounts, a.currency) \
            ELSE t.source_id IS NOT NULL END",
    ),
    invariant(
        "ledger.guards_itself",
        Always,
        "The triggers that refuse what does not balance, and every change of what was posted, are there and switched on.",
        "SELECT g.guard, g.guarded FROM (VALUES ('ledger_balances', 'ledger_transactions'), \
            ('ledger_transactions_stay', 'ledger_transactions'), ('ledger_owners_noted', 'ledger_transactions'), \
            ('ledger_accounts_stay', 'ledger_accounts'), ('ledger_owners_stay', 'ledger_owners'), \
            ('trial_balances_stay', 'trial_balances'), ('trial_balance_accounts_stay', 'trial_balance_accounts'), \
            ('invoices_stay', 'invoices'), ('audit_log_stays', 'audit_log')) AS g (guard, guarded) \
         LEFT JOIN pg_trigger AS t ON t.tgname = g.guard AND t.tgrelid = g.guarded::regclass \
         WHERE t.tgenabled IS DISTINCT FROM 'O'",
    ),
    invariant(
        "ledger.owners_find_their_entries",
        Always,
        "Beside wallets and first creators, exactly those are listed as owners to whom entries belong.",
        "WITH due AS (SELECT DISTINCT l.owner_id, l.account, t.at, t.source_id, t.step FROM ledger_transactions AS t \
            CROSS JOIN LATERAL unnest(t.accounts, t.owners) WITH ORDINALITY AS l (account, owner_id, line) \
            WHERE l.owner_id IS NOT NULL AND l.account <> 2 \
                AND (l.account <> 4 OR 4 = ANY (t.accounts[1:l.line::int - 1]))), \
         listed AS (SELECT owner_id, account, at, source_id, step FROM ledger_owners) \
         SELECT 'missing' AS what, m.* FROM (SELECT * FROM due EXCEPT SELECT * FROM listed) AS m \
         UNION ALL SELECT 'nobody', n.* FROM (SELECT * FROM listed EXCEPT SELECT * FROM due) AS n",
    ),
    invariant(
        "ledger.summary_is_its_entries",
        Always,
        "The summary holds what the entries before its end add up to, by account and currency.",
        "SELECT account, currency, s.balance, s.entries, e.balance AS posted, e.entries AS posted_entries FROM ledger_summary AS s \
         FULL JOIN (SELECT l.account, t.currency, sum(l.amount) AS balance, count(*) AS entries FROM ledger_transactions AS t \
            CROSS JOIN LATERAL unnest(t.accounts, t.amounts) AS l (account, amount) \
            WHERE t.at < (SELECT summed_until FROM ledger_closing) GROUP BY l.account, t.currency) AS e \
            USING (account, currency) \
         WHERE coalesce(s.balance, 0) <> coalesce(e.balance, 0) OR coalesce(s.entries, 0) <> coalesce(e.entries, 0)",
    ),
    invariant(
        "ledger.trial_balances_were_zero",
        Always,
        "Every trial balance that was drawn adds up to zero, by its result and by its lines, and found the summary as it was.",
        "SELECT b.number, b.at, b.imbalance, b.drift, l.currency, l.total FROM trial_balances AS b LEFT JOIN ( \
            SELECT number, currency, sum(balance) AS total FROM trial_balance_accounts GROUP BY number, currency) AS l USING (number) \
         WHERE b.imbalance <> 0 OR b.drift <> 0 OR coalesce(l.total, 0) <> 0",
    ),
    invariant(
        "ledger.nothing_is_owed_at_rest",
        AtRest,
        "Money that was captured without a sale has gone back.",
        "SELECT owner_id, sum(amount) AS owed FROM ledger_entries WHERE account = 'refund_payable' \
         GROUP BY owner_id HAVING sum(amount) <> 0",
    ),
    invariant(
        "ledger.rows_commit_with_their_events",
        Always,
        "Every row of the ledger was written, once, by a transaction that wrote the journal.",
        "SELECT t.source_id, t.step, t.xmin::text AS written_by FROM ledger_transactions AS t \
         LEFT JOIN (SELECT DISTINCT txid::text::bigint % 4294967296 AS id FROM events) AS e \
            ON e.id = t.xmin::text::bigint \
         WHERE e.id IS NULL",
    ),
];
