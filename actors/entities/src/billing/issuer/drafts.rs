//! What has to be documented, and the documents before they have their numbers.

use std::collections::{BTreeMap, BTreeSet};

use lyceum_domain::billing::{Document, DocumentLine};
use lyceum_domain::commerce::order::Placement;
use lyceum_domain::commerce::refund::RefundTerms;
use lyceum_domain::commerce::{Event, Line, RefundState};
use lyceum_domain::ids::{OrderId, RefundId};
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Entity, StoreError};
use tokio_postgres::Transaction;
use uuid::Uuid;

use crate::commerce::Buyers;

/// The decision that placed an order, looked for backwards from the one that fulfilled it: it is few versions before, however much
/// its buyer has done earlier. Ids stand in events as text.
const PLACED: &str = "SELECT e.events::text FROM unnest($2::uuid[], $3::bigint[], $4::text[]) AS w (buyer, version, order_id) \
    CROSS JOIN LATERAL (SELECT events FROM events WHERE kind = $1 AND entity = w.buyer AND version <= w.version \
        AND events::text LIKE '%\"type\":\"order_placed\"%' AND events::text LIKE '%\"' || w.order_id || '\"%' \
        ORDER BY version DESC LIMIT 1) AS e";
const INVOICED: &str = "SELECT order_id, tax_bps, payable_on - date '1970-01-01', lines::text \
    FROM invoices WHERE kind = 'invoice' AND order_id = ANY ($1)";
/// The decision that a refund was asked for in, looked for in the same way.
const REQUESTED: &str = "SELECT e.events::text FROM unnest($2::uuid[], $3::bigint[], $4::text[]) AS w (buyer, version, refund_id) \
    CROSS JOIN LATERAL (SELECT events FROM events WHERE kind = $1 AND entity = w.buyer AND version <= w.version \
        AND events::text LIKE '%\"type\":\"refund_requested\"%' AND events::text LIKE '%\"' || w.refund_id || '\"%' \
        ORDER BY version DESC LIMIT 1) AS e";
const CREDITED: &str =
    "SELECT order_id, lines::text FROM invoices WHERE kind = 'credit_note' AND order_id = ANY ($1)";

/// Something that has to be documented.
pub(super) enum Cause {
    /// An order was fulfilled; its placement is in the same decision, or in an earlier one.
    Sale(OrderId, Option<Box<Placement>>),
    /// A refund of an order succeeded; its terms are in the same decision, or in an earlier one.
    Refund(OrderId, RefundId, Option<Terms>),
}

/// What a refund takes back, or nothing if it is from before refunds had parts and takes everything.
type Terms = Option<Box<RefundTerms>>;

pub(super) struct Due {
    pub(super) cause: Cause,
    pub(super) user: u128,
    /// The version of the decision.
    pub(super) version: i64,
    pub(super) at: Timestamp,
}

/// A document on its way, with its place in its series.
pub(super) struct Draft {
    pub(super) order: OrderId,
    pub(super) refund: Option<RefundId>,
    pub(super) user: u128,
    pub(super) at: Timestamp,
    /// The day from which the creators' shares of the sale can be paid out.
    pub(super) payable: i32,
    pub(super) document: Document,
}

/// The invoice that a refund takes back a part of.
pub(super) struct Original {
    pub(super) tax_bps: u16,
    pub(super) payable: i32,
    pub(super) lines: Vec<DocumentLine>,
    /// What earlier credit notes have taken back of each line: money and tax.
    pub(super) credited: Vec<(i64, i64)>,
}

/// What an event asks to be documented.
pub(super) fn cause(event: Event) -> Option<Cause> {
    match event {
        Event::Purchased(placement) => Some(Cause::Sale(placement.order_id, Some(placement))),
        Event::OrderFulfilled { order_id, .. } => Some(Cause::Sale(order_id, None)),
        Event::RefundedToWallet {
            order_id,
            refund_id,
            terms,
            ..
        } => Some(Cause::Refund(order_id, refund_id, Some(terms))),
        Event::RefundMoved {
            order_id,
            refund_id,
            state: RefundState::Succeeded,
            ..
        } => Some(Cause::Refund(order_id, refund_id, None)),
        _ => None,
    }
}

/// The placements of orders that were placed in one decision and fulfilled in another.
pub(super) async fn placements(
    transaction: &Transaction<'_>,
    due: &[Due],
) -> Result<BTreeMap<OrderId, Placement>, StoreError> {
    let (mut buyers, mut versions, mut orders) = (Vec::new(), Vec::new(), Vec::new());
    for due in due {
        if let Cause::Sale(order, None) = &due.cause {
            buyers.push(Uuid::from_u128(due.user));
            versions.push(due.version);
            orders.push(order.to_string());
        }
    }
    let mut placed = BTreeMap::new();
    if orders.is_empty() {
        return Ok(placed);
    }
    let rows = transaction
        .query(PLACED, &[&Buyers::KIND.number, &buyers, &versions, &orders])
        .await?;
    for row in rows {
        let events: Vec<Event> = serde_json::from_str(row.try_get(0)?).map_err(StoreError::refused)?;
        for event in events {
            if let Event::OrderPlaced { order, .. } = event {
                placed.insert(order.order_id, *order);
            }
        }
    }
    Ok(placed)
}

