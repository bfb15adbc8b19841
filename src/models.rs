//! `lyceum recommend train|status|rollback`: asks a node, like any operator, about the recommender's models.

use std::error::Error;
use std::fmt::Write;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::status::{OperatorArgs, pretty};

const MODELS: &str = "/admin/v1/recommendation-models";

/// The part of a node's answer that the table needs.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct View {
    serving: u64,
    wanted: bool,
    pinned: bool,
    training: bool,
    models: Vec<Model>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Model {
    version: u64,
    made_at: String,
    made_by: String,
    state: String,
    courses: u64,
    learners: u64,
    events: u64,
    bytes: u64,
}

/// Why something is to be done, or only looked at.
pub(crate) struct Order<'a> {
    pub(crate) reason: &'a str,
    pub(crate) dry_run: bool,
}

impl Order<'_> {
    fn body(&self) -> Value {
        json!({"reason": self.reason, "dry_run": self.dry_run})
    }
}

/// The kept versions, as a table or as JSON.
pub(crate) async fn status(args: &OperatorArgs, json: bool) -> Result<String, Box<dyn Error + Send + Sync>> {
    let answer = args.ask(MODELS, None).await?;
    if json {
        return Ok(pretty(&answer)?);
    }
    Ok(table(&serde_json::from_value(answer)?))
}

/// Asks for a training, and tells what was accepted.
pub(crate) async fn train(
    args: &OperatorArgs,
    order: &Order<'_>,
) -> Result<String, Box<dyn Error + Send + Sync>> {
    let path = format!("{MODELS}/train");
    Ok(pretty(&args.ask(&path, Some(&order.body())).await?)?)
}

/// Has a kept version served again: `to`, or the newest that is older than the active one.
pub(crate) async fn rollback(
    args: &OperatorArgs,
    to: Option<u64>,
    order: &Order<'_>,
) -> Result<String, Box<dyn Error + Send + Sync>> {
    let version = match to {
        Some(version) => version,
        None => {
            let view: View = serde_json::from_value(args.ask(MODELS, None).await?)?;
            previous(&view).ok_or("there is no older version to go back to")?
        }
    };
    let path = format!("{MODELS}/{version}/activate");
    Ok(pretty(&args.ask(&path, Some(&order.body())).await?)?)
}

/// The newest version that is older than the active one.
fn previous(view: &View) -> Option<u64> {
    let active = view.models.iter().find(|model| model.state == "active")?.version;
    let older = view
        .models
        .iter()
        .map(|model| model.version)
        .filter(|version| *version < active);
    older.max()
}

fn table(view: &View) -> String {
    let mut text = format!("serving {}", view.serving);
    for (told, sentence) in [
        (view.pinned, "chosen by an operator until a training is asked for"),
        (view.wanted, "a training is asked for"),
        (view.training, "a node trains"),
    ] {
        if told {
            text.push_str("; ");
            text.push_str(sentence);
        }
    }
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "\n{:<15} {:<8} {:<24} {:<12} {:>8} {:>9} {:>10} {:>12}",
        "VERSION", "STATE", "MADE AT", "BY", "COURSES", "LEARNERS", "EVENTS", "BYTES"
    );
    for model in &view.models {
        let _ = writeln!(
            text,
            "{:<15} {:<8} {:<24} {:<12} {:>8} {:>9} {:>10} {:>12}",
            model.version,
            model.state,
            model.made_at,
            model.made_by,
            model.courses,
            model.learners,
            model.events,
            model.bytes
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(versions: &[(u64, &str)]) -> View {
        let models = versions.iter().map(|(version, state)| Model {
            version: *version,
            state: (*state).to_owned(),
            ..Model::default()
        });
        View {
            serving: 3,
            pinned: true,
            models: models.collect(),
            ..View::default()
        }
    }

    #[test]
    fn one_goes_back_to_the_newest_older_version() {
        assert_eq!(
            previous(&view(&[
                (9, "retired"),
                (7, "active"),
                (5, "retired"),
                (3, "retired")
            ])),
            Some(5)
        );
        assert_eq!(previous(&view(&[(9, "retired"), (7, "active")])), None);
        assert_eq!(previous(&view(&[])), None);
    }

    #[test]
    fn the_table_tells_what_is_served_and_why() {
        let text = table(&view(&[(7, "active"), (5, "retired")]));

        assert!(text.starts_with("serving 3; chosen by an operator"), "{text}");
        assert_eq!(text.lines().count(), 4);
    }
}
