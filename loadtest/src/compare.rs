//! Whether one build is faster than another: differences between two groups of runs, with intervals that say how sure.
//!
//! Runs of both groups are best made in turns (A B A B …), so that what the machine does meanwhile meets both. Each figure
//! is taken per run and averaged as a geometric mean; the change is that of B against A. The interval is a bootstrap: runs
//! are drawn with replacement (in pairs, if both groups have as many), and within them blocks of seconds, the same for
//! both, since the same second of the schedule asks the same of both. An interval that holds zero, or a change below what
//! the instruments resolve, is *no difference*: that is an answer, not a failure.

pub(crate) mod bootstrap;
mod interleave;
mod sample;
mod text;

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::Failure;
use crate::outcome::{Recording, Verdict};
use crate::report;
use bootstrap::Figure;
use sample::Sample;

pub(crate) use text::render;

/// The schema of the comparison as JSON.
pub const SCHEMA: &str = "lyceum-compare/1";

/// Compares two groups of runs.
#[derive(Args, Debug, Clone)]
pub(crate) struct CompareArgs {
    /// Result folders of A: one, several with commas between them, or a folder of such folders.
    #[arg(required_unless_present = "run", value_name = "A")]
    first: Option<String>,
    /// Result folders of B, in the same way.
    #[arg(required_unless_present = "run", value_name = "B")]
    second: Option<String>,
    /// Makes the runs first: this scenario, against both targets in turns.
    #[arg(long, value_name = "SCENARIO", requires_all = ["a", "b"], conflicts_with_all = ["first", "second"])]
    run: Option<PathBuf>,
    /// Base address of target A.
    #[arg(long, value_name = "URL")]
    a: Option<String>,
    /// Base address of target B.
    #[arg(long, value_name = "URL")]
    b: Option<String>,
    /// How often each target is run.
    #[arg(long, default_value_t = 5)]
    repeat: usize,
    /// Threads that send.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Folder for the results of these runs.
    #[arg(long, default_value = "out/compare")]
    out: PathBuf,
    /// Seed of the runs and of the bootstrap.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// What a comparison found.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The schema of this JSON: `lyceum-compare/1`.
    pub schema: &'static str,
    /// The scenario of all runs.
    pub scenario: String,
    /// The runs of A.
    pub a: Group,
    /// The runs of B.
    pub b: Group,
    /// Whether the runs were compared in pairs.
    pub paired: bool,
    /// Seed of the bootstrap.
    pub seed: u64,
    /// How often runs were drawn anew.
    pub replicates: usize,
    /// What share of such intervals holds the truth.
    pub confidence: f64,
    /// What was compared.
    pub figures: Vec<Difference>,
}

/// One side of a comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// The runs, by their folders.
    pub runs: Vec<String>,
    /// What they loaded.
    pub target: String,
    /// The commit that it was built from.
    pub commit: String,
}

/// How a figure differs.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// The figure with its unit last, such as `p99_ms`.
    pub figure: &'static str,
    /// Its geometric mean over the runs of A.
    pub a: f64,
    /// Its geometric mean over the runs of B.
    pub b: f64,
    /// The change of B against A: 0.1 is ten percent more.
    pub change: f64,
    /// The lower end of the change's interval; `None` if the runs cannot tell.
    pub low: Option<f64>,
    /// The upper end of the change's interval; `None` if the runs cannot tell.
    pub high: Option<f64>,
    /// What that amounts to.
    pub answer: Answer,
}

/// What a difference amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// B is better.
    Better,
    /// B is worse.
    Worse,
    /// Nothing that could not be chance.
    NoDifference,
    /// The runs cannot tell: there is but one of each, or one of them has no such figure.
    Unknown,
}

