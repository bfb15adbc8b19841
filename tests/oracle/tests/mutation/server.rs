//! The product and the sandbox provider as programs that end with their handle.

use std::env;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use lyceum_oracle::node::Node;

use super::stores::owned;

/// The password of the operator.
pub(crate) const OPERATOR: (&str, &str) = ("operator", "operator-Quartz-17-lamp");
const SANDBOX_SECRET: &str = "sandbox-test-secret";
const DEADLINE: Duration = Duration::from_secs(20);

/// A running program.
struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    fn start(name: &str, arguments: &[String], environment: &[(&str, String)]) -> Self {
        let log = scratch(&format!("{name}.log"));
        let output = File::create(&log).unwrap();
        let child = Command::new(binary(name))
            .args(arguments)
            .env_remove("LYCEUM_PROFILE")
            .env_remove("LYCEUM_CONFIG")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// Waits until it answers this path with 200.
    async fn ready(&mut self, address: SocketAddr, path: &str) {
        let node = Node::new(&format!("http://{address}"));
        let began = Instant::now();
        loop {
            if node
                .get(path, None)
                .await
                .is_ok_and(|answer| answer.status == 200)
            {
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && began.elapsed() < DEADLINE,
                "{ended:?}: {}",
                std::fs::read_to_string(&self.log).unwrap_or_default()
            );
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended long ago; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !std::thread::panicking() {
            let _ = std::fs::remove_file(&self.log);
        }
    }
}

/// The product over one database.
pub(crate) struct Server {
    address: SocketAddr,
    _program: Program,
}

impl Server {
    pub(crate) async fn start(database: &str, sandbox: &Sandbox) -> Self {
        let redis = env::var("LYCEUM_TEST_REDIS_URL").expect("`make test` sets LYCEUM_TEST_REDIS_URL");
        let (redis, _) = redis.rsplit_once('/').expect("the URL names a database");
        let address = free_address();
        let settings = [
            format!("http.listen={address}"),
            "http.rate.credentials.requests=0".to_owned(),
            "accounts.argon2_memory_kib=1024".to_owned(),
            "accounts.argon2_passes=1".to_owned(),
            format!("accounts.operator_username={}", OPERATOR.0),
            // Timers of slots are not due before the last damage has been done: nobody is there to work them off.
            "commerce.reservation_ttl_s=600".to_owned(),
            // One team of the drive runs out of time.
            "commerce.team_lasts_min_s=1".to_owned(),
            "cpu.threads=1".to_owned(),
            // Few, so that a damaged snapshot is read.
            "journal.snapshot_every=2".to_owned(),
            "commerce.refund_automatic_max=5000".to_owned(),
            format!("providers.sandbox.url={}", sandbox.url()),
            format!("providers.sandbox.callback_url=http://{address}/callbacks/sandbox"),
            "telemetry.log_filter=warn".to_owned(),
        ];
        let mut arguments = vec!["serve".to_owned()];
        for setting in settings {
            arguments.extend(["--set".to_owned(), setting]);
        }
        let environment = [
            ("LYCEUM__DATABASE__URL", owned(database)),
            ("LYCEUM__REDIS__URL", format!("{redis}/{}", 1 + random(15))),
            ("LYCEUM__ACCOUNTS__OPERATOR_PASSWORD", OPERATOR.1.to_owned()),
            ("LYCEUM__PROVIDERS__SANDBOX__SECRET", SANDBOX_SECRET.to_owned()),
        ];
        let mut program = Program::start("lyceum", &arguments, &environment);
        program.ready(address, "/readyz").await;
        Self {
            address,
            _program: program,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// The sandbox provider.
pub(crate) struct Sandbox {
    address: SocketAddr,
    file: PathBuf,
    _program: Program,
}

impl Sandbox {
    pub(crate) async fn start() -> Self {
        let (address, file) = (free_address(), scratch("sandbox.jsonl"));
        let arguments = [
            "--listen",
            &address.to_string(),
            "--file",
            &file.display().to_string(),
            "--secret",
            SANDBOX_SECRET,
        ];
        let mut program = Program::start("lyceum-sandbox", &arguments.map(ToOwned::to_owned), &[]);
        program.ready(address, "/livez").await;
        Self {
            address,
            file,
            _program: program,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Nobody misses it when it was never written.
        let _ = std::fs::remove_file(&self.file);
    }
}

/// A program beside the oracle's. `make test` builds all; whoever runs the test runner alone has them built here.
fn binary(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    let beside = Path::new(env!("CARGO_BIN_EXE_lyceum-oracle"));
    let path = beside.with_file_name(name);
    BUILT.get_or_init(|| {
        let missing = ["lyceum", "lyceum-sandbox"]
            .iter()
            .any(|name| !beside.with_file_name(name).exists());
        if missing {
            let built = Command::new(env!("CARGO"))
                .args([
                    "build",
                    "--quiet",
                    "--locked",
                    "-p",
                    "lyceum",
                    "-p",
                    "lyceum-sandbox",
                ])
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .status();
            assert!(
                built.is_ok_and(|status| status.success()),
                "the programs were not built"
            );
        }
    });
    path
}

/// A path of a file that does not exist yet.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let unique = uuid::Uuid::now_v7().simple().to_string();
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("oracle-{unique}-{name}"))
}

/// An address on the loopback interface that nobody listens on, below the ports that outgoing connections take and
/// above those of the tests of the server.
fn free_address() -> SocketAddr {
    for _ in 0..1000 {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 32_000 + random(700)));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port between 32,000 and 32,700 is free");
}

/// A number below `bound` that differs between tests.
fn random(bound: u16) -> u16 {
    // The low bits of a UUIDv7 are random.
    let bits = uuid::Uuid::now_v7().as_u128() & 0xffff_ffff;
    u16::try_from(bits % u128::from(bound)).unwrap()
}
