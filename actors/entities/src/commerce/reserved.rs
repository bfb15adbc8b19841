//! What is kept for an order outside its buyer: asking the buyer what became of the order, and telling whoever keeps it.

use lyceum_domain::commerce::{Fate, Outcome, Reservation, coupon, membership, sale};
use lyceum_domain::ids::{OrderId, UserId};
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Context, DeliveryError};

use super::buyers::{Answer, Question};
use super::coupons::CouponQuestion;
use super::flows::CommercePorts;
use super::memberships::MembershipKey;
use super::sales::SaleQuestion;
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
            Reservation::Period { membership_id } => {
                let (membership, command) =
                    (membership_id, membership::Command::Settle { order_id, outcome });
                self.tell_membership(MembershipKey { membership, user }, command)
                    .await
            }
        }
    }
}
