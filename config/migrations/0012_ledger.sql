-- The ledger defends itself: what does not balance is refused at commit, what was posted stays, and what it adds up to is kept.

-- Looks at a whole row, once it is suspicious. An entry of an account that does not exist would be missing in every sum.
CREATE FUNCTION refuse_imbalance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF cardinality(NEW.amounts) < 2
        OR cardinality(NEW.accounts) <> cardinality(NEW.amounts) OR cardinality(NEW.owners) <> cardinality(NEW.amounts)
        OR EXISTS (SELECT FROM unnest(NEW.accounts, NEW.amounts) AS e (account, amount)
                   WHERE amount IS NULL OR amount = 0 OR account IS NULL
                       OR account NOT IN (SELECT a.account FROM ledger_accounts AS a))
        OR (SELECT sum(amount) FROM unnest(NEW.amounts) AS amount) <> 0 THEN
        RAISE EXCEPTION 'transaction % step % does not balance', NEW.source_id, NEW.step
            USING ERRCODE = 'check_violation', TABLE = 'ledger_transactions', CONSTRAINT = 'ledger_balances';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION refuse_imbalance() IS
    'The rule of double entry: at least two entries of accounts of the chart, none of them zero, which add up to zero.';

-- Deferred, so that it speaks last whatever a transaction does before. Its condition is evaluated as a row is inserted and is plain
-- arithmetic: a row of two to four good entries that add up to zero is never queued. A call of the function for each row made
-- inserting it three times as dear; decision 0019 has the figures.
CREATE CONSTRAINT TRIGGER ledger_balances AFTER INSERT ON ledger_transactions
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (
    NEW.amounts[1] IS NULL OR NEW.amounts[2] IS NULL OR cardinality(NEW.amounts) > 4
    OR array_upper(NEW.amounts, 1) <> cardinality(NEW.amounts)
    OR cardinality(NEW.accounts) <> cardinality(NEW.amounts) OR cardinality(NEW.owners) <> cardinality(NEW.amounts)
    OR NEW.amounts[1] + NEW.amounts[2] + coalesce(NEW.amounts[3], 0) + coalesce(NEW.amounts[4], 0) <> 0
    OR 0 = ANY (NEW.amounts) OR array_position(NEW.amounts, NULL) IS NOT NULL
    OR NOT NEW.accounts <@ '{1,2,3,4,5,6,7,8,9,10}'::smallint[]
) EXECUTE FUNCTION refuse_imbalance();

-- What was posted stays, also for the role that posts: a mistake is put right by another transaction.
CREATE TRIGGER ledger_transactions_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transactions
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_accounts_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_accounts
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Statements. A wallet's is read by ledger_of_wallet; a creator's by the first creator of each transaction, which is the only one
-- of nearly all of them, so that a purchase is charged one index entry and no row.
CREATE INDEX ledger_of_creator ON ledger_transactions
    ((owners[array_position(accounts, 4::smallint)]), at, source_id, step) WHERE array_position(accounts, 4::smallint) IS NOT NULL;

CREATE TABLE ledger_owners (
    owner_id  uuid NOT NULL,
    account   smallint NOT NULL,
    at        timestamptz NOT NULL,
    source_id uuid NOT NULL,
    step      smallint NOT NULL,
    PRIMARY KEY (owner_id, account, at, source_id, step)
);
COMMENT ON TABLE ledger_owners IS
    'Whom a transaction concerns beside its wallet and its first creator: where the statements of further creators, and of accounts '
    'that are seldom posted to, begin.';
CREATE TRIGGER ledger_owners_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_owners
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION note_owners() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger_owners (owner_id, account, at, source_id, step)
    SELECT DISTINCT owner_id, account, NEW.at, NEW.source_id, NEW.step
    FROM unnest(NEW.accounts, NEW.owners) WITH ORDINALITY AS e (account, owner_id, line)
    WHERE owner_id IS NOT NULL AND account <> 2
        AND line IS DISTINCT FROM array_position(NEW.accounts, 4::smallint);
    RETURN NULL;
END
$$;
-- Again the condition leaves out what is frequent: rows with no other owner than a wallet and one creator.
CREATE TRIGGER ledger_owners_noted AFTER INSERT ON ledger_transactions FOR EACH ROW WHEN (
    cardinality(array_remove(NEW.owners, NULL)) > cardinality(array_positions(NEW.accounts, 2::smallint))
        + CASE WHEN array_position(NEW.accounts, 4::smallint) IS NULL THEN 0 ELSE 1 END
) EXECUTE FUNCTION note_owners();
INSERT INTO ledger_owners (owner_id, account, at, source_id, step)
SELECT DISTINCT e.owner_id, e.account, t.at, t.source_id, t.step
FROM ledger_transactions AS t
CROSS JOIN LATERAL unnest(t.accounts, t.owners) WITH ORDINALITY AS e (account, owner_id, line)
WHERE e.owner_id IS NOT NULL AND e.account <> 2 AND e.line IS DISTINCT FROM array_position(t.accounts, 4::smallint);

