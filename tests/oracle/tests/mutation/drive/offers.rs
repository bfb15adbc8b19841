//! What is sold in bundles, given away by codes, and bought as gifts.

use serde_json::json;

use super::Drive;
use crate::server::OPERATOR;

impl Drive {
    /// A bundle that is bought, a code that is redeemed, and a gift that somebody else gets.
    pub(super) async fn offers(&self, courses: &[String]) {
        let operator = self.log_in(OPERATOR.0, OPERATOR.1).await;
        let (eva, finn) = (self.register("eva").await, self.register("finn").await);
        self.top_up(&eva, 20_000).await;
        let bundle = json!({
            "title": "Two of them", "course_ids": courses[..2], "price": {"amount": 3_000, "currency": "CNY"},
        });
        let offered = self.ordered(&operator, "/v1/bundles", &bundle).await;
        assert_eq!(offered.status, 201, "{}", offered.json());
        let batch = json!({"course_id": courses[2], "count": 2, "expires_at": "2999-01-01T00:00:00Z", "reason": "for the fair"});
        let issued = self.ordered(&operator, "/admin/v1/code-batches", &batch).await;
        assert_eq!(issued.status, 201, "{}", issued.json());

        let body = json!({"items": [{"bundle_id": offered.json()["id"]}], "payment_method": "wallet"});
        let bought = self.ask("buy", Some(&eva), "/v1/orders", &body.to_string()).await;
        assert_eq!(bought.status, 201, "{}", bought.json());
        let body = json!({"items": [{"course_id": courses[4]}], "payment_method": "wallet", "gift": true});
        let given = self.ask("buy", Some(&eva), "/v1/orders", &body.to_string()).await;
        assert_eq!(given.status, 201, "{}", given.json());
        for code in [&issued.json()["codes"][0], &given.json()["gift"]["code"]] {
            let body = json!({"code": code}).to_string();
            let redeemed = self.ask("redeem", Some(&finn), "/v1/redemptions", &body).await;
            assert_eq!(redeemed.status, 201, "{}", redeemed.json());
        }

        // Of a gift that was refunded in part somebody gets the rest.
        let hal = self.register("hal").await;
        let items = json!([{"course_id": courses[0]}, {"course_id": courses[1]}]);
        let body = json!({"items": items, "payment_method": "wallet", "gift": true});
        let given = self.ask("buy", Some(&eva), "/v1/orders", &body.to_string()).await;
        assert_eq!(given.status, 201, "{}", given.json());
        let order = given.json()["id"].as_str().unwrap().to_owned();
        let body = json!({"reason": "one is enough", "items": [items[0]]});
        self.refund(&eva, &order, &body).await;
        self.becomes(&eva, &order, "partially_refunded").await;
        let body = json!({"code": given.json()["gift"]["code"]}).to_string();
        let redeemed = self.ask("redeem", Some(&hal), "/v1/redemptions", &body).await;
        assert_eq!(redeemed.json()["course_ids"], json!([courses[1]]));
    }
}
