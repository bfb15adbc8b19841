//! [`Buyer`] bound to the runtime: what can be asked about it, and what its events change beside themselves.

use std::sync::Arc;

use lyceum_domain::commerce::access::Grant;
use lyceum_domain::commerce::oversight::Return;
use lyceum_domain::commerce::refund::{Preview, Wanted};
use lyceum_domain::commerce::wallet::TopUp;
use lyceum_domain::commerce::{Buyer, Error, Event, Fate, Order, Refund, RefundState};
use lyceum_domain::ids::{CourseId, OrderId, PaymentId, RefundId, UserId};
use lyceum_kernel::{Money, Timestamp};
use lyceum_runtime::{Durability, Effects, Entity, Kind};
use serde::{Deserialize, Serialize};

use super::{ledger_rows, outgoing, rows, sagas};
use crate::operators::audit;
use crate::webhooks::{Listeners, announce};

/// What became of a user's access to some courses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trade {
    /// They have bought them.
    Bought,
    /// They have been given their money back, and have not bought them otherwise.
    Refunded,
}

/// Hears which courses a user has traded, after the commit; it must be quick and may be lost with the process.
pub type Traded = Arc<dyn Fn(UserId, Trade, &[CourseId]) + Send + Sync>;

/// Binds [`Buyer`] to the runtime.
pub struct Buyers {
    traded: Traded,
    listeners: Listeners,
    snapshot_every: u32,
}

impl Buyers {
    /// Buyers whose purchases and refunds are signalled to `traded`; recovery reads at most `snapshot_every` decisions.
    pub fn new(traded: Traded, snapshot_every: u32) -> Self {
        Buyers {
            traded,
            listeners: Listeners::default(),
            snapshot_every,
        }
    }

    /// The same, announcing what happens to those among `listeners` whom it concerns.
    #[must_use]
    pub fn announcing(self, listeners: Listeners) -> Self {
        Buyers { listeners, ..self }
    }
}

/// What can be asked about a buyer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Nothing: the caller only wants the command done.
    Nothing,
    /// One order.
    Order {
        /// Which.
        order_id: OrderId,
    },
    /// A page of orders, newest first.
    Orders {
        /// The last order of the page before.
        before: Option<OrderId>,
        /// How many, at most.
        limit: u16,
    },
    /// One refund of an order.
    Refund {
        /// Of which.
        order_id: OrderId,
        /// Which.
        refund_id: RefundId,
    },
    /// What a refund would do.
    RefundPreview {
        /// Of which order.
        order_id: OrderId,
        /// How much of what, and whereto.
        wanted: Wanted,
    },
    /// What compensating the checkout of an order would do.
    WayBack {
        /// Which.
        order_id: OrderId,
    },
    /// What became of what is kept for an order elsewhere.
    Fate {
        /// The order.
        order_id: OrderId,
        /// Until when it could be placed.
        reserved_until: Timestamp,
    },
    /// The wallet.
    Wallet,
    /// One top-up.
    TopUp {
        /// The payment that brings it.
        payment_id: PaymentId,
    },
    /// A page of the courses that may be studied, by id.
    Courses {
        /// The last course of the page before.
        after: Option<CourseId>,
        /// How many, at most.
        limit: u16,
    },
    /// Whether a course may be studied.
    Access {
        /// Which.
        course_id: CourseId,
    },
    /// Which of some courses are owned already.
    Owned {
        /// Which may be.
        course_ids: Vec<CourseId>,
    },
}

/// What a buyer answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Question::Nothing`].
    Nothing,
    /// To [`Question::Order`].
    Order(Box<Order>),
    /// To [`Question::Orders`].
    Orders(Vec<Order>),
    /// To [`Question::Fate`].
    Fate(Fate),
    /// To [`Question::Refund`].
    Refund(Box<Refund>),
    /// To [`Question::RefundPreview`].
    RefundPreview(Box<Preview>),
    /// To [`Question::WayBack`].
    WayBack(Vec<Return>),
    /// To [`Question::Wallet`].
    Wallet {
        /// What may be spent.
        balance: Money,
        /// What is reserved.
        held: Money,
    },
    /// To [`Question::TopUp`].
    TopUp {
        /// The payment that brings it.
        payment_id: PaymentId,
        /// The top-up.
        top_up: TopUp,
    },
    /// To [`Question::Courses`].
    Courses(Vec<(CourseId, Grant)>),
    /// To [`Question::Access`].
    Access(Option<Grant>),
    /// To [`Question::Owned`].
    Owned(Vec<CourseId>),
}

impl Entity for Buyers {
    type State = Buyer;
    type Key = UserId;
    type Question = Question;
    type Answer = Answer;

    const KIND: Kind = Kind {
        name: "buyer",
        number: 4,
    };

    fn durability(&self) -> Durability {
        Durability::Journaled {
            snapshot_every: self.snapshot_every,
        }
    }

