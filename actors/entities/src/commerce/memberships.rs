//! [`Membership`] bound to the runtime. It lives with its member, and a member has one of a plan: its id is made of both.
//!
//! ```text
//! POST /v1/memberships ─ Join ─▶ Memberships ─ CommerceFlow::CheckReservation, due when the order can be placed no more ─┐
//!        └──────── PlaceOrder ─▶ Buyers ─ CommerceFlow::SettleReservation ─▶ Memberships ◀──────────── asks Buyers ──────┘
//!                                   ▲                                             │ MembershipFlow::Tick, due at the end
//!                                   └──────────── MembershipFlow::Charge ◀────────┘
//! ```

use std::sync::Arc;
use std::time::Duration;

use lyceum_domain::commerce::coupon::Issuer;
use lyceum_domain::commerce::membership::{EndReason, Event, Joined, Period, Stage, Terms};
use lyceum_domain::commerce::plan::{Every, Opens};
use lyceum_domain::commerce::{Error, Membership, Method, PlaceOrder, Reservation};
use lyceum_domain::ids::{MembershipId, OrderId, PlanId, UserId};
use lyceum_kernel::{Money, Timestamp};
use lyceum_runtime::{Column, Durability, Effects, Entity, Key, Kind, Table, Value, ids, row};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::flows::{CommerceFlow, MembershipFlow};
use crate::meters::{MEMBERSHIP_PERIODS_TOTAL, MEMBERSHIPS_ENDED_TOTAL};

/// Identifies a membership, and places it with its member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MembershipKey {
    /// The membership.
    pub membership: MembershipId,
    /// Whose it is.
    pub user: UserId,
}

impl MembershipKey {
    /// The membership that somebody has of a plan, or would have: the same for ever, so that nobody has two.
    pub fn of(plan: PlanId, user: UserId) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"membership");
        hash.update(plan.as_u128().to_be_bytes());
        hash.update(user.as_u128().to_be_bytes());
        let mut bits = [0; 16];
        bits.copy_from_slice(&hash.finalize()[..16]);
        MembershipKey {
            membership: MembershipId::from_u128(u128::from_be_bytes(bits)),
            user,
        }
    }
}

impl Key for MembershipKey {
    fn id(self) -> u128 {
        self.membership.as_u128()
    }

    fn placement(self) -> u128 {
        self.user.as_u128()
    }

    fn from_parts(id: u128, placement: u128) -> Self {
        MembershipKey {
            membership: MembershipId::from_u128(id),
            user: UserId::from_u128(placement),
        }
    }
}

/// How long the orders that pay periods live; each a setting.
#[derive(Clone, Copy, Debug)]
pub struct OrderTimes {
    /// Until when one may be placed.
    pub reservation_ttl: Duration,
    /// How long it waits for its payment.
    pub order_ttl: Duration,
    /// How long it may be refunded.
    pub refund_window: Duration,
}

/// The order that pays a period: one line, whose price and share were frozen when its member joined.
pub fn period_order(
    key: MembershipKey,
    terms: &Terms,
    order_id: OrderId,
    reserved_until: Timestamp,
    times: OrderTimes,
    now: Timestamp,
) -> PlaceOrder {
    PlaceOrder {
        order_id,
        payment_id: ids::new(),
        buyer: key.user,
        lines: vec![terms.line()],
        expected_total: None,
        method: terms.method,
        payment_token: terms.token.clone(),
        expires_at: now.plus(times.order_ttl),
        refundable_until: now.plus(times.refund_window),
        reservations: vec![Reservation::Period {
            membership_id: key.membership,
        }],
        gift: None,
        reserved_until: Some(reserved_until),
    }
}

/// Binds [`Membership`] to the runtime.
pub struct Memberships {
    snapshot_every: u32,
}

impl Memberships {
    /// Memberships whose recovery reads at most `snapshot_every` decisions.
    pub fn new(snapshot_every: u32) -> Self {
        Memberships { snapshot_every }
    }
}

/// What can be asked about a membership.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MembershipQuestion {
    /// Nothing: the caller only wants the command done.
    Nothing,
    /// How far it is.
    View,
    /// What an order of it is placed with, if it still is to pay a period.
    Charge {
        /// Which order.
        order_id: OrderId,
    },
}

/// What a membership answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MembershipAnswer {
    /// To [`MembershipQuestion::Nothing`].
    Nothing,
    /// To [`MembershipQuestion::View`].
    View(Box<MembershipView>),
    /// To [`MembershipQuestion::Charge`]; `None` if nothing is left to pay by it.
    Charge(Option<Box<PeriodCharge>>),
}

/// What an order that pays a period is placed with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PeriodCharge {
    /// What was agreed.
    pub terms: Terms,
    /// Until when it may be placed.
    pub until: Timestamp,
}

