//! The stores under trial: an instance of `config/dev/stores.sh` that may be crashed, filled and emptied.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::Failure;
use crate::pinning::Cores;

/// A start makes a cluster if there is none, and recovers one that crashed.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(120);
const REDIS_TIMEOUT: Duration = Duration::from_secs(5);

/// A Postgres and a Redis.
#[derive(Clone, Debug)]
pub struct Stores {
    script: PathBuf,
    instance: &'static str,
    /// Where the product writes.
    pub database: String,
    /// Where the oracle reads.
    pub readable: String,
    /// Redis.
    pub redis: String,
}

impl Stores {
    /// Starts both and empties them.
    ///
    /// # Errors
    /// They cannot be had here; the script says why.
    pub async fn fresh(script: &Path, instance: &'static str) -> Result<Self, Failure> {
        run(script, "start", instance).await?;
        run(script, "reset", instance).await?;
        let exports = run(script, "env", instance).await?;
        let url = |name: &str| -> Result<String, Failure> {
            let line = exports
                .lines()
                .find_map(|line| line.strip_prefix(&format!("export {name}=")));
            Ok(line
                .ok_or_else(|| format!("the instance has no {name}"))?
                .to_owned())
        };
        let database = url("DATABASE_URL")?;
        Ok(Stores {
            script: script.to_owned(),
            instance,
            readable: database.replacen("lyceum:", "lyceum_read:", 1),
            redis: url("REDIS_URL")?,
            database,
        })
    }

    /// Where Postgres listens.
    ///
    /// # Errors
    /// The URL names no address.
    pub fn postgres(&self) -> Result<SocketAddr, Failure> {
        let (_, rest) = self.database.split_once('@').ok_or("the URL names a user")?;
        Ok(rest.split('/').next().unwrap_or_default().parse()?)
    }

    /// The same stores, with Postgres reached at another address by the product.
    ///
    /// # Errors
    /// The URL names no address.
    pub fn reached_at(&self, address: SocketAddr) -> Result<Self, Failure> {
        let (direct, through) = (self.postgres()?.to_string(), address.to_string());
        Ok(Stores {
            database: self.database.replacen(&direct, &through, 1),
            ..self.clone()
        })
    }

    /// Starts what does not run.
    ///
    /// # Errors
    /// The script says why.
    pub async fn start(&self) -> Result<(), Failure> {
        run(&self.script, "start", self.instance).await.map(drop)
    }

    /// Stops Postgres as a power failure would (`immediate`).
    ///
    /// # Errors
    /// The script says why.
    pub async fn crash(&self) -> Result<(), Failure> {
        run(&self.script, "crash", self.instance).await.map(drop)
    }

    /// Ends Redis with `kill -9`.
    ///
    /// # Errors
    /// The script says why.
    pub async fn crash_redis(&self) -> Result<(), Failure> {
        run(&self.script, "crash-redis", self.instance).await.map(drop)
    }

    /// Where Postgres keeps its data.
    ///
    /// # Errors
    /// The script says why.
    pub async fn folder(&self) -> Result<PathBuf, Failure> {
        let folder = run(&self.script, "folder", self.instance).await?;
        Ok(PathBuf::from(folder.trim()))
    }

    /// Moves both to these cores, for as long as they run.
    ///
    /// # Errors
    /// They do not run, or belong to somebody else.
    pub async fn hold(&self, cores: &Cores) -> Result<(), Failure> {
        let postgres = self.folder().await?;
        let redis = postgres.with_file_name("redis");
        for file in [postgres.join("postmaster.pid"), redis.join("redis.pid")] {
            let text =
                std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            let pid = text.lines().next().unwrap_or_default().trim().parse()?;
            cores.hold(pid).await?;
        }
        Ok(())
    }

    /// Stops both.
    ///
    /// # Errors
    /// The script says why.
    pub async fn stop(&self) -> Result<(), Failure> {
        run(&self.script, "stop", self.instance).await.map(drop)
    }

    /// Forgets everything that Redis knows.
    ///
    /// # Errors
    /// It is away, or refuses.
    pub async fn flush_redis(&self) -> Result<(), Failure> {
        let address = self
            .redis
            .trim_start_matches("redis://")
            .split('/')
            .next()
            .unwrap_or_default();
        let address: SocketAddr = address.parse()?;
        let flush = async {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(b"FLUSHALL\r\n").await?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = timeout(REDIS_TIMEOUT, flush).await??;
        if &answer == b"+OK\r\n" {
            Ok(())
        } else {
            Err("Redis refused FLUSHALL".into())
        }
    }

    /// Executes statements as the product's role.
    ///
    /// # Errors
    /// Postgres is away, or refuses.
    pub async fn execute(&self, sql: &str) -> Result<(), Failure> {
        let (client, connection) = tokio_postgres::connect(&self.database, tokio_postgres::NoTls).await?;
        let connection = tokio::spawn(connection);
        client.batch_execute(sql).await?;
        drop(client);
        connection.await??;
        Ok(())
    }
}

async fn run(script: &Path, action: &str, instance: &str) -> Result<String, Failure> {
    let running = Command::new("bash")
        .arg(script)
        .args([action, instance])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(SCRIPT_TIMEOUT, running)
        .await
        .map_err(|_| format!("stores.sh {action} {instance} took longer than {SCRIPT_TIMEOUT:?}"))??;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said
        .lines()
        .last()
        .unwrap_or("it said nothing")
        .trim_start_matches("lyceum: ");
    Err(format!("stores.sh {action} {instance}: {last}").into())
}
