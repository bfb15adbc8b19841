//! Documents that were issued: by number, by order, by user; and to whom they are made out.

use std::path::Path;
use std::sync::Arc;

use lyceum_domain::billing::{Document, Error, Kind, Number, Recipient, Series};
use lyceum_domain::ids::{OrderId, RefundId, UserId};
use lyceum_kernel::Timestamp;
use lyceum_runtime::{CpuError, CpuPool, Database, StoreError};
use tokio_postgres::Row;
use uuid::Uuid;

use super::Seller;
use super::print::{self, Font};

const SELECT: &str = "SELECT i.series, i.number, i.kind, i.order_id, i.refund_id, i.user_id, o.series, o.number, i.currency, \
    i.total, i.tax, i.tax_bps, i.lines::text, i.seller::text, (extract(epoch FROM i.supplied_at) * 1000)::bigint, \
    (extract(epoch FROM i.issued_at) * 1000)::bigint, i.issued_on::text, r.title, r.tax_id \
    FROM invoices AS i \
    LEFT JOIN invoices AS o ON i.kind = 'credit_note' AND o.kind = 'invoice' AND o.order_id = i.order_id \
    LEFT JOIN invoice_recipients AS r ON r.order_id = i.order_id";

/// Reads what was issued and prints it. Cheap to clone.
#[derive(Clone)]
pub struct Documents {
    database: Database,
    pool: CpuPool,
    font: Option<Arc<Font>>,
}

/// A document that was issued; it never changes, but it may be made out to somebody later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Its number.
    pub number: Number,
    /// The order it is about.
    pub order: OrderId,
    /// The refund it is about.
    pub refund: Option<RefundId>,
    /// Whose order it was.
    pub user: UserId,
    /// The invoice that a credit note takes back.
    pub original: Option<Number>,
    /// The currency's code.
    pub currency: String,
    /// What it says.
    pub document: Document,
    /// Who sold.
    pub seller: Seller,
    /// To whom it is made out, if that was said.
    pub recipient: Option<Recipient>,
    /// When the order was fulfilled, or the refund succeeded.
    pub supplied_at: Timestamp,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// The day of that where the seller is.
    pub issued_on: String,
}

/// Where a list of documents goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadingPosition {
    /// When the last one was issued.
    pub issued_at: Timestamp,
    /// Its number.
    pub number: Number,
}

/// What came of saying to whom an order's documents are made out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadeOut {
    /// They are, from now on or since the same was said before.
    Done,
    /// Another recipient was named before, and stays.
    Otherwise,
}

