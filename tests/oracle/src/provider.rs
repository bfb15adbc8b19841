//! The provider's own list of charges and refunds beside payments and the ledger.
//!
//! The provider is the one witness who knows what was really charged. Its references are ours: the payment of a charge,
//! the refund of a refund, and the payment again where a surplus goes back.

use std::collections::HashMap;

use serde::Deserialize;
use tokio_postgres::Transaction;
use uuid::Uuid;

use crate::Failure;
use crate::books::Books;
use crate::node::Node;
use crate::report::{Report, Rule};
use crate::typeid;

/// One attempt to take money, as the provider lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Charge {
    /// The provider's id.
    pub id: String,
    /// The key of the attempt.
    pub key: String,
    /// The payment.
    pub reference: String,
    /// `succeeded` or `declined`.
    pub state: String,
    /// Minor units.
    pub amount: i64,
    /// ISO 4217.
    pub currency: String,
}

/// One attempt to give money back, as the provider lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Refund {
    /// The provider's id.
    pub id: String,
    /// The charge whose money goes back.
    pub charge_id: String,
    /// The refund, or the payment of a surplus.
    pub reference: String,
    /// `succeeded` or `failed`.
    pub state: String,
    /// Minor units.
    pub amount: i64,
    /// ISO 4217.
    pub currency: String,
}

/// Everything the provider says.
#[derive(Clone, Debug, Default)]
pub struct Statement {
    /// Charges, oldest first.
    pub charges: Vec<Charge>,
    /// Refunds, oldest first.
    pub refunds: Vec<Refund>,
}

#[derive(Deserialize)]
struct Listed<T> {
    data: Vec<T>,
}

impl Statement {
    /// Asks the provider at this URL.
    ///
    /// # Errors
    /// When it does not answer, or not with a list.
    pub async fn fetch(url: &str) -> Result<Self, Failure> {
        let node = Node::new(url);
        let charges: Listed<Charge> = serde_json::from_slice(&node.get("/v1/charges", None).await?.body)?;
        let refunds: Listed<Refund> = serde_json::from_slice(&node.get("/v1/refunds", None).await?.body)?;
        Ok(Self {
            charges: charges.data,
            refunds: refunds.data,
        })
    }

    /// Whether the provider has a charge or refund of this id.
    pub(crate) fn knows(&self, id: Option<&str>) -> bool {
        id.is_some_and(|id| {
            self.charges.iter().any(|charge| charge.id == id)
                || self.refunds.iter().any(|refund| refund.id == id)
        })
    }
}

const ONE_CHARGE: Rule = Rule {
    name: "provider.nobody_is_charged_twice",
    says: "Of the charges of one payment that succeeded, all but one have gone back.",
};
const CHARGE_KNOWN: Rule = Rule {
    name: "provider.every_charge_is_known",
    says: "Every charge that succeeded is the one of its payment, or a surplus of it, and of its amount.",
};
const CHARGE_EXISTS: Rule = Rule {
    name: "provider.every_success_was_charged",
    says: "Every payment that succeeded has its charge at the provider.",
};
const REFUND_KNOWN: Rule = Rule {
    name: "provider.every_refund_is_known",
    says: "Every refund at the provider is one of ours, of its amount, from its own charge.",
};
const REFUND_EXISTS: Rule = Rule {
    name: "provider.every_refund_was_sent_once",
    says: "Every refund through the provider that succeeded was sent there, once.",
};
const WITHIN_CHARGE: Rule = Rule {
    name: "provider.refunds_within_charge",
    says: "No more goes back from a charge than it took.",
};
const CALLBACKS: Rule = Rule {
    name: "provider.every_callback_is_worked_through",
    says: "Every callback about a charge or refund that the provider has was worked through once it was taken in.",
};
const SUM: Rule = Rule {
    name: "provider.sum_is_the_ledger",
    says: "What the provider took and has not given back is what the ledger says it holds for us.",
};

/// Every rule of this module.
pub(crate) const RULES: [Rule; 8] = [
    ONE_CHARGE,
    CHARGE_KNOWN,
    CHARGE_EXISTS,
    REFUND_KNOWN,
    REFUND_EXISTS,
    WITHIN_CHARGE,
    CALLBACKS,
    SUM,
];

/// Callbacks that were taken in and not worked through: refused ones, and ones that are under way.
pub(crate) const UNPROCESSED: &str = "SELECT event_id, body -> 'data' ->> 'id' AS subject FROM provider_events \
    WHERE processed_at IS NULL";

/// Those that had time to be: a provider delivers again whenever it likes, so one may come in while nothing else happens.
const OVERDUE: &str = "SELECT event_id, body -> 'data' ->> 'id' AS subject FROM provider_events \
    WHERE processed_at IS NULL AND received_at < now() - interval '1 second'";

/// Compares the provider's statement with the books and the ledger of a snapshot.
pub(crate) async fn examine(
    statement: &Statement,
    books: &Books,
    snapshot: &Transaction<'_>,
    report: &mut Report,
) -> Result<(), Failure> {
    for rule in RULES {
        report.examine(rule);
    }
    report.count("charges at the provider", statement.charges.len());
    report.count("refunds at the provider", statement.refunds.len());
    charges(statement, books, report);
    refunds(statement, books, report);
    for row in snapshot.query(OVERDUE, &[]).await? {
        if statement.knows(row.get("subject")) {
            report.violate(CALLBACKS, 1, row.get("event_id"));
        }
    }
    sum(statement, snapshot, report).await
}

