//! The wallet over HTTP: balance, statement, top-ups.

use lyceum_domain::commerce::wallet::TopUpState;
use lyceum_domain::commerce::{Command, Error, Method};
use lyceum_domain::ids::{AdjustmentId, OrderId, PaymentId, RefundId};
use lyceum_entities::commerce::{Answer, Question, WalletEntry, WalletPosition};
use lyceum_kernel::{Money, Timestamp};
use lyceum_runtime::{clock, ids};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::wire::{TopUpBody, TopUpRequest, checked_token};
use super::{method, payer_action, unexpected};
use crate::http::{Api, Page, PageQuery, Problem, ProblemBody, Reply, Request, malformed_cursor, shapes};

/// A wallet.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct WalletBody {
    /// What may be spent.
    #[schema(value_type = shapes::Money)]
    balance: Money,
    /// What is reserved for purchases under way.
    #[schema(value_type = shapes::Money)]
    held: Money,
    /// A page of its statement, newest first.
    entries: Page<EntryBody>,
}

/// One line of a wallet's statement.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct EntryBody {
    /// `sale`, `top_up`, `refund`, `adjustment`, or `unfulfilled`: what an order has paid that waits for its team.
    kind: &'static str,
    /// What it stands for: an order, a payment, a refund or an adjustment.
    reference: String,
    /// Minor units, negative for what was spent.
    amount: i64,
    currency: &'static str,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

/// `GET /v1/me/wallet`: shows the caller's wallet and a page of its statement.
///
/// # Errors
/// 400 `http.invalid_query`, `http.malformed_cursor`.
#[utoipa::path(
    get, path = "/v1/me/wallet", tag = "commerce", params(PageQuery),
    responses(
        (status = 200, body = WalletBody),
        (status = 400, body = ProblemBody, description = "`http.invalid_query`, `http.malformed_cursor`"),
    )
)]
pub async fn wallet(api: &Api, request: Request) -> Result<Reply, Problem> {
    let caller = request.caller()?;
    let query: PageQuery = request.query()?;
    let limit = query.limit()?;
    let after = query.after.as_deref().map(read_cursor).transpose()?;

    let context = request.context();
    let answer = api
        .platform
        .buyers
        .read(caller.user, Question::Wallet, &context)
        .await?;
    let Answer::Wallet { balance, held } = answer else {
        return Err(unexpected());
    };
    let entries = api
        .platform
        .commerce
        .wallet_entries(caller.user, after, limit + 1)
        .await?;

    let cursor = |entry: &WalletEntry| write_cursor(entry.position);
    let body = |entry: WalletEntry| EntryBody::of(&entry, balance);
    Ok(Reply::ok(&WalletBody {
        balance,
        held,
        entries: Page::of(entries, limit, cursor, body),
    }))
}

/// `POST /v1/me/wallet/top-ups`: brings money into the wallet through a provider.
///
/// # Errors
/// 422 `commerce.amount_out_of_range`, `commerce.currency_unsupported`, `commerce.payment_method_unknown`,
/// `commerce.payment_token_required`, `commerce.too_many_open_top_ups`.
#[utoipa::path(
    post, path = "/v1/me/wallet/top-ups", tag = "commerce", request_body = TopUpRequest,
    params(("Idempotency-Key" = String, Header, description = "names the top-up; repeating it charges nothing more")),
    responses(
        (status = 202, body = TopUpBody, headers(("Location" = String, description = "the top-up"))),
        (status = 422, body = ProblemBody, description = "`commerce.amount_out_of_range`, \
            `commerce.currency_unsupported`, `commerce.payment_method_unknown`, \
            `commerce.payment_token_required`, `commerce.too_many_open_top_ups`"),
    )
)]
pub async fn top_up(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    let caller = request.caller()?;
    let TopUpRequest {
        amount,
        provider,
        payment_token,
    } = request.json().await?;
    let payment_token = checked_token(payment_token)?;
    let Method::Provider(provider) = method(api, &provider)? else {
        let refused = Problem::from_error(&Error::PaymentMethodUnknown);
        return Err(refused.at("/provider", "a wallet cannot fill itself"));
    };
    let settings = &api.settings.commerce;
    if u64::try_from(amount.amount()).is_ok_and(|units| units > settings.top_up_max) {
        let most = format!("at most {} minor units at once", settings.top_up_max);
        return Err(Problem::from_error(&Error::AmountOutOfRange).at("/amount", most));
    }

    let payment_id: PaymentId = ids::new();
    let expires_at = clock::now().plus(*settings.order_ttl_s);
    let command = Command::StartTopUp {
        payment_id,
        amount,
        provider,
        payment_token,
        expires_at,
    };
    let question = Question::TopUp { payment_id };
    match api
        .platform
        .buyers
        .ask(caller.user, command, question, &request.context())
        .await?
    {
        Answer::TopUp { payment_id, top_up } => {
            let location = format!("/v1/me/wallet/top-ups/{payment_id}");
            Ok(Reply::accepted(location, &TopUpBody::of(payment_id, top_up)))
        }
        _ => Err(unexpected()),
    }
}

