//! A team and its buyers together, under messages that are lost for a while, come twice and overtake each other: whoever has paid is
//! granted or has the money back, nobody both, and a team is granted as a whole or not at all.

use std::collections::BTreeMap;

use lyceum_kernel::Currency;

use super::tests::offer;
use super::*;
use crate::commerce::buyer::{self, Buyer};
use crate::commerce::ledger::{Account, posting};
use crate::commerce::order::{Line, Method, OrderState, PlaceOrder, Provider, no_discount};
use crate::commerce::payment::{Purpose, Settlement};
use crate::commerce::refund::RefundOutcome;
use crate::commerce::reservation::{Fate, Reservation};
use crate::ids::{PaymentId, RefundId, TeamId};

const TEAM: TeamId = TeamId::from_u128(1);
const BUYERS: u8 = 5;
const SIZE: u32 = 3;
const WALLET: i64 = 20_000;
const END: i64 = 1_000;

/// Knuth's MMIX generator: a test needs a seed it can print, not quality.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// What is on its way to somebody.
#[derive(Clone, Copy, Debug)]
enum Message {
    /// The fate of a place, by its order and buyer.
    Settle(OrderId, u128, Outcome),
    /// The verdict of the team.
    Conclude(OrderId, u128, bool),
    /// The provider is to return what an order cost.
    Refund(OrderId, u128, RefundId),
    /// The timer of the team.
    Expire,
}

struct World {
    team: Team,
    buyers: BTreeMap<u128, Buyer>,
    messages: Vec<Message>,
    /// Every order that was placed.
    orders: Vec<(OrderId, u128)>,
    /// The sums of every account.
    books: BTreeMap<(Account, Option<UserId>), i64>,
    now: i64,
}

impl World {
    fn new() -> Self {
        let funded = |n| {
            let mut buyer = Buyer::default();
            let payment_id = PaymentId::from_u128(90_000 + n);
            let amount = Money::new(WALLET, Currency::CNY).unwrap();
            let top_up = buyer::Command::StartTopUp {
                payment_id,
                amount,
                provider: Provider::Sandbox,
                payment_token: Some("tok".into()),
                expires_at: Timestamp::from_millis(1),
            };
            let arrived = buyer::Command::SettlePayment {
                payment_id,
                purpose: Purpose::TopUp,
                outcome: Settlement::Succeeded,
            };
            for command in [top_up, arrived] {
                for event in buyer.decide(command, Timestamp::EPOCH).unwrap() {
                    buyer.apply(&event);
                }
            }
            (n, buyer)
        };
        World {
            team: Team::default(),
            buyers: (1..=u128::from(BUYERS)).map(funded).collect(),
            messages: vec![],
            orders: vec![],
            books: BTreeMap::new(),
            now: 0,
        }
    }

