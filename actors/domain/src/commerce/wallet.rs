//! The wallet: money a buyer has with us, and the top-ups that bring it.
//!
//! `balance` is what may be spent, `held` what is reserved for a purchase that is not finished. A hold is
//! reserved, then either captured (the money is spent) or released (it is back). Neither part is ever negative,
//! and together they equal the sum of the wallet's ledger entries.

use std::collections::BTreeMap;

use lyceum_kernel::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::order::Provider;
use super::{Error, SETTLEMENT_CURRENCY};
use crate::ids::PaymentId;

/// How many top-ups of one buyer may be under way: each is a saga somebody has to finish.
pub const OPEN_TOP_UPS_MAX: usize = 10;

/// What a buyer has, in minor units of the settlement currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wallet {
    balance: i64,
    held: i64,
}

impl Wallet {
    /// What may be spent.
    pub fn balance(self) -> Money {
        money(self.balance)
    }

    /// What is reserved.
    pub fn held(self) -> Money {
        money(self.held)
    }

    /// Whether the balance covers an amount.
    pub fn covers(self, amount: Money) -> bool {
        self.balance().covers(amount)
    }

    /// Adds money.
    pub(super) fn credit(&mut self, amount: Money) {
        self.balance += amount.amount();
    }

    /// Sets money of the balance aside. The caller has checked that the balance [covers](Wallet::covers) it.
    pub(super) fn reserve(&mut self, amount: Money) {
        self.balance -= amount.amount();
        self.held += amount.amount();
    }

    /// Moves the balance by minor units. The caller has checked that it stays within its range.
    pub(super) fn adjust(&mut self, change: i64) {
        self.balance += change;
    }

    /// Spends money that was reserved.
    pub(super) fn capture(&mut self, amount: Money) {
        self.held -= amount.amount();
    }
}

/// Minor units as money. A wallet stays within the range because [`TopUps::room`] is asked before any money
/// can enter.
fn money(units: i64) -> Money {
    Money::new(units, SETTLEMENT_CURRENCY)
        .expect("a wallet is never negative and never above the limit of Money")
}

/// One top-up: money on its way into the wallet through a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopUp {
    /// What the wallet gets when the payment succeeds.
    pub amount: Money,
    /// Who takes the payment.
    pub provider: Provider,
    /// How far it is.
    pub state: TopUpState,
    /// When it was asked for.
    pub started_at: Timestamp,
}

/// How far a top-up is: `processing → succeeded | declined | cancelled`; a late capture makes either of the
/// last two `succeeded`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TopUpState {
    /// The provider has not settled yet.
    Processing,
    /// The money is in the wallet.
    Succeeded,
    /// The provider declined, for this reason.
    Declined {
        /// The provider's decline code.
        code: String,
    },
    /// The payment was closed without a capture.
    Cancelled,
}

impl TopUpState {
    /// The name of the state.
    pub fn name(&self) -> &'static str {
        match self {
            TopUpState::Processing => "processing",
            TopUpState::Succeeded => "succeeded",
            TopUpState::Declined { .. } => "declined",
            TopUpState::Cancelled => "cancelled",
        }
    }
}

/// The top-ups of one buyer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopUps(BTreeMap<PaymentId, TopUp>);

impl TopUps {
    /// The top-up that a payment is for.
    pub fn get(&self, payment_id: PaymentId) -> Option<&TopUp> {
        self.0.get(&payment_id)
    }

    /// Refuses an amount that could ever bring a wallet out of range, and too many top-ups at once.
    ///
    /// `reachable` is the balance plus every purchase that may still be refunded into it, in minor units.
    pub(super) fn room(&self, amount: Money, reachable: i64) -> Result<(), Error> {
        if amount.currency() != SETTLEMENT_CURRENCY {
            return Err(Error::CurrencyUnsupported);
        }
        if amount.is_zero() {
            return Err(Error::AmountOutOfRange);
        }
        let open = || {
            self.0
                .values()
                .filter(|top_up| top_up.state == TopUpState::Processing)
        };
        if open().count() >= OPEN_TOP_UPS_MAX {
            return Err(Error::TooManyOpenTopUps);
        }
        // A declined or cancelled top-up can still turn out to be captured, so it counts here too.
        let unsettled = self
            .0
            .values()
            .filter(|top_up| top_up.state != TopUpState::Succeeded);
        let coming: i64 = unsettled.map(|top_up| top_up.amount.amount()).sum();
        let whole = reachable.saturating_add(coming).saturating_add(amount.amount());
        Money::new(whole, SETTLEMENT_CURRENCY)
            .map(|_| ())
            .map_err(|_| Error::AmountOutOfRange)
    }

    /// Refuses a change that would make a balance negative, or could ever bring it out of range.
    pub(super) fn bear(&self, change: i64, balance: Money, reachable: i64) -> Result<(), Error> {
        if balance.amount().saturating_add(change) < 0 {
            return Err(Error::InsufficientFunds);
        }
        let unsettled = self
            .0
            .values()
            .filter(|top_up| top_up.state != TopUpState::Succeeded);
        let coming: i64 = unsettled.map(|top_up| top_up.amount.amount()).sum();
        let whole = reachable.saturating_add(coming).saturating_add(change.max(0));
        Money::new(whole, SETTLEMENT_CURRENCY)
            .map(|_| ())
            .map_err(|_| Error::AmountOutOfRange)
    }

    pub(super) fn start(&mut self, payment_id: PaymentId, top_up: TopUp) {
        self.0.insert(payment_id, top_up);
    }

    /// Moves a top-up and returns the amount if the money has arrived.
    pub(super) fn settle(&mut self, payment_id: PaymentId, state: TopUpState) -> Option<Money> {
        let top_up = self.0.get_mut(&payment_id)?;
        let arrived = state == TopUpState::Succeeded && top_up.state != TopUpState::Succeeded;
        top_up.state = state;
        arrived.then_some(top_up.amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cny(amount: i64) -> Money {
        Money::new(amount, SETTLEMENT_CURRENCY).expect("in range")
    }

    #[test]
    fn a_hold_is_set_aside_and_then_spent() {
        let mut wallet = Wallet::default();
        wallet.credit(cny(300));

        wallet.reserve(cny(200));

        assert_eq!((wallet.balance(), wallet.held()), (cny(100), cny(200)));
        assert!(!wallet.covers(cny(101)));

        wallet.capture(cny(200));

        assert_eq!((wallet.balance(), wallet.held()), (cny(100), cny(0)));
    }

    #[test]
    fn a_wallet_can_never_outgrow_the_range_of_money() {
        let mut top_ups = TopUps::default();
        let half = cny(50_000_000_000);
        let failed = TopUp {
            amount: half,
            provider: Provider::Sandbox,
            state: TopUpState::Cancelled,
            started_at: Timestamp::EPOCH,
        };

        top_ups.start(PaymentId::from_u128(1), failed);

        assert_eq!(top_ups.room(half, 0), Ok(()));
        assert_eq!(top_ups.room(half, 1), Err(Error::AmountOutOfRange));
    }
}
