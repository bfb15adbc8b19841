//! Every message of commerce: from a buyer to a payment and back, to a provider, and from a timer.
//!
//! Messages are delivered at least once and in any order, so each is carried out in a way that bears repetition:
//! entities recognise what they have done, and a call to a provider is made only while the payment still waits
//! for that very step, under the attempt's idempotency key.

use std::sync::Arc;
use std::time::Duration;

use lyceum_domain::commerce::adjustment;
use lyceum_domain::commerce::ledger::Entry;
use lyceum_domain::commerce::payment::{self, RefundKey};
use lyceum_domain::commerce::{
    Command, Error, Fate, Outcome, Provider, Purpose, RefundOutcome, Reservation, Settlement,
};
use lyceum_domain::ids::{AdjustmentId, OrderId, PaymentId, RefundId, TeamId, UserId};
use lyceum_kernel::{Money, Timestamp};
use lyceum_runtime::{AskError, Context, DeliveryError, Region};
use serde::{Deserialize, Serialize};

use super::adjustments::{AdjustmentQuestion, Adjustments};
use super::buyers::{Buyers, Question};
use super::codes::CodeGrant;
use super::coupons::Coupons;
use super::gateway::Gateway;
use super::memberships::{Memberships, OrderTimes};
use super::payments::{PaymentAnswer, PaymentKey, PaymentQuestion, Payments};
use super::sales::Sales;
use super::teams::Teams;
use crate::accounts::Accounts;
use crate::flows::undelivered;
use crate::webhooks::{Announcement, DeliveryQueue};

mod calls;
mod memberships;

pub use memberships::MembershipFlow;

/// A message of commerce.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CommerceFlow {
    /// A buyer wants a payment.
    StartPayment {
        /// Whose.
        user: UserId,
        /// Which.
        payment: PaymentId,
        /// What for.
        purpose: Purpose,
        /// Who charges.
        provider: Provider,
        /// How much.
        amount: Money,
        /// What to charge.
        token: String,
        /// When it is given up.
        #[serde(default)]
        expires_at: Option<Timestamp>,
    },
    /// A buyer, or the clock, wants a payment closed.
    ClosePayment {
        /// Whose.
        user: UserId,
        /// Which.
        payment: PaymentId,
        /// What for.
        purpose: Purpose,
    },
    /// The next action of a payment is due.
    CallProvider {
        /// Whose.
        user: UserId,
        /// Which.
        payment: PaymentId,
        /// Which step; a later one replaces it.
        step: u32,
    },
    /// The next action of a refund is due.
    CallProviderForRefund {
        /// Whose.
        user: UserId,
        /// Which payment.
        payment: PaymentId,
        /// Which refund.
        refund: RefundKey,
        /// Which step.
        step: u32,
    },
    /// A payment has ended.
    SettlePayment {
        /// Whose.
        user: UserId,
        /// Which.
        payment: PaymentId,
        /// What for.
        purpose: Purpose,
        /// How.
        outcome: Settlement,
    },
    /// The time in which an order could be paid is over.
    ExpireOrder {
        /// Whose.
        user: UserId,
        /// Which.
        order: OrderId,
    },
    /// An order was paid by another payment than this one, which was captured as well.
    GivePaymentBack {
        /// Whose.
        user: UserId,
        /// Which.
        payment: PaymentId,
    },
    /// A buyer wants money back from a payment.
    RefundPayment {
        /// Whose.
        user: UserId,
        /// From which payment.
        payment: PaymentId,
        /// Which refund.
        refund: RefundId,
        /// The number of its attempt.
        attempt: u32,
        /// How much.
        amount: Money,
    },
    /// A payment knows more about a refund.
    SettleRefund {
        /// Whose.
        user: UserId,
        /// Of which order.
        order: OrderId,
        /// Which refund.
        refund: RefundId,
        /// The number of its attempt.
        attempt: u32,
        /// What.
        outcome: RefundOutcome,
    },
    /// An operator wants the step of a payment that is due taken now.
    RetryPayment {
        /// Whose.
        user: UserId,
        /// Which.
        payment: PaymentId,
    },
    /// Two operators have agreed to move a wallet.
    PostAdjustment {
        /// Whose.
        user: UserId,
        /// By which adjustment.
        adjustment: AdjustmentId,
        /// Its entries.
        entries: Vec<Entry>,
    },
    /// A wallet was moved by an adjustment.
    SettleAdjustment {
        /// By which.
        adjustment: AdjustmentId,
    },
    /// A wallet cannot bear an adjustment.
    RefuseAdjustment {
        /// Which.
        adjustment: AdjustmentId,
        /// By which rule: its code.
        code: String,
    },
    /// Somebody wants to hear of what has happened.
    Announce(Announcement),
    /// What is kept for an order is spent, or given back.
    SettleReservation {
        /// Whose.
        user: UserId,
        /// Which order.
        order: OrderId,
        /// What is kept.
        reservation: Reservation,
        /// What became of it.
        outcome: Outcome,
    },
    /// The time in which an order could be placed is over: its buyer is asked what became of it.
    CheckReservation {
        /// Whose.
        user: UserId,
        /// Which order.
        order: OrderId,
        /// What is kept for it.
        reservation: Reservation,
        /// Until when the order could be placed.
        reserved_until: Timestamp,
    },
    /// The time of a team is over.
    ExpireTeam {
        /// Which.
        team: TeamId,
    },
    /// The team of an order is decided.
    ConcludeOrder {
        /// Whose.
        user: UserId,
        /// Which order.
        order: OrderId,
        /// Whether it is granted, or returned.
        granted: bool,
    },
    /// A redeem code was redeemed.
    GrantCode(CodeGrant),
    /// The clock, or a refund, has something to say to a membership.
    Membership(MembershipFlow),
    /// A failed refund has waited long enough.
    RetryRefund {
        /// Whose.
        user: UserId,
        /// Of which order.
        order: OrderId,
        /// Which refund.
        refund: RefundId,
    },
}

