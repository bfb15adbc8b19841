//! The running application: settings become a platform and a server, started in order and drained in order.
//!
//! Start: migrations → platform (stores, shards, regions, read models) → tokens → listeners → "ready".
//! Drain: "not ready" → shards go to other nodes while requests are served as before → open requests end → entities finish and keep
//! their snapshots → exit. A node that finds itself declared dead answers what is open and begins again as another incarnation.

use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use lyceum_domain::accounts::{self, Email, Interests, Username};
use lyceum_entities::accounts::{KeySet, Password, Registration};
use lyceum_entities::{Platform, StartError};
use lyceum_runtime::{AskError, Context, Fate};
use tokio::signal::unix::{SignalKind, signal};

use crate::http::health::{Check, Health, Lifecycle, Probes};
use crate::http::server::{Parts, Server, ServerError};
use crate::http::{self, Api, SigningKey, TokenError, TokenSettings, Tokens, router};
use crate::migrate::{self, MigrateError};
use crate::settings::Settings;
use crate::telemetry::otlp::Exporter;
use crate::telemetry::{self, Metrics};

/// How long Postgres and Redis may take to answer a health check.
const HEALTH_BUDGET: Duration = Duration::from_millis(450);

/// How far what decides who is let in may be behind before the node says that it is degraded.
const SNAPSHOT_LAG_MAX: Duration = Duration::from_secs(2);

/// How long the registration of the first operator may take; its password is hashed meanwhile.
const OPERATOR_BUDGET: Duration = Duration::from_secs(10);

/// How long a node that was declared dead answers what is open; nothing of it can be done any more.
const EXPELLED_BUDGET: Duration = Duration::from_secs(1);

