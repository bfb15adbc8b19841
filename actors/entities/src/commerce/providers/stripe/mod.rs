//! Stripe: PaymentIntents that are made under the attempt's idempotency key and confirmed on the spot.
//!
//! ```text
//! wire     requests as forms, answers as JSON, what each stands for
//! webhook  the signature of a webhook, and what it says
//! ```
//!
//! An intent is made first and confirmed after that. Making one charges nobody, so a lost answer is found out by making it
//! again under the same key, which answers with the same intent; and an intent charges once however often it is confirmed.
//! Stripe keeps such keys for 24 hours: beyond [`REPLAY_MAX`] after the order's end nothing is found out that way, and people
//! have to look.

mod webhook;
mod wire;

use std::fmt;
use std::time::Duration;

use lyceum_domain::commerce::payment::{ChargeOutcome, SendOutcome};
use lyceum_runtime::{StoreError, clock};

use super::client::{Answer, ClientSettings, HttpClient, Method};
use crate::commerce::gateway::{Call, ChargeRequest, PaymentProvider, RefundRequest};
pub use webhook::StripeCallbacks;

/// How long after an order's end its idempotency key is still believed to be known. With orders of at most 12 hours, which
/// the settings see to, this stays within Stripe's 24.
pub const REPLAY_MAX: Duration = Duration::from_hours(11);

/// How Stripe is reached, and how its webhooks are recognised.
#[derive(Clone)]
pub struct StripeSettings {
    /// Where its API is.
    pub client: ClientSettings,
    /// The secret API key, `sk_…`.
    pub api_key: String,
    /// The secret of the webhook endpoint, `whsec_…`.
    pub webhook_secret: String,
    /// How far the time of a webhook may be off.
    pub tolerance: Duration,
    /// Where a bank sends the buyer back to; empty where the page uses Stripe's library instead.
    pub return_url: String,
}

impl fmt::Debug for StripeSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StripeSettings")
            .field("client", &self.client)
            .field("api_key", &"***")
            .field("webhook_secret", &"***")
            .finish_non_exhaustive()
    }
}

/// Stripe's API.
pub struct Stripe {
    client: HttpClient,
    authorization: String,
    return_url: String,
}

/// What is known of an attempt's intent.
enum Found {
    /// It is this one.
    Intent(wire::Intent),
    /// There is none, and what to conclude from that.
    None(ChargeOutcome),
}

impl Stripe {
    /// An adapter that dials nothing but `settings.client.url`.
    ///
    /// # Errors
    /// The address or its authorities cannot be used.
    pub fn new(settings: &StripeSettings) -> Result<Self, StoreError> {
        Ok(Stripe {
            client: HttpClient::new(&settings.client)?,
            authorization: format!("Bearer {}", settings.api_key),
            return_url: settings.return_url.clone(),
        })
    }

