//! Alerts, their tests, their runbooks and the dashboards agree with one another, and with the metrics of the program.
//!
//! `make test-alerts` asks Prometheus whether the rules do what they say; here is what Prometheus cannot know.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Words with an underscore that queries use and that are no metrics.
const NO_METRICS: [&str; 3] = ["avg_over_time", "histogram_quantile", "group_left"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below a folder with this ending, and their texts.
fn files(folder: &str, ending: &str) -> Vec<(PathBuf, String)> {
    let mut found: Vec<_> = fs::read_dir(root().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "{folder}");
    found
}

fn rules() -> Vec<(PathBuf, String)> {
    files("config/observability/rules", ".yml")
}

fn dashboards() -> Vec<(PathBuf, Value)> {
    let parse = |(path, text): (PathBuf, String)| (path, serde_json::from_str(&text).unwrap());
    files("config/observability/dashboards", ".json")
        .into_iter()
        .map(parse)
        .collect()
}

/// What follows a key in a text of lines, e.g. the names of all alerts.
fn values<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines()
        .filter_map(move |line| line.trim_start_matches([' ', '-']).strip_prefix(key))
}

fn alerts() -> BTreeSet<String> {
    rules()
        .iter()
        .flat_map(|(_, text)| values(text, "alert: "))
        .map(ToOwned::to_owned)
        .collect()
}

fn panels(dashboard: &Value) -> &Vec<Value> {
    dashboard["panels"].as_array().unwrap()
}

fn queries(panel: &Value) -> impl Iterator<Item = &str> {
    panel["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| target["expr"].as_str().unwrap())
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let runbooks = files("docs/runbooks", ".md");
    let named: BTreeSet<String> = runbooks
        .iter()
        .map(|(path, _)| path.file_stem().unwrap().to_string_lossy().into_owned())
        .filter(|name| name != "README")
        .collect();

    assert_eq!(alerts(), named);

    let index = &runbooks
        .iter()
        .find(|(path, _)| path.ends_with("README.md"))
        .unwrap()
        .1;
    for (path, text) in &runbooks {
        let name = path.file_stem().unwrap().to_string_lossy();
        if name == "README" {
            continue;
        }
        assert!(
            index.contains(&format!("[{name}]({name}.md)")),
            "{name} is not in the index"
        );
        assert!(text.starts_with(&format!("# {name}\n")), "{name}");
        for part in ["Impact", "See it", "Act", "It is over when", "Never"] {
            assert!(text.contains(&format!("\n## {part}\n")), "{name} lacks `{part}`");
        }
    }
}

#[test]
fn every_alert_says_how_bad_it_is_and_where_to_read_on_and_is_tested() {
    let tests = files("config/observability/tests", ".yml");
    for (path, text) in rules() {
        for rule in text.split("- alert: ").skip(1) {
            let name = rule.lines().next().unwrap();
            let place = format!("{}: {name}", path.display());
            assert!(
                rule.contains("labels: {severity: page}") || rule.contains("labels: {severity: ticket}"),
                "{place}"
            );
            for annotation in ["summary: ", "description: "] {
                assert_eq!(values(rule, annotation).count(), 1, "{place}");
            }
            assert!(
                rule.contains(&format!("runbook_url: docs/runbooks/{name}.md\n")),
                "{place}"
            );
            let tested = format!("alertname=\"{name}\"");
            let spelled = format!("alertname: {name}\n");
            assert!(
                tests
                    .iter()
                    .any(|(_, test)| test.contains(&tested) || test.contains(&spelled)),
                "{place} has no test"
            );
        }
    }
}

#[test]
fn rules_dashboards_and_runbooks_ask_only_for_metrics_that_there_are() {
    let known: BTreeSet<&str> = lyceum::telemetry::areas()
        .flat_map(|area| area.families)
        .map(|family| family.about().name)
        .collect();
    let mut violations = Vec::new();
    let mut check = |place: &Path, query: &str| {
        for word in metrics_of(query) {
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| word.strip_suffix(suffix))
                .filter(|family| known.contains(family))
                .unwrap_or(&word);
            if !known.contains(family) && !NO_METRICS.contains(&family) {
                violations.push(format!("{}: {word}", place.display()));
            }
        }
    };

    for (path, text) in rules() {
        for query in expressions(&text) {
            check(&path, &query);
        }
    }
    for (path, dashboard) in dashboards() {
        panels(&dashboard)
            .iter()
            .flat_map(queries)
            .for_each(|query| check(&path, query));
    }
    for (path, text) in files("docs/runbooks", ".md") {
        for query in text.split("ask '").skip(1) {
            check(&path, query.split('\'').next().unwrap());
        }
    }

    assert!(
        violations.is_empty(),
        "no such metric:\n{}",
        violations.join("\n")
    );
}

#[test]
fn every_metric_is_drawn_somewhere() {
    let drawn: BTreeSet<String> = dashboards()
        .iter()
        .flat_map(|(_, dashboard)| panels(dashboard))
        .flat_map(queries)
        .flat_map(metrics_of)
        .collect();

    let missing: Vec<&str> = lyceum::telemetry::areas()
        .flat_map(|area| area.families)
        .map(|family| family.about().name)
        .filter(|name| {
            ["", "_bucket", "_sum", "_count"]
                .iter()
                .all(|suffix| !drawn.contains(&format!("{name}{suffix}")))
        })
        .collect();
    assert!(missing.is_empty(), "on no panel: {}", missing.join(", "));
}

/// The expressions of a file of rules, in one line each.
fn expressions(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(first) = line.trim_start().strip_prefix("expr: ") else {
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let mut expression = first.trim_start_matches(">-").to_owned();
        while let Some(more) = lines.next_if(|more| more.len() - more.trim_start().len() > indent) {
            expression.push(' ');
            expression.push_str(more.trim());
        }
        found.push(expression);
    }
    found
}

/// The words of a query that must be metrics: not in quotes, braces or brackets, no grouping, no recorded name.
fn metrics_of(query: &str) -> Vec<String> {
    let mut bare = String::new();
    let mut depth = 0;
    for letter in query.chars() {
        match letter {
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            _ if depth == 0 => bare.push(letter),
            _ => {}
        }
    }
    while let Some(at) = bare.find("by (") {
        let end = at + bare[at..].find(')').unwrap();
        bare.replace_range(at..=end, " ");
    }
    bare.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_' && letter != ':')
        // Only one metric has a name of a single word; the others of that kind are functions.
        .filter(|word| {
            word.contains('_') && !word.contains(':') && !word.starts_with('_') || *word == "shards"
        })
        .map(ToOwned::to_owned)
        .collect()
}

#[test]
fn every_panel_says_what_it_shows_in_which_unit_and_of_which_nodes() {
    let mut uids = BTreeSet::new();
    for (path, dashboard) in dashboards() {
        assert!(uids.insert(dashboard["uid"].to_string()), "{}", path.display());
        let mut ids = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for panel in panels(&dashboard) {
            let place = format!("{}: {}", path.display(), panel["title"]);
            assert!(
                ids.insert(panel["id"].as_u64().unwrap()),
                "{place}: the id is taken"
            );
            assert!(panel["description"].as_str().unwrap().ends_with('.'), "{place}");
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{place}");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{place}");
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    assert!(x < 24 && taken.insert((x, y)), "{place}: no place for it");
                }
            }
            for query in queries(panel) {
                let of_all = ["slo:", "ALERTS"].iter().any(|whole| query.contains(whole));
                assert!(
                    of_all || query.contains("instance=~\"$instance\""),
                    "{place}: {query}"
                );
            }
        }
    }
}
