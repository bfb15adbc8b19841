//! The bill of a day's trade: asked for, fetched from the address that the answer names, and compared with its hash.

use lyceum_kernel::Timestamp;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde::Deserialize;

use super::Wechat;
use crate::commerce::providers::client::Method;
use crate::commerce::providers::local;

/// Why there is no bill.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BillError {
    /// The provider has none for this day: nothing was traded, or it is not made yet.
    #[error("there is no bill of this day")]
    Missing,
    /// No answer, or one that is not of the protocol.
    #[error("the provider did not answer")]
    Unavailable,
    /// The bill lies somewhere else than at the provider's own address.
    #[error("the bill is not at the provider's address")]
    Elsewhere,
    /// The bill is not the one that was announced.
    #[error("the bill does not have the hash that was announced")]
    Damaged,
}

/// Where a bill is, and its hash.
#[derive(Debug, Deserialize)]
struct Announced {
    hash_type: String,
    hash_value: String,
    download_url: String,
}

impl Wechat {
    /// Fetches the bill of the day, in China, that `day` lies in: CSV as the provider writes it, every kind of trade.
    ///
    /// # Errors
    /// See [`BillError`].
    pub async fn trade_bill(&self, day: Timestamp) -> Result<Vec<u8>, BillError> {
        let path = format!("/v3/bill/tradebill?bill_date={}&bill_type=ALL", local::day(day));
        let answer = self
            .ask(Method::GET, &path, String::new())
            .await
            .ok_or(BillError::Unavailable)?;
        if !answer.is_success() {
            let missing = super::wire::refusal(&answer).is_no_bill();
            return Err(if missing {
                BillError::Missing
            } else {
                BillError::Unavailable
            });
        }
        let announced: Announced =
            serde_json::from_slice(&answer.body).map_err(|_| BillError::Unavailable)?;
        let path = path_at(self.client.base(), &announced.download_url).ok_or(BillError::Elsewhere)?;
        let now = lyceum_runtime::clock::now();
        let authorization = self
            .credentials
            .authorization("GET", path, "", now)
            .ok_or(BillError::Unavailable)?;
        let headers = [("authorization", authorization.as_str())];
        let answer = self
            .client
            .exchange_within(self.bill_bytes_max, Method::GET, path, &headers, vec![])
            .await
            .filter(super::Answer::is_success)
            .ok_or(BillError::Unavailable)?;
        // The file is not signed; its hash was.
        if announced.is_of(&answer.body) {
            Ok(answer.body.to_vec())
        } else {
            Err(BillError::Damaged)
        }
    }
}

impl Announced {
    fn is_of(&self, bill: &[u8]) -> bool {
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, bill);
        let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        self.hash_type == "SHA1" && self.hash_value.eq_ignore_ascii_case(&hex)
    }
}

/// The path of an address, if it is one below `base`: a signed request goes nowhere else.
fn path_at<'url>(base: &str, url: &'url str) -> Option<&'url str> {
    url.strip_prefix(base).filter(|path| path.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bill_is_the_one_whose_hash_was_announced() {
        let announced = |hash_type: &str, hash_value: &str| Announced {
            hash_type: hash_type.into(),
            hash_value: hash_value.into(),
            download_url: String::new(),
        };

        // FIPS 180-2, appendix A.1.
        assert!(announced("SHA1", "a9993e364706816aba3e25717850c26c9cd0d89d").is_of(b"abc"));
        assert!(announced("SHA1", "A9993E364706816ABA3E25717850C26C9CD0D89D").is_of(b"abc"));
        assert!(!announced("SHA1", "a9993e364706816aba3e25717850c26c9cd0d89d").is_of(b"abd"));
        assert!(!announced("MD5", "a9993e364706816aba3e25717850c26c9cd0d89d").is_of(b"abc"));
    }

    #[test]
    fn a_bill_elsewhere_is_not_fetched() {
        let base = "https://api.mch.weixin.qq.com";
        assert_eq!(
            path_at(
                base,
                "https://api.mch.weixin.qq.com/v3/billdownload/file?token=xx"
            ),
            Some("/v3/billdownload/file?token=xx")
        );
        for url in [
            "",
            "https://example.com/v3/billdownload/file",
            "https://api.mch.weixin.qq.com.example.com/v3/billdownload/file",
            "http://api.mch.weixin.qq.com/v3/billdownload/file",
            "https://api.mch.weixin.qq.com@example.com/",
        ] {
            assert_eq!(path_at(base, url), None, "{url}");
        }
    }
}
