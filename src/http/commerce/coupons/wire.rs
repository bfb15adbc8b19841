//! What coupons look like on the wire.

use lyceum_domain::commerce::coupon::{Benefit, COURSES_MAX, Code, Issuer, Scope, USES_MAX};
use lyceum_domain::ids::{CouponId, CourseId, UserId};
use lyceum_entities::commerce::{CouponRow, CouponView};
use lyceum_kernel::{Money, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::shapes;

/// What a coupon promises.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CouponRequest {
    /// What people type, without regard to case: letters, digits, hyphens and underscores.
    #[schema(min_length = 4, max_length = 32, example = "SPRING-2026")]
    pub(super) code: String,
    pub(super) benefit: BenefitBody,
    /// Left out: every course of whoever issues it.
    pub(super) scope: Option<ScopeBody>,
    /// How many orders it serves.
    #[schema(minimum = 1, maximum = 100_000, example = 500)]
    pub(super) limit: u32,
    /// How many of them may be of one buyer.
    #[serde(default = "once")]
    #[schema(minimum = 1, maximum = 100_000, example = 1)]
    pub(super) per_user: u32,
    /// Whether it serves beside another coupon: one of a creator beside one of the platform.
    #[serde(default)]
    pub(super) stackable: bool,
    /// From when on.
    #[schema(value_type = String, format = DateTime)]
    pub(super) starts_at: Timestamp,
    /// Until when an order may be placed with it; later than the start, and in the future.
    #[schema(value_type = String, format = DateTime)]
    pub(super) ends_at: Timestamp,
}

fn once() -> u32 {
    1
}

/// What a coupon takes off, never more than the lines cost that it applies to.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::http) enum BenefitBody {
    /// An amount.
    Fixed(FixedBody),
    /// A part.
    Percent(PercentBody),
    /// An amount from a sum on.
    Threshold(ThresholdBody),
}

/// An amount.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct FixedBody {
    #[schema(value_type = shapes::Money)]
    off: Money,
}

/// A part of what the lines cost, rounded down.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PercentBody {
    /// The part in basis points: 1000 is 10 %.
    #[schema(minimum = 1, maximum = 10_000, example = 1_000)]
    off_bps: u16,
    /// The most that it takes off.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Money>)]
    at_most: Option<Money>,
}

/// An amount from a sum on.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ThresholdBody {
    /// What the lines must cost together.
    #[schema(value_type = shapes::Money)]
    at_least: Money,
    /// No more than that.
    #[schema(value_type = shapes::Money)]
    off: Money,
}

/// Which courses a coupon applies to.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::http) enum ScopeBody {
    /// Those of a category, by its slug.
    Category(String),
    /// From 1 to 100 courses.
    #[schema(value_type = Vec<shapes::CourseId>)]
    Courses(Vec<CourseId>),
}

/// A coupon.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct CouponBody {
    #[schema(value_type = String, example = "cpn_01h455vb4pex5vsknk084sn02q")]
    id: CouponId,
    #[schema(value_type = String)]
    code: Code,
    /// Whose courses it serves; left out if it is the platform's, for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    creator: Option<UserId>,
    benefit: BenefitBody,
    /// Left out: every course of whoever issued it.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<ScopeBody>,
    limit: u32,
    per_user: u32,
    stackable: bool,
    /// `available`, `exhausted` (a use whose order is not paid may come back), `not_started`, `expired` or `disabled`.
    state: String,
    /// Uses in orders that are not paid yet.
    reserved: u32,
    /// Uses in orders that are.
    redeemed: u32,
    #[schema(value_type = String, format = DateTime)]
    starts_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    ends_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    issued_at: Timestamp,
}

impl From<BenefitBody> for Benefit {
    fn from(body: BenefitBody) -> Self {
        match body {
            BenefitBody::Fixed(FixedBody { off }) => Benefit::Fixed { off },
            BenefitBody::Percent(PercentBody { off_bps, at_most }) => Benefit::Percent { off_bps, at_most },
            BenefitBody::Threshold(ThresholdBody { at_least, off }) => Benefit::Threshold { at_least, off },
        }
    }
}

impl From<Benefit> for BenefitBody {
    fn from(benefit: Benefit) -> Self {
        match benefit {
            Benefit::Fixed { off } => BenefitBody::Fixed(FixedBody { off }),
            Benefit::Percent { off_bps, at_most } => BenefitBody::Percent(PercentBody { off_bps, at_most }),
            Benefit::Threshold { at_least, off } => BenefitBody::Threshold(ThresholdBody { at_least, off }),
        }
    }
}

impl CouponBody {
    pub(super) fn of(id: CouponId, view: CouponView) -> Self {
        let terms = view.terms;
        let creator = match terms.issuer {
            Issuer::Creator(creator) => Some(creator),
            Issuer::Platform => None,
        };
        let scope = match terms.scope {
            Scope::All => None,
            Scope::Category(slug) => Some(ScopeBody::Category(slug.to_string())),
            Scope::Courses(courses) => Some(ScopeBody::Courses(courses.into_iter().collect())),
        };
        CouponBody {
            id,
            code: terms.code,
            creator,
            benefit: terms.benefit.into(),
            scope,
            limit: terms.limit,
            per_user: terms.per_user,
            stackable: terms.stackable,
            state: view.state,
            reserved: view.reserved,
            redeemed: view.redeemed,
            starts_at: terms.starts_at,
            ends_at: terms.ends_at,
            issued_at: view.at,
        }
    }

    pub(super) fn listed(row: CouponRow, now: Timestamp) -> Self {
        let state = row.terms.state(row.disabled_at, row.reserved + row.redeemed, now);
        let view = CouponView {
            at: row.issued_at,
            reserved: row.reserved,
            redeemed: row.redeemed,
            state: state.to_owned(),
            terms: row.terms,
        };
        CouponBody::of(row.id, view)
    }
}

const _: () = assert!(
    USES_MAX == 100_000 && COURSES_MAX == 100,
    "the description of a coupon says so"
);
