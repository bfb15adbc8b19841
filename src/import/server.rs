//! Finds the server to import into, or starts a node for as long as the import takes.

use std::error::Error;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use lyceum_domain::accounts::{Role, Roles};
use lyceum_domain::ids::UserId;
use lyceum_entities::accounts::Keys;
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Database, clock, ids};

use super::client::{Client, ImportError, TokenSource};
use super::identity::derived;
use crate::app::{App, signing_keys, token_settings};
use crate::http::Tokens;
use crate::settings::Settings;
use crate::telemetry::Metrics;

/// Does `work` against the server that runs with these settings, or against a node that is started for it.
///
/// Whoever has the settings has the database, and with it the keys that access tokens are signed with: the command
/// line signs an operator's token for itself, so that the very first import needs no account.
///
/// # Errors
/// No server can be reached or started, or the work fails.
pub async fn with_server<W, F>(
    settings: Settings,
    metrics: Metrics,
    work: W,
) -> Result<(), Box<dyn Error + Send + Sync>>
where
    W: FnOnce(Client) -> F,
    F: Future<Output = Result<(), Box<dyn Error + Send + Sync>>>,
{
    let address = callable(&settings.http.operations_listen, settings.http.listen);
    let refused: TokenSource = Arc::new(|| Err(ImportError::Token("not asked for yet".to_owned())));
    if Client::new(address, refused).finds_server().await {
        tracing::info!(%address, "importing into the running server");
        return work(Client::new(address, token_source(&settings).await?)).await;
    }

    let mut alone = settings.clone();
    // Nobody else is to find this node: it serves for the import alone.
    alone.http.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    alone.http.operations_listen = String::new();
    let app = Box::pin(App::start(alone, metrics)).await?;
    tracing::info!(address = %app.address(), "no server runs; started a node for the import");
    let token = token_source(&settings).await?;
    let done = work(Client::new(app.address(), token)).await;
    let drained = app.drain().await;
    done?;
    if drained {
        Ok(())
    } else {
        Err("the node did not finish within http.drain_timeout_ms".into())
    }
}

/// Where a server with these listeners answers operators.
fn callable(operations_listen: &str, listen: SocketAddr) -> SocketAddr {
    let mut address = operations_listen.parse().unwrap_or(listen);
    // "All addresses" is where to listen, not where to call.
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Signs operators' tokens with the site's keys.
async fn token_source(settings: &Settings) -> Result<TokenSource, Box<dyn Error + Send + Sync>> {
    let platform = settings.platform()?;
    let database = Database::new(&platform.database)?;
    let keys = Keys::load(&database, platform.keys).await?;
    let tokens = Tokens::new(token_settings(settings), &signing_keys(&keys.current()))?;
    let operator: UserId = derived("lyceum", "import", Timestamp::EPOCH);
    let roles = Roles::default().with(Role::Learner).with(Role::Operator);
    let (session, began) = (ids::new(), clock::now());
    Ok(Arc::new(move || {
        let token = tokens.sign(operator, (session, began), roles, clock::now());
        token
            .map(|token| token.text)
            .map_err(|error| ImportError::Token(error.to_string()))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_called_on_the_local_one() {
        let everywhere: SocketAddr = ([0, 0, 0, 0], 8080).into();

        assert_eq!(callable("", everywhere).to_string(), "127.0.0.1:8080");
        assert_eq!(callable("[::]:9090", everywhere).to_string(), "[::1]:9090");
        assert_eq!(callable("10.0.0.1:9090", everywhere).to_string(), "10.0.0.1:9090");
    }
}
