//! The tables of the catalog beside the queries that read them.

use lyceum_domain::catalog::{Content, Lesson, Record, Stage};
use lyceum_domain::ids::{CourseId, LessonId, UserId};
use lyceum_kernel::{Currency, Money, Timestamp};
use lyceum_runtime::{Column, Database, Effects, StoreError, Table, row};
use serde::Serialize;
use tokio_postgres::{IsolationLevel, Row};

use super::render;

/// Every course as its creator sees it.
pub(super) static COURSES: Table = Table {
    name: "courses",
    statement: "INSERT INTO courses (course_id, creator_id, state, revision, version, working, title, price, currency, \
                scheduled_at, published_at, created_at, updated_at) \
                SELECT course_id, creator_id, state, revision, version, working, title, price, currency, \
                to_timestamp(scheduled_ms / 1000.0), to_timestamp(published_ms / 1000.0), \
                to_timestamp(updated_ms / 1000.0), to_timestamp(updated_ms / 1000.0) \
                FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::boolean[], \
                $7::text[], $8::bigint[], $9::text[], $10::bigint[], $11::bigint[], $12::bigint[]) \
                AS c(course_id, creator_id, state, revision, version, working, title, price, currency, \
                scheduled_ms, published_ms, updated_ms) \
                ON CONFLICT (course_id) DO UPDATE SET state = excluded.state, revision = excluded.revision, \
                version = excluded.version, working = excluded.working, title = excluded.title, \
                price = excluded.price, currency = excluded.currency, scheduled_at = excluded.scheduled_at, \
                published_at = excluded.published_at, updated_at = excluded.updated_at",
    columns: &[
        Column::Uuid,
        Column::Uuid,
        Column::Text,
        Column::Int,
        Column::Int,
        Column::Bool,
        Column::Text,
        Column::Int,
        Column::Text,
        Column::Time,
        Column::Time,
        Column::Time,
    ],
    key: 1,
};

/// What buyers saw and see of a course, for good.
pub(super) static VERSIONS: Table = Table {
    name: "course_versions",
    statement: "INSERT INTO course_versions (course_id, version, title, subtitle, language, level, category, tags, \
                price, currency, detail, lessons, live_at) \
                SELECT course_id, version, title, subtitle, language, level, category, tags::json, price, currency, \
                detail::json, lessons::jsonb, to_timestamp(live_ms / 1000.0) \
                FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], \
                $8::json[], $9::bigint[], $10::text[], $11::json[], $12::json[], $13::bigint[]) \
                AS v(course_id, version, title, subtitle, language, level, category, tags, price, currency, detail, \
                lessons, live_ms)",
    columns: &[
        Column::Uuid,
        Column::Int,
        Column::Text,
        Column::Text,
        Column::Text,
        Column::Text,
        Column::Text,
        Column::Json,
        Column::Int,
        Column::Text,
        Column::Json,
        Column::Json,
        Column::Time,
    ],
    key: 0,
};

macro_rules! select_live {
    ($condition:literal) => {
        concat!(
            "SELECT c.course_id, c.creator_id, c.state, c.revision, c.version, v.title, v.subtitle, v.language, \
             v.level, v.category, v.tags::text, v.price, v.currency, \
             (extract(epoch FROM c.published_at) * 1000)::bigint, v.detail::text \
             FROM courses c JOIN course_versions v USING (course_id, version)",
            $condition
        )
    };
}

/// A course that was published at least once, as every node's snapshot needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveCourse {
    /// The course.
    pub id: CourseId,
    /// Whose course it is.
    pub creator: UserId,
    /// The state's name.
    pub state: String,
    /// How many events the course has seen.
    pub revision: u64,
    /// The live version.
    pub version: u32,
    /// Its title.
    pub title: String,
    /// The line below it.
    pub subtitle: Option<String>,
    /// Its language.
    pub language: String,
    /// The name of its level.
    pub level: String,
    /// The category.
    pub category: Option<String>,
    /// The topics.
    pub tags: Vec<String>,
    /// What it costs.
    pub price: Money,
    /// When the course was first published.
    pub published_at: Timestamp,
    /// The ready-made part of the public answer, a JSON object.
    pub detail: String,
}

