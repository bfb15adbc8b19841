//! The summary that a run ends with on the terminal: the verdict first, then what supports it.

use std::fmt::Write as _;
use std::time::Duration;

use super::format::{clock, count, latency, percent, rate};
use crate::outcome::{ChaosSpan, Operation, Recording, Verdict};

const BOLD: &str = "1";
const FAINT: &str = "2";
const RED: &str = "1;31";
const GREEN: &str = "1;32";
const YELLOW: &str = "1;33";

/// Renders the summary of a run, with colours if they are wanted.
#[must_use]
pub fn render(recording: &Recording, coloured: bool) -> String {
    let paint = |code: &str, text: &str| match coloured {
        true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        false => text.to_owned(),
    };
    let run = &recording.run;
    let mut text = String::new();
    let line = |text: &mut String, label: &str, content: &str| {
        let label = paint(FAINT, &format!("{label:<11}"));
        writeln!(text, "{label} {content}").expect("a string takes every write");
    };
    let verdict = match recording.verdict() {
        Verdict::Pass => paint(GREEN, "pass"),
        Verdict::Thresholds => paint(YELLOW, "thresholds do not hold"),
        Verdict::Invalid => paint(RED, "invalid: the figures say nothing about the target"),
    };
    line(
        &mut text,
        "scenario",
        &format!("{}, seed {}", paint(BOLD, &run.scenario), run.seed),
    );
    line(
        &mut text,
        "target",
        &format!("{} ({}), {} long", run.target, run.commit, clock(run.duration)),
    );
    line(&mut text, "verdict", &verdict);
    for reason in &recording.invalid {
        line(&mut text, "", &format!("• {reason}"));
    }
    text.push('\n');
    for (index, row) in table(recording).iter().enumerate() {
        text.push_str(&if index == 0 {
            paint(FAINT, row)
        } else {
            row.clone()
        });
        text.push('\n');
    }
    text.push('\n');

    let total = recording.tally.total();
    if !total.errors.is_empty() {
        let kinds: Vec<String> = total
            .errors
            .iter()
            .map(|(kind, number)| format!("{kind} {}", count(*number)))
            .collect();
        line(&mut text, "errors", &kinds.join(", "));
    }
    for (index, threshold) in recording.thresholds.iter().enumerate() {
        let mark = if threshold.passed {
            paint(GREEN, "✔")
        } else {
            paint(RED, "✘")
        };
        let value = threshold
            .value
            .map_or_else(|| "nothing measured".to_owned(), |value| format!("{value:.3}"));
        let label = if index == 0 { "thresholds" } else { "" };
        line(
            &mut text,
            label,
            &format!("{mark} {}  ({value})", threshold.expression),
        );
    }
    for (index, span) in recording.chaos.iter().enumerate() {
        line(&mut text, if index == 0 { "chaos" } else { "" }, &fault(span));
    }
    line(&mut text, "generator", &generator(recording));
    text
}

/// The operations as aligned rows, the first being the heads of the columns.
fn table(recording: &Recording) -> Vec<String> {
    let heads = [
        "operation",
        "offered",
        "goodput/s",
        "failed",
        "dropped",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "max",
        "service p99",
    ];
    let total = recording.tally.total();
    let operations = recording.tally.operations().iter();
    // With one operation, the sum would repeat it.
    let shown: Vec<&Operation> = match operations.len() {
        1 => operations.collect(),
        _ => operations.chain([&total]).collect(),
    };
    let mut cells: Vec<Vec<String>> = vec![heads.map(str::to_owned).to_vec()];
    for operation in shown {
        let at = |quantile| match operation.latency.is_empty() {
            true => "–".to_owned(),
            false => latency(operation.latency.value_at_quantile(quantile) as f64 / 1000.0),
        };
        let service = match operation.service.is_empty() {
            true => "–".to_owned(),
            false => latency(operation.service.value_at_quantile(0.99) as f64 / 1000.0),
        };
        let seconds = recording.run.duration.as_secs_f64().max(f64::MIN_POSITIVE);
        cells.push(vec![
            operation.name.clone(),
            count(operation.offered),
            rate(operation.ok() as f64 / seconds),
            percent(operation.failures(), operation.completed),
            count(operation.dropped),
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            at(1.0),
            service,
        ]);
    }
    aligned(&cells)
}

/// Joins cells to rows: the first column to the left, the others to the right.
pub(crate) fn aligned(cells: &[Vec<String>]) -> Vec<String> {
    let columns = cells.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let width = |row: &Vec<String>| row.get(column).map_or(0, |cell| cell.chars().count());
            cells.iter().map(width).max().unwrap_or(0)
        })
        .collect();
    let join = |row: &Vec<String>| {
        let mut text = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            match column {
                0 => write!(text, "{cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            }
            .expect("a string takes every write");
        }
        text.trim_end().to_owned()
    };
    cells.iter().map(join).collect()
}

fn fault(span: &ChaosSpan) -> String {
    let lasted = match span.ended.saturating_sub(span.at) {
        Duration::ZERO => String::new(),
        length => format!(" for {}", latency(length.as_secs_f64() * 1000.0)),
    };
    let noticed = match span.unavailable {
        Some(window) => format!("unavailable {}", latency(window.length().as_secs_f64() * 1000.0)),
        None => "always available".to_owned(),
    };
    format!(
        "{} {} on {}{lasted}: {noticed}",
        clock(span.at),
        span.name,
        span.target
    )
}

fn generator(recording: &Recording) -> String {
    let lag = recording.tally.lag();
    let at = |quantile| latency(lag.value_at_quantile(quantile) as f64 / 1000.0);
    let several = match recording.run.generators {
        1 => String::new(),
        generators => format!("{generators} of them, "),
    };
    format!(
        "{several}late by {} at p50, {} at p99, {} at most; {:.1} s of CPU",
        at(0.5),
        at(0.99),
        at(1.0),
        recording.run.generator_cpu.as_secs_f64(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn without_a_terminal_there_are_no_colours() {
        let recording = fixture::stormy(3);

        assert!(!render(&recording, false).contains('\u{1b}'));
        assert!(render(&recording, true).contains('\u{1b}'));
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let cells = [["", "count"], ["browse", "1"], ["buy", "1234567"]];
        let cells: Vec<Vec<String>> = cells.iter().map(|row| row.map(str::to_owned).to_vec()).collect();

        assert_eq!(
            aligned(&cells),
            ["          count", "browse        1", "buy     1234567"]
        );
    }

    #[test]
    fn every_fault_says_what_clients_noticed() {
        let text = render(&fixture::stormy(3), false);

        assert!(text.contains("0:40 sigstop on owner_of:course for 2.00 s: unavailable 2.04 s"));
        assert!(text.contains("1:25 redis_kill on redis for 3.00 s: always available"));
    }
}
