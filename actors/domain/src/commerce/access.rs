//! Access: which courses a buyer may study, and where each right comes from.
//!
//! A grant is unique by (source, source id, course). Access is any unexpired, unrevoked grant, so revoking what
//! order A brought never touches what order B or an import brought.

use std::collections::BTreeMap;

use lyceum_kernel::{Id, IdKind, Prefix, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ids::{CodeId, CourseId, OrderId};

/// The kind of [`ImportId`].
pub enum ImportKind {}

impl IdKind for ImportKind {
    const PREFIX: Prefix = "imp";
}

/// One record of a data import.
pub type ImportId = Id<ImportKind>;

/// Where a grant comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A line of an order.
    Order(OrderId),
    /// A record that was imported: access without money.
    Import(ImportId),
    /// A redeem code: somebody else's money, or none.
    Code(CodeId),
}

impl Source {
    /// The name of the kind of source.
    pub fn name(self) -> &'static str {
        match self {
            Source::Order(_) => "order",
            Source::Import(_) => "import",
            Source::Code(_) => "code",
        }
    }

    /// The 128 bits of the source's id.
    pub fn id(self) -> u128 {
        match self {
            Source::Order(id) => id.as_u128(),
            Source::Import(id) => id.as_u128(),
            Source::Code(id) => id.as_u128(),
        }
    }
}

/// The right to study one course.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Where it comes from.
    pub source: Source,
    /// The version of the course that was current then.
    pub course_version: u32,
    /// When it began.
    pub granted_at: Timestamp,
    /// When it ends by itself, if ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

impl Grant {
    /// Whether the grant gives access at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

/// All grants of one buyer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access(BTreeMap<CourseId, Vec<Grant>>);

impl Access {
    /// The grant by which a course may be studied at `now`.
    pub fn live(&self, course_id: CourseId, now: Timestamp) -> Option<&Grant> {
        self.0.get(&course_id)?.iter().find(|grant| grant.is_live(now))
    }

    /// Whether a source has brought this course before, revoked or not.
    pub fn knows(&self, course_id: CourseId, source: Source) -> bool {
        self.0
            .get(&course_id)
            .is_some_and(|grants| grants.iter().any(|grant| grant.source == source))
    }

    /// The courses that may be studied at `now`, from the first one after `after`, by id.
    pub fn courses(
        &self,
        after: Option<CourseId>,
        now: Timestamp,
    ) -> impl Iterator<Item = (CourseId, &Grant)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.0
            .range((from, Unbounded))
            .filter_map(move |(course_id, grants)| {
                grants
                    .iter()
                    .find(|grant| grant.is_live(now))
                    .map(|grant| (*course_id, grant))
            })
    }

    pub(super) fn grant(&mut self, course_id: CourseId, grant: Grant) {
        self.0.entry(course_id).or_default().push(grant);
    }

    pub(super) fn revoke(&mut self, course_id: CourseId, source: Source, at: Timestamp) {
        for grant in self.0.get_mut(&course_id).into_iter().flatten() {
            if grant.source == source && grant.revoked_at.is_none() {
                grant.revoked_at = Some(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COURSE: CourseId = CourseId::from_u128(7);

    fn grant(order: u128, expires_at: Option<i64>) -> Grant {
        Grant {
            source: Source::Order(OrderId::from_u128(order)),
            course_version: 1,
            granted_at: Timestamp::EPOCH,
            expires_at: expires_at.map(Timestamp::from_millis),
            revoked_at: None,
        }
    }

    #[test]
    fn revoking_one_source_leaves_the_access_of_another() {
        let mut access = Access::default();
        access.grant(COURSE, grant(1, None));
        access.grant(COURSE, grant(2, None));

        access.revoke(COURSE, grant(1, None).source, Timestamp::EPOCH);

        assert_eq!(access.live(COURSE, Timestamp::EPOCH), Some(&grant(2, None)));

        access.revoke(COURSE, grant(2, None).source, Timestamp::EPOCH);

        assert_eq!(access.live(COURSE, Timestamp::EPOCH), None);
        assert!(access.knows(COURSE, grant(1, None).source));
    }

    #[test]
    fn an_expired_grant_gives_no_access() {
        let mut access = Access::default();
        access.grant(COURSE, grant(1, Some(1_000)));

        assert!(access.live(COURSE, Timestamp::from_millis(999)).is_some());
        assert!(access.live(COURSE, Timestamp::from_millis(1_000)).is_none());
        assert_eq!(access.courses(None, Timestamp::from_millis(1_000)).count(), 0);
    }
}
