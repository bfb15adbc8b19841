-- Invoices and credit notes with gapless numbers, and what creators have earned by them.

CREATE TABLE invoice_series (
    series text PRIMARY KEY,
    last   bigint NOT NULL CHECK (last > 0)
);
COMMENT ON TABLE invoice_series IS
    'The last number of each series (a kind and a year). It moves in the transaction that writes the documents, so that a series has no gaps.';

CREATE TABLE invoices (
    series      text NOT NULL,
    number      bigint NOT NULL CHECK (number > 0),
    kind        text NOT NULL CHECK (kind IN ('invoice', 'credit_note')),
    order_id    uuid NOT NULL,
    refund_id   uuid,
    user_id     uuid NOT NULL,
    currency    text NOT NULL,
    total       bigint NOT NULL,
    tax         bigint NOT NULL,
    tax_bps     int NOT NULL CHECK (tax_bps >= 0),
    lines       json NOT NULL,
    seller      json NOT NULL,
    supplied_at timestamptz NOT NULL,
    issued_at   timestamptz NOT NULL,
    issued_on   date NOT NULL,
    payable_on  date NOT NULL,
    PRIMARY KEY (series, number),
    CHECK ((refund_id IS NOT NULL) = (kind = 'credit_note')),
    CHECK (CASE kind WHEN 'invoice' THEN total > 0 AND tax >= 0 ELSE total < 0 AND tax <= 0 END)
);
COMMENT ON TABLE invoices IS
    'One invoice for each fulfilled order that cost something, one credit note for each refund of such an order. Never changed.';
COMMENT ON COLUMN invoices.total IS 'Tax included; negative on a credit note.';
COMMENT ON COLUMN invoices.issued_on IS 'The day of issue where the seller is; its year is that of the series.';
COMMENT ON COLUMN invoices.payable_on IS
    'From this day on creators can be paid what they earn by it; a credit note has that of its invoice, so that the two even out.';
CREATE UNIQUE INDEX invoices_one_per_order ON invoices (order_id) WHERE kind = 'invoice';
CREATE UNIQUE INDEX invoices_one_per_refund ON invoices (refund_id) WHERE kind = 'credit_note';
CREATE INDEX invoices_credited ON invoices (order_id) WHERE kind = 'credit_note';
CREATE INDEX invoices_of_user ON invoices (user_id, issued_at, series, number);
CREATE TRIGGER invoices_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON invoices
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE invoice_recipients (
    order_id uuid PRIMARY KEY,
    user_id  uuid NOT NULL,
    title    text NOT NULL,
    tax_id   text,
    named_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE invoice_recipients IS
    'To whom the documents of an order are made out: said once, with the order or afterwards.';

CREATE TABLE billing_cursor (
    one  boolean PRIMARY KEY DEFAULT true CHECK (one),
    txid bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE billing_cursor IS
    'One row: everything that buyers have decided up to this transaction is documented. Whoever locks it issues; the others pass by.';
INSERT INTO billing_cursor DEFAULT VALUES;

CREATE TABLE earnings (
    creator_id     uuid NOT NULL,
    day            date NOT NULL,
    payable_on     date NOT NULL,
    gross          bigint NOT NULL,
    earned         bigint NOT NULL,
    refunded_gross bigint NOT NULL,
    refunded       bigint NOT NULL,
    PRIMARY KEY (creator_id, day, payable_on)
) WITH (fillfactor = 70);
COMMENT ON TABLE earnings IS
    'What a creator has earned and given back on one day, by the day from which it can be paid out: the sums of the lines of documents, '
    'added in the transaction that issues them.';
COMMENT ON COLUMN earnings.refunded IS 'The creator''s part of what went back: negative, as on the credit notes.';