/// A membership as its member sees it: without what the provider charges by.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MembershipView {
    /// The plan.
    pub plan_id: PlanId,
    /// What it was called.
    pub title: Arc<str>,
    /// What a period costs.
    pub price: Money,
    /// How long a period is.
    pub every: Every,
    /// Whose plan it is.
    pub issuer: Issuer,
    /// What may be studied.
    pub opens: Opens,
    /// Who pays.
    pub method: Method,
    /// The name of its state.
    pub state: String,
    /// Why it is over.
    pub reason: Option<EndReason>,
    /// Whether another period follows.
    pub renews: bool,
    /// When they last joined.
    pub joined_at: Timestamp,
    /// When what was paid ends.
    pub ends_at: Option<Timestamp>,
    /// Until when what it opens may be studied.
    pub access_until: Option<Timestamp>,
    /// When a pause ends by itself.
    pub paused_until: Option<Timestamp>,
    /// The order that is to pay the next period.
    pub charge: Option<OrderId>,
    /// The periods that were paid, newest first, at most a year of them.
    pub periods: Vec<Period>,
}

/// How many periods are shown.
const PERIODS_SHOWN_MAX: usize = 12;

impl MembershipView {
    fn of(joined: &Joined) -> Self {
        let terms = &joined.terms;
        let (reason, paused_until) = match joined.stage {
            Stage::Ended { reason, .. } => (Some(reason), None),
            Stage::Paused { until, .. } => (None, Some(until)),
            Stage::Pending | Stage::Active { .. } | Stage::PastDue { .. } => (None, None),
        };
        MembershipView {
            plan_id: terms.plan_id,
            title: terms.title.clone(),
            price: terms.price,
            every: terms.every,
            issuer: terms.issuer,
            opens: terms.opens.clone(),
            method: terms.method,
            state: joined.stage.name().to_owned(),
            reason,
            renews: joined.renews(),
            joined_at: joined.at,
            ends_at: joined.ends_at(),
            access_until: joined.access_until(),
            paused_until,
            charge: joined.charge.map(|charge| charge.order_id),
            periods: joined
                .periods
                .iter()
                .rev()
                .take(PERIODS_SHOWN_MAX)
                .copied()
                .collect(),
        }
    }
}

static MEMBERSHIPS: Table = Table {
    name: "memberships",
    statement: "INSERT INTO memberships (membership_id, user_id, plan_id, creator, opens, price, state, renews, access_until, due_at, \
                joined_at, updated_at) \
                SELECT membership_id, user_id, plan_id, creator, opens, price, state, renews, to_timestamp(access_ms / 1000.0), \
                to_timestamp(due_ms / 1000.0), to_timestamp(joined_ms / 1000.0), to_timestamp(updated_ms / 1000.0) \
                FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::json[], $6::bigint[], $7::text[], $8::boolean[], \
                $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[]) \
                AS m(membership_id, user_id, plan_id, creator, opens, price, state, renews, access_ms, due_ms, joined_ms, updated_ms) \
                ON CONFLICT (membership_id) DO UPDATE SET opens = excluded.opens, price = excluded.price, state = excluded.state, \
                renews = excluded.renews, access_until = excluded.access_until, due_at = excluded.due_at, \
                joined_at = excluded.joined_at, updated_at = excluded.updated_at",
    columns: &[
        Column::Uuid,
        Column::Uuid,
        Column::Uuid,
        Column::Uuid,
        Column::Json,
        Column::Int,
        Column::Text,
        Column::Bool,
        Column::Time,
        Column::Time,
        Column::Time,
        Column::Time,
    ],
    key: 1,
};

static CHARGES: Table = Table {
    name: "membership_charges",
    statement: "INSERT INTO membership_charges (order_id, membership_id, user_id, state, begins_at, ends_at, updated_at) \
                SELECT order_id, membership_id, user_id, state, to_timestamp(from_ms / 1000.0), to_timestamp(to_ms / 1000.0), \
                to_timestamp(updated_ms / 1000.0) \
                FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[]) \
                AS c(order_id, membership_id, user_id, state, from_ms, to_ms, updated_ms) \
                ON CONFLICT (order_id) DO UPDATE SET state = excluded.state, begins_at = excluded.begins_at, \
                ends_at = excluded.ends_at, updated_at = excluded.updated_at",
    columns: &[
        Column::Uuid,
        Column::Uuid,
        Column::Uuid,
        Column::Text,
        Column::Time,
        Column::Time,
        Column::Time,
    ],
    key: 1,
};

impl Entity for Memberships {
    type State = Membership;
    type Key = MembershipKey;
    type Question = MembershipQuestion;
    type Answer = MembershipAnswer;

    const KIND: Kind = Kind {
        name: "membership",
        number: 24,
    };

    fn durability(&self) -> Durability {
        Durability::Journaled {
            snapshot_every: self.snapshot_every,
        }
    }

