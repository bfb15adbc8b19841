//! The catalogue of metrics, as the sources and docs/metrics.md have to agree with it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use lyceum::telemetry;
use lyceum_runtime::metrics::{About, Type, Values};

fn families() -> Vec<(&'static About, Type)> {
    telemetry::areas()
        .flat_map(|area| area.families)
        .map(|family| (family.about(), family.kind()))
        .collect()
}

#[test]
fn the_document_says_what_the_program_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");

    let written = fs::read_to_string(path).unwrap_or_default();

    assert!(
        written == telemetry::catalogue(),
        "docs/metrics.md is not what the program says; make it again: cargo run -- metrics > docs/metrics.md"
    );
}

#[test]
fn names_are_unique_and_end_in_their_unit() {
    let mut names = BTreeSet::new();
    for (about, kind) in families() {
        let name = about.name;
        assert!(names.insert(name), "{name} is there twice");
        assert!(
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit()),
            "{name}"
        );
        assert_eq!(name.ends_with("_total"), kind == Type::Counter, "{name}");
        assert!(
            about.help.ends_with('.') && !about.help.contains('\n'),
            "{name}: {}",
            about.help
        );
        let sized = about.unit() == "seconds" || name.ends_with("_size");
        assert!(
            sized || kind != Type::Histogram,
            "{name} has no buckets of its own"
        );
    }
}

#[test]
fn labels_have_values_and_combinations_use_them() {
    for (about, _) in families() {
        for label in about.labels {
            assert!(!["le", "quantile"].contains(&label.name), "{}", about.name);
            if let Values::Of(values) = label.values {
                assert!(!values.is_empty(), "{}: {}", about.name, label.name);
            }
        }
        for series in about.series {
            assert_eq!(series.len(), about.labels.len(), "{}", about.name);
            for (label, value) in about.labels.iter().zip(*series) {
                let known = matches!(label.values, Values::Of(values) if values.contains(value));
                assert!(known, "{}: {} is never {value}", about.name, label.name);
            }
        }
    }
}

/// A metric that no list names is recorded and never shown.
#[test]
fn every_metric_that_is_declared_is_listed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lists = [
        "src/http/meters.rs",
        "src/telemetry/process.rs",
        "src/telemetry/otlp.rs",
        "actors/runtime/src/meters.rs",
        "actors/runtime/src/meters/nodes.rs",
        "actors/entities/src/meters.rs",
    ];
    let mut declared = 0;
    for path in lists {
        // The last of them may be without.
        let text = fs::read_to_string(root.join(path)).unwrap_or_default();
        for line in text.lines() {
            let Some((before, rest)) = line.split_once("static ") else {
                continue;
            };
            let Some((name, kind)) = rest.split_once(": ") else {
                continue;
            };
            if !before.starts_with("//") && (kind.starts_with("Metric<") || kind.starts_with("Computed")) {
                declared += 1;
                assert!(
                    text.contains(&format!("&{name},")) || text.contains(&format!("&{name}]")),
                    "{path}: {name}"
                );
            }
        }
    }
    assert_eq!(
        declared,
        families().len(),
        "metrics are declared in {lists:?} alone"
    );
}
