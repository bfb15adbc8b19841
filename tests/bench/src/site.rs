//! Lyceum as it is measured: the release binary over private stores, with the settings of the demo but for those that
//! the measurement needs, which are all in this file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls};

use crate::Failure;
use crate::process::{Process, free_address};
use crate::tokens::LIFETIME;

/// The secret of the sandbox that the demo's settings hold.
const SANDBOX_SECRET: &str = "sandbox-demo-secret-not-safe";

/// What is measured, and where results go.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Place {
    /// The server's binary
    #[arg(long, default_value = "target/release/lyceum")]
    lyceum: PathBuf,
    /// The payment sandbox's binary
    #[arg(long, default_value = "target/release/lyceum-sandbox")]
    sandbox: PathBuf,
    /// An empty database that may be filled
    #[arg(long, env = "DATABASE_URL")]
    pub(crate) database: String,
    /// A Redis that may be filled
    #[arg(long, env = "REDIS_URL")]
    redis: String,
    /// Folder for results and logs
    #[arg(long, default_value = ".data/bench")]
    pub(crate) out: PathBuf,
}

impl Place {
    /// Opens a connection that may take its time.
    ///
    /// # Errors
    /// The database is away.
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        connect(&self.database).await
    }

    /// Starts the payment sandbox.
    pub(crate) async fn start_sandbox(&self) -> Result<(Process, SocketAddr), Failure> {
        let address = free_address()?;
        let file = self.out.join("sandbox.jsonl");
        // Charges of an earlier database would be asked for in vain.
        let _ = std::fs::remove_file(&file);
        let arguments = [
            "--listen".to_owned(),
            address.to_string(),
            "--file".to_owned(),
            file.display().to_string(),
            "--secret".to_owned(),
            SANDBOX_SECRET.to_owned(),
        ];
        let mut process = Process::start("sandbox", &self.sandbox, arguments, &[], &self.out)?;
        process.ready(address, "/livez").await?;
        Ok((process, address))
    }

    /// Starts the server and waits until it is ready.
    ///
    /// # Errors
    /// It ends instead, or takes longer than a minute.
    pub(crate) async fn start(&self, settings: &[(&str, String)]) -> Result<Site, Failure> {
        let address = free_address()?;
        let mut arguments = vec!["serve".to_owned()];
        let always = [
            ("http.listen", address.to_string()),
            ("tokens.access_ttl_s", LIFETIME.as_secs().to_string()),
            ("http.rate.credentials.requests", "0".to_owned()),
            (
                "providers.sandbox.callback_url",
                format!("http://{address}/callbacks/sandbox"),
            ),
        ];
        for (key, value) in always.iter().chain(settings) {
            arguments.extend(["--set".to_owned(), format!("{key}={value}")]);
        }
        let environment = [
            ("LYCEUM__DATABASE__URL", self.database.as_str()),
            ("LYCEUM__REDIS__URL", self.redis.as_str()),
        ];
        let began = Instant::now();
        let mut process = Process::start("lyceum", &self.lyceum, arguments, &environment, &self.out)?;
        process.ready(address, "/readyz").await?;
        Ok(Site {
            address,
            process,
            start_up: began.elapsed(),
        })
    }
}

/// A server that is ready.
pub(crate) struct Site {
    /// Where it serves.
    pub(crate) address: SocketAddr,
    /// The process.
    pub(crate) process: Process,
    /// How long it took from `exec` until it was ready.
    pub(crate) start_up: Duration,
}

/// Opens a connection to a database without the time limits of its role.
///
/// # Errors
/// The database is away.
pub(crate) async fn connect(url: &str) -> Result<Client, Failure> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    client
        .batch_execute("SET statement_timeout = 0; SET lock_timeout = 0")
        .await?;
    Ok(client)
}
