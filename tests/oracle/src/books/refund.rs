//! What each event of a refund means: how much of which line goes back, what that leaves of the order, and what is posted.

use serde_json::Value;
use uuid::Uuid;

use super::posting;
use super::{Books, Line, Order, id, money, state_name};

/// One refund of an order.
#[derive(Clone, Debug)]
pub(crate) struct Refund {
    pub(crate) id: Uuid,
    pub(crate) amount: i64,
    /// How much of which course.
    pub(crate) parts: Vec<(Uuid, i64)>,
    /// Whether it goes to the wallet although a provider took the money, or because the wallet paid.
    pub(crate) to_wallet: bool,
    pub(crate) checker: Option<Uuid>,
    pub(crate) attempt: i64,
    pub(crate) state: String,
}

impl Refund {
    fn holds(&self) -> bool {
        self.state != "rejected" && self.state != "cancelled"
    }

    fn is_under_way(&self) -> bool {
        ["processing", "unknown", "failed"].contains(&self.state.as_str())
    }

    pub(crate) fn succeeded(&self) -> bool {
        self.state == "succeeded"
    }
}

impl Order {
    /// What the refunds before `except` have returned of a line, and whether there was any.
    pub(super) fn returned_before(&self, course: Uuid, except: Option<Uuid>) -> Option<i64> {
        let done = self
            .refunds
            .iter()
            .filter(|refund| refund.succeeded() && Some(refund.id) != except);
        let parts = done.flat_map(|refund| &refund.parts);
        let amounts: Vec<i64> = parts
            .filter(|(of, _)| *of == course)
            .map(|(_, amount)| *amount)
            .collect();
        (!amounts.is_empty()).then(|| amounts.iter().sum())
    }

    /// Whether all that a line cost has gone back, so that its access has ended.
    pub(crate) fn is_returned(&self, line: &Line) -> bool {
        self.returned_before(line.course, None)
            .is_some_and(|returned| returned >= line.net())
    }

    /// Whether its buyer may study a line by this order.
    pub(crate) fn grants(&self, line: &Line) -> bool {
        self.fulfilled && self.brings_access() && !self.is_returned(line)
    }

    /// Whether it can be redeemed as a gift: something of it is not returned, nothing may be any more, and nothing of what it
    /// gives has gone back.
    pub(super) fn is_redeemable(&self) -> bool {
        let settled = |refund: &Refund| refund.succeeded() || !refund.holds();
        self.gift
            && self.fulfilled
            && self.redeemed_by.is_none()
            && self.refunds.iter().all(settled)
            && self.lines.iter().any(|line| !self.is_returned(line))
            && self.lines.iter().all(|line| {
                self.is_returned(line) || self.returned_before(line.course, None).unwrap_or_default() == 0
            })
    }

    /// The state of an order whose money was captured.
    fn restate(&mut self) {
        self.state = if self.refunds.iter().any(Refund::is_under_way) {
            "refunding"
        } else if self.lines.iter().all(|line| self.is_returned(line)) {
            "refunded"
        } else if self.refunds.iter().any(Refund::succeeded) {
            "partially_refunded"
        } else {
            "fulfilled"
        };
    }

    /// Whether no line, and so not the order, is asked to return more than it cost.
    fn is_within_capture(&self) -> bool {
        self.lines.iter().all(|line| {
            let held = self.refunds.iter().filter(|refund| refund.holds());
            let parts = held.flat_map(|refund| &refund.parts);
            let of_line = parts.filter(|(course, _)| *course == line.course);
            of_line.map(|(_, amount)| amount).sum::<i64>() <= line.net()
        })
    }
}

/// Notes a refund that an event began; without terms it is of everything.
pub(super) fn begin(order: &mut Order, event: &Event<'_>, state: &str) -> Option<Uuid> {
    let terms = &event.0["terms"];
    let wallet = order.pays().1 == "wallet" || order.total == 0;
    let mut refund = Refund {
        id: id("ref", &event.0["refund_id"])?,
        amount: order.total,
        parts: order.lines.iter().map(|line| (line.course, line.net())).collect(),
        to_wallet: wallet,
        checker: None,
        attempt: 1,
        state: state.to_owned(),
    };
    if !terms.is_null() {
        refund.amount = money(&terms["amount"])?.0;
        refund.parts.clear();
        for part in terms["parts"].as_array()? {
            refund
                .parts
                .push((id("crs", &part["course_id"])?, money(&part["amount"])?.0));
        }
        refund.to_wallet = wallet || terms["destination"].as_str()? == "wallet";
        if terms["awaits_approval"].as_bool()? {
            "requested".clone_into(&mut refund.state);
        }
    }
    let known = |course: &Uuid| order.lines.iter().any(|line| line.course == *course);
    let adds_up = refund.parts.iter().map(|(_, amount)| amount).sum::<i64>() == refund.amount
        && !refund.parts.is_empty()
        && refund.parts.iter().all(|(course, _)| known(course));
    let (refund_id, again) = (refund.id, order.refunds.iter().any(|held| held.id == refund.id));
    order.refunds.push(refund);
    order.restate();
    (adds_up && !again && order.redeemed_by.is_none() && order.is_within_capture()).then_some(refund_id)
}

/// An event that names a refund.
pub(super) struct Event<'a>(pub(super) &'a Value);

/// `None` if the event makes no sense.
pub(super) fn apply(
    books: &mut Books,
    (order_id, user): (Uuid, Uuid),
    event_type: &str,
    event: &Value,
) -> Option<()> {
    let order = books.orders.get_mut(&order_id)?;
    let refund_id = id("ref", &event["refund_id"])?;
    let succeeded = match event_type {
        "refund_requested" => {
            begin(order, &Event(event), "processing")?;
            false
        }
        "refunded_to_wallet" => {
            begin(order, &Event(event), "succeeded")?;
            order.refunds.last()?.to_wallet.then_some(true)?
        }
        "refund_decided" => {
            let refund = order.refunds.iter_mut().find(|refund| refund.id == refund_id)?;
            let operator = id("usr", &event["deed"]["operator"])?;
            if refund.state != "requested" || operator == user {
                return None;
            }
            refund.checker = Some(operator);
            if !event["approved"].as_bool()? {
                "rejected".clone_into(&mut refund.state);
            }
            false
        }
        "refund_cancelled" => {
            let refund = order.refunds.iter_mut().find(|refund| refund.id == refund_id)?;
            if refund.state != "requested" {
                return None;
            }
            "cancelled".clone_into(&mut refund.state);
            false
        }
        "refund_moved" => {
            let refund = order.refunds.iter_mut().find(|refund| refund.id == refund_id)?;
            let approved = refund.state != "requested" || refund.checker.is_some();
            if !refund.holds() || refund.succeeded() || !approved {
                return None;
            }
            refund.attempt = event["attempt"].as_i64()?;
            state_name(&event["state"])?.clone_into(&mut refund.state);
            refund.succeeded()
        }
        _ => return None,
    };
    order.restate();
    if !succeeded {
        return Some(());
    }
    let order = order.clone();
    let refund = order.refunds.iter().find(|refund| refund.id == refund_id)?;
    if refund.to_wallet {
        *books.wallets.entry(user).or_default() += refund.amount;
    }
    posting::refund(books, refund, &order);
    Some(())
}
