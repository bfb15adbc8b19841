//! What a running node counts: all that is promised, nothing else, and little enough.

use std::collections::{BTreeMap, BTreeSet};

use lyceum::telemetry;
use lyceum_runtime::metrics::{About, Type, Values};

use crate::harness::{Site, until};

/// One line of a scrape: a name, its labels, and a value that is perhaps followed by an exemplar.
struct Sample<'a> {
    name: &'a str,
    labels: BTreeMap<&'a str, &'a str>,
    rest: &'a str,
}

fn samples(text: &str) -> Vec<Sample<'_>> {
    let sample = |line| {
        let line: &str = line;
        let (series, rest) = match line.split_once("} ") {
            Some(parts) => parts,
            None => line.split_once(' ').unwrap(),
        };
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels
            .split("\",")
            .filter(|label| !label.is_empty())
            .map(|label| {
                let (name, value) = label.split_once("=\"").unwrap();
                (name, value.trim_end_matches('"'))
            });
        Sample {
            name,
            labels: labels.collect(),
            rest,
        }
    };
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(sample)
        .collect()
}

/// The metric that a sample belongs to.
fn family<'a>(families: &BTreeMap<&str, (&'a About, Type)>, sample: &Sample<'_>) -> (&'a About, Type) {
    let base = ["_bucket", "_sum", "_count"].iter().find_map(|ending| {
        sample
            .name
            .strip_suffix(ending)
            .filter(|base| families.contains_key(base))
    });
    let found = families.get(base.unwrap_or(sample.name));
    *found.unwrap_or_else(|| panic!("{} is not in the catalogue", sample.name))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_counts_what_the_catalogue_says_and_nothing_else() {
    let site = Site::start().await;
    let user = site.user_with(10_000).await;
    let course = site.course(100).await;
    user.buy(&[&course]).await.expect(201);
    user.get("/v1/me/recommendations").await.expect(200);
    let families: BTreeMap<&str, (&About, Type)> = telemetry::areas()
        .flat_map(|area| area.families)
        .map(|family| (family.about().name, (family.about(), family.kind())))
        .collect();

    let text = until("every metric has a series", async || {
        let scrape = site.client().get("/metrics").await.expect(200);
        let text = String::from_utf8(scrape.body.to_vec()).unwrap();
        let seen: BTreeSet<&str> = samples(&text)
            .iter()
            .map(|sample| family(&families, sample).0.name)
            .collect();
        families.keys().all(|name| seen.contains(name)).then_some(text)
    })
    .await;

    let samples = samples(&text);
    assert!(samples.len() < 5_000, "{} series", samples.len());
    for sample in &samples {
        let (about, kind) = family(&families, sample);
        let mut declared: BTreeSet<&str> = about.labels.iter().map(|label| label.name).collect();
        if kind == Type::Histogram && sample.name.ends_with("_bucket") {
            declared.insert("le");
        }
        let used: BTreeSet<&str> = sample.labels.keys().copied().collect();
        assert_eq!(used, declared, "labels of {}", sample.name);
        for label in about.labels {
            if let Values::Of(values) = label.values {
                let value = sample.labels[label.name];
                assert!(
                    values.contains(&value),
                    "{}: {} = {value}",
                    sample.name,
                    label.name
                );
            }
        }
        sample.rest.parse::<f64>().unwrap();
    }
    let bought = samples.iter().find(|sample| {
        sample.name == "http_server_requests_total"
            && sample.labels["route"] == "/v1/orders"
            && sample.labels["method"] == "POST"
            && sample.labels["code_class"] == "2xx"
    });
    assert!(bought.unwrap().rest.parse::<f64>().unwrap() >= 1.0);
    for secret in [&user.id, &course, &user.username] {
        assert!(!text.contains(secret.as_str()), "labels are bounded: {secret}");
    }
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openmetrics_is_given_to_whoever_accepts_it() {
    let site = Site::start().await;

    let scrape = site
        .client()
        .call("GET", "/metrics")
        .header(
            "accept",
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
        )
        .send()
        .await
        .expect(200);

    assert_eq!(
        scrape.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    let text = String::from_utf8(scrape.body.to_vec()).unwrap();
    assert!(text.ends_with("\n# EOF\n"));
    assert!(text.contains("# TYPE process_cpu_seconds counter\n# UNIT process_cpu_seconds seconds\n"));
    assert!(text.contains("\nprocess_cpu_seconds_total "));
    site.finish().await;
}
