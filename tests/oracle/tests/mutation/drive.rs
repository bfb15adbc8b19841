//! Honest clients: they register, bring money, buy in every way there is, give back, and write all of it into a history.

mod coupons;
mod memberships;
mod offers;
mod teams;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lyceum_oracle::history::{History, Intent, Outcome, Request};
use lyceum_oracle::node::{Answer, Ask, Node};
use serde_json::{Value, json};

use super::server::{OPERATOR, Server, scratch};

const PASSWORD: &str = "plum-Otter-42-violin";
const DEADLINE: Duration = Duration::from_secs(20);

/// Clients of one server and their history.
pub(crate) struct Drive {
    node: Node,
    history: History,
    path: PathBuf,
    keys: AtomicU64,
}

/// Somebody who is logged in.
struct Learner {
    name: String,
    token: String,
}

impl Drop for Drive {
    fn drop(&mut self) {
        // The folder of scratch files is emptied with the build.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Drive {
    pub(crate) fn over(server: &Server) -> Self {
        let path = scratch("history.jsonl");
        Self {
            node: Node::new(&server.url()),
            history: History::open(&path).unwrap(),
            path,
            keys: AtomicU64::new(0),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Every kind of purchase, payment and refund.
    pub(crate) async fn everything(&self) {
        let courses = self.courses(&[1_990, 2_990, 4_999, 0, 3_333, 5_000]).await;
        let mut learners = Vec::new();
        for name in ["ada", "ben", "cleo", "dan"] {
            let learner = self.register(name).await;
            self.top_up(&learner, 20_000).await;
            learners.push(learner);
        }
        let [ada, ben, cleo, dan] = learners.try_into().ok().unwrap();

        // Whoever wants to hear of it; nobody listens there, so that what they are told stays in the queue.
        self.listens(&ada, &["order.fulfilled", "order.refunded"]).await;
        let creator = self.log_in(OPERATOR.0, OPERATOR.1).await;
        self.listens(&creator, &["sale.completed", "sale.refunded"]).await;
        self.listens(&dan, &["order.cancelled"]).await;

        // From the wallet: two lines at once, one that is given back, one that costs nothing, and one too many.
        self.bought(&ada, &courses[..2], "wallet", None).await;
        let returned = self.bought(&ada, &courses[2..3], "wallet", None).await;
        self.give_back(&ada, &returned).await;
        self.bought(&ada, &courses[3..4], "wallet", None).await;
        assert_eq!(self.buy(&ada, &courses[..1], "wallet", None).await.status, 409);

        self.studied(&ada, &courses[0]).await;

        // Through the provider: paid, declined, called back twice, answer lost, given back, cancelled.
        let returned = self.bought(&ben, &courses[..2], "sandbox", Some("tok_ok")).await;
        let declined = self
            .bought(&ben, &courses[2..3], "sandbox", Some("tok_declined"))
            .await;
        self.bought(&ben, &courses[4..5], "sandbox", Some("tok_twice"))
            .await;
        self.bought(&cleo, &courses[..1], "sandbox", Some("tok_lost_reply"))
            .await;
        self.bought(&cleo, &courses[1..2], "sandbox", Some("tok_ok"))
            .await;
        self.becomes(&ben, &returned, "fulfilled").await;
        self.becomes(&ben, &declined, "cancelled").await;
        self.give_back(&ben, &returned).await;
        self.cancels_one_of(&dan, &[&courses[..1], &courses[3..4]]).await;

        let operator = self.log_in(OPERATOR.0, OPERATOR.1).await;
        let retried = self
            .bought(&dan, &courses[2..3], "sandbox", Some("tok_slow"))
            .await;
        for (action, body) in [
            ("reconcile", json!({"note": "the provider knows of it"})),
            ("retry", json!({"reason": "the provider is slow"})),
        ] {
            let path = format!("/admin/v1/sagas/{retried}/{action}");
            let answer = self.ordered(&operator, &path, &body).await;
            // The provider may be faster than an operator.
            assert!([202, 409].contains(&answer.status), "{action}: {}", answer.json());
        }
        self.becomes(&dan, &retried, "fulfilled").await;
        self.put_right(&ada).await;
        self.in_a_flash_sale(&operator, [&ada, &cleo, &dan], &courses[5])
            .await;
        self.in_parts(&courses).await;
        self.otherwise(&courses).await;
        self.offers(&courses).await;
        self.coupons(&courses).await;
        self.memberships().await;
        self.teams(&courses).await;

        // Long after a first request, so that it is known whose it is on a slow machine too.
        self.top_up(&ada, 1_000).await;

        // A client that was told and asked again, and one that never heard the answer.
        self.twice(&dan, &courses[4..5]).await;
        self.unheard(&dan, &courses[1..2]).await;
    }

    /// Three endpoints: one that hears of these events, one that is disabled and one that is deleted.
    async fn listens(&self, learner: &Learner, events: &[&str]) {
        const ENDPOINTS: &str = "/v1/me/webhook-endpoints";
        let body = json!({"url": "http://127.0.0.1:9/hooks", "events": events});
        for (method, change) in [
            ("POST", json!(null)),
            ("PATCH", json!({"enabled": false})),
            ("DELETE", json!(null)),
        ] {
            let created = self.ordered(learner, ENDPOINTS, &body).await;
            assert_eq!(created.status, 201, "{}", created.json());
            let id = created.json()["id"].as_str().unwrap().to_owned();
            let path = match method {
                "POST" => format!("{ENDPOINTS}/{id}/rotate-secret"),
                _ => format!("{ENDPOINTS}/{id}"),
            };
            let change = if change.is_null() {
                String::new()
            } else {
                change.to_string()
            };
            let ask = Ask {
                method,
                path: &path,
                token: Some(&learner.token),
                body: &change,
                ..Ask::default()
            };
            let changed = self.node.ask(ask).await.unwrap();
            assert!(changed.status < 300, "{method} {}", changed.status);
        }
    }

    /// Publishes courses at these prices, as an operator whose doing no history holds.
    async fn courses(&self, prices: &[i64]) -> Vec<String> {
        let operator = self.log_in(OPERATOR.0, OPERATOR.1).await;
        let mut courses = Vec::new();
        for price in prices {
            let body = json!({
                "course": {
                    "title": format!("A course of {price}"), "category": "programming", "tags": [], "level": "all",
                    "language": "en", "price": {"amount": price, "currency": "CNY"},
                },
                "chapters": [{"title": "Begin", "lessons": [{
                    "title": "The first lesson", "kind": "article", "content": {"text": "text"},
                }]}],
            });
            let ask = Ask {
                method: "POST",
                path: "/admin/v1/courses",
                token: Some(&operator.token),
                body: &body.to_string(),
                ..Ask::default()
            };
            let answer = self.node.ask(ask).await.unwrap();
            assert_eq!(answer.status, 201, "{}", answer.json());
            courses.push(answer.json()["id"].as_str().unwrap().to_owned());
        }
        for course in &courses {
            let path = format!("/v1/courses/{course}");
            self.until(&operator, &path, |answer| answer.status == 200).await;
        }
        courses
    }

    /// Three slots: one is paid from the wallet, one through the provider, and one comes back unpaid.
    async fn in_a_flash_sale(&self, operator: &Learner, learners: [&Learner; 3], course: &str) {
        let body = json!({
            "course_id": course, "price": {"amount": 1_000, "currency": "CNY"}, "stock": 3,
            "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2100-01-01T00:00:00Z", "reason": "for the fair",
        });
        let sale = self.ordered(operator, "/v1/sales", &body).await;
        assert_eq!(sale.status, 201, "{}", sale.json());
        let sale = sale.json()["id"].as_str().unwrap().to_owned();
        let ways = [
            ("wallet", None, "fulfilled"),
            ("sandbox", Some("tok_ok"), "fulfilled"),
            ("sandbox", Some("tok_declined"), "cancelled"),
        ];
        for (learner, (method, token, state)) in learners.into_iter().zip(ways) {
            let item = json!({"course_id": course, "sale_id": sale});
            let body = json!({"items": [item], "payment_method": method, "payment_token": token}).to_string();
            let answer = self.ask("buy", Some(learner), "/v1/orders", &body).await;
            assert!([201, 202].contains(&answer.status), "{}", answer.json());
            let order = answer.json()["id"].as_str().unwrap().to_owned();
            self.becomes(learner, &order, state).await;
        }
    }

    /// Two operators adjust the ledger: a wallet, an account of nobody, and what the second does not want.
    async fn put_right(&self, learner: &Learner) {
        let first = self.log_in(OPERATOR.0, OPERATOR.1).await;
        let second = self.register("olga").await;
        let id = |answer: &Answer| answer.json()["id"].as_str().unwrap().to_owned();
        let me = self.node.get("/v1/me", Some(&second.token)).await.unwrap();
        let path = format!("/admin/v1/users/{}/roles", id(&me));
        let made = self.ordered(&first, &path, &json!({"role": "operator"})).await;
        assert!(made.status < 300, "{}", made.json());
        let second = self.log_in("olga", PASSWORD).await;
        let ada = id(&self.node.get("/v1/me", Some(&learner.token)).await.unwrap());

        for (maker, checker, amount, account, owner, verdict) in [
            (&first, &second, 500, "user_wallet", Some(&ada), "approve"),
            (&second, &first, -300, "fees", None, "approve"),
            (&second, &first, 100, "affiliate_payable", Some(&ada), "approve"),
            (&first, &second, 200, "tax_payable", None, "reject"),
        ] {
            let body = json!({"reason": format!("{account} by hand"), "currency": "CNY", "entries": [
                {"account": account, "owner": owner, "amount": amount},
                {"account": "platform_revenue", "amount": -amount},
            ]});
            let proposed = self.ordered(maker, "/admin/v1/adjustments", &body).await;
            assert_eq!(proposed.status, 201, "{}", proposed.json());
            let path = format!("/admin/v1/adjustments/{}", id(&proposed));
            let decision = json!({"reason": format!("{verdict} {account}")});
            let decided = self
                .ordered(checker, &format!("{path}/{verdict}"), &decision)
                .await;
            assert!([200, 202].contains(&decided.status), "{}", decided.json());
            self.until(maker, &path, |answer| answer.json()["state"] != "approved")
                .await;
        }
    }

    /// What an operator does, under a key of its own.
    async fn ordered(&self, operator: &Learner, path: &str, body: &Value) -> Answer {
        let key = format!("operator-{}", self.keys.fetch_add(1, Ordering::Relaxed));
        let ask = Ask {
            method: "POST",
            path,
            token: Some(&operator.token),
            key: Some(&key),
            body: &body.to_string(),
        };
        self.node.ask(ask).await.unwrap()
    }

    async fn log_in(&self, name: &str, password: &str) -> Learner {
        let body = json!({"username": name, "password": password}).to_string();
        let ask = Ask {
            method: "POST",
            path: "/v1/sessions",
            body: &body,
            ..Ask::default()
        };
        let answer = self.node.ask(ask).await.unwrap();
        Learner {
            name: name.to_owned(),
            token: answer.json()["access_token"].as_str().unwrap().to_owned(),
        }
    }

    async fn register(&self, name: &str) -> Learner {
        let body = json!({"username": name, "password": PASSWORD, "email": format!("{name}@example.com")});
        let answer = self.ask("register", None, "/v1/users", &body.to_string()).await;
        assert_eq!(answer.status, 201, "{}", answer.json());
        self.log_in(name, PASSWORD).await
    }

    async fn top_up(&self, learner: &Learner, amount: i64) {
        let body = json!({
            "amount": {"amount": amount, "currency": "CNY"}, "provider": "sandbox", "payment_token": "tok_ok",
        });
        let answer = self
            .ask(
                "top_up",
                Some(learner),
                "/v1/me/wallet/top-ups",
                &body.to_string(),
            )
            .await;
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/me/wallet/top-ups/{id}");
        self.until(learner, &path, |answer| answer.json()["state"] == "succeeded")
            .await;
    }

    async fn buy(&self, learner: &Learner, courses: &[String], method: &str, token: Option<&str>) -> Answer {
        let body = cart(courses, method, token);
        self.ask("buy", Some(learner), "/v1/orders", &body).await
    }

    /// Buys, and names the order.
    async fn bought(
        &self,
        learner: &Learner,
        courses: &[String],
        method: &str,
        token: Option<&str>,
    ) -> String {
        let answer = self.buy(learner, courses, method, token).await;
        assert!([201, 202].contains(&answer.status), "{}", answer.json());
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// Buys one of these through the provider and cancels before it is paid for; with the next where the provider was faster.
    async fn cancels_one_of(&self, learner: &Learner, carts: &[&[String]]) {
        for courses in carts {
            let order = self.bought(learner, courses, "sandbox", Some("tok_slow")).await;
            let path = format!("/v1/orders/{order}/cancel");
            match self.ask("cancel", Some(learner), &path, "").await {
                Answer { status: 202, .. } => return,
                answer => assert_eq!(answer.status, 409, "{}", answer.json()),
            }
        }
        panic!("the provider was faster each time");
    }

    /// Reports what a learner did with a course.
    async fn studied(&self, learner: &Learner, course: &str) {
        let event = |kind: &str| json!({"type": kind, "course_id": course, "id": format!("{kind}-1")});
        let body = json!({"events": [event("start"), event("complete")]}).to_string();
        let answer = self.ask("study", Some(learner), "/v1/events", &body).await;
        assert_eq!(answer.status, 202, "{}", answer.json());
    }

    async fn give_back(&self, learner: &Learner, order: &str) {
        self.refund(learner, order, &json!({"reason": "not for me"}))
            .await;
        self.becomes(learner, order, "refunded").await;
    }

    /// Refunds of a part: of one line, and of what does not go back without an operator.
    async fn in_parts(&self, courses: &[String]) {
        let (emil, fay) = (self.register("emil").await, self.register("fay").await);
        self.top_up(&emil, 10_000).await;
        let order = self.bought(&emil, &courses[..2], "wallet", None).await;
        let body = json!({"reason": "not this one", "items": [{"course_id": courses[0]}]});
        self.refund(&emil, &order, &body).await;
        self.becomes(&emil, &order, "partially_refunded").await;

        let dear = [courses[2].clone(), courses[4].clone()];
        let order = self.bought(&fay, &dear, "sandbox", Some("tok_ok")).await;
        self.becomes(&fay, &order, "fulfilled").await;
        let part =
            |amount: i64| json!({"reason": "too dear", "amount": {"amount": amount, "currency": "CNY"}});
        let operator = self.log_in(OPERATOR.0, OPERATOR.1).await;
        for (amount, verdict) in [(1_001, "approve"), (5_500, "reject"), (5_500, "approve")] {
            let refund = self.refund(&fay, &order, &part(amount)).await;
            let path = format!("/admin/v1/refunds/{refund}/{verdict}");
            let answer = self.ordered(&operator, &path, &json!({"reason": verdict})).await;
            assert!(answer.status < 300, "{}", answer.json());
            self.becomes(&fay, &order, "partially_refunded").await;
        }
        let body = json!({"reason": "the rest", "destination": "wallet"});
        self.refund(&fay, &order, &body).await;
        self.becomes(&fay, &order, "refunded").await;
    }

    /// An order that is begun with a provider that is slow, and then paid otherwise.
    async fn otherwise(&self, courses: &[String]) {
        let gil = self.register("gil").await;
        self.top_up(&gil, 10_000).await;
        for (course, method, token) in [(0, "wallet", None), (1, "sandbox", Some("tok_ok"))] {
            let order = self
                .bought(&gil, &courses[course..=course], "sandbox", Some("tok_slow"))
                .await;
            let mut body = json!({"payment_method": method});
            if let Some(token) = token {
                body["payment_token"] = json!(token);
            }
            let path = format!("/v1/orders/{order}/payments");
            let answer = self.ordered(&gil, &path, &body).await;
            assert!([201, 202].contains(&answer.status), "{}", answer.json());
            self.becomes(&gil, &order, "fulfilled").await;
        }
    }

    async fn refund(&self, learner: &Learner, order: &str, body: &Value) -> String {
        let path = format!("/v1/orders/{order}/refunds");
        let answer = self.ask("refund", Some(learner), &path, &body.to_string()).await;
        assert!([201, 202].contains(&answer.status), "{}", answer.json());
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    async fn becomes(&self, learner: &Learner, order: &str, state: &str) {
        let path = format!("/v1/orders/{order}");
        self.until(learner, &path, |answer| answer.json()["state"] == state)
            .await;
    }

    async fn until(&self, learner: &Learner, path: &str, condition: impl Fn(&Answer) -> bool) {
        let began = Instant::now();
        loop {
            let answer = self.node.get(path, Some(&learner.token)).await.unwrap();
            if condition(&answer) {
                return;
            }
            assert!(began.elapsed() < DEADLINE, "{path}: {}", answer.json());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// One request between its intent and its outcome, under a key of its own.
    async fn ask(&self, kind: &str, learner: Option<&Learner>, path: &str, body: &str) -> Answer {
        let intent = self.intent(kind, learner, path, body);
        let ticket = self.history.begin(&intent).await.unwrap();
        let answer = self.send(learner, &intent).await;
        let outcome = Outcome::of_answer(answer.status, &answer.body);
        self.history.end(ticket, outcome).await.unwrap();
        answer
    }

    /// The same purchase once more under its key.
    async fn twice(&self, learner: &Learner, courses: &[String]) {
        let intent = self.intent("buy", Some(learner), "/v1/orders", &cart(courses, "wallet", None));
        for _ in 0..2 {
            let ticket = self.history.begin(&intent).await.unwrap();
            let answer = self.send(Some(learner), &intent).await;
            let outcome = Outcome::of_answer(answer.status, &answer.body);
            self.history.end(ticket, outcome).await.unwrap();
        }
    }

    /// A purchase whose answer the client does not hear.
    async fn unheard(&self, learner: &Learner, courses: &[String]) {
        let intent = self.intent("buy", Some(learner), "/v1/orders", &cart(courses, "wallet", None));
        let ticket = self.history.begin(&intent).await.unwrap();
        assert_eq!(self.send(Some(learner), &intent).await.status, 201);
        let why = "the connection broke".to_owned();
        self.history.end(ticket, Outcome::Unknown { why }).await.unwrap();
    }

    fn intent(&self, kind: &str, learner: Option<&Learner>, path: &str, body: &str) -> Intent {
        let number = self.keys.fetch_add(1, Ordering::Relaxed);
        Intent {
            client: 1,
            kind: kind.to_owned(),
            method: "POST".to_owned(),
            path: path.to_owned(),
            idempotency_key: Some(format!("key-{number}")),
            user: learner.map(|learner| learner.name.clone()),
            body: body.to_owned(),
        }
    }

    async fn send(&self, learner: Option<&Learner>, intent: &Intent) -> Answer {
        let ask = Ask {
            method: &intent.method,
            path: &intent.path,
            token: learner.map(|learner| learner.token.as_str()),
            key: intent.idempotency_key.as_deref(),
            body: &intent.body,
        };
        self.node.ask(ask).await.unwrap()
    }
}

fn cart(courses: &[String], method: &str, token: Option<&str>) -> String {
    let items: Vec<Value> = courses.iter().map(|id| json!({"course_id": id})).collect();
    let mut body = json!({"items": items, "payment_method": method});
    if let Some(token) = token {
        body["payment_token"] = token.into();
    }
    body.to_string()
}

/// Writes requests as a history of their own.
pub(crate) async fn write(path: &Path, requests: &[Request]) {
    let history = History::open(path).unwrap();
    for request in requests {
        let ticket = history.begin(&request.intent).await.unwrap();
        if let Some(outcome) = request.outcome.clone() {
            history.end(ticket, outcome).await.unwrap();
        }
    }
}
