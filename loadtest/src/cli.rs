//! The commands of `lyceum-load`.
//!
//! Exit codes: 0 passed, 99 a threshold did not hold, 98 the run is invalid, 104 the scenario is wrong, 1 anything else.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::{Args, Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::arrival::{Profile, Share};
use crate::capacity::{self, Search};
use crate::chaos::{Means, Process};
use crate::compare::{self, CompareArgs};
use crate::engine::{self, Options};
use crate::generators;
use crate::live::{Live, Plan};
use crate::merge::{self, MergeArgs};
use crate::outcome::{Board, Recording};
use crate::scenario::{self, Scenario};
use crate::{Failure, report};

/// Load tests of Lyceum: open loop, with journeys, chaos and honest percentiles.
#[derive(Parser, Debug)]
#[command(name = "lyceum-load", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Says whether scenarios are good.
    Check {
        /// The scenarios.
        #[arg(required = true)]
        scenarios: Vec<PathBuf>,
    },
    /// Runs a scenario.
    Run(RunArgs),
    /// Finds the highest rate at which a scenario's thresholds hold.
    Capacity(CapacityArgs),
    /// Says whether one build is faster than another.
    Compare(CompareArgs),
    /// Merges the results of generators that ran side by side.
    Merge(MergeArgs),
}

#[derive(Args, Debug, Clone)]
struct RunArgs {
    /// The scenario.
    scenario: PathBuf,
    #[command(flatten)]
    common: CommonArgs,
    /// Multiplies every rate of the scenario.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// A process that faults may signal, by its id or a file that holds it.
    #[arg(long, value_name = "NAME=PID|FILE", value_parser = process)]
    process: Vec<(String, Process)>,
    /// A shell command that faults may run.
    #[arg(long, value_name = "NAME=LINE", value_parser = pair)]
    command: Vec<(String, String)>,
    /// The control address of a proxy that faults may steer.
    #[arg(long, value_name = "NAME=HOST:PORT", value_parser = proxy)]
    proxy: Vec<(String, SocketAddr)>,
    /// An operator, who may ask which node owns an entity.
    #[arg(long, value_name = "NAME:PASSWORD", value_parser = operator, env = "LYCEUM_LOAD_OPERATOR", hide_env_values = true)]
    operator: Option<(String, String)>,
    /// Writes every request that changes something to this file before it is sent, and its outcome after.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Runs as so many processes side by side and merges their results.
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with_all = ["share", "begin"])]
    generators: u64,
    /// Sends only every N-th start, beginning with the I-th, for several generators side by side.
    #[arg(long, value_name = "I/N", value_parser = share, default_value = "0/1")]
    share: Share,
    /// When to begin, in milliseconds since 1970, for several generators side by side.
    #[arg(long, value_name = "MS")]
    begin: Option<u64>,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct CommonArgs {
    /// Base address of the target.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub(crate) target: String,
    /// Seed of arrivals and choices.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Threads that send; one sends some 30,000 requests a second.
    #[arg(long, default_value_t = 1)]
    pub(crate) workers: usize,
    /// Folder for results, and for the users that are remembered from run to run.
    #[arg(long, default_value = "out")]
    pub(crate) out: PathBuf,
}

#[derive(Args, Debug, Clone)]
struct CapacityArgs {
    /// The scenario; its stages and faults are left out.
    scenario: PathBuf,
    #[command(flatten)]
    common: CommonArgs,
    /// Starts a second to begin with.
    #[arg(long, default_value_t = 100.0)]
    from: f64,
    /// Starts a second that are not exceeded.
    #[arg(long, default_value_t = 100_000.0)]
    to: f64,
    /// Length of a step.
    #[arg(long, default_value = "10s", value_parser = duration)]
    step: Duration,
    /// Steps at most.
    #[arg(long, default_value_t = 12)]
    steps: usize,
}

