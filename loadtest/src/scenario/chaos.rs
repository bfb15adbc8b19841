//! Chaos steps as a scenario writes them: what is done, to whom, when and for how long.

use std::time::Duration;

use super::reader::{ScenarioError, Table, Value};

/// A fault to inject.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Its name in reports and thresholds: the action's, unless the scenario gives one.
    pub name: String,
    /// When, since the start of the run.
    pub at: Duration,
    /// What is done.
    pub action: Action,
}

/// What a fault consists of.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Ends a process, and runs a command to start it again.
    Signal {
        /// Which process.
        target: Target,
        /// Whether it may clean up: SIGTERM, not SIGKILL.
        gently: bool,
        /// The command of the command line that starts it again, and how long after its end.
        restart: Option<(String, Duration)>,
    },
    /// Freezes a process for some time.
    Stop {
        /// Which process.
        target: Target,
        /// For how long.
        length: Duration,
    },
    /// Runs a command of the command line, and another one later.
    Command {
        /// What does the damage, such as a restart of Postgres.
        run: String,
        /// What repairs it, and when.
        undo: Option<(String, Duration)>,
    },
    /// Makes a proxy misbehave: a partition, a slow provider.
    Proxy {
        /// Which proxy of the command line.
        proxy: String,
        /// The faults, as a line for its control address.
        faults: String,
        /// For how long.
        length: Duration,
    },
}

/// The process that a step is aimed at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The process of this name.
    Process(String),
    /// Whichever process owns this entity when the step begins.
    OwnerOf {
        /// The kind of entity, such as `course`.
        kind: String,
        /// Its id; without one, the most popular course is meant.
        id: Option<String>,
    },
}

impl std::fmt::Display for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Process(name) => formatter.write_str(name),
            Target::OwnerOf { kind, id: Some(id) } => write!(formatter, "owner_of:{kind}:{id}"),
            Target::OwnerOf { kind, id: None } => write!(formatter, "owner_of:{kind}"),
        }
    }
}

impl Action {
    /// Names whom the step is aimed at.
    #[must_use]
    pub fn target(&self) -> String {
        match self {
            Action::Signal { target, .. } | Action::Stop { target, .. } => target.to_string(),
            Action::Command { run, .. } => run.clone(),
            Action::Proxy { proxy, .. } => proxy.clone(),
        }
    }

    fn length(&self) -> Duration {
        match self {
            Action::Signal { restart: undo, .. } | Action::Command { undo, .. } => {
                undo.as_ref().map_or(Duration::ZERO, |(_, after)| *after)
            }
            Action::Stop { length, .. } | Action::Proxy { length, .. } => *length,
        }
    }
}

/// Reads the steps, which must end within the run.
pub(super) fn steps(value: Option<Value>, total: Duration) -> Result<Vec<Fault>, ScenarioError> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let mut steps = value
        .list()?
        .into_iter()
        .map(|value| step(value.table()?, total))
        .collect::<Result<Vec<_>, _>>()?;
    steps.sort_by_key(|step| step.at);
    Ok(steps)
}

fn step(mut table: Table, total: Duration) -> Result<Fault, ScenarioError> {
    let at = table.required("at")?.duration()?;
    let what = table.required("do")?;
    let name = what.text()?;
    let action = match name {
        "sigkill" | "sigterm" => Action::Signal {
            target: target(&mut table)?,
            gently: name == "sigterm",
            restart: later(&mut table, "restart", "after")?,
        },
        "sigstop" => Action::Stop {
            target: target(&mut table)?,
            length: table.required("for")?.duration()?,
        },
        "command" => Action::Command {
            run: table.required("run")?.text()?.to_owned(),
            undo: later(&mut table, "undo", "for")?,
        },
        "proxy" => Action::Proxy {
            proxy: table.required("proxy")?.text()?.to_owned(),
            faults: faults(&table.required("faults")?)?,
            length: table.required("for")?.duration()?,
        },
        other => {
            return Err(what.fail(format!(
                "must be sigkill, sigterm, sigstop, command or proxy, and is {other:?}"
            )));
        }
    };
    let name = match table.optional("name") {
        Some(name) => name.text()?.to_owned(),
        None => name.to_owned(),
    };
    if at + action.length() > total {
        return Err(table.fail(format!("must end within the stages, which last {total:?}")));
    }
    table.finish()?;
    Ok(Fault { name, at, action })
}

fn target(table: &mut Table) -> Result<Target, ScenarioError> {
    let value = table.required("target")?;
    let text = value.text()?;
    match text.strip_prefix("owner_of:") {
        None => Ok(Target::Process(text.to_owned())),
        Some("course") => Ok(Target::OwnerOf {
            kind: "course".to_owned(),
            id: None,
        }),
        Some(entity) => match entity.split_once(':') {
            Some((kind, id)) => Ok(Target::OwnerOf {
                kind: kind.to_owned(),
                id: Some(id.to_owned()),
            }),
            None => {
                Err(value.fail("must be owner_of:<kind>:<id>, or owner_of:course for the most popular one"))
            }
        },
    }
}

/// Reads a command that follows, and after what time: at once if there is no time.
fn later(
    table: &mut Table,
    command: &'static str,
    after: &'static str,
) -> Result<Option<(String, Duration)>, ScenarioError> {
    let after = match table.optional(after) {
        Some(after) => after.duration()?,
        None => Duration::ZERO,
    };
    let command = table
        .optional(command)
        .map(|command| command.text())
        .transpose()?;
    Ok(command.map(|command| (command.to_owned(), after)))
}

/// Reads a line for the proxy's control address, passed on as it is: the proxy knows its own faults.
fn faults(value: &Value) -> Result<String, ScenarioError> {
    let text = value.text()?;
    if text.is_empty() || text.contains(['\n', '\r']) {
        return Err(value.fail("must be one line for the control address of the proxy"));
    }
    Ok(text.to_owned())
}
