//! The table of interactions, and the facts a profile is rebuilt from.

use lyceum_domain::ids::{CourseId, UserId};
use lyceum_domain::recommend::{Activity, Profile, Signal, Takings};
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Database, StoreError};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use super::sink::Interaction;

/// Events read for a rebuilt profile: it keeps the newest of 24 courses.
const RECENT_EVENTS: i64 = 100;
/// Interactions read at once for a training: half a megabyte of rows.
const PAGE: i32 = 10_000;

const INSERT: &str = "INSERT INTO interactions (at, id, user_id, course_id, activity, value, weight, event_id) \
     SELECT to_timestamp(at / 1000.0), id, user_id, course_id, activity, value, weight, event_id \
     FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::real[], $7::real[], $8::bigint[]) \
     AS new (at, id, user_id, course_id, activity, value, weight, event_id) ON CONFLICT DO NOTHING";
const OLDEST: &str =
    "SELECT (extract(epoch FROM at) * 1000)::bigint FROM interactions ORDER BY at DESC OFFSET $1 LIMIT 1";
// What says too little to be learned from is most of what happens, and stays where it is. Ratings are all read: a middling one
// says little, but that an earlier one no longer holds.
const TAKINGS: &str = "SELECT user_id, course_id, (extract(epoch FROM at) * 1000)::bigint, weight FROM interactions \
     WHERE at > to_timestamp($1::bigint / 1000.0) AND (weight >= $2 OR weight < 0 OR activity = 'rate') \
     AND NOT EXISTS (SELECT FROM recommendation_opt_outs AS o WHERE o.user_id = interactions.user_id) ORDER BY user_id, at, id";
// One round trip, since whoever asks for a list after a start of Redis waits for it. Owned courses are asked for by source, as
// their two partial indexes have them; the newest events come oldest first, so that their ids are those that are remembered.
const PROFILE: &str = "SELECT (SELECT interests::text FROM accounts WHERE user_id = $1), \
     ARRAY(SELECT course_id FROM grants WHERE user_id = $1 AND source = 'order' AND revoked_at IS NULL \
           UNION SELECT course_id FROM grants WHERE user_id = $1 AND source = 'import' AND revoked_at IS NULL), \
     array_agg(course_id ORDER BY at), array_agg(activity ORDER BY at), array_agg(value ORDER BY at), \
     array_agg((extract(epoch FROM at) * 1000)::bigint ORDER BY at), array_agg(event_id ORDER BY at) \
     , EXISTS (SELECT FROM recommendation_opt_outs WHERE user_id = $1) \
     FROM (SELECT * FROM interactions WHERE user_id = $1 ORDER BY at DESC LIMIT $2) AS recent";
const PERSONAL: &str = "SELECT NOT EXISTS (SELECT FROM recommendation_opt_outs WHERE user_id = $1)";
// A training that began before may know them still: it is counted that there is somebody to forget. Done again, nothing is.
const OPT_OUT: &str = "WITH new AS (INSERT INTO recommendation_opt_outs (user_id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING 1) \
     UPDATE recommend_training SET forgotten = forgotten + 1 WHERE EXISTS (SELECT FROM new)";
const OPT_IN: &str = "DELETE FROM recommendation_opt_outs WHERE user_id = $1";
const FORGET: &str = "WITH choice AS (DELETE FROM recommendation_opt_outs WHERE user_id = $1), \
     gone AS (DELETE FROM interactions WHERE user_id = $1 RETURNING 1) \
     UPDATE recommend_training SET forgotten = forgotten + 1 WHERE EXISTS (SELECT FROM gone)";

/// Reads and writes of the recommender. Cheap to clone.
#[derive(Clone)]
pub struct RecommendRows {
    database: Database,
}

impl RecommendRows {
    /// Binds to the database.
    pub fn new(database: Database) -> Self {
        RecommendRows { database }
    }

    /// Rebuilds a profile from grants, interests and interactions.
    ///
    /// # Errors
    /// The database is away.
    pub async fn profile(&self, user: UserId) -> Result<Profile, StoreError> {
        let id = Uuid::from_u128(user.as_u128());
        let Some(row) = self.database.query_opt(PROFILE, &[&id, &RECENT_EVENTS]).await? else {
            return Ok(Profile::default());
        };

        let interests: Vec<String> = match row.get::<_, Option<&str>>(0) {
            Some(interests) => serde_json::from_str(interests).map_err(StoreError::refused)?,
            None => Vec::new(),
        };
        let owned: Vec<CourseId> = row.get::<_, Vec<Uuid>>(1).into_iter().map(course).collect();
        let mut signals = signals(&row);
        // What was bought and is not owned was refunded since.
        signals.retain(|one| one.activity != Activity::Purchase || owned.contains(&one.course));
        Ok(Profile::restore(
            !row.get::<_, bool>(7),
            &interests,
            owned,
            signals,
        ))
    }

