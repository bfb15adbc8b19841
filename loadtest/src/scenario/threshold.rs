//! What a run must achieve to pass: expressions such as `p99(buy) < 500ms`, `errors < 0.1%` or `goodput(buy) > 20/s`.
//!
//! | measure | of | unit |
//! |---|---|---|
//! | `p50` … `p99.9`, `max`, `mean` | latency from the intended start, good answers | `us`, `ms`, `s` |
//! | `service_p50` … `service_max` | latency from the sending, good answers | `us`, `ms`, `s` |
//! | `errors` | failures in what was completed | `%` |
//! | `dropped` | starts never made in what was offered | `%` |
//! | `goodput` | good answers a second over the run | `/s` |
//! | `unavailable` | longest window in which canaries went unanswered; `unavailable(sigstop)` for one kind of step | `us`, `ms`, `s` |
//!
//! Without an operation a measure is about all of them. What has nothing to measure has not been achieved.

use std::time::Duration;

use crate::outcome::{ChaosSpan, Operation, Tally, Threshold, Window};

/// A parsed expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    expression: String,
    measure: Measure,
    subject: Option<String>,
    order: Order,
    bound: f64,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Measure {
    /// Latency from the intended start.
    Latency(Point),
    /// Latency from the sending.
    Service(Point),
    Errors,
    Dropped,
    Goodput,
    Unavailable,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Point {
    Percentile(f64),
    Mean,
    Max,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Below,
    AtMost,
    Above,
    AtLeast,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Unit {
    /// Seconds in one of the unit.
    Time(f64),
    Percent,
    PerSecond,
}

impl Rule {
    /// Parses an expression; the error is a sentence's end, such as "must compare with < …".
    ///
    /// # Errors
    /// The expression is not of the form `measure(operation) < value unit`.
    pub fn parse(expression: &str) -> Result<Self, String> {
        let at = expression
            .find(['<', '>'])
            .ok_or("must compare with <, <=, > or >=, for instance p99(buy) < 500ms")?;
        let (left, right) = expression.split_at(at);
        let (order, bound) = match (right.strip_prefix("<="), right.strip_prefix(">=")) {
            (Some(bound), _) => (Order::AtMost, bound),
            (_, Some(bound)) => (Order::AtLeast, bound),
            _ if right.starts_with('<') => (Order::Below, &right[1..]),
            _ => (Order::Above, &right[1..]),
        };
        let left = left.trim();
        let (name, subject) = match left.split_once('(') {
            None => (left, None),
            Some((name, rest)) => {
                let subject = rest.strip_suffix(')').ok_or("has a ( without its )")?;
                (name.trim_end(), Some(subject.trim().to_owned()))
            }
        };
        let measure = Measure::parse(name)?;
        let (bound, unit) = measure.bound(bound.trim())?;
        Ok(Rule {
            expression: expression.to_owned(),
            measure,
            subject,
            order,
            bound,
            unit,
        })
    }

    /// Returns the operation that the rule is about, unless it is about all or about chaos.
    #[must_use]
    pub fn operation(&self) -> Option<&str> {
        match self.measure {
            Measure::Unavailable => None,
            _ => self.subject.as_deref(),
        }
    }

    /// Returns the kind of chaos step that the rule is about.
    #[must_use]
    pub fn chaos(&self) -> Option<&str> {
        match self.measure {
            Measure::Unavailable => self.subject.as_deref(),
            _ => None,
        }
    }

    /// Judges a run.
    #[must_use]
    pub fn judge(&self, tally: &Tally, chaos: &[ChaosSpan], duration: Duration) -> Threshold {
        let value = match self.measure {
            Measure::Unavailable => self.unavailable(chaos),
            _ => match &self.subject {
                Some(name) => tally
                    .operation(name)
                    .and_then(|operation| self.value(operation, duration)),
                None => self.value(&tally.total(), duration),
            },
        };
        Threshold {
            expression: self.expression.clone(),
            value,
            passed: value.is_some_and(|value| match self.order {
                Order::Below => value < self.bound,
                Order::AtMost => value <= self.bound,
                Order::Above => value > self.bound,
                Order::AtLeast => value >= self.bound,
            }),
        }
    }

    fn value(&self, operation: &Operation, duration: Duration) -> Option<f64> {
        let share = |part: u64, of: u64| (of > 0).then(|| 100.0 * part as f64 / of as f64);
        match self.measure {
            Measure::Latency(point) => self.time(point.of(&operation.latency)?),
            Measure::Service(point) => self.time(point.of(&operation.service)?),
            Measure::Errors => share(operation.failures(), operation.completed),
            Measure::Dropped => share(operation.dropped, operation.offered),
            Measure::Goodput => Some(operation.ok() as f64 / duration.as_secs_f64().max(f64::MIN_POSITIVE)),
            Measure::Unavailable => None,
        }
    }

    fn unavailable(&self, chaos: &[ChaosSpan]) -> Option<f64> {
        let about = |span: &&ChaosSpan| self.subject.as_ref().is_none_or(|name| *name == span.name);
        let longest = chaos
            .iter()
            .filter(about)
            .map(|span| span.unavailable.as_ref().map_or(Duration::ZERO, Window::length))
            .max()?;
        self.time(longest.as_secs_f64())
    }

    /// Converts seconds to the unit of the expression.
    fn time(&self, seconds: f64) -> Option<f64> {
        match self.unit {
            Unit::Time(unit) => Some(seconds / unit),
            Unit::Percent | Unit::PerSecond => None,
        }
    }
}

impl Measure {
    fn parse(name: &str) -> Result<Self, String> {
        let measure = match name {
            "errors" => Some(Measure::Errors),
            "dropped" => Some(Measure::Dropped),
            "goodput" => Some(Measure::Goodput),
            "unavailable" => Some(Measure::Unavailable),
            _ => match name.strip_prefix("service_") {
                Some(name) => Point::parse(name).map(Measure::Service),
                None => Point::parse(name).map(Measure::Latency),
            },
        };
        measure.ok_or_else(|| {
            format!(
                "measures {name:?}: there are p50 … p99.9, mean, max, the same after service_, errors, dropped, goodput and \
                 unavailable"
            )
        })
    }

    /// Parses the right side, whose unit must fit the measure.
    fn bound(self, text: &str) -> Result<(f64, Unit), String> {
        let digits = text
            .find(|letter: char| !(letter.is_ascii_digit() || letter == '.' || letter == '_'))
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number = number
            .replace('_', "")
            .parse()
            .map_err(|_| format!("compares with {text:?}, which does not begin with a number"))?;
        let unit = match (self, unit.trim()) {
            (Measure::Errors | Measure::Dropped, "%") => Unit::Percent,
            (Measure::Errors | Measure::Dropped, _) => return Err("needs a value in %".to_owned()),
            (Measure::Goodput, "" | "/s") => Unit::PerSecond,
            (Measure::Goodput, _) => return Err("needs a value in /s".to_owned()),
            (_, "us") => Unit::Time(1e-6),
            (_, "ms") => Unit::Time(1e-3),
            (_, "s") => Unit::Time(1.0),
            _ => return Err("needs a value in us, ms or s".to_owned()),
        };
        Ok((number, unit))
    }
}

impl Point {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "mean" => Some(Point::Mean),
            "max" => Some(Point::Max),
            _ => {
                let percentile: f64 = name.strip_prefix('p')?.parse().ok()?;
                (percentile > 0.0 && percentile < 100.0).then_some(Point::Percentile(percentile))
            }
        }
    }

    /// Returns seconds.
    fn of(self, histogram: &hdrhistogram::Histogram<u64>) -> Option<f64> {
        if histogram.is_empty() {
            return None;
        }
        let micros = match self {
            Point::Percentile(percentile) => histogram.value_at_percentile(percentile) as f64,
            Point::Mean => histogram.mean(),
            Point::Max => histogram.max() as f64,
        };
        Some(micros / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Completion, ErrorKind};

    fn tally() -> Tally {
        let mut tally = Tally::new(["buy"], Duration::from_secs(10));
        let buy = tally.id("buy").unwrap();
        for number in 1..=100 {
            let intended = Duration::from_millis(50 * number);
            tally.offered(buy, intended);
            tally.started(buy, intended + Duration::from_millis(1), Duration::ZERO);
            tally.completed(
                buy,
                Completion {
                    intended,
                    started: intended + Duration::from_millis(1),
                    ended: intended + Duration::from_millis(number),
                    result: if number == 100 {
                        Err(ErrorKind::Status(503))
                    } else {
                        Ok(())
                    },
                },
            );
        }
        tally
    }

    #[track_caller]
    fn judged(expression: &str) -> Threshold {
        Rule::parse(expression)
            .unwrap()
            .judge(&tally(), &[], Duration::from_secs(10))
    }

    #[test]
    fn latencies_are_compared_in_the_unit_of_the_expression() {
        let threshold = judged("p50(buy) < 51ms");
        assert!(threshold.passed, "{threshold:?}");
        assert!((threshold.value.unwrap() - 50.0).abs() < 0.5, "{threshold:?}");

        assert!(!judged("max < 0.099s").passed);
        assert!(judged("service_max(buy) < 98.5ms").passed);
    }

    #[test]
    fn shares_are_in_percent_and_rates_a_second() {
        assert_eq!(judged("errors <= 1%").value, Some(1.0));
        assert!(judged("errors(buy) <= 1 %").passed);
        assert!(!judged("errors < 1%").passed);
        assert!(judged("dropped <= 0%").passed);
        assert_eq!(judged("goodput(buy) > 9.5/s").value, Some(9.9));
    }

    #[test]
    fn what_has_nothing_to_measure_has_not_passed() {
        assert!(!judged("p99(search) < 5ms").passed);
        assert!(!judged("unavailable < 2s").passed);
    }

    #[test]
    fn an_unavailable_window_is_that_of_its_kind_of_step() {
        let span = |name: &str, ms| ChaosSpan {
            name: name.to_owned(),
            target: "server".to_owned(),
            at: Duration::ZERO,
            ended: Duration::ZERO,
            unavailable: Some(Window {
                from: Duration::from_secs(1),
                to: Duration::from_secs(1) + Duration::from_millis(ms),
            }),
        };
        let chaos = [span("sigstop", 2100), span("sigkill", 700), span("sigkill", 900)];
        let value = |expression| {
            Rule::parse(expression)
                .unwrap()
                .judge(&tally(), &chaos, Duration::from_secs(1))
                .value
        };

        assert_eq!(value("unavailable(sigkill) < 1s"), Some(0.9));
        assert_eq!(value("unavailable < 3s"), Some(2.1));
    }

    #[test]
    fn a_wrong_expression_is_told_what_is_wrong() {
        for (expression, part) in [
            ("p99(buy)", "must compare"),
            ("p101 < 5ms", "p50 … p99.9"),
            ("p99(buy < 5ms", "without its )"),
            ("p99 < 5", "us, ms or s"),
            ("errors < 5", "in %"),
            ("p99 < fast", "a number"),
            ("goodput > 5ms", "/s"),
        ] {
            let problem = Rule::parse(expression).unwrap_err();
            assert!(problem.contains(part), "{expression}: {problem}");
        }
    }
}
