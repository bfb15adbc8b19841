//! What a user may know and decide of what recommends to them, and what is forgotten of them.
//!
//! A choice is written down before the profile hears of it: a profile may be lost and is rebuilt from what is written. Who asks again,
//! because the answer was lost in between, has both done.

use lyceum_domain::ids::UserId;
use lyceum_domain::recommend::{Command, Error, Profile};
use lyceum_runtime::{AskError, Context, Region, StoreError};

use super::rows::RecommendRows;
use super::{Answer, Profiles, Question};

/// Knows, decides and forgets.
#[derive(Clone)]
pub struct Privacy {
    rows: RecommendRows,
    profiles: Region<Profiles>,
}

impl Privacy {
    pub(crate) fn new(rows: RecommendRows, profiles: Region<Profiles>) -> Self {
        Privacy { rows, profiles }
    }

    /// What is known of a user.
    ///
    /// # Errors
    /// The profile cannot be reached.
    pub async fn known(&self, user: UserId, context: &Context) -> Result<Profile, AskError<Error>> {
        let answer = self.profiles.read(user, Question::Explain, context).await?;
        known(answer)
    }

    /// Has lists made from what the user did and likes, or not any more; the very next list is made so, and so is every model
    /// whose training begins from then on.
    ///
    /// # Errors
    /// The database or the profile cannot be reached; asked again, it does what is left to do.
    pub async fn choose(
        &self,
        user: UserId,
        personal: bool,
        context: &Context,
    ) -> Result<Profile, AskError<Error>> {
        self.rows.choose(user, personal).await.map_err(|error| {
            tracing::warn!(%error, "a choice could not be written down");
            AskError::Unavailable
        })?;
        let command = Command::Personalise { personal };
        let answer = self
            .profiles
            .ask(user, command, Question::Explain, context)
            .await?;
        known(answer)
    }

    /// Forgets what an erased user did. Done again, it finds nothing left.
    ///
    /// # Errors
    /// The database or the profile cannot be reached.
    pub(crate) async fn forget(&self, user: UserId, context: &Context) -> Result<(), ForgetError> {
        self.profiles
            .ask(user, Command::Erase, Question::Explain, context)
            .await
            .map_err(ForgetError::Profile)?;
        self.rows.forget(user).await.map_err(ForgetError::Rows)
    }
}

/// Why somebody could not be forgotten yet.
pub(crate) enum ForgetError {
    /// The profile cannot be reached.
    Profile(AskError<Error>),
    /// The database cannot be reached.
    Rows(StoreError),
}

fn known(answer: Answer) -> Result<Profile, AskError<Error>> {
    match answer {
        Answer::Explained(profile) => Ok(*profile),
        Answer::Observed(_) | Answer::Recommended(_) => Err(AskError::Failed),
    }
}
