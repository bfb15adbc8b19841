//! Manual adjustments of the ledger: one operator proposes, another approves or rejects.

use lyceum_domain::accounts::Role;
use lyceum_domain::commerce::adjustment::{Bounds, Command};
use lyceum_domain::commerce::ledger::{Account, Entry};
use lyceum_domain::commerce::{Adjustment, Error, SETTLEMENT_CURRENCY};
use lyceum_domain::ids::{AdjustmentId, UserId};
use lyceum_entities::commerce::{AdjustmentAnswer, AdjustmentQuestion, AdjustmentRow};
use lyceum_kernel::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::deeds::deed;
use super::sagas::DeedBody;
use super::unexpected;
use crate::http::{
    Api, Page, Problem, ProblemBody, Reply, Request, checked_cursor, checked_limit, invalid_query,
};

/// The states that can be asked for.
const STATES: [&str; 4] = ["proposed", "approved", "posted", "rejected"];

/// Which adjustments to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AdjustmentsQuery {
    /// `proposed`, `approved`, `posted` or `rejected`.
    #[param(pattern = "^(proposed|approved|posted|rejected)$")]
    state: Option<String>,
    /// Entries wanted, from 1 to 100; 20 if left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u16>,
    /// Where the page before this one ended: its `next`.
    after: Option<String>,
}

/// One entry of an adjustment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct AdjustmentEntryBody {
    /// The name of an account of the chart.
    #[schema(value_type = String, example = "platform_revenue",
        pattern = "^(provider_clearing|user_wallet|creator_payable|affiliate_payable|platform_revenue|fees|tax_payable|chargeback_reserve|refund_payable)$")]
    account: Account,
    /// Whose account, exactly where accounts are somebody's.
    #[schema(value_type = Option<String>)]
    owner: Option<UserId>,
    /// Minor units: positive for a credit, negative for a debit.
    #[schema(example = -500)]
    amount: i64,
}

/// What is to be posted, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ProposalBody {
    /// Why, for the audit log: from 3 to 500 characters.
    #[schema(min_length = 3, max_length = 500)]
    reason: String,
    /// ISO 4217 code of the currency that wallets are kept in.
    #[schema(pattern = "^(CNY|USD|EUR)$", example = "CNY")]
    currency: String,
    /// Entries that add up to zero, of different accounts, at most one of them a wallet's.
    #[schema(min_items = 2)]
    entries: Vec<AdjustmentEntryBody>,
}

/// An adjustment.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct AdjustmentBody {
    #[schema(value_type = String)]
    id: AdjustmentId,
    /// `proposed`, `approved`, `posted` or `rejected`.
    state: String,
    currency: String,
    entries: Vec<AdjustmentEntryBody>,
    /// Who proposed it, and why.
    #[schema(value_type = String)]
    maker: UserId,
    reason: String,
    /// Who decided, and why.
    #[schema(value_type = Option<String>)]
    checker: Option<UserId>,
    note: Option<String>,
    /// The code of the rule by which the wallet refused it after its approval.
    refusal: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    proposed_at: Timestamp,
}

/// `POST /admin/v1/adjustments`: proposes a balanced transaction; another operator decides.
///
/// # Errors
/// 422 `commerce.adjustment_unbalanced`, `commerce.adjustment_entries`, `commerce.adjustment_one_wallet`,
/// `commerce.amount_out_of_range`, `commerce.currency_unsupported`, `commerce.reason_length`.
#[utoipa::path(
    post, path = "/admin/v1/adjustments", tag = "operators", request_body = ProposalBody,
    params(("Idempotency-Key" = String, Header, description = "names the adjustment; repeating it proposes nothing more")),
    responses(
        (status = 201, body = AdjustmentBody, headers(("Location" = String, description = "the adjustment"))),
        (status = 422, body = ProblemBody, description = "`commerce.adjustment_unbalanced`, `commerce.adjustment_entries`, \
            `commerce.adjustment_one_wallet`, `commerce.amount_out_of_range`, `commerce.currency_unsupported`, \
            `commerce.reason_length`"),
    )
)]
pub async fn propose_adjustment(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let ProposalBody {
        reason,
        currency,
        entries,
    } = request.json().await?;
    if currency != SETTLEMENT_CURRENCY.code() {
        let refused = Problem::from_error(&Error::CurrencyUnsupported);
        return Err(refused.at("/currency", "wallets are not kept in it"));
    }
    let settings = &api.settings.commerce;
    // Whoever sends ten thousand owners is refused before they are looked up.
    if entries.len() <= settings.adjustment_entries_max {
        known_owners(api, &entries).await?;
    }

    let command = Command::Propose {
        entries: entries.into_iter().map(AdjustmentEntryBody::into_entry).collect(),
        maker: deed(api, &request, reason)?,
        bounds: Bounds {
            amount_max: i64::try_from(settings.adjustment_amount_max).unwrap_or(i64::MAX),
            entries_max: settings.adjustment_entries_max,
        },
    };
    let (id, answer) = api
        .platform
        .adjustments
        .create(command, AdjustmentQuestion::State, &request.context())
        .await?;

    let location = format!("/admin/v1/adjustments/{id}");
    Ok(Reply::created(location, &AdjustmentBody::answered(id, answer)?))
}

