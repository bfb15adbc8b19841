//! The recommender on a real catalog: how long a list takes in process, what a training costs from rows in Postgres, and what both
//! keep in memory.
//!
//! The rows are in a table of this connection alone that is like the product's, so neither a server nor its schema is needed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use lyceum_domain::ids::{CourseId, UserId};
use lyceum_domain::recommend::{
    Activity, Features, Gathered, Model, Profile, Scratch, Settings, Signal, Takings, Trained, candidates,
    rank,
};
use lyceum_kernel::Timestamp;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::Failure;
use crate::load::count;
use crate::process::Process;
use crate::report::{Goal, Line, Section, progress};

/// Courses in the history of whom a list is made for.
const HISTORY: usize = 20;
/// Lists that are timed, each for a history of its own; and how often the whole is repeated, of which the best round counts.
const LISTS: usize = 4_000;
const ROUNDS: usize = 5;
/// Courses in a list.
const LIST: usize = 20;
/// Idle users whose profiles are held at once.
const IDLE: usize = 50_000;
/// Rows written by one statement.
const BATCH: usize = 5_000;

/// One learner took up one course.
struct Row {
    user: u128,
    course: u128,
    seconds: i64,
}

/// Measures with the data set in this folder.
///
/// # Errors
/// The data set cannot be read, or Postgres is away.
pub(crate) async fn run(folder: &Path, database: &Client) -> Result<Section, Failure> {
    progress("recommendations");
    let features = items(&fs::read_to_string(folder.join("items.tsv"))?);
    let rows = rows(&fs::read_to_string(folder.join("train.tsv"))?);
    let settings = Settings::default();

    fill(database, &rows).await?;
    let before = (Process::own_cpu()?, Instant::now());
    let gathered = gather(database, &features, &settings).await?;
    let read = Process::own_cpu()?;
    let trained =
        Trained::train(features.clone(), &gathered, &settings).ok_or("the matrix has no inverse")?;
    let learned = Process::own_cpu()?;
    let wall = before.1.elapsed();
    let model = Model::build(1, features.clone(), &trained, &settings);
    let built = Process::own_cpu()?;
    let bytes = trained.to_bytes();
    let seconds = |duration: Duration| duration.as_secs_f64();

    let profiles = profiles(&rows);
    let mut scratch = Scratch::default();
    let scores = timed(&profiles, |profile| {
        candidates(&model, profile, LIST, &mut scratch).len()
    });
    let lists = timed(&profiles, |profile| {
        rank(&model, profile, LIST, &mut scratch).len()
    });
    let idle = idle_bytes(&profiles)?;
    let courses = features.len();
    Ok(Section {
        title: "Recommendations",
        lines: vec![
            Line::new(
                format!("scores and the best {LIST}, {HISTORY} events, {courses} courses"),
                vec![("p50 µs", scores.0), ("p99 µs", scores.1)],
            )
            .judged("p50 µs", Goal::at_most(100.0, 40.0)),
            Line::new(
                format!("a list of {LIST} with reasons, {HISTORY} events, {courses} courses"),
                vec![("p50 µs", lists.0), ("p99 µs", lists.1)],
            )
            .judged("p99 µs", Goal::at_most(1_000.0, 150.0)),
            Line::new(
                format!("training from {} rows, {courses} courses", rows.len()),
                vec![
                    ("CPU s", seconds(learned - before.0)),
                    ("of it reading CPU s", seconds(read - before.0)),
                    ("wall s", seconds(wall)),
                ],
            )
            .judged("CPU s", Goal::at_most(8.0, 5.0)),
            Line::new(
                "laying it over the catalog",
                vec![("CPU s", seconds(built - learned))],
            ),
            Line::new(
                "the model",
                vec![
                    ("MB in memory", count(u64::try_from(model.bytes())?) / 1e6),
                    ("MB kept", count(u64::try_from(bytes.len())?) / 1e6),
                ],
            ),
            Line::new("state of an idle user", vec![("bytes", idle)])
                .judged("bytes", Goal::at_most(4_096.0, 2_048.0)),
        ],
    })
}

fn items(text: &str) -> Vec<Features> {
    let split = |text: &str| {
        let parts = text.split('|').filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect::<Vec<_>>()
    };
    let read = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let [item, title, category, concept, level, language, ..] = columns[..] else {
            return None;
        };
        Some(Features {
            title: title.to_owned(),
            categories: split(category),
            tags: split(concept),
            level: level.to_owned(),
            language: language.to_owned(),
            ..Features::new(CourseId::from_u128(item.parse().ok()?))
        })
    };
    text.lines().skip(1).filter_map(read).collect()
}

