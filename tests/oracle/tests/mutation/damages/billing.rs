//! Damages to invoices and credit notes. They never change, so their triggers are switched off for each, and on again.

use super::{Damage, tables};

pub(super) const DAMAGES: &[Damage] = &[
    tables(
        "billing.numbers_have_no_gaps",
        "a number that was never given",
        "UPDATE invoices SET number = number + 1 WHERE kind = 'invoice' \
            AND number = (SELECT max(number) FROM invoices WHERE kind = 'invoice')",
    ),
    tables(
        "billing.numbers_have_no_gaps",
        "a series that is ahead of its documents",
        "UPDATE invoice_series SET last = last + 1 WHERE series LIKE 'CRN-%'",
    ),
    tables(
        "billing.one_invoice_per_sale",
        "an order whose invoice is lost",
        "DELETE FROM invoices AS i WHERE kind = 'invoice' AND number = (SELECT max(number) FROM invoices WHERE kind = 'invoice')",
    ),
    tables(
        "billing.one_invoice_per_sale",
        "an invoice over another amount than was paid",
        "UPDATE invoices SET total = total + 1 WHERE kind = 'invoice' AND number = 1",
    ),
    tables(
        "billing.one_credit_note_per_refund",
        "a refund whose credit note is lost",
        "DELETE FROM invoices WHERE kind = 'credit_note' AND number = 1",
    ),
    tables(
        "billing.one_credit_note_per_refund",
        "a credit note over one unit less than went back",
        "UPDATE invoices SET total = total + 1 WHERE kind = 'credit_note' AND number = 1",
    ),
    tables(
        "billing.documents_add_up",
        "a line with another tax",
        "UPDATE invoices SET lines = replace(lines::text, '\"tax\":', '\"tax\":1')::json WHERE kind = 'invoice' AND number = 1",
    ),
    tables(
        "billing.tax_is_that_of_its_rate",
        "an invoice at another rate than it says",
        "UPDATE invoices SET tax_bps = tax_bps + 700 WHERE kind = 'invoice' AND number = 1",
    ),
    tables(
        "billing.credit_notes_stay_within_their_invoice",
        "a credit note over more than was invoiced",
        "UPDATE invoices SET total = total * 3 WHERE kind = 'credit_note' AND number = 1",
    ),
    tables(
        "billing.recipients_are_buyers",
        "an invoice made out by a stranger",
        "INSERT INTO invoice_recipients (order_id, user_id, title) SELECT order_id, gen_random_uuid(), 'x' FROM orders LIMIT 1",
    ),
    tables(
        "billing.earnings_are_what_the_ledger_says",
        "earnings off by one",
        "UPDATE earnings SET earned = earned + 1 WHERE (creator_id, day, payable_on) = \
            (SELECT creator_id, day, payable_on FROM earnings ORDER BY creator_id, day, payable_on LIMIT 1)",
    ),
    tables(
        "ledger.guards_itself",
        "invoices that can be rewritten",
        "ALTER TABLE invoices DISABLE TRIGGER invoices_stay",
    ),
];