/// Does what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Check { scenarios } => check(&scenarios),
        Command::Run(args) => run(&args),
        Command::Capacity(args) => find_capacity(&args),
        Command::Compare(args) => compare::command(&args).and_then(|text| print(&text)).map(|()| 0),
        Command::Merge(args) => merge::command(&args).and_then(|merged| present(&merged, args.out())),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            tell(&failure.to_string());
            ExitCode::from(failure.exit_code())
        }
    }
}

fn check(scenarios: &[PathBuf]) -> Result<u8, Failure> {
    for path in scenarios {
        let scenario = read(path)?;
        let starts = scenario.profile.starts();
        print(&format!(
            "{}: {} {starts:.0} starts in {:?}, up to {:.0} a second.\n",
            path.display(),
            scenario.about,
            scenario.profile.length(),
            scenario.profile.peak(),
        ))?;
    }
    Ok(0)
}

fn run(args: &RunArgs) -> Result<u8, Failure> {
    let mut scenario = read(&args.scenario)?;
    scenario.profile = scaled(&scenario.profile, args.scale)?;
    let options = Options {
        share: args.share,
        begin: args
            .begin
            .map(|ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms)),
        history: args.history.clone(),
        means: Means {
            processes: args.process.iter().cloned().collect(),
            commands: args.command.iter().cloned().collect(),
            proxies: args.proxy.iter().cloned().collect(),
            operator: args.operator.clone(),
        },
        ..options(&args.common)
    };
    let folder = args
        .common
        .out
        .join(format!("{}-{}", scenario.name, options.seed));
    let stop = on_interrupt()?;
    raise_file_limit();
    if args.generators > 1 {
        let arguments = std::env::args().skip(1);
        tell(&format!(
            "running {} with {} generators …",
            scenario.name, args.generators
        ));
        let merged = generators::run(&scenario, &options, args.generators, &args.common.out, arguments)?;
        report::write(&merged, &folder)?;
        return present(&merged, &folder);
    }
    tell(&format!("preparing {} at {} …", scenario.name, options.target));
    let mut prepared = engine::prepare(&scenario, &options)?;
    tell(&format!(
        "running for {:?}: {:.0} starts, seed {} …",
        scenario.profile.length(),
        scenario.profile.starts() / args.share.of as f64,
        options.seed
    ));
    let scenario = Arc::new(scenario);
    let board = Arc::new(Board::new(options.workers));
    let live = Live::start(Plan::of(&scenario, &options), board.clone())?;
    let recording = engine::run(&scenario, &options, &mut prepared, &board, &stop)?;
    drop(live);

    report::write(&recording, &folder)?;
    present(&recording, &folder)
}

/// Prints a recording that was written to the folder, and returns the exit code of its verdict.
fn present(recording: &Recording, folder: &Path) -> Result<u8, Failure> {
    print(&report::terminal::render(recording, io::stdout().is_terminal()))?;
    print(&format!("\n{}\n", folder.join(report::PAGE).display()))?;
    Ok(recording.verdict().exit_code())
}

fn find_capacity(args: &CapacityArgs) -> Result<u8, Failure> {
    let scenario = read(&args.scenario)?;
    let options = options(&args.common);
    raise_file_limit();
    let search = Search {
        from: args.from,
        to: args.to,
        step: args.step,
        steps: args.steps,
    };
    let stop = on_interrupt()?;
    let found = capacity::find(&scenario, &options, &search, &stop, |step| {
        let reasons = step.reasons.join("; ");
        tell(&format!(
            "{:>9.0} starts/s: {:<10} {:>9.0} good answers/s, p99 {:.1} ms {reasons}",
            step.rate, step.verdict, step.goodput, step.p99_ms
        ));
    })?;
    std::fs::create_dir_all(&args.common.out)?;
    let path = args.common.out.join(format!("{}-capacity.json", scenario.name));
    let json = serde_json::to_string_pretty(&found).map_err(|error| Failure::new(error.to_string()))?;
    std::fs::write(&path, json)?;
    let limit = match (found.limited_by_generator, found.failed_at) {
        (true, _) => "; beyond it the generator is the limit: use more workers or another machine".to_owned(),
        (_, Some(bad)) => format!("; at {bad:.0} thresholds do not hold"),
        _ => "; higher rates were not tried".to_owned(),
    };
    print(&format!(
        "capacity of {} for {}: {:.0} starts/s{limit}\n",
        options.target, scenario.name, found.rate
    ))?;
    Ok(if found.rate > 0.0 { 0 } else { 99 })
}

