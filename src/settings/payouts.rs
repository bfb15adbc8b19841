//! Settings of what creators are paid.

use serde::{Deserialize, Serialize};

use super::Checks;

/// What creators are paid.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Payouts {
    /// Days that a creator's share of a sale waits before it can be paid out; frozen into each invoice.
    pub hold_days: u16,
}

impl Payouts {
    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.range("payouts.hold_days", self.hold_days, 0..=400);
    }
}
