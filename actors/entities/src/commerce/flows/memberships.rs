//! What the clock does about memberships: it has the next period paid by an order of its member, or ends or resumes what is due.

use lyceum_domain::commerce::{Command, Outcome, membership};
use lyceum_domain::ids::{MembershipId, OrderId, UserId};
use lyceum_runtime::{AskError, Context, DeliveryError, clock, ids};
use serde::{Deserialize, Serialize};

use super::CommercePorts;
use crate::accounts::AccountQuestion;
use crate::commerce::memberships::{MembershipAnswer, MembershipKey, MembershipQuestion, period_order};
use crate::flows::undelivered;

/// A message about a membership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "snake_case")]
pub enum MembershipFlow {
    /// Something is due.
    Tick {
        /// Whose.
        user: UserId,
        /// Which membership.
        membership: MembershipId,
        /// Which timer; a later one replaces it.
        step: u32,
    },
    /// The order that pays the next period is to be placed.
    Charge {
        /// Whose.
        user: UserId,
        /// Which membership.
        membership: MembershipId,
        /// Which order.
        order: OrderId,
    },
    /// The money of a period has gone back.
    Remove {
        /// Whose.
        user: UserId,
        /// Which membership.
        membership: MembershipId,
        /// The order that had paid it.
        order: OrderId,
    },
}

impl CommercePorts {
    pub(super) async fn about_membership(&self, flow: MembershipFlow) -> Result<(), DeliveryError> {
        match flow {
            MembershipFlow::Tick {
                user,
                membership,
                step,
            } => {
                // The membership keeps the order of the first delivery that it acts upon.
                let command = membership::Command::Act {
                    step,
                    order_id: ids::new(),
                    // Nobody waits for what it reserves, and a renewal must not fail because a node is away for a while.
                    until: clock::now().plus(self.order_times.order_ttl),
                };
                self.tell_membership(MembershipKey { membership, user }, command)
                    .await
            }
            MembershipFlow::Charge {
                user,
                membership,
                order,
            } => self.charge(MembershipKey { membership, user }, order).await,
            MembershipFlow::Remove {
                user,
                membership,
                order,
            } => {
                let command = membership::Command::Remove { order_id: order };
                self.tell_membership(MembershipKey { membership, user }, command)
                    .await
            }
        }
    }

    /// Has the buyer place the order, unless it has ended meanwhile. A refusal is how the order ended; whatever else becomes of it the
    /// buyer tells.
    async fn charge(&self, key: MembershipKey, order: OrderId) -> Result<(), DeliveryError> {
        let context = Context::within(self.ask_timeout);
        let question = MembershipQuestion::Charge { order_id: order };
        let answered = self.memberships.read(key, question, &context).await;
        let MembershipAnswer::Charge(charge) = answered.map_err(undelivered)? else {
            return Err(DeliveryError::Fault(
                "a membership answered another question".to_owned(),
            ));
        };
        let Some(charge) = charge else { return Ok(()) };
        // Who may not log in can neither study nor cancel, and does not pay for it.
        match self
            .accounts
            .read(key.user, AccountQuestion::ActiveView, &context)
            .await
        {
            Ok(_) => {}
            Err(AskError::Refused(refusal)) => {
                tracing::info!(membership.id = %key.membership, order.id = %order, %refusal, "a membership is not renewed");
                return self.unpaid(key, order).await;
            }
            Err(error) => return Err(undelivered(error)),
        }
        let place = period_order(
            key,
            &charge.terms,
            order,
            charge.until,
            self.order_times,
            clock::now(),
        );
        match self
            .ask_buyer(key.user, Command::PlaceOrder(Box::new(place)))
            .await
        {
            Ok(()) => Ok(()),
            Err(AskError::Refused(refusal)) => {
                tracing::info!(membership.id = %key.membership, order.id = %order, %refusal, "a membership could not be renewed");
                self.unpaid(key, order).await
            }
            Err(error) => Err(undelivered(error)),
        }
    }

    async fn unpaid(&self, key: MembershipKey, order: OrderId) -> Result<(), DeliveryError> {
        let command = membership::Command::Settle {
            order_id: order,
            outcome: Outcome::Returned,
        };
        self.tell_membership(key, command).await
    }

    /// Has a membership carry a command out.
    pub(in crate::commerce) async fn tell_membership(
        &self,
        key: MembershipKey,
        command: membership::Command,
    ) -> Result<(), DeliveryError> {
        let context = Context::within(self.ask_timeout);
        let answered = self
            .memberships
            .ask(key, command, MembershipQuestion::Nothing, &context);
        answered.await.map(drop).map_err(undelivered)
    }
}
