//! What a run tells: figures beside their goals, as a table for people and as JSON for comparison with later runs.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::Failure;

/// What a figure should reach.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Goal {
    /// Good enough.
    pub(crate) pass: f64,
    /// As good as anybody's.
    pub(crate) world_class: f64,
    /// Which way is better.
    pub(crate) better: Better,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Better {
    /// Costs.
    Lower,
    /// Rates.
    Higher,
}

/// How a figure compares with its goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// The second goal is reached.
    WorldClass,
    /// The first goal is reached.
    Pass,
    /// Neither is.
    Miss,
}

impl Goal {
    /// A goal for a cost.
    pub(crate) fn at_most(pass: f64, world_class: f64) -> Self {
        Goal {
            pass,
            world_class,
            better: Better::Lower,
        }
    }

    /// A goal for a rate.
    pub(crate) fn at_least(pass: f64, world_class: f64) -> Self {
        Goal {
            pass,
            world_class,
            better: Better::Higher,
        }
    }

    /// How a figure compares.
    pub(crate) fn verdict(self, figure: f64) -> Verdict {
        let reaches = |goal: f64| match self.better {
            Better::Lower => figure <= goal,
            Better::Higher => figure >= goal,
        };
        if reaches(self.world_class) {
            Verdict::WorldClass
        } else if reaches(self.pass) {
            Verdict::Pass
        } else {
            Verdict::Miss
        }
    }
}

/// One line: what was measured, beside its control if it has one.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    /// What was measured.
    pub(crate) name: String,
    /// Figures by name, with their unit in it.
    pub(crate) figures: Vec<(&'static str, f64)>,
    /// The name of the figure that has a goal.
    pub(crate) judged: Option<(&'static str, Goal)>,
}

impl Line {
    /// A line without a goal.
    pub(crate) fn new(name: impl Into<String>, figures: Vec<(&'static str, f64)>) -> Self {
        Line {
            name: name.into(),
            figures,
            judged: None,
        }
    }

    /// Judges one of its figures.
    pub(crate) fn judged(mut self, figure: &'static str, goal: Goal) -> Self {
        self.judged = Some((figure, goal));
        self
    }

    fn figure(&self, name: &str) -> Option<f64> {
        self.figures
            .iter()
            .find(|(own, _)| *own == name)
            .map(|(_, value)| *value)
    }

    fn verdict(&self) -> Option<(Goal, Verdict)> {
        let (name, goal) = self.judged?;
        Some((goal, goal.verdict(self.figure(name)?)))
    }
}

/// Lines with the same figures.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Section {
    /// What they have in common.
    pub(crate) title: &'static str,
    /// The lines.
    pub(crate) lines: Vec<Line>,
}

/// Prints a section.
///
/// # Errors
/// Nobody reads any more.
pub(crate) fn print(section: &Section) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "\n{}", section.title)?;
    for line in table(&section.lines) {
        writeln!(out, "  {line}")?;
    }
    Ok(out.flush()?)
}

/// Keeps a run as `<name>.json` and, for comparison with later ones, under the time it was made.
///
/// # Errors
/// The folder cannot be written to.
pub(crate) fn save(folder: &Path, name: &str, load_before: f64, sections: &[Section]) -> Result<(), Failure> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let text = serde_json::to_string_pretty(&serde_json::json!({
        "unix_seconds": seconds,
        "cores": cores(),
        "load_average_before": load_before,
        "sections": sections,
    }))?;
    fs::write(folder.join(format!("{name}.json")), &text)?;
    fs::write(folder.join(format!("{name}-{seconds}.json")), &text)?;
    let mut out = io::stdout().lock();
    Ok(writeln!(
        out,
        "\nkept in {}",
        folder.join(format!("{name}.json")).display()
    )?)
}

/// Says on stderr what is being done.
pub(crate) fn progress(text: &str) {
    // Progress that nobody reads is no reason to stop.
    let _ = writeln!(io::stderr(), "bench: {text}");
}

/// Says so when the machine is busy with something else: ratios suffer less than rates, but suffer. Returns how busy.
pub(crate) fn other_work() -> f64 {
    let load = load_average().unwrap_or_default();
    if load > 0.5 {
        progress(&format!(
            "the load average is {load}: other work shares the {} cores, rates will be low",
            cores()
        ));
    }
    load
}

/// Processes that wanted to run, on average over the last minute.
fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg")
        .ok()?
        .split(' ')
        .next()?
        .parse()
        .ok()
}

/// Processors of this machine.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn table(lines: &[Line]) -> Vec<String> {
    let mut columns: Vec<&'static str> = Vec::new();
    for (name, _) in lines.iter().flat_map(|line| &line.figures) {
        if !columns.contains(name) {
            columns.push(name);
        }
    }
    let header = [""]
        .into_iter()
        .chain(columns.iter().copied())
        .chain(["goal", ""])
        .map(str::to_owned);
    let mut rows: Vec<Vec<String>> = vec![header.collect()];
    for line in lines {
        let figures = columns
            .iter()
            .map(|name| line.figure(name).map_or_else(String::new, rendered));
        let (goal, verdict) = line.verdict().map_or_else(Default::default, |(goal, verdict)| {
            (
                format!("{} / {}", rendered(goal.pass), rendered(goal.world_class)),
                word(verdict).to_owned(),
            )
        });
        rows.push(
            [line.name.clone()]
                .into_iter()
                .chain(figures)
                .chain([goal, verdict])
                .collect(),
        );
    }
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len() + 3).map(width).collect();
    let aligned = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(aligned).collect()
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::WorldClass => "world class",
        Verdict::Pass => "pass",
        Verdict::Miss => "MISS",
    }
}

/// Three significant digits are more than the measurement is good for.
fn rendered(value: f64) -> String {
    match value {
        large if large >= 100.0 => format!("{large:.0}"),
        middle if middle >= 10.0 => format!("{middle:.1}"),
        small => format!("{small:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_and_rates_are_judged_in_opposite_directions() {
        let cost = Goal::at_most(1.25, 1.1);
        let rate = Goal::at_least(1.5, 2.5);

        assert_eq!(
            [1.1, 1.2, 1.3].map(|figure| cost.verdict(figure)),
            [Verdict::WorldClass, Verdict::Pass, Verdict::Miss]
        );
        assert_eq!(
            [1.4, 1.5, 2.5].map(|figure| rate.verdict(figure)),
            [Verdict::Miss, Verdict::Pass, Verdict::WorldClass]
        );
    }

    #[test]
    fn a_table_has_a_column_for_every_figure_and_room_for_missing_ones() {
        let lines = [
            Line::new("one", vec![("a", 1.0), ("ratio", 1.2)]).judged("ratio", Goal::at_most(1.25, 1.1)),
            Line::new("other", vec![("b", 1234.5)]),
        ];

        let rendered = table(&lines);

        assert_eq!(
            rendered,
            [
                "          a  ratio     b         goal",
                "one    1.00   1.20        1.25 / 1.10  pass",
                "other               1234",
            ]
        );
    }
}
