//! localstripe: a stand-in for Stripe's API that nobody here wrote, installed from the Python package index and started for
//! one test.

use std::path::Path;

use serde_json::{Value, json};

use super::{Answer, Child, Client, free_address, script};

/// A running localstripe; it ends with its handle.
pub(crate) struct Localstripe {
    _child: Child,
    client: Client,
    pub(crate) url: String,
}

impl Localstripe {
    /// Installs it if need be, and starts it.
    pub(crate) async fn start() -> Self {
        let program = script("localstripe.sh", &[]).unwrap_or_else(|error| panic!("{error}"));
        let address = free_address();
        let arguments = ["--port", &address.port().to_string(), "--from-scratch"].map(str::to_owned);
        let mut child = Child::start(Path::new(program.trim()), &arguments, &[]);
        child.ready(address, "/js.stripe.com/v3/").await;
        Localstripe {
            _child: child,
            client: Client::new(address),
            url: format!("http://{address}"),
        }
    }

    /// Has it call back, signing with `secret`.
    pub(crate) async fn call_back(&self, url: &str, secret: &str) {
        let body = json!({"url": url, "secret": secret});
        let path = "/_config/webhooks/lyceum";
        self.client.post(path, &body).await.expect(200);
    }

    /// What it lists at a path.
    pub(crate) async fn list(&self, path: &str) -> Vec<Value> {
        let answer = self.as_merchant("GET", path, None).await.expect(200).json();
        answer["data"].as_array().unwrap().clone()
    }

    /// Asks it as the merchant, whose key it does not look into.
    pub(crate) async fn as_merchant(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let mut call = self
            .client
            .call(method, path)
            .header("authorization", "Bearer sk_test_lyceum");
        if let Some(body) = body {
            call = call.json(body);
        }
        call.send().await
    }

    /// What the payer's bank answers to an intent that requires it.
    pub(crate) async fn authenticate(&self, client_secret: &str, success: bool) -> Answer {
        let (intent, _) = client_secret.split_once("_secret_").unwrap();
        let body = json!({"client_secret": client_secret, "success": success, "key": "pk_test_lyceum"});
        let path = format!("/v1/payment_intents/{intent}/_authenticate");
        self.client.post(&path, &body).await
    }
}
