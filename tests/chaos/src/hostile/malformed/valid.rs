//! Requests that are right: what the malformed ones are made of.

use serde_json::{Value, json};

use crate::dice::Dice;

/// What the requests may refer to, all of it real.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// Access tokens of a learner, a creator and an operator.
    pub tokens: Vec<String>,
    /// A learner's id.
    pub user: String,
    /// Courses that are sold.
    pub courses: Vec<String>,
    /// An order of the learner.
    pub order: String,
    /// A login that may be ended.
    pub session: String,
}

#[cfg(test)]
impl Site {
    pub(super) fn for_tests() -> Self {
        Site {
            tokens: vec!["learner".into(), "creator".into(), "operator".into()],
            user: "usr_01h455vb4pex5vsknk084sn02q".into(),
            courses: vec!["crs_01h455vb4pex5vsknk084sn02q".into()],
            order: "ord_01h455vb4pex5vsknk084sn02q".into(),
            session: "ses_01h455vb4pex5vsknk084sn02q".into(),
        }
    }
}

/// A request in parts, so that each can be changed alone.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: Vec<u8>,
    pub(super) target: Vec<u8>,
    pub(super) headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) body: Vec<u8>,
    /// The length that is written, if it is not the body's own; `None` inside writes none.
    pub(super) length: Option<Option<Vec<u8>>>,
}

