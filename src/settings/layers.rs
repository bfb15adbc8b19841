//! Merges the layers key by key and remembers where each value came from.
//!
//! Flow: the embedded default is flattened to dotted keys and serves as the schema; each further layer may only
//! change keys that exist, with values of the same type; the result is built back into a tree for serde. What
//! serde refuses is found key by key, so that a second mistake does not hide behind the first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::Settings;
use super::problems::Problems;
use super::values::MASK;

/// The schema and the demo profile in one.
pub(super) const DEFAULT: &str = include_str!("../../config/default.toml");
/// What production does differently.
pub(super) const PRODUCTION: &str = include_str!("../../config/production.toml");

const PREFIX: &str = "LYCEUM__";

static DEFAULTS: LazyLock<BTreeMap<String, Value>> =
    LazyLock::new(|| flatten(&DEFAULT.parse().expect("a test parses the embedded default.toml")));

/// Keys whose field is a `Secret`, found by serializing the defaults: such a field prints as the mask.
static SECRETS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let defaults: Settings = tree(DEFAULTS.iter().map(|(key, value)| (key.as_str(), value)))
        .try_into()
        .expect("a test reads the embedded default.toml into the structs");
    let shown = Table::try_from(&defaults).expect("every section is a table");
    let is_masked = |(key, value): (String, Value)| (value.as_str() == Some(MASK)).then_some(key);
    flatten(&shown).into_iter().filter_map(is_masked).collect()
});

/// Where the layers above the default come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// An embedded profile: `demo` (the default itself) or `production`.
    pub profile: Option<String>,
    /// A file whose keys override the profile's.
    pub file: Option<PathBuf>,
    /// Environment variables; those without our prefix are not looked at.
    pub environment: Vec<(String, String)>,
    /// `section.key=value` from the command line.
    pub flags: Vec<String>,
}

/// The layer a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `config/default.toml`, embedded.
    Default,
    /// An embedded profile.
    Profile(String),
    /// A file given on the command line.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A flag.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Profile(name) => write!(f, "profile {name}"),
            Origin::File(path) => write!(f, "file {}", path.display()),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Flag => f.write_str("flag --set"),
        }
    }
}

/// Every key with its effective value and origin.
#[derive(Clone, Debug)]
pub struct Layers {
    values: BTreeMap<String, (Value, Origin)>,
}

impl Layers {
    /// Merges all layers.
    ///
    /// What cannot be merged is reported and leaves the value below it in place: unreadable files, unknown keys,
    /// wrong types, and secrets where others can read them.
    pub(super) fn read(sources: &Sources, problems: &mut Problems) -> Self {
        let values = DEFAULTS
            .iter()
            .map(|(key, value)| (key.clone(), (value.clone(), Origin::Default)))
            .collect();
        let mut layers = Self { values };
        match sources.profile.as_deref() {
            None | Some("demo") => {}
            Some("production") => {
                layers.merge_toml(PRODUCTION, &Origin::Profile("production".into()), problems);
            }
            Some(other) => problems.push(
                "--profile",
                "flag",
                format!("there is no profile `{other}`: demo or production"),
            ),
        }
        if let Some(path) = &sources.file {
            layers.merge_file(path, problems);
        }
        for (name, value) in &sources.environment {
            if let Some(rest) = name.strip_prefix(PREFIX) {
                let key = rest.to_lowercase().replace("__", ".");
                layers.merge_text(&key, value, Origin::Environment(name.clone()), problems);
            }
        }
        for flag in &sources.flags {
            match flag.split_once('=') {
                Some((key, value)) => layers.merge_text(key.trim(), value.trim(), Origin::Flag, problems),
                None => problems.push(flag, Origin::Flag, "is not of the form section.key=value"),
            }
        }
        layers
    }

    /// The layer that gave a key its value; the default for a key that nobody set.
    pub fn origin(&self, key: &str) -> &Origin {
        self.values
            .get(key)
            .map_or(&Origin::Default, |(_, origin)| origin)
    }

    /// Every key with its effective value as TOML, secrets masked, and its origin.
    pub fn shown(&self) -> impl Iterator<Item = (&str, String, &Origin)> {
        self.values.iter().map(|(key, (value, origin))| {
            let hidden = is_secret(key) && value.as_str() != Some("");
            let text = if hidden {
                MASK.to_owned()
            } else {
                value.to_string()
            };
            (key.as_str(), text, origin)
        })
    }

    /// Builds the typed settings. A value that its field refuses is reported and replaced by its default.
    pub(super) fn deserialize<T: DeserializeOwned>(&self, problems: &mut Problems) -> Option<T> {
        let effective = tree(self.values.iter().map(|(key, (value, _))| (key.as_str(), value)));
        if let Ok(settings) = effective.try_into() {
            return Some(settings);
        }
        let mut good = DEFAULTS.clone();
        for (key, (value, origin)) in self
            .values
            .iter()
            .filter(|(_, (_, origin))| *origin != Origin::Default)
        {
            // One more value on otherwise good ones: whatever serde says now is about this key.
            let before = good.insert(key.clone(), value.clone());
            if let Err(error) = tree(good.iter().map(|(k, v)| (k.as_str(), v))).try_into::<T>() {
                problems.push(key, origin, first_line(&error.to_string()));
                good.extend(before.map(|value| (key.clone(), value)));
            }
        }
        let settings = tree(good.iter().map(|(k, v)| (k.as_str(), v))).try_into();
        settings
            .map_err(|error| problems.push("config/default.toml", "embedded", first_line(&error.to_string())))
            .ok()
    }

