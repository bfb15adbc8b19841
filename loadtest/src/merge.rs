//! Several generators' recordings of one run as one: counts add up, histograms merge exactly, thresholds are judged anew.
//!
//! Generators are placed by their clocks, to the interval; a part that began later is later in the merged timeline too.
//! What makes one part invalid makes the whole invalid.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::Failure;
use crate::outcome::{ChaosSpan, Recording, Window};
use crate::report;
use crate::scenario::Rule;

/// Merges the results of generators that ran side by side.
#[derive(Args, Debug, Clone)]
pub(crate) struct MergeArgs {
    /// The result folders of the generators.
    #[arg(required = true, num_args = 2..)]
    folders: Vec<PathBuf>,
    /// Folder for the merged result.
    #[arg(long)]
    out: PathBuf,
}

impl MergeArgs {
    /// Returns the folder for the merged result.
    pub(crate) fn out(&self) -> &Path {
        &self.out
    }
}

/// Reads, merges and writes.
///
/// # Errors
/// A folder is missing or damaged, or the runs do not belong together.
pub(crate) fn command(args: &MergeArgs) -> Result<Recording, Failure> {
    let parts = args.folders.iter().map(|folder| report::read(folder));
    let parts = parts.collect::<Result<Vec<Recording>, _>>()?;
    let mut merged = merge(parts)?;
    merged.run.command = std::env::args().collect::<Vec<_>>().join(" ");
    report::write(&merged, &args.out)?;
    Ok(merged)
}

/// Merges recordings of the same scenario.
///
/// # Errors
/// There is none, they are of different scenarios or seeds, or their intervals differ.
pub fn merge(mut parts: Vec<Recording>) -> Result<Recording, Failure> {
    parts.sort_by_key(|part| part.run.started);
    let mut parts = parts.into_iter();
    let Some(mut whole) = parts.next() else {
        return Err(Failure::new("there is nothing to merge."));
    };
    for part in parts {
        add(&mut whole, part)?;
    }
    whole.chaos.sort_by_key(|span| span.at);
    whole.thresholds = whole
        .thresholds
        .iter()
        .map(|threshold| {
            let rule = Rule::parse(&threshold.expression)
                .map_err(|problem| Failure::new(format!("threshold {} {problem}", threshold.expression)))?;
            Ok(rule.judge(&whole.tally, &whole.chaos, whole.run.duration))
        })
        .collect::<Result<_, Failure>>()?;
    Ok(whole)
}

fn add(whole: &mut Recording, part: Recording) -> Result<(), Failure> {
    let (ours, theirs) = (&mut whole.run, part.run);
    if (&ours.scenario, ours.seed) != (&theirs.scenario, theirs.seed) {
        return Err(Failure::new(format!(
            "{} with seed {} and {} with seed {} are not parts of one run.",
            ours.scenario, ours.seed, theirs.scenario, theirs.seed
        )));
    }
    // Parts are sorted by their beginning.
    let later = theirs.started.duration_since(ours.started).unwrap_or_default();
    let width_s = whole.tally.timeline().width().as_secs_f64();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float saturates, and whatever is beyond the last interval is counted in it"
    )]
    let shift = (later.as_secs_f64() / width_s).round() as usize;
    whole
        .tally
        .merge_shifted(&part.tally, shift)
        .map_err(|error| Failure::new(format!("{error}.")))?;
    ours.duration = ours.duration.max(later + theirs.duration);
    ours.generators += theirs.generators;
    ours.generator_cpu += theirs.generator_cpu;
    // Each of them has seen the same target meanwhile.
    ours.target_cpu = ours.target_cpu.max(theirs.target_cpu);
    whole
        .chaos
        .extend(part.chaos.into_iter().map(|span| delayed(span, later)));
    for threshold in part.thresholds {
        if whole
            .thresholds
            .iter()
            .all(|known| known.expression != threshold.expression)
        {
            whole.thresholds.push(threshold);
        }
    }
    for reason in part.invalid {
        if !whole.invalid.contains(&reason) {
            whole.invalid.push(reason);
        }
    }
    Ok(())
}

fn delayed(span: ChaosSpan, later: Duration) -> ChaosSpan {
    ChaosSpan {
        at: span.at + later,
        ended: span.ended + later,
        unavailable: span.unavailable.map(|window| Window {
            from: window.from + later,
            to: window.to + later,
        }),
        ..span
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Threshold;
    use crate::report::fixture;

    #[test]
    fn two_generators_are_one_run_of_both_their_requests() {
        let (first, mut second) = (fixture::calm(1), fixture::calm(2));
        second.run.seed = 1;
        second.run.started += Duration::from_millis(3_100);
        let (mut first_total, second_total) = (first.tally.total(), second.tally.total());

        let merged = merge(vec![second.clone(), first.clone()]).unwrap();

        let total = merged.tally.total();
        assert_eq!(total.offered, first_total.offered + second_total.offered);
        first_total.latency.add(&second_total.latency).unwrap();
        assert_eq!(total.latency, first_total.latency);
        assert_eq!(merged.run.generators, 2);
        assert_eq!(merged.run.duration, Duration::from_millis(33_100));
        let intervals = merged.tally.timeline().intervals();
        assert_eq!(
            intervals[2].offered,
            first.tally.timeline().intervals()[2].offered
        );
        assert_eq!(
            intervals[3].offered,
            first.tally.timeline().intervals()[3].offered + second.tally.timeline().intervals()[0].offered
        );
    }

    #[test]
    fn thresholds_are_judged_by_the_merged_figures() {
        let mut parts = vec![fixture::stormy(1), fixture::stormy(1)];
        for part in &mut parts {
            part.thresholds = vec![Threshold {
                expression: "goodput > 400/s".to_owned(),
                value: Some(331.0),
                passed: false,
            }];
        }

        let merged = merge(parts).unwrap();

        assert!(merged.thresholds[0].passed, "{:?}", merged.thresholds);
    }

    #[test]
    fn one_invalid_part_makes_the_whole_invalid() {
        let mut parts = vec![fixture::calm(1), fixture::calm(1)];
        for part in &mut parts {
            part.thresholds.clear();
        }
        parts[1].invalid = vec!["the generator was late".to_owned()];

        let merged = merge(parts).unwrap();

        assert_eq!(merged.invalid, ["the generator was late"]);
    }

    #[test]
    fn runs_of_different_scenarios_do_not_merge() {
        let refused = merge(vec![fixture::calm(1), fixture::stormy(1)]);

        assert!(refused.is_err());
    }
}
