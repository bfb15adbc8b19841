//! Group buying: exactly so many, all paid in time, or nobody; and whoever has paid is granted or has the money back.

use serde_json::{Value, json};

use crate::harness::{Answer, CourseSpec, Site, Stores, User, cny, unique, until};

const LIST_PRICE: i64 = 19_900;
const PRICE: i64 = 9_900;
/// Long enough for every request of a test, and short enough to wait for.
const BRIEFLY: u32 = 4;
const FOR_LONG: u32 = 3_600;

/// A course and a group price of it.
struct Group {
    course: String,
    offer: String,
}

impl Group {
    async fn of(site: &Site, size: u32, lasts_s: u32) -> Self {
        let course = site.course(LIST_PRICE).await;
        let body = json!({"course_id": course, "price": cny(PRICE), "size": size, "lasts_s": lasts_s});
        let offered = site.operator().await.post("/v1/group-offers", &body).await;
        let offer = offered.expect(201).text("id");
        Group { course, offer }
    }

    fn opening(&self) -> Value {
        json!({"course_id": self.course, "group_offer_id": self.offer})
    }

    fn joining(&self, team: &str) -> Value {
        json!({"course_id": self.course, "team_id": team})
    }
}

async fn site() -> Site {
    Site::start_with(&["commerce.team_lasts_min_s=1"]).await
}

fn cart(item: &Value, token: Option<&str>) -> Value {
    let method = if token.is_some() { "sandbox" } else { "wallet" };
    json!({"items": [item], "payment_method": method, "payment_token": token})
}

/// Orders a course in a team, through the sandbox if there is a token, else from the wallet.
async fn order(buyer: &User, item: Value, token: Option<&str>) -> Answer {
    buyer
        .post_as(&unique("key-"), "/v1/orders", &cart(&item, token))
        .await
}

/// The order and the team of an answer.
fn told(answer: Answer) -> (String, String) {
    let answer = answer.expect(202);
    (answer.text("id"), answer.text("team_id"))
}

async fn team(site: &Site, team: &str) -> Value {
    site.client()
        .get(&format!("/v1/teams/{team}"))
        .await
        .expect(200)
        .json()
}

