//! What a run does: when journeys start, which ones, on which keys, what they must achieve and which faults are injected.
//!
//! A scenario is a TOML file. It is read strictly: an unknown key, a value of the wrong type and a threshold about an
//! operation that no journey performs are refused with file, line and key. What depends on the machine (the target's
//! address, processes, commands, proxies) is not part of it: those come from the command line, so that a scenario never
//! signals a process or runs a command that was not named by whoever started it.
//!
//! ```toml
//! about = "What it shows, in a sentence."
//! drain = "10s"                     # how long answers are waited for after the last start
//! timeout = "10s"                   # deadline of a request
//! thresholds = ["p99(list) < 100ms", "errors < 0.1%"]
//!
//! [arrival]
//! kind = "poisson"                  # or "constant"
//! journeys_max = 5000               # under way at once; beyond it a start is dropped
//! connections_max = 1000            # beyond it requests wait for one, which is part of their latency
//! stages = [{ for = "10s", from = 0, to = 100 }, { for = "50s", rate = 100 }]
//! spikes = [{ at = "30s", for = "5s", add = 300 }]
//!
//! [journeys]                        # weights
//! browse = 70
//! buy = 30
//!
//! [keys]
//! zipf = 1.0                        # exponent of the popularity of courses; 0 makes all alike
//!
//! [think]                           # pause between two steps of a journey
//! min = "500ms"
//! max = "2s"
//!
//! [users]
//! count = 50                        # prepared before the run
//!
//! [canary]                          # measures unavailability; on whenever there are chaos steps
//! interval = "20ms"
//! write = true
//!
//! [[chaos]]
//! at = "30s"
//! do = "sigstop"                    # sigkill, sigterm, sigstop, command, proxy
//! target = "server"                 # a process of the command line, or owner_of:<kind>:<id>
//! for = "2s"
//! ```

mod chaos;
mod reader;
mod threshold;

use std::path::Path;
use std::time::Duration;

pub use chaos::{Action, Fault, Target};
pub use reader::ScenarioError;
pub(crate) use reader::duration;
pub use threshold::Rule;

use crate::arrival::{Kind, Profile, Spike, Stage};
use crate::journey::Journey;
use reader::{Document, Table, Value};

/// Beyond this a stage is taken for a slip of the pen.
const STAGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
const JOURNEYS_MAX: u64 = 1_000_000;
const USERS_MAX: u64 = 10_000;

/// A scenario that makes sense.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file's name without its ending.
    pub name: String,
    /// What it shows, in a sentence.
    pub about: String,
    /// How long answers are waited for after the last start.
    pub drain: Duration,
    /// Deadline of one request.
    pub timeout: Duration,
    /// How starts are spaced.
    pub kind: Kind,
    /// How many starts there are when.
    pub profile: Profile,
    /// Journeys under way at once; a start beyond it is dropped.
    pub journeys_max: usize,
    /// Connections at once; a request beyond it waits for one.
    pub connections_max: usize,
    /// The journeys and their weights.
    pub mix: Vec<(Journey, f64)>,
    /// Exponent of the popularity of courses.
    pub zipf: f64,
    /// Pause between two steps of a journey.
    pub think: Think,
    /// Users prepared before the run, at least.
    pub users: usize,
    /// What the run must achieve.
    pub thresholds: Vec<Rule>,
    /// How availability is watched.
    pub canary: Option<Canary>,
    /// The faults, in the order of their beginning.
    pub chaos: Vec<Fault>,
}

/// A pause of random length, evenly distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Think {
    /// The shortest.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
}

/// Small requests in short order that tell when the target is not available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canary {
    /// Between two of them.
    pub interval: Duration,
    /// Whether a small write is tried beside the read.
    pub write: bool,
}

impl Default for Canary {
    fn default() -> Self {
        Canary {
            interval: Duration::from_millis(20),
            write: true,
        }
    }
}

