//! [`Team`] bound to the runtime. It is placed by its own id, as a sale is.
//!
//! ```text
//! POST /v1/orders ─ Open | Reserve ─▶ Teams ─ CheckReservation, due when the order can be placed no more ─▶ asks Buyers
//!        └──────── PlaceOrder ─▶ Buyers ─ paid: SettleReservation ─▶ Teams ─ decided: Conclude, for each order ─▶ Buyers
//!                                                 ExpireTeam, due at the end ─▶ Teams
//! ```
//!
//! Whoever settles a place hears what has been decided about its order, and tells the buyer again: so a lost `Conclude` is made good.

use lyceum_domain::commerce::reservation::Reservation;
use lyceum_domain::commerce::team::{Event, Opened, PlaceState, Refusal, State, Terms};
use lyceum_domain::commerce::{Error, Team};
use lyceum_domain::ids::{OrderId, TeamId, UserId};
use lyceum_kernel::{Money, Timestamp};
use lyceum_runtime::{Column, Durability, Effects, Entity, Kind, Table, row};
use serde::{Deserialize, Serialize};

use super::flows::CommerceFlow;
use crate::meters::{TEAM_PLACES_TOTAL, TEAMS_TOTAL};

/// Binds [`Team`] to the runtime.
pub struct Teams {
    snapshot_every: u32,
}

impl Teams {
    /// Teams whose recovery reads at most `snapshot_every` decisions.
    pub fn new(snapshot_every: u32) -> Self {
        Teams { snapshot_every }
    }
}

/// What can be asked about a team.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TeamQuestion {
    /// What it buys, and how far it is.
    View,
    /// The place that was reserved for a buyer.
    Place {
        /// Whose.
        user: UserId,
    },
    /// What becomes of an order.
    Verdict {
        /// Whose.
        user: UserId,
        /// Which.
        order_id: OrderId,
    },
}

/// What a team answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TeamAnswer {
    /// To [`TeamQuestion::View`].
    View(Box<TeamView>),
    /// To [`TeamQuestion::Place`].
    Place {
        /// At which price the place is bought.
        price: Money,
        /// Until when it is paid, or never.
        ends_at: Timestamp,
    },
    /// To [`TeamQuestion::Verdict`]: whether the order is granted, once that is decided.
    Verdict(Option<bool>),
}

/// A team without its members, who are only counted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TeamView {
    /// What it buys.
    pub terms: Terms,
    /// When it was opened.
    pub at: Timestamp,
    /// Places whose orders are paid.
    pub paid: u32,
    /// Places whose orders are not paid yet.
    pub reserved: u32,
    /// Its state when it was asked.
    pub state: State,
    /// Whether that is decided, and not merely due.
    pub decided: bool,
}

impl TeamView {
    fn of(team: &Opened, now: Timestamp) -> Self {
        TeamView {
            terms: team.terms.clone(),
            at: team.at,
            paid: team.count(PlaceState::Paid),
            reserved: team.count(PlaceState::Reserved),
            state: team.state(now),
            decided: team.decided() != State::Open,
        }
    }
}

static TEAMS: Table = Table {
    name: "teams",
    statement: "INSERT INTO teams (team_id, group_id, course_id, price, size, paid, reserved, state, ends_at, opened_at, updated_at) \
                SELECT team_id, group_id, course_id, price, size, paid, reserved, state, to_timestamp(ends_ms / 1000.0), \
                to_timestamp(opened_ms / 1000.0), to_timestamp(updated_ms / 1000.0) \
                FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], \
                $8::text[], $9::bigint[], $10::bigint[], $11::bigint[]) \
                AS t(team_id, group_id, course_id, price, size, paid, reserved, state, ends_ms, opened_ms, updated_ms) \
                ON CONFLICT (team_id) DO UPDATE SET paid = excluded.paid, reserved = excluded.reserved, state = excluded.state, \
                updated_at = excluded.updated_at",
    columns: &[
        Column::Uuid,
        Column::Uuid,
        Column::Uuid,
        Column::Int,
        Column::Int,
        Column::Int,
        Column::Int,
        Column::Text,
        Column::Time,
        Column::Time,
        Column::Time,
    ],
    key: 1,
};

static PLACES: Table = Table {
    name: "team_places",
    statement: "INSERT INTO team_places (team_id, order_id, user_id, state, reserved_at, updated_at) \
                SELECT team_id, order_id, user_id, state, to_timestamp(at_ms / 1000.0), to_timestamp(at_ms / 1000.0) \
                FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[]) \
                AS p(team_id, order_id, user_id, state, at_ms) \
                ON CONFLICT (team_id, order_id) DO UPDATE SET state = excluded.state, updated_at = excluded.updated_at",
    columns: &[
        Column::Uuid,
        Column::Uuid,
        Column::Uuid,
        Column::Text,
        Column::Time,
    ],
    key: 2,
};

