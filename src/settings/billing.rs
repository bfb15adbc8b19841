//! Settings of invoices and credit notes.

use std::time::Duration;

use lyceum_domain::billing::{Calendar, TaxId};
use lyceum_entities::billing::{BillingSettings, Seller};
use serde::{Deserialize, Serialize};

use super::{Checks, Millis};

/// Invoices and credit notes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Billing {
    /// Registered name of the seller.
    pub seller_name: String,
    /// Tax id of the seller; empty for none.
    pub seller_tax_id: String,
    /// Address and telephone of the seller; empty for none.
    pub seller_address: String,
    /// The tax that prices contain, basis points.
    pub tax_bps: u16,
    /// Hours that the seller's calendar is ahead of UTC.
    pub hours_ahead: i8,
    /// Pace of looking for what is to be documented.
    pub every_ms: Millis,
    /// Decisions that are documented in one transaction.
    pub batch_max: usize,
    /// Longest time that one transaction may take.
    pub timeout_ms: Millis,
    /// Font file of printed documents.
    pub font_file: String,
    /// Threads that print.
    pub print_threads: usize,
    /// Documents waiting to be printed.
    pub print_queue_max: usize,
}

impl Billing {
    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        if self.seller_name.trim().is_empty() {
            checks.refuse("billing.seller_name", "is empty");
        }
        if !self.seller_tax_id.is_empty() && self.seller_tax_id.parse::<TaxId>().is_err() {
            checks.refuse("billing.seller_tax_id", "is no unified social credit code");
        }
        checks.range("billing.tax_bps", self.tax_bps, 0..=5_000);
        checks.range("billing.hours_ahead", self.hours_ahead, -12..=14);
        checks.duration(
            "billing.every_ms",
            *self.every_ms,
            Duration::from_millis(10)..=Duration::from_secs(60),
        );
        checks.range("billing.batch_max", self.batch_max, 1..=10_000);
        checks.duration(
            "billing.timeout_ms",
            *self.timeout_ms,
            Duration::from_secs(1)..=Duration::from_secs(300),
        );
        checks.range("billing.print_threads", self.print_threads, 1..=64);
        checks.range("billing.print_queue_max", self.print_queue_max, 1..=10_000);
    }

    /// As the platform takes it.
    pub(super) fn platform(&self, hold_days: u16) -> BillingSettings {
        BillingSettings {
            seller: Seller {
                name: self.seller_name.clone(),
                tax_id: self.seller_tax_id.clone(),
                address: self.seller_address.clone(),
            },
            tax_bps: self.tax_bps,
            calendar: Calendar {
                hours_ahead: self.hours_ahead,
            },
            hold_days,
            every: *self.every_ms,
            batch_max: self.batch_max,
            timeout: *self.timeout_ms,
            font: self.font_file.clone().into(),
            threads: self.print_threads,
            queue_max: self.print_queue_max,
        }
    }
}