async fn team_becomes(site: &Site, id: &str, field: &str, value: impl Into<Value>) -> Value {
    let value = value.into();
    until("the team is so far", async || {
        let shown = team(site, id).await;
        (shown[field] == value).then_some(shown)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_three_with_two_payers_at_the_deadline_has_both_refunded() {
    let mut site = site().await;
    let group = Group::of(&site, 3, BRIEFLY).await;
    let (ada, ben, cleo) = (site.user().await, site.user_with(PRICE).await, site.user().await);

    let (first, id) = told(order(&ada, group.opening(), Some("tok_ok")).await);
    ada.order_becomes(&first, "paid").await;
    let (second, _) = told(order(&ben, group.joining(&id), None).await);
    site.stop_sandbox();
    let (third, _) = told(order(&cleo, group.joining(&id), Some("tok_ok")).await);

    let shown = team_becomes(&site, &id, "paid", 2).await;
    assert_eq!(
        (&shown["state"], &shown["reserved"], &shown["available"]),
        (&json!("open"), &json!(1), &json!(0))
    );
    assert_eq!(ben.wallet().await.0, 0);
    assert!(ada.owned().await.is_empty() && ben.owned().await.is_empty());
    team_becomes(&site, &id, "state", "failed").await;
    site.start_sandbox().await;
    for (buyer, order) in [(&ada, &first), (&ben, &second)] {
        let order = buyer.order_becomes(order, "refunded").await;
        let states: Vec<_> = order["timeline"]
            .as_array()
            .unwrap()
            .iter()
            .map(|milestone| milestone["state"].as_str().unwrap())
            .filter(|state| *state != "refunding")
            .collect();
        assert_eq!(states, ["pending", "paid", "fulfil_failed", "refunded"]);
        assert!(buyer.owned().await.is_empty());
    }
    cleo.order_becomes(&third, "expired").await;
    assert_eq!(ben.wallet().await.0, PRICE);
    assert_eq!(site.refunds_sent().await, [PRICE]);
    team_becomes(&site, &id, "reserved", 0).await;
    order(&cleo, group.joining(&id), Some("tok_ok"))
        .await
        .refused(409, "commerce.team_failed");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_team_that_is_complete_is_granted_as_a_whole_and_takes_nobody_more() {
    let site = site().await;
    let group = Group::of(&site, 3, FOR_LONG).await;
    let (ada, ben, cleo, dan) = (
        site.user().await,
        site.user_with(PRICE).await,
        site.user().await,
        site.user_with(PRICE).await,
    );

    let (first, id) = told(order(&ada, group.opening(), Some("tok_ok")).await);
    let (second, _) = told(order(&ben, group.joining(&id), None).await);
    ada.order_becomes(&first, "paid").await;
    let paid = ben.order_becomes(&second, "paid").await;
    assert_eq!(paid["total"], cny(PRICE));
    let (until_when, ends_at) = (&paid["refundable_until"], &team(&site, &id).await["ends_at"]);
    let window =
        format!("SELECT extract(epoch FROM {until_when}::timestamptz - {ends_at}::timestamptz)::bigint")
            .replace('"', "'");
    assert_eq!(
        site.stores.count(&window).await,
        1_209_600,
        "from the end of the team"
    );
    assert!(ada.owned().await.is_empty() && ben.owned().await.is_empty());
    order(&ben, group.joining(&id), None)
        .await
        .refused(409, "commerce.team_place_paid");
    ben.refund(&second).await.refused(409, "commerce.wrong_state");
    let (third, _) = told(order(&cleo, group.joining(&id), Some("tok_twice")).await);

    for (buyer, order) in [(&ada, &first), (&ben, &second), (&cleo, &third)] {
        buyer.order_becomes(order, "fulfilled").await;
        assert_eq!(buyer.owned().await, std::slice::from_ref(&group.course));
    }
    let shown = team_becomes(&site, &id, "state", "succeeded").await;
    assert_eq!((&shown["paid"], &shown["available"]), (&json!(3), &json!(0)));
    assert!(shown.get("members").is_none() && !shown.to_string().contains("usr_"));
    order(&dan, group.joining(&id), None)
        .await
        .refused(409, "commerce.team_succeeded");
    // What was granted is refunded like any other order, and the others keep theirs.
    ben.refund(&second).await;
    ben.order_becomes(&second, "refunded").await;
    assert_eq!(ben.wallet().await.0, PRICE);
    assert_eq!(ada.owned().await, std::slice::from_ref(&group.course));
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verdict_that_was_given_up_is_heard_by_a_retry() {
    let site = site().await;
    let group = Group::of(&site, 2, FOR_LONG).await;
    let (ada, ben) = (site.user_with(PRICE).await, site.user_with(PRICE).await);
    let (first, id) = told(order(&ada, group.opening(), None).await);
    let database = site.stores.connect().await;
    team_becomes(&site, &id, "paid", 1).await;
    // Of a decision that a constraint refuses, the message is given up at once.
    let fails = format!(
        "CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION 'this is a test' USING ERRCODE = 'unique_violation', \
         CONSTRAINT = 'grants_one_live_order'; END $$; \
         CREATE TRIGGER fails BEFORE INSERT ON events FOR EACH ROW \
         WHEN (NEW.events::text LIKE '%order_fulfilled%{first}%') EXECUTE FUNCTION fails()"
    );
    database.batch_execute(&fails).await.unwrap();

    let (second, _) = told(order(&ben, group.joining(&id), None).await);

    ben.order_becomes(&second, "fulfilled").await;
    let lost = "SELECT count(*) FROM dead_letters WHERE payload->>'type' = 'conclude_order'";
    until("the message was given up", async || {
        (site.stores.count(lost).await == 1).then_some(())
    })
    .await;
    assert_eq!(ada.order(&first).await["state"], "paid");
    let operator = site.operator().await;
    let timeline = format!("/admin/v1/orders/{first}/timeline");
    let shown = operator.get(&timeline).await.expect(200).json();
    let dead = |moment: &Value| moment["source"] == "dead_letter" && moment["what"] == "conclude_order";
    assert!(shown["data"].as_array().unwrap().iter().any(dead), "{shown}");
    database
        .batch_execute("DROP TRIGGER fails ON events")
        .await
        .unwrap();

    let why = json!({"reason": "its verdict was lost"});
    let retry = format!("/admin/v1/sagas/{first}/retry");
    operator.post_as(&unique("op-"), &retry, &why).await.expect(202);

    ada.order_becomes(&first, "fulfilled").await;
    assert_eq!(ada.owned().await, std::slice::from_ref(&group.course));
    // As the runbook has it: nobody waits for it any more.
    database.batch_execute("DELETE FROM dead_letters").await.unwrap();
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_is_left_before_it_is_paid_is_free_again() {
    let mut site = site().await;
    let group = Group::of(&site, 2, FOR_LONG).await;
    let (ada, ben, cleo) = (
        site.user_with(PRICE).await,
        site.user().await,
        site.user_with(PRICE).await,
    );
    let (first, id) = told(order(&ada, group.opening(), None).await);
    site.stop_sandbox();
    let (second, _) = told(order(&ben, group.joining(&id), Some("tok_ok")).await);
    order(&cleo, group.joining(&id), None)
        .await
        .refused(409, "commerce.team_full");
    order(&ben, group.joining(&id), None)
        .await
        .refused(409, "commerce.team_place_reserved");

    ben.act(&format!("/v1/orders/{second}/cancel")).await.expect(202);
    site.start_sandbox().await;
    ben.order_becomes(&second, "cancelled").await;
    team_becomes(&site, &id, "available", 1).await;
    let (third, _) = told(order(&cleo, group.joining(&id), None).await);

    ada.order_becomes(&first, "fulfilled").await;
    cleo.order_becomes(&third, "fulfilled").await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_pays_after_the_deadline_has_the_money_back() {
    let mut site = site().await;
    let group = Group::of(&site, 2, BRIEFLY).await;
    let (ada, ben) = (site.user_with(PRICE).await, site.user().await);
    let (first, id) = told(order(&ada, group.opening(), None).await);
    site.stop_sandbox();
    let placed = order(&ben, group.joining(&id), Some("tok_ok"))
        .await
        .expect(202)
        .json();
    let (second, payment) = (
        placed["id"].as_str().unwrap(),
        placed["payments"][0]["id"].as_str().unwrap(),
    );
    ada.order_becomes(&first, "refunded").await;
    site.start_sandbox().await;
    ben.order_becomes(second, "expired").await;

    site.charge_anyway(payment, PRICE).await;

    ben.order_becomes(second, "refunded").await;
    assert_eq!(site.refunds_sent().await, [PRICE]);
    assert!(ada.owned().await.is_empty() && ben.owned().await.is_empty());
    assert_eq!(team(&site, &id).await["state"], "failed");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_provider_took_before_the_deadline_and_tells_after_it_goes_back() {
    // Without callbacks the charge is not heard of before the provider answers, three seconds later.
    let site = Site::start_with(&["commerce.team_lasts_min_s=1", "providers.sandbox.callback_url="]).await;
    let group = Group::of(&site, 2, 1).await;
    let ada = site.user().await;

    let (first, id) = told(order(&ada, group.opening(), Some("tok_slow")).await);

    ada.order_becomes(&first, "refunded").await;
    assert_eq!(site.refunds_sent().await, [PRICE]);
    assert_eq!(team(&site, &id).await["state"], "failed");
    let refused = "SELECT count(*) FROM team_places WHERE state = 'refused'";
    assert_eq!(site.stores.count(refused).await, 1);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_opens_no_other_team() {
    let site = site().await;
    let group = Group::of(&site, 2, FOR_LONG).await;
    let (ada, ben) = (site.user_with(PRICE).await, site.user_with(PRICE).await);
    let (key, body) = (unique("key-"), cart(&group.opening(), None));

    let first = ada.post_as(&key, "/v1/orders", &body).await.expect(202);
    let again = ada.post_as(&key, "/v1/orders", &body).await.expect(202);

    assert_eq!(again.body, first.body);
    assert_eq!(site.stores.count("SELECT count(*) FROM teams").await, 1);
    let (id, order_id) = (first.text("team_id"), first.text("id"));
    order(&ben, group.joining(&id), None).await.expect(202);
    ada.order_becomes(&order_id, "fulfilled").await;
    let later = ada.post_as(&key, "/v1/orders", &body).await.expect(202);
    assert_eq!(later.body, first.body, "whatever became of the team");
    assert_eq!(ada.wallet().await.0, 0);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_price_that_was_offered_under_a_key_is_told_of_when_it_could_be_offered_no_more() {
    let site = site().await;
    let (creator, operator) = (site.user().await, site.operator().await);
    let course = site.publish(&creator, &operator, &CourseSpec::default()).await;
    let body = json!({"course_id": course, "price": cny(1), "size": 2, "lasts_s": FOR_LONG});
    let key = unique("key-");
    let first = creator.post_as(&key, "/v1/group-offers", &body).await.expect(201);

    for action in ["unlist", "retire"] {
        let path = format!("/v1/courses/{course}/{action}");
        creator.act(&path).await.expect(200);
    }
    until("it is not for sale any more", async || {
        let again = creator.post("/v1/group-offers", &body).await;
        (again.status == 422).then_some(())
    })
    .await;

    let again = creator.post_as(&key, "/v1/group-offers", &body).await.expect(201);
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("location"), first.header("location"));
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_no_creator_offers_nothing_to_teams() {
    let site = Site::start_with(&["accounts.creators_open=false"]).await;
    let (course, ada) = (site.course(LIST_PRICE).await, site.user().await);
    let body = json!({"course_id": course, "price": cny(PRICE), "size": 2, "lasts_s": FOR_LONG});

    let answer = ada.post("/v1/group-offers", &body).await;

    answer.refused(403, "http.forbidden");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_refused_and_keeps_no_place() {
    let site = site().await;
    let group = Group::of(&site, 2, FOR_LONG).await;
    let other = site.course(LIST_PRICE).await;
    let (operator, ada) = (site.operator().await, site.user_with(10 * PRICE).await);
    let offer = |change: &dyn Fn(&mut Value)| {
        let mut body = json!({"course_id": other, "price": cny(PRICE), "size": 2, "lasts_s": FOR_LONG});
        change(&mut body);
        body
    };
    for (body, code) in [
        (
            offer(&|body| body["size"] = json!(1)),
            "commerce.group_size_invalid",
        ),
        (
            offer(&|body| body["size"] = json!(51)),
            "commerce.group_size_invalid",
        ),
        (
            offer(&|body| body["lasts_s"] = json!(0)),
            "commerce.group_time_invalid",
        ),
        (
            offer(&|body| body["lasts_s"] = json!(604_801)),
            "commerce.group_time_invalid",
        ),
        (
            offer(&|body| body["price"] = cny(LIST_PRICE)),
            "commerce.group_price_invalid",
        ),
        (
            offer(&|body| body["price"] = cny(0)),
            "commerce.group_price_invalid",
        ),
    ] {
        operator.post("/v1/group-offers", &body).await.refused(422, code);
    }
    ada.post("/v1/group-offers", &offer(&|_| {}))
        .await
        .refused(422, "commerce.group_course_foreign");

    let (_, id) = told(order(&ada, group.opening(), None).await);
    let ben = site.user_with(10 * PRICE).await;
    let foreign = json!({"course_id": other, "team_id": id});
    order(&ben, foreign, None)
        .await
        .refused(422, "commerce.team_of_another_course");
    let foreign = json!({"course_id": other, "group_offer_id": group.offer});
    order(&ben, foreign, None)
        .await
        .refused(422, "commerce.group_of_another_course");
    let both = json!({"course_id": group.course, "team_id": id, "group_offer_id": group.offer});
    order(&ben, both, None).await.refused(400, "http.invalid_body");
    let beside = json!({
        "items": [group.joining(&id), {"course_id": other}], "payment_method": "wallet",
    });
    let gift = json!({"items": [group.joining(&id)], "payment_method": "wallet", "gift": true});
    for body in [beside, gift] {
        ben.post_as(&unique("key-"), "/v1/orders", &body)
            .await
            .refused(422, "commerce.team_order_not_alone");
    }
    team_becomes(&site, &id, "available", 1).await;
    let withdraw = format!("/v1/group-offers/{}/withdraw", group.offer);
    ada.act(&withdraw).await.refused(404, "commerce.group_not_found");
    operator.act(&withdraw).await.expect(200);
    order(&ben, group.opening(), None)
        .await
        .refused(422, "commerce.group_withdrawn");
    let listed = site.client().get("/v1/group-offers").await.expect(200).json();
    assert_eq!(listed["data"], json!([]));
    // An open team goes on without its offer.
    order(&ben, group.joining(&id), None).await.expect(202);
    team_becomes(&site, &id, "state", "succeeded").await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_team_that_runs_out_of_time_while_the_server_is_dead_is_refunded_once() {
    let mut site = Site::start_process_over(Stores::create().await, &["commerce.team_lasts_min_s=1"]).await;
    let group = Group::of(&site, 3, BRIEFLY).await;
    let (ada, ben) = (site.user().await, site.user_with(PRICE).await);
    let (first, id) = told(order(&ada, group.opening(), Some("tok_ok")).await);
    ada.order_becomes(&first, "paid").await;
    let (second, _) = told(order(&ben, group.joining(&id), None).await);

    site.process().kill();
    until("the time of the team is over", async || {
        let over = "SELECT count(*) FROM teams WHERE ends_at < now()";
        (site.stores.count(over).await == 1).then_some(())
    })
    .await;
    site.restart().await;

    ada.order_becomes(&first, "refunded").await;
    ben.order_becomes(&second, "refunded").await;
    assert_eq!(ben.wallet().await.0, PRICE);
    assert_eq!(site.refunds_sent().await, [PRICE]);
    site.finish().await;
}
