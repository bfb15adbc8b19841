//! The lines of an import: what `POST /admin/v1/imports` takes and what the command line sends.
//!
//! Every record carries the ids of what it makes, derived from the source by whoever sends it, so that a repeated
//! record meets what it made before. Fields are the domain's own types: a line that can be read is valid.

use lyceum_domain::accounts::{
    Bio, DisplayName, Email, Interests, Language as ReadingLanguage, Roles, Username,
};
use lyceum_domain::catalog::{Description, Language, Level, Outline, Price, Slug, Subtitle, Tags, Title};
use lyceum_domain::commerce::ImportId;
use lyceum_domain::ids::{CourseId, UserId};
use lyceum_domain::recommend::Activity;
use lyceum_kernel::Timestamp;
use serde::{Deserialize, Serialize};

/// One line of an import.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Record {
    /// Opens an account.
    Account(Box<Account>),
    /// Publishes a course.
    Course(Box<Course>),
    /// Takes over what somebody did elsewhere.
    History(History),
}

/// An account to open.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Identifies it for good.
    pub id: UserId,
    /// The name to log in with.
    pub username: Username,
    /// Where mail reaches them.
    pub email: Email,
    /// The name others see.
    pub display_name: DisplayName,
    /// What they say about themselves.
    #[serde(default)]
    pub bio: Bio,
    /// The language they read in.
    #[serde(default)]
    pub language: ReadingLanguage,
    /// Roles beyond the learner's.
    #[serde(default)]
    pub roles: Roles,
    /// What they want to learn.
    #[serde(default)]
    pub interests: Interests,
    /// The password; without one nobody can log in until it is reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// A course to publish.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Course {
    /// Identifies it for good.
    pub id: CourseId,
    /// Whose course it is; an account that exists.
    pub creator: UserId,
    /// What it is called.
    pub title: Title,
    /// The line below the title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subtitle: Option<Subtitle>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// The language it is taught in.
    pub language: Language,
    /// For whom it is.
    pub level: Level,
    /// The category it is found under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Slug>,
    /// Its topics.
    #[serde(default)]
    pub tags: Tags,
    /// What it costs.
    pub price: Price,
    /// The lessons, at least one with content.
    pub outline: Outline,
}

/// What somebody did elsewhere.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// Who did it.
    pub user: UserId,
    /// What, oldest first.
    pub events: Vec<PastEvent>,
}

/// One thing somebody did with a course elsewhere.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PastEvent {
    /// Identifies it for good.
    pub id: ImportId,
    /// What they did; a purchase also grants access.
    pub activity: Activity,
    /// With which course.
    pub course: CourseId,
    /// When.
    pub at: Timestamp,
    /// Stars of a rating, share of a progress, else 0.
    #[serde(default)]
    pub value: f32,
}

/// What became of a batch of records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Records that made something.
    pub applied: u64,
    /// Records that were here before.
    pub unchanged: u64,
    /// Records that a rule refused; the first hundred are listed.
    pub refused: u64,
    /// Why.
    pub refusals: Vec<RefusedLine>,
}

/// A record that a rule refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedLine {
    /// The line of the batch, from 1.
    pub line: u64,
    /// The stable code of the rule.
    pub code: String,
    /// What it says.
    pub detail: String,
}

impl Receipt {
    /// Adds another batch's receipt to this one; refusals are kept up to the first few.
    pub fn add(&mut self, other: Receipt) {
        const REFUSALS_MAX: usize = 20;
        self.applied += other.applied;
        self.unchanged += other.unchanged;
        self.refused += other.refused;
        let room = REFUSALS_MAX.saturating_sub(self.refusals.len());
        self.refusals.extend(other.refusals.into_iter().take(room));
    }
}
