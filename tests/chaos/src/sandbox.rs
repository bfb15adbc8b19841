//! The payment sandbox under trial: told how to fail, and asked what it did.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::Failure;
use crate::api::{Call, Client};

/// What the provider did so far, and what it knows.
pub(crate) struct Provider {
    address: SocketAddr,
}

impl Provider {
    /// The one at this address.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Provider { address }
    }

    /// Makes it fail as the plan says.
    pub(crate) async fn fail(&self, plan: &Value) -> Result<(), Failure> {
        let call = Call {
            method: "PUT",
            path: "/admin/faults",
            key: None,
            body: Some(plan),
        };
        let answer = Client::new(self.address).call(&call).await?;
        if answer.status == 200 {
            return Ok(());
        }
        Err(format!("the sandbox refuses a plan: {}", answer.json()).into())
    }

    /// Makes it work as it should.
    pub(crate) async fn heal(&self) -> Result<(), Failure> {
        self.fail(&json!({})).await
    }

    /// What has happened under its plans: a number for each kind of fault.
    pub(crate) async fn counts(&self) -> Result<Counts, Failure> {
        let state = Client::new(self.address).get("/admin/faults").await?;
        Ok(Counts(serde_json::from_value(state["counts"].clone())?))
    }

    /// How many charges of each payment succeeded.
    pub(crate) async fn charges(&self) -> Result<BTreeMap<String, usize>, Failure> {
        let listed = Client::new(self.address).get("/v1/charges").await?;
        let mut charges = BTreeMap::new();
        for charge in listed["data"].as_array().into_iter().flatten() {
            if charge["state"] == "succeeded" {
                let payment = charge["reference"].as_str().unwrap_or_default();
                *charges.entry(payment.to_owned()).or_default() += 1;
            }
        }
        Ok(charges)
    }
}

/// Numbers by the names that the sandbox gives them.
pub(crate) struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// One of them.
    pub(crate) fn of(&self, name: &str) -> Result<u64, Failure> {
        let found = self.0.get(name).copied();
        found.ok_or_else(|| format!("the sandbox does not count {name}").into())
    }
}
