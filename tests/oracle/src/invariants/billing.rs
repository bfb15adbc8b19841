//! Invoices and credit notes: one each, numbered without gaps, and equal to what was sold and given back.

use super::Holds::{Always, AtRest, Sampled};
use super::{Invariant, invariant};

pub(super) const INVARIANTS: &[Invariant] = &[
    invariant(
        "billing.numbers_have_no_gaps",
        Sampled,
        "The numbers of each series go from 1 to its last without gaps, and its year is that of the days they were issued on.",
        "SELECT series, s.last, i.documents, i.first, i.highest, i.years FROM invoice_series AS s \
         FULL JOIN (SELECT series, count(*) AS documents, min(number) AS first, max(number) AS highest, \
            count(*) FILTER (WHERE right(series, 4) <> to_char(issued_on, 'YYYY') \
                OR left(series, 3) <> CASE kind WHEN 'invoice' THEN 'INV' ELSE 'CRN' END) AS years \
            FROM invoices GROUP BY series) AS i USING (series) \
         WHERE s.last IS DISTINCT FROM i.highest OR i.documents <> i.highest OR i.first <> 1 OR i.years > 0",
    ),
    invariant(
        "billing.one_invoice_per_sale",
        AtRest,
        "Every order whose sale is in the ledger has one invoice, of its total and that of the ledger, and no other order has one.",
        "SELECT coalesce(s.source_id, i.order_id) AS order_id, o.total, s.paid, i.invoices, i.total AS invoiced FROM ( \
            SELECT t.source_id, -sum(e.amount) AS paid FROM ledger_transactions AS t \
            CROSS JOIN LATERAL unnest(t.amounts) AS e (amount) WHERE t.step = 1 AND e.amount < 0 GROUP BY t.source_id) AS s \
         FULL JOIN (SELECT order_id, count(*) AS invoices, sum(total) AS total FROM invoices WHERE kind = 'invoice' \
            GROUP BY order_id) AS i ON i.order_id = s.source_id \
         LEFT JOIN orders AS o ON o.order_id = coalesce(s.source_id, i.order_id) \
         WHERE i.invoices IS DISTINCT FROM 1 OR i.total IS DISTINCT FROM s.paid OR i.total IS DISTINCT FROM o.total",
    ),
    invariant(
        "billing.one_credit_note_per_refund",
        AtRest,
        "Every refund that took back a part of a sale has one credit note over exactly that, and no other refund has one.",
        "SELECT coalesce(r.refund_id, i.refund_id) AS refund_id, r.amount, i.notes, i.total FROM ( \
            SELECT r.refund_id, r.order_id, r.amount FROM refunds AS r WHERE r.state = 'succeeded' AND r.amount > 0 \
                AND EXISTS (SELECT FROM ledger_transactions AS t WHERE t.source_id = r.order_id AND t.step = 1)) AS r \
         FULL JOIN (SELECT refund_id, count(*) AS notes, sum(total) AS total, min(order_id::text)::uuid AS order_id \
            FROM invoices WHERE kind = 'credit_note' GROUP BY refund_id) AS i USING (refund_id) \
         WHERE i.notes IS DISTINCT FROM 1 OR i.total IS DISTINCT FROM -r.amount OR i.order_id IS DISTINCT FROM r.order_id",
    ),
    invariant(
        "billing.documents_add_up",
        Always,
        "The lines of a document add up to its total and to its tax, and no line is taxed beyond what it cost.",
        "SELECT i.series, i.number, i.total, i.tax, l.net, l.tax AS taxes FROM invoices AS i CROSS JOIN LATERAL ( \
            SELECT sum((line->>'net')::bigint) AS net, sum((line->>'tax')::bigint) AS tax, \
                bool_or(abs((line->>'tax')::bigint) > abs((line->>'net')::bigint) \
                    OR (line->>'price')::bigint - (line->>'discount')::bigint <> (line->>'net')::bigint) AS beyond \
            FROM json_array_elements(i.lines) AS line) AS l \
         WHERE l.net IS DISTINCT FROM i.total OR l.tax IS DISTINCT FROM i.tax OR l.beyond",
    ),
    invariant(
        "billing.tax_is_that_of_its_rate",
        Always,
        "An invoice contains the tax of its total at its rate, rounded half up.",
        "SELECT series, number, total, tax, tax_bps FROM invoices WHERE kind = 'invoice' \
            AND tax <> (2 * total * tax_bps + 10000 + tax_bps) / (2 * (10000 + tax_bps))",
    ),
    invariant(
        "billing.credit_notes_stay_within_their_invoice",
        Always,
        "A credit note belongs to the buyer and the order of an invoice; all of them together never exceed it in money or tax, \
         and take back all of the tax with all of the money.",
        "SELECT c.order_id, c.total, c.tax, i.total AS invoiced, i.tax AS taxed FROM ( \
            SELECT order_id, user_id, sum(total) AS total, sum(tax) AS tax FROM invoices WHERE kind = 'credit_note' \
            GROUP BY order_id, user_id) AS c \
         LEFT JOIN invoices AS i ON i.kind = 'invoice' AND i.order_id = c.order_id AND i.user_id = c.user_id \
         WHERE i.order_id IS NULL OR -c.total > i.total OR -c.tax > i.tax OR (-c.total = i.total AND -c.tax <> i.tax)",
    ),
    invariant(
        "billing.recipients_are_buyers",
        Always,
        "Documents are made out by whose order they are about.",
        "SELECT r.order_id, r.user_id, o.user_id AS buyer FROM invoice_recipients AS r LEFT JOIN orders AS o USING (order_id) \
         WHERE o.user_id IS DISTINCT FROM r.user_id",
    ),
    invariant(
        "billing.earnings_are_what_the_ledger_says",
        AtRest,
        "What creators have earned by documents, and given back, is what sales and refunds have posted for them.",
        "SELECT coalesce(e.creator_id, l.owner_id) AS creator_id, e.earned, e.refunded, l.sold, l.returned FROM ( \
            SELECT creator_id, sum(earned) AS earned, sum(refunded) AS refunded FROM earnings GROUP BY creator_id) AS e \
         FULL JOIN (SELECT l.owner_id, coalesce(sum(l.amount) FILTER (WHERE t.step = 1), 0) AS sold, \
            coalesce(sum(l.amount) FILTER (WHERE t.step = 4), 0) AS returned FROM ledger_transactions AS t \
            CROSS JOIN LATERAL unnest(t.accounts, t.owners, t.amounts) AS l (account, owner_id, amount) \
            WHERE l.account = 4 AND t.step IN (1, 4) GROUP BY l.owner_id) AS l ON l.owner_id = e.creator_id \
         WHERE coalesce(e.earned, 0) <> coalesce(l.sold, 0) OR coalesce(e.refunded, 0) <> coalesce(l.returned, 0)",
    ),
];
