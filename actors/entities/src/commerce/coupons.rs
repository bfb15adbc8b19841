//! [`Coupon`] bound to the runtime. It is placed by its own id and found by its code, which the table keeps unique.
//!
//! ```text
//! POST /v1/orders ─ coupons (by code) ─ Reserve ─▶ Coupons ─ CommerceFlow::CheckReservation, due when the order can be placed no more ─┐
//!        └───────────────────────── PlaceOrder ─▶ Buyers ─ CommerceFlow::SettleReservation ─▶ Coupons ◀────── asks Buyers ─────────────┘
//! ```

use lyceum_domain::commerce::coupon::{Claim, Discount, Event, Issued, Issuer, Item, Refusal, Terms};
use lyceum_domain::commerce::{Coupon, Error, Reservation};
use lyceum_domain::ids::{CouponId, OrderId, UserId};
use lyceum_kernel::{Money, Timestamp};
use lyceum_runtime::{Column, Durability, Effects, Entity, Kind, Table, Value, row};
use serde::{Deserialize, Serialize};

use super::flows::CommerceFlow;
use crate::meters::COUPON_USES_TOTAL;

/// Binds [`Coupon`] to the runtime.
pub struct Coupons {
    snapshot_every: u32,
}

impl Coupons {
    /// Coupons whose recovery reads at most `snapshot_every` decisions.
    pub fn new(snapshot_every: u32) -> Self {
        Coupons { snapshot_every }
    }
}

/// What can be asked about a coupon.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CouponQuestion {
    /// Nothing: the caller only wants the command done.
    Nothing,
    /// What it promises, and how far it is used.
    View,
    /// What it would take off an order.
    Offer {
        /// Whose.
        user: UserId,
        /// What is bought, at what is left to pay of it.
        items: Vec<Item>,
        /// Whether the order has another coupon.
        stacked: bool,
    },
    /// What the use of an order takes off it.
    Claim {
        /// Which order.
        order_id: OrderId,
    },
}

/// What a coupon answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CouponAnswer {
    /// To [`CouponQuestion::Nothing`].
    Nothing,
    /// To [`CouponQuestion::View`].
    View(Box<CouponView>),
    /// To [`CouponQuestion::Offer`] and [`CouponQuestion::Claim`]: what is taken off which course.
    Discounts(Vec<Discount>),
}

/// A coupon without its uses, which are only counted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CouponView {
    /// What it promises.
    pub terms: Terms,
    /// When it was issued.
    pub at: Timestamp,
    /// Uses that wait for what becomes of their orders.
    pub reserved: u32,
    /// Uses that are spent.
    pub redeemed: u32,
    /// The name of its state when it was asked.
    pub state: String,
}

impl CouponView {
    fn of(issued: &Issued, now: Timestamp) -> Self {
        CouponView {
            terms: issued.terms.clone(),
            at: issued.at,
            reserved: issued.uses() - issued.redeemed,
            redeemed: issued.redeemed,
            state: issued.state(now).to_owned(),
        }
    }
}

static COUPONS: Table = Table {
    name: "coupons",
    statement: "INSERT INTO coupons (coupon_id, code, creator, issued_by, terms, uses_max, per_user, reserved, redeemed, starts_at, \
                ends_at, issued_at, disabled_at, updated_at) \
                SELECT coupon_id, code, creator, issued_by, terms, uses_max, per_user, reserved, redeemed, \
                to_timestamp(starts_ms / 1000.0), to_timestamp(ends_ms / 1000.0), to_timestamp(issued_ms / 1000.0), \
                to_timestamp(disabled_ms / 1000.0), to_timestamp(updated_ms / 1000.0) \
                FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::json[], $6::bigint[], $7::bigint[], $8::bigint[], \
                $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[]) \
                AS c(coupon_id, code, creator, issued_by, terms, uses_max, per_user, reserved, redeemed, starts_ms, ends_ms, \
                issued_ms, disabled_ms, updated_ms) \
                ON CONFLICT (coupon_id) DO UPDATE SET reserved = excluded.reserved, redeemed = excluded.redeemed, \
                disabled_at = excluded.disabled_at, updated_at = excluded.updated_at",
    columns: &[
        Column::Uuid,
        Column::Text,
        Column::Uuid,
        Column::Uuid,
        Column::Json,
        Column::Int,
        Column::Int,
        Column::Int,
        Column::Int,
        Column::Time,
        Column::Time,
        Column::Time,
        Column::Time,
        Column::Time,
    ],
    key: 1,
};

