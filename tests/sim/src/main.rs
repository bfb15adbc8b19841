//! `lyceum-sim`: runs worlds by their seeds. Exit code 0 if nothing was wrong, 1 otherwise.
//!
//! ```text
//! lyceum-sim run --seeds 10000 [--from N]      as many worlds, until one is wrong
//! lyceum-sim run --seed N [--trace]            one world; its trace
//! lyceum-sim run --break fence                 without one of the safeguards
//! ```

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::{Args, Parser, Subcommand};
use lyceum_sim::{Break, Report, run, search};

/// Lines of a trace that a failure shows.
const TAIL: usize = 60;

/// The cluster, the journal's contract and the domain under seeded faults.
#[derive(Debug, Parser)]
#[command(name = "lyceum-sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs worlds
    Run(RunArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// How many worlds
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Only this one
    #[arg(long)]
    seed: Option<u64>,
    /// Prints the whole trace of the one
    #[arg(long, requires = "seed")]
    trace: bool,
    /// A safeguard to leave out: fence, lease, unique, margin, replay
    #[arg(long = "break", value_parser = parse_break)]
    broken: Option<Break>,
    /// Threads; as many as there are cores if left out
    #[arg(long)]
    threads: Option<u64>,
}

fn parse_break(name: &str) -> Result<Break, String> {
    Break::ALL
        .into_iter()
        .find(|broken| broken.name() == name)
        .ok_or_else(|| "one of fence, lease, unique, margin, replay".to_owned())
}

fn main() -> ExitCode {
    let Command::Run(arguments) = Cli::parse().command;
    match told(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        // Whoever reads no output has the exit code.
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}

fn told(arguments: &RunArgs) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    let broken = arguments.broken;
    if let Some(seed) = arguments.seed {
        let report = run(seed, broken, true);
        let first = if arguments.trace {
            0
        } else {
            report
                .lines
                .len()
                .saturating_sub(if report.violations.is_empty() { 0 } else { TAIL })
        };
        for line in &report.lines[first..] {
            writeln!(out, "{line}")?;
        }
        writeln!(
            out,
            "seed {seed}: hash {:016x}, {} steps, {} answers, {} moves, {} fenced",
            report.hash, report.steps, report.acknowledged, report.moves, report.fenced
        )?;
        return tell_violations(&mut out, &report, broken);
    }
    let began = Instant::now();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = arguments.threads.unwrap_or(cores as u64);
    let [worlds, answers, moves, fenced] = [const { AtomicU64::new(0) }; 4];
    let all = AtomicU64::new(0);
    let to = arguments.from.saturating_add(arguments.seeds);
    let found = search(arguments.from, to, threads, broken, |report| {
        worlds.fetch_add(1, Ordering::Relaxed);
        answers.fetch_add(report.acknowledged, Ordering::Relaxed);
        moves.fetch_add(report.moves, Ordering::Relaxed);
        fenced.fetch_add(report.fenced, Ordering::Relaxed);
        // Whatever the order they end in.
        all.fetch_xor(
            report
                .hash
                .rotate_left(u32::try_from(report.seed % 64).unwrap_or(0)),
            Ordering::Relaxed,
        );
    });
    let shown = |number: &AtomicU64| number.load(Ordering::Relaxed);
    writeln!(
        out,
        "{} worlds from seed {} in {:.1} s: {} answers, {} moves of shards, {} writes fenced, hash {:016x}",
        shown(&worlds),
        arguments.from,
        began.elapsed().as_secs_f64(),
        shown(&answers),
        shown(&moves),
        shown(&fenced),
        shown(&all)
    )?;
    let Some(found) = found else {
        writeln!(out, "no violation")?;
        return Ok(true);
    };
    // The same seed tells the same again, this time with its trace.
    let report = run(found.seed, broken, true);
    for line in &report.lines[report.lines.len().saturating_sub(TAIL)..] {
        writeln!(out, "{line}")?;
    }
    tell_violations(&mut out, &report, broken)
}

fn tell_violations(out: &mut impl Write, report: &Report, broken: Option<Break>) -> io::Result<bool> {
    if report.violations.is_empty() {
        writeln!(out, "no violation")?;
        return Ok(true);
    }
    for violation in &report.violations {
        writeln!(out, "VIOLATION: {violation}")?;
    }
    let flag = broken.map_or_else(String::new, |broken| format!(" --break {}", broken.name()));
    writeln!(out, "again: lyceum-sim run --seed {} --trace{flag}", report.seed)?;
    Ok(false)
}