impl Scenario {
    /// Reads a scenario's text; `file` is its name for messages.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line and key.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        let document = Document::new(file, text);
        let parsed = document.parse()?;
        let mut root = document.root(&parsed);

        let about = root.required("about")?.text()?.to_owned();
        let drain = span(root.optional("drain"), Duration::from_secs(10))?;
        let timeout = span(root.optional("timeout"), Duration::from_secs(10))?;
        let (kind, profile, [journeys_max, connections_max]) = arrival(root.required("arrival")?.table()?)?;
        let mix = mix(root.required("journeys")?.table()?)?;
        let zipf = keys(root.optional("keys"))?;
        let think = think(root.optional("think"))?;
        let users = users(root.optional("users"))?;
        let chaos = chaos::steps(root.optional("chaos"), profile.length())?;
        let canary = canary(root.optional("canary"))?.or((!chaos.is_empty()).then(Canary::default));
        let thresholds = thresholds(root.optional("thresholds"), &mix, &chaos)?;
        root.finish()?;

        Ok(Scenario {
            name: Path::new(file)
                .file_stem()
                .map_or_else(|| file.to_owned(), |stem| stem.to_string_lossy().into_owned()),
            about,
            drain,
            timeout,
            kind,
            profile,
            journeys_max,
            connections_max,
            mix,
            zipf,
            think,
            users,
            thresholds,
            canary,
            chaos,
        })
    }
}

fn span(value: Option<Value>, default: Duration) -> Result<Duration, ScenarioError> {
    value.map_or(Ok(default), |value| value.duration())
}

/// Reads when journeys start, and how many journeys and connections there may be.
fn arrival(mut table: Table) -> Result<(Kind, Profile, [usize; 2]), ScenarioError> {
    let kind = table.required("kind")?;
    let kind = match kind.text()? {
        "poisson" => Kind::Poisson,
        "constant" => Kind::Constant,
        other => return Err(kind.fail(format!("must be poisson or constant, and is {other:?}"))),
    };
    let stages_value = table.required("stages")?;
    let none = stages_value.fail("must have a stage");
    let stages = stages_value
        .list()?
        .into_iter()
        .map(stage)
        .collect::<Result<Vec<_>, _>>()?;
    let length: Duration = stages.iter().map(|stage| stage.length).sum();
    let spikes = match table.optional("spikes") {
        None => Vec::new(),
        Some(spikes) => spikes
            .list()?
            .into_iter()
            .map(|value| spike(value, length))
            .collect::<Result<Vec<_>, _>>()?,
    };
    let journeys_max = bound(table.optional("journeys_max"), 10_000)?;
    let connections_max = bound(table.optional("connections_max"), 1_000)?;
    table.finish()?;
    if stages.is_empty() {
        return Err(none);
    }
    Ok((
        kind,
        Profile::new(&stages, &spikes),
        [journeys_max, connections_max],
    ))
}

fn bound(value: Option<Value>, default: usize) -> Result<usize, ScenarioError> {
    match value {
        None => Ok(default),
        Some(value) => {
            let number = value.whole(1..JOURNEYS_MAX + 1)?;
            Ok(usize::try_from(number).expect("a million fits"))
        }
    }
}

fn stage(value: Value) -> Result<Stage, ScenarioError> {
    let mut table = value.table()?;
    let length = table.required("for")?;
    let too_long = length.fail("must be longer than nothing and at most a day");
    let length = length.duration()?;
    if length.is_zero() || length > STAGE_MAX {
        return Err(too_long);
    }
    let rate = table.optional("rate").map(|rate| rate.number()).transpose()?;
    let from = table.optional("from").map(|from| from.number()).transpose()?;
    let to = table.optional("to").map(|to| to.number()).transpose()?;
    table.finish()?;
    let (from, to) = match (rate, from, to) {
        (Some(rate), None, None) => (rate, rate),
        (None, Some(from), Some(to)) => (from, to),
        _ => return Err(table.fail("must have either rate, or both from and to")),
    };
    Ok(Stage { length, from, to })
}

