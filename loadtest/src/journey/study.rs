//! Journeys of learners: study a lesson and report progress, rate a course.

use hyper::Method;

use crate::journey::Step;
use crate::request::Ask;
use crate::visit::{Ended, Visit};

/// The outline of a course, its free lesson if it has one, and how far one came.
pub(super) async fn learn(visit: &mut Visit) -> Result<(), Ended> {
    let catalog = visit.catalog();
    let course = &catalog.courses[visit.popular(&catalog)];
    let outline = Ask::new(Method::GET, course.path.clone());
    visit.call_as_user(Step::Course, outline, &[200]).await?;
    if let Some(preview) = &course.preview {
        let lesson = Ask::new(Method::GET, preview.clone());
        visit.call_as_user(Step::Content, lesson, &[200]).await?;
    }
    visit.think().await;
    let share = f64::from(visit.up_to(100)) / 100.0;
    let id = &course.id;
    let events = format!(
        r#"{{"events":[{{"type":"start","course_id":"{id}"}},{{"type":"progress","course_id":"{id}","value":{share}}}]}}"#
    );
    let report = Ask::post("/v1/events", events).keyed(visit.key());
    visit.call_as_user(Step::Learn, report, &[202]).await?;
    Ok(())
}

/// One to five stars.
pub(super) async fn rate(visit: &mut Visit) -> Result<(), Ended> {
    let catalog = visit.catalog();
    let id = &catalog.courses[visit.popular(&catalog)].id;
    let stars = 1 + visit.up_to(4);
    let events = format!(r#"{{"events":[{{"type":"rate","course_id":"{id}","value":{stars}}}]}}"#);
    let report = Ask::post("/v1/events", events).keyed(visit.key());
    visit.call_as_user(Step::Rate, report, &[202]).await?;
    Ok(())
}
