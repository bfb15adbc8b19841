//! What happens at providers other than the sandbox's own: payers who act, callbacks that misbehave, money the oracle cannot
//! ask about.

use std::net::SocketAddr;
use std::time::Duration;

use lyceum_oracle::Plan;
use serde_json::Value;

use super::{Answer, Client, Site};

/// Where the keys are that tests and the sandbox sign with.
pub(crate) const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/shared/keys");

/// A setting with the addresses of a site and its sandbox put in.
pub(super) fn addressed(setting: &str, site: SocketAddr, sandbox: SocketAddr) -> String {
    setting
        .replace("{address}", &site.to_string())
        .replace("{sandbox}", &sandbox.to_string())
}

impl Site {
    /// The payer pays what was placed at the sandbox in the format of another provider, or tries to.
    pub(crate) async fn payer_pays(&self, wire: &str, number: &str) -> Answer {
        let path = format!("/payer/{wire}/{number}");
        Client::new(self.sandbox_address()).act(&path).await
    }

    /// The sandbox calls back about such an order as it should not: what it was answered.
    pub(crate) async fn misbehaves(&self, wire: &str, number: &str, how: Value) -> (i64, String) {
        let path = format!("/payer/{wire}/{number}/notify");
        let answer = Client::new(self.sandbox_address()).post(&path, &how).await;
        let answer = answer.expect(200).json();
        let body = answer["body"].as_str().unwrap().to_owned();
        (answer["status"].as_i64().unwrap(), body)
    }

    /// As [`Site::finish`], where money came through providers that have no list the oracle reads.
    pub(crate) async fn finish_beside_other_providers(self) {
        let plan = Plan {
            rest_limit: Duration::from_secs(30),
            ..Plan::new(&self.stores.reading_url())
        };
        let report = lyceum_oracle::check(&plan).await.unwrap();
        assert!(report.clean, "{report}");
    }
}
