//! A comparison for people: a row for each figure, ending in a plain answer.

use super::{Answer, Comparison, Difference, Group};
use crate::report::format::{latency, rate};
use crate::report::terminal::aligned;

/// Renders a comparison as text.
pub(crate) fn render(comparison: &Comparison) -> String {
    let heads = ["", "A", "B", "change", "95 % interval", "B is"];
    let mut cells = vec![heads.map(str::to_owned).to_vec()];
    cells.extend(comparison.figures.iter().map(row));
    let mut text = format!("scenario {}\n", comparison.scenario);
    for (name, group) in [("A", &comparison.a), ("B", &comparison.b)] {
        text.push_str(&format!("{name}        {}\n", says(group)));
    }
    text.push('\n');
    for row in aligned(&cells) {
        text.push_str(&row);
        text.push('\n');
    }
    if comparison.a.runs.len().min(comparison.b.runs.len()) == 1 {
        text.push_str(
            "\nOne run of each: the intervals know nothing of how much runs differ. Repeat them, in turns.\n",
        );
    }
    text
}

fn says(group: &Group) -> String {
    let runs = match group.runs.len() {
        1 => "1 run".to_owned(),
        runs => format!("{runs} runs"),
    };
    format!("{runs} against {} at {}", group.target, group.commit)
}

fn row(difference: &Difference) -> Vec<String> {
    let (name, shown): (&str, fn(f64) -> String) = match difference.figure {
        "p50_ms" => ("p50", latency),
        "p99_ms" => ("p99", latency),
        "goodput_per_s" => ("good answers/s", rate),
        _ => ("CPU per request", |micros| latency(micros / 1000.0)),
    };
    let value = |value: f64| match value.is_finite() {
        true => shown(value),
        false => "–".to_owned(),
    };
    let percent = |part: f64| match part.is_finite() {
        true => format!("{:+.1} %", part * 100.0),
        false => "–".to_owned(),
    };
    let interval = match (difference.low, difference.high) {
        (Some(low), Some(high)) => format!("{} … {}", percent(low), percent(high)),
        _ => "–".to_owned(),
    };
    let answer = match difference.answer {
        Answer::Better => "better",
        Answer::Worse => "worse",
        Answer::NoDifference => "no different",
        Answer::Unknown => "not known",
    };
    vec![
        name.to_owned(),
        value(difference.a),
        value(difference.b),
        percent(difference.change),
        interval,
        answer.to_owned(),
    ]
}
