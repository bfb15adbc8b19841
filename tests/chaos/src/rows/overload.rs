//! Row 9: three times the capacity is offered for a minute, and what is served stays near the capacity.
//!
//! Flow: `lyceum-load capacity` finds the highest rate C at which the objectives hold → the same mix at half of C, three times C and
//! half of C again, open loop → its summary is judged. Meanwhile a witness asks for what is shed first, and looks at each refusal.
//!
//! Server and stores have half of the cores and the generator the others: on cores that they share, C would be what both can do
//! together, and at three times C the generator would fall behind and offer less. Catalogue answers are ready-made and cost what their refusal
//! would, so they are served as long as the processor keeps up; recommendations, reads that wait and purchases compete. A part of the purchases goes
//! through the sandbox provider, which has the server's cores: what is served costs several times what its refusal does, as in life.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::Trial;
use crate::Failure;
use crate::api::{self, Call, Client};
use crate::judge;
use crate::pinning::Cores;
use crate::site::{OPERATOR, OPERATOR_PASSWORD, Place, Site};
use crate::stores::Stores;
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
/// After the storm, a second is normal when something is answered, nothing fails and its latency meets the objective.
const NORMAL_AFTER_S: u64 = 5;
/// Of the seconds after that, so many may be otherwise: a checkpoint, or the end of the run within its last second.
const RELAPSES_MAX: usize = 1;
const NORMAL_P99_MS: f64 = 500.0;
/// A search of ten steps, or a run of a minute and a half, and what prepares them.
const LOAD_TIMEOUT: Duration = Duration::from_secs(400);
/// Between two looks of the witness.
const LOOK: Duration = Duration::from_millis(20);
/// Everybody owns few of so many, as in life.
const COURSES: usize = 600;
const MIX: &str = "
[journeys]
look = 7
browse = 5
recommend = 20
buy = 60
buy_sandbox = 8

[keys]
zipf = 1.0

[users]
count = 1000
";

/// Tries it where it can be tried.
pub(super) async fn run(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    if !trial.place.load.exists() {
        let reason = format!("there is no load generator at {}", trial.place.load.display());
        return Ok(Outcome::Skipped(reason));
    }
    let (measured, measuring) = match Cores::divided().await {
        Ok(halves) => halves,
        Err(reason) => return Ok(Outcome::Skipped(reason)),
    };
    let stores = trial.stores().await?;
    let tried = weather(trial, &stores, &measured, &measuring).await;
    // Whoever comes next has all cores again, however this ended.
    stores.stop().await?;
    tried.map(Outcome::Tried)
}

/// Holds stores, provider and server on their cores, finds C and offers 3 C from the others.
async fn weather(
    trial: &Trial<'_>,
    stores: &Stores,
    measured: &Cores,
    measuring: &Cores,
) -> Result<Vec<Check>, Failure> {
    let place = Place {
        cores: Some(measured.clone()),
        ..trial.place.clone()
    };
    stores.hold(measured).await?;
    // Thousands of users are made before the storm, and hashing their passwords is not what is tried.
    let cheap = [
        ("accounts.argon2_memory_kib", "1024".to_owned()),
        ("accounts.argon2_passes", "1".to_owned()),
    ];
    let site = Site::start(&place, stores, &cheap).await?;
    // Something to look at, and to buy.
    site.courses(COURSES, 10).await?;
    let storm = Storm {
        place: &place,
        site: &site,
        cores: measuring,
    };

    let search = ["--from", "1000", "--to", "32000", "--step", "8s", "--steps", "10"];
    let objectives = r#"["p99(buy) < 500ms", "p99(list) < 100ms", "errors < 1%"]"#;
    let scenario = storm.scenario("overload-capacity", objectives, r#"{ for = "8s", rate = 1000 }"#)?;
    storm.load("capacity", &scenario, &search).await?;
    let found = read(&place.out.join("overload-capacity-capacity.json"))?;
    let capacity = Capacity::of(&found).ok_or("no capacity was found")?;

    let calm = capacity.starts / 2.0;
    let stages = format!(
        r#"{{ for = "{CALM}s", rate = {calm:.0} }}, {{ for = "{STORM}s", rate = {:.0} }}, {{ for = "{AFTERWARDS}s", rate = {calm:.0} }}"#,
        capacity.starts * 3.0,
    );
    let scenario = storm.scenario("overload-storm", "[]", &stages)?;
    let mut witness = Witness::default();
    let looker = api::register(site.address).await?;
    tokio::select! {
        done = storm.load("run", &scenario, &[]) => done?,
        never = witness.watch(Client::with_token(site.address, &looker.token)) => match never {},
    }
    let summary = read(
        &place
            .out
            .join(format!("overload-storm-{SEED}"))
            .join("summary.json"),
    )?;

    let mut checks = judged(&summary, &capacity);
    checks.extend(witness.judged());
    checks.extend(judge::oracle(&site, stores, None).await?);
    checks.push(Check::none("panics", site.panics()?));
    site.end().await?;
    Ok(checks)
}

/// The generator and whom it loads.
struct Storm<'a> {
    place: &'a Place,
    site: &'a Site,
    cores: &'a Cores,
}

