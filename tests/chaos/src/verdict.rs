//! What a row of the promises came to: its figures beside their limits, and whether all of them held.

use std::fmt::{self, Display, Formatter, Write};

/// One figure and its limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was measured.
    pub what: String,
    /// The figure.
    pub figure: String,
    /// What it must be.
    pub limit: String,
    /// Whether it is.
    pub held: bool,
}

impl Check {
    /// A figure with a limit in words, judged by the caller.
    pub fn judged(
        what: impl Into<String>,
        figure: impl Display,
        limit: impl Into<String>,
        held: bool,
    ) -> Self {
        Check {
            what: what.into(),
            figure: figure.to_string(),
            limit: limit.into(),
            held,
        }
    }

    /// A figure that must not be above its limit.
    pub fn at_most<T: Copy + PartialOrd + Display>(what: impl Into<String>, figure: T, limit: T) -> Self {
        let held = figure <= limit;
        Check::judged(what, figure, format!("≤ {limit}"), held)
    }

    /// A figure that must not be below its limit.
    pub fn at_least<T: Copy + PartialOrd + Display>(what: impl Into<String>, figure: T, limit: T) -> Self {
        let held = figure >= limit;
        Check::judged(what, figure, format!("≥ {limit}"), held)
    }

    /// Something that must not happen.
    pub fn none(what: impl Into<String>, count: usize) -> Self {
        Check::judged(what, count, "0", count == 0)
    }
}

/// A row and all its figures.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Its number in the table of promises.
    pub row: u8,
    /// The promise.
    pub promise: &'static str,
    /// What was measured.
    pub outcome: Outcome,
}

/// What came of trying a promise.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It was tried.
    Tried(Vec<Check>),
    /// It cannot be tried on this machine, for this reason.
    Skipped(String),
    /// The trial itself broke, for this reason.
    Broken(String),
}

impl Verdict {
    /// Whether nothing speaks against the promise.
    #[must_use]
    pub fn held(&self) -> bool {
        match &self.outcome {
            Outcome::Tried(checks) => checks.iter().all(|check| check.held),
            Outcome::Skipped(_) => true,
            Outcome::Broken(_) => false,
        }
    }
}

impl Display for Verdict {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let said = match &self.outcome {
            Outcome::Tried(_) if self.held() => "held",
            Outcome::Tried(_) => "BROKEN",
            Outcome::Skipped(_) => "skipped",
            Outcome::Broken(_) => "NOT TRIED",
        };
        writeln!(out, "row {:>2}  {}: {said}", self.row, self.promise)?;
        match &self.outcome {
            Outcome::Tried(checks) => checks.iter().try_for_each(|check| line(out, check)),
            Outcome::Skipped(reason) | Outcome::Broken(reason) => writeln!(out, "        {reason}"),
        }
    }
}

fn line(out: &mut Formatter<'_>, check: &Check) -> fmt::Result {
    let mark = if check.held { ' ' } else { '!' };
    out.write_char(mark)?;
    writeln!(
        out,
        "       {:<58} {:>14}   {}",
        check.what, check.figure, check.limit
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_holds_when_each_of_its_figures_does() {
        let mut row = Verdict {
            row: 13,
            promise: "slow and hostile clients",
            outcome: Outcome::Tried(vec![Check::at_most("seconds", 9, 10), Check::none("5xx", 0)]),
        };
        assert!(row.held());

        if let Outcome::Tried(checks) = &mut row.outcome {
            checks.push(Check::at_least("acknowledged", 2_999, 3_000));
        }

        assert!(!row.held());
        let told = row.to_string();
        assert!(
            told.starts_with("row 13  slow and hostile clients: BROKEN\n"),
            "{told}"
        );
        assert!(told.contains("\n!       acknowledged"), "{told}");
    }

    #[test]
    fn what_could_not_be_tried_is_told_and_only_a_broken_trial_fails() {
        let row = |outcome| Verdict {
            row: 11,
            promise: "full disk",
            outcome,
        };

        assert!(row(Outcome::Skipped("mounting needs root".into())).held());
        assert!(!row(Outcome::Broken("Postgres is not installed".into())).held());
    }
}
