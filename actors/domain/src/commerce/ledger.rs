//! The double-entry ledger: what each event means in money, as balanced transactions. `docs/ledger.md` explains every account.
//!
//! Credits are positive, debits negative, and the entries of one transaction add up to zero. What we owe (a
//! wallet, a creator's earnings, our revenue) is positive; what we have at a provider is negative. A transaction
//! is immutable and unique by (source, step), so an event that is posted twice is found out. A hold that is
//! captured in the decision that reserved it posts the net only: wallet to creator and platform.

use lyceum_kernel::Money;
use serde::{Deserialize, Serialize};

use super::adjustment;
use super::buyer::{Buyer, Event};
use super::order::{Order, Placement};
use super::payment;
use super::refund::RefundState;
use super::wallet::TopUpState;
use crate::ids::UserId;

mod refund;

/// On which side of the books an account normally stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What we have: its balance is negative.
    Debit,
    /// What we owe or have earned: its balance is positive.
    Credit,
}

/// The chart of accounts; the numbers are stored and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i16)]
pub enum Account {
    /// Money that a provider holds for us.
    ProviderClearing = 1,
    /// What a user may spend.
    UserWallet = 2,
    /// What a user has reserved.
    WalletHold = 3,
    /// What a creator has earned.
    CreatorPayable = 4,
    /// What an affiliate has earned.
    AffiliatePayable = 5,
    /// What the platform has earned.
    PlatformRevenue = 6,
    /// What providers charge for their service.
    Fees = 7,
    /// Tax that is owed.
    TaxPayable = 8,
    /// Money set aside for disputes.
    ChargebackReserve = 9,
    /// Money that was captured without a sale: on its way back, or kept for a team.
    RefundPayable = 10,
}

impl Account {
    /// Every account, by number.
    pub const ALL: [Account; 10] = [
        Account::ProviderClearing,
        Account::UserWallet,
        Account::WalletHold,
        Account::CreatorPayable,
        Account::AffiliatePayable,
        Account::PlatformRevenue,
        Account::Fees,
        Account::TaxPayable,
        Account::ChargebackReserve,
        Account::RefundPayable,
    ];

    /// The number that is stored.
    pub fn number(self) -> i16 {
        self as i16
    }

    /// The account of this number.
    pub fn of_number(number: i16) -> Option<Self> {
        Account::ALL
            .into_iter()
            .find(|account| account.number() == number)
    }

    /// The name in the chart.
    pub fn name(self) -> &'static str {
        match self {
            Account::ProviderClearing => "provider_clearing",
            Account::UserWallet => "user_wallet",
            Account::WalletHold => "wallet_hold",
            Account::CreatorPayable => "creator_payable",
            Account::AffiliatePayable => "affiliate_payable",
            Account::PlatformRevenue => "platform_revenue",
            Account::Fees => "fees",
            Account::TaxPayable => "tax_payable",
            Account::ChargebackReserve => "chargeback_reserve",
            Account::RefundPayable => "refund_payable",
        }
    }

    /// On which side it normally stands.
    pub fn side(self) -> Side {
        match self {
            Account::ProviderClearing | Account::Fees => Side::Debit,
            Account::UserWallet
            | Account::WalletHold
            | Account::CreatorPayable
            | Account::AffiliatePayable
            | Account::PlatformRevenue
            | Account::TaxPayable
            | Account::ChargebackReserve
            | Account::RefundPayable => Side::Credit,
        }
    }

    /// Whether each of its entries is somebody's.
    pub fn is_owned(self) -> bool {
        match self {
            Account::UserWallet
            | Account::WalletHold
            | Account::CreatorPayable
            | Account::AffiliatePayable
            | Account::RefundPayable => true,
            Account::ProviderClearing
            | Account::PlatformRevenue
            | Account::Fees
            | Account::TaxPayable
            | Account::ChargebackReserve => false,
        }
    }
}

/// Which of a source's transactions this is; the numbers are stored and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// An order's sale; the source is the order.
    Sale,
    /// A top-up's arrival; the source is the payment.
    TopUp,
    /// A capture that cannot be fulfilled, or waits for a team; the source is the order.
    Unfulfilled,
    /// A refund; the source is the refund.
    Refund,
    /// A manual adjustment; the source is the adjustment.
    Adjustment,
    /// A payout to a creator; the source is the payout.
    Payout,
    /// What a creator has forfeited; the source is the forfeiture.
    Forfeiture,
    /// A surplus capture, counted from 0; the source is the payment.
    Surplus(u16),
    /// The refund of that surplus.
    SurplusRefund(u16),
}

impl Step {
    /// The number that is stored.
    pub fn number(self) -> i64 {
        match self {
            Step::Sale => 1,
            Step::TopUp => 2,
            Step::Unfulfilled => 3,
            Step::Refund => 4,
            Step::Adjustment => 5,
            Step::Payout => 20,
            Step::Forfeiture => 21,
            Step::Surplus(index) => 100 + 2 * i64::from(index),
            Step::SurplusRefund(index) => 101 + 2 * i64::from(index),
        }
    }

