//! What operators see of the money: sagas that have not ended, and the trial balance.

use lyceum_domain::accounts::Role;
use lyceum_domain::ids::{OrderId, PaymentId, UserId};
use lyceum_entities::commerce::{AccountBalance, OpenSaga};
use lyceum_kernel::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::http::{Api, Page, Problem, ProblemBody, Reply, Request, checked_limit, malformed_cursor};

/// Which sagas to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SagasQuery {
    /// `awaiting_payment`, `closing`, `refunding`, `refund_unknown`, `refund_failed` of a checkout; `processing`,
    /// `unknown` of a payment.
    state: Option<String>,
    /// Entries wanted, from 1 to 100; 20 if left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u16>,
    /// Where the page before this one ended: its `next`.
    after: Option<String>,
}

/// A saga that has not ended.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct SagaBody {
    /// `checkout` or `payment`.
    kind: String,
    /// The order or payment.
    id: String,
    #[schema(value_type = String)]
    user: UserId,
    state: String,
    /// When its next action is due.
    #[schema(value_type = String, format = DateTime)]
    due_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// The sums of all accounts.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct TrialBalanceBody {
    /// Whether the balances add up to zero in every currency, as they must.
    balanced: bool,
    accounts: Vec<AccountBody>,
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

/// `GET /admin/v1/sagas`: lists the sagas that have not ended, oldest first.
///
/// # Errors
/// 400 `http.invalid_query`, `http.malformed_cursor`.
#[utoipa::path(
    get, path = "/admin/v1/sagas", tag = "operators", params(SagasQuery),
    responses(
        (status = 200, body = Page<SagaBody>),
        (status = 400, body = ProblemBody, description = "`http.invalid_query`, `http.malformed_cursor`"),
    )
)]
pub async fn sagas(api: &Api, request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let SagasQuery { state, limit, after } = request.query()?;
    let limit = checked_limit(limit)?;
    let after = match after {
        Some(after) => Some(Uuid::try_parse(&after).map_err(|_| malformed_cursor())?.as_u128()),
        None => None,
    };

    let sagas = api
        .platform
        .commerce
        .open_sagas(state.as_deref(), after, limit + 1)
        .await?;

    let cursor = |saga: &OpenSaga| Uuid::from_u128(saga.id).simple().to_string();
    Ok(Reply::ok(&Page::of(sagas, limit, cursor, SagaBody::of)))
}

/// `GET /admin/v1/ledger/trial-balance`: adds up every account of the ledger.
#[utoipa::path(
    get, path = "/admin/v1/ledger/trial-balance", tag = "operators",
    responses((status = 200, body = TrialBalanceBody))
)]
pub async fn trial_balance(api: &Api, request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;

    let balances = api.platform.commerce.trial_balance().await?;

    Ok(Reply::ok(&TrialBalanceBody {
        balanced: is_balanced(&balances),
        accounts: balances.into_iter().map(AccountBody::of).collect(),
    }))
}

/// Whether the balances of every currency add up to zero.
fn is_balanced(balances: &[AccountBalance]) -> bool {
    let sum = |currency: &str| -> i128 {
        balances
            .iter()
            .filter(|one| one.currency == currency)
            .map(|one| i128::from(one.balance))
            .sum()
    };
    balances.iter().all(|one| sum(&one.currency) == 0)
}

impl SagaBody {
    fn of(saga: OpenSaga) -> Self {
        let id = match saga.kind.as_str() {
            "checkout" => OrderId::from_u128(saga.id).to_string(),
            _ => PaymentId::from_u128(saga.id).to_string(),
        };
        SagaBody {
            kind: saga.kind,
            id,
            user: saga.user,
            state: saga.state,
            due_at: saga.due_at,
            updated_at: saga.updated_at,
        }
    }
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
