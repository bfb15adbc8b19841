//! Parameters of Alipay's requests, its answers, and what each stands for. No IO.

use std::collections::BTreeMap;

use lyceum_domain::commerce::payment::{ChargeOutcome, SendOutcome};
use lyceum_kernel::{Currency, Money, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::commerce::gateway::{ChargeRequest, RefundRequest};
use crate::commerce::providers::client;
use crate::commerce::providers::local;

/// The methods, besides the two that begin a payment.
pub(super) const QUERY: &str = "alipay.trade.query";
pub(super) const CLOSE: &str = "alipay.trade.close";
pub(super) const REFUND: &str = "alipay.trade.refund";
pub(super) const REFUND_QUERY: &str = "alipay.trade.fastpay.refund.query";

/// Whose trades they are.
pub(super) struct Merchant {
    pub(super) app_id: String,
    pub(super) notify_url: String,
    pub(super) return_url: String,
    pub(super) subject: String,
}

impl Merchant {
    /// The parameters of a call, unsigned.
    pub(super) fn parameters(
        &self,
        method: &str,
        content: &Value,
        now: Timestamp,
    ) -> BTreeMap<String, String> {
        let pairs = [
            ("app_id", self.app_id.clone()),
            ("method", method.to_owned()),
            ("format", "JSON".to_owned()),
            ("charset", "utf-8".to_owned()),
            ("sign_type", "RSA2".to_owned()),
            ("timestamp", local::spaced(now)),
            ("version", "1.0".to_owned()),
            ("notify_url", self.notify_url.clone()),
            ("return_url", self.return_url.clone()),
            ("biz_content", content.to_string()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).into()
    }
}

/// A payment for the payer to begin.
#[derive(Debug)]
pub(super) struct Payment {
    pub(super) method: &'static str,
    pub(super) content: Value,
    pub(super) in_app: bool,
}

/// The payment of a request, or the code that declines it.
pub(super) fn payment(merchant: &Merchant, request: &ChargeRequest) -> Result<Payment, &'static str> {
    if request.amount.currency() != Currency::CNY {
        return Err("currency_unsupported");
    }
    let (method, product, in_app) = match request.token.as_str() {
        "page" => ("alipay.trade.page.pay", "FAST_INSTANT_TRADE_PAY", false),
        "app" => ("alipay.trade.app.pay", "QUICK_MSECURITY_PAY", true),
        _ => return Err("unknown_token"),
    };
    let mut content = json!({
        "out_trade_no": number_of(&request.key), "total_amount": yuan(request.amount), "subject": merchant.subject,
        "product_code": product,
    });
    if let Some(expires_at) = request.expires_at {
        content["time_expire"] = local::spaced(expires_at).into();
    }
    Ok(Payment {
        method,
        content,
        in_app,
    })
}

/// What names a trade.
pub(super) fn by_key(key: &str) -> Value {
    json!({ "out_trade_no": number_of(key) })
}

/// A refund.
pub(super) fn refund(request: &RefundRequest) -> Value {
    json!({
        "trade_no": request.charge_id, "refund_amount": yuan(request.amount),
        "out_request_no": number_of(&request.key),
    })
}

/// What names a refund.
pub(super) fn refund_query(request: &RefundRequest) -> Value {
    json!({ "trade_no": request.charge_id, "out_request_no": number_of(&request.key) })
}

/// Alipay's numbers have letters, digits and underscores alone; our keys have hyphens as well, and no underscore of theirs
/// comes after the last one.
fn number_of(key: &str) -> String {
    key.replace('-', "_")
}

/// The key of a trade's number, and the payment that it is an attempt of.
pub(super) fn key_of(number: &str) -> Option<(String, String)> {
    let (payment, attempt) = number.rsplit_once('_')?;
    Some((format!("{payment}-{attempt}"), payment.to_owned()))
}

/// `1990` as `19.90`.
fn yuan(amount: Money) -> String {
    let (whole, rest) = (amount.amount() / 100, amount.amount() % 100);
    format!("{whole}.{rest:02}")
}

/// `19.90` as `1990`.
pub(super) fn from_yuan(text: &str) -> Option<Money> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, "00"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(rest) || rest.len() > 2 {
        return None;
    }
    let rest: i64 = format!("{rest:0<2}").parse().ok()?;
    let amount = whole.parse::<i64>().ok()?.checked_mul(100)?.checked_add(rest)?;
    Money::new(amount, Currency::CNY).ok()
}

/// What Alipay said.
pub(super) enum Said {
    /// Nothing that could be believed.
    Nothing,
    /// Yes, and more.
    Done(Box<Done>),
    /// No.
    Refused { code: String, sub_code: String },
}

/// The fields of every answer.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    code: String,
    sub_code: String,
    #[serde(flatten)]
    done: Done,
}

/// What an answer says about a trade or a refund.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Done {
    trade_no: String,
    trade_status: String,
    total_amount: String,
    /// When the payer paid, if they did.
    send_pay_date: Option<String>,
    /// Whether money moved with this very call.
    fund_change: String,
    refund_status: String,
}

