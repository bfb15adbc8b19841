//! The outbox relay: messages are delivered at least once, and the provider is called while a payment still waits for that step.

use lyceum_domain::commerce;
use lyceum_domain::commerce::payment::{self, RefundKey};
use lyceum_entities::commerce::CommerceFlow;
use lyceum_runtime::Shard;

use crate::core::{Core, Event, MS, SECOND};
use crate::database::{Reply, Statement};
use crate::domain::{Command, Key, Question};
use crate::node::{Node, NodeEvent, Stage, Why};
use crate::provider::{Ask, Says};
use crate::shell::{Answer, Asker, Request};

/// A message under way.
pub(crate) struct Delivery {
    key: Key,
    /// The call to the provider that waits for its answer.
    called: Option<(Option<RefundKey>, u32, u32)>,
    step: Option<u32>,
}

impl Node {
    pub(crate) fn relay(&mut self, core: &mut Core) {
        if self.stage == Stage::Joining {
            return;
        }
        self.later(core, 250 * MS, NodeEvent::Relay);
        let shards: Vec<Shard> = (0..=Shard::MAX)
            .filter(|shard| self.shards.serving(*shard))
            .collect();
        if !shards.is_empty() && self.held(core) {
            self.keeper_call(core, Statement::Due(shards), Why::Due);
        }
    }

    pub(crate) fn due(&mut self, core: &mut Core, reply: Reply) {
        let Reply::Due(due) = reply else { return };
        for (id, payload) in due {
            if self.deliveries.contains_key(&id) {
                continue;
            }
            match serde_json::from_str(&payload) {
                Ok(flow) => self.deliver(core, id, flow),
                Err(error) => core
                    .checks
                    .wrong(format!("message {payload} is unreadable: {error}")),
            }
        }
    }

    fn deliver(&mut self, core: &mut Core, id: u64, flow: CommerceFlow) {
        use commerce::Command as ToBuyer;
        use payment::Command as ToPayment;
        let mut step_due = None;
        let (key, command, question) = match flow {
            CommerceFlow::StartPayment {
                user,
                payment,
                purpose,
                provider,
                amount,
                token,
                expires_at,
            } => {
                let start = ToPayment::Start {
                    payment_id: payment,
                    purpose,
                    provider,
                    amount,
                    token,
                    attempt: 1,
                    expires_at,
                };
                to_payment(user.as_u128(), payment.as_u128(), start)
            }
            CommerceFlow::ClosePayment {
                user,
                payment,
                purpose,
            } => to_payment(user.as_u128(), payment.as_u128(), ToPayment::Close { purpose }),
            CommerceFlow::CallProvider { user, payment, step } => {
                step_due = Some(step);
                let key = Key::Payment(user.as_u128(), payment.as_u128());
                (key, None, Question::Charge)
            }
            CommerceFlow::CallProviderForRefund {
                user,
                payment,
                refund,
                step,
            } => {
                step_due = Some(step);
                let key = Key::Payment(user.as_u128(), payment.as_u128());
                (key, None, Question::Refund(refund))
            }
            CommerceFlow::SettlePayment {
                user,
                payment,
                purpose,
                outcome,
            } => {
                let settle = ToBuyer::SettlePayment {
                    payment_id: payment,
                    purpose,
                    outcome,
                };
                to_buyer(user.as_u128(), settle)
            }
            CommerceFlow::ExpireOrder { user, order } => {
                to_buyer(user.as_u128(), ToBuyer::Expire { order_id: order })
            }
            CommerceFlow::GivePaymentBack { user, payment } => {
                to_payment(user.as_u128(), payment.as_u128(), ToPayment::GiveBack)
            }
            CommerceFlow::RefundPayment {
                user,
                payment,
                refund,
                attempt,
                amount,
            } => {
                let refund = RefundKey::Order(refund);
                let start = ToPayment::StartRefund {
                    refund,
                    attempt,
                    amount,
                };
                to_payment(user.as_u128(), payment.as_u128(), start)
            }
            CommerceFlow::SettleRefund {
                user,
                order,
                refund,
                attempt,
                outcome,
            } => {
                let settle = ToBuyer::SettleRefund {
                    order_id: order,
                    refund_id: refund,
                    attempt,
                    outcome,
                };
                to_buyer(user.as_u128(), settle)
            }
            CommerceFlow::RetryPayment { user, payment } => {
                to_payment(user.as_u128(), payment.as_u128(), ToPayment::Retry)
            }
            CommerceFlow::PostAdjustment {
                user,
                adjustment,
                entries,
            } => {
                let post = ToBuyer::PostAdjustment {
                    adjustment_id: adjustment,
                    entries,
                };
                to_buyer(user.as_u128(), post)
            }
            CommerceFlow::GrantCode(grant) => to_buyer(grant.user.as_u128(), grant.command()),
            // Nobody proposes adjustments in this world, so nobody waits to hear that one was posted; and nobody has an endpoint
            // to hear of sales at.
            CommerceFlow::SettleAdjustment { .. }
            | CommerceFlow::RefuseAdjustment { .. }
            | CommerceFlow::Announce(_) => {
                return self.finish(core, id);
            }
            // Nor does an order reserve anything elsewhere, nor is anybody a member, of a plan or of a team.
            CommerceFlow::SettleReservation { .. }
            | CommerceFlow::CheckReservation { .. }
            | CommerceFlow::ExpireTeam { .. }
            | CommerceFlow::ConcludeOrder { .. }
            | CommerceFlow::Membership(_) => {
                return self.finish(core, id);
            }
            CommerceFlow::RetryRefund { user, order, refund } => {
                let retry = ToBuyer::RetryRefund {
                    order_id: order,
                    refund_id: refund,
                };
                to_buyer(user.as_u128(), retry)
            }
        };
        let delivery = Delivery {
            key,
            called: None,
            step: step_due,
        };
        self.deliveries.insert(id, delivery);
        self.ask_for(core, id, key, command, question);
    }

