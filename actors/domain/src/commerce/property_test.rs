//! Random commands against a buyer: whatever happens in whatever order, the books balance and nobody loses.

use std::collections::{BTreeMap, BTreeSet};

use lyceum_kernel::{Aggregate, Money, Timestamp};

use super::SETTLEMENT_CURRENCY;
use super::access::ImportId;
use super::buyer::{Buyer, Command, Event, ImportedPurchase};
use super::ledger::{Account, Entry, posting};
use super::order::{Line, Method, OrderState, PlaceOrder, Provider};
use super::oversight::{Deed, Intervention};
use super::payment::{Purpose, Settlement};
use super::refund::{Destination, RefundOutcome, RefundState, Wanted};
use super::reservation::{CLOCKS_APART_MAX, Fate, Outcome, Reservation};
use crate::ids::{AdjustmentId, CouponId, CourseId, OrderId, PaymentId, RefundId, SaleId, UserId};

const USER: UserId = UserId::from_u128(1);
const COURSES: u64 = 60;

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

    fn amount(&mut self) -> Money {
        let units = i64::try_from(self.below(30_000)).expect("small");
        Money::new(units, SETTLEMENT_CURRENCY).expect("in range")
    }

    fn settlement(&mut self) -> Settlement {
        match self.below(4) {
            0 => Settlement::Declined {
                code: "card_declined".into(),
            },
            1 => Settlement::Closed,
            _ => Settlement::Succeeded,
        }
    }

    fn command(&mut self, clock: i64) -> Command {
        let order_id = OrderId::from_u128(u128::from(self.below(40)));
        let payment_id = PaymentId::from_u128(order_id.as_u128());
        let another = PaymentId::from_u128(order_id.as_u128() + 300);
        let refund_id = RefundId::from_u128(order_id.as_u128() + u128::from(self.below(4)) * 1_000);
        match self.below(14) {
            0..=2 => Command::PlaceOrder(Box::new(PlaceOrder {
                order_id,
                payment_id,
                buyer: UserId::from_u128(1),
                lines: (0..=self.below(3)).map(|_| self.line()).collect(),
                expected_total: None,
                method: if self.below(2) == 0 {
                    Method::Wallet
                } else {
                    Method::Provider(Provider::Sandbox)
                },
                payment_token: Some("tok".into()),
                expires_at: Timestamp::from_millis(clock + 50),
                refundable_until: Timestamp::from_millis(clock + 200),
                reservations: (0..self.below(3)).map(|_| self.reservation()).collect(),
                gift: None,
                reserved_until: Some(Timestamp::from_millis(reserved_until(order_id))),
            })),
            3..=4 => {
                let purpose = Purpose::Order(order_id);
                Command::SettlePayment {
                    payment_id: if self.below(3) == 0 { another } else { payment_id },
                    purpose,
                    outcome: self.settlement(),
                }
            }
            5 if self.below(2) == 0 => Command::AddPayment {
                order_id,
                payment_id: another,
                method: if self.below(3) == 0 {
                    Method::Wallet
                } else {
                    Method::Provider(Provider::Sandbox)
                },
                payment_token: Some("tok".into()),
            },
            5 => Command::Cancel { order_id },
            6 => Command::Expire { order_id },
            7 => match self.below(4) {
                0 => Command::DecideRefund {
                    order_id,
                    refund_id,
                    approved: self.below(3) > 0,
                    deed: deed(),
                },
                1 => Command::CancelRefund { order_id, refund_id },
                _ => self.refund(order_id, refund_id),
            },
            8 => {
                let outcome = match self.below(3) {
                    0 => RefundOutcome::Succeeded,
                    1 => RefundOutcome::Failed,
                    _ => RefundOutcome::Unknown,
                };
                let attempt = 1 + u32::try_from(self.below(2)).expect("small");
                Command::SettleRefund {
                    order_id,
                    refund_id,
                    attempt,
                    outcome,
                }
            }
            9 => Command::RetryRefund { order_id, refund_id },
            10 => {
                let payment_id = PaymentId::from_u128(u128::from(500 + self.below(30)));
                if self.below(2) == 0 {
                    Command::StartTopUp {
                        payment_id,
                        amount: self.amount(),
                        provider: Provider::Sandbox,
                        payment_token: Some("tok".into()),
                        expires_at: Timestamp::from_millis(clock + 50),
                    }
                } else {
                    let outcome = self.settlement();
                    Command::SettlePayment {
                        payment_id,
                        purpose: Purpose::TopUp,
                        outcome,
                    }
                }
            }
            11 => Command::Intervene {
                order_id,
                action: match self.below(3) {
                    0 => Intervention::Retry,
                    1 => Intervention::Compensate,
                    _ => Intervention::Reconcile,
                },
                deed: deed(),
            },
            12 => {
                let amount = self.amount().amount() - 15_000;
                let entry = |account, owner, amount| Entry {
                    account,
                    owner,
                    amount,
                };
                Command::PostAdjustment {
                    adjustment_id: AdjustmentId::from_u128(10_000 + u128::from(self.below(40))),
                    entries: vec![
                        entry(Account::UserWallet, Some(USER), amount),
                        entry(Account::PlatformRevenue, None, -amount),
                    ],
                }
            }
            _ => Command::Import {
                purchases: vec![ImportedPurchase {
                    import_id: ImportId::from_u128(u128::from(self.below(20))),
                    course_id: CourseId::from_u128(u128::from(self.below(COURSES))),
                    course_version: 1,
                    at: Timestamp::from_millis(clock),
                }],
            },
        }
    }

    fn reservation(&mut self) -> Reservation {
        let id = u128::from(self.below(5));
        match self.below(2) {
            0 => Reservation::Slot {
                sale_id: SaleId::from_u128(id),
            },
            _ => Reservation::Coupon {
                coupon_id: CouponId::from_u128(id),
            },
        }
    }

    fn refund(&mut self, order_id: OrderId, refund_id: RefundId) -> Command {
        let wanted = Wanted {
            amount: (self.below(2) == 0).then(|| self.amount().share(800)),
            items: vec![],
            destination: if self.below(3) == 0 {
                Destination::Wallet
            } else {
                Destination::Original
            },
            automatic_max: Some(self.amount().share(2_000)),
        };
        Command::RequestRefund {
            order_id,
            refund_id,
            reason: String::new(),
            wanted,
            requester: Some(USER),
        }
    }

    fn line(&mut self) -> Line {
        let price = self.amount().share(1_000);
        Line {
            course_id: CourseId::from_u128(u128::from(self.below(COURSES))),
            course_version: 1,
            title: "t".into(),
            price,
            discount: price.share(u16::try_from(self.below(4) * 2_500).expect("at most 10,000")),
            creator: UserId::from_u128(u128::from(100 + self.below(3))),
            share_bps: u16::try_from(self.below(10_001)).expect("at most 10,000"),
        }
    }
}

