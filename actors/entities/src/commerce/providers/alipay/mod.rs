//! Alipay: page and app payments, refunds, notifications.
//!
//! ```text
//! sign     RSA2: what is signed of a request, an answer and a notification
//! wire     parameters of requests, answers, and what each stands for
//! notify   notifications
//! ```
//!
//! A payment begins in the payer's browser or app, with parameters that we sign and never send ourselves. Until they have
//! opened it, Alipay knows no such trade; `time_expire` ends it there as well. An answer counts once the signature over its
//! raw text is Alipay's.

mod notify;
mod sign;
mod wire;

use std::fmt;
use std::time::Duration;

use lyceum_domain::commerce::payment::{ChargeOutcome, PayerAction, SendOutcome};
use lyceum_runtime::{StoreError, clock};

use self::wire::{Merchant, Said};
use super::client::{ClientSettings, HttpClient, Method};
use super::rsa::{Signer, Verifier};
use crate::commerce::gateway::{Call, ChargeRequest, PaymentProvider, RefundRequest};
pub use notify::AlipayCallbacks;

/// The one path of its API.
const GATEWAY: &str = "/gateway.do";

/// How Alipay is reached, and how it is recognised.
#[derive(Clone)]
pub struct AlipaySettings {
    /// Where its API is.
    pub client: ClientSettings,
    /// The app that trades are made for.
    pub app_id: String,
    /// The app's private key: PEM, or bare base64 as Alipay's tool writes it.
    pub private_key: String,
    /// Alipay's public key, likewise.
    pub alipay_public_key: String,
    /// The address that is notified.
    pub callback_url: String,
    /// Where the payer's browser is sent back to; empty for nowhere.
    pub return_url: String,
    /// How far the time of a notification may be off.
    pub tolerance: Duration,
    /// What payers read a trade as.
    pub subject: String,
}

impl fmt::Debug for AlipaySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlipaySettings")
            .field("client", &self.client)
            .field("app_id", &self.app_id)
            .field("private_key", &"***")
            .finish_non_exhaustive()
    }
}

/// Alipay's API.
pub struct Alipay {
    client: HttpClient,
    merchant: Merchant,
    signer: Signer,
    verifier: Verifier,
}

impl Alipay {
    /// An adapter that dials nothing but `settings.client.url`.
    ///
    /// # Errors
    /// The address or a key cannot be used.
    pub fn new(settings: &AlipaySettings) -> Result<Self, StoreError> {
        Ok(Alipay {
            client: HttpClient::new(&settings.client)?,
            merchant: Merchant {
                app_id: settings.app_id.clone(),
                notify_url: settings.callback_url.clone(),
                return_url: settings.return_url.clone(),
                subject: settings.subject.clone(),
            },
            signer: Signer::read(&settings.private_key).map_err(StoreError::refused)?,
            verifier: Verifier::read(&settings.alipay_public_key).map_err(StoreError::refused)?,
        })
    }

    /// Asks, and believes only what is signed.
    async fn ask(&self, method: &str, content: serde_json::Value) -> Said {
        let parameters = self.merchant.parameters(method, &content, clock::now());
        let form = sign::signed(parameters, &self.signer);
        let headers = [("content-type", "application/x-www-form-urlencoded;charset=utf-8")];
        let answer = self
            .client
            .exchange(Method::POST, GATEWAY, &headers, form.into_bytes())
            .await;
        let Some(answer) = answer.filter(super::client::Answer::is_success) else {
            return Said::Nothing;
        };
        let Some(said) = sign::proved(&answer.body, method, &self.verifier) else {
            tracing::error!("an answer of alipay is not signed by the key we hold");
            return Said::Nothing;
        };
        let said = Said::read(said);
        if let Said::Refused { code, sub_code } = &said
            && wire::refuses_us(code, sub_code)
        {
            tracing::error!(
                alipay.code = code,
                alipay.sub_code = sub_code,
                "alipay refuses our key or our rights"
            );
        }
        said
    }

    async fn query_trade(&self, key: &str) -> ChargeOutcome {
        wire::trade_said(&self.ask(wire::QUERY, wire::by_key(key)).await)
    }

    async fn query_sent(&self, request: &RefundRequest) -> SendOutcome {
        let content = wire::refund_query(request);
        wire::refund_found(&self.ask(wire::REFUND_QUERY, content).await)
    }
}

impl PaymentProvider for Alipay {
    fn charge(&self, request: ChargeRequest) -> Call<'_, ChargeOutcome> {
        Box::pin(async move {
            let payment = match wire::payment(&self.merchant, &request) {
                Ok(payment) => payment,
                Err(code) => {
                    return ChargeOutcome::Declined {
                        code: code.to_owned(),
                    };
                }
            };
            let parameters = self
                .merchant
                .parameters(payment.method, &payment.content, clock::now());
            let form = sign::signed(parameters, &self.signer);
            let action = if payment.in_app {
                PayerAction::App { parameters: form }
            } else {
                let url = format!("{}{GATEWAY}?{form}", self.client.base());
                PayerAction::Redirect { url }
            };
            ChargeOutcome::ActionRequired {
                provider_id: None,
                action,
            }
        })
    }

    fn query(&self, request: ChargeRequest) -> Call<'_, ChargeOutcome> {
        Box::pin(async move { self.query_trade(&request.key).await })
    }

    fn close(&self, request: ChargeRequest) -> Call<'_, ChargeOutcome> {
        Box::pin(async move {
            match wire::closed(&self.ask(wire::CLOSE, wire::by_key(&request.key)).await) {
                Some(outcome) => outcome,
                // It cannot be closed as it stands: mostly it was paid.
                None => self.query_trade(&request.key).await,
            }
        })
    }

    fn refund(&self, request: RefundRequest) -> Call<'_, SendOutcome> {
        Box::pin(async move {
            match wire::refund_sent(&self.ask(wire::REFUND, wire::refund(&request)).await) {
                Some(outcome) => outcome,
                // Nothing moved with this call: it moved with an earlier one, or it is under way.
                None => self.query_sent(&request).await,
            }
        })
    }

    fn query_refund(&self, request: RefundRequest) -> Call<'_, SendOutcome> {
        Box::pin(async move { self.query_sent(&request).await })
    }
}
