//! Memberships that are joined in every way, given back, and not paid.

use serde_json::{Value, json};

use super::{Drive, Learner};
use crate::server::OPERATOR;

impl Drive {
    /// A plan of a creator and one of the platform; one member stays, one cancels, one is given the money back, and one never pays.
    /// Their orders are renewed by nobody's request, so no history holds them.
    pub(super) async fn memberships(&self) {
        let operator = self.log_in(OPERATOR.0, OPERATOR.1).await;
        let plan = |title: &str| json!({"title": title, "price": {"amount": 1_500, "currency": "CNY"}, "every": "month"});
        let mut plans = Vec::new();
        for (path, title) in [
            ("/v1/membership-plans", "All of mine"),
            ("/admin/v1/membership-plans", "All there is"),
        ] {
            let offered = self.ordered(&operator, path, &plan(title)).await;
            assert_eq!(offered.status, 201, "{}", offered.json());
            plans.push(offered.json()["id"].as_str().unwrap().to_owned());
        }
        let (lea, max, nia) = (
            self.register("lea").await,
            self.register("max").await,
            self.register("nia").await,
        );
        let money = json!({"amount": {"amount": 10_000, "currency": "CNY"}, "provider": "sandbox", "payment_token": "tok_ok"});
        let brought = self.ordered(&lea, "/v1/me/wallet/top-ups", &money).await;
        let path = format!("/v1/me/wallet/top-ups/{}", brought.json()["id"].as_str().unwrap());
        self.until(&lea, &path, |answer| answer.json()["state"] == "succeeded")
            .await;

        let (stays, _) = self.joins(&lea, &plans[0], "wallet", None, "active").await;
        let (cancels, _) = self
            .joins(&max, &plans[0], "sandbox", Some("tok_ok"), "active")
            .await;
        let (_, returned) = self.joins(&lea, &plans[1], "wallet", None, "active").await;
        self.joins(&nia, &plans[1], "sandbox", Some("tok_declined"), "ended")
            .await;
        let answer = self
            .ordered(&max, &format!("{cancels}/cancel"), &Value::Null)
            .await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        for command in ["pause", "resume"] {
            let answer = self
                .ordered(&lea, &format!("{stays}/{command}"), &Value::Null)
                .await;
            assert_eq!(answer.status, 200, "{command}: {}", answer.json());
        }
        let path = format!("/v1/orders/{returned}/refunds");
        let answer = self.ordered(&lea, &path, &json!({"reason": "not for me"})).await;
        assert!(answer.status < 300, "{}", answer.json());
        self.becomes(&lea, &returned, "refunded").await;
        let withdraw = format!("/v1/membership-plans/{}/withdraw", plans[0]);
        let withdrawn = self.ordered(&operator, &withdraw, &json!({})).await;
        assert_eq!(withdrawn.status, 200, "{}", withdrawn.json());
    }

    /// Joins a plan and waits until it is so far; the path of the membership, and its order.
    async fn joins(
        &self,
        learner: &Learner,
        plan: &str,
        method: &str,
        token: Option<&str>,
        state: &str,
    ) -> (String, String) {
        let body = json!({"plan_id": plan, "payment_method": method, "payment_token": token});
        let answer = self.ordered(learner, "/v1/memberships", &body).await;
        assert!([201, 202].contains(&answer.status), "{}", answer.json());
        let told = answer.json();
        let path = format!("/v1/memberships/{}", told["membership_id"].as_str().unwrap());
        self.until(learner, &path, |answer| answer.json()["state"] == state)
            .await;
        (path, told["id"].as_str().unwrap().to_owned())
    }
}