    fn merge_file(&mut self, path: &Path, problems: &mut Problems) {
        match std::fs::read_to_string(path) {
            Ok(text) => self.merge_toml(&text, &Origin::File(path.to_owned()), problems),
            Err(error) => problems.push(
                "--config",
                Origin::File(path.to_owned()),
                format!("cannot be read: {error}"),
            ),
        }
    }

    fn merge_toml(&mut self, text: &str, origin: &Origin, problems: &mut Problems) {
        match text.parse::<Table>() {
            Ok(table) => {
                for (key, value) in flatten(&table) {
                    self.merge(&key, value, origin.clone(), problems);
                }
            }
            Err(error) => {
                let before = error
                    .span()
                    .and_then(|span| text.get(..span.start))
                    .unwrap_or_default();
                let line = before.matches('\n').count() + 1;
                problems.push(format!("line {line}"), origin, first_line(error.message()));
            }
        }
    }

    /// Merges a value that arrives as text, which is read as the type that the key has.
    fn merge_text(&mut self, key: &str, text: &str, origin: Origin, problems: &mut Problems) {
        let parsed = match DEFAULTS.get(key) {
            None => Some(Value::String(text.into())),
            Some(Value::Integer(_)) => text.replace('_', "").parse().ok().map(Value::Integer),
            Some(Value::Float(_)) => text.parse().ok().map(Value::Float),
            Some(Value::Boolean(_)) => text.parse().ok().map(Value::Boolean),
            Some(Value::Array(_)) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Some(Value::Array(
                    items.map(|item| Value::String(item.into())).collect(),
                ))
            }
            Some(Value::String(_) | Value::Datetime(_) | Value::Table(_)) => Some(Value::String(text.into())),
        };
        match parsed {
            Some(value) => self.merge(key, value, origin, problems),
            None => {
                let expected = DEFAULTS.get(key).map_or("value", Value::type_str);
                problems.push(key, origin, format!("`{text}` is not of type {expected}"));
            }
        }
    }

    fn merge(&mut self, key: &str, value: Value, origin: Origin, problems: &mut Problems) {
        let Some((current, current_origin)) = self.values.get_mut(key) else {
            problems.push(key, origin, unknown(key));
            return;
        };
        let value = match (current.is_float(), value) {
            // TOML writers rightly expect `1` to do where `1.0` is meant; whole settings are small.
            #[expect(
                clippy::cast_precision_loss,
                reason = "whole numbers in settings are far below 2^52"
            )]
            (true, Value::Integer(whole)) => Value::Float(whole as f64),
            (_, value) => value,
        };
        if !current.same_type(&value) {
            let message = format!("is of type {}, expected {}", value.type_str(), current.type_str());
            problems.push(key, origin, message);
            return;
        }
        let readable_by_others = match origin {
            Origin::Flag | Origin::File(_) => value.as_str() != Some(""),
            Origin::Default | Origin::Profile(_) | Origin::Environment(_) => false,
        };
        if readable_by_others && is_secret(key) {
            problems.push(
                key,
                origin,
                format!("is a secret: set the environment variable {}", variable(key)),
            );
            return;
        }
        *current = value;
        *current_origin = origin;
    }
}

/// The environment variable that sets a key.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

/// Turns nested tables into dotted keys.
pub(super) fn flatten(table: &Table) -> BTreeMap<String, Value> {
    let mut flat = BTreeMap::new();
    for (name, value) in table {
        if let Value::Table(inner) = value {
            for (key, value) in flatten(inner) {
                flat.insert(format!("{name}.{key}"), value);
            }
        } else {
            flat.insert(name.clone(), value.clone());
        }
    }
    flat
}

fn tree<'a>(values: impl Iterator<Item = (&'a str, &'a Value)>) -> Table {
    let mut root = Table::new();
    for (key, value) in values {
        let mut table = &mut root;
        let (path, name) = key.rsplit_once('.').unwrap_or(("", key));
        for step in path.split('.').filter(|step| !step.is_empty()) {
            let next = table.entry(step).or_insert_with(|| Value::Table(Table::new()));
            table = next
                .as_table_mut()
                .expect("the default file gives no key both a value and keys below it");
        }
        table.insert(name.to_owned(), value.clone());
    }
    root
}

fn is_secret(key: &str) -> bool {
    SECRETS.contains(key)
}

fn unknown(key: &str) -> String {
    let distance = |known: &&String| strsim::osa_distance(key, known);
    match DEFAULTS.keys().min_by_key(distance) {
        Some(known) if strsim::osa_distance(key, known) <= 1 + key.len() / 4 => {
            format!("unknown key; did you mean {known}?")
        }
        _ => "unknown key; `lyceum config show` lists all of them".to_owned(),
    }
}

fn first_line(text: &str) -> String {
    text.lines()
        .next()
        .unwrap_or_default()
        .trim_end_matches('.')
        .to_owned()
}

/// Keys of the embedded default, for the test that compares them with the structs.
#[cfg(test)]
pub(super) fn default_keys() -> BTreeSet<String> {
    DEFAULTS.keys().cloned().collect()
}

/// Keys that hold secrets.
#[cfg(test)]
pub(super) fn secret_keys() -> Vec<String> {
    SECRETS.iter().cloned().collect()
}