/// Whatever a message of commerce can reach.
#[derive(Clone)]
pub struct CommercePorts {
    /// The buyers.
    pub buyers: Region<Buyers>,
    /// The payments.
    pub payments: Region<Payments>,
    /// The adjustments of the ledger.
    pub adjustments: Region<Adjustments>,
    /// The flash sales.
    pub sales: Region<Sales>,
    /// The teams.
    pub teams: Region<Teams>,
    /// The coupons.
    pub coupons: Region<Coupons>,
    /// The memberships.
    pub memberships: Region<Memberships>,
    /// The accounts of those who pay.
    pub accounts: Region<Accounts>,
    /// How long the orders that renew them live.
    pub order_times: OrderTimes,
    /// The providers.
    pub gateway: Gateway,
    /// Events on their way to whoever hears of them.
    pub webhooks: Arc<DeliveryQueue>,
    /// How long an entity may take to answer.
    pub ask_timeout: Duration,
}

impl CommerceFlow {
    /// Carries the message out; repeating it changes nothing.
    ///
    /// # Errors
    /// Worth another try, unless a rule refuses it for good.
    pub async fn carry_out(self, ports: &CommercePorts) -> Result<(), DeliveryError> {
        match self {
            CommerceFlow::StartPayment {
                user,
                payment,
                purpose,
                provider,
                amount,
                token,
                expires_at,
            } => {
                let command = payment::Command::Start {
                    payment_id: payment,
                    purpose,
                    provider,
                    amount,
                    token,
                    attempt: 1,
                    expires_at,
                };
                ports.tell_payment(user, payment, command).await
            }
            CommerceFlow::ClosePayment {
                user,
                payment,
                purpose,
            } => {
                ports
                    .tell_payment(user, payment, payment::Command::Close { purpose })
                    .await
            }
            CommerceFlow::CallProvider { user, payment, step } => ports.call(user, payment, step).await,
            CommerceFlow::CallProviderForRefund {
                user,
                payment,
                refund,
                step,
            } => ports.call_for_refund(user, payment, refund, step).await,
            CommerceFlow::SettlePayment {
                user,
                payment,
                purpose,
                outcome,
            } => {
                let command = Command::SettlePayment {
                    payment_id: payment,
                    purpose,
                    outcome,
                };
                ports.tell_buyer(user, command).await
            }
            CommerceFlow::ExpireOrder { user, order } => {
                ports.tell_buyer(user, Command::Expire { order_id: order }).await
            }
            CommerceFlow::GivePaymentBack { user, payment } => {
                ports
                    .tell_payment(user, payment, payment::Command::GiveBack)
                    .await
            }
            CommerceFlow::RefundPayment {
                user,
                payment,
                refund,
                attempt,
                amount,
            } => {
                let refund = RefundKey::Order(refund);
                let command = payment::Command::StartRefund {
                    refund,
                    attempt,
                    amount,
                };
                ports.tell_payment(user, payment, command).await
            }
            CommerceFlow::SettleRefund {
                user,
                order,
                refund,
                attempt,
                outcome,
            } => {
                let command = Command::SettleRefund {
                    order_id: order,
                    refund_id: refund,
                    attempt,
                    outcome,
                };
                ports.tell_buyer(user, command).await
            }
            CommerceFlow::RetryPayment { user, payment } => {
                match ports.ask_payment(user, payment, payment::Command::Retry).await {
                    // It has ended meanwhile, or nobody has asked for it yet: nothing is due.
                    Err(AskError::Refused(Error::WrongState { .. } | Error::PaymentNotFound)) => Ok(()),
                    answered => answered.map_err(undelivered),
                }
            }
            CommerceFlow::PostAdjustment {
                user,
                adjustment,
                entries,
            } => {
                let command = Command::PostAdjustment {
                    adjustment_id: adjustment,
                    entries,
                };
                ports.tell_buyer(user, command).await
            }
            CommerceFlow::SettleAdjustment { adjustment } => {
                ports
                    .tell_adjustment(adjustment, adjustment::Command::Settle)
                    .await
            }
            CommerceFlow::RefuseAdjustment { adjustment, code } => {
                ports
                    .tell_adjustment(adjustment, adjustment::Command::Refuse { code })
                    .await
            }
            CommerceFlow::Announce(announcement) => ports
                .webhooks
                .enqueue(&announcement)
                .await
                .map_err(|_| DeliveryError::Unavailable),
            CommerceFlow::SettleReservation {
                user,
                order,
                reservation,
                outcome,
            } => ports.settle(user, order, &reservation, outcome).await,
            CommerceFlow::CheckReservation {
                user,
                order,
                reservation,
                reserved_until,
            } => match ports.fate(user, order, reserved_until).await? {
                Fate::Settled(outcome) => ports.settle(user, order, &reservation, outcome).await,
                Fate::Open { until } => Err(DeliveryError::NotYet { until }),
            },
            CommerceFlow::ExpireTeam { team } => ports.expire_team(team).await,
            CommerceFlow::ConcludeOrder { user, order, granted } => {
                let order_id = order;
                ports
                    .tell_buyer(user, Command::Conclude { order_id, granted })
                    .await
            }
            CommerceFlow::GrantCode(grant) => ports.tell_buyer(grant.user, grant.command()).await,
            CommerceFlow::Membership(flow) => ports.about_membership(flow).await,
            CommerceFlow::RetryRefund { user, order, refund } => {
                let command = Command::RetryRefund {
                    order_id: order,
                    refund_id: refund,
                };
                match ports.ask_buyer(user, command).await {
                    // An operator, or a late report, was faster than the timer.
                    Err(AskError::Refused(Error::WrongState { .. })) => Ok(()),
                    answered => answered.map_err(undelivered),
                }
            }
        }
    }
}