    async fn post(&self, path: &str, key: Option<&str>, form: String) -> Option<Answer> {
        let mut headers = vec![
            ("authorization", self.authorization.as_str()),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        self.client
            .exchange(Method::POST, path, &headers, form.into_bytes())
            .await
    }

    async fn get(&self, path: &str) -> Option<Answer> {
        let headers = [("authorization", self.authorization.as_str())];
        self.client.exchange(Method::GET, path, &headers, vec![]).await
    }

    /// The intent of an attempt: by its id, or by making it again under its key.
    async fn intent(&self, request: &ChargeRequest) -> Found {
        if let Some(id) = &request.provider_id {
            return self.fetch(id).await;
        }
        let too_late = |end: lyceum_kernel::Timestamp| clock::now() > end.plus(REPLAY_MAX);
        if request.expires_at.is_some_and(too_late) {
            tracing::error!(
                payment.id = request.reference,
                "stripe has forgotten the key of an attempt that never ended"
            );
            return Found::None(ChargeOutcome::Unknown);
        }
        let form = wire::intent_form(request);
        let answer = self.post("/v1/payment_intents", Some(&request.key), form).await;
        match answer {
            Some(answer) if answer.is_success() => {
                wire::Intent::read(&answer.body).map_or(Found::None(ChargeOutcome::Unknown), Found::Intent)
            }
            Some(answer) => {
                complain(&answer);
                Found::None(wire::refused(&answer))
            }
            None => Found::None(ChargeOutcome::Unknown),
        }
    }

    async fn fetch(&self, id: &str) -> Found {
        let Some(path) = wire::intent_path(id) else {
            return Found::None(ChargeOutcome::Unknown);
        };
        let answer = self.get(&path).await.filter(Answer::is_success);
        let intent = answer.and_then(|answer| wire::Intent::read(&answer.body));
        intent.map_or(Found::None(ChargeOutcome::Unknown), Found::Intent)
    }

    /// How an intent stands by now; what was answered to making it may be from its beginning.
    async fn stands(&self, id: &str) -> ChargeOutcome {
        match self.fetch(id).await {
            Found::Intent(intent) => intent.outcome(),
            Found::None(outcome) => outcome,
        }
    }

    async fn confirm(&self, id: &str) -> ChargeOutcome {
        let Some(path) = wire::intent_path(id) else {
            return ChargeOutcome::Unknown;
        };
        // Without a key: Stripe would answer a failure again, and an intent is charged once anyway.
        let form = wire::confirm_form(&self.return_url);
        let answer = self.post(&format!("{path}/confirm"), None, form).await;
        let outcome = match answer {
            Some(answer) if answer.is_success() => {
                wire::Intent::read(&answer.body).map_or(ChargeOutcome::Unknown, |intent| intent.outcome())
            }
            Some(answer) => {
                complain(&answer);
                match self.stands(id).await {
                    // It was refused as it stands: another try would be as well.
                    ChargeOutcome::NeverSeen => wire::refused(&answer),
                    stands => stands,
                }
            }
            None => ChargeOutcome::Unknown,
        };
        if matches!(outcome, ChargeOutcome::Declined { .. }) {
            // Whoever has the intent's secret could try another card on it; what slips through is a late capture.
            self.post(&format!("{path}/cancel"), None, String::new()).await;
        }
        outcome
    }
}

/// What refuses us instead of a payment is for people to mend.
fn complain(answer: &Answer) {
    if answer.refuses_us() {
        tracing::error!(http.status = answer.status, "stripe refuses our key");
    }
}

impl PaymentProvider for Stripe {
    fn charge(&self, request: ChargeRequest) -> Call<'_, ChargeOutcome> {
        Box::pin(async move {
            match self.intent(&request).await {
                // If that was answered from memory and has been confirmed since, confirming says so.
                Found::Intent(intent) if intent.is_unconfirmed() => self.confirm(&intent.id).await,
                Found::Intent(intent) => self.stands(&intent.id).await,
                Found::None(outcome) => outcome,
            }
        })
    }

    fn query(&self, request: ChargeRequest) -> Call<'_, ChargeOutcome> {
        Box::pin(async move {
            match self.intent(&request).await {
                Found::Intent(intent) if request.provider_id.is_some() => intent.outcome(),
                Found::Intent(intent) => self.stands(&intent.id).await,
                Found::None(outcome) => outcome,
            }
        })
    }

    fn close(&self, request: ChargeRequest) -> Call<'_, ChargeOutcome> {
        Box::pin(async move {
            let intent = match self.intent(&request).await {
                Found::Intent(intent) => intent,
                // What Stripe will not even make is not charged either.
                Found::None(ChargeOutcome::Declined { .. }) => return ChargeOutcome::Closed,
                Found::None(outcome) => return outcome,
            };
            let Some(path) = wire::intent_path(&intent.id) else {
                return ChargeOutcome::Unknown;
            };
            let answer = self.post(&format!("{path}/cancel"), None, String::new()).await;
            match answer {
                Some(answer) if answer.is_success() => {
                    wire::Intent::read(&answer.body).map_or(ChargeOutcome::Unknown, |intent| intent.outcome())
                }
                // Mostly because it has ended already, one way or the other.
                Some(_) => self.stands(&intent.id).await,
                None => ChargeOutcome::Unknown,
            }
        })
    }

    fn refund(&self, request: RefundRequest) -> Call<'_, SendOutcome> {
        Box::pin(async move {
            let form = wire::refund_form(&request);
            match self.post("/v1/refunds", Some(&request.key), form).await {
                Some(answer) if answer.is_success() => wire::refund_said(&answer.body),
                Some(answer) => {
                    complain(&answer);
                    wire::refund_refused(&answer)
                }
                None => SendOutcome::Unknown,
            }
        })
    }

    fn query_refund(&self, request: RefundRequest) -> Call<'_, SendOutcome> {
        Box::pin(async move {
            let Some(path) = wire::refunds_path(&request.charge_id) else {
                return SendOutcome::Unknown;
            };
            match self.get(&path).await {
                Some(answer) if answer.is_success() => wire::refund_listed(&answer.body, &request.key),
                Some(_) | None => SendOutcome::Unknown,
            }
        })
    }
}

#[cfg(test)]
mod lost_test;
