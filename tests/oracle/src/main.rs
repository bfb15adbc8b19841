//! `lyceum-oracle`: checks a run from outside. Exit code 0 is a clean verdict, 1 violations, 2 that it could not look.
//!
//! ```text
//! lyceum-oracle check --database URL --history FILE --node URL --node URL --sandbox URL --out report.json
//! lyceum-oracle watch --database URL --out samples.json     until SIGTERM or Ctrl-C
//! lyceum-oracle rules                                       every rule, one a line
//! ```

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use lyceum_oracle::{Failure, Plan, check, rules, watch};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

/// An independent checker of Lyceum: tables, histories, the provider's book, the public API.
#[derive(Debug, Parser)]
#[command(name = "lyceum-oracle", version, subcommand_required = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Waits until nothing is under way and checks everything once
    Check(CheckArgs),
    /// Samples the ledger until SIGTERM or Ctrl-C
    Watch(WatchArgs),
    /// Prints every rule
    Rules,
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// Postgres, by a role that may only read
    #[arg(long, value_name = "URL", env = "LYCEUM_ORACLE_DATABASE_URL")]
    database: String,
    /// History of the clients; may be repeated
    #[arg(long, value_name = "FILE")]
    history: Vec<PathBuf>,
    /// Node of the product; may be repeated
    #[arg(long, value_name = "URL")]
    node: Vec<String>,
    /// Sandbox provider
    #[arg(long, value_name = "URL")]
    sandbox: Option<String>,
    /// Seconds until nothing may be under way any more
    #[arg(long, default_value_t = 120)]
    rest_s: u64,
    /// Password of clients that did not register within the history
    #[arg(long, env = "LYCEUM_ORACLE_PASSWORD")]
    password: Option<String>,
    /// Clients to go through over the API, at most
    #[arg(long, default_value_t = 1_000)]
    clients_max: usize,
    /// Where the report goes, as JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct WatchArgs {
    /// Postgres, by a role that may only read
    #[arg(long, value_name = "URL", env = "LYCEUM_ORACLE_DATABASE_URL")]
    database: String,
    /// Milliseconds between two samples
    #[arg(long, default_value_t = 1_000)]
    every_ms: u64,
    /// Seconds after which it ends by itself
    #[arg(long, value_name = "SECONDS")]
    for_s: Option<u64>,
    /// Where the samples' report goes, as JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Check(arguments) => run_check(arguments).await,
        Command::Watch(arguments) => run_watch(arguments).await,
        Command::Rules => print_rules(),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            // Whoever cannot read stderr has the exit code.
            let _ = writeln!(io::stderr(), "lyceum-oracle: {error}");
            ExitCode::from(2)
        }
    }
}

async fn run_check(arguments: CheckArgs) -> Result<bool, Failure> {
    let plan = Plan {
        histories: arguments.history,
        nodes: arguments.node,
        sandbox: arguments.sandbox,
        rest_limit: Duration::from_secs(arguments.rest_s),
        password: arguments.password,
        clients_max: arguments.clients_max,
        ..Plan::new(&arguments.database)
    };
    let report = check(&plan).await?;
    writeln!(io::stdout(), "{report}")?;
    write(arguments.out.as_deref(), &report)?;
    Ok(report.clean)
}

async fn run_watch(arguments: WatchArgs) -> Result<bool, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async {
        let limit = async {
            match arguments.for_s {
                Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
            () = limit => {}
        }
    };
    let every = Duration::from_millis(arguments.every_ms.max(1));
    let seen = watch::watch(&arguments.database, every, stop).await;
    writeln!(
        io::stdout(),
        "{}\n{} samples, {} missed, the slowest took {} ms",
        seen.report,
        seen.samples,
        seen.missed,
        seen.slowest_ms
    )?;
    write(arguments.out.as_deref(), &seen)?;
    if seen.samples == 0 {
        return Err("not one sample could be taken".into());
    }
    Ok(seen.report.clean)
}

fn print_rules() -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    for rule in rules() {
        writeln!(out, "{:45} {}", rule.name, rule.says)?;
    }
    Ok(true)
}

fn write(path: Option<&Path>, document: &impl Serialize) -> Result<(), Failure> {
    if let Some(path) = path {
        std::fs::write(path, serde_json::to_vec_pretty(document)?)
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}