impl LiveCourse {
    /// The course as buyers see it, if it was ever published.
    pub fn of(id: CourseId, course: &Record) -> Option<Self> {
        let (version, Content { details, outline }) = course.live()?;
        let text = |text: &dyn ToString| text.to_string();
        Some(LiveCourse {
            id,
            creator: course.creator,
            state: course.stage.name().to_owned(),
            revision: course.revision,
            version,
            title: details.title.as_ref()?.to_string(),
            subtitle: details.subtitle.as_ref().map(|it| text(it)),
            language: details.language.as_str().to_owned(),
            level: details.level.name().to_owned(),
            category: details.category.as_ref().map(|it| it.as_str().to_owned()),
            tags: details.tags.as_slice().iter().map(ToString::to_string).collect(),
            price: details.price?.money(),
            published_at: course.published_at?,
            detail: render::detail(details.description.as_ref(), outline),
        })
    }

    fn read(row: &Row) -> Result<Self, StoreError> {
        let uuid = |index| row.try_get::<_, uuid::Uuid>(index).map(|id| id.as_u128());
        let tags: String = row.try_get(10)?;
        let currency: String = row.try_get(12)?;
        Ok(LiveCourse {
            id: CourseId::from_u128(uuid(0)?),
            creator: UserId::from_u128(uuid(1)?),
            state: row.try_get(2)?,
            revision: unsigned(row.try_get(3)?)?,
            version: unsigned(row.try_get(4)?)?,
            title: row.try_get(5)?,
            subtitle: row.try_get(6)?,
            language: row.try_get(7)?,
            level: row.try_get(8)?,
            category: row.try_get(9)?,
            tags: serde_json::from_str(&tags).map_err(StoreError::refused)?,
            price: money(row.try_get(11)?, &currency)?,
            published_at: Timestamp::from_millis(row.try_get(13)?),
            detail: row.try_get(14)?,
        })
    }
}

/// Collects the rows of one decision.
pub(super) fn collect(id: CourseId, course: &Record, publishes: bool, now: Timestamp, effects: &mut Effects) {
    let details = &course.newest.details;
    let price = details.price.map(lyceum_domain::catalog::Price::money);
    let scheduled_at = match course.stage {
        Stage::Scheduled { at } => Some(at),
        _ => None,
    };
    effects.row(
        &COURSES,
        row![
            id,
            course.creator,
            course.stage.name(),
            i64::try_from(course.revision).unwrap_or(i64::MAX),
            course.live_version(),
            course.has_working_version(),
            details.title.as_ref().map(ToString::to_string),
            price,
            price.map(|price| price.currency().code()),
            scheduled_at,
            course.published_at,
            now,
        ],
    );
    if !publishes {
        return;
    }
    let (Some(live), Some((_, content))) = (LiveCourse::of(id, course), course.live()) else {
        return;
    };
    effects.row(
        &VERSIONS,
        row![
            id,
            live.version,
            live.title,
            live.subtitle,
            live.language,
            details.level.name(),
            live.category,
            lyceum_runtime::Value::json(&live.tags),
            live.price,
            live.price.currency().code(),
            live.detail,
            lyceum_runtime::Value::json(&lessons(content)),
            now,
        ],
    );
}

fn lessons(content: &Content) -> std::collections::BTreeMap<LessonId, &Lesson> {
    content
        .outline
        .lessons()
        .map(|lesson| (lesson.id, lesson))
        .collect()
}

/// Sum and number of the ratings of some courses, or of all: of every learner the last one.
const RATINGS: &str = "SELECT course_id, sum(round(value))::bigint, count(*) FROM (\
    SELECT DISTINCT ON (course_id, user_id) course_id, value FROM interactions \
    WHERE activity = 'rate' AND ($1::uuid[] IS NULL OR course_id = ANY ($1)) \
    ORDER BY course_id, user_id, at DESC) AS last GROUP BY course_id";

/// What the tables say about how popular courses are.
pub(crate) struct Counted {
    /// How many people have access to each course.
    pub(crate) students: Vec<(CourseId, u64)>,
    /// Sum and number of each course's ratings.
    pub(crate) ratings: Vec<(CourseId, u64, u64)>,
    /// The last bulletin of each node that had been written by then.
    pub(crate) bulletins: Vec<(uuid::Uuid, i64)>,
}

/// One line of a creator's own list.
#[derive(Clone, Debug, Serialize)]
pub struct AuthoredCourse {
    /// The course.
    pub id: CourseId,
    /// Its state.
    pub state: String,
    /// Its newest title.
    pub title: Option<String>,
    /// Its newest price.
    pub price: Option<Money>,
    /// The live version, 0 before the first publication.
    pub version: u32,
    /// Whether something was changed since the last publication.
    pub has_working_version: bool,
    /// How many events the course has seen.
    pub revision: u64,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Reads the tables of the catalog.
#[derive(Clone)]
pub struct CatalogQueries {
    database: Database,
}

impl CatalogQueries {
    /// Reads from this database.
    pub fn new(database: Database) -> Self {
        CatalogQueries { database }
    }