fn spike(value: Value, total: Duration) -> Result<Spike, ScenarioError> {
    let mut table = value.table()?;
    let at = table.required("at")?.duration()?;
    let length = table.required("for")?.duration()?;
    let add = table.required("add")?.number()?;
    if at + length > total {
        return Err(table.fail(format!("must end within the stages, which last {total:?}")));
    }
    table.finish()?;
    Ok(Spike { at, length, add })
}

fn mix(table: Table) -> Result<Vec<(Journey, f64)>, ScenarioError> {
    let none = table.fail("must give a journey a weight above 0");
    let mut mix = Vec::new();
    for (name, value) in table.all() {
        let Some(journey) = Journey::named(&name) else {
            let names: Vec<_> = Journey::ALL.iter().map(|journey| journey.name()).collect();
            return Err(value.fail(format!("is no journey: there are {}", names.join(", "))));
        };
        let weight = value.number()?;
        if weight > 0.0 {
            mix.push((journey, weight));
        }
    }
    if mix.is_empty() { Err(none) } else { Ok(mix) }
}

fn keys(value: Option<Value>) -> Result<f64, ScenarioError> {
    let Some(value) = value else { return Ok(1.0) };
    let mut table = value.table()?;
    let zipf = table.required("zipf")?.number()?;
    table.finish()?;
    Ok(zipf)
}

fn think(value: Option<Value>) -> Result<Think, ScenarioError> {
    let Some(value) = value else {
        return Ok(Think {
            min: Duration::ZERO,
            max: Duration::ZERO,
        });
    };
    let mut table = value.table()?;
    let min = table.required("min")?.duration()?;
    let max = table.required("max")?.duration()?;
    if min > max {
        return Err(table.fail("must have a min that is not above its max"));
    }
    table.finish()?;
    Ok(Think { min, max })
}

fn users(value: Option<Value>) -> Result<usize, ScenarioError> {
    let Some(value) = value else { return Ok(20) };
    let mut table = value.table()?;
    let count = table.required("count")?.whole(1..USERS_MAX + 1)?;
    table.finish()?;
    Ok(usize::try_from(count).expect("ten thousand fit"))
}

fn canary(value: Option<Value>) -> Result<Option<Canary>, ScenarioError> {
    let Some(value) = value else { return Ok(None) };
    let mut table = value.table()?;
    let mut canary = Canary::default();
    if let Some(interval) = table.optional("interval") {
        let too_short = interval.fail("must be at least 1ms");
        canary.interval = interval.duration()?;
        if canary.interval < Duration::from_millis(1) {
            return Err(too_short);
        }
    }
    if let Some(write) = table.optional("write") {
        canary.write = write.flag()?;
    }
    table.finish()?;
    Ok(Some(canary))
}

fn thresholds(
    value: Option<Value>,
    mix: &[(Journey, f64)],
    chaos: &[Fault],
) -> Result<Vec<Rule>, ScenarioError> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let performed: Vec<_> = mix
        .iter()
        .flat_map(|(journey, _)| journey.operations())
        .map(|operation| operation.name())
        .collect();
    let mut rules = Vec::new();
    for value in value.list()? {
        let rule = Rule::parse(value.text()?).map_err(|problem| value.fail(problem))?;
        if let Some(operation) = rule.operation().filter(|name| !performed.contains(name)) {
            let mut names = performed;
            names.sort_unstable();
            names.dedup();
            return Err(value.fail(format!(
                "is about {operation:?}, which no journey performs: they perform {}",
                names.join(", ")
            )));
        }
        if let Some(name) = rule.chaos()
            && !chaos.iter().any(|step| step.name == name)
        {
            return Err(value.fail(format!("is about {name:?}, and no chaos step has that name")));
        }
        rules.push(rule);
    }
    Ok(rules)
}

#[cfg(test)]
mod tests;
