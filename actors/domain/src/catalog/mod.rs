//! Catalog: courses from the first draft to the archive, and what of them may be shown and sold.
//!
//! ```text
//! draft ⇄ in_review → approved ⇄ scheduled
//!                        └──────────┴─→ published ⇄ unlisted
//!                                           └─ suspended → (where it was)
//! published | unlisted | suspended → retired → archived
//! ```
//!
//! Only `published` and `unlisted` sell; only `published` is listed, searched and recommended. A course is reviewed
//! once: an edit of a published course makes a working version that `publish` swaps in, and whoever abuses that is
//! suspended by an operator.
//!
//! Invariants: a live version is never changed in place; version numbers grow by one with each publication;
//! whatever is live has a title, a price and a lesson with content.

mod course;
mod error;
mod fields;
mod message;
mod outline;

pub use course::{Content, Course, Listing, Live, Record, Stage};
pub use error::{Error, Gate};
pub use fields::{
    Body, Description, Language, Level, MediaUrl, Price, Reason, Slug, Subtitle, Tag, Tags, Title,
};
pub use message::{Action, By, Changes, Command, Details, Event, LessonPlace};
pub use outline::{Chapter, Lesson, LessonContent, LessonKind, Outline};