impl Entity for Teams {
    type State = Team;
    type Key = TeamId;
    type Question = TeamQuestion;
    type Answer = TeamAnswer;

    const KIND: Kind = Kind {
        name: "team",
        number: 26,
    };

    fn durability(&self) -> Durability {
        Durability::Journaled {
            snapshot_every: self.snapshot_every,
        }
    }

    fn answer(&self, state: &Team, question: TeamQuestion, now: Timestamp) -> Result<TeamAnswer, Error> {
        Ok(match question {
            TeamQuestion::View => TeamAnswer::View(Box::new(TeamView::of(state.opened()?, now))),
            TeamQuestion::Place { user } => {
                let team = state.opened()?;
                team.place(user).ok_or(Error::Team(Refusal::Full))?;
                TeamAnswer::Place {
                    price: team.terms.price,
                    ends_at: team.terms.ends_at,
                }
            }
            TeamQuestion::Verdict { user, order_id } => {
                let team = state.opened()?;
                let place = team.place(user).filter(|place| place.order_id == order_id);
                TeamAnswer::Verdict(place.and_then(|place| team.verdict(place)))
            }
        })
    }

    fn effects(&self, key: TeamId, state: &Team, events: &[Event], now: Timestamp, effects: &mut Effects) {
        let Ok(team) = state.opened() else { return };
        for event in events {
            let (order_id, user, place, at) = match event {
                Event::Opened { terms, .. } => {
                    effects.message(terms.ends_at, &CommerceFlow::ExpireTeam { team: key });
                    count_team("opened", effects);
                    continue;
                }
                Event::PlaceReserved {
                    order_id,
                    user,
                    until,
                    at,
                } => {
                    ask_later(key, team, (*order_id, *user), *until, effects);
                    (*order_id, *user, PlaceState::Reserved.name(), *at)
                }
                Event::PlacePaid { order_id, user, at } => (*order_id, *user, PlaceState::Paid.name(), *at),
                Event::PlaceRefused { order_id, user, at } => {
                    conclude(*user, *order_id, false, now, effects);
                    (*order_id, *user, PlaceState::Refused.name(), *at)
                }
                Event::PlaceReleased { order_id, user, at } => (*order_id, *user, "released", *at),
                Event::Succeeded { .. } => {
                    conclude_all(team, true, now, effects);
                    count_team("succeeded", effects);
                    continue;
                }
                Event::Failed { .. } => {
                    conclude_all(team, false, now, effects);
                    count_team("failed", effects);
                    continue;
                }
            };
            effects.after_commit(move || TEAM_PLACES_TOTAL.with([place]).increment());
            effects.row(&PLACES, row![key, order_id, user, place, at]);
        }
        if !events.is_empty() {
            team_row(key, team, now, effects);
        }
    }

    fn refusal(&self, constraint: &str) -> Option<Error> {
        match constraint {
            "team_places_one_per_buyer" => Some(Error::Team(Refusal::PlaceReserved)),
            "teams_size" => Some(Error::Team(Refusal::Full)),
            _ => None,
        }
    }
}

fn count_team(state: &'static str, effects: &mut Effects) {
    effects.after_commit(move || TEAMS_TOTAL.with([state]).increment());
}

/// Tells the buyer of each paid place what becomes of its order.
fn conclude_all(team: &Opened, granted: bool, now: Timestamp, effects: &mut Effects) {
    for (user, place) in team.places() {
        // One that was paid too late hears of it by its own event.
        if place.state == PlaceState::Paid {
            conclude(user, place.order_id, granted, now, effects);
        }
    }
}

fn conclude(user: UserId, order: OrderId, granted: bool, now: Timestamp, effects: &mut Effects) {
    effects.message(now, &CommerceFlow::ConcludeOrder { user, order, granted });
}

/// Has the buyer asked what became of the order, in case it was never placed.
fn ask_later(
    key: TeamId,
    team: &Opened,
    (order, user): (OrderId, UserId),
    until: Timestamp,
    effects: &mut Effects,
) {
    effects.message(
        until,
        &CommerceFlow::CheckReservation {
            user,
            order,
            reservation: Reservation::Place {
                team_id: key,
                ends_at: team.terms.ends_at,
            },
            reserved_until: until,
        },
    );
}

fn team_row(key: TeamId, team: &Opened, now: Timestamp, effects: &mut Effects) {
    let terms = &team.terms;
    effects.row(
        &TEAMS,
        row![
            key,
            terms.group_id,
            terms.course_id,
            terms.price,
            terms.size,
            team.count(PlaceState::Paid),
            team.count(PlaceState::Reserved),
            team.decided().name(),
            terms.ends_at,
            team.at,
            now,
        ],
    );
}