    /// The step of this number.
    pub fn of_number(number: i64) -> Option<Self> {
        match number {
            1 => Some(Step::Sale),
            2 => Some(Step::TopUp),
            3 => Some(Step::Unfulfilled),
            4 => Some(Step::Refund),
            5 => Some(Step::Adjustment),
            20 => Some(Step::Payout),
            21 => Some(Step::Forfeiture),
            100.. => {
                let index = u16::try_from((number - 100) / 2).ok()?;
                Some(if number % 2 == 0 {
                    Step::Surplus(index)
                } else {
                    Step::SurplusRefund(index)
                })
            }
            _ => None,
        }
    }

    /// Every kind of transaction.
    pub const KINDS: [Step; 9] = [
        Step::Sale,
        Step::TopUp,
        Step::Unfulfilled,
        Step::Refund,
        Step::Adjustment,
        Step::Payout,
        Step::Forfeiture,
        Step::Surplus(0),
        Step::SurplusRefund(0),
    ];

    /// Whether transactions of this kind may post to an account; the chart in `docs/ledger.md` is made of it.
    pub fn posts_to(self, account: Account) -> bool {
        let captured = matches!(account, Account::ProviderClearing | Account::RefundPayable);
        let sold = matches!(
            account,
            Account::ProviderClearing
                | Account::UserWallet
                | Account::CreatorPayable
                | Account::PlatformRevenue
        );
        match self {
            Step::Sale => sold || account == Account::RefundPayable,
            Step::TopUp => matches!(account, Account::ProviderClearing | Account::UserWallet),
            Step::Unfulfilled => captured || account == Account::UserWallet,
            Step::Surplus(_) | Step::SurplusRefund(_) => captured,
            Step::Refund => sold || captured,
            Step::Adjustment => account != Account::WalletHold,
            Step::Payout => matches!(account, Account::ProviderClearing | Account::CreatorPayable),
            Step::Forfeiture => matches!(account, Account::CreatorPayable | Account::PlatformRevenue),
        }
    }

    /// What a statement calls it.
    pub fn name(self) -> &'static str {
        match self {
            Step::Sale => "sale",
            Step::TopUp => "top_up",
            Step::Unfulfilled => "unfulfilled",
            Step::Refund => "refund",
            Step::Adjustment => "adjustment",
            Step::Payout => "payout",
            Step::Forfeiture => "forfeiture",
            Step::Surplus(_) => "surplus",
            Step::SurplusRefund(_) => "surplus_refund",
        }
    }
}

/// One line of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The account.
    pub account: Account,
    /// Whose account, where accounts belong to users.
    pub owner: Option<UserId>,
    /// Minor units, positive for a credit.
    pub amount: i64,
}

/// Entries that add up to zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The bits of the order, payment, refund or adjustment it stands for.
    pub source: u128,
    /// Which of the source's transactions it is.
    pub step: Step,
    /// At least two entries, none of them zero.
    pub entries: Vec<Entry>,
}

impl Transaction {
    /// A transaction, unless no money moves.
    fn new(source: u128, step: Step, entries: Vec<Entry>) -> Option<Self> {
        debug_assert_eq!(
            entries.iter().map(|entry| entry.amount).sum::<i64>(),
            0,
            "a transaction balances"
        );
        let entries: Vec<Entry> = entries.into_iter().filter(|entry| entry.amount != 0).collect();
        (!entries.is_empty()).then_some(Transaction {
            source,
            step,
            entries,
        })
    }

    /// How much the wallet of the transaction's user grows; negative if it shrinks.
    pub fn wallet_change(&self) -> i64 {
        wallet_change(&self.entries)
    }

    /// The same money the other way.
    fn reversed(mut self) -> Self {
        for entry in &mut self.entries {
            entry.amount = -entry.amount;
        }
        self
    }
}

/// How much the one wallet among these entries grows.
pub(super) fn wallet_change(entries: &[Entry]) -> i64 {
    let wallet = entries
        .iter()
        .filter(|entry| entry.account == Account::UserWallet);
    wallet.map(|entry| entry.amount).sum()
}

