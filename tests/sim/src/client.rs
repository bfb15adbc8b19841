//! Clients that buy: each repeats an operation under the same id until it hears what became of it.

use lyceum_domain::commerce::ledger::{Account, Entry};
use lyceum_domain::commerce::order::no_discount;
use lyceum_domain::commerce::refund::Wanted;
use lyceum_domain::commerce::{self, Deed, Intervention, Line, Method, PlaceOrder, Provider};
use lyceum_domain::ids::{AdjustmentId, CourseId, OrderId, PaymentId, RefundId, UserId};
use lyceum_kernel::{Currency, Money, Timestamp};

use crate::core::{Core, Event, MS, SECOND, Time};
use crate::domain::{Command, Key, Question};
use crate::shell::{Answer, Asker, Request};

/// What happens to a client.
pub(crate) enum ClientEvent {
    /// It wants something new.
    Next,
    /// It asks, for the first time or again.
    Ask,
    /// It has waited long enough for this attempt.
    GiveUp(u64),
    /// It hears of this attempt.
    Answer(u64, Answer),
}

/// What a client wants.
#[derive(Clone, Copy, Debug)]
enum Wish {
    Read,
    TopUp(i64),
    Buy {
        wallet: bool,
        course: u128,
        price: i64,
    },
    Cancel(u128),
    /// Pays an order otherwise than it was begun.
    Pay(u128, bool),
    /// Wants money of an order back: so much of it, or everything.
    Refund(u128, Option<i64>),
    /// Has an operator do something about an order.
    Intervene(u128, Intervention),
    /// Has two operators move the wallet.
    Adjust(i64),
}

/// One client.
pub(crate) struct Client {
    number: usize,
    user: u128,
    wish: Option<Wish>,
    operation: u128,
    attempt: u64,
    attempts: u32,
    /// The version that was known when it wished, and when it asked last.
    floor: i64,
    orders: Vec<u128>,
    /// Whether it wants anything more.
    pub(crate) goes_on: bool,
}

impl Client {
    pub(crate) fn new(number: usize, user: u128) -> Self {
        Client {
            number,
            user,
            wish: None,
            operation: 0,
            attempt: 0,
            attempts: 0,
            floor: 0,
            orders: Vec::new(),
            goes_on: true,
        }
    }

    /// Whether it waits for nothing.
    pub(crate) fn at_rest(&self) -> bool {
        self.wish.is_none()
    }

    fn later(&self, core: &mut Core, delay: Time, event: ClientEvent) {
        core.after(delay, Event::Client(self.number, event));
    }

    /// Something has happened to it; it may want to ask.
    pub(crate) fn on(&mut self, core: &mut Core, event: ClientEvent) -> Option<Request> {
        match event {
            ClientEvent::Next => {
                if !self.goes_on || self.wish.is_some() {
                    return None;
                }
                self.wish = Some(self.wishes(core));
                self.operation = u128::from(core.id());
                self.attempts = 0;
                self.floor = core.checks.floor(Key::Buyer(self.user));
                Some(self.asks(core))
            }
            ClientEvent::Ask => self.wish.is_some().then(|| self.asks(core)),
            ClientEvent::GiveUp(attempt) => {
                if attempt == self.attempt && self.wish.is_some() {
                    self.again(core);
                }
                None
            }
            ClientEvent::Answer(attempt, answer) => {
                if attempt == self.attempt && self.wish.is_some() {
                    self.hears(core, answer);
                }
                None
            }
        }
    }

    fn wishes(&self, core: &mut Core) -> Wish {
        let order = core.dice.pick(&self.orders);
        match (core.dice.below(12), order) {
            (0..=3, _) => Wish::Read,
            (4..=5, _) => Wish::TopUp(i64::try_from(core.dice.between(1, 40)).unwrap_or(1) * 100),
            (6, Some(order)) if core.dice.chance(1, 2) => Wish::Cancel(order),
            (6, Some(order)) => Wish::Pay(order, core.dice.chance(1, 2)),
            (7, Some(order)) => {
                let part = core.dice.chance(2, 3).then(|| core.dice.between(1, 20) * 50);
                Wish::Refund(order, part.and_then(|part| i64::try_from(part).ok()))
            }
            (8, Some(order)) => Wish::Intervene(
                order,
                match core.dice.below(3) {
                    0 => Intervention::Retry,
                    1 => Intervention::Compensate,
                    _ => Intervention::Reconcile,
                },
            ),
            (9, _) => Wish::Adjust(i64::try_from(core.dice.between(1, 20)).unwrap_or(1) * 100 - 1_050),
            _ => Wish::Buy {
                wallet: core.dice.chance(2, 3),
                course: u128::from(core.dice.below(1000)),
                price: i64::try_from(core.dice.between(1, 20)).unwrap_or(1) * 100,
            },
        }
    }