-- Rows arrive in the order of their time, or nearly, so that an index of blocks finds a stretch of time for next to nothing.
CREATE INDEX ledger_by_time ON ledger_transactions USING brin (at) WITH (pages_per_range = 32);

-- What every account was moved by in a stretch of time. Transactions of one form are added up place by place before they are taken
-- apart: unnesting each of ten million took four times as long.
CREATE FUNCTION ledger_sums(since timestamptz, until timestamptz)
RETURNS TABLE (account smallint, currency text, balance bigint, entries bigint) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    WITH forms AS (
        SELECT t.accounts, t.currency, count(*) AS transactions, sum(t.amounts[1]) AS first, sum(t.amounts[2]) AS second,
            sum(t.amounts[3]) AS third, sum(t.amounts[4]) AS fourth,
            sum(t.amounts[5]) AS fifth, sum(t.amounts[6]) AS sixth
        FROM ledger_transactions AS t
        WHERE t.at >= since AND t.at < until AND cardinality(t.amounts) <= 6
        GROUP BY t.accounts, t.currency
    ), parts AS (
        SELECT e.account, f.currency, e.amount, f.transactions
        FROM forms AS f
        CROSS JOIN LATERAL unnest(f.accounts, ARRAY[first, second, third, fourth, fifth, sixth]) AS e (account, amount)
        WHERE e.amount IS NOT NULL
        UNION ALL
        SELECT e.account, t.currency, sum(e.amount), count(*)
        FROM ledger_transactions AS t CROSS JOIN LATERAL unnest(t.accounts, t.amounts) AS e (account, amount)
        WHERE t.at >= since AND t.at < until AND cardinality(t.amounts) > 6
        GROUP BY e.account, t.currency
    )
    SELECT p.account, p.currency, sum(p.amount)::bigint, sum(p.transactions)::bigint FROM parts AS p GROUP BY p.account, p.currency
$$;

CREATE TABLE ledger_summary (
    account  smallint NOT NULL,
    currency text NOT NULL,
    balance  bigint NOT NULL,
    entries  bigint NOT NULL,
    PRIMARY KEY (account, currency)
);
COMMENT ON TABLE ledger_summary IS
    'What every account adds up to, of everything posted before ledger_closing.summed_until. Compared with the ledger itself once a day.';

CREATE TABLE ledger_closing (
    one          boolean PRIMARY KEY DEFAULT true CHECK (one),
    summed_until timestamptz NOT NULL DEFAULT '1970-01-01T00:00:00Z',
    summed_at    timestamptz NOT NULL DEFAULT '1970-01-01T00:00:00Z',
    balance_due  timestamptz NOT NULL DEFAULT '1970-01-01T00:00:00Z'
);
COMMENT ON TABLE ledger_closing IS
    'One row: how far the ledger is summed up, and when the next trial balance is due. Whoever locks it does the work; the others pass by.';
INSERT INTO ledger_closing DEFAULT VALUES;

CREATE TABLE trial_balances (
    number    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    node      text NOT NULL,
    until     timestamptz NOT NULL,
    imbalance bigint NOT NULL,
    drift     bigint NOT NULL,
    took_ms   bigint NOT NULL
);
COMMENT ON TABLE trial_balances IS 'The trial balances that were drawn, each over the whole ledger before `until`.';
COMMENT ON COLUMN trial_balances.imbalance IS 'What the accounts add up to, over all currencies without their signs; anything but 0 is an incident.';
COMMENT ON COLUMN trial_balances.drift IS 'By how much the summary differed from the ledger, over all accounts; it was made anew then.';

CREATE TABLE trial_balance_accounts (
    number   bigint NOT NULL REFERENCES trial_balances,
    account  smallint NOT NULL,
    currency text NOT NULL,
    balance  bigint NOT NULL,
    entries  bigint NOT NULL,
    PRIMARY KEY (number, account, currency)
);
COMMENT ON TABLE trial_balance_accounts IS 'The lines of the trial balances.';
CREATE TRIGGER trial_balances_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON trial_balances
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER trial_balance_accounts_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON trial_balance_accounts
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
