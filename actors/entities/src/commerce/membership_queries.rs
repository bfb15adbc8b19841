//! What commerce asks the database about memberships: which plans there are, which memberships somebody has, and whether one of
//! them opens a course. Rows commit with the decisions they follow from, so they are as current as the entities.

use lyceum_domain::commerce::coupon::Issuer;
use lyceum_domain::commerce::plan::{Opens, PlanOffer};
use lyceum_domain::ids::{CourseId, MembershipId, PlanId, UserId};
use lyceum_kernel::Timestamp;
use lyceum_runtime::StoreError;
use tokio_postgres::Row;
use uuid::Uuid;

use super::queries::{CommerceQueries, uuid};

/// A plan as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanRow {
    /// Its id.
    pub id: PlanId,
    /// What it offers.
    pub offer: PlanOffer,
    /// `offered` or `withdrawn`.
    pub state: String,
}

/// Live memberships of one person that are looked at for access: nobody has as many.
const LIVE_MAX: i64 = 100;

impl CommerceQueries {
    /// A page of the plans that are offered, newest first, before the id `before`; of one creator if they are given.
    ///
    /// # Errors
    /// The store is away.
    pub async fn plans(
        &self,
        creator: Option<UserId>,
        before: Option<PlanId>,
        limit: u16,
    ) -> Result<Vec<PlanRow>, StoreError> {
        const SQL: &str = "SELECT plan_id, offer::text, state FROM membership_plans \
            WHERE plan_id < $1 AND state = 'offered' AND ($2::uuid IS NULL OR creator = $2) ORDER BY plan_id DESC LIMIT $3";
        let before = uuid(before.map_or(u128::MAX, PlanId::as_u128));
        let creator = creator.map(|creator| uuid(creator.as_u128()));
        let rows = self
            .database
            .query(SQL, &[&before, &creator, &i64::from(limit)])
            .await?;
        rows.iter().map(plan).collect()
    }

    /// A page of the memberships that somebody has or has had, by id, after the id `after`.
    ///
    /// # Errors
    /// The store is away.
    pub async fn memberships(
        &self,
        user: UserId,
        after: Option<MembershipId>,
        limit: u16,
    ) -> Result<Vec<MembershipId>, StoreError> {
        const SQL: &str = "SELECT membership_id FROM memberships WHERE user_id = $1 AND ($2::uuid IS NULL OR membership_id > $2) \
            ORDER BY membership_id LIMIT $3";
        let after = after.map(|after| uuid(after.as_u128()));
        let user = uuid(user.as_u128());
        let rows = self
            .database
            .query(SQL, &[&user, &after, &i64::from(limit)])
            .await?;
        let id = |row: &Row| MembershipId::from_u128(row.get::<_, Uuid>(0).as_u128());
        Ok(rows.iter().map(id).collect())
    }

    /// Whose a membership is.
    ///
    /// # Errors
    /// The store is away.
    pub async fn member(&self, membership: MembershipId) -> Result<Option<UserId>, StoreError> {
        const SQL: &str = "SELECT user_id FROM memberships WHERE membership_id = $1";
        let id = uuid(membership.as_u128());
        let row = self.database.query_opt(SQL, &[&id]).await?;
        Ok(row.map(|row| UserId::from_u128(row.get::<_, Uuid>(0).as_u128())))
    }

    /// Whether a membership of somebody opens a course at `now`.
    ///
    /// # Errors
    /// The store is away.
    pub async fn is_opened(
        &self,
        user: UserId,
        course_id: CourseId,
        creator: UserId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT opens::text, creator FROM memberships \
            WHERE user_id = $1 AND access_until > to_timestamp($2::bigint / 1000.0) ORDER BY membership_id LIMIT $3";
        let user = uuid(user.as_u128());
        let rows = self
            .database
            .query(SQL, &[&user, &now.as_millis(), &LIVE_MAX])
            .await?;
        for row in &rows {
            let opens: Opens = serde_json::from_str(row.try_get(0)?).map_err(StoreError::refused)?;
            let issuer = row.try_get::<_, Option<Uuid>>(1)?;
            let issuer = issuer.map_or(Issuer::Platform, |creator| {
                Issuer::Creator(UserId::from_u128(creator.as_u128()))
            });
            if opens.covers(issuer, course_id, creator) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn plan(row: &Row) -> Result<PlanRow, StoreError> {
    Ok(PlanRow {
        id: PlanId::from_u128(row.try_get::<_, Uuid>(0)?.as_u128()),
        offer: serde_json::from_str(row.try_get(1)?).map_err(StoreError::refused)?,
        state: row.try_get(2)?,
    })
}
