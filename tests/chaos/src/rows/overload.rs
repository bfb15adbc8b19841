//! Row 9: three times the capacity is offered for a minute, and what is served stays near the capacity.
//!
//! Flow: `lyceum-load capacity` finds the highest rate C at which the objectives hold → the same mix at half of C, three times C and
//! half of C again, open loop → its summary is judged. The generator shares the machine, so C is what both can do together.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use super::Trial;
use crate::Failure;
use crate::judge;
use crate::site::{OPERATOR, OPERATOR_PASSWORD, Site};
use crate::verdict::{Check, Outcome};

const SEED: &str = "9";
/// The calm before and after, and the storm.
const CALM: u64 = 10;
const STORM: u64 = 60;
const AFTERWARDS: u64 = 20;
/// Goodput against capacity.
const GOODPUT_MIN: f64 = 0.8;
/// Twice the objectives: 500 ms for a purchase, 100 ms for the catalog.
const BUY_P99_MAX_MS: f64 = 1000.0;
const READ_P99_MAX_MS: f64 = 200.0;
/// After the storm, a second is normal when nothing fails and its latency meets the objective.
const NORMAL_AFTER_S: u64 = 5;
const NORMAL_P99_MS: f64 = 500.0;
/// A search of eight steps, or a run of a minute and a half, and what prepares them.
const LOAD_TIMEOUT: Duration = Duration::from_secs(300);
const MIX: &str = "
[journeys]
look = 30
browse = 20
recommend = 20
buy = 30

[keys]
zipf = 1.0

[users]
count = 200
";

/// Finds C and offers 3 C.
pub(super) async fn run(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    if !trial.place.load.exists() {
        let reason = format!("there is no load generator at {}", trial.place.load.display());
        return Ok(Outcome::Skipped(reason));
    }
    let (stores, site) = trial.site(&[]).await?;
    // Something to look at, and to buy.
    site.courses(300, 10).await?;
    let out = &trial.place.out;

    let scenario = out.join("overload-capacity.toml");
    let objectives = "about = \"The mix of the overload trial at one rate.\"\ntimeout = \"5s\"\nthresholds = [\"p99(buy) < 500ms\", \"p99(list) < 100ms\", \"errors < 1%\"]\n\n[arrival]\nkind = \"poisson\"\njourneys_max = 20_000\nstages = [{ for = \"8s\", rate = 100 }]\n";
    std::fs::write(&scenario, format!("{objectives}{MIX}"))?;
    let search = ["--from", "200", "--to", "20000", "--step", "8s", "--steps", "9"];
    load(trial, &site, "capacity", &scenario, &search).await?;
    let found = read(&out.join("overload-capacity-capacity.json"))?;
    let capacity = found["rate"]
        .as_f64()
        .filter(|rate| *rate > 0.0)
        .ok_or("no capacity was found")?;

    let scenario = out.join("overload-storm.toml");
    let calm = capacity / 2.0;
    let stages = format!(
        "about = \"Half of the capacity, three times the capacity, and half of it again.\"\ntimeout = \"5s\"\nthresholds = []\n\n[arrival]\nkind = \"poisson\"\njourneys_max = 50_000\nstages = [\n{{ for = \"{CALM}s\", rate = {calm:.0} }},\n{{ for = \"{STORM}s\", rate = {:.0} }},\n{{ for = \"{AFTERWARDS}s\", rate = {calm:.0} }},\n]\n",
        capacity * 3.0,
    );
    std::fs::write(&scenario, format!("{stages}{MIX}"))?;
    load(trial, &site, "run", &scenario, &[]).await?;
    let summary = read(&out.join(format!("overload-storm-{SEED}")).join("summary.json"))?;

    let mut checks = judged(&summary, capacity);
    checks.extend(judge::oracle(&site, &stores, None).await?);
    checks.push(Check::none("panics", site.panics()?));
    site.end().await?;
    Ok(Outcome::Tried(checks))
}

async fn load(
    trial: &Trial<'_>,
    site: &Site,
    command: &str,
    scenario: &Path,
    more: &[&str],
) -> Result<(), Failure> {
    let running = Command::new(&trial.place.load)
        .arg(command)
        .arg(scenario)
        .args(["--target", &format!("http://{}", site.address), "--seed", SEED])
        .arg("--out")
        .arg(&trial.place.out)
        .args(more)
        .env("LYCEUM_LOAD_OPERATOR", format!("{OPERATOR}:{OPERATOR_PASSWORD}"))
        .kill_on_drop(true)
        .output();
    let output = timeout(LOAD_TIMEOUT, running)
        .await
        .map_err(|_| format!("lyceum-load {command} took longer than {LOAD_TIMEOUT:?}"))?
        .map_err(|error| format!("{} cannot be started: {error}", trial.place.load.display()))?;
    // A broken threshold is a result; a run that the generator could not do is none.
    if output.status.success() || output.status.code() == Some(99) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "lyceum-load {command}: {}",
        said.lines().last().unwrap_or("it said nothing")
    )
    .into())
}