    /// Every course that was ever published.
    ///
    /// # Errors
    /// The store is away.
    pub async fn live_courses(&self) -> Result<Vec<LiveCourse>, StoreError> {
        let rows = self.database.query(select_live!(""), &[]).await?;
        rows.iter().map(LiveCourse::read).collect()
    }

    /// Those of the given courses that were ever published.
    ///
    /// # Errors
    /// The store is away.
    pub async fn live_courses_of(&self, ids: &[CourseId]) -> Result<Vec<LiveCourse>, StoreError> {
        let ids: Vec<_> = ids.iter().map(|id| uuid::Uuid::from_u128(id.as_u128())).collect();
        let rows = self
            .database
            .query(select_live!(" WHERE c.course_id = ANY($1)"), &[&ids])
            .await?;
        rows.iter().map(LiveCourse::read).collect()
    }

    /// The revisions of those of the given courses that were ever published.
    pub(super) async fn revisions(&self, ids: &[CourseId]) -> Result<Vec<(CourseId, u64)>, StoreError> {
        let ids: Vec<_> = ids.iter().map(|id| uuid::Uuid::from_u128(id.as_u128())).collect();
        let sql = "SELECT course_id, revision FROM courses WHERE course_id = ANY($1) AND version > 0";
        let rows = self.database.query(sql, &[&ids]).await?;
        rows.iter()
            .map(|row| Ok((course(row)?, unsigned(row.try_get(1)?)?)))
            .collect()
    }

    /// The names of everybody who has published something; `None` for who is gone.
    pub(super) async fn creator_names(&self) -> Result<Vec<(UserId, Option<String>)>, StoreError> {
        let sql = "SELECT user_id, display_name FROM accounts \
                   WHERE user_id IN (SELECT creator_id FROM courses WHERE version > 0)";
        self.database.query(sql, &[]).await?.iter().map(name).collect()
    }

    /// The names of the given users; `None` for who is gone.
    pub(super) async fn names_of(
        &self,
        users: &[UserId],
    ) -> Result<Vec<(UserId, Option<String>)>, StoreError> {
        let ids: Vec<_> = users
            .iter()
            .map(|id| uuid::Uuid::from_u128(id.as_u128()))
            .collect();
        let sql = "SELECT u.user_id, a.display_name FROM unnest($1::uuid[]) AS u(user_id) \
                   LEFT JOIN accounts a USING (user_id)";
        self.database
            .query(sql, &[&ids])
            .await?
            .iter()
            .map(name)
            .collect()
    }

    /// The lesson's newest published content, no older than the version the reader owns.
    ///
    /// So owners read corrections, and keep what a later version left out.
    ///
    /// # Errors
    /// The store is away.
    pub async fn lesson(
        &self,
        course: CourseId,
        lesson: LessonId,
        owned_version: u32,
    ) -> Result<Option<Lesson>, StoreError> {
        let row = self
            .database
            .query_opt(
                "SELECT (lessons -> $2::text)::text FROM course_versions \
                 WHERE course_id = $1 AND version >= $3 AND lessons ? $2::text ORDER BY version DESC LIMIT 1",
                &[
                    &uuid::Uuid::from_u128(course.as_u128()),
                    &lesson.to_string(),
                    &i64::from(owned_version),
                ],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let text: String = row.try_get(0)?;
        serde_json::from_str(&text).map(Some).map_err(StoreError::refused)
    }

    /// Whether somebody still has access to a course.
    ///
    /// Reads all grants: it is asked once in a course's life, which is worth no index on the hottest table.
    ///
    /// # Errors
    /// The store is away.
    pub async fn has_grants(&self, course: CourseId) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT FROM grants WHERE course_id = $1 AND revoked_at IS NULL)";
        let row = self
            .database
            .query_opt(sql, &[&uuid::Uuid::from_u128(course.as_u128())])
            .await?;
        row.map_or(Ok(true), |row| Ok(row.try_get(0)?))
    }