/// Makes or reads the runs, and compares them.
///
/// # Errors
/// A folder is missing or damaged, a run is invalid, or the runs are not of one scenario.
pub(crate) fn command(args: &CompareArgs) -> Result<String, Failure> {
    let (a, b) = match (&args.run, &args.a, &args.b, &args.first, &args.second) {
        (Some(scenario), Some(a), Some(b), ..) => interleave::run(args, scenario, a, b)?,
        (None, _, _, Some(a), Some(b)) => (folders(a)?, folders(b)?),
        // The command line's rules leave no other combination.
        _ => return Err(Failure::new("two groups of runs are needed.")),
    };
    let read = |folders: &[PathBuf]| -> Result<Vec<(String, Recording)>, Failure> {
        let named = |folder: &PathBuf| Ok((folder.display().to_string(), report::read(folder)?));
        folders.iter().map(named).collect()
    };
    let comparison = compare(&read(&a)?, &read(&b)?, args.seed, bootstrap::REPLICATES)?;
    if !args.json {
        return Ok(render(&comparison));
    }
    let json = serde_json::to_string_pretty(&comparison);
    json.map(|json| json + "\n")
        .map_err(|error| Failure::new(format!("{error}.")))
}

/// Compares two groups of named recordings.
///
/// # Errors
/// A group is empty, a run is invalid, or the runs are not of one scenario.
pub fn compare(
    a: &[(String, Recording)],
    b: &[(String, Recording)],
    seed: u64,
    replicates: usize,
) -> Result<Comparison, Failure> {
    let (Some((_, first_a)), Some((_, first_b))) = (a.first(), b.first()) else {
        return Err(Failure::new("each group needs a run."));
    };
    for (name, recording) in a.iter().chain(b) {
        refuse_invalid(name, recording)?;
        if recording.run.scenario != first_a.run.scenario {
            return Err(Failure::new(format!(
                "{name} is a run of {}, not of {}.",
                recording.run.scenario, first_a.run.scenario
            )));
        }
    }
    let samples = |group: &[(String, Recording)]| -> Vec<Sample> {
        group.iter().map(|(_, recording)| Sample::of(recording)).collect()
    };
    let (samples_a, samples_b) = (samples(a), samples(b));
    let found = bootstrap::differences(&samples_a, &samples_b, seed, replicates);
    Ok(Comparison {
        schema: SCHEMA,
        scenario: first_a.run.scenario.clone(),
        a: Group::of(a, first_a),
        b: Group::of(b, first_b),
        paired: a.len() == b.len(),
        seed,
        replicates,
        confidence: bootstrap::CONFIDENCE,
        figures: Figure::ALL
            .iter()
            .zip(found)
            .map(|(figure, found)| found.named(*figure))
            .collect(),
    })
}

fn refuse_invalid(name: &str, recording: &Recording) -> Result<(), Failure> {
    if recording.verdict() != Verdict::Invalid {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{name} is invalid ({}): nothing can be compared with it.",
        recording.invalid.join("; ")
    )))
}

impl Group {
    fn of(runs: &[(String, Recording)], first: &Recording) -> Self {
        Group {
            runs: runs.iter().map(|(name, _)| name.clone()).collect(),
            target: first.run.target.clone(),
            commit: first.run.commit.clone(),
        }
    }
}

/// Finds the run directories that an argument means.
fn folders(argument: &str) -> Result<Vec<PathBuf>, Failure> {
    let is_run = |folder: &Path| folder.join(report::SUMMARY).is_file();
    let mut found = Vec::new();
    for folder in argument.split(',').map(PathBuf::from) {
        if is_run(&folder) {
            found.push(folder);
            continue;
        }
        let mut within = Vec::new();
        for entry in std::fs::read_dir(&folder)
            .map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?
        {
            within.push(entry?.path());
        }
        within.retain(|path| is_run(path));
        if within.is_empty() {
            return Err(Failure::new(format!("{} holds no run.", folder.display())));
        }
        // Pairs are by order, and the system lists files in any.
        within.sort();
        found.extend(within);
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
