//! Stripe's requests as forms, its answers as JSON, and what each stands for. No IO.

use std::collections::BTreeMap;

use lyceum_domain::commerce::payment::{ChargeOutcome, PayerAction, SendOutcome};
use lyceum_kernel::{Currency, Money};
use serde::Deserialize;

use crate::commerce::gateway::{ChargeRequest, RefundRequest};
use crate::commerce::providers::client::{Answer, code};

const ID_BYTES_MAX: usize = 128;
/// The most refunds of one charge that one answer lists.
const REFUNDS_LISTED: usize = 100;
/// An answer from within these may be another one in a moment.
const CONFLICT: u16 = 409;

/// The request that makes an intent, without confirming it.
pub(super) fn intent_form(request: &ChargeRequest) -> String {
    form(&[
        ("amount", &request.amount.amount().to_string()),
        ("currency", &request.amount.currency().code().to_ascii_lowercase()),
        ("payment_method", &request.token),
        ("payment_method_types[]", "card"),
        ("metadata[key]", &request.key),
        ("metadata[reference]", &request.reference),
    ])
}

/// The request that confirms an intent.
pub(super) fn confirm_form(return_url: &str) -> String {
    if return_url.is_empty() {
        String::new()
    } else {
        form(&[("return_url", return_url)])
    }
}

/// The request that refunds a part of an intent, or all of it.
pub(super) fn refund_form(request: &RefundRequest) -> String {
    form(&[
        ("payment_intent", &request.charge_id),
        ("amount", &request.amount.amount().to_string()),
        ("metadata[key]", &request.key),
        ("metadata[reference]", &request.reference),
    ])
}

fn form(pairs: &[(&str, &str)]) -> String {
    serde_urlencoded::to_string(pairs).expect("pairs of texts make a form")
}

/// The path of an intent, if that is the id of one.
pub(super) fn intent_path(id: &str) -> Option<String> {
    is_id(id).then(|| format!("/v1/payment_intents/{id}"))
}

/// The path that lists the refunds of an intent.
pub(super) fn refunds_path(intent: &str) -> Option<String> {
    is_id(intent).then(|| format!("/v1/refunds?payment_intent={intent}&limit={REFUNDS_LISTED}"))
}

fn is_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !id.is_empty() && id.len() <= ID_BYTES_MAX && id.bytes().all(allowed)
}

/// An intent: one attempt to take money.
#[derive(Debug, Deserialize)]
pub(super) struct Intent {
    pub(super) id: String,
    status: String,
    amount: i64,
    #[serde(default)]
    amount_received: Option<i64>,
    currency: String,
    #[serde(default)]
    client_secret: Option<String>,
    #[serde(default)]
    next_action: Option<NextAction>,
    #[serde(default)]
    last_payment_error: Option<Reason>,
    #[serde(default)]
    pub(super) metadata: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct NextAction {
    #[serde(default)]
    redirect_to_url: Option<Redirect>,
}

#[derive(Debug, Deserialize)]
struct Redirect {
    url: String,
}

/// Why something was refused.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reason {
    code: Option<String>,
    decline_code: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: Reason,
}

impl Reason {
    fn code(&self) -> String {
        code(self.decline_code.as_deref().or(self.code.as_deref()), "declined")
    }
}

impl Intent {
    /// Reads an answer.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// Whether nothing was tried on it yet.
    pub(super) fn is_unconfirmed(&self) -> bool {
        self.status == "requires_confirmation"
    }

    /// What it stands for.
    pub(super) fn outcome(&self) -> ChargeOutcome {
        let provider_id = Some(self.id.clone());
        match self.status.as_str() {
            "succeeded" => match money(self.amount_received.unwrap_or(self.amount), &self.currency) {
                Some(amount) => ChargeOutcome::Succeeded {
                    charge_id: self.id.clone(),
                    amount,
                },
                None => ChargeOutcome::Unknown,
            },
            "canceled" => ChargeOutcome::Closed,
            "processing" => ChargeOutcome::Pending { provider_id },
            "requires_confirmation" => ChargeOutcome::NeverSeen,
            "requires_action" => match self.payer_action() {
                Some(action) => ChargeOutcome::ActionRequired { provider_id, action },
                None => ChargeOutcome::Unknown,
            },
            "requires_payment_method" => match &self.last_payment_error {
                Some(reason) => ChargeOutcome::Declined { code: reason.code() },
                None => ChargeOutcome::Unknown,
            },
            // `requires_capture` never happens to what is captured at once.
            _ => ChargeOutcome::Unknown,
        }
    }

    fn payer_action(&self) -> Option<PayerAction> {
        let redirect = self.next_action.as_ref()?.redirect_to_url.as_ref();
        if let Some(Redirect { url }) = redirect {
            return Some(PayerAction::Redirect { url: url.clone() });
        }
        // Stripe's library in the page does the rest with this.
        let secret = self.client_secret.as_ref()?;
        let parameters = serde_json::json!({ "client_secret": secret }).to_string();
        Some(PayerAction::App { parameters })
    }
}

/// What a refusal of an intent stands for.
pub(super) fn refused(answer: &Answer) -> ChargeOutcome {
    // 409 is another request under the same key, which may charge yet.
    if !answer.is_definite_refusal() || answer.refuses_us() || answer.status == CONFLICT {
        return ChargeOutcome::Unknown;
    }
    let Refusal { error } = serde_json::from_slice(&answer.body).unwrap_or_default();
    if error.code.as_deref() == Some("idempotency_key_in_use") {
        return ChargeOutcome::Unknown;
    }
    ChargeOutcome::Declined { code: error.code() }
}

/// What a refusal of a refund stands for.
pub(super) fn refund_refused(answer: &Answer) -> SendOutcome {
    match refused(answer) {
        ChargeOutcome::Declined { .. } => SendOutcome::Failed,
        _ => SendOutcome::Unknown,
    }
}

/// A refund.
#[derive(Debug, Deserialize)]
pub(super) struct Refund {
    status: String,
    #[serde(default)]
    pub(super) metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Refunds {
    data: Vec<Refund>,
    #[serde(default)]
    has_more: bool,
}

impl Refund {
    /// What it stands for.
    pub(super) fn outcome(&self) -> SendOutcome {
        match self.status.as_str() {
            "succeeded" => SendOutcome::Succeeded,
            "failed" | "canceled" => SendOutcome::Failed,
            _ => SendOutcome::Unknown,
        }
    }
}

/// What an answer about one refund stands for.
pub(super) fn refund_said(body: &[u8]) -> SendOutcome {
    serde_json::from_slice(body).map_or(SendOutcome::Unknown, |refund: Refund| refund.outcome())
}

/// What the list of a charge's refunds says about the one of this key.
pub(super) fn refund_listed(body: &[u8], key: &str) -> SendOutcome {
    let Ok(refunds) = serde_json::from_slice::<Refunds>(body) else {
        return SendOutcome::Unknown;
    };
    let ours = |refund: &&Refund| refund.metadata.get("key").is_some_and(|held| held == key);
    match refunds.data.iter().find(ours) {
        Some(refund) => refund.outcome(),
        // Further down the list it may be yet.
        None if refunds.has_more => SendOutcome::Unknown,
        None => SendOutcome::NeverSeen,
    }
}

fn money(amount: i64, currency: &str) -> Option<Money> {
    let currency: Currency = serde_json::from_value(currency.to_ascii_uppercase().into()).ok()?;
    Money::new(amount, currency).ok()
}

#[cfg(test)]
#[path = "wire_test.rs"]
mod tests;
