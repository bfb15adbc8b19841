//! A team of group buying (拼团): exactly so many buyers of one course, all paid before a time, or none of them. `open → succeeded | failed`.
//!
//! ```text
//! reserve a place ─▶ the order is paid: its money is kept ─▶ paid ─┬─ the last of them: succeeded ─▶ every order is granted
//!       └ released: the order ended unpaid                         └─ the time is over: failed ────▶ every order is returned
//! ```
//!
//! A place is what an order reserves (`reservation.rs`). Its buyer says that it is paid, and keeps the money until the team says what
//! becomes of it; that is said once for each order, since a team is decided once. The clock that decides is the team's: whatever it
//! hears of at `ends_at` or later finds a failed team, be its timer late or not. Whoever is paid after that is returned.
//!
//! Invariants: there are never more places than members; a buyer has at most one; a team succeeds exactly when every place is paid
//! before the time; a place is released at most once, and never once it is paid.

use std::collections::BTreeMap;

use lyceum_kernel::{Aggregate, Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::Error;
use super::group::GroupOffer;
use super::reservation::Outcome;
use crate::ids::{CourseId, GroupId, OrderId, UserId};

mod message;
mod refusal;

#[cfg(test)]
mod conservation_test;
#[cfg(test)]
mod tests;

pub use message::{Command, Event};
pub use refusal::Refusal;

/// What was agreed when a team was opened; it never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The group price.
    pub group_id: GroupId,
    /// What is bought.
    pub course_id: CourseId,
    /// What each member pays.
    pub price: Money,
    /// How many members it has, exactly.
    pub size: u32,
    /// Until when all of them have paid.
    pub ends_at: Timestamp,
}

impl Terms {
    /// The terms of a team that is opened now.
    pub fn of(group_id: GroupId, offer: &GroupOffer, now: Timestamp) -> Self {
        Terms {
            group_id,
            course_id: offer.course_id,
            price: offer.price,
            size: offer.size,
            ends_at: now.plus(offer.lasts()),
        }
    }
}

/// One team.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Team {
    opened: Option<Box<Opened>>,
}

/// A team that exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// What was agreed.
    pub terms: Terms,
    /// When.
    pub at: Timestamp,
    /// What has been decided about it.
    decided: State,
    /// Every place that is not free, by whose it is; as many as the team has members, at most.
    places: BTreeMap<UserId, Place>,
}

/// A place that is not free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Which order has it.
    pub order_id: OrderId,
    /// How far that is.
    pub state: PlaceState,
}

/// How far the order of a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaceState {
    /// It is not paid.
    Reserved,
    /// It is paid, and has what the team has.
    Paid,
    /// It was paid when the team had failed, and is returned.
    Refused,
}

impl PlaceState {
    /// The name of the state.
    pub fn name(self) -> &'static str {
        match self {
            PlaceState::Reserved => "reserved",
            PlaceState::Paid => "paid",
            PlaceState::Refused => "refused",
        }
    }
}

/// The state of a team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits for members.
    Open,
    /// Every place was paid in time.
    Succeeded,
    /// They were not.
    Failed,
}

impl State {
    /// The name of the state.
    pub fn name(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Succeeded => "succeeded",
            State::Failed => "failed",
        }
    }
}

impl Aggregate for Team {
    type Command = Command;
    type Event = Event;
    type Error = Error;

    fn decide(&self, command: Command, now: Timestamp) -> Result<Vec<Event>, Error> {
        let team = match (&self.opened, command) {
            (
                None,
                Command::Open {
                    terms,
                    order_id,
                    user,
                    until,
                },
            ) => {
                if now >= terms.ends_at {
                    return Err(Refusal::Failed.into());
                }
                let (by, at) = (user, now);
                let place = Event::PlaceReserved {
                    order_id,
                    user,
                    until,
                    at,
                };
                return Ok(vec![Event::Opened { terms, by, at }, place]);
            }
            (None, _) => return Err(Refusal::NotFound.into()),
            (Some(team), command) => (team, command),
        };
        match team {
            // Redelivered under its id.
            (_, Command::Open { .. }) => Ok(vec![]),
            (
                team,
                Command::Reserve {
                    order_id,
                    user,
                    course_id,
                    until,
                },
            ) => {
                if team.place(user).is_some_and(|place| place.order_id == order_id) {
                    return Ok(vec![]);
                }
                team.may_reserve(user, course_id, now)?;
                Ok(vec![Event::PlaceReserved {
                    order_id,
                    user,
                    until,
                    at: now,
                }])
            }
            (
                team,
                Command::Settle {
                    order_id,
                    user,
                    outcome,
                },
            ) => team.settle(order_id, user, outcome, now),
            (team, Command::Expire) => Ok(team.failing(now).into_iter().collect()),
        }
    }

