//! Bodies of WeChat Pay's requests and answers, and what each answer stands for. No IO.

use lyceum_domain::commerce::payment::{ChargeOutcome, SendOutcome};
use lyceum_kernel::{Currency, Money};
use serde::Deserialize;
use serde_json::json;

use crate::commerce::gateway::{ChargeRequest, RefundRequest};
use crate::commerce::providers::client::{Answer, code};
use crate::commerce::providers::local;

/// Where refunds are sent, and asked about by their number.
pub(super) const REFUNDS: &str = "/v3/refund/domestic/refunds";
/// What our keys of payments begin with. The merchant's order number has no room for it.
const PAYMENT: &str = "pay_";

/// Whose orders they are.
pub(super) struct Merchant {
    pub(super) mch_id: String,
    pub(super) app_id: String,
    pub(super) notify_url: String,
    pub(super) subject: String,
}

/// The merchant's order number of a key: at most 32 characters.
pub(super) fn out_trade_no(key: &str) -> &str {
    key.strip_prefix(PAYMENT).unwrap_or(key)
}

/// The key of a merchant's order number, and the payment that it is an attempt of.
pub(super) fn key_of(out_trade_no: &str) -> (String, String) {
    let key = format!("{PAYMENT}{out_trade_no}");
    let reference = key
        .rsplit_once('-')
        .map_or_else(|| key.clone(), |(payment, _)| payment.to_owned());
    (key, reference)
}

impl Merchant {
    /// The request that places an order: its path and its body, or the code that declines it.
    pub(super) fn order(&self, request: &ChargeRequest) -> Result<(&'static str, String), &'static str> {
        if request.amount.currency() != Currency::CNY {
            return Err("currency_unsupported");
        }
        let mut body = json!({
            "appid": self.app_id, "mchid": self.mch_id, "description": self.subject,
            "out_trade_no": out_trade_no(&request.key), "notify_url": self.notify_url,
            "amount": {"total": request.amount.amount(), "currency": "CNY"},
        });
        if let Some(expires_at) = request.expires_at {
            body["time_expire"] = local::rfc3339(expires_at).into();
        }
        let path = match request.token.split_once(':') {
            None if request.token == "native" => "/v3/pay/transactions/native",
            Some(("jsapi", openid)) if !openid.is_empty() => {
                body["payer"] = json!({ "openid": openid });
                "/v3/pay/transactions/jsapi"
            }
            _ => return Err("unknown_token"),
        };
        Ok((path, body.to_string()))
    }

    /// The path that an order is asked for at.
    pub(super) fn order_path(&self, key: &str) -> String {
        format!(
            "/v3/pay/transactions/out-trade-no/{}?mchid={}",
            out_trade_no(key),
            self.mch_id
        )
    }

    /// The request that closes an order.
    pub(super) fn closing(&self, key: &str) -> (String, String) {
        let path = format!("/v3/pay/transactions/out-trade-no/{}/close", out_trade_no(key));
        (path, json!({ "mchid": self.mch_id }).to_string())
    }

    /// The body of a refund.
    pub(super) fn refund(&self, request: &RefundRequest) -> String {
        json!({
            "transaction_id": request.charge_id, "out_refund_no": request.key, "notify_url": self.notify_url,
            "amount": {
                "refund": request.amount.amount(), "total": request.total.amount(),
                "currency": request.amount.currency().code(),
            },
        })
        .to_string()
    }
}

/// What an order was answered with.
pub(super) enum Placed {
    /// What the QR code says.
    Code(String),
    /// What a page within WeChat pays by.
    Prepaid(String),
}

#[derive(Deserialize)]
struct PlacedBody {
    code_url: Option<String>,
    prepay_id: Option<String>,
}

/// A refusal.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Refusal {
    code: String,
}