    fn answer(&self, state: &Buyer, question: Question, now: Timestamp) -> Result<Answer, Error> {
        Ok(match question {
            Question::Nothing => Answer::Nothing,
            Question::Order { order_id } => Answer::Order(Box::new(state.order(order_id)?.clone())),
            Question::Orders { before, limit } => {
                Answer::Orders(state.orders(before).take(limit.into()).cloned().collect())
            }
            Question::Refund { order_id, refund_id } => {
                let refund = state.order(order_id)?.refund(refund_id);
                Answer::Refund(Box::new(refund.ok_or(Error::RefundNotFound)?.clone()))
            }
            Question::RefundPreview { order_id, wanted } => {
                let order = state.order(order_id)?;
                let terms = order.terms_of(&wanted, None)?;
                Answer::RefundPreview(Box::new(order.preview(&terms)))
            }
            Question::WayBack { order_id } => Answer::WayBack(state.order(order_id)?.way_back()?),
            Question::Fate {
                order_id,
                reserved_until,
            } => Answer::Fate(state.fate(order_id, reserved_until, now)),
            Question::Wallet => Answer::Wallet {
                balance: state.wallet().balance(),
                held: state.wallet().held(),
            },
            Question::TopUp { payment_id } => Answer::TopUp {
                payment_id,
                top_up: state.top_up(payment_id)?.clone(),
            },
            Question::Courses { after, limit } => {
                let courses = state.access().courses(after, now).take(limit.into());
                Answer::Courses(courses.map(|(course_id, grant)| (course_id, *grant)).collect())
            }
            Question::Access { course_id } => Answer::Access(state.access().live(course_id, now).copied()),
            Question::Owned { mut course_ids } => {
                course_ids.retain(|course_id| state.access().live(*course_id, now).is_some());
                Answer::Owned(course_ids)
            }
        })
    }

    fn saga_step(&self, state: &Buyer, events: &[Event]) -> Option<&'static str> {
        sagas::checkout_step(state, events)
    }

    fn effects(&self, key: UserId, state: &Buyer, events: &[Event], now: Timestamp, effects: &mut Effects) {
        sagas::checkout_moved(state, events, now, effects);
        for event in events {
            rows::collect(key, state, event, now, effects);
            ledger_rows::collect(key, state, event, now, effects);
            outgoing::after_buyer(key, state, event, now, effects);
            announce::after_buyer(&self.listeners, key, state, event, now, effects);
            if let Event::Intervened {
                order_id,
                action,
                deed,
                ..
            } = event
            {
                let details = serde_json::json!({"user": key, "saga": "checkout"});
                audit::record(deed, action.name(), order_id.to_string(), &details, effects);
            }
            if let Event::RefundDecided {
                order_id,
                refund_id,
                approved,
                deed,
                ..
            } = event
            {
                let action = if *approved {
                    "approve_refund"
                } else {
                    "reject_refund"
                };
                let details = serde_json::json!({"user": key, "order": order_id});
                audit::record(deed, action, refund_id.to_string(), &details, effects);
            }
            if let Some((trade, courses)) = trade(state, event, now) {
                let traded = self.traded.clone();
                effects.after_commit(move || traded(key, trade, &courses));
            }
        }
    }

    fn refusal(&self, constraint: &str) -> Option<Error> {
        match constraint {
            "grants_one_live_order" => Some(Error::CourseAlreadyOwned),
            "refunds_two_people" => Some(Error::RefundSameOperator),
            "wallets_balance_check" | "wallets_held_check" => Some(Error::InsufficientFunds),
            _ => None,
        }
    }
}

/// The courses whose access a buyer has bought or given back by an event, if there are any.
///
/// What somebody else gets is no trade of this buyer, nor is a period of a membership; and what was never granted, as by a team that
/// failed, is not given back.
pub(super) fn trade(state: &Buyer, event: &Event, now: Timestamp) -> Option<(Trade, Vec<CourseId>)> {
    let (trade, order_id) = match event {
        Event::CodeGranted { courses, .. } => {
            let courses = courses.iter().map(|(course, _)| *course).collect();
            return Some((Trade::Bought, courses));
        }
        Event::Purchased(placement) => (Trade::Bought, placement.order_id),
        Event::OrderFulfilled { order_id, .. } => (Trade::Bought, *order_id),
        Event::RefundedToWallet { order_id, .. }
        | Event::RefundMoved {
            order_id,
            state: RefundState::Succeeded,
            ..
        } => (Trade::Refunded, *order_id),
        _ => return None,
    };
    let order = state.order(order_id).ok()?;
    if !order.placement.brings_access() || !order.was_fulfilled() {
        return None;
    }
    let mut courses: Vec<CourseId> = order.placement.lines.iter().map(|line| line.course_id).collect();
    if trade == Trade::Refunded {
        courses.retain(|course| state.access().live(*course, now).is_none());
    }
    (!courses.is_empty()).then_some((trade, courses))
}