    fn apply(&mut self, event: &Event) {
        if let Event::Opened { terms, at, .. } = event {
            self.opened = Some(Box::new(Opened {
                terms: terms.clone(),
                at: *at,
                decided: State::Open,
                places: BTreeMap::new(),
            }));
        }
        let Some(team) = &mut self.opened else { return };
        match event {
            Event::Opened { .. } => {}
            Event::PlaceReserved { order_id, user, .. } => {
                team.place_is(*user, *order_id, PlaceState::Reserved);
            }
            Event::PlacePaid { order_id, user, .. } => team.place_is(*user, *order_id, PlaceState::Paid),
            Event::PlaceRefused { order_id, user, .. } => {
                team.place_is(*user, *order_id, PlaceState::Refused);
            }
            Event::PlaceReleased { user, .. } => {
                team.places.remove(user);
            }
            Event::Succeeded { .. } => team.decided = State::Succeeded,
            Event::Failed { .. } => team.decided = State::Failed,
        }
    }
}

impl Team {
    /// The team, if it exists.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub fn opened(&self) -> Result<&Opened, Error> {
        self.opened.as_deref().ok_or(Error::Team(Refusal::NotFound))
    }
}

impl Opened {
    /// The place of a buyer, if they have one.
    pub fn place(&self, user: UserId) -> Option<&Place> {
        self.places.get(&user)
    }

    /// Every place that is not free, by whose it is.
    pub fn places(&self) -> impl Iterator<Item = (UserId, &Place)> {
        self.places.iter().map(|(user, place)| (*user, place))
    }

    /// How many places are so far.
    pub fn count(&self, state: PlaceState) -> u32 {
        let places = self.places.values().filter(|place| place.state == state);
        u32::try_from(places.count()).unwrap_or(u32::MAX)
    }

    /// What has been decided about it.
    pub fn decided(&self) -> State {
        self.decided
    }

    /// The state at `now`: a team whose time is over has failed, even if its timer is late.
    pub fn state(&self, now: Timestamp) -> State {
        if self.decided == State::Open && now >= self.terms.ends_at {
            State::Failed
        } else {
            self.decided
        }
    }

    /// What becomes of an order whose place is not free: whether it is granted, once that is decided.
    pub fn verdict(&self, place: &Place) -> Option<bool> {
        match (self.decided, place.state) {
            (_, PlaceState::Refused) => Some(false),
            (_, PlaceState::Reserved) | (State::Open, PlaceState::Paid) => None,
            (State::Succeeded, PlaceState::Paid) => Some(true),
            (State::Failed, PlaceState::Paid) => Some(false),
        }
    }

    fn place_is(&mut self, user: UserId, order_id: OrderId, state: PlaceState) {
        self.places.insert(user, Place { order_id, state });
    }

    fn taken(&self) -> u32 {
        u32::try_from(self.places.len()).unwrap_or(u32::MAX)
    }

    /// The failure that is due, if it is.
    fn failing(&self, now: Timestamp) -> Option<Event> {
        let due = self.decided == State::Open && now >= self.terms.ends_at;
        due.then_some(Event::Failed { at: now })
    }

    fn may_reserve(&self, user: UserId, course_id: CourseId, now: Timestamp) -> Result<(), Refusal> {
        if course_id != self.terms.course_id {
            return Err(Refusal::OtherCourse);
        }
        // Whoever has a place hears of it whatever the state is, so that a repeated request finds its order.
        match self.place(user).map(|place| place.state) {
            Some(PlaceState::Reserved) => return Err(Refusal::PlaceReserved),
            Some(PlaceState::Paid | PlaceState::Refused) => return Err(Refusal::PlacePaid),
            None => {}
        }
        match self.state(now) {
            State::Succeeded => Err(Refusal::Succeeded),
            State::Failed => Err(Refusal::Failed),
            State::Open if self.taken() >= self.terms.size => Err(Refusal::Full),
            State::Open => Ok(()),
        }
    }

    fn settle(
        &self,
        order_id: OrderId,
        user: UserId,
        outcome: Outcome,
        at: Timestamp,
    ) -> Result<Vec<Event>, Error> {
        let place = self.place(user).filter(|place| place.order_id == order_id);
        let happened = match (place.map(|place| place.state), outcome) {
            (Some(PlaceState::Reserved), Outcome::Returned) => Event::PlaceReleased { order_id, user, at },
            (Some(PlaceState::Reserved), Outcome::Consumed) => match self.state(at) {
                State::Failed => Event::PlaceRefused { order_id, user, at },
                State::Open | State::Succeeded => Event::PlacePaid { order_id, user, at },
            },
            // Redelivered: it is paid, or came back already.
            (Some(PlaceState::Paid | PlaceState::Refused), Outcome::Consumed) | (None, Outcome::Returned) => {
                return Ok(vec![]);
            }
            // Its buyer says otherwise than before, which must be looked into.
            (Some(PlaceState::Paid | PlaceState::Refused), Outcome::Returned) => {
                return Err(Error::wrong_state("paid"));
            }
            (None, Outcome::Consumed) => return Err(Error::wrong_state("free")),
        };
        let pays = matches!(happened, Event::PlacePaid { .. });
        let mut events: Vec<Event> = self.failing(at).into_iter().chain([happened]).collect();
        if pays && self.count(PlaceState::Paid) + 1 == self.terms.size {
            events.push(Event::Succeeded { at });
        }
        Ok(events)
    }
}
