//! What an order brings: access to its buyer, or to whoever redeems it as a gift, or a period of a membership.

use super::{Order, Placement};
use crate::commerce::refund::{Part, Refund, RefundState};
use crate::commerce::reservation::Reservation;
use crate::ids::{CourseId, MembershipId};

impl Placement {
    /// The membership that it pays a period of.
    pub fn membership(&self) -> Option<MembershipId> {
        self.reservations
            .iter()
            .find_map(|reservation| match reservation {
                Reservation::Period { membership_id } => Some(*membership_id),
                Reservation::Slot { .. } | Reservation::Coupon { .. } | Reservation::Place { .. } => None,
            })
    }

    /// Whether its buyer may study its lines once it is paid: what a gift or a period of a membership brings is had otherwise.
    pub fn brings_access(&self) -> bool {
        self.gift.is_none() && self.membership().is_none()
    }
}

impl Order {
    /// Whether it brings its buyer a course: a gift brings it to somebody else, and a membership for as long as it lasts.
    pub fn brings(&self, course_id: CourseId) -> bool {
        let mut lines = self.placement.lines.iter();
        self.placement.brings_access() && lines.any(|line| line.course_id == course_id)
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
