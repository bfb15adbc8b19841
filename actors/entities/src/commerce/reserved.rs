//! What is kept for an order outside its buyer: asking the buyer what became of the order, and telling whoever keeps it.

use lyceum_domain::commerce::{Command, Fate, Outcome, Reservation, coupon, membership, sale, team};
use lyceum_domain::ids::{OrderId, TeamId, UserId};
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Context, DeliveryError};

use super::buyers::{Answer, Question};
use super::coupons::CouponQuestion;
use super::flows::CommercePorts;
use super::memberships::MembershipKey;
use super::sales::SaleQuestion;
use super::teams::{TeamAnswer, TeamQuestion};
use crate::flows::undelivered;

impl CommercePorts {
    /// What a buyer says about what is kept for an order.
    pub(super) async fn fate(
        &self,
        user: UserId,
        order_id: OrderId,
        reserved_until: Timestamp,
    ) -> Result<Fate, DeliveryError> {
        let context = Context::within(self.ask_timeout);
        let question = Question::Fate {
            order_id,
            reserved_until,
        };
        match self.buyers.read(user, question, &context).await {
            Ok(Answer::Fate(fate)) => Ok(fate),
            Ok(_) => Err(DeliveryError::Fault(
                "a buyer answered another question".to_owned(),
            )),
            Err(error) => Err(undelivered(error)),
        }
    }

    /// Tells whoever keeps something for an order what became of it.
    pub(super) async fn settle(
        &self,
        user: UserId,
        order_id: OrderId,
        reservation: &Reservation,
        outcome: Outcome,
    ) -> Result<(), DeliveryError> {
        let context = Context::within(self.ask_timeout);
        match *reservation {
            Reservation::Slot { sale_id } => {
                let command = sale::Command::Settle {
                    order_id,
                    user,
                    outcome,
                };
                let answered = self.sales.ask(sale_id, command, SaleQuestion::Nothing, &context);
                answered.await.map(drop).map_err(undelivered)
            }
            Reservation::Coupon { coupon_id } => {
                let command = match outcome {
                    Outcome::Consumed => coupon::Command::Redeem { order_id },
                    Outcome::Returned => coupon::Command::Release { order_id },
                };
                let coupons = &self.coupons;
                let answered = coupons.ask(coupon_id, command, CouponQuestion::Nothing, &context);
                answered.await.map(drop).map_err(undelivered)
            }
            Reservation::Place { team_id, .. } => {
                let command = team::Command::Settle {
                    order_id,
                    user,
                    outcome,
                };
                self.settle_place(team_id, command, (user, order_id)).await
            }
            Reservation::Period { membership_id } => {
                let (membership, command) =
                    (membership_id, membership::Command::Settle { order_id, outcome });
                self.tell_membership(MembershipKey { membership, user }, command)
                    .await
            }
        }
    }

    /// Settles a place in a team, and tells the buyer what the team has decided about the order, if it has.
    ///
    /// Its own message of that may have been given up, or be on its way; the buyer knows it when it hears it again.
    async fn settle_place(
        &self,
        team_id: TeamId,
        command: team::Command,
        (user, order_id): (UserId, OrderId),
    ) -> Result<(), DeliveryError> {
        let context = Context::within(self.ask_timeout);
        let question = TeamQuestion::Verdict { user, order_id };
        match self.teams.ask(team_id, command, question, &context).await {
            Ok(TeamAnswer::Verdict(Some(granted))) => {
                self.tell_buyer(user, Command::Conclude { order_id, granted })
                    .await
            }
            Ok(_) => Ok(()),
            Err(error) => Err(undelivered(error)),
        }
    }

    /// Has a team fail whose time is over; it has its own clock, which may be behind the one that told.
    pub(super) async fn expire_team(&self, team_id: TeamId) -> Result<(), DeliveryError> {
        let context = Context::within(self.ask_timeout);
        let (teams, question) = (&self.teams, TeamQuestion::View);
        match teams
            .ask(team_id, team::Command::Expire, question, &context)
            .await
        {
            Ok(TeamAnswer::View(view)) if !view.decided => Err(DeliveryError::NotYet {
                until: view.terms.ends_at,
            }),
            Ok(_) => Ok(()),
            Err(error) => Err(undelivered(error)),
        }
    }
}