/// Reads a refusal.
pub(super) fn refusal(answer: &Answer) -> Refusal {
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

impl Refusal {
    /// Whether it is about our keys and rights, which people have to mend.
    pub(super) fn refuses_us(&self) -> bool {
        matches!(
            self.code.as_str(),
            "SIGN_ERROR" | "NO_AUTH" | "MCH_NOT_EXISTS" | "APPID_MCHID_NOT_MATCH" | "NOAUTH" | ""
        )
    }

    /// Whether there is no bill of a day.
    pub(super) fn is_no_bill(&self) -> bool {
        matches!(self.code.as_str(), "NO_STATEMENT_EXIST" | "STATEMENT_CREATING")
    }
}

/// What an order was answered with, or what became of it otherwise.
pub(super) fn placed(answer: &Answer) -> Result<Placed, ChargeOutcome> {
    if answer.is_success() {
        let body = serde_json::from_slice(&answer.body);
        return match body {
            Ok(PlacedBody {
                code_url: Some(url), ..
            }) => Ok(Placed::Code(url)),
            Ok(PlacedBody {
                prepay_id: Some(id), ..
            }) => Ok(Placed::Prepaid(id)),
            Ok(_) | Err(_) => Err(ChargeOutcome::Unknown),
        };
    }
    let refusal = refusal(answer);
    Err(match refusal.code.as_str() {
        "ORDER_CLOSED" | "ORDERCLOSED" => ChargeOutcome::Closed,
        // The order itself says how it stands.
        "ORDERPAID" | "ORDER_PAID" | "OUT_TRADE_NO_USED" | "USERPAYING" => ChargeOutcome::Unknown,
        "SYSTEM_ERROR" | "SYSTEMERROR" | "BANKERROR" | "FREQUENCY_LIMITED" | "RATELIMIT_EXCEEDED" => {
            ChargeOutcome::Unknown
        }
        _ if !answer.is_definite_refusal() || refusal.refuses_us() => ChargeOutcome::Unknown,
        other => ChargeOutcome::Declined {
            code: code(Some(&other.to_ascii_lowercase()), "declined"),
        },
    })
}

/// An order as it is asked for and notified about.
#[derive(Debug, Deserialize)]
pub(super) struct Order {
    pub(super) appid: String,
    pub(super) mchid: String,
    pub(super) out_trade_no: String,
    #[serde(default)]
    transaction_id: String,
    trade_state: String,
    #[serde(default)]
    amount: Option<OrderAmount>,
}

#[derive(Debug, Deserialize)]
struct OrderAmount {
    #[serde(default)]
    total: Option<i64>,
    #[serde(default)]
    currency: Option<Currency>,
}

impl Order {
    /// What it stands for.
    pub(super) fn outcome(&self) -> ChargeOutcome {
        match self.trade_state.as_str() {
            // What was refunded had been paid.
            "SUCCESS" | "REFUND" => self.succeeded().unwrap_or(ChargeOutcome::Unknown),
            // Nobody has paid yet; placing it again brings the same code.
            "NOTPAY" => ChargeOutcome::NeverSeen,
            "CLOSED" | "REVOKED" => ChargeOutcome::Closed,
            "USERPAYING" | "ACCEPT" => ChargeOutcome::Pending { provider_id: None },
            "PAYERROR" => ChargeOutcome::Declined {
                code: "payerror".to_owned(),
            },
            _ => ChargeOutcome::Unknown,
        }
    }

    fn succeeded(&self) -> Option<ChargeOutcome> {
        let amount = self.amount.as_ref()?;
        let amount = Money::new(amount.total?, amount.currency.unwrap_or(Currency::CNY)).ok()?;
        let charge_id = self.transaction_id.clone();
        (!charge_id.is_empty()).then_some(ChargeOutcome::Succeeded { charge_id, amount })
    }
}

/// What the answer about an order stands for.
pub(super) fn order_said(answer: &Answer) -> ChargeOutcome {
    if answer.is_success() {
        return serde_json::from_slice(&answer.body)
            .map_or(ChargeOutcome::Unknown, |order: Order| order.outcome());
    }
    match refusal(answer).code.as_str() {
        "ORDER_NOT_EXIST" | "ORDERNOTEXIST" => ChargeOutcome::NeverSeen,
        _ => ChargeOutcome::Unknown,
    }
}

/// What the answer to closing an order stands for; `None` if the order itself has to be asked.
pub(super) fn closed(answer: &Answer) -> Option<ChargeOutcome> {
    if answer.is_success() {
        return Some(ChargeOutcome::Closed);
    }
    match refusal(answer).code.as_str() {
        "ORDER_CLOSED" | "ORDERCLOSED" => Some(ChargeOutcome::Closed),
        // It was never placed, and its number was shown to nobody: there is nothing that could be paid.
        "ORDER_NOT_EXIST" | "ORDERNOTEXIST" => Some(ChargeOutcome::Closed),
        "ORDERPAID" | "ORDER_PAID" | "USERPAYING" | "TRADE_STATE_ERROR" => None,
        _ => Some(ChargeOutcome::Unknown),
    }
}

/// A refund as it is answered and asked for; notifications name its state otherwise.
#[derive(Debug, Deserialize)]
pub(super) struct Refund {
    #[serde(alias = "refund_status")]
    status: String,
    #[serde(default)]
    pub(super) mchid: Option<String>,
    pub(super) out_refund_no: String,
}

impl Refund {
    /// What it stands for.
    pub(super) fn outcome(&self) -> SendOutcome {
        match self.status.as_str() {
            "SUCCESS" => SendOutcome::Succeeded,
            "CLOSED" => SendOutcome::Failed,
            "ABNORMAL" => {
                // The money has left the order and cannot reach the payer's card: sending it again would send it twice.
                tracing::error!(
                    refund.key = self.out_refund_no,
                    "a refund of wechat needs somebody to look"
                );
                SendOutcome::Unknown
            }
            _ => SendOutcome::Unknown,
        }
    }
}

/// What the answer to a refund stands for.
pub(super) fn refund_sent(answer: &Answer) -> SendOutcome {
    if answer.is_success() {
        return serde_json::from_slice(&answer.body)
            .map_or(SendOutcome::Unknown, |refund: Refund| refund.outcome());
    }
    let refusal = refusal(answer);
    let unsure = matches!(
        refusal.code.as_str(),
        "SYSTEM_ERROR" | "SYSTEMERROR" | "FREQUENCY_LIMITED" | "RATELIMIT_EXCEEDED" | "BIZERR_NEED_RETRY"
    );
    if unsure || !answer.is_definite_refusal() || refusal.refuses_us() {
        SendOutcome::Unknown
    } else {
        SendOutcome::Failed
    }
}

/// What the answer about a refund stands for.
pub(super) fn refund_said(answer: &Answer) -> SendOutcome {
    if answer.is_success() {
        return serde_json::from_slice(&answer.body)
            .map_or(SendOutcome::Unknown, |refund: Refund| refund.outcome());
    }
    match refusal(answer).code.as_str() {
        "RESOURCE_NOT_EXISTS" | "REFUNDNOTEXIST" => SendOutcome::NeverSeen,
        _ => SendOutcome::Unknown,
    }
}

#[cfg(test)]
#[path = "wire_test.rs"]
mod tests;
