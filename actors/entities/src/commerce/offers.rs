//! What commerce asks the database about its offers: whose a code is, and which bundles, group prices and coupons there are.
//!
//! An entity is found by its id; what people type is found here.

use std::sync::Arc;

use lyceum_domain::commerce::SETTLEMENT_CURRENCY;
use lyceum_domain::commerce::coupon::{Code, Issuer, Terms};
use lyceum_domain::commerce::group::GroupOffer;
use lyceum_domain::ids::{BatchId, BundleId, CodeId, CouponId, CourseId, GroupId, OrderId, UserId};
use lyceum_kernel::{Money, Timestamp};
use lyceum_runtime::StoreError;
use tokio_postgres::Row;
use uuid::Uuid;

use super::queries::{CommerceQueries, uuid};

/// What a redeem code belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundCode {
    /// A batch of an operator.
    Batch {
        /// Which.
        batch: BatchId,
        /// The number of the code in it.
        number: u16,
    },
    /// An order that was placed as a gift.
    Gift {
        /// Who gives.
        giver: UserId,
        /// Which order.
        order: OrderId,
    },
}

/// A bundle as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleRow {
    /// Its id.
    pub id: BundleId,
    /// Whose courses they are.
    pub creator: UserId,
    /// What it is called.
    pub title: Arc<str>,
    /// The courses.
    pub course_ids: Vec<CourseId>,
    /// What they cost together.
    pub price: Money,
    /// `offered` or `withdrawn`.
    pub state: String,
}

/// A group price as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRow {
    /// Its id.
    pub id: GroupId,
    /// What it offers.
    pub offer: GroupOffer,
    /// `offered` or `withdrawn`.
    pub state: String,
}

/// The coupon of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundCoupon {
    /// Its id.
    pub id: CouponId,
    /// Who issued it.
    pub issuer: Issuer,
}

/// A coupon as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CouponRow {
    /// Its id.
    pub id: CouponId,
    /// What it promises.
    pub terms: Terms,
    /// Uses that wait for what becomes of their orders.
    pub reserved: u32,
    /// Uses that are spent.
    pub redeemed: u32,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// Since when it serves no further order.
    pub disabled_at: Option<Timestamp>,
}

const BUNDLES: &str = "SELECT bundle_id, creator, title, course_ids, price, state FROM bundles \
    WHERE bundle_id < $1 AND state = 'offered' AND ($2::uuid IS NULL OR creator = $2) ORDER BY bundle_id DESC LIMIT $3";

impl CommerceQueries {
    /// Finds what a redeem code belongs to, by its hash.
    ///
    /// # Errors
    /// The store is away.
    pub async fn code_of(&self, code: CodeId) -> Result<Option<FoundCode>, StoreError> {
        const SQL: &str = "SELECT batch_id, number, giver, order_id FROM redeem_codes WHERE code_id = $1";
        let row = self.database.query_opt(SQL, &[&uuid(code.as_u128())]).await?;
        let Some(row) = row else { return Ok(None) };
        let bits = |column| row.get::<_, Option<Uuid>>(column).map(|id| id.as_u128());
        Ok(match (bits(0), bits(2), bits(3)) {
            (Some(batch), _, _) => u16::try_from(row.get::<_, i64>(1))
                .ok()
                .map(|number| FoundCode::Batch {
                    batch: BatchId::from_u128(batch),
                    number,
                }),
            (None, Some(giver), Some(order)) => Some(FoundCode::Gift {
                giver: UserId::from_u128(giver),
                order: OrderId::from_u128(order),
            }),
            // The table has no such row.
            (None, _, _) => None,
        })
    }

    /// A page of the bundles that are offered, newest first, before the id `before`; of one creator if they are given.
    ///
    /// # Errors
    /// The store is away.
    pub async fn bundles(
        &self,
        creator: Option<UserId>,
        before: Option<BundleId>,
        limit: u16,
    ) -> Result<Vec<BundleRow>, StoreError> {
        let before = uuid(before.map_or(u128::MAX, BundleId::as_u128));
        let creator = creator.map(|creator| uuid(creator.as_u128()));
        let rows = self
            .database
            .query(BUNDLES, &[&before, &creator, &i64::from(limit)])
            .await?;
        rows.iter().map(bundle).collect()
    }
}

impl CommerceQueries {
    /// Finds a coupon by its code.
    ///
    /// # Errors
    /// The store is away.
    pub async fn coupon_of(&self, code: &Code) -> Result<Option<FoundCoupon>, StoreError> {
        const SQL: &str = "SELECT coupon_id, creator FROM coupons WHERE code = $1";
        let row = self.database.query_opt(SQL, &[&code.as_str()]).await?;
        let Some(row) = row else { return Ok(None) };
        let creator: Option<Uuid> = row.try_get(1).map_err(StoreError::refused)?;
        let issuer = creator.map_or(Issuer::Platform, |creator| {
            Issuer::Creator(UserId::from_u128(creator.as_u128()))
        });
        let id: Uuid = row.try_get(0).map_err(StoreError::refused)?;
        let id = CouponId::from_u128(id.as_u128());
        Ok(Some(FoundCoupon { id, issuer }))
    }

