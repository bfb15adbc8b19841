//! The view where there is no screen to fill: a progress bar, or plain lines for a log.

use std::io::{self, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::model::Model;
use crate::report::format::{clock, latency, rate};

/// Parts that the bar counts in.
const PARTS: f64 = 1_000.0;

/// A bar on the terminal that errors go to.
pub(super) struct Bar {
    bar: ProgressBar,
}

impl Bar {
    pub(super) fn new(model: &Model) -> Self {
        let style = ProgressStyle::with_template("{prefix} [{wide_bar:.blue}] {msg}")
            .expect("the template names known keys")
            .progress_chars("=> ");
        let bar = ProgressBar::with_draw_target(Some(1_000), ProgressDrawTarget::stderr_with_hz(4))
            .with_style(style)
            .with_prefix(model.plan.scenario.clone());
        Bar { bar }
    }

    pub(super) fn show(&self, model: &Model) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a part from 0 to 1,000"
        )]
        self.bar.set_position((model.progress() * PARTS) as u64);
        self.bar.set_message(says(model));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Lines for a log.
pub(super) struct Lines;

impl Lines {
    #[expect(clippy::unused_self, reason = "each view is shown in the same way")]
    pub(super) fn show(&self, model: &Model) {
        // A log that cannot be written does not stop a run.
        let _ = writeln!(io::stderr(), "{}", says(model));
    }
}

/// How things stand, in a line.
fn says(model: &Model) -> String {
    let mut line = format!(
        "{} of {}: {}/s offered, {}/s completed, {}/s failed, {} in flight, p99 {}",
        clock(model.now.at),
        clock(model.plan.length),
        rate(model.rates.offered),
        rate(model.rates.completed),
        rate(model.rates.failed),
        model.now.in_flight(),
        latency(model.rates.p99_ms),
    );
    if model.now.dropped > 0 {
        line.push_str(&format!(", {} dropped", model.now.dropped));
    }
    for fault in &model.chaos {
        line.push_str(&format!(" [{fault}]"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::halfway;
    use super::*;

    #[test]
    fn a_line_says_how_things_stand() {
        let line = says(&halfway());

        assert!(line.starts_with("1:00 of 2:00: "), "{line}");
        assert!(line.ends_with(" [sigstop]"), "{line}");
    }
}
