//! Several generators side by side as processes of their own, for rates beyond one process.
//!
//! Flow: users are prepared for each in turn, so that all are ready soon → all are started with the same moment to begin
//! and their part of one plan → each writes a result folder of its own → the results are merged. On several machines the
//! same is done by hand: `run --share I/N --begin MS` on each, then `merge`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Failure;
use crate::arrival::Share;
use crate::engine::{self, Options};
use crate::merge;
use crate::outcome::Recording;
use crate::report;
use crate::scenario::Scenario;

/// Until the first start: each generator looks up its users once more.
const HEAD_START: Duration = Duration::from_secs(5);
/// Generators at once; beyond it the machine is what is measured.
const GENERATORS_MAX: u64 = 64;

/// Runs a scenario with so many generators; `arguments` are those of this process without its name.
///
/// # Errors
/// A generator could not do its part.
pub(crate) fn run(
    scenario: &Scenario,
    options: &Options,
    count: u64,
    out: &Path,
    arguments: impl Iterator<Item = String>,
) -> Result<Recording, Failure> {
    if count > GENERATORS_MAX {
        return Err(Failure::new(format!(
            "there can be {GENERATORS_MAX} generators at most."
        )));
    }
    if options.history.is_some() {
        return Err(Failure::new(
            "each generator writes a history of its own: start them by hand with --share and merge their results.",
        ));
    }
    let folders: Vec<PathBuf> = (0..count)
        .map(|part| out.join(format!("generator-{part}")))
        .collect();
    for (part, folder) in (0..count).zip(&folders) {
        let options = Options {
            share: Share { part, of: count },
            users: folder.join(options.users.file_name().unwrap_or_default()),
            ..options.clone()
        };
        engine::prepare(scenario, &options)?;
    }

    let begin = (SystemTime::now() + HEAD_START)
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let arguments = shared(arguments);
    let mut children = Vec::new();
    for (part, folder) in folders.iter().enumerate() {
        let child = Command::new(std::env::current_exe()?)
            .args(&arguments)
            .arg(format!("--share={part}/{count}"))
            .arg(format!("--begin={}", begin.as_millis()))
            .arg(format!("--out={}", folder.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        children.push(child);
    }
    // All are waited for before the first failure is told, so that none is left behind.
    let ended: Vec<_> = children.into_iter().map(wait).collect();
    ended.into_iter().collect::<Result<Vec<()>, Failure>>()?;

    let name = format!("{}-{}", scenario.name, options.seed);
    let parts = folders.iter().map(|folder| report::read(&folder.join(&name)));
    merge::merge(parts.collect::<Result<Vec<_>, _>>()?)
}

fn wait(child: Child) -> Result<(), Failure> {
    let output = child.wait_with_output()?;
    match output.status.code() {
        // Passed, invalid, or a threshold did not hold: the merged result says so.
        Some(0 | 98 | 99) => Ok(()),
        _ => {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().last().unwrap_or("it said nothing");
            Err(Failure::new(format!("a generator failed: {last}")))
        }
    }
}

/// Leaves out what each generator is told in a way of its own.
fn shared(arguments: impl Iterator<Item = String>) -> Vec<String> {
    let own = ["--generators", "--out"];
    let mut kept = Vec::new();
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        if own.contains(&argument.as_str()) {
            arguments.next();
        } else if !own.iter().any(|name| argument.starts_with(&format!("{name}="))) {
            kept.push(argument);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generators_share_all_arguments_but_their_number_and_place() {
        let arguments = [
            "run",
            "a.toml",
            "--generators",
            "2",
            "--out=x",
            "--seed",
            "5",
            "--out",
            "y",
        ];

        let kept = shared(arguments.into_iter().map(ToOwned::to_owned));

        assert_eq!(kept, ["run", "a.toml", "--seed", "5"]);
    }
}