/// Why the application did not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The settings contradict what a part needs.
    #[error("settings: {0}")]
    Settings(String),
    /// The schema could not be brought up to date.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// The platform did not start.
    #[error(transparent)]
    Platform(#[from] StartError),
    /// The signing keys cannot be used.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// The listeners did not start.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A node that serves.
pub struct App {
    platform: Arc<Platform>,
    server: Server,
    exporter: Option<Exporter>,
    drain_timeout: Duration,
    handoff_timeout: Duration,
}

impl App {
    /// Starts everything and returns once requests are served.
    ///
    /// # Errors
    /// A part could not be started; nothing is left running that serves.
    pub async fn start(settings: Settings, metrics: Metrics) -> Result<Self, AppError> {
        migrate::run(&settings.database).await?;
        let exporter = Exporter::start(&settings.telemetry);
        let platform = Platform::start(settings.platform()?).await?;
        ensure_operator(&platform, &settings).await?;
        let tokens = Arc::new(Tokens::new(
            token_settings(&settings),
            &signing_keys(&platform.keys.current()),
        )?);
        keep_keys(&platform, &tokens);

        let lifecycle = Arc::new(Lifecycle::default());
        let settings = Arc::new(settings);
        let health = Arc::new(PlatformHealth(platform.clone()));
        let api = Arc::new(Api {
            platform: platform.clone(),
            tokens: tokens.clone(),
            settings: settings.clone(),
            probes: Probes::new(health, lifecycle.clone()),
            metrics,
        });
        let parts = Parts {
            api,
            routes: router::routes(),
            operations: router::operations(),
            tokens,
            revocations: platform.revoked.clone(),
            lifecycle: lifecycle.clone(),
            pace: platform.pace(),
        };
        let server = Server::start(parts, &settings.http)?;
        platform.board.share(server.limits());
        lifecycle.start();
        Ok(App {
            platform,
            server,
            exporter,
            drain_timeout: *settings.http.drain_timeout_ms,
            handoff_timeout: *settings.cluster.drain_timeout_ms,
        })
    }

    /// Where the API is served.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The running platform.
    pub fn platform(&self) -> &Arc<Platform> {
        &self.platform
    }

    /// Finishes what was begun and takes nothing new. Returns whether all was done in time.
    pub async fn drain(self) -> bool {
        // Whoever still sends requests here has them carried out, wherever their shards are by then.
        let cluster = self.platform.cluster();
        let (handed_off, ()) =
            futures_util::future::join(cluster.hand_all_off(self.handoff_timeout), self.server.announce())
                .await;
        if !handed_off {
            tracing::warn!("not every shard was handed off; others claim the rest");
        }
        let began = Instant::now();
        let cut = self.server.close(self.drain_timeout).await;
        // One budget for all; clients that used it up leave the entities a quarter.
        let left = self.drain_timeout.saturating_sub(began.elapsed());
        let finished = self.platform.drain(left.max(self.drain_timeout / 4)).await;
        if let Some(exporter) = self.exporter {
            exporter.close().await;
        }
        cut == 0 && finished
    }

    /// Answers what is open and leaves a note, once this incarnation has been declared dead.
    async fn expelled(self) {
        self.server.close(EXPELLED_BUDGET).await;
        if let Err(error) = self.platform.cluster().note_fenced().await {
            tracing::warn!(%error, "how many late writes were refused could not be noted");
        }
        if let Some(exporter) = self.exporter {
            exporter.close().await;
        }
    }
}

/// Starts the application, serves until SIGTERM or Ctrl-C, drains.
///
/// # Errors
/// When a part cannot start or the drain does not end in time.
pub async fn serve(settings: Settings, metrics: Metrics) -> Result<(), Box<dyn Error + Send + Sync>> {
    let app = Box::pin(App::start(settings, metrics)).await?;
    writeln!(io::stderr(), "lyceum serves on http://{}", app.address())?;
    tracing::info!(address = %app.address(), "serving");
    let mut terminated = signal(SignalKind::terminate())?;
    let cluster = app.platform.cluster().clone();
    let fate = tokio::select! {
        _ = terminated.recv() => Fate::Living,
        interrupted = tokio::signal::ctrl_c() => interrupted.map(|()| Fate::Living)?,
        fate = cluster.ended() => fate,
    };
    if fate != Fate::Living {
        app.expelled().await;
        return Err(match fate {
            Fate::Superseded => format!(
                "another process was started as node {}, or members joined the database of a node that runs alone",
                cluster.node()
            )
            .into(),
            _ => begin_again().into(),
        });
    }
    tracing::info!("draining");
    if app.drain().await {
        Ok(())
    } else {
        Err("not everything ended within http.drain_timeout_ms".into())
    }
}

/// Runs this program again in this process, with the same arguments; returns only if that fails.
fn begin_again() -> io::Error {
    tracing::warn!("this incarnation was declared dead; the process begins again as another");
    telemetry::lines::finish();
    let mut arguments = std::env::args_os();
    let called = arguments.next().unwrap_or_default();
    // Whoever replaced the file while it ran has it under the name it was called by.
    let program = std::env::current_exe().ok().filter(|path| path.exists());
    std::process::Command::new(program.unwrap_or_else(|| called.into()))
        .args(arguments)
        .exec()
}

/// The OpenAPI description as JSON.
pub fn openapi() -> String {
    http::openapi::json()
}

/// Registers the first operator of a new site, if the settings name one.
async fn ensure_operator(platform: &Platform, settings: &Settings) -> Result<(), AppError> {
    let accounts = &settings.accounts;
    if accounts.operator_username.is_empty() || accounts.operator_password.expose().is_empty() {
        return Ok(());
    }
    let unusable = |error: accounts::Error| AppError::Settings(format!("accounts.operator: {error}"));
    let registration = Registration {
        username: Username::parse(&accounts.operator_username).map_err(unusable)?,
        email: Email::parse(&accounts.operator_email).map_err(unusable)?,
        display_name: None,
        password: Password::new(accounts.operator_password.expose().to_owned()),
        interests: Interests::default(),
    };
    match platform
        .identity
        .ensure_operator(registration, &Context::within(OPERATOR_BUDGET))
        .await
    {
        Ok(()) => Ok(()),
        Err(AskError::Refused(refusal)) => Err(unusable(refusal)),
        Err(other) => Err(AppError::Settings(format!(
            "accounts.operator could not be registered: {other:?}"
        ))),
    }
}

/// What access tokens of this site say and how long they last.
pub(crate) fn token_settings(settings: &Settings) -> TokenSettings {
    TokenSettings {
        issuer: settings.tokens.issuer.clone(),
        audience: settings.tokens.audience.clone(),
        lifetime_s: u32::try_from(settings.tokens.access_ttl_s.as_secs()).unwrap_or(u32::MAX),
        ..TokenSettings::default()
    }
}

/// The site's keys as the edge signs and verifies with them.
pub(crate) fn signing_keys(keys: &KeySet) -> Vec<SigningKey> {
    keys.as_slice()
        .iter()
        .map(|key| SigningKey {
            kid: key.kid.clone(),
            seed: key.seed(),
        })
        .collect()
}

/// Signs with new keys as they become current, for as long as the node lives.
fn keep_keys(platform: &Arc<Platform>, tokens: &Arc<Tokens>) {
    let (keys, database, revoked) = (
        platform.keys.clone(),
        platform.database.clone(),
        platform.revoked.clone(),
    );
    let tokens = tokens.clone();
    lyceum_runtime::supervise("signing keys", move || {
        let tokens = tokens.clone();
        keys.clone()
            .upkeep(database.clone(), revoked.clone(), move |changed| {
                if let Err(error) = tokens.rotate(&signing_keys(changed)) {
                    tracing::error!(%error, "new signing keys cannot be used");
                }
            })
    });
}

/// How the platform's parts are.
struct PlatformHealth(Arc<Platform>);

impl Health for PlatformHealth {
    fn check(&self) -> BoxFuture<'_, Vec<Check>> {
        Box::pin(async {
            let (postgres, redis) = tokio::join!(
                self.0.database.answers(HEALTH_BUDGET),
                self.0.redis.answers(HEALTH_BUDGET)
            );
            vec![
                Check {
                    name: "postgres",
                    healthy: postgres,
                    vital: true,
                },
                // A full disk answers questions and commits nothing.
                Check {
                    name: "journal",
                    healthy: self.0.takes_commits(),
                    vital: true,
                },
                // Without it this node must not answer for any shard; to be told to drain is to be sent nothing.
                Check {
                    name: "member",
                    healthy: self.0.cluster().serves(),
                    vital: true,
                },
                // One shard without an owner is that shard's trouble; without any there is nothing to serve.
                Check {
                    name: "shards",
                    healthy: self.0.any_shard_served(),
                    vital: true,
                },
                Check {
                    name: "all_shards",
                    healthy: self.0.all_shards_served(),
                    vital: false,
                },
                Check {
                    name: "snapshots",
                    healthy: self.0.freshness.measure(SNAPSHOT_LAG_MAX),
                    vital: false,
                },
                Check {
                    name: "redis",
                    healthy: redis,
                    vital: false,
                },
            ]
        })
    }
}
