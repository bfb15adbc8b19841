//! One metric as it is declared: what it is called, what it means, and its series by label values.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::facade::Handle;
use super::instrument::{HistogramReading, Instrument};

/// What scrapers call the type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Only ever grows; its name ends in `_total`.
    Counter,
    /// Is what it is now.
    Gauge,
    /// How often something took how long, or was how large.
    Histogram,
}

/// The values that a label can have.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// These.
    Of(&'static [&'static str]),
    /// Words of the program that are gathered while it starts, described so.
    Program(&'static str),
}

/// A label and its values.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its values.
    pub values: Values,
}

impl Label {
    /// A label that has one of these values.
    pub const fn of(name: &'static str, values: &'static [&'static str]) -> Self {
        let values = Values::Of(values);
        Label { name, values }
    }

    /// A label whose values are words of the program, described so.
    pub const fn program(name: &'static str, described: &'static str) -> Self {
        let values = Values::Program(described);
        Label { name, values }
    }
}

/// What is known of a metric without recording anything.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its name; the last word is the unit, or `total` for a counter.
    pub name: &'static str,
    /// What it counts or measures, in one sentence.
    pub help: &'static str,
    /// When an operator should look closer; empty if it only explains others.
    pub worry: &'static str,
    /// Its labels.
    pub labels: &'static [Label],
    /// The combinations of label values that occur; empty for all of them.
    pub series: &'static [&'static [&'static str]],
}

impl About {
    /// The unit by the last word of the name, without the `_total` of a counter; empty for plain numbers.
    pub fn unit(&self) -> &'static str {
        let base = self.name.strip_suffix("_total").unwrap_or(self.name);
        ["seconds", "bytes", "minor_units"]
            .into_iter()
            .find(|unit| base.ends_with(unit))
            .unwrap_or_default()
    }
}

/// What a series holds at the moment of a scrape.
pub enum Reading {
    /// Of a counter or a gauge.
    Number(f64),
    /// Of a histogram.
    Histogram(HistogramReading),
}

