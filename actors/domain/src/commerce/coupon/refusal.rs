//! Why a coupon does not serve an order, or cannot be made.

use std::borrow::Cow;

use lyceum_kernel::{Class, Coded};
use serde::{Deserialize, Serialize};

use super::terms::{CODE_LENGTH_MAX, CODE_LENGTH_MIN, COURSES_MAX, USES_MAX};

/// The most coupons of one order: one of a creator, and one of the platform.
pub const COUPONS_MAX: usize = 2;

/// Why a coupon refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// There is no coupon of this id, or it is somebody else's to see.
    #[error("there is no such coupon")]
    NotFound,
    /// No coupon has this code.
    #[error("there is no such coupon")]
    Unknown,
    /// Its time has not come.
    #[error("the coupon is not valid yet")]
    NotStarted,
    /// Its time is over.
    #[error("the coupon is not valid any more")]
    Expired,
    /// Whoever issued it has taken it back.
    #[error("the coupon has been disabled")]
    Disabled,
    /// All its uses are reserved or redeemed.
    #[error("the coupon has been used up")]
    Exhausted,
    /// The buyer has used it as often as one may.
    #[error("the coupon has been used as often as one person may")]
    Used,
    /// No line of the order is within its scope, or there is nothing left to take off.
    #[error("the coupon applies to nothing in the order")]
    NotApplicable,
    /// The lines in its scope cost too little.
    #[error("what the coupon applies to costs less than it asks for")]
    BelowThreshold,
    /// It, or another of the order, serves alone.
    #[error(
        "the coupons cannot be combined: at most one of a creator and one of the platform, both stackable"
    )]
    NotStackable,
    /// The code belongs to another coupon.
    #[error("the code is taken")]
    CodeTaken,
    /// The code has another form.
    #[error(
        "a code has from {CODE_LENGTH_MIN} to {CODE_LENGTH_MAX} letters, digits, hyphens and underscores"
    )]
    CodeInvalid,
    /// What it takes off makes no sense.
    #[error(
        "a coupon takes off an amount above zero, or from 1 to 10000 basis points, and asks for no less than it takes off"
    )]
    BenefitInvalid,
    /// Its limits make no sense.
    #[error("a coupon has from 1 to {USES_MAX} uses, and no more for one person")]
    LimitInvalid,
    /// Its validity ends before it begins, or is over.
    #[error("the validity must begin before it ends, and end in the future")]
    ValidityInvalid,
    /// It names no course, or too many.
    #[error("a scope names from 1 to {COURSES_MAX} courses")]
    ScopeInvalid,
}

impl Coded for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Refusal::NotFound => "commerce.coupon_not_found",
            Refusal::Unknown => "commerce.coupon_unknown",
            Refusal::NotStarted => "commerce.coupon_not_started",
            Refusal::Expired => "commerce.coupon_expired",
            Refusal::Disabled => "commerce.coupon_disabled",
            Refusal::Exhausted => "commerce.coupon_exhausted",
            Refusal::Used => "commerce.coupon_used",
            Refusal::NotApplicable => "commerce.coupon_not_applicable",
            Refusal::BelowThreshold => "commerce.coupon_below_threshold",
            Refusal::NotStackable => "commerce.coupon_not_stackable",
            Refusal::CodeTaken => "commerce.coupon_code_taken",
            Refusal::CodeInvalid => "commerce.coupon_code_invalid",
            Refusal::BenefitInvalid => "commerce.coupon_benefit_invalid",
            Refusal::LimitInvalid => "commerce.coupon_limit_invalid",
            Refusal::ValidityInvalid => "commerce.coupon_validity_invalid",
            Refusal::ScopeInvalid => "commerce.coupon_scope_invalid",
        }
    }

    fn class(&self) -> Class {
        match self {
            Refusal::NotFound => Class::NotFound,
            Refusal::Exhausted | Refusal::Used | Refusal::CodeTaken => Class::Conflict,
            Refusal::Unknown
            | Refusal::NotStarted
            | Refusal::Expired
            | Refusal::Disabled
            | Refusal::NotApplicable
            | Refusal::BelowThreshold
            | Refusal::NotStackable
            | Refusal::CodeInvalid
            | Refusal::BenefitInvalid
            | Refusal::LimitInvalid
            | Refusal::ValidityInvalid
            | Refusal::ScopeInvalid => Class::Unprocessable,
        }
    }

    fn current_state(&self) -> Option<Cow<'static, str>> {
        match self {
            Refusal::Exhausted => Some(Cow::Borrowed("exhausted")),
            Refusal::Used => Some(Cow::Borrowed("used")),
            Refusal::CodeTaken => Some(Cow::Borrowed("taken")),
            _ => None,
        }
    }
}
