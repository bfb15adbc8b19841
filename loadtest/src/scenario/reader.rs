//! Reads TOML so that nothing is overlooked: every value knows its line and its full key, and a key that nobody asked
//! for is refused.
//!
//! Flow: [`Document`] parses; a [`Table`] hands out its entries by name and, when it is finished, refuses what is left; a
//! [`Value`] becomes what its reader wants or says, with line and key, why it cannot.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What is wrong with a scenario, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioError {
    /// The file as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The full key, such as `arrival.stages[1].rate`; empty where the text is no TOML at all.
    pub key: String,
    /// What is wrong.
    pub problem: String,
}

impl std::error::Error for ScenarioError {}

impl fmt::Display for ScenarioError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: ", self.file, self.line)?;
        if !self.key.is_empty() {
            write!(formatter, "`{}` ", self.key)?;
        }
        formatter.write_str(&self.problem)
    }
}

/// The text of a scenario and its name, for messages.
#[derive(Clone, Copy)]
pub(super) struct Document<'t> {
    file: &'t str,
    text: &'t str,
}

impl<'t> Document<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Self {
        Document { file, text }
    }

    /// Parses the text into tables that still know where they are.
    pub(super) fn parse(self) -> Result<Spanned<DeTable<'t>>, ScenarioError> {
        DeTable::parse(self.text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            self.error(at, "", format!("is no TOML: {}", error.message()))
        })
    }

    /// Returns the outermost table.
    pub(super) fn root<'d>(self, table: &'d Spanned<DeTable<'t>>) -> Table<'d, 't> {
        Table {
            document: self,
            path: String::new(),
            at: 0,
            entries: table.get_ref(),
            asked: Vec::new(),
        }
    }

    fn error(self, at: usize, key: &str, problem: impl Into<String>) -> ScenarioError {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        ScenarioError {
            file: self.file.to_owned(),
            line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
            key: key.to_owned(),
            problem: problem.into(),
        }
    }
}

/// A table whose entries are handed out one by one.
pub(super) struct Table<'d, 't> {
    document: Document<'t>,
    path: String,
    at: usize,
    entries: &'d DeTable<'t>,
    asked: Vec<&'static str>,
}

impl<'d, 't> Table<'d, 't> {
    /// Returns the entry of this name, if there is one.
    pub(super) fn optional(&mut self, name: &'static str) -> Option<Value<'d, 't>> {
        self.asked.push(name);
        let value = self.entries.get(name)?;
        Some(Value {
            document: self.document,
            path: join(&self.path, name),
            value,
        })
    }

    /// Returns the entry of this name.
    pub(super) fn required(&mut self, name: &'static str) -> Result<Value<'d, 't>, ScenarioError> {
        self.optional(name).ok_or_else(|| self.missing(name))
    }

    /// Returns all entries with their names; none is unknown then.
    pub(super) fn all(self) -> impl Iterator<Item = (String, Value<'d, 't>)> {
        self.entries.iter().map(move |(name, value)| {
            let value = Value {
                document: self.document,
                path: join(&self.path, name.get_ref()),
                value,
            };
            (name.get_ref().to_string(), value)
        })
    }

    /// Refuses entries that nobody asked for.
    pub(super) fn finish(&self) -> Result<(), ScenarioError> {
        let known = |name: &str| self.asked.contains(&name);
        match self.entries.keys().find(|name| !known(name.get_ref())) {
            None => Ok(()),
            Some(name) => Err(self.document.error(
                name.span().start,
                &join(&self.path, name.get_ref()),
                format!("is no key here: there are {}", self.asked.join(", ")),
            )),
        }
    }

    /// Says what is wrong with the table as a whole.
    pub(super) fn fail(&self, problem: impl Into<String>) -> ScenarioError {
        self.document.error(self.at, &self.path, problem)
    }

    fn missing(&self, name: &str) -> ScenarioError {
        self.document
            .error(self.at, &join(&self.path, name), "is missing")
    }
}

/// A value with its place.
pub(super) struct Value<'d, 't> {
    document: Document<'t>,
    path: String,
    value: &'d Spanned<DeValue<'t>>,
}

impl<'d, 't> Value<'d, 't> {
    /// Says what is wrong with the value.
    pub(super) fn fail(&self, problem: impl Into<String>) -> ScenarioError {
        let Range { start, .. } = self.value.span();
        self.document.error(start, &self.path, problem)
    }

    fn wrong(&self, wanted: &str) -> ScenarioError {
        self.fail(format!(
            "must be {wanted}, and is {}",
            self.value.get_ref().type_str()
        ))
    }

    /// Reads a text.
    pub(super) fn text(&self) -> Result<&'d str, ScenarioError> {
        self.value
            .get_ref()
            .as_str()
            .ok_or_else(|| self.wrong("a string"))
    }

    /// Reads true or false.
    pub(super) fn flag(&self) -> Result<bool, ScenarioError> {
        self.value
            .get_ref()
            .as_bool()
            .ok_or_else(|| self.wrong("true or false"))
    }

    /// Reads a number that is not negative.
    pub(super) fn number(&self) -> Result<f64, ScenarioError> {
        let text = match self.value.get_ref() {
            DeValue::Integer(number) => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            _ => return Err(self.wrong("a number")),
        };
        let number: f64 = text.parse().map_err(|_| self.fail("must be a decimal number"))?;
        if number.is_finite() && number >= 0.0 {
            Ok(number)
        } else {
            Err(self.fail("must not be negative or infinite"))
        }
    }

    /// Reads a whole number within a range.
    pub(super) fn whole(&self, range: Range<u64>) -> Result<u64, ScenarioError> {
        let integer = self
            .value
            .get_ref()
            .as_integer()
            .ok_or_else(|| self.wrong("a whole number"))?;
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| self.fail(format!("must be from {} to {}", range.start, range.end - 1)))
    }

    /// Reads a length of time such as `"20ms"`, `"1.5s"` or `"2m"`.
    pub(super) fn duration(&self) -> Result<Duration, ScenarioError> {
        let text = self.text()?;
        duration(text).ok_or_else(|| {
            self.fail(format!(
                "must be a time such as 20ms, 1.5s or 2m, and is {text:?}"
            ))
        })
    }

    /// Reads a list.
    pub(super) fn list(self) -> Result<Vec<Value<'d, 't>>, ScenarioError> {
        let Some(items) = self.value.get_ref().as_array() else {
            return Err(self.wrong("a list"));
        };
        let item = |(index, value)| Value {
            document: self.document,
            path: format!("{}[{index}]", self.path),
            value,
        };
        Ok(items.iter().enumerate().map(item).collect())
    }

    /// Reads a table.
    pub(super) fn table(self) -> Result<Table<'d, 't>, ScenarioError> {
        let Some(entries) = self.value.get_ref().as_table() else {
            return Err(self.wrong("a table"));
        };
        Ok(Table {
            document: self.document,
            at: self.value.span().start,
            path: self.path,
            entries,
            asked: Vec::new(),
        })
    }
}

/// Reads a length of time: a number and one of `us`, `ms`, `s` and `m`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    let number: f64 = number.trim_end().parse().ok()?;
    Duration::try_from_secs_f64(number * seconds).ok()
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        assert_eq!(duration("20ms"), Some(Duration::from_millis(20)));
        assert_eq!(duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
        for wrong in ["", "5", "s", "-1s", "5 hours", "1e99s"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }
}
