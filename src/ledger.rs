//! `lyceum ledger trial-balance`: adds the ledger up from its first transaction, beside the server and without its help.
//!
//! It reads the database that the settings name and changes nothing. It says by its exit code whether all is well.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;

use lyceum_entities::commerce::{AccountBalance, CommerceQueries};
use lyceum_runtime::Database;

use crate::settings::Settings;

/// What is to be printed, and what is not well.
pub(crate) async fn trial_balance(
    settings: &Settings,
) -> Result<(String, Option<String>), Box<dyn Error + Send + Sync>> {
    let database = Database::new(&settings.platform()?.database)?;
    let queries = CommerceQueries::new(database);
    // The summary first: whatever is posted between the two readings is then in the second, and no false alarm is
    // raised by a quiet ledger.
    let summed = queries.trial_balance().await?;
    let recomputed = queries
        .recomputed_balance(*settings.ledger.sum_timeout_ms)
        .await?;
    Ok((table(&recomputed), trouble(&summed, &recomputed)))
}

/// The accounts in aligned columns, and what each currency adds up to.
fn table(balances: &[AccountBalance]) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        page,
        "{:<20} {:<8} {:>20} {:>14}",
        "account", "currency", "balance", "entries"
    );
    for one in balances {
        let _ = writeln!(
            page,
            "{:<20} {:<8} {:>20} {:>14}",
            one.account, one.currency, one.balance, one.entries
        );
    }
    for (currency, sum) in sums(balances) {
        let _ = writeln!(page, "{:<20} {currency:<8} {sum:>20}", "all accounts");
    }
    page
}

fn sums(balances: &[AccountBalance]) -> BTreeMap<&str, i128> {
    let mut sums = BTreeMap::<&str, i128>::new();
    for one in balances {
        *sums.entry(&one.currency).or_default() += i128::from(one.balance);
    }
    sums
}

/// What is wrong with the books, in a sentence. Entries only ever become more, so fewer of them is a fault, and so is another
/// balance of as many.
fn trouble(summed: &[AccountBalance], recomputed: &[AccountBalance]) -> Option<String> {
    let mut troubles = Vec::new();
    for (currency, sum) in sums(recomputed) {
        if sum != 0 {
            troubles.push(format!("{currency} adds up to {sum} and not to 0"));
        }
    }
    for before in summed {
        let now = recomputed
            .iter()
            .find(|now| now.account == before.account && now.currency == before.currency);
        let (balance, entries) = now.map_or((0, 0), |now| (now.balance, now.entries));
        if entries < before.entries || entries == before.entries && balance != before.balance {
            troubles.push(format!(
                "the summary has {} in {} entries of {} {}, the ledger {balance} in {entries}",
                before.balance, before.entries, before.account, before.currency
            ));
        }
    }
    (!troubles.is_empty()).then(|| troubles.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(account: &str, balance: i64, entries: i64) -> AccountBalance {
        AccountBalance {
            account: account.to_owned(),
            currency: "CNY".to_owned(),
            balance,
            entries,
        }
    }

    #[test]
    fn the_table_ends_with_what_each_currency_adds_up_to() {
        let page = table(&[of("fees", -5, 1), of("platform_revenue", 5, 1)]);

        let last: Vec<&str> = page
            .lines()
            .last()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        assert_eq!(last, ["all", "accounts", "CNY", "0"]);
    }

    #[test]
    fn books_that_do_not_balance_or_are_not_as_summed_are_trouble() {
        let books = [of("fees", -5, 1), of("platform_revenue", 5, 1)];

        assert_eq!(trouble(&books, &books), None);
        let grown = [of("fees", -9, 2), of("platform_revenue", 9, 2)];
        assert_eq!(trouble(&books, &grown), None, "posted meanwhile");
        for wrong in [
            [of("fees", -5, 1), of("platform_revenue", 6, 1)],
            [of("fees", -6, 1), of("platform_revenue", 6, 1)],
            [of("fees", -5, 1), of("platform_revenue", 5, 0)],
        ] {
            assert!(trouble(&books, &wrong).is_some(), "{wrong:?}");
        }
    }
}
