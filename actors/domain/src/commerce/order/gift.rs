//! What an order brings, to its buyer or, as a gift, to whoever redeems it.

use super::Order;
use crate::commerce::refund::{Part, Refund, RefundState};
use crate::ids::CourseId;

impl Order {
    /// Whether it brings its buyer a course: a gift brings it to somebody else.
    pub fn brings(&self, course_id: CourseId) -> bool {
        let mut lines = self.placement.lines.iter();
        self.placement.gift.is_none() && lines.any(|line| line.course_id == course_id)
    }

    /// What whoever redeems it gets, if it is a gift: its courses that are not returned, at their versions.
    pub fn gives(&self) -> Vec<(CourseId, u32)> {
        let lines = self.placement.lines.iter();
        lines
            .filter(|line| self.placement.gift.is_some() && !self.is_returned(line))
            .map(|line| (line.course_id, line.course_version))
            .collect()
    }

    /// Whether something of what it gives has gone back: it would be had for less than it cost.
    pub fn gives_what_is_partly_returned(&self) -> bool {
        let mut lines = self.placement.lines.iter();
        lines.any(|line| {
            let of_line = |part: &&Part| part.course_id == line.course_id && !part.amount.is_zero();
            !self.is_returned(line) && self.returns().any(|part| of_line(&part))
        })
    }

    /// Whether money is on its way back, or may be once an operator has decided.
    pub fn is_being_refunded(&self) -> bool {
        let unsettled = |refund: &Refund| refund.state.holds() && refund.state != RefundState::Succeeded;
        self.refunds.iter().any(unsettled)
    }
}
