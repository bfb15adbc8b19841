//! What is bought with coupons.

use serde_json::{Value, json};

use super::Drive;
use crate::server::OPERATOR;

impl Drive {
    /// A coupon of the platform and one of a creator: both in one order, one by two buyers, and one that comes back unpaid.
    pub(super) async fn coupons(&self, courses: &[String]) {
        let operator = self.log_in(OPERATOR.0, OPERATOR.1).await;
        let (ida, jon, kim) = (
            self.register("ida").await,
            self.register("jon").await,
            self.register("kim").await,
        );
        for learner in [&ida, &jon] {
            self.top_up(learner, 20_000).await;
        }
        let terms = |code: &str, benefit: Value| {
            json!({
                "code": code, "benefit": benefit, "limit": 3, "stackable": true,
                "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2100-01-01T00:00:00Z",
            })
        };
        let percent = terms("tenth", json!({"percent": {"off_bps": 1_000}}));
        let fixed = terms(
            "five-off",
            json!({"fixed": {"off": {"amount": 500, "currency": "CNY"}}}),
        );
        for (path, terms) in [("/admin/v1/coupons", percent), ("/v1/coupons", fixed)] {
            let issued = self.ordered(&operator, path, &terms).await;
            assert_eq!(issued.status, 201, "{}", issued.json());
        }

        for (learner, codes, method, token, state) in [
            (&ida, &["TENTH", "FIVE-OFF"][..], "wallet", None, "fulfilled"),
            (&jon, &["tenth"], "sandbox", Some("tok_ok"), "fulfilled"),
            (&kim, &["tenth"], "sandbox", Some("tok_declined"), "cancelled"),
        ] {
            let items = json!([{"course_id": courses[0]}, {"course_id": courses[1]}]);
            let body = json!({
                "items": items, "coupon_codes": codes, "payment_method": method, "payment_token": token,
            });
            let answer = self
                .ask("buy", Some(learner), "/v1/orders", &body.to_string())
                .await;
            assert!([201, 202].contains(&answer.status), "{}", answer.json());
            let order = answer.json()["id"].as_str().unwrap().to_owned();
            self.becomes(learner, &order, state).await;
            if method == "wallet" {
                self.give_back(learner, &order).await;
            }
        }
    }
}
