//! What the target tells about itself on `/metrics`: the commit that it was built from, and the CPU time that it has used.
//!
//! A target that tells nothing is loaded all the same; the report then says that it is not known.

use std::time::Duration;

use crate::client::Client;
use crate::request::Ask;

/// What is known of the target at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Vitals {
    /// The commit that it was built from.
    pub(crate) commit: Option<String>,
    /// The CPU time that it has used since it was started.
    pub(crate) cpu: Option<Duration>,
    /// When it was started, in seconds since 1970: another number is another process.
    started: Option<f64>,
}

impl Vitals {
    /// Asks the target.
    pub(crate) async fn read(client: &Client) -> Self {
        match client.send(Ask::get("/metrics").build(None)).await {
            Ok(answer) => Vitals::parse(&String::from_utf8_lossy(&answer.body)),
            Err(_) => Vitals::default(),
        }
    }

    /// Returns the CPU time used since an earlier moment, if it is the same process that tells.
    pub(crate) fn cpu_since(&self, earlier: &Vitals) -> Option<Duration> {
        if self.started != earlier.started {
            return None;
        }
        self.cpu?.checked_sub(earlier.cpu?)
    }

    fn parse(text: &str) -> Self {
        let value = |name: &str| -> Option<f64> {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
            line.split(' ').next()?.parse().ok()
        };
        let build = text.lines().find(|line| line.starts_with("build_info{"));
        Vitals {
            commit: build
                .and_then(|line| line.split_once("commit=\"")?.1.split_once('"'))
                .map(|(commit, _)| commit.to_owned())
                .filter(|commit| !commit.is_empty()),
            cpu: value("process_cpu_seconds_total")
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            started: value("process_start_time_seconds"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "# HELP build_info What runs.\n\
        build_info{version=\"0.1.0\",commit=\"3dcafe1b\"} 1\n\
        process_cpu_seconds_total 2.15\n\
        process_start_time_seconds 1795394617.45\n";

    #[test]
    fn commit_and_cpu_time_are_read_from_metrics() {
        let vitals = Vitals::parse(METRICS);

        assert_eq!(vitals.commit.as_deref(), Some("3dcafe1b"));
        assert_eq!(vitals.cpu, Some(Duration::from_millis(2_150)));
    }

    #[test]
    fn a_restart_meanwhile_makes_cpu_time_unknown() {
        let before = Vitals::parse(METRICS);
        let later = Vitals::parse(&METRICS.replace("2.15", "3.65"));
        let restarted = Vitals::parse(&METRICS.replace("617.45", "700.00"));

        assert_eq!(later.cpu_since(&before), Some(Duration::from_millis(1_500)));
        assert_eq!(restarted.cpu_since(&before), None);
    }

    #[test]
    fn a_target_that_tells_nothing_is_no_error() {
        assert_eq!(Vitals::parse("Not Found"), Vitals::default());
    }
}