    /// Asks, with ids of its own for each attempt, as the edge draws them.
    fn asks(&mut self, core: &mut Core) -> Request {
        self.attempt = core.id();
        self.attempts += 1;
        let key = Key::Buyer(self.user);
        if matches!(self.wish, Some(Wish::Read)) {
            self.floor = core.checks.floor(key);
        }
        let fresh = u128::from(core.id()) << 16;
        // By the clock of whoever asked, which is right for once.
        let now = Timestamp::from_millis(1_700_000_000_000 + i64::try_from(core.now / MS).unwrap_or(0));
        let (command, question) = match self.wish {
            None | Some(Wish::Read) => (None, Question::Wallet),
            Some(Wish::TopUp(amount)) => {
                let command = commerce::Command::StartTopUp {
                    payment_id: PaymentId::from_u128(fresh),
                    amount: money(amount),
                    provider: Provider::Sandbox,
                    payment_token: Some("tok".to_owned()),
                    expires_at: now.plus(std::time::Duration::from_secs(30)),
                };
                (Some(command), Question::Wallet)
            }
            Some(Wish::Buy {
                wallet,
                course,
                price,
            }) => {
                let place = PlaceOrder {
                    order_id: OrderId::from_u128(fresh),
                    payment_id: PaymentId::from_u128(fresh + 1),
                    buyer: UserId::from_u128(self.user),
                    lines: vec![Line {
                        course_id: CourseId::from_u128(course),
                        course_version: 1,
                        title: "t".into(),
                        price: money(price),
                        creator: UserId::from_u128(9_000_000),
                        share_bps: 7000,
                        discount: no_discount(),
                    }],
                    expected_total: None,
                    method: if wallet {
                        Method::Wallet
                    } else {
                        Method::Provider(Provider::Sandbox)
                    },
                    payment_token: Some("tok".to_owned()),
                    expires_at: now.plus(std::time::Duration::from_secs(30)),
                    refundable_until: now.plus(std::time::Duration::from_secs(3600)),
                    reservations: vec![],
                    gift: None,
                    reserved_until: None,
                };
                (
                    Some(commerce::Command::PlaceOrder(Box::new(place))),
                    Question::Order(fresh),
                )
            }
            Some(Wish::Cancel(order)) => {
                let order_id = OrderId::from_u128(order);
                (
                    Some(commerce::Command::Cancel { order_id }),
                    Question::Order(order),
                )
            }
            Some(Wish::Pay(order, wallet)) => {
                let command = commerce::Command::AddPayment {
                    order_id: OrderId::from_u128(order),
                    payment_id: PaymentId::from_u128(fresh + 3),
                    method: if wallet {
                        Method::Wallet
                    } else {
                        Method::Provider(Provider::Sandbox)
                    },
                    payment_token: Some("tok".to_owned()),
                };
                (Some(command), Question::Order(order))
            }
            Some(Wish::Refund(order, part)) => {
                let command = commerce::Command::RequestRefund {
                    order_id: OrderId::from_u128(order),
                    refund_id: RefundId::from_u128(fresh + 2),
                    reason: String::new(),
                    wanted: Wanted {
                        amount: part.map(money),
                        ..Wanted::default()
                    },
                    requester: None,
                };
                (Some(command), Question::Order(order))
            }
            Some(Wish::Intervene(order, action)) => {
                let command = commerce::Command::Intervene {
                    order_id: OrderId::from_u128(order),
                    action,
                    deed: Deed {
                        operator: UserId::from_u128(8_000_000),
                        reason: "looked into".to_owned(),
                        node: "n".to_owned(),
                    },
                };
                (Some(command), Question::Order(order))
            }
            Some(Wish::Adjust(amount)) => {
                let entry = |account, owner, amount| Entry {
                    account,
                    owner,
                    amount,
                };
                let wallet = Some(UserId::from_u128(self.user));
                let command = commerce::Command::PostAdjustment {
                    // The message that asks for it says the same each time.
                    adjustment_id: AdjustmentId::from_u128(self.operation),
                    entries: vec![
                        entry(Account::UserWallet, wallet, amount),
                        entry(Account::PlatformRevenue, None, -amount),
                    ],
                };
                (Some(command), Question::Wallet)
            }
        };
        let deadline = core.now + 2 * SECOND;
        self.later(core, 2 * SECOND + 300 * MS, ClientEvent::GiveUp(self.attempt));
        Request {
            key,
            operation: command.is_some().then_some(self.operation),
            command: command.map(Command::Buyer),
            question,
            deadline,
            asker: Asker::Client(self.number, self.attempt),
            from: None,
            hops: 0,
        }
    }

    fn again(&mut self, core: &mut Core) {
        self.attempt = 0;
        let pause = core.dice.between(20 * MS, 200 * MS);
        self.later(core, pause, ClientEvent::Ask);
    }

    fn hears(&mut self, core: &mut Core, answer: Answer) {
        let key = Key::Buyer(self.user);
        let operation = (!matches!(self.wish, Some(Wish::Read))).then_some(self.operation);
        match answer {
            Answer::Done(said) => {
                core.note(format_args!(
                    "client {} hears {} of {key}",
                    self.number, said.version
                ));
                core.checks.saw(key, &said, self.floor, operation);
                if let (Some(Wish::Buy { .. }), Some(order)) = (self.wish, said.order) {
                    self.orders.push(order);
                }
            }
            Answer::Refused(code, version) => {
                core.note(format_args!("client {} is refused {code} by {key}", self.number));
                core.checks.refused(key, version, self.floor);
            }
            Answer::Unknown | Answer::Unavailable | Answer::NotOwner => return self.again(core),
        }
        self.wish = None;
        let pause = core.dice.between(20 * MS, 400 * MS);
        self.later(core, pause, ClientEvent::Next);
    }
}

fn money(units: i64) -> Money {
    Money::new(units, Currency::CNY).unwrap_or_default()
}
