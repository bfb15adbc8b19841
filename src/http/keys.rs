//! `GET /.well-known/jwks.json`: the public keys that verify access tokens.

use super::Api;
use super::problem::Problem;
use super::reply::Reply;
use super::request::Request;

/// `GET /.well-known/jwks.json`: the public keys that verify access tokens, as a JWK set (RFC 7517).
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "accounts", security(()),
    responses((status = 200, description = "The keys", body = serde_json::Value)))]
pub fn keys(api: &Api, _: &Request) -> Result<Reply, Problem> {
    let (body, tag) = api.tokens.published();
    Ok(Reply::ready_made(body, &tag))
}
