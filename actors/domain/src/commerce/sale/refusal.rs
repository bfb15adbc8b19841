//! Why a sale gives no slot, or cannot be made.

use std::borrow::Cow;

use lyceum_kernel::{Class, Coded};
use serde::{Deserialize, Serialize};

use super::STOCK_MAX;

/// Why a sale refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// There is no such sale.
    #[error("there is no such sale")]
    NotFound,
    /// It sells something else.
    #[error("the sale is of another course")]
    OtherCourse,
    /// Its time has not come.
    #[error("the sale has not started")]
    NotStarted,
    /// Its time is over.
    #[error("the sale is over")]
    Ended,
    /// Every slot is sold or reserved.
    #[error("every slot of the sale is taken")]
    SoldOut,
    /// The buyer has a slot whose order is not paid yet, or was just given up.
    #[error("the buyer has a slot of the sale whose order is not settled")]
    SlotReserved,
    /// The buyer has bought in this sale.
    #[error("the buyer has bought in this sale")]
    SlotSold,
    /// It has no slot, or too many.
    #[error("a sale has from 1 to {STOCK_MAX} slots")]
    StockInvalid,
    /// It sells for no less than the course costs anyway.
    #[error("a sale must be below the list price of the course")]
    PriceInvalid,
    /// It ends before it starts, or is over.
    #[error("a sale must start before it ends, and end in the future")]
    TimeInvalid,
}

impl Coded for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Refusal::NotFound => "commerce.sale_not_found",
            Refusal::OtherCourse => "commerce.sale_of_another_course",
            Refusal::NotStarted => "commerce.sale_not_started",
            Refusal::Ended => "commerce.sale_ended",
            Refusal::SoldOut => "commerce.sale_sold_out",
            Refusal::SlotReserved => "commerce.sale_slot_reserved",
            Refusal::SlotSold => "commerce.sale_slot_sold",
            Refusal::StockInvalid => "commerce.sale_stock_invalid",
            Refusal::PriceInvalid => "commerce.sale_price_invalid",
            Refusal::TimeInvalid => "commerce.sale_time_invalid",
        }
    }

    fn class(&self) -> Class {
        match self {
            Refusal::NotFound => Class::NotFound,
            Refusal::NotStarted
            | Refusal::Ended
            | Refusal::SoldOut
            | Refusal::SlotReserved
            | Refusal::SlotSold => Class::Conflict,
            Refusal::OtherCourse | Refusal::StockInvalid | Refusal::PriceInvalid | Refusal::TimeInvalid => {
                Class::Unprocessable
            }
        }
    }

    fn current_state(&self) -> Option<Cow<'static, str>> {
        let state = match self {
            Refusal::NotStarted => "scheduled",
            Refusal::Ended => "ended",
            Refusal::SoldOut => "sold_out",
            Refusal::SlotReserved => "reserved",
            Refusal::SlotSold => "sold",
            Refusal::NotFound
            | Refusal::OtherCourse
            | Refusal::StockInvalid
            | Refusal::PriceInvalid
            | Refusal::TimeInvalid => return None,
        };
        Some(Cow::Borrowed(state))
    }
}
