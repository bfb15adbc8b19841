//! Lyceum under trial: its binary over stores that may be broken, the sandbox provider beside it, and courses to sell.
//!
//! The server keeps its address over every restart. All settings that differ from the demo's are in this file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::Failure;
use crate::api::{self, Account, Client};
use crate::pinning::Cores;
use crate::process::{Process, free_address, resident};
use crate::stores::Stores;

/// The secret of the sandbox that the demo's settings hold.
const SANDBOX_SECRET: &str = "sandbox-demo-secret-not-safe";
/// The operator's name.
pub const OPERATOR: &str = "operator";
/// The operator's password.
pub const OPERATOR_PASSWORD: &str = "a chaotic operator passphrase";
/// Tokens outlive any trial.
const TOKEN_TTL_S: u32 = 7200;
/// A crash loop shall not keep two cores busy.
const RESTART_PAUSE: Duration = Duration::from_millis(200);

/// What is tried, and where results go.
#[derive(Clone, Debug, clap::Args)]
pub struct Place {
    /// The server's binary
    #[arg(long, default_value = "target/release/lyceum")]
    pub lyceum: PathBuf,
    /// The payment sandbox's binary
    #[arg(long, default_value = "target/release/lyceum-sandbox")]
    pub sandbox: PathBuf,
    /// The load generator's binary
    #[arg(long, default_value = "target/release/lyceum-load")]
    pub load: PathBuf,
    /// The script that starts, crashes and empties stores
    #[arg(long, default_value = "config/dev/stores.sh")]
    pub stores: PathBuf,
    /// The cores of the server, if it is not to have all
    #[arg(skip)]
    pub cores: Option<Cores>,
    /// Folder for results and logs
    #[arg(long, default_value = ".data/chaos")]
    pub out: PathBuf,
}

/// A server that is kept alive.
#[derive(Debug)]
pub struct Site {
    /// Where it serves.
    pub address: SocketAddr,
    /// Where the sandbox serves.
    pub sandbox_address: SocketAddr,
    /// The sandbox's own file.
    pub sandbox_file: PathBuf,
    log: PathBuf,
    keeper: Option<Keeper>,
    _sandbox: Process,
}

/// The runner that starts the server again whenever it has ended.
#[derive(Debug)]
struct Keeper {
    orders: mpsc::Sender<Order>,
    task: JoinHandle<Result<(), Failure>>,
}

#[derive(Debug)]
enum Order {
    /// End it as `kill -9` does; it is started again.
    Kill,
    /// Say which process it is.
    Pid(oneshot::Sender<Option<u32>>),
    /// End it as `kill` does, for good.
    End,
}

impl Site {
    /// Migrates, starts everything and waits until it is ready.
    ///
    /// # Errors
    /// A program cannot be started or does not become ready.
    pub async fn start(place: &Place, stores: &Stores, settings: &[(&str, String)]) -> Result<Self, Failure> {
        std::fs::create_dir_all(&place.out)?;
        let environment = environment(stores);
        migrate(place, &environment).await?;

        let (address, sandbox_address) = (free_address()?, free_address()?);
        let (sandbox, sandbox_file) = sandbox(place, sandbox_address).await?;
        let always = always(sandbox_address, address);
        let (program, mut arguments) = match &place.cores {
            Some(cores) => cores.command(&place.lyceum),
            None => (place.lyceum.clone(), Vec::new()),
        };
        arguments.extend(["serve", "--http"].map(ToOwned::to_owned));
        arguments.push(address.to_string());
        for (key, value) in always.iter().chain(settings) {
            arguments.extend(["--set".to_owned(), format!("{key}={value}")]);
        }
        // A log of an earlier trial would be judged again.
        let log = place.out.join("lyceum.log");
        let _ = std::fs::remove_file(&log);
        let logs = place.out.clone();
        let start = move || Process::start("lyceum", &program, &arguments, &environment, &logs);
        let mut first = start()?;
        first.ready(address, "/readyz").await?;
        Ok(Site {
            address,
            sandbox_address,
            sandbox_file,
            log,
            keeper: Some(Keeper::start(first, start)),
            _sandbox: sandbox,
        })
    }

    /// The operator, logged in.
    ///
    /// # Errors
    /// The login is refused.
    pub async fn operator(&self) -> Result<Account, Failure> {
        operator(self.address).await
    }

    /// Courses for sale.
    ///
    /// # Errors
    /// They are refused.
    pub async fn courses(&self, count: usize, price: i64) -> Result<Vec<String>, Failure> {
        courses(self.address, count, price).await
    }

    /// Buyers, each with so much in the wallet.
    ///
    /// # Errors
    /// They are refused.
    pub async fn buyers(&self, count: usize, balance: i64) -> Result<Vec<Account>, Failure> {
        buyers(self.address, count, balance).await
    }

    /// Kills the server as `kill -9` does; it is started again at once, and this does not wait for it.
    ///
    /// # Errors
    /// The runner has given up.
    pub async fn kill(&self) -> Result<(), Failure> {
        self.order(Order::Kill).await
    }

    /// The server's process, unless it is just not running.
    ///
    /// # Errors
    /// The runner has given up.
    pub async fn pid(&self) -> Result<Option<u32>, Failure> {
        let (say, said) = oneshot::channel();
        self.order(Order::Pid(say)).await?;
        Ok(said.await?)
    }

    /// The server's resident memory, bytes.
    ///
    /// # Errors
    /// It does not run.
    pub async fn resident(&self) -> Result<u64, Failure> {
        resident(self.pid().await?.ok_or("the server does not run")?)
    }