    /// Students and ratings of every course, and the bulletins that are in them.
    pub(crate) async fn count(&self) -> Result<Counted, StoreError> {
        // Those that have lost their last student are among them.
        const STUDENTS: &str = "SELECT course_id, count(DISTINCT user_id) FILTER (WHERE revoked_at IS NULL) \
            FROM grants GROUP BY course_id";
        const BULLETINS: &str = "SELECT incarnation, max(number) FROM bulletins GROUP BY incarnation";
        let mut client = self.database.client().await?;
        // One snapshot for all: a bulletin is either in the counts or still to be added to them.
        let transaction = client
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .await?;
        let bulletins = transaction.query(BULLETINS, &[]).await?;
        let students = transaction.query(STUDENTS, &[]).await?;
        let every: Option<Vec<uuid::Uuid>> = None;
        let ratings = transaction.query(RATINGS, &[&every]).await?;
        transaction.commit().await?;
        Ok(Counted {
            students: students
                .iter()
                .map(|row| Ok((course(row)?, unsigned(row.try_get(1)?)?)))
                .collect::<Result<_, StoreError>>()?,
            ratings: ratings.iter().map(rating).collect::<Result<_, _>>()?,
            bulletins: bulletins.iter().map(|row| (row.get(0), row.get(1))).collect(),
        })
    }

    /// Sum and number of these courses' ratings.
    pub(crate) async fn ratings_of(&self, ids: &[CourseId]) -> Result<Vec<(CourseId, u64, u64)>, StoreError> {
        let ids: Vec<_> = ids.iter().map(|id| uuid::Uuid::from_u128(id.as_u128())).collect();
        let rows = self.database.query(RATINGS, &[&Some(ids)]).await?;
        rows.iter().map(rating).collect()
    }

    /// A creator's own courses, newest first, after the course `after`.
    ///
    /// # Errors
    /// The store is away.
    pub async fn authored(
        &self,
        creator: UserId,
        after: Option<CourseId>,
        limit: u16,
    ) -> Result<Vec<AuthoredCourse>, StoreError> {
        let rows = self
            .database
            .query(
                "SELECT course_id, state, title, price, currency, version, working, revision, \
                 (extract(epoch FROM updated_at) * 1000)::bigint FROM courses \
                 WHERE creator_id = $1 AND ($2::uuid IS NULL OR (created_at, course_id) < \
                 (SELECT created_at, course_id FROM courses WHERE course_id = $2)) \
                 ORDER BY created_at DESC, course_id DESC LIMIT $3",
                &[
                    &uuid::Uuid::from_u128(creator.as_u128()),
                    &after.map(|after| uuid::Uuid::from_u128(after.as_u128())),
                    &i64::from(limit),
                ],
            )
            .await?;
        rows.iter().map(authored).collect()
    }
}

fn course(row: &Row) -> Result<CourseId, StoreError> {
    let id: uuid::Uuid = row.try_get(0)?;
    Ok(CourseId::from_u128(id.as_u128()))
}

fn rating(row: &Row) -> Result<(CourseId, u64, u64), StoreError> {
    Ok((
        course(row)?,
        unsigned(row.try_get(1)?)?,
        unsigned(row.try_get(2)?)?,
    ))
}

fn name(row: &Row) -> Result<(UserId, Option<String>), StoreError> {
    let id: uuid::Uuid = row.try_get(0)?;
    Ok((UserId::from_u128(id.as_u128()), row.try_get(1)?))
}

fn authored(row: &Row) -> Result<AuthoredCourse, StoreError> {
    let price = match (
        row.try_get::<_, Option<i64>>(3)?,
        row.try_get::<_, Option<String>>(4)?,
    ) {
        (Some(amount), Some(currency)) => Some(money(amount, &currency)?),
        _ => None,
    };
    Ok(AuthoredCourse {
        id: CourseId::from_u128(row.try_get::<_, uuid::Uuid>(0)?.as_u128()),
        state: row.try_get(1)?,
        title: row.try_get(2)?,
        price,
        version: unsigned(row.try_get(5)?)?,
        has_working_version: row.try_get(6)?,
        revision: unsigned(row.try_get(7)?)?,
        updated_at: Timestamp::from_millis(row.try_get(8)?),
    })
}

fn money(amount: i64, currency: &str) -> Result<Money, StoreError> {
    let currency = [Currency::CNY, Currency::USD, Currency::EUR]
        .into_iter()
        .find(|it| it.code() == currency)
        .ok_or_else(|| StoreError::refused("a price in an unknown currency"))?;
    Money::new(amount, currency).map_err(StoreError::refused)
}

fn unsigned<T: TryFrom<i64, Error: std::fmt::Display>>(number: i64) -> Result<T, StoreError> {
    T::try_from(number).map_err(StoreError::refused)
}
