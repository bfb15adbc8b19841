//! What a refund takes of each line, and what that takes back of whom.
//!
//! An amount is split over lines in proportion to what is left of them, by the largest remainder: the parts add up to it exactly,
//! and none exceeds what is left of its line.
//!
//! What a creator gives back follows the line's own rate, over everything that was returned of the line so far: after a return
//! of `r` of a line that cost `n` and gave the creator `c`, they have given back `c · r / n`, rounded down. So each refund takes the
//! difference to the one before, and the last one takes the rest: once a line is returned, sale and refunds add up to zero.
//!
//! Only what returns whole lines is decided by whoever asks: a line that is partly paid still gives its access, so how much of one
//! is given back is an operator's decision.

use lyceum_kernel::Money;
use serde::{Deserialize, Serialize};

use super::{Destination, Part, Refund, RefundState, RefundTerms};
use crate::commerce::batch::Refusal as CodeRefusal;
use crate::commerce::order::{Line, Order, OrderState};
use crate::commerce::{Error, SETTLEMENT_CURRENCY};
use crate::ids::{CourseId, UserId};

/// What a refund takes back of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineBack {
    /// The course on the line.
    pub course_id: CourseId,
    /// Who earned on it.
    pub creator: UserId,
    /// What goes back to the buyer.
    pub amount: Money,
    /// What the creator gives back of it.
    pub creator_share: Money,
    /// What the platform gives back of it.
    pub platform_share: Money,
    /// Whether the line is returned with it, so that its access ends.
    pub access_ends: bool,
}

/// What a refund would do, if all that are under way succeed before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// How much goes back.
    pub amount: Money,
    /// What of which line.
    pub lines: Vec<LineBack>,
    /// Where the money would go.
    pub destination: Destination,
    /// Whether an operator would have to approve it.
    pub awaits_approval: bool,
    /// What could still be asked for afterwards.
    pub left: Money,
}

/// What somebody wants back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// How much; everything that is left if it is not said.
    pub amount: Option<Money>,
    /// Of which lines; of all if none is named.
    #[serde(default)]
    pub items: Vec<CourseId>,
    /// Where to.
    #[serde(default)]
    pub destination: Destination,
    /// What of an order needs no operator, all its refunds together, as long as they return whole lines; `None` if nothing needs one.
    #[serde(default)]
    pub automatic_max: Option<Money>,
}

impl Order {
    /// The refund of this id.
    pub fn refund(&self, refund_id: crate::ids::RefundId) -> Option<&Refund> {
        self.refunds.iter().find(|refund| refund.refund_id == refund_id)
    }

    /// Whether money for this destination ends in the wallet.
    pub fn goes_to_wallet(&self, destination: Destination) -> bool {
        destination == Destination::Wallet || self.is_paid_at_once()
    }

    /// Whether the money of a refund ends in the wallet.
    pub fn returns_to_wallet(&self, refund: &Refund) -> bool {
        self.goes_to_wallet(refund.destination)
    }

    /// The sum of what has gone back to the buyer.
    pub fn returned(&self) -> Money {
        sum(self.returns().map(|part| part.amount))
    }

    /// The parts that have gone back.
    pub(in crate::commerce) fn returns(&self) -> impl Iterator<Item = &Part> {
        let succeeded = |refund: &&Refund| refund.state == RefundState::Succeeded;
        self.refunds
            .iter()
            .filter(succeeded)
            .flat_map(|refund| &refund.parts)
    }

    /// The parts that are spoken for, returned or not.
    fn held(&self) -> impl Iterator<Item = &Part> {
        let holds = |refund: &&Refund| refund.state.holds();
        self.refunds.iter().filter(holds).flat_map(|refund| &refund.parts)
    }

    /// Whether all that a line cost has gone back, so that its access ends.
    pub fn is_returned(&self, line: &Line) -> bool {
        covers(line, self.returns())
    }

    /// Whether every line is returned.
    pub fn is_wholly_returned(&self) -> bool {
        self.placement.lines.iter().all(|line| self.is_returned(line))
    }

    /// What is not spoken for of a line; `None` if all of it is.
    fn left_of(&self, line: &Line) -> Option<i64> {
        let taken = taken_of(line, self.held());
        (!covers(line, self.held())).then_some(line.net().amount() - taken)
    }