    fn answer(
        &self,
        state: &Membership,
        question: MembershipQuestion,
        _: Timestamp,
    ) -> Result<MembershipAnswer, Error> {
        Ok(match question {
            MembershipQuestion::Nothing => MembershipAnswer::Nothing,
            MembershipQuestion::View => MembershipAnswer::View(Box::new(MembershipView::of(state.joined()?))),
            MembershipQuestion::Charge { order_id } => {
                let joined = state.joined()?;
                // Nobody pays for a period who has left meanwhile.
                let charge = joined
                    .charge
                    .filter(|charge| charge.order_id == order_id && joined.renews());
                MembershipAnswer::Charge(charge.map(|charge| {
                    Box::new(PeriodCharge {
                        terms: joined.terms.clone(),
                        until: charge.until,
                    })
                }))
            }
        })
    }

    fn effects(
        &self,
        key: MembershipKey,
        state: &Membership,
        events: &[Event],
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let Ok(joined) = state.joined() else { return };
        if events.is_empty() {
            return;
        }
        for event in events {
            match event {
                Event::Joined { order_id, until, .. } => begin(key, *order_id, *until, now, effects),
                Event::ChargeBegun { order_id, until, .. } => {
                    begin(key, *order_id, *until, now, effects);
                    let (user, membership, order) = (key.user, key.membership, *order_id);
                    let charge = MembershipFlow::Charge {
                        user,
                        membership,
                        order,
                    };
                    effects.message(now, &CommerceFlow::Membership(charge));
                }
                Event::ChargeFailed { order_id, .. } => {
                    charge_row(key, *order_id, "unpaid", None, now, effects);
                    effects.after_commit(|| MEMBERSHIP_PERIODS_TOTAL.with(["unpaid"]).increment());
                }
                Event::PeriodAdded {
                    order_id, from, to, ..
                } => {
                    charge_row(key, *order_id, "paid", Some((*from, *to)), now, effects);
                    effects.after_commit(|| MEMBERSHIP_PERIODS_TOTAL.with(["paid"]).increment());
                }
                Event::PeriodRemoved { .. } => {
                    period_rows(key, joined, now, effects);
                    effects.after_commit(|| MEMBERSHIP_PERIODS_TOTAL.with(["removed"]).increment());
                }
                // What was not had has moved.
                Event::Resumed { .. } => period_rows(key, joined, now, effects),
                Event::Ended { reason, .. } => {
                    let reason = reason.name();
                    effects.after_commit(move || MEMBERSHIPS_ENDED_TOTAL.with([reason]).increment());
                }
                Event::Cancelled { .. } | Event::Kept { .. } | Event::Paused { .. } => {}
            }
        }
        membership_row(key, joined, now, effects);
        if let Some(due) = joined.due {
            let (user, membership, step) = (key.user, key.membership, joined.steps);
            let tick = MembershipFlow::Tick {
                user,
                membership,
                step,
            };
            effects.message(due.at, &CommerceFlow::Membership(tick));
        }
    }
}

/// Notes the order that is to pay a period, and has its buyer asked about it in case it is never placed.
fn begin(key: MembershipKey, order: OrderId, until: Timestamp, now: Timestamp, effects: &mut Effects) {
    charge_row(key, order, "pending", None, now, effects);
    effects.message(
        until,
        &CommerceFlow::CheckReservation {
            user: key.user,
            order,
            reservation: Reservation::Period {
                membership_id: key.membership,
            },
            reserved_until: until,
        },
    );
}

fn charge_row(
    key: MembershipKey,
    order: OrderId,
    state: &'static str,
    period: Option<(Timestamp, Timestamp)>,
    now: Timestamp,
    effects: &mut Effects,
) {
    let (from, to) = (period.map(|(from, _)| from), period.map(|(_, to)| to));
    effects.row(
        &CHARGES,
        row![order, key.membership, key.user, state, from, to, now],
    );
}

/// Every period as it is now: a refund or a pause moves those after it.
fn period_rows(key: MembershipKey, joined: &Joined, now: Timestamp, effects: &mut Effects) {
    for period in &joined.periods {
        let state = if period.removed_at.is_some() {
            "removed"
        } else {
            "paid"
        };
        charge_row(
            key,
            period.order_id,
            state,
            Some((period.from, period.to)),
            now,
            effects,
        );
    }
}

fn membership_row(key: MembershipKey, joined: &Joined, now: Timestamp, effects: &mut Effects) {
    let terms = &joined.terms;
    let creator = match terms.issuer {
        Issuer::Creator(creator) => Some(creator),
        Issuer::Platform => None,
    };
    effects.row(
        &MEMBERSHIPS,
        row![
            key.membership,
            key.user,
            terms.plan_id,
            creator,
            Value::json(&terms.opens),
            terms.price,
            joined.stage.name(),
            joined.renews(),
            joined.access_until(),
            joined.due.map(|due| due.at),
            joined.at,
            now,
        ],
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_has_one_membership_of_a_plan_and_others_have_others() {
        let (plan, user) = (PlanId::from_u128(1), UserId::from_u128(2));

        assert_eq!(MembershipKey::of(plan, user), MembershipKey::of(plan, user));
        let others = [
            MembershipKey::of(PlanId::from_u128(2), user),
            MembershipKey::of(plan, UserId::from_u128(1)),
        ];
        for other in others {
            assert_ne!(other.membership, MembershipKey::of(plan, user).membership);
        }
    }
}