fn read(file: &Path) -> Result<Value, Failure> {
    let text = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

/// The figures of a summary, by its timeline and its operations.
fn judged(summary: &Value, capacity: f64) -> Vec<Check> {
    let timeline = summary["timeline"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let second = |moment: &Value| moment["t_s"].as_u64().unwrap_or(0);
    // The first seconds of the storm are those in which limits are found.
    let storm: Vec<&Value> = timeline
        .iter()
        .filter(|moment| (CALM..CALM + STORM).contains(&second(moment)))
        .collect();
    let served: f64 = storm
        .iter()
        .map(|moment| number(&moment["completed"]) - number(&moment["failed"]))
        .sum();
    let seconds = f64::from(u32::try_from(storm.len()).unwrap_or(1).max(1));
    let goodput = served / seconds;
    let offered: f64 = storm.iter().map(|moment| number(&moment["offered"])).sum::<f64>() / seconds;
    let normal =
        |moment: &Value| number(&moment["failed"]) == 0.0 && number(&moment["p99_ms"]) <= NORMAL_P99_MS;
    let after = timeline
        .iter()
        .filter(|moment| second(moment) >= CALM + STORM)
        .take_while(|moment| !normal(moment))
        .count();

    let mut checks = vec![
        Check::judged(
            format!("goodput with {offered:.0}/s offered, capacity {capacity:.0}/s"),
            format!("{goodput:.0}/s"),
            format!("≥ {:.0}/s", GOODPUT_MIN * capacity),
            goodput >= GOODPUT_MIN * capacity,
        ),
        accepted(summary, "buy", BUY_P99_MAX_MS),
        accepted(summary, "list", READ_P99_MAX_MS),
        Check::judged(
            "seconds until normal after the storm",
            after,
            format!("≤ {NORMAL_AFTER_S}"),
            u64::try_from(after).unwrap_or(u64::MAX) <= NORMAL_AFTER_S,
        ),
    ];
    let (buy, read) = (shed(summary, "buy"), shed(summary, "list"));
    let order = format!(
        "{:.0} % of purchases, {:.0} % of reads",
        buy * 100.0,
        read * 100.0
    );
    checks.push(Check::judged(
        "purchases are shed last",
        order,
        "purchases ≤ reads",
        buy <= read,
    ));
    checks
}

fn operation<'a>(summary: &'a Value, name: &str) -> &'a Value {
    let operations = summary["operations"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    operations
        .iter()
        .find(|operation| operation["name"] == name)
        .unwrap_or(&Value::Null)
}

fn accepted(summary: &Value, name: &str, limit: f64) -> Check {
    let p99 = operation(summary, name)["latency_from_intended"]["p99_ms"].as_f64();
    let figure = p99.map_or_else(|| "none accepted".to_owned(), |p99| format!("{p99:.0} ms"));
    let held = p99.is_some_and(|p99| p99 <= limit);
    Check::judged(
        format!("p99 of accepted `{name}`"),
        figure,
        format!("≤ {limit:.0} ms"),
        held,
    )
}

fn shed(summary: &Value, name: &str) -> f64 {
    let operation = operation(summary, name);
    number(&operation["failed"]) / number(&operation["completed"]).max(1.0)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_storm_that_is_served_well_holds() {
        let moment = |t: u64, completed: u64, failed: u64, p99: f64| json!({"t_s": t, "offered": 3000, "completed": completed, "failed": failed, "p99_ms": p99});
        let mut timeline: Vec<Value> = (10..70).map(|t| moment(t, 3000, 2100, 150.0)).collect();
        timeline.extend((70..90).map(|t| moment(t, 500, u64::from(t < 72), 20.0)));
        let operation = |name: &str, failed: u64| json!({"name": name, "completed": 100, "failed": failed, "latency_from_intended": {"p99_ms": 150.0}});
        let summary =
            json!({"timeline": timeline, "operations": [operation("buy", 10), operation("list", 60)]});

        let checks = judged(&summary, 1000.0);

        assert!(checks.iter().all(|check| check.held), "{checks:?}");
        assert_eq!(checks[0].figure, "900/s");
        assert_eq!(checks[3].figure, "2");
        assert!(!judged(&summary, 2000.0)[0].held);
    }
}
