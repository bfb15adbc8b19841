//! What operators do and why, as it is written into the audit log.

use lyceum_domain::commerce::Deed;

use crate::http::{Api, Problem, Request};

/// Who acts, for the log.
pub(super) fn deed(api: &Api, request: &Request, reason: String) -> Result<Deed, Problem> {
    Ok(Deed {
        operator: request.caller()?.user,
        reason,
        node: api.settings.cluster.node.clone(),
    })
}

/// What an operator does about something that is somebody else's; nothing need be said about one's own, and what is said is checked
/// all the same.
///
/// # Errors
/// 422 `commerce.reason_length`.
pub(super) fn deed_of_another(
    api: &Api,
    request: &Request,
    own: bool,
    reason: Option<String>,
) -> Result<Option<Deed>, Problem> {
    if own && reason.is_none() {
        return Ok(None);
    }
    let deed = deed(api, request, reason.unwrap_or_default())?.checked();
    let deed = deed.map_err(|error| Problem::from_error(&error))?;
    Ok((!own).then_some(deed))
}
