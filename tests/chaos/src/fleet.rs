//! Several nodes under trial, over one Postgres and one Redis: each a process that is killed, frozen, cut off, drained and started again.
//!
//! Nobody restarts them unasked. Where a trial cuts nodes off, each reaches Postgres through a proxy of its own, and the others through
//! the `Web`; elsewhere nothing lies between them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::Failure;
use crate::process::{Process, free_address, resident, status};
use crate::proxy::Proxy;
use crate::site::{self, Place, environment, migrate};
use crate::stores::Stores;
use crate::web::Web;

/// The names of nodes, by their number.
pub const NAMES: [&str; 4] = ["n1", "n2", "n3", "n4"];
/// After a start under load, and after the last fault.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);
/// Longer than a stop may take.
const END_TIMEOUT: Duration = Duration::from_secs(40);
/// Thousands of entities are made before the faults, and hashing passwords is not what is tried.
const CHEAP: [(&str, &str); 2] = [
    ("accounts.argon2_memory_kib", "1024"),
    ("accounts.argon2_passes", "1"),
];

/// Several nodes.
pub struct Fleet {
    /// By their number.
    pub nodes: Vec<Node>,
    /// Where the sandbox serves.
    pub sandbox: SocketAddr,
    place: Place,
    stores: Stores,
    settings: Vec<(&'static str, String)>,
    web: Option<Web>,
    _sandbox: Process,
}

/// One of them.
pub struct Node {
    /// Where it serves.
    pub http: SocketAddr,
    /// The way to Postgres, where that can be cut.
    pub database: Option<Proxy>,
    /// Further variables of its environment, from its next start on.
    pub environment: Vec<(&'static str, String)>,
    name: &'static str,
    link: SocketAddr,
    advertised: SocketAddr,
    process: Option<Process>,
    log: PathBuf,
}

impl Fleet {
    /// Starts so many nodes, and waits until all are ready.
    ///
    /// # Errors
    /// A program cannot be started or does not become ready.
    pub async fn start(
        place: &Place,
        stores: &Stores,
        count: usize,
        cuttable: bool,
    ) -> Result<Self, Failure> {
        Self::start_with(place, stores, count, cuttable, &[]).await
    }

