//! The real domain and its real bindings: buyers and payments, what they decide, and the rows and messages that follow.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use lyceum_domain::commerce::payment::{self, Payment, RefundKey};
use lyceum_domain::commerce::{self, Buyer};
use lyceum_domain::ids::{PaymentId, UserId};
use lyceum_entities::commerce::{
    Buyers, ChargeJob, PaymentAnswer, PaymentKey, PaymentQuestion, Payments, RefundJob,
};
use lyceum_kernel::{Aggregate, Timestamp};
use lyceum_runtime::{Effects, Entity, Shard, Value, shard_of};

/// An entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// A buyer, by the user.
    Buyer(u128),
    /// A payment, by its user and its own id.
    Payment(u128, u128),
}

impl Key {
    /// Where it lives: payments with their user.
    pub(crate) fn shard(self) -> Shard {
        let (Key::Buyer(user) | Key::Payment(user, _)) = self;
        shard_of(user)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Buyer(user) => write!(f, "buyer-{user}"),
            Key::Payment(user, payment) => write!(f, "payment-{user}.{payment}"),
        }
    }
}

/// What an entity is told to do.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// To a buyer.
    Buyer(commerce::Command),
    /// To a payment.
    Payment(payment::Command),
}

/// What is asked about the state after it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Question {
    /// Nothing but the wallet.
    Wallet,
    /// The order that a command is about.
    Order(u128),
    /// What to do next about a charge.
    Charge,
    /// What to do next about a refund.
    Refund(RefundKey),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// To a buyer.
    Buyer(commerce::Event),
    /// To a payment.
    Payment(payment::Event),
}

/// The state of an entity.
#[derive(Clone, Debug)]
pub(crate) enum State {
    /// A buyer.
    Buyer(Box<Buyer>),
    /// A payment.
    Payment(Box<Payment>),
}

/// An answer, with the version of the state that it was derived from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) version: i64,
    pub(crate) balance: i64,
    pub(crate) order: Option<u128>,
    /// Whether it is, or is to be, on record.
    pub(crate) recorded: bool,
    pub(crate) job: Option<Job>,
}

/// A call to the provider that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) refund: Option<RefundKey>,
    pub(crate) key: String,
    pub(crate) amount: lyceum_kernel::Money,
    pub(crate) attempt: u32,
    pub(crate) next: payment::Next,
}

/// What a decision changes beside its own events.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outgoing {
    /// Due time and payload.
    pub(crate) messages: Vec<(Timestamp, String)>,
    /// Source, step and sum of each transaction.
    pub(crate) transactions: Vec<(u128, i64, i64)>,
    /// User, balance and held.
    pub(crate) wallets: Vec<(u128, i64, i64)>,
}

/// The bindings of both entities.
pub(crate) struct Bindings {
    buyers: Buyers,
    payments: Payments,
}

impl Default for Bindings {
    fn default() -> Self {
        Bindings {
            buyers: Buyers::new(Arc::new(|_, _, _| {}), 1000),
            payments: Payments::new(1000),
        }
    }
}

impl State {
    /// An entity of which nothing is known.
    pub(crate) fn new(key: Key) -> Self {
        match key {
            Key::Buyer(_) => State::Buyer(Box::default()),
            Key::Payment(..) => State::Payment(Box::default()),
        }
    }

    /// What the journal makes of nothing.
    pub(crate) fn replay(key: Key, turns: &[Rc<Vec<Fact>>]) -> Self {
        let mut state = State::new(key);
        for turn in turns {
            state.apply(turn);
        }
        state
    }

    /// Decides a command, or refuses it with a code.
    pub(crate) fn decide(&self, command: Command, now: Timestamp) -> Result<Vec<Fact>, &'static str> {
        use lyceum_kernel::Coded;
        match (self, command) {
            (State::Buyer(buyer), Command::Buyer(command)) => match buyer.decide(command, now) {
                Ok(events) => Ok(events.into_iter().map(Fact::Buyer).collect()),
                Err(refusal) => Err(refusal.code()),
            },
            (State::Payment(payment), Command::Payment(command)) => match payment.decide(command, now) {
                Ok(events) => Ok(events.into_iter().map(Fact::Payment).collect()),
                Err(refusal) => Err(refusal.code()),
            },
            (State::Buyer(_), Command::Payment(_)) | (State::Payment(_), Command::Buyer(_)) => {
                Err("sim.wrong_entity")
            }
        }
    }

    /// Moves on by the events of one turn.
    pub(crate) fn apply(&mut self, facts: &[Fact]) {
        for fact in facts {
            match (&mut *self, fact) {
                (State::Buyer(buyer), Fact::Buyer(event)) => buyer.apply(event),
                (State::Payment(payment), Fact::Payment(event)) => payment.apply(event),
                (State::Buyer(_), Fact::Payment(_)) | (State::Payment(_), Fact::Buyer(_)) => {}
            }
        }
    }

    /// The wallet's balance; 0 for a payment.
    pub(crate) fn balance(&self) -> i64 {
        match self {
            State::Buyer(buyer) => buyer.wallet().balance().amount(),
            State::Payment(_) => 0,
        }
    }
}

