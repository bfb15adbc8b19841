//! WeChat Pay, API v3: Native orders (a QR code) and JSAPI orders (inside WeChat), refunds, notifications, bills.
//!
//! ```text
//! sign      the signature of requests, and of answers and notifications
//! resource  what notifications carry encrypted
//! wire      bodies of requests and answers, and what each stands for
//! notify    notifications
//! bill      the bill of a day's trade
//! ```
//!
//! The attempt's key is the merchant's order number, so an order can be asked for and closed by it, and placing it again
//! brings the same code. An answer counts once its signature is that of a platform key we hold.

mod bill;
mod notify;
mod resource;
mod sign;
mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lyceum_domain::commerce::payment::{ChargeOutcome, PayerAction, SendOutcome};
use lyceum_runtime::{StoreError, clock};

use self::sign::{Credentials, PlatformKeys};
use super::client::{Answer, ClientSettings, HttpClient, Method};
use crate::commerce::gateway::{Call, ChargeRequest, PaymentProvider, RefundRequest};
pub use bill::BillError;
pub use notify::WechatCallbacks;

/// How WeChat Pay is reached, and how it is recognised.
#[derive(Clone)]
pub struct WechatSettings {
    /// Where its API is.
    pub client: ClientSettings,
    /// The merchant's number.
    pub mch_id: String,
    /// The app that orders are placed for.
    pub app_id: String,
    /// The serial number of the merchant's certificate.
    pub serial: String,
    /// The merchant's private key, as PEM.
    pub private_key: String,
    /// The APIv3 key, 32 bytes.
    pub api_v3_key: String,
    /// Public keys of the platform by serial number or key id, as PEM.
    pub platform_keys: BTreeMap<String, String>,
    /// The address that is notified.
    pub callback_url: String,
    /// How far the time of an answer or a notification may be off.
    pub tolerance: Duration,
    /// What payers read an order as.
    pub subject: String,
    /// The longest bill that is read, bytes.
    pub bill_bytes_max: usize,
}

impl fmt::Debug for WechatSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WechatSettings")
            .field("client", &self.client)
            .field("mch_id", &self.mch_id)
            .field("private_key", &"***")
            .field("api_v3_key", &"***")
            .finish_non_exhaustive()
    }
}

/// Reads the public keys of the platform: every `SERIAL.pem` of a folder. A key is rotated by putting the next one beside it.
///
/// # Errors
/// The folder or a file cannot be read, or there is none.
pub fn platform_keys(folder: &Path) -> std::io::Result<BTreeMap<String, String>> {
    let mut keys = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let serial = path.file_stem().and_then(|stem| stem.to_str());
        if let Some(serial) = serial.filter(|_| path.extension().is_some_and(|ending| ending == "pem")) {
            keys.insert(serial.to_owned(), std::fs::read_to_string(&path)?);
        }
    }
    if keys.is_empty() {
        return Err(std::io::Error::other("no SERIAL.pem in it"));
    }
    Ok(keys)
}

/// WeChat Pay's API.
pub struct Wechat {
    client: HttpClient,
    credentials: Credentials,
    keys: PlatformKeys,
    merchant: Arc<wire::Merchant>,
    tolerance: Duration,
    bill_bytes_max: usize,
}

impl Wechat {
    /// An adapter that dials nothing but `settings.client.url`.
    ///
    /// # Errors
    /// The address or a key cannot be used.
    pub fn new(settings: &WechatSettings) -> Result<Self, StoreError> {
        Ok(Wechat {
            client: HttpClient::new(&settings.client)?,
            credentials: Credentials::new(settings).map_err(StoreError::refused)?,
            keys: PlatformKeys::new(&settings.platform_keys).map_err(StoreError::refused)?,
            merchant: Arc::new(wire::Merchant {
                mch_id: settings.mch_id.clone(),
                app_id: settings.app_id.clone(),
                notify_url: settings.callback_url.clone(),
                subject: settings.subject.clone(),
            }),
            tolerance: settings.tolerance,
            bill_bytes_max: settings.bill_bytes_max,
        })
    }

