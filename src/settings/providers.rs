//! Settings of payment providers: each is off until it has an address, and is checked only then.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Checks, Millis, Seconds, Secret};

const DAY: Duration = Duration::from_hours(24);

/// Payment providers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Providers {
    /// PEM file with the authorities that `https` addresses are verified by.
    pub ca_file: String,
    /// The stand-in that demos and tests pay with.
    pub sandbox: Sandbox,
}

impl Providers {
    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        self.sandbox.check(checks);
        if self.sandbox.url.starts_with("https://") && self.ca_file.is_empty() {
            checks.refuse(
                "providers.ca_file",
                "has no value, and an https address is verified by it",
            );
        }
    }
}

/// The stand-in provider.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sandbox {
    /// Base URL of its API; empty switches the provider off.
    pub url: String,
    /// Key that signs calls and callbacks.
    pub secret: Secret,
    /// Address at which it reaches our callbacks; empty for none.
    pub callback_url: String,
    /// Longest wait for a connection.
    pub connect_timeout_ms: Millis,
    /// Longest wait for one call, its connection included.
    pub timeout_ms: Millis,
    /// Calls under way at once.
    pub calls_max: usize,
    /// How far a callback's time may be from ours.
    pub callback_tolerance_s: Seconds,
}

impl Sandbox {
    fn check(&self, checks: &mut Checks<'_>) {
        let section = Section("providers.sandbox", checks);
        let Some(mut section) = section.offered(&self.url) else {
            return;
        };
        section.calls(self.connect_timeout_ms, self.timeout_ms, self.calls_max);
        section.tolerance(self.callback_tolerance_s, DAY);
        section.secret("secret", &self.secret, 16);
    }
}

/// One provider's section while it is checked.
struct Section<'a, 'layers>(&'static str, &'a mut Checks<'layers>);

impl Section<'_, '_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.0)
    }

    /// The section, if its provider is switched on.
    fn offered(mut self, url: &str) -> Option<Self> {
        if url.is_empty() {
            return None;
        }
        self.address("url", url);
        Some(self)
    }

    fn address(&mut self, name: &str, url: &str) {
        let is_address = url.starts_with("http://") || url.starts_with("https://");
        if !is_address {
            let message = format!("`{url}` is not an http or https URL");
            self.1.refuse(&self.key(name), message);
        }
    }

    fn secret(&mut self, name: &str, value: &Secret, chars_min: usize) {
        self.1.secret(&self.key(name), value, chars_min);
    }

    fn range(&mut self, name: &str, value: usize, range: RangeInclusive<usize>) {
        self.1.range(&self.key(name), value, range);
    }

    fn calls(&mut self, connect: Millis, whole: Millis, calls_max: usize) {
        let bounds = Duration::from_millis(10)..=Duration::from_mins(2);
        self.1
            .duration(&self.key("connect_timeout_ms"), *connect, bounds.clone());
        self.1.duration(&self.key("timeout_ms"), *whole, bounds);
        self.range("calls_max", calls_max, 1..=10_000);
    }

    fn tolerance(&mut self, tolerance: Seconds, most: Duration) {
        self.1.duration(
            &self.key("callback_tolerance_s"),
            *tolerance,
            Duration::from_secs(1)..=most,
        );
    }
}