static USES: Table = Table {
    name: "coupon_uses",
    statement: "INSERT INTO coupon_uses (coupon_id, order_id, user_id, state, off, reserved_at, updated_at) \
                SELECT coupon_id, order_id, user_id, state, off, to_timestamp(at_ms / 1000.0), to_timestamp(at_ms / 1000.0) \
                FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::bigint[]) \
                AS u(coupon_id, order_id, user_id, state, off, at_ms) \
                ON CONFLICT (coupon_id, order_id) DO UPDATE SET state = excluded.state, updated_at = excluded.updated_at",
    columns: &[
        Column::Uuid,
        Column::Uuid,
        Column::Uuid,
        Column::Text,
        Column::Int,
        Column::Time,
    ],
    key: 2,
};

impl Entity for Coupons {
    type State = Coupon;
    type Key = CouponId;
    type Question = CouponQuestion;
    type Answer = CouponAnswer;

    const KIND: Kind = Kind {
        name: "coupon",
        number: 23,
    };

    fn durability(&self) -> Durability {
        Durability::Journaled {
            snapshot_every: self.snapshot_every,
        }
    }

    fn answer(
        &self,
        state: &Coupon,
        question: CouponQuestion,
        now: Timestamp,
    ) -> Result<CouponAnswer, Error> {
        Ok(match question {
            CouponQuestion::Nothing => CouponAnswer::Nothing,
            CouponQuestion::View => CouponAnswer::View(Box::new(CouponView::of(state.issued()?, now))),
            CouponQuestion::Offer { user, items, stacked } => {
                CouponAnswer::Discounts(state.issued()?.offer(user, &items, stacked, now)?)
            }
            CouponQuestion::Claim { order_id } => {
                let claim = state.issued()?.reserved.get(&order_id);
                let Claim { discounts, .. } = claim.ok_or(Error::ReservationExpired)?;
                CouponAnswer::Discounts(discounts.clone())
            }
        })
    }

    fn effects(
        &self,
        key: CouponId,
        state: &Coupon,
        events: &[Event],
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let Ok(issued) = state.issued() else { return };
        for event in events {
            let (order, user, off, to) = match event {
                Event::Issued { .. } | Event::Disabled { .. } => continue,
                Event::Reserved {
                    order_id,
                    user,
                    off,
                    until,
                    ..
                } => {
                    ask_later(key, *order_id, *user, *until, effects);
                    (*order_id, *user, *off, "reserved")
                }
                Event::Redeemed {
                    order_id, user, off, ..
                } => (*order_id, *user, *off, "redeemed"),
                Event::Released {
                    order_id, user, off, ..
                } => (*order_id, *user, *off, "released"),
            };
            use_row(key, (order, user, off), to, now, effects);
        }
        if !events.is_empty() {
            coupon_row(key, issued, now, effects);
        }
    }

    fn refusal(&self, constraint: &str) -> Option<Error> {
        match constraint {
            "coupons_code" => Some(Refusal::CodeTaken.into()),
            "coupons_limit" => Some(Refusal::Exhausted.into()),
            _ => None,
        }
    }
}

/// Has the buyer asked what became of the order, in case it was never placed.
fn ask_later(key: CouponId, order: OrderId, user: UserId, until: Timestamp, effects: &mut Effects) {
    effects.message(
        until,
        &CommerceFlow::CheckReservation {
            user,
            order,
            reservation: Reservation::Coupon { coupon_id: key },
            reserved_until: until,
        },
    );
}

fn use_row(
    key: CouponId,
    (order, user, off): (OrderId, UserId, Money),
    state: &'static str,
    now: Timestamp,
    effects: &mut Effects,
) {
    effects.row(&USES, row![key, order, user, state, off, now]);
    effects.after_commit(move || COUPON_USES_TOTAL.with([state]).increment());
}

fn coupon_row(key: CouponId, issued: &Issued, now: Timestamp, effects: &mut Effects) {
    let terms = &issued.terms;
    let creator = match terms.issuer {
        Issuer::Creator(creator) => Some(creator),
        Issuer::Platform => None,
    };
    effects.row(
        &COUPONS,
        row![
            key,
            terms.code.to_string(),
            creator,
            issued.by,
            Value::json(terms),
            terms.limit,
            terms.per_user,
            issued.uses() - issued.redeemed,
            issued.redeemed,
            terms.starts_at,
            terms.ends_at,
            issued.at,
            issued.disabled_at,
            now,
        ],
    );
}
