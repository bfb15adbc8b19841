-- Commerce: what purchases, payments and refunds mean in rows, written with the events they follow from.
--
-- A wallet purchase of one course writes four rows here: wallets, orders, ledger_transactions, grants.

CREATE TABLE wallets (
    user_id uuid PRIMARY KEY,
    balance bigint NOT NULL CHECK (balance >= 0),
    held    bigint NOT NULL CHECK (held >= 0)
) WITH (fillfactor = 80);
COMMENT ON TABLE wallets IS
    'What each user may spend and has reserved, in minor units; equals the sums of its ledger entries, always.';

CREATE TABLE orders (
    order_id   uuid PRIMARY KEY,
    user_id    uuid NOT NULL,
    payment_id uuid NOT NULL,
    method     text NOT NULL,
    state      text NOT NULL CHECK (state IN ('pending', 'paid', 'fulfilled', 'fulfil_failed', 'refunding', 'refunded',
                                              'cancelled', 'expired')),
    saga       text NOT NULL,
    due_at     timestamptz,
    lines      bigint NOT NULL CHECK (lines > 0),
    total      bigint NOT NULL CHECK (total >= 0),
    placed_at  timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    -- Every saga that has not ended has a next action and a time for it.
    CHECK ((due_at IS NOT NULL) = (state IN ('pending', 'refunding')))
) WITH (fillfactor = 90);
COMMENT ON TABLE orders IS
    'Every order and the position of its checkout saga. What was bought is in grants once it is paid, and in the events.';
CREATE INDEX orders_open ON orders (order_id) WHERE due_at IS NOT NULL;

CREATE TABLE grants (
    source_id      uuid NOT NULL,
    course_id      uuid NOT NULL,
    source         text NOT NULL CHECK (source IN ('order', 'import')),
    user_id        uuid NOT NULL,
    course_version bigint NOT NULL,
    price          bigint NOT NULL CHECK (price >= 0),
    granted_at     timestamptz NOT NULL,
    revoked_at     timestamptz,
    PRIMARY KEY (source_id, course_id, source)
);
COMMENT ON TABLE grants IS
    'The right of a user to study a course, and the line of the order that it was bought with; imports have price 0.';
-- The last defence against selling a course twice to one user.
CREATE UNIQUE INDEX grants_one_live_order ON grants (user_id, course_id) WHERE source = 'order' AND revoked_at IS NULL;

CREATE TABLE payments (
    payment_id uuid PRIMARY KEY,
    user_id    uuid NOT NULL,
    purpose    text NOT NULL CHECK (purpose IN ('order', 'top_up')),
    order_id   uuid,
    provider   text,
    amount     bigint CHECK (amount > 0),
    state      text NOT NULL CHECK (state IN ('processing', 'unknown', 'succeeded', 'declined', 'cancelled')),
    attempt    bigint NOT NULL,
    charge_id  text,
    action     text,
    due_at     timestamptz,
    updated_at timestamptz NOT NULL,
    CHECK ((due_at IS NOT NULL) = (state IN ('processing', 'unknown')))
);
COMMENT ON TABLE payments IS
    'Payments through providers. One that was closed before it began has neither provider nor amount.';
CREATE INDEX payments_open ON payments (payment_id) WHERE due_at IS NOT NULL;

CREATE TABLE refunds (
    refund_id    uuid PRIMARY KEY,
    order_id     uuid NOT NULL,
    payment_id   uuid NOT NULL,
    user_id      uuid NOT NULL,
    method       text NOT NULL,
    amount       bigint NOT NULL CHECK (amount >= 0),
    state        text NOT NULL CHECK (state IN ('processing', 'unknown', 'failed', 'succeeded')),
    attempt      bigint NOT NULL,
    requested_at timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL
);
COMMENT ON TABLE refunds IS 'Refunds of orders, to the wallet or through the provider.';

CREATE TABLE ledger_accounts (
    account smallint PRIMARY KEY,
    name    text NOT NULL UNIQUE
);
COMMENT ON TABLE ledger_accounts IS 'The chart of accounts.';
INSERT INTO ledger_accounts (account, name) VALUES
    (1, 'provider_clearing'), (2, 'user_wallet'), (3, 'wallet_hold'), (4, 'creator_payable'), (5, 'affiliate_payable'),
    (6, 'platform_revenue'), (7, 'fees'), (8, 'tax_payable'), (9, 'chargeback_reserve'), (10, 'refund_payable');

CREATE TABLE ledger_transactions (
    source_id     uuid NOT NULL,
    step          smallint NOT NULL,
    user_id       uuid NOT NULL,
    at            timestamptz NOT NULL,
    wallet_change bigint NOT NULL,
    accounts      smallint[] NOT NULL,
    owners        uuid[] NOT NULL,
    amounts       bigint[] NOT NULL,
    currency      text NOT NULL DEFAULT 'CNY',
    PRIMARY KEY (source_id, step)
);
COMMENT ON TABLE ledger_transactions IS
    'The double-entry ledger, one row for each transaction: never changed, unique by what it stands for, and its '
    'amounts (credits positive) add up to zero. Three entries in one row cost a third of three rows; read ledger_entries.';
CREATE INDEX ledger_of_wallet ON ledger_transactions (user_id, at, source_id, step) WHERE wallet_change <> 0;

CREATE VIEW ledger_entries AS
SELECT t.source_id, t.step, e.line, a.name AS account, e.owner_id, e.amount, t.currency, t.user_id, t.at
FROM ledger_transactions AS t
CROSS JOIN LATERAL unnest(t.accounts, t.owners, t.amounts) WITH ORDINALITY AS e (account, owner_id, amount, line)
JOIN ledger_accounts AS a USING (account);
COMMENT ON VIEW ledger_entries IS 'One row for each entry of the ledger, unique by (source_id, step, line).';

CREATE TABLE provider_events (
    provider     text NOT NULL,
    event_id     text NOT NULL,
    kind         text NOT NULL,
    reference    text NOT NULL,
    body         json NOT NULL,
    deliveries   bigint NOT NULL DEFAULT 1,
    received_at  timestamptz NOT NULL DEFAULT now(),
    processed_at timestamptz,
    PRIMARY KEY (provider, event_id)
);
COMMENT ON TABLE provider_events IS 'The inbox of callbacks: each event is processed once, however often it is delivered.';

CREATE VIEW sagas AS
SELECT 'checkout' AS kind, order_id AS id, user_id, saga AS state, due_at, updated_at FROM orders WHERE due_at IS NOT NULL
UNION ALL
SELECT 'payment', payment_id, user_id, state, due_at, updated_at FROM payments WHERE due_at IS NOT NULL;
COMMENT ON VIEW sagas IS 'Every saga that has not ended.';
