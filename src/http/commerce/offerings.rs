//! Offering something and withdrawing it, whatever it is.

use lyceum_domain::accounts::Role;
use lyceum_domain::commerce::offering::Command;
use lyceum_entities::commerce::{OfferAnswer, OfferQuestion, Offered, Offerings};
use lyceum_kernel::{Id, IdKind};
use lyceum_runtime::{Context, Region};
use serde::Deserialize;
use utoipa::ToSchema;

use super::deeds::deed_of_another;
use crate::http::{Api, Problem, Request};

/// Withdraws an offering; nothing need be said about one's own.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct WithdrawalBody {
    /// Why, for the audit log: from 3 to 500 characters. Of operators, for what is not their own.
    #[schema(min_length = 3, max_length = 500)]
    reason: Option<String>,
}

/// Offers something, if the catalog and the settings bear it.
///
/// What they bear no more may have been offered by this very request, which is then answered as it was the first time.
///
/// # Errors
/// What was `checked`, and what the offering itself refuses.
pub(super) async fn offer<K: IdKind + 'static, T: Offered<Id = Id<K>>>(
    region: &Region<Offerings<T>>,
    offer: T,
    checked: Result<(), Problem>,
    context: &Context,
) -> Result<(T::Id, OfferAnswer<T>), Problem> {
    if let Err(refused) = checked {
        return region.created(context).await?.ok_or(refused);
    }
    Ok(region
        .create(Command::Offer(offer), OfferQuestion::View, context)
        .await?)
}

/// Offers something no more, for its creator or an operator.
///
/// # Errors
/// 404, also for somebody else's; 422 `commerce.reason_length`.
pub(super) async fn withdraw<T: Offered>(
    api: &Api,
    request: &mut Request,
    region: &Region<Offerings<T>>,
    id: T::Id,
) -> Result<OfferAnswer<T>, Problem> {
    let caller = request.caller()?;
    let mut unnamed = request.context();
    unnamed.operation = None;
    let found = region.read(id, OfferQuestion::View, &unnamed).await?;
    let own = found.offer.creator() == Some(caller.user);
    if !own && !caller.roles.contains(Role::Operator) {
        return Err(Problem::from_error(&T::not_found()));
    }

    let body: Option<WithdrawalBody> = request.json_if_any().await?;
    let deed = deed_of_another(api, request, own, body.and_then(|body| body.reason))?;
    let by = caller.user;
    let command = Command::Withdraw { by, deed };
    Ok(region
        .ask(id, command, OfferQuestion::View, &request.context())
        .await?)
}
