//! The wire formats of two real providers, spoken beside the sandbox's own: one book behind all of them.
//!
//! ```text
//! keys     whose signatures are checked, and what answers and callbacks are signed with
//! wechat   WeChat Pay API v3: orders, refunds, bills, encrypted notifications
//! alipay   Alipay: trades that the payer's browser begins, refunds, signed forms
//! payer    what the payer does, and callbacks that misbehave on request
//! ```
//!
//! Nobody pays an order by placing it here: the payer does, through `/payer`. Nothing of this is the product's code, so that
//! both have to have read the same documents to understand each other.

pub(crate) mod alipay;
pub(crate) mod keys;
pub(crate) mod payer;
pub(crate) mod wechat;

use http_body_util::Full;
use hyper::Request;
use serde::{Deserialize, Serialize};

use self::keys::Keys;
use crate::book::Event;

/// How a client speaks to the provider, and is called back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Wire {
    /// The sandbox's own protocol.
    #[default]
    Sandbox,
    /// WeChat Pay API v3.
    Wechat,
    /// Alipay.
    Alipay,
}

impl Wire {
    /// Whether it is the one that files of before knew alone.
    pub(crate) fn is_sandbox(&self) -> bool {
        *self == Wire::Sandbox
    }
}

/// How a callback misbehaves.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Mischief {
    /// It is signed by a key that is not the provider's.
    pub(crate) forged: bool,
    /// It claims to be this old.
    pub(crate) age_s: u64,
    /// It speaks of another amount, in minor units.
    pub(crate) amount: Option<i64>,
    /// It is meant for another merchant.
    pub(crate) foreign: bool,
}

/// The request that carries an event; `None` if it cannot be made.
pub(crate) fn callback(
    keys: &Keys,
    event: &Event,
    mischief: Mischief,
) -> Option<Request<Full<bytes::Bytes>>> {
    match event.wire {
        Wire::Sandbox => None,
        Wire::Wechat => wechat::notification(keys, event, mischief),
        Wire::Alipay => alipay::notification(keys, event, mischief),
    }
}

/// What a refund's key is about: the refund, or the payment of a surplus.
fn reference_of(key: &str) -> String {
    let subject = key.split_once("-surplus-").map(|(payment, _)| payment);
    let subject = subject.or_else(|| key.rsplit_once('-').map(|(refund, _)| refund));
    subject.unwrap_or(key).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refunds_key_leads_to_what_it_is_about() {
        assert_eq!(reference_of("ref_01-2"), "ref_01");
        assert_eq!(reference_of("pay_01-surplus-0-1"), "pay_01");
        assert_eq!(reference_of("odd"), "odd");
    }
}
