//! `lyceum recommend evaluate`: how good a model's lists are for learners whose later choices are known.
//!
//! ```text
//! folder → numbers → (search inside train) → model → protocol → lists in a file, figures on stdout
//! ```
//!
//! Models, protocols and metrics are the domain's; here are only files and print. The file is what the data set's
//! scorers take, the figures have their names, so either can be checked against the other.

mod files;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use lyceum_domain::recommend::evaluation::metrics::{Hits, Mean, Quality, hits, quality};
use lyceum_domain::recommend::evaluation::{
    ModelName, ModelSettings, build, cold_courses, newcomers, prequential, search, stationary,
    warm_neighbours,
};
use serde_json::{Value, json};

use files::Named;

/// Courses in one list of P1, P3 and P4; P2 lists ten.
const LIST: usize = 20;
const LIST_OF_STREAM: usize = 10;
/// The part of the training events that a search trains with.
const SEARCH_SHARE: f64 = 0.8;

/// One of the four tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Known learners, courses taken up before.
    P1,
    /// Every event of a stream, before it is learned.
    P2,
    /// Courses nobody has taken up.
    P3,
    /// Learners of whom only interests are known, then one course.
    P4,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Protocol; 4] = [Protocol::P1, Protocol::P2, Protocol::P3, Protocol::P4];

    /// The name that the command takes.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::P1 => "p1",
            Protocol::P2 => "p2",
            Protocol::P3 => "p3",
            Protocol::P4 => "p4",
        }
    }

    /// The protocol of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Protocol::ALL.into_iter().find(|protocol| protocol.name() == name)
    }
}

/// What is to be evaluated.
#[derive(Clone, Debug)]
pub struct Request {
    /// Folder of the data set.
    pub data: PathBuf,
    /// The task.
    pub protocol: Protocol,
    /// The model.
    pub model: ModelName,
    /// Where lists go.
    pub out: PathBuf,
    /// Whether settings are searched inside the training part first.
    pub search: bool,
}

/// Evaluates a model, writes its lists and tells their figures as JSON.
///
/// P4 has two sets of lists: from interests and the first course in the file that was asked for, from interests alone
/// beside it with the ending `.interests`.
///
/// # Errors
/// The data set cannot be read, lacks what the protocol needs, or the lists cannot be written.
pub fn run(request: &Request) -> Result<String, Box<dyn Error + Send + Sync>> {
    let named = Named::read(&request.data)?;
    let dataset = &named.dataset;
    let mut settings = ModelSettings::default();
    let mut told = json!({});
    if request.search {
        let (found, steps) = search::search(dataset, SEARCH_SHARE, &settings);
        settings = found;
        told["search"] = steps
            .iter()
            .map(|step| {
                json!({
                    "set": step.name, "to": step.value,
                    "inner_ndcg@10": rounded(step.ndcg_10), "inner_stream_hr@10": rounded(step.hit_10),
                })
            })
            .collect();
    }
    let histories = dataset.histories();
    let mut model = build(request.model, dataset, &histories, &settings)
        .ok_or("the model cannot be trained with this data set")?;
    let model = model.as_mut();
    let lacks = |file: &str| {
        format!(
            "{} has no {file}, which the protocol needs",
            request.data.display()
        )
    };
    match request.protocol {
        Protocol::P1 if dataset.test.is_empty() => return Err(lacks("test.tsv").into()),
        Protocol::P2 if dataset.stream.is_empty() => return Err(lacks("stream.tsv").into()),
        Protocol::P3 if dataset.candidates.is_empty() => return Err(lacks("cold_candidates.tsv").into()),
        Protocol::P4 if dataset.newcomers.is_empty() => return Err(lacks("onboarding.tsv").into()),
        Protocol::P1 => {
            let lists = stationary(dataset, &histories, model, LIST);
            write(&request.out, &named.lists(&lists))?;
            merge(
                &mut told,
                told_quality(&quality(&lists, &dataset.test, &histories)),
            );
        }
        Protocol::P2 => {
            let lists = prequential(dataset, &histories, model, LIST_OF_STREAM);
            write(&request.out, &named.stream(&lists))?;
            merge(&mut told, told_hits(&hits(&lists, dataset)));
        }
        Protocol::P3 => {
            let neighbours = warm_neighbours(dataset, &histories, &settings);
            let lists = cold_courses(dataset, &histories, model, &neighbours, LIST);
            write(&request.out, &named.lists(&lists))?;
            merge(
                &mut told,
                told_quality(&quality(&lists, &dataset.cold, &histories)),
            );
        }
        Protocol::P4 => {
            let lists = newcomers(dataset, &histories, model, LIST);
            write(&request.out, &named.lists(&lists.first))?;
            write(&beside(&request.out), &named.lists(&lists.interests))?;
            merge(
                &mut told,
                told_quality(&quality(&lists.first, &dataset.rest, &histories)),
            );
            told["interests"] = told_quality(&quality(&lists.interests, &dataset.rest, &histories));
        }
    }
    Ok(format!("{told:#}\n"))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Where P4's lists from interests alone go.
fn beside(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".interests");
    PathBuf::from(name)
}

fn merge(told: &mut Value, more: Value) {
    if let (Some(told), Value::Object(more)) = (told.as_object_mut(), more) {
        told.extend(more);
    }
}

fn told_quality(quality: &Quality) -> Value {
    let mut told = told_mean(&quality.all);
    let names = ["<=2", "3-5", ">=6"];
    let groups = names
        .iter()
        .zip(&quality.groups)
        .filter(|(_, group)| group.count > 0);
    let groups: serde_json::Map<String, Value> = groups
        .map(|(name, group)| {
            let mut told = told_mean(group);
            told["users"] = json!(group.count);
            ((*name).to_owned(), told)
        })
        .collect();
    merge(
        &mut told,
        json!({
            "coverage@10": rounded(quality.coverage_10),
            "gini@10": rounded(quality.gini_10),
            "novelty@10": rounded(quality.novelty_10),
            "users": quality.all.count,
            "users_with_list": quality.listed,
            "groups": groups,
        }),
    );
    told
}

fn told_mean(mean: &Mean) -> Value {
    json!({
        "ndcg@10": rounded(mean.ndcg_10),
        "recall@20": rounded(mean.recall_20),
        "ndcg@20": rounded(mean.ndcg_20),
        "hr@10": rounded(mean.hit_10),
        "mrr@10": rounded(mean.reciprocal_10),
    })
}

fn told_hits(hits: &Hits) -> Value {
    let told = |mean: &Mean| {
        json!({
            "events": mean.count,
            "hr@10": rounded(mean.hit_10),
            "ndcg@10": rounded(mean.ndcg_10),
            "mrr@10": rounded(mean.reciprocal_10),
        })
    };
    json!({
        "all": told(&hits.all),
        "new_since_T": told(&hits.newcomers),
        "live_feedback": told(&hits.live),
    })
}

fn rounded(figure: f64) -> f64 {
    (figure * 1e5).round() / 1e5
}

#[cfg(test)]
mod tests;
