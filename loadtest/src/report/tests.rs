//! A run directory as a whole: written, read back, and of the promised shape.

use serde_json::Value;

use super::*;

/// A directory of its own below the build's, so that a page can be looked at after the tests.
fn directory(name: &str) -> PathBuf {
    let built = std::env::current_exe().unwrap();
    built.parent().unwrap().join("load-reports").join(name)
}

#[test]
fn a_run_is_read_back_as_it_was_written() {
    let recording = fixture::stormy(11);
    let directory = directory("stormy");

    write(&recording, &directory).unwrap();
    let again = read(&directory).unwrap();

    assert_eq!(Summary::of(&again).to_json(), Summary::of(&recording).to_json());
    assert_eq!(again.tally.total().latency, recording.tally.total().latency);
    for name in [SUMMARY, LATENCY, JUNIT, PAGE] {
        assert!(directory.join(name).is_file(), "{name} is missing");
    }
}

#[test]
fn reasons_of_an_invalid_run_survive_reading() {
    let mut recording = fixture::stormy(11);
    recording.invalid = vec!["the generator was 9 ms late at p99".to_owned()];
    let directory = directory("invalid");

    write(&recording, &directory).unwrap();
    let again = read(&directory).unwrap();

    assert_eq!(again.invalid, recording.invalid);
    assert_eq!(again.reasons(), recording.reasons());
}

#[test]
fn the_summary_has_the_fields_of_its_schema_in_order() {
    let json = Summary::of(&fixture::stormy(11)).to_json();
    let keys_in_order = |prefix: &str| -> Vec<String> {
        json.lines()
            .filter_map(|line| line.strip_prefix(prefix)?.strip_prefix('"'))
            .filter_map(|line| line.split_once("\":"))
            .map(|(key, _)| key.to_owned())
            .collect()
    };

    assert_eq!(
        keys_in_order("  "),
        [
            "schema",
            "scenario",
            "target",
            "commit",
            "seed",
            "command",
            "started",
            "started_unix_ms",
            "duration_s",
            "machine",
            "verdict",
            "generator",
            "target_cpu_s",
            "totals",
            "operations",
            "interval_s",
            "timeline",
            "heat_map",
            "thresholds",
            "chaos",
        ]
    );
    let summary: Value = serde_json::from_str(&json).unwrap();
    let keys = |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    let sorted = |mut names: Vec<&str>| -> Vec<String> {
        names.sort_unstable();
        names.into_iter().map(str::to_owned).collect()
    };
    let latencies = sorted(vec![
        "count", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms", "max_ms", "mean_ms",
    ]);
    assert_eq!(summary["schema"], "lyceum-load/2");
    assert_eq!(keys(&summary["verdict"]), sorted(vec!["result", "reasons"]));
    assert_eq!(
        keys(&summary["generator"]),
        sorted(vec![
            "count",
            "cpu_s",
            "lag_p50_ms",
            "lag_p99_ms",
            "lag_max_ms",
            "dropped"
        ])
    );
    for operation in [&summary["totals"], &summary["operations"][0]] {
        assert_eq!(
            keys(operation),
            sorted(vec![
                "name",
                "offered",
                "started",
                "completed",
                "dropped",
                "ok",
                "failed",
                "errors",
                "goodput_per_s",
                "latency_from_intended",
                "service_time",
                "failed_latency",
            ])
        );
        assert_eq!(keys(&operation["latency_from_intended"]), latencies);
    }
    assert_eq!(
        keys(&summary["timeline"][0]),
        sorted(vec![
            "t_s",
            "offered",
            "started",
            "completed",
            "dropped",
            "failed",
            "errors",
            "in_flight",
            "p50_ms",
            "p99_ms",
            "max_ms",
            "lag_max_ms",
        ])
    );
    assert_eq!(
        keys(&summary["chaos"][0]),
        sorted(vec![
            "name",
            "target",
            "at_s",
            "ended_s",
            "unavailable_ms",
            "unavailable_from_s"
        ])
    );
}

#[test]
fn counts_of_a_summary_agree_with_each_other() {
    let summary = Summary::of(&fixture::stormy(11));
    let sum = |figure: fn(&summary::Moment) -> u64| -> u64 { summary.timeline.iter().map(figure).sum() };

    assert_eq!(sum(|moment| moment.offered), summary.totals.offered);
    assert_eq!(sum(|moment| moment.completed), summary.totals.completed);
    assert_eq!(sum(|moment| moment.dropped), summary.totals.dropped);
    assert_eq!(sum(|moment| moment.failed), summary.totals.failed);
    assert_eq!(
        summary.totals.offered,
        summary.totals.started + summary.totals.dropped
    );
    let heat: u64 = summary
        .heat_map
        .counts
        .iter()
        .flat_map(|counts| counts.values())
        .sum();
    assert_eq!(heat, summary.totals.ok);
    assert_eq!(summary.timeline[summary.timeline.len() - 1].in_flight, 0);
}

#[test]
fn a_heat_map_holds_no_more_than_was_counted() {
    let summary = Summary::of(&fixture::stormy(11));

    let counts: Vec<u64> = summary
        .heat_map
        .counts
        .iter()
        .flat_map(|counts| counts.values().copied())
        .collect();
    let read = Summary::from_json(&summary.to_json()).unwrap();

    assert!(counts.iter().all(|count| *count > 0));
    assert_eq!(read.heat_map.counts, summary.heat_map.counts);
}

#[test]
fn another_schema_is_refused() {
    let json = Summary::of(&fixture::calm(1)).to_json();

    let refused = Summary::from_json(&json.replace("lyceum-load/2", "lyceum-load/9"));

    assert_eq!(
        refused.unwrap_err(),
        "the schema is `lyceum-load/9`, not `lyceum-load/2`"
    );
}