    /// The terms of a refund that takes everything back, as refunds did before they had parts.
    pub(in crate::commerce) fn whole(&self) -> RefundTerms {
        let parts = self.placement.lines.iter().map(|line| Part {
            course_id: line.course_id,
            amount: line.net(),
        });
        RefundTerms {
            amount: self.placement.total,
            parts: parts.collect(),
            destination: Destination::Original,
            requester: None,
            awaits_approval: false,
        }
    }

    /// The terms of what somebody wants back.
    ///
    /// # Errors
    /// [`CodeRefusal::GiftRedeemed`]; [`Error::WrongState`]: nothing is left to return; [`Error::RefundExceedsCapture`]: not so much is;
    /// [`Error::RefundItemUnknown`], [`Error::DuplicateCourse`], [`Error::CurrencyUnsupported`], [`Error::AmountOutOfRange`].
    pub fn terms_of(&self, wanted: &Wanted, requester: Option<UserId>) -> Result<RefundTerms, Error> {
        // Somebody else's access hangs on it by now.
        if self.redeemed_by.is_some() {
            return Err(CodeRefusal::GiftRedeemed.into());
        }
        if !matches!(
            self.state(),
            OrderState::Fulfilled | OrderState::PartiallyRefunded | OrderState::Refunding
        ) || !self.was_fulfilled()
        {
            return Err(self.refusal());
        }
        let parts = self.split(wanted.amount, &wanted.items)?;
        let amount = sum(parts.iter().map(|part| part.amount));
        let awaits_approval = wanted.automatic_max.is_some_and(|most| {
            let unseen = self.returned_unseen().saturating_add(amount.amount());
            unseen > most.amount() || self.leaves_partly_paid(&parts)
        });
        Ok(RefundTerms {
            amount,
            parts,
            destination: wanted.destination,
            requester,
            awaits_approval,
        })
    }

    /// What refunds of it return that no operator has looked at: the limit is for an order, however many pieces it is asked for in.
    fn returned_unseen(&self) -> i64 {
        let unseen = |refund: &&Refund| {
            refund.state.holds() && refund.state != RefundState::Requested && refund.checker.is_none()
        };
        let unseen = self.refunds.iter().filter(unseen);
        unseen.map(|refund| refund.amount.amount()).sum()
    }

    /// Whether these parts take something of a line and leave its access. A buyer who decided that alone would keep a course for the
    /// last unit of its price. What waits for an operator is no reason to take a line for returned: it may be withdrawn again.
    fn leaves_partly_paid(&self, parts: &[Part]) -> bool {
        let certain = |refund: &&Refund| refund.state.holds() && refund.state != RefundState::Requested;
        let before = self.refunds.iter().filter(certain);
        let taken: Vec<&Part> = before.flat_map(|refund| &refund.parts).chain(parts).collect();
        let mut lines = parts.iter().filter_map(|part| self.line(part.course_id));
        lines.any(|line| !covers(line, taken.iter().copied()))
    }

    fn split(&self, amount: Option<Money>, items: &[CourseId]) -> Result<Vec<Part>, Error> {
        let mut targets = Vec::new();
        for (index, item) in items.iter().enumerate() {
            if items[..index].contains(item) {
                return Err(Error::DuplicateCourse);
            }
            let line = self.line(*item).ok_or(Error::RefundItemUnknown)?;
            let left = self.left_of(line).ok_or(Error::RefundExceedsCapture)?;
            targets.push((*item, left));
        }
        if items.is_empty() {
            let lines = self.placement.lines.iter();
            targets.extend(lines.filter_map(|line| Some((line.course_id, self.left_of(line)?))));
            if targets.is_empty() {
                return Err(self.refusal());
            }
        }
        let rest: i64 = targets.iter().map(|(_, left)| left).sum();
        let wanted = amount.map_or(rest, Money::amount);
        if amount.is_some_and(|amount| amount.currency() != SETTLEMENT_CURRENCY) {
            return Err(Error::CurrencyUnsupported);
        }
        if wanted > rest {
            return Err(Error::RefundExceedsCapture);
        }
        if wanted == 0 && rest > 0 {
            return Err(Error::AmountOutOfRange);
        }
        let amounts = if wanted == rest {
            targets.iter().map(|(_, left)| *left).collect()
        } else {
            let lefts: Vec<i64> = targets.iter().map(|(_, left)| *left).collect();
            apportion(wanted, &lefts)
        };
        let whole = wanted == rest;
        let parts = targets.iter().zip(amounts);
        Ok(parts
            .filter(|(_, amount)| whole || *amount > 0)
            .map(|((course_id, _), amount)| Part {
                course_id: *course_id,
                amount: money(amount),
            })
            .collect())
    }