/// Why something about documents cannot be had.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BillingError {
    /// A rule says so.
    #[error(transparent)]
    Refused(#[from] Error),
    /// The store is away.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Too much is being printed, or printing failed.
    #[error(transparent)]
    Cpu(#[from] CpuError),
}

impl Documents {
    /// Prints on `pool` in the font at `path`; without it everything but PDF is served.
    pub(crate) fn new(database: Database, pool: CpuPool, path: &Path) -> Self {
        let font = match Font::load(path) {
            Ok(font) => Some(Arc::new(font)),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "invoices cannot be printed: their font cannot be used");
                None
            }
        };
        Documents { database, pool, font }
    }

    /// The invoice of a user's order.
    ///
    /// # Errors
    /// There is none yet, or the store is away.
    pub async fn invoice_of(&self, user: UserId, order: OrderId) -> Result<Issued, BillingError> {
        let sql = format!("{SELECT} WHERE i.kind = 'invoice' AND i.order_id = $1 AND i.user_id = $2");
        let (order, user) = (uuid(order.as_u128()), uuid(user.as_u128()));
        let row = self.database.query_opt(&sql, &[&order, &user]).await?;
        Ok(read(&row.ok_or(Error::InvoiceNotFound)?)?)
    }

    /// A user's document of this number.
    ///
    /// # Errors
    /// There is none, or it is somebody else's, or the store is away.
    pub async fn numbered(&self, user: UserId, number: Number) -> Result<Issued, BillingError> {
        let sql = format!("{SELECT} WHERE i.series = $1 AND i.number = $2 AND i.user_id = $3");
        let (series, place) = (number.series.to_string(), i64::from(number.number));
        let user = uuid(user.as_u128());
        let row = self.database.query_opt(&sql, &[&series, &place, &user]).await?;
        Ok(read(&row.ok_or(Error::InvoiceNotFound)?)?)
    }

    /// A page of a user's documents, newest first, after `after`.
    ///
    /// # Errors
    /// The store is away.
    pub async fn of_user(
        &self,
        user: UserId,
        after: Option<ReadingPosition>,
        limit: u16,
    ) -> Result<Vec<Issued>, StoreError> {
        let sql = format!(
            "{SELECT} WHERE i.user_id = $1 AND ($2::bigint IS NULL OR (i.issued_at, i.series, i.number) < \
             (to_timestamp($2::bigint / 1000.0), $3::text, $4::bigint)) \
             ORDER BY i.issued_at DESC, i.series DESC, i.number DESC LIMIT $5"
        );
        let (ms, series, number) = match after {
            Some(ReadingPosition { issued_at, number }) => (
                Some(issued_at.as_millis()),
                number.series.to_string(),
                i64::from(number.number),
            ),
            None => (None, String::new(), 0),
        };
        let rows = self
            .database
            .query(
                &sql,
                &[&uuid(user.as_u128()), &ms, &series, &number, &i64::from(limit)],
            )
            .await?;
        rows.iter().map(read).collect()
    }

    /// Makes the documents of an order out to somebody, once and for all. The order must be the user's.
    ///
    /// # Errors
    /// The store is away.
    pub async fn make_out(
        &self,
        user: UserId,
        order: OrderId,
        recipient: &Recipient,
    ) -> Result<MadeOut, StoreError> {
        // The update changes nothing and only has the row returned that was there.
        const SQL: &str = "INSERT INTO invoice_recipients AS r (order_id, user_id, title, tax_id) VALUES ($1, $2, $3, $4) \
            ON CONFLICT (order_id) DO UPDATE SET title = r.title RETURNING title, tax_id";
        let tax_id = recipient.tax_id().map(|id| id.as_str().to_owned());
        let (order, user) = (uuid(order.as_u128()), uuid(user.as_u128()));
        let row = self
            .database
            .query_opt(SQL, &[&order, &user, &recipient.title(), &tax_id])
            .await?;
        let row = row.ok_or_else(|| StoreError::refused("an insert returned nothing"))?;
        let same =
            row.try_get::<_, &str>(0)? == recipient.title() && row.try_get::<_, Option<String>>(1)? == tax_id;
        Ok(if same { MadeOut::Done } else { MadeOut::Otherwise })
    }

    /// The document as a page for a browser.
    ///
    /// # Errors
    /// Too much is being printed.
    pub async fn html(&self, issued: Issued) -> Result<String, BillingError> {
        Ok(self.pool.run(move || print::html(&issued)).await?)
    }

    /// The document as PDF.
    ///
    /// # Errors
    /// The font is missing, or too much is being printed.
    pub async fn pdf(&self, issued: Issued) -> Result<Vec<u8>, BillingError> {
        let font = self.font.clone().ok_or(Error::FontUnavailable)?;
        let printed = self.pool.run(move || print::pdf(&issued, &font)).await?;
        printed.map_err(|error| {
            tracing::error!(%error, "a document cannot be printed");
            Error::FontUnavailable.into()
        })
    }
}

fn uuid(bits: u128) -> Uuid {
    Uuid::from_u128(bits)
}

/// The number in two columns.
fn number_of(series: &str, number: i64) -> Result<Number, StoreError> {
    format!("{series}-{number:06}")
        .parse()
        .map_err(StoreError::refused)
}

fn kind_of(name: &str) -> Result<Kind, StoreError> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    kind.ok_or_else(|| StoreError::refused(format!("no document is a {name}")))
}

fn read(row: &Row) -> Result<Issued, StoreError> {
    let json = |column: usize| row.try_get::<_, String>(column);
    let bits = |column: usize| Ok::<_, StoreError>(row.try_get::<_, Uuid>(column)?.as_u128());
    let original = match row.try_get::<_, Option<String>>(6)? {
        Some(series) => Some(number_of(&series, row.try_get(7)?)?),
        None => None,
    };
    let recipient = match row.try_get::<_, Option<String>>(17)? {
        Some(title) => {
            let tax_id: Option<String> = row.try_get(18)?;
            let tax_id = tax_id.map(|id| id.parse()).transpose();
            let recipient = tax_id.and_then(|tax_id| Recipient::new(&title, tax_id));
            Some(recipient.map_err(StoreError::refused)?)
        }
        None => None,
    };
    Ok(Issued {
        number: number_of(&row.try_get::<_, String>(0)?, row.try_get(1)?)?,
        order: OrderId::from_u128(bits(3)?),
        refund: row
            .try_get::<_, Option<Uuid>>(4)?
            .map(|id| RefundId::from_u128(id.as_u128())),
        user: UserId::from_u128(bits(5)?),
        original,
        currency: row.try_get(8)?,
        document: Document {
            kind: kind_of(&row.try_get::<_, String>(2)?)?,
            total: row.try_get(9)?,
            tax: row.try_get(10)?,
            tax_bps: u16::try_from(row.try_get::<_, i32>(11)?).map_err(StoreError::refused)?,
            lines: serde_json::from_str(&json(12)?).map_err(StoreError::refused)?,
        },
        seller: serde_json::from_str(&json(13)?).map_err(StoreError::refused)?,
        recipient,
        supplied_at: Timestamp::from_millis(row.try_get(14)?),
        issued_at: Timestamp::from_millis(row.try_get(15)?),
        issued_on: row.try_get(16)?,
    })
}

/// The series of a kind in a year, as tables have it.
pub(super) fn series(kind: Kind, year: u16) -> String {
    Series { kind, year }.to_string()
}
