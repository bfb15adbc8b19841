//! The list of all metrics as a document for people.

use std::fmt::Write;

use super::Area;
use super::family::{Family, Label, Type, Values};

/// Writes a section with a table for each area, in Markdown.
pub fn markdown<'a>(areas: impl IntoIterator<Item = &'a Area>) -> String {
    let mut text = String::new();
    for area in areas {
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "\n## {}\n\n| metric | type | unit | labels | meaning | when to worry |\n|---|---|---|---|---|---|\n",
            area.title
        );
        for family in area.families {
            text.push_str(&row(*family));
        }
    }
    text
}

fn row(family: &dyn Family) -> String {
    let about = family.about();
    let kind = match family.kind() {
        Type::Counter => "counter",
        Type::Gauge => "gauge",
        Type::Histogram => "histogram",
    };
    let labels: Vec<String> = about.labels.iter().map(described).collect();
    let cells = [about.unit(), &labels.join("; "), about.help, about.worry];
    let cells = cells.map(|cell| cell.replace('|', "\\|"));
    format!("| `{}` | {kind} | {} |\n", about.name, cells.join(" | "))
}

fn described(label: &Label) -> String {
    match label.values {
        Values::Of(values) => format!("`{}`: {}", label.name, values.join(", ")),
        Values::Program(described) => format!("`{}`: {described}", label.name),
    }
}
