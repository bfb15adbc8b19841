//! Real payment providers: for each its protocol, pure and tested with documented vectors, and the adapter that speaks it.
//!
//! ```text
//! client   the one HTTP client, with or without TLS
//! rsa      signatures with RSA, for the two that use them
//! local    times as they write them
//! stripe   PaymentIntents, refunds, webhooks signed with HMAC
//! wechat   WeChat Pay API v3: Native and JSAPI orders, encrypted notifications, bills
//! alipay   page and app payments, notifications as signed forms
//! ```
//!
//! Every adapter follows the same rules. What is not certain is `Unknown`: no answer, one that cannot be read, one whose
//! signature is wrong. What refuses us and not the payment (a wrong key, a missing right) is `Unknown` as well, and an error
//! in the log: a payment is declined only by a reason of its own. Money is compared by the payment itself, which refuses
//! another amount or currency.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lyceum_domain::commerce::Provider;
use lyceum_runtime::StoreError;

use super::callback::{CallbackScheme, CallbackSecret, SandboxCallbacks};
use super::flows::CommercePorts;
use super::gateway::{Gateway, PaymentProvider};
use super::inbox::Inbox;
use super::queries::CommerceQueries;
use super::receiver::Receiver;
use super::sandbox::{Sandbox, SandboxSettings};

pub mod alipay;
pub mod client;
mod local;
mod rsa;
pub mod stripe;
pub mod wechat;

pub use self::rsa::KeyError;

/// Everybody through whom payments are offered, and how they are reached and recognised.
#[derive(Clone, Debug, Default)]
pub struct ProviderSettings {
    /// The sandbox.
    pub sandbox: Option<SandboxProvider>,
    /// Stripe.
    pub stripe: Option<Offered<stripe::StripeSettings>>,
    /// WeChat Pay.
    pub wechat: Option<Offered<wechat::WechatSettings>>,
    /// Alipay.
    pub alipay: Option<Offered<alipay::AlipaySettings>>,
}

/// The sandbox provider: where it is, and how its callbacks are recognised.
#[derive(Clone, Debug)]
pub struct SandboxProvider {
    /// Where it is.
    pub settings: SandboxSettings,
    /// Signs its callbacks.
    pub secret: CallbackSecret,
    /// How old a callback may be.
    pub callback_tolerance: Duration,
    /// Calls under way at once, at most.
    pub calls_max: usize,
}

/// A provider that is offered.
#[derive(Clone, Debug)]
pub struct Offered<S> {
    /// How it is reached and recognised.
    pub settings: S,
    /// Calls under way at once, at most.
    pub calls_max: usize,
}

/// Whoever proves that callbacks are theirs.
pub(crate) type Schemes = Vec<(Provider, Box<dyn CallbackScheme>)>;

/// Opens the way to every provider that is offered, and names the scheme of its callbacks.
///
/// # Errors
/// An address or a key cannot be used.
pub(crate) fn open(settings: ProviderSettings) -> Result<(Gateway, Schemes), StoreError> {
    let mut lines: Vec<(Provider, Box<dyn PaymentProvider>, usize)> = Vec::new();
    let mut schemes: Schemes = Vec::new();
    if let Some(sandbox) = settings.sandbox {
        let adapter = Sandbox::new(&sandbox.settings)?;
        lines.push((Provider::Sandbox, Box::new(adapter), sandbox.calls_max));
        let scheme = SandboxCallbacks {
            secret: sandbox.secret,
            tolerance: sandbox.callback_tolerance,
        };
        schemes.push((Provider::Sandbox, Box::new(scheme)));
    }
    if let Some(Offered { settings, calls_max }) = settings.stripe {
        schemes.push((
            Provider::Stripe,
            Box::new(stripe::StripeCallbacks::new(&settings)),
        ));
        lines.push((
            Provider::Stripe,
            Box::new(stripe::Stripe::new(&settings)?),
            calls_max,
        ));
    }
    if let Some(Offered { settings, calls_max }) = settings.wechat {
        schemes.push((
            Provider::Wechat,
            Box::new(wechat::WechatCallbacks::new(&settings)?),
        ));
        lines.push((
            Provider::Wechat,
            Box::new(wechat::Wechat::new(&settings)?),
            calls_max,
        ));
    }
    if let Some(Offered { settings, calls_max }) = settings.alipay {
        schemes.push((
            Provider::Alipay,
            Box::new(alipay::AlipayCallbacks::new(&settings)?),
        ));
        lines.push((
            Provider::Alipay,
            Box::new(alipay::Alipay::new(&settings)?),
            calls_max,
        ));
    }
    Ok((Gateway::new(lines), schemes))
}

/// Receives the callbacks of every provider that is offered. Cheap to clone.
#[derive(Clone, Default)]
pub struct Receivers(Arc<BTreeMap<Provider, Receiver>>);

impl Receivers {
    pub(crate) fn new(
        schemes: Schemes,
        inbox: &Inbox,
        queries: &CommerceQueries,
        ports: &CommercePorts,
    ) -> Self {
        let receivers = schemes.into_iter().map(|(provider, scheme)| {
            let receiver = Receiver::new(provider, scheme, inbox.clone(), queries.clone(), ports.clone());
            (provider, receiver)
        });
        Receivers(Arc::new(receivers.collect()))
    }

    /// The one of a provider, if it is offered.
    pub fn of(&self, provider: Provider) -> Option<&Receiver> {
        self.0.get(&provider)
    }

    /// The one of the provider of this name, if it is offered.
    pub(super) fn named(&self, name: &str) -> Option<(Provider, &Receiver)> {
        let mut receivers = self.0.iter().map(|(provider, receiver)| (*provider, receiver));
        receivers.find(|(provider, _)| provider.name() == name)
    }
}