impl Said {
    /// Reads the text of an answer.
    pub(super) fn read(text: &str) -> Self {
        match serde_json::from_str(text) {
            Ok(Answer { code, done, .. }) if code == "10000" => Said::Done(Box::new(done)),
            Ok(Answer { code, sub_code, .. }) => Said::Refused { code, sub_code },
            Err(_) => Said::Nothing,
        }
    }
}

/// Whether a refusal is about our keys and rights, which people have to mend.
pub(super) fn refuses_us(code: &str, sub_code: &str) -> bool {
    code != "40004" && code != "20000" && code != "10003" || sub_code.starts_with("isv.")
}

/// What an answer about a trade stands for.
pub(super) fn trade_said(said: &Said) -> ChargeOutcome {
    match said {
        Said::Done(done) => {
            let paid = done.send_pay_date.as_ref().is_some_and(|date| !date.is_empty());
            trade_outcome(&done.trade_status, &done.trade_no, &done.total_amount, paid)
        }
        Said::Refused { code, sub_code } if is_unknown_trade(code, sub_code) => ChargeOutcome::NeverSeen,
        Said::Refused { .. } | Said::Nothing => ChargeOutcome::Unknown,
    }
}

/// What the state of a trade stands for. A closed one was never paid, or was paid and has been refunded as a whole.
pub(super) fn trade_outcome(status: &str, trade_no: &str, amount: &str, paid: bool) -> ChargeOutcome {
    match status {
        "TRADE_SUCCESS" | "TRADE_FINISHED" => succeeded(trade_no, amount),
        "TRADE_CLOSED" if paid => succeeded(trade_no, amount),
        "TRADE_CLOSED" => ChargeOutcome::Closed,
        // Nobody has paid yet; beginning it again brings the same trade.
        "WAIT_BUYER_PAY" => ChargeOutcome::NeverSeen,
        _ => ChargeOutcome::Unknown,
    }
}

fn succeeded(trade_no: &str, amount: &str) -> ChargeOutcome {
    match from_yuan(amount) {
        Some(amount) if !trade_no.is_empty() => ChargeOutcome::Succeeded {
            charge_id: trade_no.to_owned(),
            amount,
        },
        _ => ChargeOutcome::Unknown,
    }
}

/// What the answer to closing a trade stands for; `None` if the trade itself has to be asked.
pub(super) fn closed(said: &Said) -> Option<ChargeOutcome> {
    match said {
        Said::Done(_) => Some(ChargeOutcome::Closed),
        // Nobody has opened it. Somebody who does later, before `time_expire`, pays late, and that is dealt with as such:
        // waiting for it would hold the payer's course for half an hour.
        Said::Refused { code, sub_code } if is_unknown_trade(code, sub_code) => Some(ChargeOutcome::Closed),
        Said::Refused { sub_code, .. }
            if matches!(
                sub_code.as_str(),
                "ACQ.TRADE_STATUS_ERROR" | "ACQ.REASON_TRADE_STATUS_INVALID"
            ) =>
        {
            None
        }
        Said::Refused { .. } | Said::Nothing => Some(ChargeOutcome::Unknown),
    }
}

fn is_unknown_trade(code: &str, sub_code: &str) -> bool {
    code == "40004" && sub_code == "ACQ.TRADE_NOT_EXIST"
}

/// What the answer to a refund stands for; `None` if the refund itself has to be asked.
pub(super) fn refund_sent(said: &Said) -> Option<SendOutcome> {
    match said {
        Said::Done(done) if done.fund_change == "Y" => Some(SendOutcome::Succeeded),
        Said::Done(_) => None,
        Said::Refused { code, sub_code } if code == "40004" && is_definite(sub_code) => {
            tracing::warn!(
                alipay.sub_code = client::code(Some(sub_code), "none"),
                "alipay refuses a refund"
            );
            Some(SendOutcome::Failed)
        }
        Said::Refused { .. } | Said::Nothing => Some(SendOutcome::Unknown),
    }
}

fn is_definite(sub_code: &str) -> bool {
    !matches!(
        sub_code,
        "" | "ACQ.SYSTEM_ERROR" | "aop.ACQ.SYSTEM_ERROR" | "ACQ.REQUEST_PROCESSING"
    )
}

/// What the answer about a refund stands for.
pub(super) fn refund_found(said: &Said) -> SendOutcome {
    match said {
        Said::Done(done) => match done.refund_status.as_str() {
            "REFUND_SUCCESS" => SendOutcome::Succeeded,
            // Alipay answers with success and says nothing of a refund that there is not.
            "" => SendOutcome::NeverSeen,
            _ => SendOutcome::Unknown,
        },
        Said::Refused { code, sub_code } if is_unknown_trade(code, sub_code) => SendOutcome::NeverSeen,
        Said::Refused { .. } | Said::Nothing => SendOutcome::Unknown,
    }
}

#[cfg(test)]
#[path = "wire_test.rs"]
mod tests;