/// The posting of one event of a buyer, `state` being the buyer after it.
pub fn posting(user: UserId, state: &Buyer, event: &Event) -> Option<Transaction> {
    match event {
        Event::Purchased(placement) => sale(user, placement, Payer::Wallet),
        Event::OrderFulfilled { order_id, .. } => {
            let order = state.order(*order_id).ok()?;
            sale(user, &order.placement, Payer::of(order))
        }
        // What was kept for a team was posted then; the sale, or the refund, takes it on.
        Event::FulfilmentFailed { order_id, .. } if state.order(*order_id).ok()?.held_at.is_some() => None,
        Event::OrderHeld { order_id, .. } | Event::FulfilmentFailed { order_id, .. } => {
            let order = state.order(*order_id).ok()?;
            let payer = Payer::of_capture(order);
            captured_without_sale(
                user,
                order_id.as_u128(),
                Step::Unfulfilled,
                order.placement.total,
                payer,
            )
        }
        Event::RefundedToWallet {
            order_id, refund_id, ..
        }
        | Event::RefundMoved {
            order_id,
            refund_id,
            state: RefundState::Succeeded,
            ..
        } => {
            let order = state.order(*order_id).ok()?;
            refund::returned(user, order, order.refund(*refund_id)?)
        }
        Event::TopUpSettled {
            payment_id,
            state: TopUpState::Succeeded,
            ..
        } => {
            let amount = state.top_up(*payment_id).ok()?.amount.amount();
            let entries = vec![
                Entry {
                    account: Account::ProviderClearing,
                    owner: None,
                    amount: -amount,
                },
                Entry {
                    account: Account::UserWallet,
                    owner: Some(user),
                    amount,
                },
            ];
            Transaction::new(payment_id.as_u128(), Step::TopUp, entries)
        }
        Event::Adjusted {
            adjustment_id,
            entries,
            ..
        } => Some(adjustment::transaction(*adjustment_id, entries.clone())),
        Event::OrderPlaced { .. }
        | Event::PaymentAdded { .. }
        | Event::PaymentSurplus { .. }
        | Event::OrderClosing { .. }
        | Event::OrderClosed { .. }
        | Event::RefundRequested { .. }
        | Event::RefundDecided { .. }
        | Event::RefundCancelled { .. }
        | Event::RefundMoved { .. }
        | Event::TopUpStarted { .. }
        | Event::TopUpSettled { .. }
        | Event::GiftRedeemed { .. }
        | Event::CodeGranted { .. }
        | Event::Imported { .. }
        | Event::AdjustmentRefused { .. }
        | Event::Intervened { .. } => None,
    }
}

/// The posting of one event of a payment: only a surplus is money that no buyer knows of.
pub fn payment_posting(
    user: UserId,
    payment_id: crate::ids::PaymentId,
    state: &payment::Payment,
    event: &payment::Event,
) -> Option<Transaction> {
    let (index, returned) = match event {
        payment::Event::SurplusCaptured { index, .. } => (*index, false),
        payment::Event::RefundMoved {
            refund: payment::RefundKey::Surplus(index),
            state: payment::SendState::Succeeded,
            ..
        } => (*index, true),
        _ => return None,
    };
    let amount = state.terms()?.amount;
    let (source, step) = (payment_id.as_u128(), Step::Surplus(index));
    let captured = captured_without_sale(user, source, step, amount, Payer::Provider)?;
    Some(if returned {
        Transaction {
            step: Step::SurplusRefund(index),
            ..captured.reversed()
        }
    } else {
        captured
    })
}

/// Where the money of a sale or a capture comes from.
#[derive(Clone, Copy)]
enum Payer {
    Wallet,
    Provider,
    /// It was captured before, and kept for a team.
    Kept,
}

impl Payer {
    fn of(order: &Order) -> Self {
        if order.held_at.is_some() {
            Payer::Kept
        } else {
            Payer::of_capture(order)
        }
    }

    fn of_capture(order: &Order) -> Self {
        if order.is_paid_at_once() {
            Payer::Wallet
        } else {
            Payer::Provider
        }
    }

    fn pays(self, user: UserId, amount: i64) -> Entry {
        let (account, owner) = match self {
            Payer::Wallet => (Account::UserWallet, Some(user)),
            Payer::Provider => (Account::ProviderClearing, None),
            Payer::Kept => (Account::RefundPayable, Some(user)),
        };
        Entry {
            account,
            owner,
            amount: -amount,
        }
    }
}

/// A sale: from the wallet, the provider, or what was kept for a team, to the creators and the platform.
fn sale(user: UserId, placement: &Placement, payer: Payer) -> Option<Transaction> {
    let mut entries = Vec::with_capacity(placement.lines.len() + 2);
    entries.push(payer.pays(user, placement.total.amount()));
    let mut revenue = 0;
    for line in &placement.lines {
        let (net, creator) = (line.net(), line.creator);
        let share = net.share(line.share_bps).amount();
        revenue += net.amount() - share;
        let earned =
            |entry: &&mut Entry| entry.account == Account::CreatorPayable && entry.owner == Some(creator);
        match entries.iter_mut().find(earned) {
            Some(entry) => entry.amount += share,
            None => entries.push(Entry {
                account: Account::CreatorPayable,
                owner: Some(creator),
                amount: share,
            }),
        }
    }
    entries.push(Entry {
        account: Account::PlatformRevenue,
        owner: None,
        amount: revenue,
    });
    Transaction::new(placement.order_id.as_u128(), Step::Sale, entries)
}

fn captured_without_sale(
    user: UserId,
    source: u128,
    step: Step,
    amount: Money,
    payer: Payer,
) -> Option<Transaction> {
    let amount = amount.amount();
    let entries = vec![
        payer.pays(user, amount),
        Entry {
            account: Account::RefundPayable,
            owner: Some(user),
            amount,
        },
    ];
    Transaction::new(source, step, entries)
}
