//! What a refund means in money: line by line the reverse of the sale, at the rates of the sale.

use super::{Account, Entry, Step, Transaction};
use crate::commerce::order::{Order, Stage};
use crate::commerce::refund::Refund;
use crate::ids::UserId;

/// A refund whose money has gone back, after those that went back before it.
pub(super) fn returned(user: UserId, order: &Order, refund: &Refund) -> Option<Transaction> {
    let amount = refund.amount.amount();
    let mut entries = vec![if order.returns_to_wallet(refund) {
        Entry {
            account: Account::UserWallet,
            owner: Some(user),
            amount,
        }
    } else {
        Entry {
            account: Account::ProviderClearing,
            owner: None,
            amount,
        }
    }];
    if order.stage == Stage::Unfulfilled {
        entries.push(Entry {
            account: Account::RefundPayable,
            owner: Some(user),
            amount: -amount,
        });
        return Transaction::new(refund.refund_id.as_u128(), Step::Refund, entries);
    }
    let mut revenue = 0;
    for line in order.taken_back(refund) {
        revenue += line.platform_share.amount();
        let (account, owner) = (Account::CreatorPayable, Some(line.creator));
        let share = line.creator_share.amount();
        match entries
            .iter_mut()
            .find(|entry| (entry.account, entry.owner) == (account, owner))
        {
            Some(entry) => entry.amount -= share,
            None => entries.push(Entry {
                account,
                owner,
                amount: -share,
            }),
        }
    }
    entries.push(Entry {
        account: Account::PlatformRevenue,
        owner: None,
        amount: -revenue,
    });
    Transaction::new(refund.refund_id.as_u128(), Step::Refund, entries)
}
