//! Dividing an amount over the lines of an order, in whole minor units that add up to it.
//!
//! By largest remainder: each line takes its exact share rounded down, and the units that are left go one by one to the
//! lines that lost most by rounding, the earlier of two that lost the same. So the parts add up to the amount, no part is
//! negative, and none exceeds its line.

use std::cmp::Reverse;

use lyceum_kernel::{Money, MoneyError};

/// Divides `amount` in proportion to `lines`, which cover it; one part for each line, in their order.
///
/// # Errors
/// Currencies differ, or the lines add up to less than `amount` or to more than an amount can be.
pub fn allocate(amount: Money, lines: &[Money]) -> Result<Vec<Money>, MoneyError> {
    let currency = amount.currency();
    let mut whole = Money::zero(currency);
    for line in lines {
        whole = whole.plus(*line)?;
    }
    whole.minus(amount)?;
    if whole.is_zero() {
        return Ok(vec![amount; lines.len()]);
    }

    // Two amounts of at most 10^11 multiply to 10^22: beyond 64 bits.
    let (whole, wanted) = (i128::from(whole.amount()), i128::from(amount.amount()));
    let mut parts = Vec::with_capacity(lines.len());
    let mut lost = Vec::with_capacity(lines.len());
    let mut left = amount.amount();
    for (index, line) in lines.iter().enumerate() {
        let exact = wanted * i128::from(line.amount());
        let part = i64::try_from(exact / whole).map_err(|_| MoneyError::OutOfRange)?;
        left -= part;
        parts.push(part);
        lost.push((Reverse(exact % whole), index));
    }
    lost.sort_unstable();
    // Each line lost less than a unit, so there are more lines that lost something than units left.
    for (_, index) in lost {
        if left == 0 {
            break;
        }
        parts[index] += 1;
        left -= 1;
    }
    parts.into_iter().map(|part| Money::new(part, currency)).collect()
}

#[cfg(test)]
mod tests {
    use lyceum_kernel::Currency;

    use super::*;
    use crate::commerce::SETTLEMENT_CURRENCY;

    fn cny(amount: i64) -> Money {
        Money::new(amount, SETTLEMENT_CURRENCY).unwrap()
    }

    fn divided(amount: i64, lines: &[i64]) -> Vec<i64> {
        let lines: Vec<Money> = lines.iter().copied().map(cny).collect();
        let parts = allocate(cny(amount), &lines).unwrap();
        parts.into_iter().map(Money::amount).collect()
    }

    #[test]
    fn what_rounding_leaves_goes_to_the_lines_that_lost_most_and_to_the_earlier_of_equals() {
        assert_eq!(divided(10, &[10, 10, 10]), [4, 3, 3]);
        assert_eq!(divided(10, &[1, 2, 14]), [1, 1, 8]);
        assert_eq!(divided(2, &[1, 1, 1]), [1, 1, 0]);
        assert_eq!(divided(3_000, &[9_900, 0, 19_900]), [997, 0, 2_003]);
    }

    #[test]
    fn nothing_and_everything_are_divided_as_well() {
        assert_eq!(divided(0, &[5, 0]), [0, 0]);
        assert_eq!(divided(0, &[0, 0]), [0, 0]);
        assert_eq!(divided(5, &[2, 0, 3]), [2, 0, 3]);
        assert_eq!(divided(0, &[]), [0_i64; 0]);
    }

    #[test]
    fn more_than_the_lines_and_other_currencies_are_refused() {
        assert_eq!(allocate(cny(6), &[cny(5)]), Err(MoneyError::OutOfRange));
        assert_eq!(allocate(cny(1), &[]), Err(MoneyError::OutOfRange));
        assert_eq!(
            allocate(cny(1), &[Money::zero(Currency::USD)]),
            Err(MoneyError::CurrencyMismatch)
        );
    }

    #[test]
    fn parts_always_add_up_stay_within_their_lines_and_come_out_the_same_again() {
        for seed in 0..2_000_u64 {
            let mut state = seed;
            let mut below = |limit: u64| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                i64::try_from((state >> 33) % limit).unwrap()
            };
            let scale = [3, 100, 100_000, 5_000_000_000][usize::try_from(below(4)).unwrap()];
            let lines: Vec<i64> = (0..=below(20)).map(|_| below(scale)).collect();
            let whole: i64 = lines.iter().sum();
            let amount = if whole == 0 {
                0
            } else {
                below(u64::try_from(whole).unwrap() + 1)
            };

            let parts = divided(amount, &lines);

            assert_eq!(parts.iter().sum::<i64>(), amount, "seed {seed}");
            assert_eq!(parts, divided(amount, &lines), "seed {seed}");
            for (part, line) in parts.iter().zip(&lines) {
                assert!((0..=*line).contains(part), "seed {seed}");
                let exact = i128::from(amount) * i128::from(*line);
                let off = (exact - i128::from(*part) * i128::from(whole)).abs();
                assert!(
                    off < i128::from(whole.max(1)),
                    "seed {seed}: a unit or more from the exact share"
                );
            }
        }
    }
}
