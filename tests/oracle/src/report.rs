//! What the oracle looked at and what it found, as one JSON document.
//!
//! A rule that was looked at and holds is part of the report with 0 violations: a clean report is one that looked.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// Examples kept of each rule's violations.
pub const EXAMPLES_MAX: usize = 5;

/// Something that must be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its stable name, `area.what_holds`.
    pub name: &'static str,
    /// What it says, in one sentence.
    pub says: &'static str,
}

/// What became of one rule.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What the rule says.
    pub says: &'static str,
    /// How often it does not hold.
    pub violations: u64,
    /// Some of those cases.
    pub examples: Vec<String>,
}

/// The verdict of one check.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The form of this document.
    pub schema: &'static str,
    /// Whether every rule holds.
    pub clean: bool,
    /// The sum over all rules.
    pub violations: u64,
    /// How long it took until nothing was under way; none if that was not waited for or never came.
    pub at_rest_after_ms: Option<u64>,
    /// How much was looked at, by kind.
    pub looked_at: BTreeMap<&'static str, u64>,
    /// By the name of the rule.
    pub rules: BTreeMap<&'static str, Finding>,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            schema: "lyceum-oracle/1",
            clean: true,
            violations: 0,
            at_rest_after_ms: None,
            looked_at: BTreeMap::new(),
            rules: BTreeMap::new(),
        }
    }
}

impl Report {
    /// Notes that a rule is looked at.
    pub fn examine(&mut self, rule: Rule) -> &mut Finding {
        self.rules.entry(rule.name).or_insert_with(|| Finding {
            says: rule.says,
            violations: 0,
            examples: Vec::new(),
        })
    }

    /// Notes violations of a rule, of which `example` is one.
    pub fn violate(&mut self, rule: Rule, times: u64, example: String) {
        let finding = self.examine(rule);
        finding.violations += times;
        if finding.examples.len() < EXAMPLES_MAX {
            finding.examples.push(example);
        }
        self.violations += times;
        self.clean = false;
    }

    /// Adds to how much was looked at.
    pub fn count(&mut self, what: &'static str, number: usize) {
        *self.looked_at.entry(what).or_default() += u64::try_from(number).unwrap_or(u64::MAX);
    }

    /// The names of the rules that do not hold.
    #[must_use]
    pub fn violated(&self) -> Vec<&'static str> {
        let broken = self.rules.iter().filter(|(_, finding)| finding.violations > 0);
        broken.map(|(name, _)| *name).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, finding) in &self.rules {
            if finding.violations == 0 {
                continue;
            }
            writeln!(f, "{name}: {} violations: {}", finding.violations, finding.says)?;
            for example in &finding.examples {
                writeln!(f, "    {example}")?;
            }
        }
        for (what, number) in &self.looked_at {
            write!(f, "{number} {what}, ")?;
        }
        write!(f, "{} rules: {} violations", self.rules.len(), self.violations)
    }
}
