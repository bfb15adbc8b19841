//! Teams that buy together: one that finds its members, one that does not, and somebody who leaves.

use serde_json::{Value, json};

use super::{Drive, Learner};
use crate::server::OPERATOR;

impl Drive {
    /// Two of two, after a third could not pay; and two of three at the deadline.
    pub(super) async fn teams(&self, courses: &[String]) {
        let operator = self.log_in(OPERATOR.0, OPERATOR.1).await;
        let mut offers = Vec::new();
        for (course, size, lasts_s) in [(&courses[5], 2, 3_600), (&courses[2], 3, 5)] {
            let body = json!({
                "course_id": course, "price": {"amount": 1_200, "currency": "CNY"}, "size": size, "lasts_s": lasts_s,
            });
            let offered = self.ordered(&operator, "/v1/group-offers", &body).await;
            assert_eq!(offered.status, 201, "{}", offered.json());
            offers.push(offered.json()["id"].as_str().unwrap().to_owned());
        }
        let mut learners = Vec::new();
        for name in ["uma", "vic", "wes", "xia", "yan"] {
            learners.push(self.register(name).await);
        }
        let [uma, vic, wes, xia, yan] = learners.try_into().ok().unwrap();
        for learner in [&vic, &yan] {
            self.top_up(learner, 10_000).await;
        }

        let open = |offer: &str| json!({"group_offer_id": offer});
        let (first, team) = self
            .joins_team(&uma, &courses[5], open(&offers[0]), Some("tok_ok"))
            .await;
        self.becomes(&uma, &first, "paid").await;
        let join = || json!({"team_id": team});
        let (declined, _) = self
            .joins_team(&wes, &courses[5], join(), Some("tok_declined"))
            .await;
        self.becomes(&wes, &declined, "cancelled").await;
        let path = format!("/v1/teams/{team}");
        self.until(&wes, &path, |answer| answer.json()["reserved"] == 0)
            .await;
        let (second, _) = self.joins_team(&vic, &courses[5], join(), None).await;
        for (learner, order) in [(&uma, &first), (&vic, &second)] {
            self.becomes(learner, order, "fulfilled").await;
        }

        let (first, team) = self
            .joins_team(&xia, &courses[2], open(&offers[1]), Some("tok_ok"))
            .await;
        let (second, _) = self
            .joins_team(&yan, &courses[2], json!({"team_id": team}), None)
            .await;
        for (learner, order) in [(&xia, &first), (&yan, &second)] {
            self.becomes(learner, order, "refunded").await;
        }
        let withdraw = format!("/v1/group-offers/{}/withdraw", offers[1]);
        let withdrawn = self.ordered(&operator, &withdraw, &json!({})).await;
        assert_eq!(withdrawn.status, 200, "{}", withdrawn.json());
    }

    /// Buys a course in a team, by a provider if there is a token; the order and the team.
    async fn joins_team(
        &self,
        learner: &Learner,
        course: &str,
        mut item: Value,
        token: Option<&str>,
    ) -> (String, String) {
        item["course_id"] = course.into();
        let method = if token.is_some() { "sandbox" } else { "wallet" };
        let body = json!({"items": [item], "payment_method": method, "payment_token": token}).to_string();
        let answer = self.ask("buy", Some(learner), "/v1/orders", &body).await;
        assert_eq!(answer.status, 202, "{}", answer.json());
        let told = answer.json();
        let text = |field: &str| told[field].as_str().unwrap().to_owned();
        (text("id"), text("team_id"))
    }
}
