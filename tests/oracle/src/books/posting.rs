//! Double entry, worked out from what was agreed: each line's creator earns the frozen share of its price rounded down,
//! the platform the rest; credits are positive, debits negative.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Books, Line, Order, Refund};

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
    if order.held {
        posting.add(REFUND_PAYABLE, Some(order.user), -order.total);
    } else if order.pays().1 == "wallet" {
        posting.add(USER_WALLET, Some(order.user), -order.total);
    } else {
        posting.add(PROVIDER_CLEARING, None, -order.total);
    }
    for line in &order.lines {
        let share = share_of(line);
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

/// A capture that could not become a sale, or not yet.
pub(super) fn capture_without_sale(books: &mut Books, key: (Uuid, i16), order: &Order) {
    if order.pays().1 != "wallet" {
        return captured(books, key, order.user, order.total, &order.currency);
    }
    let mut posting = Posting::new(order.user, &order.currency);
    posting.add(USER_WALLET, Some(order.user), -order.total);
    posting.add(REFUND_PAYABLE, Some(order.user), order.total);
    post(books, key, posting);
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

/// The return of a part, or of all, of what was posted for an order. Of each line its creator gives back their share of what has been
/// returned so far, rounded down, less what they gave back before; so the last return takes the rest.
pub(super) fn refund(books: &mut Books, refund: &Refund, order: &Order) {
    let mut back = Posting::new(order.user, &order.currency);
    if refund.to_wallet {
        back.add(USER_WALLET, Some(order.user), refund.amount);
    } else {
        back.add(PROVIDER_CLEARING, None, refund.amount);
    }
    if !order.fulfilled {
        back.add(REFUND_PAYABLE, Some(order.user), -refund.amount);
        return post(books, (refund.id, REFUND), back);
    }
    for (course, amount) in &refund.parts {
        let Some(line) = order.lines.iter().find(|line| line.course == *course) else {
            continue;
        };
        let before = order
            .returned_before(*course, Some(refund.id))
            .unwrap_or_default();
        let given_back = |returned: i64| match line.net() {
            0 => 0,
            price => i128::from(share_of(line)) * i128::from(returned) / i128::from(price),
        };
        let share = i64::try_from(given_back(before + amount) - given_back(before)).unwrap_or_default();
        back.add(CREATOR_PAYABLE, Some(line.creator), -share);
        back.add(PLATFORM_REVENUE, None, share - amount);
    }
    post(books, (refund.id, REFUND), back);
}

fn share_of(line: &Line) -> i64 {
    line.net() * line.share_bps.min(10_000) / 10_000
}
