//! Amounts of money: whole minor units and a currency, with checked arithmetic only.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The largest amount of one [`Money`] in minor units (1,000,000,000.00 of a two-digit currency).
///
/// A thousand such amounts still add up far below what a 64-bit ledger column holds.
const AMOUNT_MAX: i64 = 100_000_000_000;

/// A currency by its ISO 4217 code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Currency {
    /// Renminbi; minor unit 分, 0.01 元.
    #[default]
    CNY,
    /// United States dollar; minor unit cent.
    USD,
    /// Euro; minor unit cent.
    EUR,
}

impl Currency {
    /// The ISO 4217 code.
    pub fn code(self) -> &'static str {
        match self {
            Currency::CNY => "CNY",
            Currency::USD => "USD",
            Currency::EUR => "EUR",
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A non-negative amount of one currency, in minor units from 0 to 100,000,000,000.
///
/// In JSON: `{"amount": 19900, "currency": "CNY"}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Money {
    amount: i64,
    currency: Currency,
}

/// Why numbers are not an amount of money, or two amounts cannot be combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The amount is negative or above the limit.
    #[error("an amount is from 0 to {AMOUNT_MAX} minor units")]
    OutOfRange,
    /// The two amounts are of different currencies.
    #[error("amounts of different currencies cannot be combined")]
    CurrencyMismatch,
}

impl Money {
    /// Makes an amount of minor units.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] below 0 or above 100,000,000,000.
    pub fn new(amount: i64, currency: Currency) -> Result<Self, MoneyError> {
        if (0..=AMOUNT_MAX).contains(&amount) {
            Ok(Money { amount, currency })
        } else {
            Err(MoneyError::OutOfRange)
        }
    }

    /// Nothing, in the given currency.
    pub fn zero(currency: Currency) -> Self {
        Money { amount: 0, currency }
    }

    /// Minor units, from 0 to 100,000,000,000.
    pub fn amount(self) -> i64 {
        self.amount
    }

    /// The currency.
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// Whether this is no money at all.
    pub fn is_zero(self) -> bool {
        self.amount == 0
    }

    /// The sum.
    ///
    /// # Errors
    /// The currencies differ, or the sum is out of range.
    pub fn plus(self, other: Money) -> Result<Money, MoneyError> {
        self.same_currency(other)?;
        Money::new(self.amount + other.amount, self.currency)
    }

    /// The difference.
    ///
    /// # Errors
    /// The currencies differ, or `other` is more than this.
    pub fn minus(self, other: Money) -> Result<Money, MoneyError> {
        self.same_currency(other)?;
        Money::new(self.amount - other.amount, self.currency)
    }

    /// Whether this covers `other`; never across currencies.
    pub fn covers(self, other: Money) -> bool {
        self.minus(other).is_ok()
    }

    /// The share of this amount in basis points (1/10,000), rounded down; at most the whole.
    #[must_use]
    pub fn share(self, basis_points: u16) -> Money {
        let share = self.amount * i64::from(basis_points.min(10_000)) / 10_000;
        Money {
            amount: share,
            currency: self.currency,
        }
    }

    fn same_currency(self, other: Money) -> Result<(), MoneyError> {
        if self.currency == other.currency {
            Ok(())
        } else {
            Err(MoneyError::CurrencyMismatch)
        }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:02} {}",
            self.amount / 100,
            self.amount % 100,
            self.currency
        )
    }
}

/// The JSON shape before the range is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    amount: i64,
    currency: Currency,
}

impl TryFrom<Raw> for Money {
    type Error = MoneyError;

    fn try_from(raw: Raw) -> Result<Self, MoneyError> {
        Money::new(raw.amount, raw.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cny(amount: i64) -> Money {
        Money::new(amount, Currency::CNY).expect("in range")
    }

    #[test]
    fn amounts_outside_the_range_cannot_be_made() {
        for amount in [-1, i64::MIN, AMOUNT_MAX + 1, i64::MAX] {
            assert_eq!(
                Money::new(amount, Currency::CNY),
                Err(MoneyError::OutOfRange),
                "{amount}"
            );
        }
    }

    #[test]
    fn sums_and_differences_are_checked() {
        assert_eq!(cny(100).plus(cny(50)), Ok(cny(150)));
        assert_eq!(cny(100).minus(cny(101)), Err(MoneyError::OutOfRange));
        assert_eq!(cny(AMOUNT_MAX).plus(cny(1)), Err(MoneyError::OutOfRange));
        assert_eq!(
            cny(1).plus(Money::zero(Currency::USD)),
            Err(MoneyError::CurrencyMismatch)
        );
    }

    #[test]
    fn a_share_and_its_rest_are_the_whole() {
        for amount in [0, 1, 99, 19_900, AMOUNT_MAX] {
            let share = cny(amount).share(7_000);

            assert_eq!(
                cny(amount).minus(share).and_then(|rest| rest.plus(share)),
                Ok(cny(amount))
            );
        }
    }
}