fn rows(text: &str) -> Vec<Row> {
    let read = |line: &str| {
        let mut columns = line.split('\t');
        Some(Row {
            user: columns.next()?.parse().ok()?,
            course: columns.next()?.parse().ok()?,
            seconds: columns.nth(1)?.parse().ok()?,
        })
    };
    text.lines().skip(1).filter_map(read).collect()
}

async fn fill(database: &Client, rows: &[Row]) -> Result<(), Failure> {
    database
        .batch_execute(
            "CREATE TEMPORARY TABLE interactions (at timestamptz NOT NULL, id uuid NOT NULL, user_id uuid NOT NULL, \
             course_id uuid NOT NULL, weight real NOT NULL, PRIMARY KEY (at, id))",
        )
        .await?;
    for (place, batch) in rows.chunks(BATCH).enumerate() {
        let column = |of: fn(&Row) -> u128| {
            batch
                .iter()
                .map(|row| Uuid::from_u128(of(row)))
                .collect::<Vec<_>>()
        };
        let (users, courses) = (column(|row| row.user), column(|row| row.course));
        let ids: Vec<Uuid> = (0..batch.len())
            .map(|row| Uuid::from_u128((place * BATCH + row) as u128))
            .collect();
        let at: Vec<i64> = batch.iter().map(|row| row.seconds).collect();
        database
            .execute(
                "INSERT INTO interactions SELECT to_timestamp(at), id, user_id, course_id, 1 FROM \
                 unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::uuid[]) AS new (at, id, user_id, course_id)",
                &[&at, &ids, &users, &courses],
            )
            .await?;
    }
    database.batch_execute("ANALYZE interactions").await?;
    Ok(())
}

/// Reads the rows as a training does.
async fn gather(database: &Client, features: &[Features], settings: &Settings) -> Result<Gathered, Failure> {
    let courses = features.iter().map(|feature| feature.course);
    let weight_min = settings.limits.taken_weight_min;
    let mut takings = Takings::new(courses, weight_min);
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&weight_min];
    let stream = database
        .query_raw(
            "SELECT user_id, course_id, (extract(epoch FROM at) * 1000)::bigint, weight FROM interactions \
             WHERE weight >= $1 OR weight < 0 ORDER BY user_id, at, id",
            parameters,
        )
        .await?;
    let mut stream = std::pin::pin!(stream);
    while let Some(row) = stream.try_next().await? {
        let id = |at: usize| row.get::<_, Uuid>(at).as_u128();
        takings.push(
            UserId::from_u128(id(0)),
            CourseId::from_u128(id(1)),
            Timestamp::from_millis(row.get(2)),
            row.get(3),
        );
    }
    Ok(takings.finish())
}

/// Profiles of histories of the asked length, made of what those with at least as many did, one learner after another.
fn profiles(rows: &[Row]) -> Vec<Profile> {
    let mut histories: BTreeMap<u128, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        histories.entry(row.user).or_default().push(row);
    }
    let long: Vec<&[&Row]> = histories
        .values()
        .flat_map(|history| history.chunks_exact(HISTORY))
        .collect();
    let owned = ["development".to_owned(), "business".to_owned()];
    let of = |history: &&[&Row]| {
        let signals = history.iter().map(|row| Signal {
            id: None,
            activity: Activity::Start,
            course: CourseId::from_u128(row.course),
            at: Timestamp::from_millis(row.seconds * 1_000),
            value: 0.0,
        });
        Profile::restore(true, &owned, [], signals)
    };
    long.iter()
        .cycle()
        .take(LISTS.min(long.len() * ROUNDS))
        .map(of)
        .collect()
}

/// The median and the 99th percentile of the best round, in microseconds.
fn timed(profiles: &[Profile], mut make: impl FnMut(&Profile) -> usize) -> (f64, f64) {
    let mut best = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        let mut times: Vec<f64> = profiles
            .iter()
            .map(|profile| {
                let began = Instant::now();
                let made = make(profile);
                let took = began.elapsed();
                assert!(made > 0, "the catalog has courses");
                took.as_secs_f64() * 1e6
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let at = |permille: usize| {
            times
                .get(times.len() * permille / 1_000)
                .copied()
                .unwrap_or_default()
        };
        if at(990) < best.1 {
            best = (at(500), at(990));
        }
    }
    best
}

/// Resident bytes for each profile that is held.
fn idle_bytes(profiles: &[Profile]) -> Result<f64, Failure> {
    let before = Process::own_resident()?;
    let held: Vec<Profile> = profiles.iter().cycle().take(IDLE).cloned().collect();
    let after = Process::own_resident()?;
    Ok(count(after.saturating_sub(before)) / count(u64::try_from(held.len().max(1))?))
}