/// Until when what is reserved for an order is kept; every attempt to place it says the same.
fn reserved_until(order_id: OrderId) -> i64 {
    i64::try_from(order_id.as_u128() % 40).expect("small") * 9
}

fn deed() -> Deed {
    Deed {
        operator: UserId::from_u128(1_000),
        reason: "looked into".into(),
        node: "n1".into(),
    }
}

/// The balances of a ledger and the keys of its transactions.
#[derive(Default)]
struct Books {
    balances: BTreeMap<(Account, Option<UserId>), i64>,
    /// The same, without the side that pays, by the order that was sold or refunded.
    orders: BTreeMap<OrderId, BTreeMap<(Account, Option<UserId>), i64>>,
    keys: BTreeSet<(u128, i64)>,
}

impl Books {
    fn post(&mut self, state: &Buyer, event: &Event) {
        let Some(transaction) = posting(USER, state, event) else {
            return;
        };
        let step = transaction.step;
        assert!(
            transaction
                .entries
                .iter()
                .all(|entry| step.posts_to(entry.account)),
            "{step:?} posts where the chart does not say: {event:?}"
        );
        assert!(
            transaction
                .entries
                .iter()
                .all(|entry| entry.account.is_owned() == entry.owner.is_some()),
            "{event:?}"
        );
        let key = (transaction.source, transaction.step.number());
        assert!(self.keys.insert(key), "a transaction is posted once: {event:?}");
        let order_id = match event {
            Event::Purchased(placement) => Some(placement.order_id),
            Event::OrderFulfilled { order_id, .. }
            | Event::RefundedToWallet { order_id, .. }
            | Event::RefundMoved { order_id, .. } => Some(*order_id),
            _ => None,
        };
        for entry in transaction.entries {
            if let (Some(order), Account::CreatorPayable | Account::PlatformRevenue) =
                (order_id, entry.account)
            {
                let earned = self.orders.entry(order).or_default();
                *earned.entry((entry.account, entry.owner)).or_default() += entry.amount;
            }
            *self.balances.entry((entry.account, entry.owner)).or_default() += entry.amount;
        }
    }

    fn of(&self, account: Account, owner: Option<UserId>) -> i64 {
        self.balances.get(&(account, owner)).copied().unwrap_or_default()
    }
}

