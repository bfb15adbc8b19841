//! Messages of accounts to what else belongs to a user.

use std::time::Duration;

use lyceum_domain::accounts::{EndReason, SessionCommand};
use lyceum_domain::ids::{SessionId, UserId};
use lyceum_domain::webhooks;
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Context, DeliveryError, Region};
use serde::{Deserialize, Serialize};

use super::{SessionQuestion, Sessions};
use crate::flows::undelivered;
use crate::recommend::{ForgetError, Privacy};
use crate::webhooks::{Question, Subscribers};

/// How long the delivery of one message may take before it counts as failed and is tried again.
const DELIVERY_BUDGET: Duration = Duration::from_secs(5);

/// What the accounts domain sends through the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "flow", rename_all = "snake_case")]
pub enum AccountsFlow {
    /// Ends the logins of a user.
    EndSessions {
        /// Whose.
        user: UserId,
        /// Why.
        reason: EndReason,
        /// The login that stays.
        except: Option<SessionId>,
        /// When this was decided; logins that began later stay.
        until: Timestamp,
    },
    /// Forgets where a user who was erased wanted to hear of what.
    EraseSubscriber {
        /// Whose.
        user: UserId,
    },
    /// Forgets what a user who was erased did and liked.
    EraseLearner {
        /// Whose.
        user: UserId,
    },
}

impl AccountsFlow {
    /// Carries the message out. Delivered again, it finds nothing left to end or to forget.
    ///
    /// # Errors
    /// The receiver cannot be reached now; try again later.
    pub(crate) async fn carry_out(
        self,
        sessions: &Region<Sessions>,
        subscribers: &Region<Subscribers>,
        privacy: &Privacy,
    ) -> Result<(), DeliveryError> {
        let context = Context::within(DELIVERY_BUDGET);
        match self {
            AccountsFlow::EndSessions {
                user,
                reason,
                except,
                until,
            } => {
                let command = SessionCommand::LogOutAll {
                    reason,
                    except,
                    until,
                };
                let ended = sessions
                    .ask(user, command, SessionQuestion::Active, &context)
                    .await;
                ended.map(drop).map_err(undelivered)
            }
            AccountsFlow::EraseSubscriber { user } => {
                let erased = subscribers
                    .ask(user, webhooks::Command::Erase, Question::Nothing, &context)
                    .await;
                erased.map(drop).map_err(undelivered)
            }
            AccountsFlow::EraseLearner { user } => {
                let forgotten = privacy.forget(user, &context).await;
                forgotten.map_err(|error| match error {
                    ForgetError::Profile(error) => undelivered(error),
                    ForgetError::Rows(error) => {
                        tracing::warn!(%error, "a learner could not be forgotten yet");
                        DeliveryError::Unavailable
                    }
                })
            }
        }
    }
}
