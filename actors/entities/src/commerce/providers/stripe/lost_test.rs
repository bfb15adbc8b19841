//! What the adapter does when answers are lost: a scripted Stripe that keeps its idempotency keys, unlike the stand-ins.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lyceum_kernel::{Currency, Money};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const UNCONFIRMED: &str = r#"{"id":"pi_1","status":"requires_confirmation","amount":1990,"currency":"cny"}"#;
const SUCCEEDED: &str = r#"{"id":"pi_1","status":"succeeded","amount":1990,"currency":"cny"}"#;
const CANCELED: &str = r#"{"id":"pi_1","status":"canceled","amount":1990,"currency":"cny"}"#;

/// What is answered to a request; nothing loses the answer.
type Answered = Option<(u16, &'static str)>;

/// Answers by a script, and remembers each request's line and key.
struct Script {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Script {
    async fn play(script: &[Answered]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (heard, script) = (asked.clone(), script.to_vec());
        tokio::spawn(async move {
            for answered in script {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read(&mut stream).await;
                heard.lock().unwrap().push(request);
                if let Some((status, body)) = answered {
                    let length = body.len();
                    let text = format!(
                        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
                    );
                    stream.write_all(text.as_bytes()).await.unwrap();
                }
            }
        });
        Script { url, asked }
    }

    fn adapter(&self) -> Stripe {
        Stripe::new(&StripeSettings {
            client: ClientSettings {
                url: self.url.clone(),
                connect_timeout: Duration::from_secs(5),
                request_timeout: Duration::from_secs(5),
                ca_file: "".into(),
            },
            api_key: "sk_test".into(),
            webhook_secret: "whsec_test".into(),
            tolerance: Duration::from_mins(5),
            return_url: String::new(),
        })
        .unwrap()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// The first line of a request, and its idempotency key.
async fn read(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let mut more = [0; 4096];
        let count = stream.read(&mut more).await.unwrap();
        bytes.extend_from_slice(&more[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
            let length = field("content-length: ").map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1");
                let key = field("idempotency-key: ").unwrap_or("-");
                return format!("{line} {key}");
            }
        }
        assert!(count > 0, "a request broke off");
    }
}

fn attempt() -> ChargeRequest {
    ChargeRequest {
        key: "pay_01-1".into(),
        amount: Money::new(1_990, Currency::CNY).unwrap(),
        token: "pm_card_visa".into(),
        reference: "pay_01".into(),
        expires_at: None,
        provider_id: None,
    }
}

fn paid() -> ChargeOutcome {
    ChargeOutcome::Succeeded {
        charge_id: "pi_1".into(),
        amount: Money::new(1_990, Currency::CNY).unwrap(),
    }
}

#[tokio::test]
async fn a_lost_answer_to_confirming_is_found_out_under_the_same_key() {
    let stripe = Script::play(&[
        Some((200, UNCONFIRMED)),
        None,
        // The same key, so the same intent, as it was at first.
        Some((200, UNCONFIRMED)),
        Some((200, SUCCEEDED)),
    ])
    .await;
    let adapter = stripe.adapter();

    assert_eq!(adapter.charge(attempt()).await, ChargeOutcome::Unknown);
    assert_eq!(adapter.query(attempt()).await, paid());

    assert_eq!(
        stripe.asked(),
        [
            "POST /v1/payment_intents pay_01-1",
            "POST /v1/payment_intents/pi_1/confirm -",
            "POST /v1/payment_intents pay_01-1",
            "GET /v1/payment_intents/pi_1 -",
        ]
    );
}

#[tokio::test]
async fn an_attempt_that_never_arrived_is_neither_charged_by_asking_nor_by_closing() {
    let stripe = Script::play(&[
        None,
        Some((200, UNCONFIRMED)),
        Some((200, UNCONFIRMED)),
        Some((200, UNCONFIRMED)),
        Some((200, CANCELED)),
    ])
    .await;
    let adapter = stripe.adapter();

    assert_eq!(adapter.charge(attempt()).await, ChargeOutcome::Unknown);
    assert_eq!(adapter.query(attempt()).await, ChargeOutcome::NeverSeen);
    assert_eq!(adapter.close(attempt()).await, ChargeOutcome::Closed);

    let asked = stripe.asked();
    assert!(!asked.iter().any(|line| line.contains("/confirm")), "{asked:?}");
    assert_eq!(
        asked.last().map(String::as_str),
        Some("POST /v1/payment_intents/pi_1/cancel -")
    );
}

#[tokio::test]
async fn closing_what_was_paid_says_that_it_was_paid() {
    let stripe = Script::play(&[
        Some((200, UNCONFIRMED)),
        Some((400, r#"{"error":{"code":"payment_intent_unexpected_state"}}"#)),
        Some((200, SUCCEEDED)),
    ])
    .await;

    assert_eq!(stripe.adapter().close(attempt()).await, paid());
}

#[tokio::test]
async fn an_intent_that_is_known_is_asked_for_by_its_id() {
    let stripe = Script::play(&[Some((200, SUCCEEDED))]).await;
    let known = ChargeRequest {
        provider_id: Some("pi_1".into()),
        ..attempt()
    };

    assert_eq!(stripe.adapter().query(known).await, paid());

    assert_eq!(stripe.asked(), ["GET /v1/payment_intents/pi_1 -"]);
}

#[tokio::test]
async fn a_key_that_stripe_has_forgotten_is_not_believed() {
    let stripe = Script::play(&[]).await;
    let old = ChargeRequest {
        expires_at: Some(lyceum_kernel::Timestamp::EPOCH),
        ..attempt()
    };

    assert_eq!(stripe.adapter().query(old.clone()).await, ChargeOutcome::Unknown);
    assert_eq!(stripe.adapter().close(old).await, ChargeOutcome::Unknown);

    assert!(stripe.asked().is_empty());
}

#[tokio::test]
async fn a_refund_is_asked_for_in_the_list_of_its_charge() {
    let refund = RefundRequest {
        key: "ref_01-1".into(),
        charge_id: "pi_1".into(),
        amount: Money::new(1_990, Currency::CNY).unwrap(),
        total: Money::new(1_990, Currency::CNY).unwrap(),
        reference: "ref_01".into(),
    };
    let stripe = Script::play(&[
        None,
        Some((
            200,
            r#"{"data":[{"status":"succeeded","metadata":{"key":"ref_01-1"}}]}"#,
        )),
    ])
    .await;
    let adapter = stripe.adapter();

    assert_eq!(adapter.refund(refund.clone()).await, SendOutcome::Unknown);
    assert_eq!(adapter.query_refund(refund).await, SendOutcome::Succeeded);

    assert_eq!(
        stripe.asked(),
        [
            "POST /v1/refunds ref_01-1",
            "GET /v1/refunds?payment_intent=pi_1&limit=100 -"
        ]
    );
}
