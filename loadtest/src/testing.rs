//! What tests of journeys need: a target that answers by a script, and a worker that is loaded by hand.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::Instant;

use crate::Site;
use crate::arrival::{Plan, Share};
use crate::catalog::Catalog;
use crate::client::Client;
use crate::outcome::Board;
use crate::scenario::Scenario;
use crate::users::Account;
use crate::worker::{Task, Worker};

/// Requests as a target saw them: method, path and body.
pub(crate) type Seen = Rc<RefCell<Vec<(String, String)>>>;

/// A target on this thread that answers each request as the script says.
pub(crate) async fn target(script: impl Fn(&str, &str) -> (u16, String) + 'static) -> (Site, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let site = Site::resolve(&format!("http://{}", listener.local_addr().unwrap()))
        .await
        .unwrap();
    let (seen, script) = (Seen::default(), Rc::new(script));
    let log = seen.clone();
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (log, script) = (log.clone(), script.clone());
            let answer = service_fn(move |request: Request<Incoming>| {
                let (log, script) = (log.clone(), script.clone());
                async move {
                    let line = format!("{} {}", request.method(), request.uri());
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let body = String::from_utf8(body.to_vec()).unwrap();
                    let (status, answer) = script(&line, &body);
                    log.borrow_mut().push((line, body));
                    let mut response = Response::new(Full::new(Bytes::from(answer)));
                    *response.status_mut() = status.try_into().unwrap();
                    Ok::<_, Infallible>(response)
                }
            });
            spawn_local(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    });
    (site, seen)
}

/// Answers of a platform on which everything works; a 202 is followed by success.
pub(crate) fn works(line: &str, _: &str) -> (u16, String) {
    let path = line.split(['?', ' ']).nth(1).unwrap_or_default();
    let text = |status: u16, text: &str| (status, text.to_owned());
    match (line.split(' ').next().unwrap_or_default(), path) {
        ("GET", "/v1/courses") => text(
            200,
            r#"{"data":[{"id":"crs_a","price":{"amount":900},"category":"art","tags":["Öl"]},
                {"id":"crs_b","price":{"amount":0},"tags":[]}],"next":null}"#,
        ),
        ("GET", "/v1/courses/crs_a" | "/v1/courses/crs_b") => text(
            200,
            r#"{"outline":[{"lessons":[{"id":"lsn_1","preview":false},{"id":"lsn_2","preview":true}]}]}"#,
        ),
        ("POST", "/v1/sessions") => text(201, r#"{"access_token":"t","session":{"id":"ses_1"}}"#),
        ("DELETE", _) => text(204, ""),
        ("POST", "/v1/users") => text(201, "{}"),
        ("POST", "/v1/events") => text(202, "{}"),
        ("POST", "/v1/me/wallet/top-ups") => text(202, r#"{"id":"pay_1","state":"processing"}"#),
        ("GET", "/v1/me/wallet/top-ups/pay_1") => text(200, r#"{"id":"pay_1","state":"succeeded"}"#),
        ("POST", "/v1/orders") if line.contains("orders") => {
            text(201, r#"{"id":"ord_1","state":"fulfilled"}"#)
        }
        ("GET", "/v1/orders/ord_2") => text(200, r#"{"id":"ord_2","state":"fulfilled"}"#),
        ("POST", "/v1/orders/ord_1/refunds") => text(201, r#"{"state":"succeeded"}"#),
        _ => text(200, "{}"),
    }
}

/// Reads a scenario with this mix, for a second at one start a second.
pub(crate) fn scenario(more: &str) -> Scenario {
    let text = format!(
        "about = \"A test.\"\n[arrival]\nkind = \"constant\"\nstages = [{{ for = \"1s\", rate = 1 }}]\n{more}"
    );
    Scenario::parse("test.toml", &text).unwrap()
}

/// Makes a worker with two users without money, whose run has begun.
pub(crate) async fn worker(site: &Site, scenario: Scenario, journeys_max: usize) -> Rc<Worker> {
    let client = Client::new(site.clone(), Duration::from_secs(5), 10);
    let catalog = Catalog::read(&client, scenario.zipf, true).await.unwrap();
    worker_with(site, scenario, journeys_max, catalog)
}

/// Likewise, with a catalogue that need not be read.
pub(crate) fn worker_with(
    site: &Site,
    scenario: Scenario,
    journeys_max: usize,
    catalog: Catalog,
) -> Rc<Worker> {
    let weights = scenario.mix.iter().map(|(_, weight)| *weight);
    let task = Task {
        number: 0,
        plan: Plan::new(&scenario.profile, scenario.kind, weights, 1, Share::WHOLE),
        scenario: Arc::new(scenario),
        site: site.clone(),
        catalog: Arc::new(catalog),
        accounts: vec![Account::without_money("ada"), Account::without_money("bob")],
        first_user: 1,
        history: None,
        epoch: Instant::now(),
        run: 7,
        journeys_max,
        connections_max: 10,
        board: Arc::new(Board::new(1)),
        stop: watch::channel(false).1,
    };
    Rc::new(Worker::new(task).unwrap())
}
