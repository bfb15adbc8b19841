//! Billing, bound to the runtime: documents are issued behind the journal, listed by their rows, and printed on a CPU pool.
//!
//! ```text
//! journal ─ Issuer: cursor, numbers and documents in one transaction ─▶ invoices ─▶ Documents: JSON
//!                                                                                     └ print: HTML, PDF
//! ```
//!
//! Nothing here is on the way of a purchase: a document exists a moment after its order was fulfilled, and never twice.

mod documents;
mod issuer;
mod print;

use std::path::PathBuf;
use std::time::Duration;

use lyceum_domain::billing::Calendar;
use serde::{Deserialize, Serialize};

pub use documents::{BillingError, Documents, Issued, MadeOut, ReadingPosition};
pub(crate) use issuer::Issuer;

/// How documents are issued and printed; each a setting.
#[derive(Clone, Debug)]
pub struct BillingSettings {
    /// Who sells.
    pub seller: Seller,
    /// The tax that prices contain, basis points.
    pub tax_bps: u16,
    /// The days and years that documents bear.
    pub calendar: Calendar,
    /// Days that a creator's share of a sale waits before it can be paid out.
    pub hold_days: u16,
    /// How often the journal is looked at for what is to be documented.
    pub every: Duration,
    /// Decisions that are documented in one transaction.
    pub batch_max: usize,
    /// Longest time that one transaction may take.
    pub timeout: Duration,
    /// The font of printed documents, with Latin and Chinese characters.
    pub font: PathBuf,
    /// Threads that print.
    pub threads: usize,
    /// Documents waiting to be printed, at most.
    pub queue_max: usize,
}

/// Who sells, as documents say it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seller {
    /// The registered name.
    pub name: String,
    /// The tax id; empty for none.
    pub tax_id: String,
    /// Address and telephone; empty for none.
    pub address: String,
}
