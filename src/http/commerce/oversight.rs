//! What operators see of the ledger: the trial balance, and the statement of an account.

use lyceum_domain::accounts::Role;
use lyceum_domain::commerce::ledger::Account;
use lyceum_domain::ids::UserId;
use lyceum_entities::commerce::{AccountBalance, StatementLine, TrialBalance};
use lyceum_kernel::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::wallet::{read_cursor, reference, write_cursor};
use crate::http::{Api, Page, Problem, ProblemBody, Reply, Request, checked_limit, invalid_query};

/// The sums of all accounts.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct TrialBalanceBody {
    /// Whether the balances add up to zero in every currency, as they must.
    balanced: bool,
    accounts: Vec<AccountBody>,
    /// The last time that the whole ledger was added up and compared with its summary; null before the first.
    last_drawn: Option<DrawnBody>,
}

/// The sum of all entries of one account.
#[derive(Debug, Serialize, ToSchema)]
struct AccountBody {
    account: String,
    currency: String,
    /// Minor units, positive for a credit.
    balance: i64,
    entries: i64,
}

/// A trial balance that was drawn over the whole ledger.
#[derive(Debug, Serialize, ToSchema)]
struct DrawnBody {
    number: i64,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Everything that was posted before is in it.
    #[schema(value_type = String, format = DateTime)]
    until: Timestamp,
    /// The node that did it.
    node: String,
    /// Minor units, over all currencies without their signs: 0 if all is well.
    imbalance: i64,
    /// Minor units by which the summary differed, over all accounts: 0 if all is well.
    drift: i64,
    took_ms: u64,
}

/// Whose statement.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StatementQuery {
    /// The account, which is one of those that are somebody's.
    #[param(value_type = String, pattern = "^(user_wallet|wallet_hold|creator_payable|affiliate_payable|refund_payable)$")]
    account: Account,
    /// Whose.
    #[param(value_type = String)]
    owner: UserId,
    /// Entries wanted, from 1 to 100; 20 if left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u16>,
    /// Where the page before this one ended: its `next`.
    after: Option<String>,
}

/// One line of a statement.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct StatementLineBody {
    /// `sale`, `top_up`, `refund`, `unfulfilled`, `adjustment`, `surplus` or `surplus_refund`.
    kind: &'static str,
    /// What it stands for: an order, a payment, a refund or an adjustment.
    reference: String,
    /// Minor units, positive for a credit.
    amount: i64,
    currency: String,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

/// `GET /admin/v1/ledger/trial-balance`: adds up every account of the ledger.
#[utoipa::path(
    get, path = "/admin/v1/ledger/trial-balance", tag = "operators",
    responses((status = 200, body = TrialBalanceBody))
)]
pub async fn trial_balance(api: &Api, request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;

    let balances = api.platform.commerce.trial_balance().await?;
    let drawn = api.platform.commerce.trial_balances(1).await?;

    Ok(Reply::ok(&TrialBalanceBody {
        balanced: is_balanced(&balances),
        accounts: balances.into_iter().map(AccountBody::of).collect(),
        last_drawn: drawn.into_iter().next().map(DrawnBody::of),
    }))
}

/// `GET /admin/v1/ledger/entries`: shows the statement of somebody's account, newest first.
///
/// # Errors
/// 400 `http.invalid_query`, `http.malformed_cursor`.
#[utoipa::path(
    get, path = "/admin/v1/ledger/entries", tag = "operators", params(StatementQuery),
    responses(
        (status = 200, body = Page<StatementLineBody>),
        (status = 400, body = ProblemBody, description = "`http.invalid_query`, `http.malformed_cursor`"),
    )
)]
pub async fn ledger_entries(api: &Api, request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let StatementQuery {
        account,
        owner,
        limit,
        after,
    } = request.query()?;
    let limit = checked_limit(limit)?;
    let after = after.as_deref().map(read_cursor).transpose()?;
    if !account.is_owned() {
        return Err(invalid_query("account", "an account that is somebody's"));
    }

    let lines = api
        .platform
        .commerce
        .statement(account, owner, after, limit + 1)
        .await?;

    let cursor = |line: &StatementLine| write_cursor(line.position);
    Ok(Reply::ok(&Page::of(lines, limit, cursor, StatementLineBody::of)))
}

/// Whether the balances of every currency add up to zero.
pub(crate) fn is_balanced(balances: &[AccountBalance]) -> bool {
    let sum = |currency: &str| -> i128 {
        balances
            .iter()
            .filter(|one| one.currency == currency)
            .map(|one| i128::from(one.balance))
            .sum()
    };
    balances.iter().all(|one| sum(&one.currency) == 0)
}

impl AccountBody {
    fn of(one: AccountBalance) -> Self {
        AccountBody {
            account: one.account,
            currency: one.currency,
            balance: one.balance,
            entries: one.entries,
        }
    }
}

impl DrawnBody {
    fn of(drawn: TrialBalance) -> Self {
        DrawnBody {
            number: drawn.number,
            at: drawn.at,
            until: drawn.until,
            node: drawn.node,
            imbalance: drawn.imbalance,
            drift: drawn.drift,
            took_ms: u64::try_from(drawn.took.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl StatementLineBody {
    fn of(line: StatementLine) -> Self {
        StatementLineBody {
            kind: line.kind,
            reference: reference(line.kind, line.position.source),
            amount: line.amount,
            currency: line.currency,
            at: line.position.at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_balance_in_every_currency_or_not_at_all() {
        let balance = |currency: &str, balance| AccountBalance {
            account: "fees".to_owned(),
            currency: currency.to_owned(),
            balance,
            entries: 1,
        };

        assert!(is_balanced(&[]));
        assert!(is_balanced(&[balance("CNY", 5), balance("CNY", -5)]));
        assert!(!is_balanced(&[balance("CNY", 5), balance("EUR", -5)]));
    }
}