impl Storm<'_> {
    fn scenario(&self, name: &str, thresholds: &str, stages: &str) -> Result<std::path::PathBuf, Failure> {
        let file = self.place.out.join(format!("{name}.toml"));
        let text = format!(
            "about = \"The mix of the overload trial.\"\ntimeout = \"5s\"\nthresholds = {thresholds}\n\n\
             [arrival]\nkind = \"poisson\"\njourneys_max = 50_000\nconnections_max = 1_000\nstages = [{stages}]\n{MIX}"
        );
        std::fs::write(&file, text)?;
        Ok(file)
    }

    async fn load(&self, command: &str, scenario: &Path, more: &[&str]) -> Result<(), Failure> {
        let (program, pinned) = self.cores.command(&self.place.load);
        // What else the machine does must not make it late; whoever may not do this runs as before.
        let running = Command::new("nice")
            .args(["-n", "-19"])
            .arg(&program)
            .args(pinned)
            .arg(command)
            .arg(scenario)
            .args([
                "--target",
                &format!("http://{}", self.site.address),
                "--seed",
                SEED,
            ])
            .arg("--out")
            .arg(&self.place.out)
            .args(more)
            .env("LYCEUM_LOAD_OPERATOR", format!("{OPERATOR}:{OPERATOR_PASSWORD}"))
            .kill_on_drop(true)
            .output();
        let output = timeout(LOAD_TIMEOUT, running)
            .await
            .map_err(|_| format!("lyceum-load {command} took longer than {LOAD_TIMEOUT:?}"))?
            .map_err(|error| format!("{} cannot be started: {error}", program.display()))?;
        std::fs::write(
            self.place.out.join(format!("overload-{command}.log")),
            &output.stderr,
        )?;
        // A broken threshold is a result; a run that the generator could not do is none.
        if output.status.success() || output.status.code() == Some(99) {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or("it said nothing");
        Err(format!("lyceum-load {command} ended with {}: {last}", output.status).into())
    }
}

/// What the search found.
#[derive(Clone, Copy, Debug)]
struct Capacity {
    /// Journeys begun a second.
    starts: f64,
    /// Requests answered well a second, of which a journey may need several.
    goodput: f64,
    /// Whether the generator gave up first, so that the target may bear more.
    limited_by_generator: bool,
}

impl Capacity {
    fn of(found: &Value) -> Option<Self> {
        let starts = found["rate"].as_f64().filter(|rate| *rate > 0.0)?;
        let steps = found["steps"].as_array()?;
        let best = steps
            .iter()
            .find(|step| step["rate"].as_f64() == Some(starts) && step["verdict"] == "pass")?;
        let goodput = best["goodput"].as_f64()?;
        Some(Capacity {
            starts,
            goodput,
            limited_by_generator: found["limited_by_generator"] == true,
        })
    }
}

/// Somebody who asks for what is shed first, now and then, and looks at each answer.
#[derive(Debug, Default)]
struct Witness {
    refused: usize,
    /// Refusals that do not say when to come back.
    bare: usize,
    /// Answers that are neither.
    strange: usize,
}

impl Witness {
    async fn watch(&mut self, mut client: Client) -> std::convert::Infallible {
        let call = Call {
            method: "GET",
            path: "/v1/me/recommendations",
            key: None,
            body: None,
        };
        loop {
            match client.call(&call).await {
                Ok(answer) if answer.status == 200 => {}
                Ok(answer) if matches!(answer.status, 429 | 503) => {
                    self.refused += 1;
                    let says_when = answer
                        .header("retry-after")
                        .is_some_and(|value| value.parse::<u32>().is_ok());
                    self.bare += usize::from(!says_when);
                }
                Ok(_) | Err(_) => self.strange += 1,
            }
            sleep(LOOK).await;
        }
    }