/// `GET /v1/me/wallet/top-ups/{id}`: shows how far one of the caller's top-ups is.
///
/// # Errors
/// 404 `commerce.top_up_not_found`, also for somebody else's.
#[utoipa::path(
    get, path = "/v1/me/wallet/top-ups/{id}", tag = "commerce",
    params(("id" = String, Path, description = "the top-up")),
    responses(
        (status = 200, body = TopUpBody),
        (status = 404, body = ProblemBody, description = "`commerce.top_up_not_found`"),
    )
)]
pub async fn get_top_up(api: &Api, request: Request) -> Result<Reply, Problem> {
    let caller = request.caller()?;
    let question = Question::TopUp {
        payment_id: request.path("id")?,
    };
    match api
        .platform
        .buyers
        .read(caller.user, question, &request.context())
        .await?
    {
        Answer::TopUp { payment_id, top_up } => {
            let asked = match top_up.state {
                TopUpState::Processing => payer_action(api, &request, payment_id, top_up.provider).await?,
                _ => None,
            };
            Ok(Reply::ok(&TopUpBody::of(payment_id, top_up).asking(asked)))
        }
        _ => Err(unexpected()),
    }
}

impl EntryBody {
    fn of(entry: &WalletEntry, balance: Money) -> Self {
        EntryBody {
            kind: entry.kind,
            reference: reference(entry.kind, entry.position.source),
            amount: entry.amount,
            currency: balance.currency().code(),
            at: entry.position.at,
        }
    }
}

/// The id of what a line stands for.
pub(super) fn reference(kind: &str, bits: u128) -> String {
    match kind {
        "sale" | "unfulfilled" => OrderId::from_u128(bits).to_string(),
        "refund" => RefundId::from_u128(bits).to_string(),
        "adjustment" => AdjustmentId::from_u128(bits).to_string(),
        _ => PaymentId::from_u128(bits).to_string(),
    }
}

/// `<milliseconds>.<source>.<step>`: clients hand it back and do not look into it.
pub(super) fn write_cursor(position: WalletPosition) -> String {
    let source = Uuid::from_u128(position.source).simple();
    format!("{}.{source}.{}", position.at.as_millis(), position.step)
}

pub(super) fn read_cursor(text: &str) -> Result<WalletPosition, Problem> {
    let read = || {
        let (at, rest) = text.split_once('.')?;
        let (source, step) = rest.split_once('.')?;
        Some(WalletPosition {
            at: Timestamp::from_millis(at.parse().ok()?),
            source: Uuid::try_parse(source).ok()?.as_u128(),
            step: step.parse().ok()?,
        })
    };
    read().ok_or_else(malformed_cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_back_as_they_were_written() {
        let position = WalletPosition {
            at: Timestamp::from_millis(1_763_800_000_123),
            source: 7 << 90,
            step: 4,
        };

        assert_eq!(read_cursor(&write_cursor(position)).ok(), Some(position));
        for text in ["", "1", "1.2", "x.0.1", "1.00.x"] {
            assert!(read_cursor(text).is_err(), "{text}");
        }
    }
}