impl CommercePorts {
    /// Has a buyer carry a command out.
    pub(super) async fn tell_buyer(&self, user: UserId, command: Command) -> Result<(), DeliveryError> {
        self.ask_buyer(user, command).await.map_err(undelivered)
    }

    async fn ask_buyer(&self, user: UserId, command: Command) -> Result<(), AskError<Error>> {
        let context = Context::within(self.ask_timeout);
        self.buyers
            .ask(user, command, Question::Nothing, &context)
            .await
            .map(|_| ())
    }

    async fn tell_adjustment(
        &self,
        adjustment: AdjustmentId,
        command: adjustment::Command,
    ) -> Result<(), DeliveryError> {
        let context = Context::within(self.ask_timeout);
        self.adjustments
            .ask(adjustment, command, AdjustmentQuestion::Nothing, &context)
            .await
            .map(|_| ())
            .map_err(undelivered)
    }

    async fn tell_payment(
        &self,
        user: UserId,
        payment: PaymentId,
        command: payment::Command,
    ) -> Result<(), DeliveryError> {
        self.ask_payment(user, payment, command)
            .await
            .map_err(undelivered)
    }

    /// Has a payment carry a command out.
    pub(super) async fn ask_payment(
        &self,
        user: UserId,
        payment: PaymentId,
        command: payment::Command,
    ) -> Result<(), AskError<Error>> {
        let context = Context::within(self.ask_timeout);
        let key = PaymentKey { payment, user };
        self.payments
            .ask(key, command, PaymentQuestion::Nothing, &context)
            .await
            .map(|_| ())
    }

    async fn read_payment(
        &self,
        user: UserId,
        payment: PaymentId,
        question: PaymentQuestion,
    ) -> Result<PaymentAnswer, DeliveryError> {
        let context = Context::within(self.ask_timeout);
        let key = PaymentKey { payment, user };
        self.payments
            .read(key, question, &context)
            .await
            .map_err(undelivered)
    }
}