fn succeeded_charges(statement: &Statement) -> impl Iterator<Item = &Charge> {
    statement
        .charges
        .iter()
        .filter(|charge| charge.state == "succeeded")
}

fn succeeded_refunds(statement: &Statement) -> impl Iterator<Item = &Refund> {
    statement
        .refunds
        .iter()
        .filter(|refund| refund.state == "succeeded")
}

fn charges(statement: &Statement, books: &Books, report: &mut Report) {
    let mut kept: HashMap<&str, i64> = HashMap::new();
    let mut by_id: HashMap<&str, &Charge> = HashMap::new();
    for charge in succeeded_charges(statement) {
        *kept.entry(&charge.reference).or_default() += 1;
        by_id.insert(&charge.id, charge);
        let payment = typeid::parse("pay", &charge.reference).and_then(|id| books.payments.get(&id));
        let known = payment.is_some_and(|payment| {
            let own = payment.charge.as_deref() == Some(&charge.id);
            let surplus = payment.surplus.iter().any(|(id, _)| *id == charge.id);
            (own || surplus)
                && payment.amount == Some(charge.amount)
                && payment.currency.as_deref() == Some(&charge.currency)
        });
        if !known {
            report.violate(CHARGE_KNOWN, 1, format!("{charge:?}"));
        }
    }
    for refund in succeeded_refunds(statement).filter(|refund| refund.reference.starts_with("pay_")) {
        *kept.entry(&refund.reference).or_default() -= 1;
    }
    for (reference, charges) in kept {
        if charges > 1 {
            report.violate(ONE_CHARGE, 1, format!("{reference} was charged {charges} times"));
        }
    }
    for (id, payment) in &books.payments {
        let own = payment.charge.iter();
        for charge in own.chain(payment.surplus.iter().map(|(charge, _)| charge)) {
            if !by_id.contains_key(charge.as_str()) {
                report.violate(
                    CHARGE_EXISTS,
                    1,
                    format!("{charge} of {}", typeid::write("pay", *id)),
                );
            }
        }
    }
}

fn refunds(statement: &Statement, books: &Books, report: &mut Report) {
    let taken: HashMap<&str, i64> = succeeded_charges(statement)
        .map(|charge| (charge.id.as_str(), charge.amount))
        .collect();
    let mut returned: HashMap<&str, i64> = HashMap::new();
    let mut sent: HashMap<&str, i64> = HashMap::new();
    // Refunds as the books know them: the charge and the amount, by what the provider calls them.
    let mut ours: HashMap<String, (&str, i64)> = HashMap::new();
    for order in books.orders.values() {
        let charge = books
            .payments
            .get(&order.pays().0)
            .and_then(|payment| payment.charge.as_deref());
        let Some(charge) = charge else { continue };
        for refund in order
            .refunds
            .iter()
            .filter(|refund| refund.succeeded() && !refund.to_wallet)
        {
            ours.insert(typeid::write("ref", refund.id), (charge, refund.amount));
        }
    }
    for refund in succeeded_refunds(statement) {
        *returned.entry(&refund.charge_id).or_default() += refund.amount;
        let known = if let Some(payment) = typeid::parse("pay", &refund.reference) {
            is_surplus(books, payment, refund)
        } else {
            *sent.entry(&refund.reference).or_default() += 1;
            ours.get(&refund.reference) == Some(&(refund.charge_id.as_str(), refund.amount))
        };
        if !known {
            report.violate(REFUND_KNOWN, 1, format!("{refund:?}"));
        }
    }
    for (charge, amount) in returned {
        if taken.get(charge).is_none_or(|taken| amount > *taken) {
            report.violate(WITHIN_CHARGE, 1, format!("{amount} from {charge}"));
        }
    }
    for (reference, (charge, amount)) in ours {
        let times = sent.get(reference.as_str()).copied().unwrap_or_default();
        if times != 1 {
            report.violate(
                REFUND_EXISTS,
                1,
                format!("{reference} of {amount} from {charge}: {times} times"),
            );
        }
    }
}

fn is_surplus(books: &Books, payment: Uuid, refund: &Refund) -> bool {
    books.payments.get(&payment).is_some_and(|payment| {
        let returned = payment
            .surplus
            .iter()
            .any(|(charge, back)| *charge == refund.charge_id && *back);
        returned && payment.amount == Some(refund.amount)
    })
}

async fn sum(statement: &Statement, snapshot: &Transaction<'_>, report: &mut Report) -> Result<(), Failure> {
    let mut held: HashMap<String, i64> = HashMap::new();
    for charge in succeeded_charges(statement) {
        *held.entry(charge.currency.clone()).or_default() += charge.amount;
    }
    for refund in succeeded_refunds(statement) {
        *held.entry(refund.currency.clone()).or_default() -= refund.amount;
    }
    // Of what operators adjust by hand, such as its fees, the provider's list of charges knows nothing.
    let sql = "SELECT currency, (-sum(amount))::bigint AS held FROM ledger_entries WHERE account = 'provider_clearing' \
        AND step <> 5 GROUP BY currency";
    for row in snapshot.query(sql, &[]).await? {
        let (currency, posted): (String, i64) = (row.get(0), row.get(1));
        let at_provider = held.remove(&currency).unwrap_or_default();
        if at_provider != posted {
            report.violate(
                SUM,
                1,
                format!("{currency}: the provider has {at_provider}, the ledger {posted}"),
            );
        }
    }
    for (currency, left) in held.into_iter().filter(|(_, left)| *left != 0) {
        report.violate(
            SUM,
            1,
            format!("{currency}: the provider has {left}, the ledger nothing"),
        );
    }
    Ok(())
}
