//! Payment providers as the platform takes them: addresses and limits.

use lyceum_entities::commerce::providers::client::ClientSettings;
use lyceum_entities::commerce::providers::{ProviderSettings, SandboxProvider};
use lyceum_entities::commerce::{CallbackSecret, SandboxSettings};

use super::{Millis, Settings};

impl Settings {
    /// Every provider that has an address.
    pub(super) fn offered(&self) -> ProviderSettings {
        ProviderSettings {
            sandbox: self.sandbox(),
        }
    }

    fn sandbox(&self) -> Option<SandboxProvider> {
        let sandbox = &self.providers.sandbox;
        (!sandbox.url.is_empty()).then(|| SandboxProvider {
            settings: SandboxSettings {
                client: self.client(&sandbox.url, sandbox.connect_timeout_ms, sandbox.timeout_ms),
                callback_url: sandbox.callback_url.clone(),
            },
            secret: CallbackSecret::new(sandbox.secret.expose()),
            callback_tolerance: *sandbox.callback_tolerance_s,
            calls_max: sandbox.calls_max,
        })
    }

    fn client(&self, url: &str, connect: Millis, whole: Millis) -> ClientSettings {
        ClientSettings {
            url: url.to_owned(),
            connect_timeout: *connect,
            request_timeout: *whole,
            ca_file: self.providers.ca_file.clone().into(),
        }
    }
}
