//! What is wrong with the settings, all of it at once, and the checks that find it.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::layers::Layers;
use super::values::Secret;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The dotted key, or what was written in its place.
    pub key: String,
    /// The layer the value came from, in words.
    pub origin: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.key, self.origin, self.message)
    }
}

/// Everything that is wrong; never empty where it is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn push(
        &mut self,
        key: impl Into<String>,
        origin: impl fmt::Display,
        message: impl Into<String>,
    ) {
        self.0.push(Problem {
            key: key.into(),
            origin: origin.to_string(),
            message: message.into(),
        });
    }

    /// The problems in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// Tells whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => write!(f, "settings: {only}"),
            all => {
                write!(f, "settings: {} problems", all.len())?;
                all.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for Problems {}

/// Collects what the sections' checks find. Keys are dotted and absolute.
pub struct Checks<'a> {
    layers: &'a Layers,
    problems: &'a mut Problems,
}

impl<'a> Checks<'a> {
    pub(super) fn new(layers: &'a Layers, problems: &'a mut Problems) -> Self {
        Self { layers, problems }
    }

    /// Records a refusal of a key's value.
    pub fn refuse(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(key, self.layers.origin(key), message);
    }

    /// Requires a value within a range.
    pub fn range<T: PartialOrd + Copy + fmt::Display>(
        &mut self,
        key: &str,
        value: T,
        range: RangeInclusive<T>,
    ) {
        if !range.contains(&value) {
            let message = format!("{value} is outside {} to {}", range.start(), range.end());
            self.refuse(key, message);
        }
    }

    /// Requires a duration within a range.
    pub fn duration(&mut self, key: &str, value: Duration, range: RangeInclusive<Duration>) {
        if !range.contains(&value) {
            self.refuse(
                key,
                format!("{value:?} is outside {:?} to {:?}", range.start(), range.end()),
            );
        }
    }

    /// Requires a secret of at least some length; the message never holds the value.
    pub fn secret(&mut self, key: &str, value: &Secret, chars_min: usize) {
        let variable = super::layers::variable(key);
        if value.is_empty() {
            self.refuse(
                key,
                format!("has no value; set the environment variable {variable}"),
            );
        } else if value.expose().chars().count() < chars_min {
            self.refuse(
                key,
                format!("is shorter than {chars_min} characters; set {variable} to a longer one"),
            );
        }
    }

    /// Requires each duration to be shorter than the one after it.
    pub fn nested(&mut self, timeouts: &[(&str, Duration)]) {
        for pair in timeouts.windows(2) {
            if let [(inner, inner_value), (outer, outer_value)] = pair
                && inner_value >= outer_value
            {
                let message = format!(
                    "{inner_value:?} must be shorter than {outer} ({outer_value:?}, {})",
                    self.layers.origin(outer)
                );
                self.refuse(inner, message);
            }
        }
    }
}
