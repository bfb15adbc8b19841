//! Journeys of buyers: from the wallet, through the sandbox, and back again.
//!
//! A buyer's purse is kept in step with what the target acknowledged. A course counts as taken from the moment it is
//! asked for: when the answer is lost, nobody knows, so it is not asked for again.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::catalog::Course;
use crate::client::Answer;
use crate::funding;
use crate::journey::Step;
use crate::outcome::ErrorKind;
use crate::request::Ask;
use crate::users::Bought;
use crate::visit::{Ended, Visit, status};

/// First pause between two looks at an order; it grows by half each time.
const POLL: Duration = Duration::from_millis(20);
const POLL_MAX: Duration = Duration::from_millis(500);

/// A course from the wallet, which is topped up first if it is short.
pub(super) async fn from_wallet(visit: &mut Visit) -> Result<(), Ended> {
    let catalog = visit.catalog();
    let Some(course) = visit.take_course(&catalog) else {
        return Err(visit.nobody_left(Step::Buy));
    };
    pay_from_wallet(visit, course, &catalog.courses[course]).await
}

async fn pay_from_wallet(visit: &mut Visit, place: usize, course: &Course) -> Result<(), Ended> {
    let price = course.price;
    if !visit.user().reserve(price) {
        top_up(visit, price).await?;
    }
    let body = format!(
        r#"{{"items":[{{"course_id":"{}"}}],"payment_method":"wallet"}}"#,
        course.id
    );
    let order = Ask::post("/v1/orders", body).keyed(visit.key());
    let bearer = visit.user().bearer();
    let answer = visit.measure(Step::Buy, order, Some(&bearer), fulfilled).await?;
    if let Some(order) = answer.json()["id"].as_str() {
        visit.user().bought(Bought {
            order: order.to_owned(),
            course: place,
            price,
        });
    }
    Ok(())
}

fn fulfilled(answer: &Answer) -> Result<(), ErrorKind> {
    status(answer, &[201])?;
    if answer.json()["state"] == "fulfilled" {
        Ok(())
    } else {
        Err(ErrorKind::Check)
    }
}

/// A course through the sandbox provider: the order is placed, the provider calls back, access is granted.
pub(super) async fn through_sandbox(visit: &mut Visit) -> Result<(), Ended> {
    let catalog = visit.catalog();
    let Some(place) = visit.take_course(&catalog) else {
        return Err(visit.nobody_left(Step::BuySandbox));
    };
    let course = &catalog.courses[place];
    let body = format!(
        r#"{{"items":[{{"course_id":"{}"}}],"payment_method":"sandbox","payment_token":"tok_ok"}}"#,
        course.id
    );
    let order = Ask::post("/v1/orders", body).keyed(visit.key());
    let mut answer = visit
        .call_as_user(Step::BuySandbox, order, &[201, 202])
        .await?
        .json();
    let placed = visit.begin(Step::Settle);
    if answer["state"] == "pending" {
        let look = Ask::get(&format!(
            "/v1/orders/{}",
            answer["id"].as_str().unwrap_or_default()
        ));
        answer = match poll(visit, look, |order| order["state"] != "pending").await {
            Ok(order) => order,
            Err(kind) => return Err(visit.end(placed, Err(kind))),
        };
    }
    if answer["state"] != "fulfilled" {
        return Err(visit.end(placed, Err(ErrorKind::Check)));
    }
    visit.end(placed, Ok(()));
    // A refund of it would go back to the provider, so it is not one of those that are returned to the wallet.
    Ok(())
}

/// Returns a course to the wallet; buys one first if there is none to return.
pub(super) async fn refund(visit: &mut Visit) -> Result<(), Ended> {
    if !visit.user().has_bought() {
        from_wallet(visit).await?;
        visit.think().await;
    }
    // Somebody else of the same name may have been quicker.
    let Some(bought) = visit.user().take_bought() else {
        return Ok(());
    };
    let path = format!("/v1/orders/{}/refunds", bought.order);
    let ask = Ask::post(&path, r#"{"reason":"changed my mind"}"#).keyed(visit.key());
    visit.call_as_user(Step::Refund, ask, &[201]).await?;
    visit.user().returned(&bought);
    Ok(())
}

/// Brings money into the wallet and waits until it is there; `price` of it is reserved.
async fn top_up(visit: &mut Visit, price: u64) -> Result<(), Ended> {
    let ask = funding::top_up().keyed(visit.key());
    let began = visit.begin(Step::TopUp);
    let outcome = async {
        let mut answer = visit.answer_of(ask).await?.json();
        if answer["state"] == "processing" {
            answer = poll(visit, funding::look(&answer), |top_up| {
                top_up["state"] != "processing"
            })
            .await?;
        }
        if answer["state"] == "succeeded" {
            Ok(())
        } else {
            Err(ErrorKind::Check)
        }
    };
    match outcome.await {
        Ok(()) => {
            visit.end(began, Ok(()));
            visit.user().receive(funding::TOP_UP.saturating_sub(price));
            Ok(())
        }
        Err(kind) => Err(visit.end(began, Err(kind))),
    }
}

/// Asks again and again until the answer is final, or the deadline of a request is over.
async fn poll(visit: &mut Visit, look: Ask, is_final: impl Fn(&Value) -> bool) -> Result<Value, ErrorKind> {
    let deadline = Instant::now() + visit.timeout();
    let mut pause = POLL;
    loop {
        sleep(pause).await;
        let answer = visit.answer_of(look.clone()).await?.json();
        if is_final(&answer) {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            return Err(ErrorKind::Timeout);
        }
        pause = (pause + pause / 2).min(POLL_MAX);
    }
}