    /// A page of the coupons that a creator or the platform has issued, newest first, before the id `before`.
    ///
    /// # Errors
    /// The store is away.
    pub async fn coupons(
        &self,
        issuer: Issuer,
        before: Option<CouponId>,
        limit: u16,
    ) -> Result<Vec<CouponRow>, StoreError> {
        // Two statements, because an index serves `IS NULL` and `=` and no comparison that means either.
        const OF_CREATOR: &str = "SELECT coupon_id, terms::text, reserved, redeemed, \
            round(extract(epoch FROM issued_at) * 1000)::bigint, round(extract(epoch FROM disabled_at) * 1000)::bigint \
            FROM coupons WHERE creator = $3 AND coupon_id < $1 ORDER BY coupon_id DESC LIMIT $2";
        const OF_PLATFORM: &str = "SELECT coupon_id, terms::text, reserved, redeemed, \
            round(extract(epoch FROM issued_at) * 1000)::bigint, round(extract(epoch FROM disabled_at) * 1000)::bigint \
            FROM coupons WHERE creator IS NULL AND coupon_id < $1 ORDER BY coupon_id DESC LIMIT $2";
        let before = uuid(before.map_or(u128::MAX, CouponId::as_u128));
        let limit = i64::from(limit);
        let rows = match issuer {
            Issuer::Creator(creator) => {
                let creator = uuid(creator.as_u128());
                self.database
                    .query(OF_CREATOR, &[&before, &limit, &creator])
                    .await?
            }
            Issuer::Platform => self.database.query(OF_PLATFORM, &[&before, &limit]).await?,
        };
        rows.iter().map(coupon).collect()
    }
}

fn coupon(row: &Row) -> Result<CouponRow, StoreError> {
    let terms: String = row.try_get(1).map_err(StoreError::refused)?;
    let count = |column: usize| -> Result<u32, StoreError> {
        let count: i64 = row.try_get(column).map_err(StoreError::refused)?;
        u32::try_from(count).map_err(StoreError::refused)
    };
    let time = Timestamp::from_millis;
    let id: Uuid = row.try_get(0).map_err(StoreError::refused)?;
    let disabled: Option<i64> = row.try_get(5).map_err(StoreError::refused)?;
    Ok(CouponRow {
        id: CouponId::from_u128(id.as_u128()),
        terms: serde_json::from_str(&terms).map_err(StoreError::refused)?,
        reserved: count(2)?,
        redeemed: count(3)?,
        issued_at: time(row.try_get(4).map_err(StoreError::refused)?),
        disabled_at: disabled.map(time),
    })
}

fn bundle(row: &Row) -> Result<BundleRow, StoreError> {
    let courses: Vec<Uuid> = row.try_get(3).map_err(StoreError::refused)?;
    let price: i64 = row.try_get(4).map_err(StoreError::refused)?;
    Ok(BundleRow {
        id: BundleId::from_u128(row.get::<_, Uuid>(0).as_u128()),
        creator: UserId::from_u128(row.get::<_, Uuid>(1).as_u128()),
        title: row.get::<_, String>(2).into(),
        course_ids: courses
            .into_iter()
            .map(|course| CourseId::from_u128(course.as_u128()))
            .collect(),
        price: Money::new(price, SETTLEMENT_CURRENCY).map_err(StoreError::refused)?,
        state: row.get(5),
    })
}

impl CommerceQueries {
    /// A page of the group prices that are offered, newest first, before the id `before`; of one course if it is given.
    ///
    /// # Errors
    /// The store is away.
    pub async fn group_offers(
        &self,
        course: Option<CourseId>,
        before: Option<GroupId>,
        limit: u16,
    ) -> Result<Vec<GroupRow>, StoreError> {
        const SQL: &str = "SELECT group_id, course_id, creator, price, size, lasts_s, state FROM group_offers \
            WHERE group_id < $1 AND state = 'offered' AND ($2::uuid IS NULL OR course_id = $2) ORDER BY group_id DESC LIMIT $3";
        let before = uuid(before.map_or(u128::MAX, GroupId::as_u128));
        let course = course.map(|course| uuid(course.as_u128()));
        let rows = self
            .database
            .query(SQL, &[&before, &course, &i64::from(limit)])
            .await?;
        rows.iter().map(group).collect()
    }
}

fn group(row: &Row) -> Result<GroupRow, StoreError> {
    let id = |column| row.try_get::<_, Uuid>(column).map(|id| id.as_u128());
    let number = |column: usize| -> Result<u32, StoreError> {
        let number: i64 = row.try_get(column).map_err(StoreError::refused)?;
        u32::try_from(number).map_err(StoreError::refused)
    };
    let price: i64 = row.try_get(3).map_err(StoreError::refused)?;
    Ok(GroupRow {
        id: GroupId::from_u128(id(0).map_err(StoreError::refused)?),
        offer: GroupOffer {
            course_id: CourseId::from_u128(id(1).map_err(StoreError::refused)?),
            creator: UserId::from_u128(id(2).map_err(StoreError::refused)?),
            price: Money::new(price, SETTLEMENT_CURRENCY).map_err(StoreError::refused)?,
            size: number(4)?,
            lasts_s: number(5)?,
        },
        state: row.try_get(6).map_err(StoreError::refused)?,
    })
}