pub(crate) fn read(path: &Path) -> Result<Scenario, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    Ok(Scenario::parse(&path.to_string_lossy(), &text)?)
}

pub(crate) fn options(args: &CommonArgs) -> Options {
    let place: String = args
        .target
        .trim_start_matches("http://")
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '-'
            }
        })
        .collect();
    Options {
        target: args.target.clone(),
        seed: args.seed,
        workers: args.workers.max(1),
        share: Share::WHOLE,
        begin: None,
        users: args.out.join(format!("users-{place}.json")),
        history: None,
        means: Means::default(),
        command: std::env::args().collect::<Vec<_>>().join(" "),
    }
}

fn scaled(profile: &Profile, factor: f64) -> Result<Profile, Failure> {
    if factor.is_finite() && factor > 0.0 {
        Ok(profile.scaled(factor))
    } else {
        Err(Failure::new("--scale must be above 0."))
    }
}

/// Turns true when the person at the keyboard has had enough, or a supervisor has (SIGTERM).
pub(crate) fn on_interrupt() -> Result<watch::Receiver<bool>, Failure> {
    let (sender, receiver) = watch::channel(false);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // A thread of its own that ends with the process: nothing else would be listening while the main thread joins.
    std::thread::Builder::new()
        .name("interrupt".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                let terminated = async {
                    match signal(SignalKind::terminate()) {
                        Ok(mut signals) => signals.recv().await,
                        Err(_) => std::future::pending().await,
                    }
                };
                let heard = tokio::select! {
                    interrupted = tokio::signal::ctrl_c() => interrupted.is_ok(),
                    _ = terminated => true,
                };
                if heard {
                    sender.send_replace(true);
                }
                // Dropping the sender would look like an interrupt to whoever waits for a change.
                std::future::pending::<()>().await;
            });
        })?;
    Ok(receiver)
}

/// Each request in flight has a connection: as many files as the system lets us open.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // When it is refused, connections fail beyond the old limit, and are counted.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
}

fn print(text: &str) -> Result<(), Failure> {
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

pub(crate) fn tell(line: &str) {
    // Nobody is there to hear when this fails.
    let _ = writeln!(io::stderr(), "{line}");
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("must be NAME=VALUE".to_owned()),
    }
}

fn process(text: &str) -> Result<(String, Process), String> {
    let (name, value) = pair(text)?;
    let process = match value.parse() {
        Ok(id) => Process::Id(id),
        Err(_) => Process::File(PathBuf::from(value)),
    };
    Ok((name, process))
}

fn proxy(text: &str) -> Result<(String, SocketAddr), String> {
    let (name, value) = pair(text)?;
    let address = value.parse().map_err(|_| format!("{value} is no address"))?;
    Ok((name, address))
}

fn operator(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, password)) => Ok((name.to_owned(), password.to_owned())),
        None => Err("must be NAME:PASSWORD".to_owned()),
    }
}

fn share(text: &str) -> Result<Share, String> {
    let parsed = text
        .split_once('/')
        .and_then(|(part, of)| Some((part.parse().ok()?, of.parse().ok()?)));
    match parsed {
        Some((part, of)) if part < of => Ok(Share { part, of }),
        _ => Err("must be I/N with I from 0 to N-1".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    scenario::duration(text)
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "must be a time such as 10s".to_owned())
}
