//! Payment providers as the platform takes them: addresses, limits, and keys read from their files.

use std::path::Path;

use lyceum_entities::commerce::providers::alipay::AlipaySettings;
use lyceum_entities::commerce::providers::client::ClientSettings;
use lyceum_entities::commerce::providers::stripe::StripeSettings;
use lyceum_entities::commerce::providers::wechat::{WechatSettings, platform_keys};
use lyceum_entities::commerce::providers::{Offered, ProviderSettings, SandboxProvider};
use lyceum_entities::commerce::{CallbackSecret, SandboxSettings};

use super::{Millis, Settings};
use crate::app::AppError;

impl Settings {
    /// Every provider that has an address.
    pub(super) fn offered(&self) -> Result<ProviderSettings, AppError> {
        Ok(ProviderSettings {
            sandbox: self.sandbox(),
            stripe: self.stripe(),
            wechat: self.wechat()?,
            alipay: self.alipay()?,
        })
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

    fn stripe(&self) -> Option<Offered<StripeSettings>> {
        let stripe = &self.providers.stripe;
        (!stripe.url.is_empty()).then(|| Offered {
            settings: StripeSettings {
                client: self.client(&stripe.url, stripe.connect_timeout_ms, stripe.timeout_ms),
                api_key: stripe.api_key.expose().to_owned(),
                webhook_secret: stripe.webhook_secret.expose().to_owned(),
                tolerance: *stripe.callback_tolerance_s,
                return_url: stripe.return_url.clone(),
            },
            calls_max: stripe.calls_max,
        })
    }

    fn wechat(&self) -> Result<Option<Offered<WechatSettings>>, AppError> {
        let wechat = &self.providers.wechat;
        if wechat.url.is_empty() {
            return Ok(None);
        }
        let keys = platform_keys(Path::new(&wechat.platform_keys));
        Ok(Some(Offered {
            settings: WechatSettings {
                client: self.client(&wechat.url, wechat.connect_timeout_ms, wechat.timeout_ms),
                mch_id: wechat.mch_id.clone(),
                app_id: wechat.app_id.clone(),
                serial: wechat.serial.clone(),
                private_key: read("providers.wechat.private_key_file", &wechat.private_key_file)?,
                api_v3_key: wechat.api_v3_key.expose().to_owned(),
                platform_keys: keys.map_err(|error| {
                    unreadable("providers.wechat.platform_keys", &wechat.platform_keys, &error)
                })?,
                callback_url: wechat.callback_url.clone(),
                tolerance: *wechat.callback_tolerance_s,
                subject: wechat.subject.clone(),
                bill_bytes_max: wechat.bill_bytes_max,
            },
            calls_max: wechat.calls_max,
        }))
    }

    fn alipay(&self) -> Result<Option<Offered<AlipaySettings>>, AppError> {
        let alipay = &self.providers.alipay;
        if alipay.url.is_empty() {
            return Ok(None);
        }
        Ok(Some(Offered {
            settings: AlipaySettings {
                client: self.client(&alipay.url, alipay.connect_timeout_ms, alipay.timeout_ms),
                app_id: alipay.app_id.clone(),
                private_key: read("providers.alipay.private_key_file", &alipay.private_key_file)?,
                alipay_public_key: read(
                    "providers.alipay.alipay_public_key_file",
                    &alipay.alipay_public_key_file,
                )?,
                callback_url: alipay.callback_url.clone(),
                return_url: alipay.return_url.clone(),
                tolerance: *alipay.callback_tolerance_s,
                subject: alipay.subject.clone(),
            },
            calls_max: alipay.calls_max,
        }))
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

fn read(key: &str, path: &str) -> Result<String, AppError> {
    std::fs::read_to_string(path).map_err(|error| unreadable(key, path, &error))
}

fn unreadable(key: &str, path: &str, error: &std::io::Error) -> AppError {
    AppError::Settings(format!("{key}: {path}: {error}"))
}