    /// Reads what learners did, the newest `events_max` of it, learner by learner and each one's oldest first.
    ///
    /// # Errors
    /// The database is away.
    pub(super) async fn takings(
        &self,
        mut takings: Takings,
        weight_min: f32,
        events_max: u64,
    ) -> Result<Takings, StoreError> {
        let skipped = i64::try_from(events_max).unwrap_or(i64::MAX);
        let oldest = self.database.query_opt(OLDEST, &[&skipped]).await?;
        let oldest: i64 = oldest.map_or(0, |row| row.get(0));
        self.database
            .stream(TAKINGS, &[&oldest, &weight_min], PAGE, |row| {
                let (user, at): (Uuid, i64) = (row.get(0), row.get(2));
                takings.push(
                    UserId::from_u128(user.as_u128()),
                    course(row.get(1)),
                    Timestamp::from_millis(at),
                    row.get(3),
                );
            })
            .await?;
        Ok(takings)
    }

    /// Writes down whether lists may be made from what a user did and likes.
    ///
    /// # Errors
    /// The database is away.
    pub(super) async fn choose(&self, user: UserId, personal: bool) -> Result<(), StoreError> {
        let sql = if personal { OPT_IN } else { OPT_OUT };
        self.database
            .execute(sql, &[&Uuid::from_u128(user.as_u128())])
            .await?;
        Ok(())
    }

    /// Whether lists may be made from what a user did and likes.
    ///
    /// # Errors
    /// The database is away.
    pub(super) async fn personal(&self, user: UserId) -> Result<bool, StoreError> {
        let id = Uuid::from_u128(user.as_u128());
        let row = self.database.query_opt(PERSONAL, &[&id]).await?;
        Ok(row.is_none_or(|row| row.get(0)))
    }

    /// Forgets what a user did, because their account was erased.
    ///
    /// # Errors
    /// The database is away.
    pub async fn forget(&self, user: UserId) -> Result<(), StoreError> {
        self.database
            .execute(FORGET, &[&Uuid::from_u128(user.as_u128())])
            .await?;
        Ok(())
    }

    /// Writes events; writing them again changes nothing. Returns how many were new.
    pub(super) async fn insert(&self, batch: &[Interaction]) -> Result<u64, StoreError> {
        let at: Vec<i64> = batch.iter().map(|one| one.at.as_millis()).collect();
        let id: Vec<Uuid> = batch
            .iter()
            .map(|one| Uuid::from_u128(one.id.as_u128()))
            .collect();
        let user: Vec<Uuid> = batch
            .iter()
            .map(|one| Uuid::from_u128(one.user.as_u128()))
            .collect();
        let course: Vec<Uuid> = batch
            .iter()
            .map(|one| Uuid::from_u128(one.course.as_u128()))
            .collect();
        let activity: Vec<&str> = batch.iter().map(|one| name(one.activity)).collect();
        let value: Vec<f32> = batch.iter().map(|one| one.value).collect();
        let weight: Vec<f32> = batch.iter().map(|one| one.weight).collect();
        let event_id: Vec<Option<i64>> = batch.iter().map(|one| one.event_id.map(i64::from)).collect();
        self.database
            .execute(
                INSERT,
                &[&at, &id, &user, &course, &activity, &value, &weight, &event_id],
            )
            .await
    }
}

/// The signals of a profile's row; no event at all is no array.
fn signals(row: &Row) -> Vec<Signal> {
    fn column<'a, T>(row: &'a Row, at: usize) -> Vec<T>
    where
        Vec<T>: FromSql<'a>,
    {
        row.get::<_, Option<Vec<T>>>(at).unwrap_or_default()
    }
    let (courses, activities): (Vec<Uuid>, Vec<&str>) = (column(row, 2), column(row, 3));
    let (values, times): (Vec<f32>, Vec<i64>) = (column(row, 4), column(row, 5));
    let ids: Vec<Option<i64>> = column(row, 6);
    let signal = |n: usize| {
        Some(Signal {
            course: course(courses[n]),
            activity: activity(activities[n])?,
            value: values[n],
            at: Timestamp::from_millis(times[n]),
            id: ids[n].and_then(|id| u32::try_from(id).ok()),
        })
    };
    // Aggregates over the same rows are of one length.
    (0..courses.len()).filter_map(signal).collect()
}

fn course(id: Uuid) -> CourseId {
    CourseId::from_u128(id.as_u128())
}

/// The names activities are stored under.
const NAMES: [(Activity, &str); 8] = [
    (Activity::View, "view"),
    (Activity::Click, "click"),
    (Activity::Start, "start"),
    (Activity::Progress, "progress"),
    (Activity::Purchase, "purchase"),
    (Activity::Complete, "complete"),
    (Activity::Rate, "rate"),
    (Activity::Dismiss, "dismiss"),
];

fn name(activity: Activity) -> &'static str {
    NAMES
        .iter()
        .find(|(known, _)| *known == activity)
        .map_or("view", |(_, name)| name)
}

fn activity(name: &str) -> Option<Activity> {
    NAMES
        .iter()
        .find(|(_, known)| *known == name)
        .map(|(activity, _)| *activity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_activity_is_stored_under_the_name_clients_use() {
        for (known, stored) in NAMES {
            assert_eq!(serde_json::to_value(known).expect("a name"), stored);
            assert_eq!(activity(name(known)), Some(known));
        }
    }
}
