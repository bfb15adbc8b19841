//! Courses that tests publish: what they say, and the steps until they are on sale.

use lyceum_domain::ids::{CourseId, LessonId};
use serde_json::{Value, json};

use super::{Answer, User, cny};

/// What a course is published with.
#[derive(Clone, Copy)]
pub(crate) struct CourseSpec<'a> {
    pub(crate) title: &'a str,
    pub(crate) price: i64,
    pub(crate) category: &'a str,
    pub(crate) tags: &'a [&'a str],
    pub(crate) level: &'a str,
    pub(crate) language: &'a str,
}

impl Default for CourseSpec<'_> {
    fn default() -> Self {
        CourseSpec {
            title: "A course",
            price: 1_990,
            category: "programming",
            tags: &[],
            level: "all",
            language: "zh",
        }
    }
}

impl CourseSpec<'_> {
    /// The body of `POST /v1/courses`.
    pub(crate) fn body(&self) -> Value {
        json!({
            "title": self.title, "category": self.category, "tags": self.tags, "level": self.level,
            "language": self.language, "price": cny(self.price),
        })
    }
}

/// An id for a new lesson.
pub(crate) fn lesson_id() -> String {
    LessonId::from_u128(uuid::Uuid::now_v7().as_u128()).to_string()
}

/// An id that no course has.
pub(crate) fn unknown_course() -> String {
    CourseId::from_u128(uuid::Uuid::now_v7().as_u128()).to_string()
}

/// Writes a lesson with a text.
pub(crate) async fn put_lesson(creator: &User, course: &str, lesson: &str, text: &str) -> Answer {
    let path = format!("/v1/courses/{course}/lessons/{lesson}");
    let body = json!({"title": "A lesson", "kind": "article", "content": {"text": text}});
    creator.call("PUT", &path).json(&body).send().await
}

/// A draft that its creator has submitted and an operator has approved.
pub(crate) async fn approved(creator: &User, operator: &User, spec: &CourseSpec<'_>) -> String {
    let id = draft(creator, spec).await;
    creator.act(&format!("/v1/courses/{id}/submit")).await.expect(200);
    operator
        .act(&format!("/v1/courses/{id}/approve"))
        .await
        .expect(200);
    id
}

/// A draft with a lesson.
pub(crate) async fn draft(creator: &User, spec: &CourseSpec<'_>) -> String {
    let id = creator
        .post("/v1/courses", &spec.body())
        .await
        .expect(201)
        .text("id");
    put_lesson(creator, &id, &lesson_id(), "text").await.expect(200);
    id
}
