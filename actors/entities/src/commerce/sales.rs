//! [`Sale`] bound to the runtime. It is placed by its own id, so that the sales of a node are as many as its shards bear.
//!
//! ```text
//! POST /v1/orders ─ Reserve ─▶ Sales ─ CommerceFlow::CheckReservation, due when the order can be placed no more ─┐
//!        └──────── PlaceOrder ─▶ Buyers ─ CommerceFlow::SettleReservation ─▶ Sales ◀────── asks Buyers ──────────┘
//! ```

use lyceum_domain::commerce::reservation::Reservation;
use lyceum_domain::commerce::sale::{Event, Offer, Refusal, State, Terms};
use lyceum_domain::commerce::{Error, Sale};
use lyceum_domain::ids::{OrderId, SaleId, UserId};
use lyceum_kernel::{Money, Timestamp};
use lyceum_runtime::{Column, Durability, Effects, Entity, Kind, Table, row};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::flows::CommerceFlow;
use crate::operators::audit;

/// Binds [`Sale`] to the runtime.
pub struct Sales {
    snapshot_every: u32,
}

impl Sales {
    /// Sales whose recovery reads at most `snapshot_every` decisions.
    pub fn new(snapshot_every: u32) -> Self {
        Sales { snapshot_every }
    }
}

/// What can be asked about a sale.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SaleQuestion {
    /// Nothing: the caller only wants the command done.
    Nothing,
    /// What it offers, and how much is left.
    Offer,
    /// The slot that was reserved for a buyer.
    Slot {
        /// Whose.
        user: UserId,
    },
}

/// What a sale answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SaleAnswer {
    /// To [`SaleQuestion::Nothing`].
    Nothing,
    /// To [`SaleQuestion::Offer`].
    Offer(Box<SaleView>),
    /// To [`SaleQuestion::Slot`].
    Slot {
        /// At which price the slot is bought.
        price: Money,
    },
}

/// A sale without its slots, which are only counted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SaleView {
    /// What it offers.
    pub terms: Terms,
    /// Who made it.
    pub by: UserId,
    /// Slots that are sold.
    pub sold: u32,
    /// Slots that wait for what becomes of their orders.
    pub reserved: u32,
    /// Slots that can be reserved.
    pub available: u32,
    /// Its state when it was asked.
    pub state: State,
}

impl SaleView {
    fn of(offer: &Offer, now: Timestamp) -> Self {
        SaleView {
            terms: offer.terms.clone(),
            by: offer.by,
            sold: offer.sold(),
            reserved: offer.reserved(),
            available: offer.available(),
            state: offer.state(now),
        }
    }
}

static SALES: Table = Table {
    name: "sales",
    statement: "INSERT INTO sales (sale_id, course_id, created_by, price, stock, sold, reserved, starts_at, ends_at, created_at, \
                updated_at) \
                SELECT sale_id, course_id, created_by, price, stock, sold, reserved, to_timestamp(starts_ms / 1000.0), \
                to_timestamp(ends_ms / 1000.0), to_timestamp(created_ms / 1000.0), to_timestamp(updated_ms / 1000.0) \
                FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], \
                $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[]) \
                AS s(sale_id, course_id, created_by, price, stock, sold, reserved, starts_ms, ends_ms, created_ms, updated_ms) \
                ON CONFLICT (sale_id) DO UPDATE SET sold = excluded.sold, reserved = excluded.reserved, \
                updated_at = excluded.updated_at",
    columns: &[
        Column::Uuid,
        Column::Uuid,
        Column::Uuid,
        Column::Int,
        Column::Int,
        Column::Int,
        Column::Int,
        Column::Time,
        Column::Time,
        Column::Time,
        Column::Time,
    ],
    key: 1,
};

static SLOTS: Table = Table {
    name: "sale_slots",
    statement: "INSERT INTO sale_slots (sale_id, order_id, user_id, state, reserved_at, updated_at) \
                SELECT sale_id, order_id, user_id, state, to_timestamp(at_ms / 1000.0), to_timestamp(at_ms / 1000.0) \
                FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[]) \
                AS s(sale_id, order_id, user_id, state, at_ms) \
                ON CONFLICT (sale_id, order_id) DO UPDATE SET state = excluded.state, updated_at = excluded.updated_at",
    columns: &[
        Column::Uuid,
        Column::Uuid,
        Column::Uuid,
        Column::Text,
        Column::Time,
    ],
    key: 2,
};

impl Entity for Sales {
    type State = Sale;
    type Key = SaleId;
    type Question = SaleQuestion;
    type Answer = SaleAnswer;

    const KIND: Kind = Kind {
        name: "sale",
        number: 8,
    };

    fn durability(&self) -> Durability {
        Durability::Journaled {
            snapshot_every: self.snapshot_every,
        }
    }

    fn answer(&self, state: &Sale, question: SaleQuestion, now: Timestamp) -> Result<SaleAnswer, Error> {
        Ok(match question {
            SaleQuestion::Nothing => SaleAnswer::Nothing,
            SaleQuestion::Offer => SaleAnswer::Offer(Box::new(SaleView::of(state.offer()?, now))),
            SaleQuestion::Slot { user } => {
                let offer = state.offer()?;
                offer.slot(user).ok_or(Error::Sale(Refusal::SoldOut))?;
                SaleAnswer::Slot {
                    price: offer.terms.price,
                }
            }
        })
    }

    fn effects(&self, key: SaleId, state: &Sale, events: &[Event], _: Timestamp, effects: &mut Effects) {
        let Ok(offer) = state.offer() else { return };
        for event in events {
            let (order_id, user, slot, at) = match event {
                Event::Opened { at, deed, .. } => {
                    if let Some(deed) = deed {
                        let terms = &offer.terms;
                        let details =
                            json!({"course": terms.course_id, "price": terms.price, "stock": terms.stock});
                        audit::record(deed, "open_sale", key.to_string(), &details, effects);
                    }
                    sale_row(key, offer, *at, effects);
                    continue;
                }
                Event::SlotReserved {
                    order_id,
                    user,
                    until,
                    at,
                } => {
                    ask_later(key, *order_id, *user, *until, effects);
                    (*order_id, *user, "reserved", *at)
                }
                Event::SlotSold { order_id, user, at } => (*order_id, *user, "sold", *at),
                Event::SlotReleased { order_id, user, at } => (*order_id, *user, "released", *at),
            };
            sale_row(key, offer, at, effects);
            effects.row(&SLOTS, row![key, order_id, user, slot, at]);
        }
    }

    fn refusal(&self, constraint: &str) -> Option<Error> {
        match constraint {
            "sale_slots_one_per_buyer" => Some(Error::Sale(Refusal::SlotReserved)),
            "sales_stock" => Some(Error::Sale(Refusal::SoldOut)),
            _ => None,
        }
    }
}

/// Has the buyer asked what became of the order, in case it was never placed.
fn ask_later(key: SaleId, order: OrderId, user: UserId, until: Timestamp, effects: &mut Effects) {
    effects.message(
        until,
        &CommerceFlow::CheckReservation {
            user,
            order,
            reservation: Reservation::Slot { sale_id: key },
            reserved_until: until,
        },
    );
}

fn sale_row(key: SaleId, offer: &Offer, now: Timestamp, effects: &mut Effects) {
    let terms = &offer.terms;
    effects.row(
        &SALES,
        row![
            key,
            terms.course_id,
            offer.by,
            terms.price,
            terms.stock,
            offer.sold(),
            offer.reserved(),
            terms.starts_at,
            terms.ends_at,
            offer.at,
            now,
        ],
    );
}