fn check(buyer: &Buyer, books: &Books, now: Timestamp) {
    let wallet = buyer.wallet();
    assert_eq!(
        books.balances.values().sum::<i64>(),
        0,
        "the trial balance is zero"
    );
    assert_eq!(
        wallet.balance().amount(),
        books.of(Account::UserWallet, Some(USER)),
        "a wallet is its entries"
    );
    assert_eq!(wallet.held().amount(), books.of(Account::WalletHold, Some(USER)));

    let mut owed = 0;
    for order in buyer.orders(None) {
        let passed = |state| order.timeline.iter().filter(|(at, _)| *at == state).count();
        assert!(passed(OrderState::Paid) <= 1, "charged once");
        assert!(passed(OrderState::Refunded) <= 1, "refunded once");
        let spoken_for = order.refunds.iter().filter(|refund| refund.state.holds());
        let spoken_for: i64 = spoken_for.map(|refund| refund.amount.amount()).sum();
        assert!(
            spoken_for <= order.placement.total.amount(),
            "refunds never exceed the capture"
        );
        let earned = books.orders.get(&order.placement.order_id);
        let earned = || earned.into_iter().flatten();
        assert!(
            earned().all(|(_, amount)| *amount >= 0),
            "nobody gives back more than they got"
        );
        if order.state() == OrderState::Refunded {
            assert!(
                earned().all(|(_, amount)| *amount == 0),
                "sale and refunds add up to zero"
            );
        }
        for line in &order.placement.lines {
            let source = super::Source::Order(order.placement.order_id);
            let live = buyer
                .access()
                .live(line.course_id, now)
                .is_some_and(|grant| grant.source == source);
            match order.state() {
                OrderState::Fulfilled => {
                    assert!(
                        buyer.access().knows(line.course_id, source),
                        "no money without grant"
                    );
                }
                OrderState::PartiallyRefunded => {
                    assert_eq!(live, !order.is_returned(line), "access ends with its line");
                }
                OrderState::Refunding | OrderState::Paid | OrderState::FulfilFailed => {}
                OrderState::Pending | OrderState::Cancelled | OrderState::Expired | OrderState::Refunded => {
                    assert!(!live, "no grant without money");
                }
            }
        }
        if order.state() == OrderState::Refunding && passed(OrderState::Fulfilled) == 0 {
            assert!(
                order
                    .refunds
                    .iter()
                    .all(|refund| refund.state != RefundState::Requested),
                "what cannot be fulfilled needs no approval"
            );
            owed += order.placement.total.amount();
        }
        let reserved = reserved_until(order.placement.order_id);
        assert!(
            order.placement.reservations.is_empty() || order.placement.placed_at.as_millis() < reserved,
            "an order is not placed once its reservations may be gone"
        );
        assert!(
            order.placement.total.covers(order.placement.lines[0].net()),
            "a total is what its lines cost"
        );
        let open = matches!(order.state(), OrderState::Pending | OrderState::Refunding);
        assert_eq!(
            open,
            order.due_at().is_some(),
            "every open saga has a due time, no other has"
        );
    }
    assert_eq!(
        books.of(Account::RefundPayable, Some(USER)),
        owed,
        "money without a sale is on its way back"
    );
}

/// What was said of an order's reservations stays true, whatever happens.
fn check_fates(buyer: &Buyer, settled: &mut BTreeMap<OrderId, Outcome>, now: Timestamp) {
    for order_id in (0..40).map(OrderId::from_u128) {
        let reserved = Timestamp::from_millis(reserved_until(order_id));
        // Only what was reserved is asked about.
        let bare = buyer
            .order(order_id)
            .is_ok_and(|order| order.placement.reservations.is_empty());
        // There is one clock here, so that an order is final as soon as it cannot be placed.
        let fate = buyer.fate(order_id, reserved, now.plus(CLOCKS_APART_MAX));
        if bare {
            continue;
        }
        if let Fate::Settled(outcome) = fate {
            let first = *settled.entry(order_id).or_insert(outcome);
            assert_eq!(first, outcome, "{order_id} was settled before");
        } else {
            assert!(!settled.contains_key(&order_id), "{order_id} was settled before");
        }
    }
}

#[test]
fn the_books_balance_and_no_money_is_without_access_or_refund_for_any_history() {
    let mut transactions = 0;
    for seed in 0..200 {
        let mut random = Random(seed);
        let (mut buyer, mut books) = (Buyer::default(), Books::default());
        let mut settled = BTreeMap::new();
        for clock in 0..400 {
            let now = Timestamp::from_millis(clock);
            let command = random.command(clock);
            let Ok(events) = buyer.decide(command.clone(), now) else {
                continue;
            };
            for event in &events {
                buyer.apply(event);
                books.post(&buyer, event);
            }
            check(&buyer, &books, now);
            check_fates(&buyer, &mut settled, now);
            if !matches!(
                command,
                Command::RetryRefund { .. } | Command::DecideRefund { .. } | Command::Intervene { .. }
            ) {
                assert_eq!(
                    buyer.decide(command.clone(), now),
                    Ok(vec![]),
                    "seed {seed}: repeated {command:?}"
                );
            }
        }
        transactions += books.keys.len();
    }
    assert!(
        transactions > 2_000,
        "{transactions} transactions are too few to mean anything"
    );
}

#[test]
fn events_and_state_survive_being_stored() {
    fn stored<T: serde::Serialize + serde::de::DeserializeOwned>() {}
    stored::<Buyer>();
    stored::<Event>();
    stored::<Command>();
    stored::<super::Payment>();
    stored::<super::payment::Event>();
}