    fn clock(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    fn tell_team(&mut self, command: Command) -> bool {
        let Ok(events) = self.team.decide(command, self.clock()) else {
            return false;
        };
        for event in &events {
            self.team.apply(event);
        }
        let team = self.team.opened().unwrap();
        for event in &events {
            match event {
                Event::Opened { .. } => self.messages.push(Message::Expire),
                Event::Succeeded { .. } | Event::Failed { .. } => {
                    let granted = matches!(event, Event::Succeeded { .. });
                    let paid = team.places().filter(|(_, place)| place.state == PlaceState::Paid);
                    let told = |(user, place): (UserId, &Place)| {
                        Message::Conclude(place.order_id, user.as_u128(), granted)
                    };
                    self.messages.extend(paid.map(told));
                }
                Event::PlaceRefused { order_id, user, .. } => {
                    self.messages
                        .push(Message::Conclude(*order_id, user.as_u128(), false));
                }
                Event::PlaceReserved { .. } | Event::PlacePaid { .. } | Event::PlaceReleased { .. } => {}
            }
        }
        true
    }

    fn tell_buyer(&mut self, n: u128, command: buyer::Command) -> bool {
        let (now, user) = (self.clock(), UserId::from_u128(n));
        let buyer = self.buyers.get_mut(&n).unwrap();
        let Ok(events) = buyer.decide(command, now) else {
            return false;
        };
        for event in &events {
            buyer.apply(event);
        }
        for event in &events {
            if let Some(transaction) = posting(user, buyer, event) {
                assert_eq!(
                    transaction.entries.iter().map(|entry| entry.amount).sum::<i64>(),
                    0
                );
                for entry in transaction.entries {
                    *self.books.entry((entry.account, entry.owner)).or_default() += entry.amount;
                }
            }
            let message = match event {
                buyer::Event::OrderHeld { order_id, .. } => Message::Settle(*order_id, n, Outcome::Consumed),
                buyer::Event::OrderClosed { order_id, .. } => {
                    Message::Settle(*order_id, n, Outcome::Returned)
                }
                buyer::Event::FulfilmentFailed {
                    order_id, refund_id, ..
                } => {
                    let order = buyer.order(*order_id).unwrap();
                    if order.held_at.is_none() {
                        self.messages
                            .push(Message::Settle(*order_id, n, Outcome::Returned));
                    }
                    if !order.refund(*refund_id).unwrap().state.is_under_way() {
                        continue;
                    }
                    Message::Refund(*order_id, n, *refund_id)
                }
                _ => continue,
            };
            self.messages.push(message);
        }
        true
    }

    fn place(&mut self, n: u128, order: u128, wallet: bool) {
        let (order_id, user) = (OrderId::from_u128(order), UserId::from_u128(n));
        let until = Timestamp::from_millis(self.now + 10);
        let reserved = if self.team.opened().is_ok() {
            self.tell_team(Command::Reserve {
                order_id,
                user,
                course_id: offer(SIZE).course_id,
                until,
            })
        } else {
            let terms = Terms::of(GroupId::from_u128(1), &offer(SIZE), Timestamp::EPOCH);
            self.tell_team(Command::Open {
                terms,
                order_id,
                user,
                until,
            })
        };
        if !reserved {
            return;
        }
        let ends_at = Timestamp::from_millis(END);
        let list = Money::new(19_900, Currency::CNY).unwrap();
        let placed = self.tell_buyer(
            n,
            buyer::Command::PlaceOrder(Box::new(PlaceOrder {
                order_id,
                payment_id: PaymentId::from_u128(order),
                buyer: user,
                lines: vec![Line {
                    course_id: offer(SIZE).course_id,
                    course_version: 1,
                    title: "书法".into(),
                    price: list,
                    creator: offer(SIZE).creator,
                    share_bps: 7_000,
                    discount: list.minus(offer(SIZE).price).unwrap_or(no_discount()),
                }],
                expected_total: None,
                method: if wallet {
                    Method::Wallet
                } else {
                    Method::Provider(Provider::Sandbox)
                },
                payment_token: Some("tok".into()),
                expires_at: ends_at,
                refundable_until: Timestamp::from_millis(10 * END),
                reservations: vec![Reservation::Place {
                    team_id: TEAM,
                    ends_at,
                }],
                gift: None,
                reserved_until: Some(until),
            })),
        );
        if placed {
            self.orders.push((order_id, n));
        } else {
            self.messages
                .push(Message::Settle(order_id, n, Outcome::Returned));
        }
    }

    fn payment(&mut self, (order_id, n): (OrderId, u128), outcome: Settlement) {
        let command = buyer::Command::SettlePayment {
            payment_id: PaymentId::from_u128(order_id.as_u128()),
            purpose: Purpose::Order(order_id),
            outcome,
        };
        self.tell_buyer(n, command);
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Settle(order_id, n, outcome) => {
                let user = UserId::from_u128(n);
                let heard = self.tell_team(Command::Settle {
                    order_id,
                    user,
                    outcome,
                });
                assert!(heard, "a buyer says nothing that a team refuses");
            }
            Message::Conclude(order_id, n, granted) => {
                let heard = self.tell_buyer(n, buyer::Command::Conclude { order_id, granted });
                assert!(heard, "a team says nothing that a buyer refuses");
            }
            Message::Refund(order_id, n, refund_id) => {
                let outcome = RefundOutcome::Succeeded;
                let command = buyer::Command::SettleRefund {
                    order_id,
                    refund_id,
                    attempt: 1,
                    outcome,
                };
                self.tell_buyer(n, command);
            }
            Message::Expire => {
                if self.now < END {
                    self.messages.push(Message::Expire);
                } else {
                    self.tell_team(Command::Expire);
                }
            }
        }
    }

    fn sum(&self, account: Account) -> i64 {
        let of = self.books.iter().filter(|((of, _), _)| *of == account);
        of.map(|(_, amount)| amount).sum()
    }
}

