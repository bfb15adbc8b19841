//! Payment providers: who is offered, how each is reached, and how its callbacks are recognised.
//!
//! What is not certain is `Unknown`: no answer, or one that cannot be read. Money is compared by the payment itself, which
//! refuses another amount or currency.

use std::collections::BTreeMap;
use std::time::Duration;

use lyceum_domain::commerce::Provider;
use lyceum_runtime::StoreError;

use super::callback::{CallbackScheme, CallbackSecret, SandboxCallbacks};
use super::flows::CommercePorts;
use super::gateway::{Gateway, PaymentProvider};
use super::queries::CommerceQueries;
use super::receiver::Receiver;
use super::sandbox::{Sandbox, SandboxSettings};

pub mod client;

/// Everybody through whom payments are offered, and how they are reached and recognised.
#[derive(Clone, Debug, Default)]
pub struct ProviderSettings {
    /// The sandbox.
    pub sandbox: Option<SandboxProvider>,
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
    Ok((Gateway::new(lines), schemes))
}

/// Receives the callbacks of every provider that is offered.
#[derive(Default)]
pub struct Receivers(BTreeMap<Provider, Receiver>);

impl Receivers {
    pub(crate) fn new(schemes: Schemes, queries: &CommerceQueries, ports: &CommercePorts) -> Self {
        let receivers = schemes.into_iter().map(|(provider, scheme)| {
            let receiver = Receiver::new(provider, scheme, queries.clone(), ports.clone());
            (provider, receiver)
        });
        Receivers(receivers.collect())
    }

    /// The one of a provider, if it is offered.
    pub fn of(&self, provider: Provider) -> Option<&Receiver> {
        self.0.get(&provider)
    }
}
