//! Journeys that change nothing: browse, look, search, recommend.

use hyper::Method;

use crate::journey::Step;
use crate::request::Ask;
use crate::visit::{Ended, Visit};

/// A page of a category, then one of the courses.
pub(super) async fn browse(visit: &mut Visit) -> Result<(), Ended> {
    let catalog = visit.catalog();
    let list = visit.any(&catalog.lists).cloned().unwrap_or_default();
    visit
        .call(Step::List, Ask::new(Method::GET, list), &[200])
        .await?;
    visit.think().await;
    look(visit).await
}

/// One of the courses, the popular ones more often.
pub(super) async fn look(visit: &mut Visit) -> Result<(), Ended> {
    let catalog = visit.catalog();
    let course = visit.popular(&catalog);
    let path = catalog.courses[course].path.clone();
    visit
        .call(Step::Course, Ask::new(Method::GET, path), &[200])
        .await?;
    Ok(())
}

/// Words, then the best match; a popular course if nothing matches.
pub(super) async fn search(visit: &mut Visit) -> Result<(), Ended> {
    let catalog = visit.catalog();
    let query = visit.any(&catalog.searches).cloned().unwrap_or_default();
    let answer = visit
        .call(Step::Search, Ask::new(Method::GET, query), &[200])
        .await?;
    visit.think().await;
    match answer.json()["data"][0]["id"].as_str() {
        Some(id) => {
            let found = Ask::get(&format!("/v1/courses/{id}"));
            visit.call(Step::Course, found, &[200]).await?;
            Ok(())
        }
        None => look(visit).await,
    }
}

/// What to study next.
pub(super) async fn recommend(visit: &mut Visit) -> Result<(), Ended> {
    let ask = Ask::get("/v1/me/recommendations?limit=10");
    visit.call_as_user(Step::Recommend, ask, &[200]).await?;
    Ok(())
}