    /// What a refund of these terms would do, if all that are under way succeed before it.
    pub fn preview(&self, terms: &RefundTerms) -> Preview {
        let held: Vec<Part> = self.held().copied().collect();
        let lines = self.lines_back(&terms.parts, &held);
        let left = self.placement.total.amount()
            - held.iter().map(|part| part.amount.amount()).sum::<i64>()
            - terms.amount.amount();
        Preview {
            amount: terms.amount,
            lines,
            destination: terms.destination,
            awaits_approval: terms.awaits_approval,
            left: money(left.max(0)),
        }
    }

    /// What a refund that has just succeeded takes back, line by line, after all others that have succeeded. Once another one has
    /// succeeded after it the shares are another's: the order does not know in which order its refunds succeeded.
    pub fn taken_back(&self, refund: &Refund) -> Vec<LineBack> {
        let earlier = self
            .refunds
            .iter()
            .filter(|other| other.refund_id != refund.refund_id && other.state == RefundState::Succeeded);
        let before: Vec<Part> = earlier.flat_map(|other| other.parts.iter().copied()).collect();
        self.lines_back(&refund.parts, &before)
    }

    fn lines_back(&self, parts: &[Part], before: &[Part]) -> Vec<LineBack> {
        let line_back = |part: &Part| {
            let line = self.line(part.course_id)?;
            let earlier = taken_of(line, before.iter());
            let after = earlier + part.amount.amount();
            let share = creator_back(line, after) - creator_back(line, earlier);
            Some(LineBack {
                course_id: line.course_id,
                creator: line.creator,
                amount: part.amount,
                creator_share: money(share),
                platform_share: money(part.amount.amount() - share),
                access_ends: after >= line.net().amount(),
            })
        };
        parts.iter().filter_map(line_back).collect()
    }

    fn line(&self, course_id: CourseId) -> Option<&Line> {
        let mut lines = self.placement.lines.iter();
        lines.find(|line| line.course_id == course_id)
    }
}

/// What the creator of a line has given back once `returned` of it has gone back.
fn creator_back(line: &Line, returned: i64) -> i64 {
    let (net, share) = (line.net(), line.net().share(line.share_bps));
    if net.is_zero() {
        return 0;
    }
    let back = i128::from(share.amount()) * i128::from(returned) / i128::from(net.amount());
    i64::try_from(back).unwrap_or(i64::MAX)
}

fn taken_of<'a>(line: &Line, parts: impl Iterator<Item = &'a Part>) -> i64 {
    let of_line = parts.filter(|part| part.course_id == line.course_id);
    of_line.map(|part| part.amount.amount()).sum()
}

/// Whether parts take all of a line. One that cost nothing is taken by being named.
fn covers<'a>(line: &Line, parts: impl Iterator<Item = &'a Part>) -> bool {
    let mut of_line = parts.filter(|part| part.course_id == line.course_id).peekable();
    of_line.peek().is_some() && of_line.map(|part| part.amount.amount()).sum::<i64>() >= line.net().amount()
}

/// Splits an amount in proportion to weights, by the largest remainder; it is less than their sum.
fn apportion(amount: i64, weights: &[i64]) -> Vec<i64> {
    let whole: i128 = weights.iter().copied().map(i128::from).sum();
    let ideal = |weight: &i64| i128::from(*weight) * i128::from(amount);
    let mut parts: Vec<i64> = weights
        .iter()
        .map(|weight| i64::try_from(ideal(weight) / whole).unwrap_or(0))
        .collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(ideal(&weights[*index]) % whole));
    let missing = amount - parts.iter().sum::<i64>();
    for index in order.into_iter().take(usize::try_from(missing).unwrap_or(0)) {
        parts[index] += 1;
    }
    parts
}

fn sum(amounts: impl Iterator<Item = Money>) -> Money {
    money(amounts.map(Money::amount).sum())
}

/// Minor units as money.
fn money(units: i64) -> Money {
    Money::new(units, SETTLEMENT_CURRENCY).expect("a part of what an order cost, which was money")
}