/// The invoices that refunds take back, as far as they were issued before.
pub(super) async fn originals(
    transaction: &Transaction<'_>,
    due: &[Due],
) -> Result<BTreeMap<OrderId, Original>, StoreError> {
    let refunded = due.iter().filter_map(|due| match due.cause {
        Cause::Refund(order, ..) => Some(Uuid::from_u128(order.as_u128())),
        Cause::Sale(..) => None,
    });
    let refunded: Vec<Uuid> = refunded.collect();
    let mut originals = BTreeMap::new();
    if refunded.is_empty() {
        return Ok(originals);
    }
    for row in transaction.query(INVOICED, &[&refunded]).await? {
        let order = OrderId::from_u128(row.try_get::<_, Uuid>(0)?.as_u128());
        let lines: Vec<DocumentLine> = lines(row.try_get(3)?)?;
        let original = Original {
            tax_bps: u16::try_from(row.try_get::<_, i32>(1)?).map_err(StoreError::refused)?,
            payable: row.try_get(2)?,
            credited: vec![(0, 0); lines.len()],
            lines,
        };
        originals.insert(order, original);
    }
    for row in transaction.query(CREDITED, &[&refunded]).await? {
        let order = OrderId::from_u128(row.try_get::<_, Uuid>(0)?.as_u128());
        if let Some(original) = originals.get_mut(&order) {
            original.credit(&lines(row.try_get(1)?)?);
        }
    }
    Ok(originals)
}

pub(super) fn lines(json: &str) -> Result<Vec<DocumentLine>, StoreError> {
    serde_json::from_str(json).map_err(StoreError::refused)
}

/// The lines of an order as its invoice has them, the taxes not known yet.
pub(super) fn sold(placement: &Placement) -> Vec<DocumentLine> {
    let line = |line: &Line| {
        let net = line.net();
        DocumentLine {
            course_id: line.course_id,
            title: line.title.clone(),
            price: line.price.amount(),
            discount: line.discount.amount(),
            net: net.amount(),
            tax: 0,
            creator: line.creator,
            earned: net.share(line.share_bps).amount(),
        }
    };
    placement.lines.iter().map(line).collect()
}

/// The terms of refunds that were asked for in one decision and have succeeded in another. Those of orders that have no invoice, and
/// will have none, are not looked for: nobody asked for what could not be fulfilled.
pub(super) async fn terms(
    transaction: &Transaction<'_>,
    due: &[Due],
    originals: &BTreeMap<OrderId, Original>,
) -> Result<BTreeMap<RefundId, Terms>, StoreError> {
    let sold = due.iter().filter_map(|due| match due.cause {
        Cause::Sale(order, _) => Some(order),
        Cause::Refund(..) => None,
    });
    let sold: BTreeSet<OrderId> = sold.collect();
    let (mut buyers, mut versions, mut refunds) = (Vec::new(), Vec::new(), Vec::new());
    for due in due {
        match &due.cause {
            Cause::Refund(order, refund, None) if originals.contains_key(order) || sold.contains(order) => {
                buyers.push(Uuid::from_u128(due.user));
                versions.push(due.version);
                refunds.push(refund.to_string());
            }
            Cause::Refund(..) | Cause::Sale(..) => {}
        }
    }
    let mut asked = BTreeMap::new();
    if refunds.is_empty() {
        return Ok(asked);
    }
    let rows = transaction
        .query(REQUESTED, &[&Buyers::KIND.number, &buyers, &versions, &refunds])
        .await?;
    for row in rows {
        let events: Vec<Event> = serde_json::from_str(row.try_get(0)?).map_err(StoreError::refused)?;
        for event in events {
            if let Event::RefundRequested { refund_id, terms, .. } = event {
                asked.insert(refund_id, terms);
            }
        }
    }
    Ok(asked)
}

/// The credit note of a refund, which gives back the parts of its terms, or whatever is left of its order if it has none.
pub(super) fn credit_note(
    order: OrderId,
    refund: RefundId,
    user: u128,
    at: Timestamp,
    original: &mut Original,
    terms: Option<&RefundTerms>,
) -> Option<Draft> {
    let back = |(line, (before, _)): (&DocumentLine, &(i64, i64))| match terms {
        Some(terms) => {
            let of_line = terms.parts.iter().filter(|part| part.course_id == line.course_id);
            of_line.map(|part| part.amount.amount()).sum()
        }
        None => line.net + before,
    };
    let returned: Vec<i64> = original.lines.iter().zip(&original.credited).map(back).collect();
    let document = Document::credit_note(&original.lines, original.tax_bps, &original.credited, &returned)?;
    original.credit(&document.lines);
    Some(Draft {
        order,
        refund: Some(refund),
        user,
        at,
        payable: original.payable,
        document,
    })
}

impl Original {
    pub(super) fn credit(&mut self, notes: &[DocumentLine]) {
        for note in notes {
            let place = self
                .lines
                .iter()
                .position(|line| line.course_id == note.course_id);
            if let Some(credited) = place.and_then(|place| self.credited.get_mut(place)) {
                credited.0 += note.net;
                credited.1 += note.tax;
            }
        }
    }
}
