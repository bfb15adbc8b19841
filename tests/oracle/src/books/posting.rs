//! Double entry, worked out from what was agreed: each line's creator earns the frozen share of its price rounded down,
//! the platform the rest; credits are positive, debits negative.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Books, Order};

/// Which of a source's transactions it is.
pub(super) const SALE: i16 = 1;
pub(super) const TOP_UP: i16 = 2;
pub(super) const UNFULFILLED: i16 = 3;
pub(super) const REFUND: i16 = 4;
pub(super) const ADJUSTMENT: i16 = 5;
/// The first surplus capture; its return is one more, the next capture two more.
pub(super) const SURPLUS: i16 = 100;

/// The accounts that are posted to, as numbered in the chart.
const PROVIDER_CLEARING: i16 = 1;
pub(super) const USER_WALLET: i16 = 2;
const CREATOR_PAYABLE: i16 = 4;
const PLATFORM_REVENUE: i16 = 6;
const REFUND_PAYABLE: i16 = 10;

/// The number of an account, by the name that events have.
pub(super) fn account(name: &str) -> Option<i16> {
    let names = [
        "provider_clearing",
        "user_wallet",
        "wallet_hold",
        "creator_payable",
        "affiliate_payable",
        "platform_revenue",
        "fees",
        "tax_payable",
        "chargeback_reserve",
        "refund_payable",
    ];
    let place = names.iter().position(|known| *known == name)?;
    i16::try_from(place + 1).ok()
}

/// What two operators have agreed upon, in the one currency that wallets are kept in.
pub(super) fn adjustment(
    books: &mut Books,
    adjustment_id: Uuid,
    user: Uuid,
    entries: &[(i16, Option<Uuid>, i64)],
) {
    let mut posting = Posting::new(user, "CNY");
    for (account, owner, amount) in entries {
        posting.add(*account, *owner, *amount);
    }
    post(books, (adjustment_id, ADJUSTMENT), posting);
}

/// One transaction of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Posting {
    pub(crate) user: Uuid,
    pub(crate) currency: String,
    /// Sums by account and owner, none of them zero.
    pub(crate) entries: BTreeMap<(i16, Option<Uuid>), i64>,
}

impl Posting {
    pub(crate) fn new(user: Uuid, currency: &str) -> Self {
        Self {
            user,
            currency: currency.to_owned(),
            entries: BTreeMap::new(),
        }
    }

    pub(crate) fn add(&mut self, account: i16, owner: Option<Uuid>, amount: i64) {
        *self.entries.entry((account, owner)).or_default() += amount;
    }
}

fn post(books: &mut Books, key: (Uuid, i16), mut posting: Posting) {
    posting.entries.retain(|_, amount| *amount != 0);
    if !posting.entries.is_empty() {
        books.postings.insert(key, posting);
    }
}

fn sale_of(order: &Order) -> Posting {
    let mut posting = Posting::new(order.user, &order.currency);
    if order.method == "wallet" {
        posting.add(USER_WALLET, Some(order.user), -order.total);
    } else {
        posting.add(PROVIDER_CLEARING, None, -order.total);
    }
    for line in &order.lines {
        let share = line.net() * line.share_bps.min(10_000) / 10_000;
        posting.add(CREATOR_PAYABLE, Some(line.creator), share);
        posting.add(PLATFORM_REVENUE, None, line.net() - share);
    }
    posting
}

fn captured_of(user: Uuid, amount: i64, currency: &str) -> Posting {
    let mut posting = Posting::new(user, currency);
    posting.add(PROVIDER_CLEARING, None, -amount);
    posting.add(REFUND_PAYABLE, Some(user), amount);
    posting
}

/// An order's sale.
pub(super) fn sale(books: &mut Books, order_id: Uuid, order: &Order) {
    post(books, (order_id, SALE), sale_of(order));
}

/// A capture that could not become a sale.
pub(super) fn capture_without_sale(books: &mut Books, key: (Uuid, i16), order: &Order) {
    captured(books, key, order.user, order.total, &order.currency);
}

/// Money that was captured and is owed back; negative once it has gone back.
pub(super) fn captured(books: &mut Books, key: (Uuid, i16), user: Uuid, amount: i64, currency: &str) {
    post(books, key, captured_of(user, amount, currency));
}

/// The arrival of a top-up.
pub(super) fn top_up(books: &mut Books, key: (Uuid, i16), user: Uuid, amount: i64, currency: &str) {
    let mut posting = Posting::new(user, currency);
    posting.add(PROVIDER_CLEARING, None, -amount);
    posting.add(USER_WALLET, Some(user), amount);
    post(books, key, posting);
}

/// The return of everything that was posted for an order.
pub(super) fn reverse(books: &mut Books, order_id: Uuid, refund_id: Uuid, order: &Order) -> Option<()> {
    let step = if order.fulfilled { SALE } else { UNFULFILLED };
    if order.total == 0 {
        return Some(());
    }
    let mut back = books.postings.get(&(order_id, step))?.clone();
    for amount in back.entries.values_mut() {
        *amount = -*amount;
    }
    post(books, (refund_id, REFUND), back);
    Some(())
}
