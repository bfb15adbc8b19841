//! RSA2, Alipay's signature: RSA with SHA-256 over parameters sorted by name, or over the raw text of an answer. No IO.

use std::collections::{BTreeMap, HashMap};

use serde_json::value::RawValue;

use crate::commerce::providers::rsa::{Signer, Verifier};

/// What is signed of parameters: `name=value` by name, joined with `&`; without empty ones, and unescaped.
pub(super) fn content(parameters: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = parameters
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

/// Parameters as a form, with their signature.
pub(super) fn signed(mut parameters: BTreeMap<String, String>, signer: &Signer) -> String {
    parameters.retain(|_, value| !value.is_empty());
    let signature = signer.sign(content(&parameters).as_bytes());
    parameters.insert("sign".to_owned(), signature);
    serde_urlencoded::to_string(&parameters).expect("texts make a form")
}

/// The answer to a method, if its signature is Alipay's. It is over the answer's text as it came, byte by byte.
pub(super) fn proved<'body>(body: &'body [u8], method: &str, verifier: &Verifier) -> Option<&'body str> {
    let fields: HashMap<&str, &RawValue> = serde_json::from_slice(body).ok()?;
    let name = format!("{}_response", method.replace('.', "_"));
    let said = fields
        .get(name.as_str())
        .or_else(|| fields.get("error_response"))?
        .get();
    let signature: &str = serde_json::from_str(fields.get("sign")?.get()).ok()?;
    verifier.verifies(said.as_bytes(), signature).then_some(said)
}

