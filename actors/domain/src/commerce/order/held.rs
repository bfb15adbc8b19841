//! An order of a team: paid like any other, and kept until the team is decided. Then it is granted, or its money goes back.

use lyceum_kernel::Timestamp;

use super::{Order, PlaceOrder, Placement, Stage};
use crate::commerce::reservation::Reservation;
use crate::commerce::{Error, team};
use crate::ids::TeamId;

impl Placement {
    /// The team that it has a place in, and by when that is decided.
    pub fn team(&self) -> Option<(TeamId, Timestamp)> {
        place_of(&self.reservations)
    }

    /// Whether its money is kept until a team is decided. What costs nothing waits for nobody.
    pub fn waits_for_team(&self) -> bool {
        self.team().is_some() && !self.total.is_zero()
    }
}

impl Order {
    /// Whether what it reserved is used: its access was granted, or it is a member of its team.
    pub(in crate::commerce) fn has_consumed(&self) -> bool {
        self.was_fulfilled() || self.held_at.is_some()
    }

    /// Whether its payment is under way or being closed.
    pub(in crate::commerce) fn awaits_payment(&self) -> bool {
        matches!(self.stage, Stage::AwaitingPayment { .. } | Stage::Closing { .. })
    }

    /// Whether its money is neither on its way back nor returned by now, as a whole.
    pub(in crate::commerce) fn keeps_money(&self) -> bool {
        matches!(self.stage, Stage::Held { .. } | Stage::Fulfilled)
    }

    /// Keeps its money from now on.
    pub(in crate::commerce) fn hold(&mut self, at: Timestamp) {
        let until = self.placement.team().map_or(at, |(_, ends_at)| ends_at);
        self.held_at = Some(at);
        self.enter(Stage::Held { until }, &[], at);
    }
}

/// Refuses an order of a team that is of something else as well: what becomes of it is decided as a whole, and by one.
///
/// # Errors
/// [`team::Refusal::NotAlone`].
pub(in crate::commerce) fn alone(place: &PlaceOrder) -> Result<(), Error> {
    let in_team = place_of(&place.reservations).is_some();
    if in_team && (place.lines.len() > 1 || place.reservations.len() > 1 || place.gift.is_some()) {
        return Err(team::Refusal::NotAlone.into());
    }
    Ok(())
}

fn place_of(reservations: &[Reservation]) -> Option<(TeamId, Timestamp)> {
    reservations.iter().find_map(|reservation| match reservation {
        Reservation::Place { team_id, ends_at } => Some((*team_id, *ends_at)),
        Reservation::Slot { .. } | Reservation::Coupon { .. } | Reservation::Period { .. } => None,
    })
}