impl Bindings {
    /// Rows and messages of one turn, `state` being the entity after it.
    pub(crate) fn outgoing(&self, key: Key, state: &State, facts: &[Fact], now: Timestamp) -> Outgoing {
        let mut effects = Effects::default();
        match (key, state) {
            (Key::Buyer(user), State::Buyer(state)) => {
                let events: Vec<commerce::Event> = facts
                    .iter()
                    .filter_map(|fact| match fact {
                        Fact::Buyer(event) => Some(event.clone()),
                        Fact::Payment(_) => None,
                    })
                    .collect();
                let key = UserId::from_u128(user);
                self.buyers.effects(key, state, &events, now, &mut effects);
            }
            (Key::Payment(user, payment), State::Payment(state)) => {
                let events: Vec<payment::Event> = facts
                    .iter()
                    .filter_map(|fact| match fact {
                        Fact::Payment(event) => Some(event.clone()),
                        Fact::Buyer(_) => None,
                    })
                    .collect();
                let key = PaymentKey {
                    payment: PaymentId::from_u128(payment),
                    user: UserId::from_u128(user),
                };
                self.payments.effects(key, state, &events, now, &mut effects);
            }
            (Key::Buyer(_), State::Payment(_)) | (Key::Payment(..), State::Buyer(_)) => {}
        }
        let mut outgoing = Outgoing {
            messages: effects
                .messages()
                .map(|(due, payload)| (due, payload.to_owned()))
                .collect(),
            ..Outgoing::default()
        };
        for (table, values) in effects.rows() {
            match (table, values) {
                (
                    "ledger_transactions",
                    [Value::Uuid(source), Value::Int(step), .., Value::Text(amounts)],
                ) => {
                    outgoing.transactions.push((*source, *step, sum(amounts)));
                }
                ("wallets", [Value::Uuid(user), Value::Int(balance), Value::Int(held)]) => {
                    outgoing.wallets.push((*user, *balance, *held));
                }
                _ => {}
            }
        }
        outgoing
    }

    /// Answers a question about a state.
    pub(crate) fn answer(
        &self,
        state: &State,
        version: i64,
        question: Question,
        now: Timestamp,
    ) -> Result<Said, &'static str> {
        use lyceum_kernel::Coded;
        let mut said = Said {
            version,
            balance: state.balance(),
            order: None,
            recorded: false,
            job: None,
        };
        let asked = match question {
            Question::Wallet => return Ok(said),
            Question::Order(order) => {
                said.order = Some(order);
                return Ok(said);
            }
            Question::Charge => PaymentQuestion::Charge,
            Question::Refund(refund) => PaymentQuestion::Refund { refund },
        };
        let State::Payment(payment) = state else {
            return Err("sim.wrong_entity");
        };
        match self.payments.answer(payment, asked, now) {
            Ok(PaymentAnswer::Charge(job)) => said.job = job.map(|job| charge(&job)),
            Ok(PaymentAnswer::Refund(job)) => {
                said.job = job.and_then(|job| match question {
                    Question::Refund(refund) => Some(refunding(&job, refund)),
                    Question::Wallet | Question::Order(_) | Question::Charge => None,
                });
            }
            Ok(
                PaymentAnswer::Nothing
                | PaymentAnswer::State(_)
                | PaymentAnswer::WayBack(_)
                | PaymentAnswer::PayerAction(_),
            ) => {}
            Err(refusal) => return Err(refusal.code()),
        }
        Ok(said)
    }
}

fn charge(job: &ChargeJob) -> Job {
    Job {
        refund: None,
        key: job.key.clone(),
        amount: job.amount,
        attempt: job.attempt,
        next: job.next,
    }
}

fn refunding(job: &RefundJob, refund: RefundKey) -> Job {
    Job {
        refund: Some(refund),
        key: job.key.clone(),
        amount: job.amount,
        attempt: job.attempt,
        next: job.next,
    }
}

/// The sum of an array as Postgres writes it: `{-5,5}`.
fn sum(array: &str) -> i64 {
    array
        .trim_matches(['{', '}'])
        .split(',')
        .filter_map(|number| number.parse::<i64>().ok())
        .sum()
}
