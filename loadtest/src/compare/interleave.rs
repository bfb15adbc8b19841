//! Runs against two targets in turns, A B A B …, each with its own seed, the same for both of a pair.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::CompareArgs;
use crate::Failure;
use crate::cli::{self, CommonArgs};
use crate::engine;
use crate::live::{Live, Plan};
use crate::outcome::Board;
use crate::report;

/// Makes the runs and returns their folders.
pub(super) fn run(
    args: &CompareArgs,
    scenario: &Path,
    a: &str,
    b: &str,
) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Failure> {
    let scenario = Arc::new(cli::read(scenario)?);
    let stop = cli::on_interrupt()?;
    let mut folders = (Vec::new(), Vec::new());
    for (turn, seed) in (1..=args.repeat).zip(args.seed..) {
        for (name, target, folders) in [("a", a, &mut folders.0), ("b", b, &mut folders.1)] {
            cli::tell(&format!(
                "run {turn} of {} against {name}, {target} …",
                args.repeat
            ));
            let options = cli::options(&CommonArgs {
                target: target.to_owned(),
                seed,
                workers: args.workers,
                out: args.out.clone(),
            });
            let mut prepared = engine::prepare(&scenario, &options)?;
            let board = Arc::new(Board::new(options.workers));
            let live = Live::start(Plan::of(&scenario, &options), board.clone())?;
            let recording = engine::run(&scenario, &options, &mut prepared, &board, &stop)?;
            drop(live);
            let folder = args.out.join(format!("{name}-{turn:03}"));
            report::write(&recording, &folder)?;
            folders.push(folder);
            // The others would be made in vain.
            super::refuse_invalid(&format!("run {turn} against {name}"), &recording)?;
        }
    }
    Ok(folders)
}