/// One metric, whatever its type.
pub trait Family: Sync {
    /// What it is.
    fn about(&self) -> &About;
    /// Its type.
    fn kind(&self) -> Type;
    /// Makes every series whose label values are known, so that counters begin at 0.
    fn begin(&self);
    /// Shows each series: its label values in the order of the labels, and what it holds.
    fn read(&self, show: &mut dyn FnMut(&[&'static str], Reading));
    /// The series with these labels for the facade, if it is declared.
    fn handle(&self, labels: &[(&str, &str)]) -> Option<Handle>;
}

/// One metric with its series, declared as a `static`.
pub struct Metric<I: 'static> {
    about: About,
    series: Mutex<BTreeMap<Vec<&'static str>, I>>,
}

impl<I: Instrument> Metric<I> {
    /// Declares a metric without labels.
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        Metric {
            about: About {
                name,
                help,
                worry: "",
                labels: &[],
                series: &[],
            },
            series: Mutex::new(BTreeMap::new()),
        }
    }

    /// The same with labels.
    #[must_use]
    pub const fn labels(mut self, labels: &'static [Label]) -> Self {
        self.about.labels = labels;
        self
    }

    /// The same when only these combinations of label values occur.
    #[must_use]
    pub const fn only(mut self, series: &'static [&'static [&'static str]]) -> Self {
        self.about.series = series;
        self
    }

    /// The same with what should worry an operator.
    #[must_use]
    pub const fn worry(mut self, worry: &'static str) -> Self {
        self.about.worry = worry;
        self
    }

    /// The handle of a metric without labels.
    pub fn get(&self) -> I {
        self.with([])
    }

    /// The handle of one series. It takes a lock: whoever records often keeps the handle.
    ///
    /// # Panics
    /// In debug builds, when the label values are not declared.
    pub fn with<const N: usize>(&self, values: [&'static str; N]) -> I {
        debug_assert!(
            self.about.declares(&values),
            "{}: {values:?} is not declared",
            self.about.name
        );
        self.series(&values)
    }

    fn series(&self, values: &[&'static str]) -> I {
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(instrument) = series.get(values) {
            return *instrument;
        }
        let made = I::new(&self.about);
        series.insert(values.to_vec(), made);
        made
    }
}

impl About {
    fn declares(&self, values: &[&'static str]) -> bool {
        let known = |(label, value): (&Label, &&'static str)| match label.values {
            Values::Of(values) => values.contains(value),
            Values::Program(_) => true,
        };
        values.len() == self.labels.len()
            && self.labels.iter().zip(values).all(known)
            && (self.series.is_empty() || self.series.contains(&values))
    }

    /// The declared values of these labels, in the order of the declaration.
    fn find(&self, labels: &[(&str, &str)]) -> Option<Vec<&'static str>> {
        let value_of = |label: &Label| {
            let (_, value) = labels.iter().find(|(name, _)| *name == label.name)?;
            match label.values {
                Values::Of(values) => values.iter().find(|known| *known == value).copied(),
                Values::Program(_) => None,
            }
        };
        let values: Vec<_> = self.labels.iter().map(value_of).collect::<Option<_>>()?;
        (labels.len() == values.len() && self.declares(&values)).then_some(values)
    }

    /// Every combination of label values that can be known before the program runs.
    fn known_series(&self) -> Vec<Vec<&'static str>> {
        if !self.series.is_empty() {
            return self.series.iter().map(|values| values.to_vec()).collect();
        }
        let mut combinations = vec![Vec::new()];
        for label in self.labels {
            let Values::Of(values) = label.values else {
                return Vec::new();
            };
            combinations = combinations
                .iter()
                .flat_map(|begun| {
                    values
                        .iter()
                        .map(move |value| [begun.as_slice(), &[*value]].concat())
                })
                .collect();
        }
        combinations
    }
}

impl<I: Instrument> Family for Metric<I> {
    fn about(&self) -> &About {
        &self.about
    }

    fn kind(&self) -> Type {
        I::TYPE
    }

    fn begin(&self) {
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        for values in self.about.known_series() {
            series.entry(values).or_insert_with(|| I::new(&self.about));
        }
    }

    fn read(&self, show: &mut dyn FnMut(&[&'static str], Reading)) {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        for (values, instrument) in series.iter() {
            show(values, instrument.read());
        }
    }

    fn handle(&self, labels: &[(&str, &str)]) -> Option<Handle> {
        self.series(&self.about.find(labels)?).handle()
    }
}

/// A metric without labels that is looked up when it is asked for.
pub struct Computed {
    about: About,
    kind: Type,
    compute: fn() -> Option<f64>,
}

impl Computed {
    /// Declares a metric that `compute` looks up; it is left out when that finds nothing.
    pub const fn new(
        kind: Type,
        name: &'static str,
        help: &'static str,
        compute: fn() -> Option<f64>,
    ) -> Self {
        Computed {
            about: About {
                name,
                help,
                worry: "",
                labels: &[],
                series: &[],
            },
            kind,
            compute,
        }
    }

    /// The same with what should worry an operator.
    #[must_use]
    pub const fn worry(mut self, worry: &'static str) -> Self {
        self.about.worry = worry;
        self
    }
}

impl Family for Computed {
    fn about(&self) -> &About {
        &self.about
    }

    fn kind(&self) -> Type {
        self.kind
    }

    fn begin(&self) {}

    fn handle(&self, _: &[(&str, &str)]) -> Option<Handle> {
        None
    }

    fn read(&self, show: &mut dyn FnMut(&[&'static str], Reading)) {
        if let Some(number) = (self.compute)() {
            show(&[], Reading::Number(number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Counter, Gauge};

    fn series(family: &dyn Family) -> Vec<(Vec<&'static str>, f64)> {
        let mut found = Vec::new();
        family.read(&mut |values, reading| {
            if let Reading::Number(number) = reading {
                found.push((values.to_vec(), number));
            }
        });
        found
    }

    #[test]
    fn every_declared_series_begins_at_zero_and_handles_share_it() {
        static SHED: Metric<Counter> = Metric::new("shed_total", "Refused.").labels(&[
            Label::of("reason", &["lag", "full"]),
            Label::of("priority", &["read"]),
        ]);

        SHED.begin();
        SHED.with(["lag", "read"]).increment();
        SHED.with(["lag", "read"]).add(2);

        assert_eq!(
            series(&SHED),
            [(vec!["full", "read"], 0.0), (vec!["lag", "read"], 3.0)]
        );
    }

    #[test]
    fn combinations_that_do_not_occur_are_not_made() {
        static MOVES: Metric<Counter> = Metric::new("moves_total", "Moves.")
            .labels(&[Label::of("from", &["a", "b"]), Label::of("to", &["a", "b"])])
            .only(&[&["a", "b"]]);

        MOVES.begin();

        assert_eq!(series(&MOVES), [(vec!["a", "b"], 0.0)]);
    }

    #[test]
    #[should_panic(expected = "is not declared")]
    fn a_value_that_is_not_declared_is_a_slip() {
        static STATE: Metric<Gauge> = Metric::new("state", "State.").labels(&[Label::of("state", &["up"])]);

        STATE.with(["down"]);
    }

    #[test]
    fn the_unit_is_the_last_word() {
        let unit = |name| Metric::<Counter>::new(name, "").about.unit();

        assert_eq!(unit("wait_seconds"), "seconds");
        assert_eq!(unit("cpu_seconds_total"), "seconds");
        assert_eq!(unit("imbalance_minor_units"), "minor_units");
        assert_eq!(unit("requests_total"), "");
    }
}