/// The parameters of a notification, if its signature is Alipay's: over all but `sign` and `sign_type`.
pub(super) fn notified(body: &[u8], verifier: &Verifier) -> Option<BTreeMap<String, String>> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(body).ok()?;
    let mut parameters = BTreeMap::new();
    for (name, value) in pairs {
        // Which of two would have been signed is anybody's guess.
        if parameters.insert(name, value).is_some() {
            return None;
        }
    }
    let signature = parameters.remove("sign")?;
    let kind = parameters.remove("sign_type")?;
    let proved = kind == "RSA2" && verifier.verifies(content(&parameters).as_bytes(), &signature);
    proved.then_some(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commerce::providers::rsa::testing::{MERCHANT, PLATFORM, PLATFORM_PUBLIC};

    /// The parameters of Alipay's document on signing, signed with our test key by `openssl dgst -sha256 -sign`.
    const REQUEST: &str = "R1hmOG34e5k0qQ3HCZhSbBNISkHy4ex3sj6pRUrx+3kpsruebXdjzksQIFf8RrlwQalR0nxzWxihUfL923CDadU5uhiyzo00hQnyDGDWL7kkUUlUUaN8QnQycXd/zE4f7URP05vBdsLF+MsTci/oHAyKeAQCpGS1Ab+O5AxPdD9NegESEA+oipcSIJjwLE3gzWiSOayYHIdPLjK4zwMU6UL7hNUN8q+q9NZTUPzlg9MsF1/Feb9ep3ZutYzH58XastvIADgnqZgyY5/2NpjF7fTBvZLmohonXR9aW55YRqJOl1zvscGR97hnX3blPGuw9ctwHIu3qx+H3KHoA1UApQ==";
    /// The text of an answer after its document on queries, likewise.
    const SAID: &str = r#"{"code":"10000","msg":"Success","out_trade_no":"6823789339978248","trade_no":"2013112011001004330000121536","trade_status":"TRADE_SUCCESS","total_amount":"88.88"}"#;
    const ANSWER: &str = "IXKTOYhmQd1VhqYCrdVV+cnyTpe79HJ3TwClG2VLlxxHQ4LKjKtBkLanir6q639kgxSf0llyCAwcjLPIYvw7QjIw6xPrqur0sIJ/siWP8QTFNCUmnDEpc2+BcIpt07B2H6WFeco1BsPNr4IPf3nb/hK8/dB10Ibmx0WPhJFBMWIuM9PXrSzIfF0mDsjhNiBqB1zJ5OgPubzIhbH6094yw63mlP6w3qXIABWb8ouJU7C7c8evpd6B61fXzFVyUvtIGuTsmHw9fNjbNxqh7RTJL5Ckxv2yChVHklAEmCcIX7xSKkTnOUpM8Q7IeU2UH8Hal71JSgd/w998xQb+O9HyyA==";

    fn request() -> BTreeMap<String, String> {
        let pairs = [
            ("method", "alipay.trade.pay"),
            ("app_id", "2014072300007148"),
            ("charset", "utf-8"),
            ("version", "1.0"),
            ("timestamp", "2014-07-24 03:07:50"),
            ("sign_type", "RSA2"),
            ("return_url", ""),
            (
                "biz_content",
                r#"{"out_trade_no":"20150320010101001","total_amount":"88.88","subject":"Iphone6 16G"}"#,
            ),
        ];
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn parameters_are_sorted_and_signed_as_the_document_says() {
        assert_eq!(
            content(&request()),
            "app_id=2014072300007148&biz_content={\"out_trade_no\":\"20150320010101001\",\"total_amount\":\"88.88\",\
             \"subject\":\"Iphone6 16G\"}&charset=utf-8&method=alipay.trade.pay&sign_type=RSA2\
             &timestamp=2014-07-24 03:07:50&version=1.0"
        );

        let form = signed(request(), &Signer::read(MERCHANT).unwrap());

        let fields: HashMap<String, String> = serde_urlencoded::from_str(&form).unwrap();
        assert_eq!(fields["sign"], REQUEST);
        assert!(!fields.contains_key("return_url"));
        assert!(form.contains("biz_content=%7B%22out_trade_no%22%3A"), "{form}");
    }

    #[test]
    fn an_answer_is_proved_by_its_raw_text() {
        let verifier = Verifier::read(PLATFORM_PUBLIC).unwrap();
        let prove = |body: &str| proved(body.as_bytes(), "alipay.trade.query", &verifier).map(str::to_owned);
        let answer = format!(r#"{{"alipay_trade_query_response":{SAID},"sign":"{ANSWER}"}}"#);

        assert_eq!(prove(&answer).as_deref(), Some(SAID));
        let reordered = format!(r#"{{"sign":"{ANSWER}","alipay_trade_query_response":{SAID}}}"#);
        assert_eq!(prove(&reordered).as_deref(), Some(SAID));
        for changed in [
            answer.replace("88.88", "88.89"),
            // The same JSON, and not the same text.
            answer.replace(r#""code":"10000""#, r#""code": "10000""#),
            answer.replace("trade_query", "trade_close"),
            answer.replace(r#""sign""#, r#""sing""#),
            answer.replace(&ANSWER[..8], "AAAAAAAA"),
            SAID.to_owned(),
            String::new(),
        ] {
            assert_eq!(prove(&changed), None, "{changed}");
        }
    }

    #[test]
    fn a_notification_is_proved_by_what_its_fields_say() {
        let verifier = Verifier::read(PLATFORM_PUBLIC).unwrap();
        let fields = || -> BTreeMap<String, String> {
            [
                ("notify_id", "2015"),
                ("subject", "极客 & Co"),
                ("total_amount", "19.90"),
                ("body", ""),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
        };
        let signature = Signer::read(PLATFORM)
            .unwrap()
            .sign(content(&fields()).as_bytes());
        let form = |fields: &BTreeMap<String, String>, more: &[(&str, &str)]| {
            let mut pairs: Vec<(&str, &str)> = fields
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            pairs.extend(more);
            serde_urlencoded::to_string(pairs).unwrap()
        };
        let signed = [("sign", signature.as_str()), ("sign_type", "RSA2")];

        assert_eq!(
            notified(form(&fields(), &signed).as_bytes(), &verifier),
            Some(fields())
        );

        let mut cheaper = fields();
        cheaper.insert("total_amount".into(), "0.01".into());
        for refused in [
            form(&cheaper, &signed),
            form(&fields(), &[("sign", &signature)]),
            form(&fields(), &[("sign_type", "RSA2")]),
            form(&fields(), &[("sign", &signature), ("sign_type", "RSA")]),
            form(&fields(), &[signed[0], signed[1], ("total_amount", "19.90")]),
            form(&fields(), &[signed[0], signed[1], ("buyer", "x")]),
            String::new(),
        ] {
            assert_eq!(notified(refused.as_bytes(), &verifier), None, "{refused}");
        }
    }
}