#[test]
fn whoever_has_paid_is_granted_with_the_whole_team_or_has_the_money_back() {
    let (mut succeeded, mut failed, mut late, mut through_provider) = (0, 0, 0, 0);
    for seed in 0..400 {
        let mut random = Random(seed);
        let mut world = World::new();
        let mut next_order = 100;
        for _ in 0..120 {
            world.now += i64::try_from(random.below(16)).unwrap();
            match random.below(8) {
                0 | 1 => {
                    next_order += 1;
                    let n = 1 + u128::from(random.below(BUYERS.into()));
                    world.place(n, next_order, random.below(2) == 0);
                }
                2 | 3 if !world.orders.is_empty() => {
                    let order =
                        world.orders[usize::try_from(random.below(world.orders.len() as u64)).unwrap()];
                    let outcome = match random.below(4) {
                        0 => Settlement::Closed,
                        1 => Settlement::Declined { code: "no".into() },
                        _ => Settlement::Succeeded,
                    };
                    world.payment(order, outcome);
                }
                4 if !world.orders.is_empty() => {
                    let (order_id, n) =
                        world.orders[usize::try_from(random.below(world.orders.len() as u64)).unwrap()];
                    world.tell_buyer(n, buyer::Command::Cancel { order_id });
                }
                // A message arrives, in any order; one in three comes again.
                _ if !world.messages.is_empty() => {
                    let index = usize::try_from(random.below(world.messages.len() as u64)).unwrap();
                    let message = world.messages.swap_remove(index);
                    if random.below(3) == 0 {
                        world.messages.push(message);
                    }
                    world.deliver(message);
                }
                _ => {}
            }
        }
        // The time is over: what is pending is closed, or was captured after all, and every message arrives.
        world.now = END + 1;
        for order in world.orders.clone() {
            let outcome = match random.below(3) {
                0 => Settlement::Succeeded,
                _ => Settlement::Closed,
            };
            world.tell_buyer(order.1, buyer::Command::Expire { order_id: order.0 });
            world.payment(order, outcome);
        }
        while let Some(message) = world.messages.pop() {
            world.deliver(message);
        }

        let Ok(team) = world.team.opened() else { continue };
        let state = team.decided();
        assert_ne!(state, State::Open, "seed {seed}");
        assert!(team.taken() <= SIZE, "seed {seed}");
        assert_eq!(team.count(PlaceState::Reserved), 0, "seed {seed}");
        let (mut granted, mut kept) = (0, 0);
        for (order_id, n) in &world.orders {
            let order = world.buyers[n].order(*order_id).unwrap();
            let place = team
                .place(UserId::from_u128(*n))
                .filter(|place| place.order_id == *order_id);
            let verdict = place.and_then(|place| team.verdict(place));
            match order.state() {
                OrderState::Fulfilled => {
                    granted += 1;
                    kept += order.placement.total.amount();
                    assert_eq!(verdict, Some(true), "seed {seed}: {order_id} is granted");
                }
                OrderState::Refunded => {
                    assert_ne!(verdict, Some(true), "seed {seed}: {order_id} is returned");
                    late += u32::from(place.is_some_and(|place| place.state == PlaceState::Refused));
                }
                OrderState::Cancelled | OrderState::Expired => {
                    assert_eq!(verdict, None, "seed {seed}: {order_id} never paid");
                }
                state => panic!("seed {seed}: {order_id} is {}", state.name()),
            }
            let fate = world.buyers[n].fate(*order_id, Timestamp::EPOCH, world.clock());
            let member = place.is_some_and(|place| place.state != PlaceState::Reserved);
            let outcome = if member {
                Outcome::Consumed
            } else {
                Outcome::Returned
            };
            assert_eq!(fate, Fate::Settled(outcome), "seed {seed}: {order_id}");
            through_provider += u32::from(order.placement.method != Method::Wallet);
        }
        let whole = if state == State::Succeeded { SIZE } else { 0 };
        assert_eq!(granted, whole, "seed {seed}: all or nobody");
        // Nothing is owed, nothing is lost: what was sold is the creator's and the platform's.
        assert_eq!(world.sum(Account::RefundPayable), 0, "seed {seed}");
        let earned = world.sum(Account::CreatorPayable) + world.sum(Account::PlatformRevenue);
        assert_eq!(earned, kept, "seed {seed}");
        let wallets: i64 = world
            .buyers
            .values()
            .map(|buyer| buyer.wallet().balance().amount() + buyer.wallet().held().amount())
            .sum();
        let spent = WALLET * i64::from(BUYERS) - wallets;
        assert_eq!(-world.sum(Account::UserWallet), spent, "seed {seed}");
        assert_eq!(
            spent - world.sum(Account::ProviderClearing),
            kept,
            "seed {seed}: wallets and provider"
        );
        succeeded += u32::from(state == State::Succeeded);
        failed += u32::from(state == State::Failed);
    }
    let seen = (succeeded, failed, late, through_provider);
    assert!(
        succeeded > 20 && failed > 20 && late > 5 && through_provider > 100,
        "too little happened: {seen:?}"
    );
}