    /// Asks, and believes only what is signed: `None` is no answer, or somebody else's.
    async fn ask(&self, method: Method, path: &str, body: String) -> Option<Answer> {
        let now = clock::now();
        let authorization = self
            .credentials
            .authorization(method.as_str(), path, &body, now)?;
        let headers = [
            ("authorization", authorization.as_str()),
            ("accept", "application/json"),
            ("content-type", "application/json"),
        ];
        let answer = self
            .client
            .exchange(method, path, &headers, body.into_bytes())
            .await?;
        if answer.refuses_us() && wire::refusal(&answer).refuses_us() {
            tracing::error!(
                http.status = answer.status,
                "wechat refuses our signature or our rights"
            );
        }
        let proved = self.keys.prove(
            |name| answer.header(name).to_owned(),
            &answer.body,
            clock::now(),
            self.tolerance,
        );
        if !proved {
            // A gateway on the way signs nothing when it is down; that needs nobody to look.
            if !answer.is_success() {
                return None;
            }
            tracing::error!(
                http.status = answer.status,
                "an answer of wechat is not signed by a key we hold"
            );
            return None;
        }
        Some(answer)
    }

    /// What the payer is shown for an order that was placed.
    fn payer_action(&self, placed: wire::Placed) -> Option<PayerAction> {
        match placed {
            wire::Placed::Code(url) => Some(PayerAction::QrCode { url }),
            wire::Placed::Prepaid(prepay_id) => {
                let parameters =
                    self.credentials
                        .invocation(&self.merchant.app_id, &prepay_id, clock::now())?;
                Some(PayerAction::App { parameters })
            }
        }
    }

    async fn query_order(&self, key: &str) -> ChargeOutcome {
        let path = self.merchant.order_path(key);
        match self.ask(Method::GET, &path, String::new()).await {
            Some(answer) => wire::order_said(&answer),
            None => ChargeOutcome::Unknown,
        }
    }
}

impl PaymentProvider for Wechat {
    fn charge(&self, request: ChargeRequest) -> Call<'_, ChargeOutcome> {
        Box::pin(async move {
            let (path, body) = match self.merchant.order(&request) {
                Ok(order) => order,
                Err(code) => {
                    return ChargeOutcome::Declined {
                        code: code.to_owned(),
                    };
                }
            };
            let Some(answer) = self.ask(Method::POST, path, body).await else {
                return ChargeOutcome::Unknown;
            };
            match wire::placed(&answer) {
                Ok(placed) => self
                    .payer_action(placed)
                    .map_or(ChargeOutcome::Unknown, |action| ChargeOutcome::ActionRequired {
                        provider_id: None,
                        action,
                    }),
                Err(outcome) => outcome,
            }
        })
    }

    fn query(&self, request: ChargeRequest) -> Call<'_, ChargeOutcome> {
        Box::pin(async move { self.query_order(&request.key).await })
    }

    fn close(&self, request: ChargeRequest) -> Call<'_, ChargeOutcome> {
        Box::pin(async move {
            let (path, body) = self.merchant.closing(&request.key);
            let Some(answer) = self.ask(Method::POST, &path, body).await else {
                return ChargeOutcome::Unknown;
            };
            match wire::closed(&answer) {
                Some(outcome) => outcome,
                // It was paid, or is being paid: the order says which.
                None => self.query_order(&request.key).await,
            }
        })
    }

    fn refund(&self, request: RefundRequest) -> Call<'_, SendOutcome> {
        Box::pin(async move {
            let body = self.merchant.refund(&request);
            match self.ask(Method::POST, wire::REFUNDS, body).await {
                Some(answer) => wire::refund_sent(&answer),
                None => SendOutcome::Unknown,
            }
        })
    }

    fn query_refund(&self, request: RefundRequest) -> Call<'_, SendOutcome> {
        Box::pin(async move {
            let path = format!("{}/{}", wire::REFUNDS, request.key);
            match self.ask(Method::GET, &path, String::new()).await {
                Some(answer) => wire::refund_said(&answer),
                None => SendOutcome::Unknown,
            }
        })
    }
}