    fn judged(&self) -> [Check; 3] {
        [
            Check::at_least("refusals that a witness met", self.refused, 1),
            Check::none("of them without Retry-After", self.bare),
            Check::none("other answers to the witness", self.strange),
        ]
    }
}

fn read(file: &Path) -> Result<Value, Failure> {
    let text = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

/// The figures of a summary, by its timeline and its operations.
fn judged(summary: &Value, capacity: &Capacity) -> Vec<Check> {
    let moments = list(&summary["timeline"]);
    let second = |moment: &Value| moment["t_s"].as_u64().unwrap_or(0);
    // The first seconds count too, in which limits are found.
    let storm: Vec<&Value> = moments
        .iter()
        .filter(|moment| (CALM..CALM + STORM).contains(&second(moment)))
        .collect();
    let seconds = f64::from(u32::try_from(storm.len()).unwrap_or(1).max(1));
    let mean = |field: &str| storm.iter().map(|moment| number(&moment[field])).sum::<f64>() / seconds;
    let goodput = mean("completed") - mean("failed");
    let normal_after = normal_after(moments);

    let (buy, recommend) = (shed(summary, "buy"), shed(summary, "recommend"));
    vec![
        Check::judged(
            "who set the capacity",
            if capacity.limited_by_generator {
                "generator"
            } else {
                "target"
            },
            "target",
            !capacity.limited_by_generator,
        ),
        Check::judged(
            format!(
                "goodput with {:.0}/s offered, {:.0}/s at capacity",
                mean("offered"),
                capacity.goodput
            ),
            format!("{goodput:.0}/s"),
            format!("≥ {:.0}/s", GOODPUT_MIN * capacity.goodput),
            goodput >= GOODPUT_MIN * capacity.goodput,
        ),
        accepted(summary, "buy", BUY_P99_MAX_MS),
        accepted(summary, "list", READ_P99_MAX_MS),
        Check::judged(
            "seconds until normal after the storm",
            normal_after.map_or_else(|| "never".to_owned(), |after| after.to_string()),
            format!("≤ {NORMAL_AFTER_S}"),
            normal_after.is_some_and(|after| after <= NORMAL_AFTER_S),
        ),
        Check::judged(
            "purchases are shed last",
            format!("{:.0} % < {:.0} %", buy * 100.0, recommend * 100.0),
            "purchases ≤ recommendations",
            buy <= recommend,
        ),
        Check::none("requests that failed otherwise than refused", otherwise(summary)),
    ]
}

/// Seconds after the storm until everything is normal and stays so.
fn normal_after(moments: &[Value]) -> Option<u64> {
    let normal = |second: u64| {
        let mut moments = moments.iter();
        // A second that is not told of is one in which nothing was answered.
        let moment = moments.find(|moment| moment["t_s"].as_u64() == Some(second));
        moment.is_some_and(|moment| {
            number(&moment["completed"]) > 0.0
                && number(&moment["failed"]) == 0.0
                && moment["p99_ms"].as_f64().is_some_and(|p99| p99 <= NORMAL_P99_MS)
        })
    };
    let calm = CALM + STORM..CALM + STORM + AFTERWARDS;
    let lasting = |from: &u64| (*from..calm.end).filter(|second| !normal(*second)).count() <= RELAPSES_MAX;
    let from = calm.clone().filter(|second| normal(*second)).find(lasting)?;
    Some(from - calm.start)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn operation<'a>(summary: &'a Value, name: &str) -> &'a Value {
    list(&summary["operations"])
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

/// Whatever ended in anything but 429 and 503: timeouts, broken connections, faults.
fn otherwise(summary: &Value) -> usize {
    let errors = summary["totals"]["errors"].as_object().into_iter().flatten();
    let others = errors.filter(|(kind, _)| !matches!(kind.as_str(), "status_429" | "status_503"));
    others
        .filter_map(|(_, count)| count.as_u64().and_then(|count| usize::try_from(count).ok()))
        .sum()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn summary() -> Value {
        let moment = |t: u64, completed: u64, failed: u64, p99: f64| json!({"t_s": t, "offered": 3000, "completed": completed, "failed": failed, "p99_ms": p99});
        let mut timeline: Vec<Value> = (10..70).map(|t| moment(t, 3000, 2100, 150.0)).collect();
        timeline.extend((70..90).map(|t| moment(t, 500, u64::from(t < 72), 20.0)));
        let operation = |name: &str, failed: u64| json!({"name": name, "completed": 100, "failed": failed, "latency_from_intended": {"p99_ms": 150.0}});
        json!({
            "timeline": timeline,
            "operations": [operation("buy", 10), operation("list", 0), operation("recommend", 60)],
            "totals": {"errors": {"status_503": 70}},
        })
    }

    /// The seconds after the storm as they are told from one on; before it, they are normal.
    fn afterwards(from: u64, told: impl Fn(u64) -> Value) -> Vec<Value> {
        let normal = json!({"completed": 500, "failed": 0, "p99_ms": 20.0});
        let moment = |second: u64| {
            let mut moment = if second < from {
                normal.clone()
            } else {
                told(second)
            };
            moment["t_s"] = (CALM + STORM + second).into();
            moment
        };
        (0..AFTERWARDS).map(moment).collect()
    }

    fn capacity(goodput: f64) -> Capacity {
        Capacity {
            starts: 1000.0,
            goodput,
            limited_by_generator: false,
        }
    }

    #[test]
    fn a_storm_that_is_served_well_holds() {
        let checks = judged(&summary(), &capacity(1000.0));

        assert!(checks.iter().all(|check| check.held), "{checks:?}");
        assert_eq!(checks[1].figure, "900/s");
        assert_eq!(checks[4].figure, "2");
        assert!(!judged(&summary(), &capacity(2000.0))[1].held);
    }

    #[test]
    fn a_timeout_among_refusals_and_a_storm_without_an_end_are_seen() {
        let mut summary = summary();
        summary["totals"]["errors"]["timeout"] = 1.into();
        summary["timeline"] = json!([]);

        let checks = judged(&summary, &capacity(1000.0));

        assert_eq!(checks[6].figure, "1");
        assert!(!checks[6].held);
        assert_eq!(checks[4].figure, "never");
        assert!(!checks[4].held);
    }

    #[test]
    fn a_second_without_an_answer_is_not_normal() {
        let silent = json!({"completed": 0, "failed": 0, "p99_ms": null});

        let mut dead = afterwards(2, |_| silent.clone());
        assert_eq!(normal_after(&dead), None);
        dead.truncate(2);
        assert_eq!(normal_after(&dead), None);
        let slow = json!({"completed": 500, "failed": 0, "p99_ms": 501.0});
        assert_eq!(normal_after(&afterwards(0, |_| slow.clone())), None);
    }

    #[test]
    fn normal_is_what_lasts_but_for_one_second() {
        let bad = json!({"completed": 500, "failed": 3, "p99_ms": 20.0});
        let good = json!({"completed": 500, "failed": 0, "p99_ms": 20.0});
        let bad_at = |seconds: &'static [u64]| {
            let moment = |second| {
                if seconds.contains(&second) {
                    bad.clone()
                } else {
                    good.clone()
                }
            };
            normal_after(&afterwards(0, moment))
        };

        assert_eq!(bad_at(&[]), Some(0));
        assert_eq!(bad_at(&[7]), Some(0));
        assert_eq!(bad_at(&[7, 9]), Some(8));
        assert_eq!(bad_at(&[0, 1, 19]), Some(2));
        assert_eq!(bad_at(&[17, 18, 19]), None);
    }

    #[test]
    fn the_capacity_is_the_best_step_that_passed() {
        let step = |rate: f64, verdict: &str, goodput: f64| json!({"rate": rate, "verdict": verdict, "goodput": goodput});
        let found = json!({"rate": 2000.0, "steps": [step(1000.0, "pass", 1050.0), step(2000.0, "pass", 2090.0), step(4000.0, "thresholds", 2500.0)]});

        let capacity = Capacity::of(&found).unwrap();

        assert_eq!((capacity.starts, capacity.goodput), (2000.0, 2090.0));
        assert!(Capacity::of(&json!({"rate": 0.0, "steps": []})).is_none());
    }
}