impl Request {
    /// As it is sent.
    pub(super) fn render(&self) -> Vec<u8> {
        let mut bytes = [
            &self.method,
            b" ".as_slice(),
            &self.target,
            b" HTTP/1.1\r\nhost: lyceum.test\r\n",
        ]
        .concat();
        let length = match &self.length {
            None if self.body.is_empty() => None,
            None => Some(self.body.len().to_string().into_bytes()),
            Some(told) => told.clone(),
        };
        let length = length.map(|length| (b"content-length".to_vec(), length));
        for (name, value) in self.headers.iter().chain(&length) {
            bytes.extend([name, b": ".as_slice(), value, b"\r\n"].concat());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// One of the valid requests.
pub(super) fn any(dice: &mut Dice, site: &Site) -> Request {
    let course = dice.pick(&site.courses).cloned().unwrap_or_default();
    let money = json!({"amount": 100, "currency": "CNY"});
    let lesson = "les_01h455vb4pex5vsknk084sn02q";
    let (user, order, session) = (&site.user, &site.order, &site.session);
    // Passwords are hashed, which costs a core for a while: few of those, or nothing else would be tried.
    if dice.chance(1, 100) {
        let body = json!({"username": format!("m{:x}", dice.roll()), "password": "malformed but long enough",
            "email": "malformed@example.com", "interests": ["music"]});
        return build(dice, site, "POST", "/v1/users", Some(&body));
    }
    let requests: [(&str, String, Option<Value>); 37] = [
        (
            "GET",
            "/v1/courses?q=course&category=music&level=all&price=paid&sort=newest&limit=10".into(),
            None,
        ),
        ("GET", format!("/v1/courses?creator={user}&after=x"), None),
        ("GET", format!("/v1/courses/{course}"), None),
        ("GET", format!("/v1/courses/{course}/similar?limit=5"), None),
        (
            "GET",
            format!("/v1/courses/{course}/lessons/{lesson}/content"),
            None,
        ),
        ("GET", "/v1/me".into(), None),
        (
            "PATCH",
            "/v1/me".into(),
            Some(
                json!({"display_name": "M", "bio": "b", "language": "zh", "interests": ["a"],
            "preferences": {"personalised_recommendations": true}}),
            ),
        ),
        ("GET", "/v1/me/wallet?limit=10".into(), None),
        ("GET", "/v1/me/orders?limit=10".into(), None),
        ("GET", "/v1/me/courses?limit=10".into(), None),
        ("GET", "/v1/me/sessions".into(), None),
        ("GET", "/v1/me/recommendations?limit=10&surface=home".into(), None),
        ("GET", "/v1/me/authored-courses?limit=10".into(), None),
        ("GET", format!("/v1/users/{user}"), None),
        ("DELETE", format!("/v1/sessions/{session}"), None),
        (
            "POST",
            "/v1/sessions/refresh".into(),
            Some(json!({"refresh_token": "unknown"})),
        ),
        (
            "POST",
            "/v1/me/wallet/top-ups".into(),
            Some(json!({"amount": money, "provider": "sandbox", "payment_token": "tok_ok"})),
        ),
        (
            "POST",
            "/v1/quotes".into(),
            Some(json!({"items": [{"course_id": course}], "coupon_code": "X"})),
        ),
        (
            "POST",
            "/v1/orders".into(),
            Some(
                json!({"items": [{"course_id": course}], "payment_method": "wallet", "payment_token": null}),
            ),
        ),
        ("GET", format!("/v1/orders/{order}"), None),
        ("POST", format!("/v1/orders/{order}/cancel"), None),
        (
            "POST",
            format!("/v1/orders/{order}/refunds"),
            Some(json!({"reason": "malformed", "amount": money})),
        ),
        (
            "POST",
            "/v1/events".into(),
            Some(
                json!({"events": [{"type": "progress", "course_id": course, "id": "e1",
            "at": "2026-01-01T00:00:00Z", "value": 0.5}, {"type": "rate", "course_id": course, "value": 5}]}),
            ),
        ),
        (
            "POST",
            "/v1/courses".into(),
            Some(
                json!({"title": "M", "subtitle": "s", "language": "en", "level": "all",
            "category": "music", "tags": ["a", "b"], "price": money}),
            ),
        ),
        (
            "PATCH",
            format!("/v1/courses/{course}"),
            Some(json!({"title": "N", "subtitle": null, "tags": [], "price": money})),
        ),
        (
            "PUT",
            format!("/v1/courses/{course}/lessons/{lesson}"),
            Some(json!({"title": "L", "kind": "article",
            "duration_seconds": 60, "preview": true, "chapter": {"title": "C"}, "position": 1, "content": {"text": "t"}})),
        ),
        ("DELETE", format!("/v1/courses/{course}/lessons/{lesson}"), None),
        (
            "POST",
            format!("/v1/courses/{course}/schedule"),
            Some(json!({"at": "2099-01-01T00:00:00Z"})),
        ),
        (
            "POST",
            format!("/v1/courses/{course}/reject"),
            Some(json!({"reason": "malformed"})),
        ),
        ("GET", format!("/admin/v1/entities/buyer/{user}"), None),
        ("GET", "/admin/v1/sagas?state=processing&limit=10".into(), None),
        ("GET", "/admin/v1/sagas?stuck=true".into(), None),
        (
            "GET",
            format!("/admin/v1/ledger/entries?account=user_wallet&owner={user}"),
            None,
        ),
        ("GET", "/admin/v1/adjustments?state=posted&limit=10".into(), None),
        ("GET", "/admin/v1/cluster".into(), None),
        (
            "POST",
            "/admin/v1/imports".into(),
            Some(json!({"kind": "user", "id": user})),
        ),
        (
            "POST",
            "/callbacks/sandbox".into(),
            Some(json!({"type": "charge.succeeded", "data": {"key": "k", "amount": 100}})),
        ),
    ];
    let Some((method, target, body)) = dice.pick(&requests) else {
        return build(dice, site, "GET", "/livez", None);
    };
    build(dice, site, method, target, body.as_ref())
}

fn build(dice: &mut Dice, site: &Site, method: &str, target: &str, body: Option<&Value>) -> Request {
    let token = dice.pick(&site.tokens).cloned().unwrap_or_default();
    let header = |name: &str, value: String| (name.as_bytes().to_vec(), value.into_bytes());
    let mut headers = vec![
        header("authorization", format!("Bearer {token}")),
        header("accept", "application/json".to_owned()),
    ];
    if method == "POST" {
        headers.push(header("idempotency-key", format!("malformed-{:x}", dice.roll())));
    }
    if body.is_some() {
        headers.push(header("content-type", "application/json".to_owned()));
    }
    if target.starts_with("/callbacks") {
        headers.push(header("webhook-id", "evt_1".to_owned()));
        headers.push(header("webhook-timestamp", "1700000000".to_owned()));
        headers.push(header(
            "webhook-signature",
            "v1,aGVsbG8gdGhpcyBpcyBubyBzaWduYXR1cmU=".to_owned(),
        ));
    }
    if method == "PATCH" || method == "PUT" {
        headers.push(header("if-match", "\"1\"".to_owned()));
    }
    Request {
        method: method.as_bytes().to_vec(),
        target: target.as_bytes().to_vec(),
        headers,
        body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
        length: None,
    }
}
