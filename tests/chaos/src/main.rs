//! The command line of the faults suite.
//!
//! Exit code 0 is a suite that held, 1 one that did not or could not be run, told in one sentence.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use lyceum_chaos::dice::entropy;
use lyceum_chaos::proxy::{Proxy, control};
use lyceum_chaos::site::Place;
use lyceum_chaos::{Failure, rows};

/// Faults for Lyceum, and the verdict on each.
#[derive(Debug, Parser)]
#[command(name = "lyceum-chaos", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Carries TCP connections with faults that are set line by line over a control socket
    Proxy {
        /// The address that clients connect to
        #[arg(long)]
        listen: SocketAddr,
        /// The address that is carried to
        #[arg(long)]
        upstream: SocketAddr,
        /// The address that takes commands: `both latency_ms=50`, `partition`, `reset on`, `clear`, `show`
        #[arg(long)]
        control: SocketAddr,
    },
    /// Tries promises and judges them, one table for each
    Run {
        #[command(flatten)]
        place: Place,
        /// Only these rows of the promises; may be repeated
        #[arg(long)]
        row: Vec<u8>,
        /// What all random choices follow from; drawn and printed if left out
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Breaks everything at once for a while, and judges what is left
    All {
        #[command(flatten)]
        place: Place,
        /// How long
        #[arg(long, default_value_t = 10)]
        minutes: u32,
        /// What all random choices follow from; drawn and printed if left out
        #[arg(long)]
        seed: Option<u64>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse().command).await {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("lyceum-chaos: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn code(held: bool) -> ExitCode {
    if held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Proxy {
            listen,
            upstream,
            control: steered,
        } => {
            let proxy = Proxy::start(listen, upstream)
                .await
                .map_err(|error| format!("cannot listen on {listen}: {error}"))?;
            control::serve(steered, &proxy)
                .await
                .map_err(|error| format!("cannot take commands on {steered}: {error}"))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Run { place, row, seed } => {
            let seed = seed.unwrap_or_else(entropy);
            eprintln!("lyceum-chaos: seed {seed}");
            let held = rows::run(&place, &row, seed, &mut std::io::stdout()).await?;
            Ok(code(held))
        }
        Command::All { place, minutes, seed } => {
            let seed = seed.unwrap_or_else(entropy);
            eprintln!("lyceum-chaos: seed {seed}");
            let lasts = Duration::from_secs(60) * minutes;
            let held = rows::run_all(&place, lasts, seed, &mut std::io::stdout()).await?;
            Ok(code(held))
        }
    }
}