    /// Whether the server answers as ready.
    pub async fn is_ready(&self) -> bool {
        crate::process::status(self.address, "/readyz").await == Some(200)
    }

    /// Lines of the log that tell of a panic.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn panics(&self) -> Result<usize, Failure> {
        panics(&self.log)
    }

    /// Ends the server in peace.
    ///
    /// # Errors
    /// It does not end.
    pub async fn end(mut self) -> Result<(), Failure> {
        self.order(Order::End).await?;
        if let Some(keeper) = self.keeper.take() {
            keeper.task.await??;
        }
        Ok(())
    }

    async fn order(&self, order: Order) -> Result<(), Failure> {
        let keeper = self.keeper.as_ref().ok_or("the server has ended")?;
        let sent = keeper.orders.send(order).await;
        sent.map_err(|_| "the server can no longer be started; its log says why".into())
    }
}

/// The operator, logged in.
///
/// # Errors
/// The login is refused.
pub async fn operator(address: SocketAddr) -> Result<Account, Failure> {
    api::log_in(address, OPERATOR, OPERATOR_PASSWORD).await
}

/// Courses for sale.
///
/// # Errors
/// They are refused.
pub async fn courses(address: SocketAddr, count: usize, price: i64) -> Result<Vec<String>, Failure> {
    let operator = operator(address).await?;
    api::publish(&mut Client::with_token(address, &operator.token), count, price).await
}

/// Buyers, each with so much in the wallet.
///
/// # Errors
/// They are refused.
pub async fn buyers(address: SocketAddr, count: usize, balance: i64) -> Result<Vec<Account>, Failure> {
    let mut buyers = Vec::with_capacity(count);
    for _ in 0..count {
        let buyer = api::register(address).await?;
        if balance > 0 {
            Client::with_token(address, &buyer.token).top_up(balance).await?;
        }
        buyers.push(buyer);
    }
    Ok(buyers)
}

/// Migrates the database of these settings.
///
/// # Errors
/// The program cannot be started, or refuses.
pub(crate) async fn migrate(place: &Place, environment: &[(&str, String)]) -> Result<(), Failure> {
    let migrated = Command::new(&place.lyceum)
        .arg("migrate")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .output()
        .await
        .map_err(|error| format!("{} cannot be started: {error}", place.lyceum.display()))?;
    if migrated.status.success() {
        return Ok(());
    }
    Err(format!("migrate: {}", String::from_utf8_lossy(&migrated.stderr)).into())
}

/// Starts the payment sandbox, without the charges of an earlier database; answers it and its file.
///
/// # Errors
/// It does not start.
pub(crate) async fn sandbox(place: &Place, address: SocketAddr) -> Result<(Process, PathBuf), Failure> {
    let file = place.out.join("sandbox.jsonl");
    let _ = std::fs::remove_file(&file);
    let arguments = [
        "--listen",
        &address.to_string(),
        "--file",
        &file.display().to_string(),
        "--secret",
        SANDBOX_SECRET,
    ]
    .map(ToOwned::to_owned);
    let (program, mut line) = match &place.cores {
        Some(cores) => cores.command(&place.sandbox),
        None => (place.sandbox.clone(), Vec::new()),
    };
    line.extend(arguments);
    let mut sandbox = Process::start("sandbox", &program, &line, &[], &place.out)?;
    sandbox.ready(address, "/livez").await?;
    Ok((sandbox, file))
}

/// Settings that differ from the demo's for every server, whatever is tried.
pub(crate) fn always(sandbox: SocketAddr, called_back: SocketAddr) -> [(&'static str, String); 5] {
    [
        ("providers.sandbox.url", format!("http://{sandbox}")),
        (
            "providers.sandbox.callback_url",
            format!("http://{called_back}/callbacks/sandbox"),
        ),
        ("tokens.access_ttl_s", TOKEN_TTL_S.to_string()),
        ("http.rate.credentials.requests", "0".to_owned()),
        ("telemetry.log_format", "json".to_owned()),
    ]
}

/// The environment of every program of the product.
pub(crate) fn environment(stores: &Stores) -> [(&'static str, String); 3] {
    [
        ("LYCEUM__DATABASE__URL", stores.database.clone()),
        ("LYCEUM__REDIS__URL", stores.redis.clone()),
        (
            "LYCEUM__ACCOUNTS__OPERATOR_PASSWORD",
            OPERATOR_PASSWORD.to_owned(),
        ),
    ]
}

/// Lines of a log that tell of a panic.
pub(crate) fn panics(log: &std::path::Path) -> Result<usize, Failure> {
    let log = std::fs::read(log)?;
    let log = String::from_utf8_lossy(&log);
    Ok(log.lines().filter(|line| line.contains("panicked")).count())
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(keeper) = &self.keeper {
            // The process lives in the task and is killed with it.
            keeper.task.abort();
        }
    }
}

impl Keeper {
    fn start(mut process: Process, start: impl Fn() -> Result<Process, Failure> + Send + 'static) -> Self {
        let (orders, mut ordered) = mpsc::channel(8);
        let task = tokio::spawn(async move {
            loop {
                let order = tokio::select! {
                    ended = process.ended() => {
                        ended?;
                        tokio::time::sleep(RESTART_PAUSE).await;
                        process = start()?;
                        continue;
                    }
                    order = ordered.recv() => order,
                };
                match order {
                    Some(Order::Kill) => {
                        process.kill().await?;
                        process = start()?;
                    }
                    Some(Order::Pid(say)) => {
                        // Whoever asked may have gone.
                        let _ = say.send(process.pid());
                    }
                    Some(Order::End) | None => return process.end().await,
                }
            }
        });
        Keeper { orders, task }
    }
}