/// `GET /admin/v1/adjustments`: lists adjustments, newest first.
///
/// # Errors
/// 400 `http.invalid_query`, `http.malformed_cursor`.
#[utoipa::path(
    get, path = "/admin/v1/adjustments", tag = "operators", params(AdjustmentsQuery),
    responses(
        (status = 200, body = Page<AdjustmentBody>),
        (status = 400, body = ProblemBody, description = "`http.invalid_query`, `http.malformed_cursor`"),
    )
)]
pub async fn adjustments(api: &Api, request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let AdjustmentsQuery { state, limit, after } = request.query()?;
    let limit = checked_limit(limit)?;
    if state.as_deref().is_some_and(|state| !STATES.contains(&state)) {
        return Err(invalid_query("state", "a state of an adjustment"));
    }
    let before: Option<AdjustmentId> = checked_cursor(after.as_deref())?;

    let rows = api
        .platform
        .commerce
        .adjustments(state.as_deref(), before, limit + 1)
        .await?;

    let cursor = |row: &AdjustmentRow| row.id.to_string();
    Ok(Reply::ok(&Page::of(rows, limit, cursor, AdjustmentBody::listed)))
}

/// `GET /admin/v1/adjustments/{id}`: shows an adjustment.
///
/// # Errors
/// 404 `commerce.adjustment_not_found`.
#[utoipa::path(
    get, path = "/admin/v1/adjustments/{id}", tag = "operators",
    params(("id" = String, Path, description = "the adjustment")),
    responses(
        (status = 200, body = AdjustmentBody),
        (status = 404, body = ProblemBody, description = "`commerce.adjustment_not_found`"),
    )
)]
pub async fn adjustment(api: &Api, request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let id: AdjustmentId = request.path("id")?;

    let answer = api
        .platform
        .adjustments
        .read(id, AdjustmentQuestion::State, &request.context())
        .await?;

    Ok(Reply::ok(&AdjustmentBody::answered(id, answer)?))
}

/// `POST /admin/v1/adjustments/{id}/approve`: has an adjustment posted that another operator has proposed.
///
/// # Errors
/// 403 `commerce.adjustment_same_operator`; 404 `commerce.adjustment_not_found`; 409 `commerce.wrong_state`; 422
/// `commerce.reason_length`.
#[utoipa::path(
    post, path = "/admin/v1/adjustments/{id}/approve", tag = "operators", request_body = DeedBody,
    params(("id" = String, Path, description = "the adjustment"),
        ("Idempotency-Key" = String, Header, description = "names the operation")),
    responses(
        (status = 200, body = AdjustmentBody, description = "Posted"),
        (status = 202, body = AdjustmentBody, description = "Approved, and on its way to the wallet",
            headers(("Location" = String, description = "the adjustment"))),
        (status = 403, body = ProblemBody, description = "`commerce.adjustment_same_operator`"),
        (status = 404, body = ProblemBody, description = "`commerce.adjustment_not_found`"),
        (status = 409, body = ProblemBody, description = "`commerce.wrong_state`"),
        (status = 422, body = ProblemBody, description = "`commerce.reason_length`"),
    )
)]
pub async fn approve_adjustment(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let id: AdjustmentId = request.path("id")?;
    let DeedBody { reason } = request.json().await?;
    let checker = deed(api, &request, reason)?;

    let body = decided(api, &request, id, Command::Approve { checker }).await?;

    Ok(if body.state == "approved" {
        Reply::accepted(format!("/admin/v1/adjustments/{id}"), &body)
    } else {
        Reply::ok(&body)
    })
}