    fn ask_for(&mut self, core: &mut Core, id: u64, key: Key, command: Option<Command>, question: Question) {
        let request = Request {
            key,
            command,
            question,
            operation: None,
            deadline: core.now + 2 * SECOND,
            asker: Asker::Relay(id),
            from: None,
            hops: 0,
        };
        self.ask(core, request);
    }

    /// An entity has answered a delivery.
    pub(crate) fn delivered(&mut self, core: &mut Core, id: u64, answer: Answer) {
        let Some(delivery) = self.deliveries.get_mut(&id) else {
            return;
        };
        match answer {
            Answer::Done(said) => {
                let job = said.job.filter(|job| delivery.step == Some(job.next.step));
                let (Some(job), Key::Payment(_, payment)) = (job, delivery.key) else {
                    return self.finish(core, id);
                };
                delivery.called = Some((job.refund, job.attempt, job.next.step));
                delivery.step = None;
                let ask = Ask {
                    refund: job.refund.is_some(),
                    action: job.next.action,
                    payment,
                    key: job.key,
                    amount: job.amount,
                };
                let delay = core.travel();
                core.after(delay, Event::Provider(self.id, id, ask));
            }
            Answer::Refused(..) => self.finish(core, id),
            // It is found in the table again.
            Answer::Unknown | Answer::Unavailable | Answer::NotOwner => drop(self.deliveries.remove(&id)),
        }
    }

    /// The provider has answered, or has not.
    pub(crate) fn provided(&mut self, core: &mut Core, id: u64, says: Option<Says>) {
        let Some(delivery) = self.deliveries.get_mut(&id) else {
            return;
        };
        let Some((refund, attempt, step)) = delivery.called.take() else {
            return;
        };
        let step = Some(step);
        let report = match (refund, says) {
            (None, Some(Says::Charge(outcome))) => payment::Command::Report {
                attempt,
                step,
                outcome,
            },
            (None, _) => payment::Command::Report {
                attempt,
                step,
                outcome: payment::ChargeOutcome::Unknown,
            },
            (Some(refund), says) => payment::Command::ReportRefund {
                refund,
                attempt,
                step,
                outcome: match says {
                    Some(Says::Refund(outcome)) => outcome,
                    _ => payment::SendOutcome::Unknown,
                },
            },
        };
        let key = delivery.key;
        self.ask_for(core, id, key, Some(Command::Payment(report)), Question::Wallet);
    }

    fn finish(&mut self, core: &mut Core, id: u64) {
        self.deliveries.remove(&id);
        self.keeper_call(core, Statement::Delivered(id), Why::Delivered);
    }
}

fn to_payment(user: u128, payment: u128, command: payment::Command) -> (Key, Option<Command>, Question) {
    let key = Key::Payment(user, payment);
    (key, Some(Command::Payment(command)), Question::Wallet)
}

fn to_buyer(user: u128, command: commerce::Command) -> (Key, Option<Command>, Question) {
    (Key::Buyer(user), Some(Command::Buyer(command)), Question::Wallet)
}