    /// The same with further settings.
    ///
    /// # Errors
    /// As [`Fleet::start`].
    pub async fn start_with(
        place: &Place,
        stores: &Stores,
        count: usize,
        cuttable: bool,
        settings: &[(&'static str, String)],
    ) -> Result<Self, Failure> {
        std::fs::create_dir_all(&place.out)?;
        migrate(place, &environment(stores)).await?;
        let sandbox = free_address()?;
        let (running, _) = site::sandbox(place, sandbox).await?;
        let mut fleet = Fleet {
            nodes: Vec::new(),
            sandbox,
            place: place.clone(),
            stores: stores.clone(),
            settings: settings.to_vec(),
            web: cuttable.then(Web::default),
            _sandbox: running,
        };
        for _ in 0..count {
            fleet.add().await?;
        }
        let called_back = fleet.nodes[0].http;
        fleet.settings.extend(site::always(sandbox, called_back));
        fleet
            .settings
            .extend(CHEAP.map(|(key, value)| (key, value.to_owned())));
        for number in 0..count {
            fleet.launch(number)?;
        }
        for number in 0..count {
            fleet.ready(number).await?;
        }
        Ok(fleet)
    }

    /// Makes room for another node, which is to be launched; answers its number.
    ///
    /// # Errors
    /// There is no address, or no name, for it.
    pub async fn add(&mut self) -> Result<usize, Failure> {
        let number = self.nodes.len();
        let name = *NAMES.get(number).ok_or("there are no more names")?;
        let (http, link) = (free_address()?, free_address()?);
        let advertised = match &mut self.web {
            Some(web) => web.reach(number, link).await?,
            None => link,
        };
        let database = match &self.web {
            Some(_) => Some(Proxy::start((Ipv4Addr::LOCALHOST, 0).into(), self.stores.postgres()?).await?),
            None => None,
        };
        let log = self.place.out.join(format!("{name}.log"));
        // A log of an earlier trial would be judged again.
        let _ = std::fs::remove_file(&log);
        self.nodes.push(Node {
            http,
            database,
            environment: Vec::new(),
            name,
            link,
            advertised,
            process: None,
            log,
        });
        Ok(number)
    }

    /// Starts a node that does not run; it may still be getting ready.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn launch(&mut self, number: usize) -> Result<(), Failure> {
        let node = &mut self.nodes[number];
        let stores = match &node.database {
            Some(proxy) => self.stores.reached_at(proxy.address())?,
            None => self.stores.clone(),
        };
        let mut variables: Vec<(&str, String)> = environment(&stores).into();
        variables.extend(node.environment.iter().cloned());
        let mut arguments: Vec<String> = ["serve", "--node", node.name, "--http"]
            .map(ToOwned::to_owned)
            .into();
        arguments.push(node.http.to_string());
        arguments.extend([
            "--link".to_owned(),
            node.link.to_string(),
            "--join-from-database".to_owned(),
        ]);
        let advertise = [("link.advertise", node.advertised.to_string())];
        for (key, value) in self.settings.iter().chain(&advertise) {
            arguments.extend(["--set".to_owned(), format!("{key}={value}")]);
        }
        let process = Process::start(
            node.name,
            &self.place.lyceum,
            &arguments,
            &variables,
            &self.place.out,
        )?;
        if let (Some(web), Some(pid)) = (&self.web, process.pid()) {
            web.is(number, pid);
        }
        node.process = Some(process);
        Ok(())
    }

    /// Waits until a node answers as ready.
    ///
    /// # Errors
    /// It does not, or has ended.
    pub async fn ready(&mut self, number: usize) -> Result<(), Failure> {
        let node = &mut self.nodes[number];
        let process = node.process.as_mut().ok_or("it does not run")?;
        process.ready(node.http, "/readyz").await
    }

    /// Waits until every node that runs answers as ready, after whatever befell them.
    ///
    /// # Errors
    /// One does not.
    pub async fn all_ready(&self) -> Result<(), Failure> {
        let began = Instant::now();
        for node in self.nodes.iter().filter(|node| node.process.is_some()) {
            while status(node.http, "/readyz").await != Some(200) {
                if began.elapsed() > READY_TIMEOUT {
                    return Err(format!(
                        "{} is not ready {READY_TIMEOUT:?} after the last fault",
                        node.name
                    )
                    .into());
                }
                sleep(LOOK).await;
            }
        }
        Ok(())
    }

    /// Ends a node as `kill -9` does. Answers when.
    ///
    /// # Errors
    /// It does not run.
    pub async fn kill(&mut self, number: usize) -> Result<Instant, Failure> {
        let mut process = self.nodes[number].process.take().ok_or("it does not run")?;
        let at = Instant::now();
        process.kill().await?;
        Ok(at)
    }

    /// Ends a node as `kill` does. Answers how long that took.
    ///
    /// # Errors
    /// It does not end, or not well.
    pub async fn terminate(&mut self, number: usize) -> Result<Duration, Failure> {
        self.signal(number, "-TERM").await?;
        let began = Instant::now();
        let node = &mut self.nodes[number];
        let mut process = node.process.take().ok_or("it does not run")?;
        let ended = timeout(END_TIMEOUT, process.ended())
            .await
            .map_err(|_| format!("{} did not end within {END_TIMEOUT:?}", node.name))??;
        if !ended.success() {
            return Err(format!(
                "{} ended with {ended}; {} says why",
                node.name,
                node.log.display()
            )
            .into());
        }
        Ok(began.elapsed())
    }

    /// Lets a node stand still, until it is thawed.
    ///
    /// # Errors
    /// It does not run.
    pub async fn freeze(&self, number: usize) -> Result<Instant, Failure> {
        self.signal(number, "-STOP").await?;
        Ok(Instant::now())
    }

    /// Lets a node that stood still go on.
    ///
    /// # Errors
    /// It does not run.
    pub async fn thaw(&self, number: usize) -> Result<(), Failure> {
        self.signal(number, "-CONT").await
    }

    /// Cuts a node off from all others, or heals that.
    ///
    /// # Errors
    /// This fleet's links cannot be cut.
    pub fn cut(&self, number: usize, cut: bool) -> Result<(), Failure> {
        self.web
            .as_ref()
            .ok_or("these links cannot be cut")?
            .cut(number, cut);
        Ok(())
    }

    /// A node's resident memory, bytes.
    ///
    /// # Errors
    /// It does not run.
    pub fn resident(&self, number: usize) -> Result<u64, Failure> {
        let process = self.nodes[number].process.as_ref();
        resident(process.and_then(Process::pid).ok_or("it does not run")?)
    }

    /// Where the nodes serve.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.http).collect()
    }

    /// Lines of all logs that tell of a panic.
    ///
    /// # Errors
    /// A log cannot be read.
    pub fn panics(&self) -> Result<usize, Failure> {
        self.nodes.iter().map(|node| site::panics(&node.log)).sum()
    }

    /// Ends all nodes in peace, at once: nothing has to move where nobody stays.
    ///
    /// # Errors
    /// One does not end.
    pub async fn end(mut self) -> Result<(), Failure> {
        let processes = self.nodes.iter_mut().filter_map(|node| node.process.take());
        let ends = processes.map(Process::end);
        for ended in futures_util::future::join_all(ends).await {
            ended?;
        }
        Ok(())
    }

    async fn signal(&self, number: usize, signal: &str) -> Result<(), Failure> {
        let process = self.nodes[number].process.as_ref();
        let pid = process.and_then(Process::pid).ok_or("it does not run")?;
        let sent = Command::new("kill")
            .args([signal, &pid.to_string()])
            .status()
            .await?;
        if sent.success() {
            Ok(())
        } else {
            Err(format!("{signal} could not be sent to {}", self.nodes[number].name).into())
        }
    }
}
