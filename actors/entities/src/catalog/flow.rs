//! What the catalog asks of itself later: publications that are due.

use lyceum_domain::catalog::{Action, By, Command};
use lyceum_domain::ids::CourseId;
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Context, DeliveryError, Region};
use serde::{Deserialize, Serialize};

use super::{Courses, Question};
use crate::flows::undelivered;

/// A message of the catalog to itself, delivered at least once, when it is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CatalogFlow {
    /// The time of a scheduled publication has come.
    PublishDue {
        /// The course.
        course: CourseId,
        /// The time it was scheduled for; a later plan replaces this one.
        at: Timestamp,
    },
}

impl CatalogFlow {
    /// Carries the message out; repeating it changes nothing.
    ///
    /// # Errors
    /// Worth another try, unless a rule refuses it for good.
    pub async fn carry_out(self, courses: &Region<Courses>, context: &Context) -> Result<(), DeliveryError> {
        match self {
            CatalogFlow::PublishDue { course, at } => {
                let command = Command {
                    by: By::System,
                    action: Action::PublishDue { at },
                };
                let asked = courses
                    .ask(course, command, Question::Brief { by: By::System }, context)
                    .await;
                asked.map(drop).map_err(undelivered)
            }
        }
    }
}