/// `POST /admin/v1/adjustments/{id}/reject`: has an adjustment never posted that another operator has proposed.
///
/// # Errors
/// 403 `commerce.adjustment_same_operator`; 404 `commerce.adjustment_not_found`; 409 `commerce.wrong_state`; 422
/// `commerce.reason_length`.
#[utoipa::path(
    post, path = "/admin/v1/adjustments/{id}/reject", tag = "operators", request_body = DeedBody,
    params(("id" = String, Path, description = "the adjustment"),
        ("Idempotency-Key" = Option<String>, Header, description = "names the operation")),
    responses(
        (status = 200, body = AdjustmentBody),
        (status = 403, body = ProblemBody, description = "`commerce.adjustment_same_operator`"),
        (status = 404, body = ProblemBody, description = "`commerce.adjustment_not_found`"),
        (status = 409, body = ProblemBody, description = "`commerce.wrong_state`"),
        (status = 422, body = ProblemBody, description = "`commerce.reason_length`"),
    )
)]
pub async fn reject_adjustment(api: &Api, mut request: Request) -> Result<Reply, Problem> {
    request.require(Role::Operator)?;
    let id: AdjustmentId = request.path("id")?;
    let DeedBody { reason } = request.json().await?;
    let checker = deed(api, &request, reason)?;

    Ok(Reply::ok(
        &decided(api, &request, id, Command::Reject { checker }).await?,
    ))
}

async fn decided(
    api: &Api,
    request: &Request,
    id: AdjustmentId,
    command: Command,
) -> Result<AdjustmentBody, Problem> {
    let answer = api
        .platform
        .adjustments
        .ask(id, command, AdjustmentQuestion::State, &request.context())
        .await?;
    AdjustmentBody::answered(id, answer)
}

/// Refuses owners that nobody is: their wallets would be money that no one can reach.
async fn known_owners(api: &Api, entries: &[AdjustmentEntryBody]) -> Result<(), Problem> {
    let owners: Vec<UserId> = entries.iter().filter_map(|entry| entry.owner).collect();
    let unknown = api.platform.commerce.unknown_users(&owners).await?;
    let position = entries
        .iter()
        .position(|entry| entry.owner.is_some_and(|owner| unknown.contains(&owner)));
    match position {
        Some(index) => Err(Problem::from_error(&Error::AdjustmentEntries)
            .at(format!("/entries/{index}/owner"), "there is no such account")),
        None => Ok(()),
    }
}

impl AdjustmentEntryBody {
    fn of(entry: Entry) -> Self {
        AdjustmentEntryBody {
            account: entry.account,
            owner: entry.owner,
            amount: entry.amount,
        }
    }

    fn into_entry(self) -> Entry {
        Entry {
            account: self.account,
            owner: self.owner,
            amount: self.amount,
        }
    }
}

impl AdjustmentBody {
    fn answered(id: AdjustmentId, answer: AdjustmentAnswer) -> Result<Self, Problem> {
        match answer {
            AdjustmentAnswer::State(adjustment) => AdjustmentBody::of(id, &adjustment),
            AdjustmentAnswer::Nothing => Err(unexpected()),
        }
    }

    fn of(id: AdjustmentId, adjustment: &Adjustment) -> Result<Self, Problem> {
        let proposal = adjustment
            .proposal()
            .map_err(|error| Problem::from_error(&error))?;
        let checker = adjustment.checker();
        Ok(AdjustmentBody {
            id,
            state: adjustment.name().to_owned(),
            currency: SETTLEMENT_CURRENCY.code().to_owned(),
            entries: proposal
                .entries
                .iter()
                .copied()
                .map(AdjustmentEntryBody::of)
                .collect(),
            maker: proposal.maker.operator,
            reason: proposal.maker.reason.clone(),
            checker: checker.map(|deed| deed.operator),
            note: checker.map(|deed| deed.reason.clone()),
            refusal: adjustment.refusal().map(str::to_owned),
            proposed_at: proposal.at,
        })
    }

    fn listed(row: AdjustmentRow) -> Self {
        AdjustmentBody {
            id: row.id,
            state: row.state,
            currency: row.currency,
            entries: row.entries.into_iter().map(AdjustmentEntryBody::of).collect(),
            maker: row.maker,
            reason: row.reason,
            checker: row.checker,
            note: row.note,
            refusal: row.refusal,
            proposed_at: row.proposed_at,
        }
    }
}
