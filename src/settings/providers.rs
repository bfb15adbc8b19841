//! Settings of payment providers: each is off until it has an address, and is checked only then.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Checks, Millis, Seconds, Secret};

const DAY: Duration = Duration::from_hours(24);
/// Orders live at most this long where Stripe is offered: its idempotency keys are kept for 24 hours.
const STRIPE_ORDER_TTL_MAX: Duration = Duration::from_hours(12);

/// Payment providers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Providers {
    /// PEM file with the authorities that `https` addresses are verified by.
    pub ca_file: String,
    /// The stand-in that demos and tests pay with.
    pub sandbox: Sandbox,
    /// Stripe.
    pub stripe: Stripe,
    /// WeChat Pay.
    pub wechat: Wechat,
    /// Alipay.
    pub alipay: Alipay,
}

impl Providers {
    pub(super) fn check(&self, order_ttl: Duration, checks: &mut Checks<'_>) {
        self.sandbox.check(checks);
        self.stripe.check(order_ttl, checks);
        self.wechat.check(checks);
        self.alipay.check(checks);
        let encrypted = [
            &self.sandbox.url,
            &self.stripe.url,
            &self.wechat.url,
            &self.alipay.url,
        ];
        if encrypted.iter().any(|url| url.starts_with("https://")) && self.ca_file.is_empty() {
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

/// Stripe.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Stripe {
    /// Base URL of its API; empty switches the provider off.
    pub url: String,
    /// Key that signs calls, `sk_…`.
    pub api_key: Secret,
    /// Key that signs webhooks, `whsec_…`.
    pub webhook_secret: Secret,
    /// Where a bank sends the buyer back to; empty where the page uses Stripe's library.
    pub return_url: String,
    /// Longest wait for a connection.
    pub connect_timeout_ms: Millis,
    /// Longest wait for one call, its connection included.
    pub timeout_ms: Millis,
    /// Calls under way at once.
    pub calls_max: usize,
    /// How far a webhook's time may be from ours.
    pub callback_tolerance_s: Seconds,
}

impl Stripe {
    fn check(&self, order_ttl: Duration, checks: &mut Checks<'_>) {
        let section = Section("providers.stripe", checks);
        let Some(mut section) = section.offered(&self.url) else {
            return;
        };
        section.calls(self.connect_timeout_ms, self.timeout_ms, self.calls_max);
        section.tolerance(self.callback_tolerance_s, DAY);
        section.secret("api_key", &self.api_key, 8);
        section.secret("webhook_secret", &self.webhook_secret, 16);
        section.address("return_url", &self.return_url, true);
        section.1.duration(
            "commerce.order_ttl_s",
            order_ttl,
            Duration::from_secs(1)..=STRIPE_ORDER_TTL_MAX,
        );
    }
}

/// WeChat Pay.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Wechat {
    /// Base URL of its API; empty switches the provider off.
    pub url: String,
    /// The merchant's number.
    pub mch_id: String,
    /// The app that orders are placed for.
    pub app_id: String,
    /// Serial number of the merchant's certificate.
    pub serial: String,
    /// File of the merchant's private key as PEM.
    pub private_key_file: String,
    /// Key that notifications are encrypted with.
    pub api_v3_key: Secret,
    /// Folder with the platform's public keys, each as `SERIAL.pem`.
    pub platform_keys: String,
    /// What payers read an order as.
    pub subject: String,
    /// Address at which it reaches our callbacks.
    pub callback_url: String,
    /// Longest wait for a connection.
    pub connect_timeout_ms: Millis,
    /// Longest wait for one call, its connection included.
    pub timeout_ms: Millis,
    /// Calls under way at once.
    pub calls_max: usize,
    /// How far the time of an answer or a callback may be from ours.
    pub callback_tolerance_s: Seconds,
    /// Longest bill that is read.
    pub bill_bytes_max: usize,
}

impl Wechat {
    fn check(&self, checks: &mut Checks<'_>) {
        let section = Section("providers.wechat", checks);
        let Some(mut section) = section.offered(&self.url) else {
            return;
        };
        section.calls(self.connect_timeout_ms, self.timeout_ms, self.calls_max);
        section.tolerance(self.callback_tolerance_s, DAY);
        section.secret("api_v3_key", &self.api_v3_key, 32);
        section.address("callback_url", &self.callback_url, false);
        section.wanted("mch_id", &self.mch_id);
        section.wanted("app_id", &self.app_id);
        section.wanted("serial", &self.serial);
        section.wanted("private_key_file", &self.private_key_file);
        section.wanted("platform_keys", &self.platform_keys);
        section.wanted("subject", &self.subject);
        section.range("bill_bytes_max", self.bill_bytes_max, 65_536..=1 << 30);
    }
}

/// Alipay.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Alipay {
    /// Base URL of its API; empty switches the provider off.
    pub url: String,
    /// The app that trades are made for.
    pub app_id: String,
    /// File of the app's private key.
    pub private_key_file: String,
    /// File of Alipay's public key.
    pub alipay_public_key_file: String,
    /// What payers read a trade as.
    pub subject: String,
    /// Address at which it reaches our callbacks.
    pub callback_url: String,
    /// Where the payer's browser is sent back to; empty for nowhere.
    pub return_url: String,
    /// Longest wait for a connection.
    pub connect_timeout_ms: Millis,
    /// Longest wait for one call, its connection included.
    pub timeout_ms: Millis,
    /// Calls under way at once.
    pub calls_max: usize,
    /// How far a callback's time may be from ours.
    pub callback_tolerance_s: Seconds,
}

impl Alipay {
    fn check(&self, checks: &mut Checks<'_>) {
        let section = Section("providers.alipay", checks);
        let Some(mut section) = section.offered(&self.url) else {
            return;
        };
        section.calls(self.connect_timeout_ms, self.timeout_ms, self.calls_max);
        section.tolerance(self.callback_tolerance_s, DAY * 7);
        section.address("callback_url", &self.callback_url, false);
        section.address("return_url", &self.return_url, true);
        section.wanted("app_id", &self.app_id);
        section.wanted("private_key_file", &self.private_key_file);
        section.wanted("alipay_public_key_file", &self.alipay_public_key_file);
        section.wanted("subject", &self.subject);
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
        self.address("url", url, false);
        Some(self)
    }

    fn address(&mut self, name: &str, url: &str, may_be_empty: bool) {
        let is_address = url.starts_with("http://") || url.starts_with("https://");
        let is_left_out = may_be_empty && url.is_empty();
        if !is_address && !is_left_out {
            let message = format!("`{url}` is not an http or https URL");
            self.1.refuse(&self.key(name), message);
        }
    }

    fn wanted(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            self.1.refuse(&self.key(name), "has no value");
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
