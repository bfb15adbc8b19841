//! Journeys of accounts: register, log in and out. Each costs the target a password hash.

use hyper::Method;
use hyper::header::HeaderValue;

use crate::client::Answer;
use crate::journey::Step;
use crate::outcome::ErrorKind;
use crate::request::Ask;
use crate::users;
use crate::visit::{Ended, Visit, status};

/// A new account.
pub(super) async fn register(visit: &mut Visit) -> Result<(), Ended> {
    let name = visit.new_name();
    let ask = Ask::post("/v1/users", users::registration(&name)).keyed(visit.key());
    visit.call(Step::Register, ask, &[201]).await?;
    Ok(())
}

/// A login of its own, the profile, and out again: the prepared logins are not touched, since an account has room for
/// only so many.
pub(super) async fn login(visit: &mut Visit) -> Result<(), Ended> {
    let proof = visit.user().proof();
    let login = Ask::post("/v1/sessions", proof);
    let answer = visit.measure(Step::Login, login, None, accept).await?;
    let Some((bearer, session)) = tokens(&answer) else {
        return Err(Ended);
    };
    visit.think().await;
    let profile = |answer: &Answer| status(answer, &[200]);
    visit
        .measure(Step::Me, Ask::get("/v1/me"), Some(&bearer), profile)
        .await?;
    let mut leave = Ask::get(&format!("/v1/sessions/{session}"));
    leave.method = Method::DELETE;
    let left = |answer: &Answer| status(answer, &[200, 204]);
    visit.measure(Step::Logout, leave, Some(&bearer), left).await?;
    Ok(())
}

fn accept(answer: &Answer) -> Result<(), ErrorKind> {
    status(answer, &[201])?;
    tokens(answer).map(|_| ()).ok_or(ErrorKind::Check)
}

/// Reads the access token, as a header, and the session that it belongs to.
fn tokens(answer: &Answer) -> Option<(HeaderValue, String)> {
    let tokens = answer.json();
    let bearer = HeaderValue::try_from(format!("Bearer {}", tokens["access_token"].as_str()?)).ok()?;
    Some((bearer, tokens["session"]["id"].as_str()?.to_owned()))
}
