//! What the measurements find in the database: courses, and users with a filled wallet.
//!
//! Courses come through the operators' route. One user registers and tops up through the API like everybody; the
//! others are copies of everything that this left in the database, under other ids and names, because 50,000 top-ups
//! would take longer than the measurements. So the journal, the rows and the ledger agree and are in balance.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lyceum_domain::ids::{CourseId, PaymentId, UserId};
use lyceum_runtime::shard_of;
use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::http::{call, request};
use crate::site::Place;
use crate::tokens::Signer;
use crate::{Failure, load};

/// Published courses.
pub(crate) const COURSES: usize = 10_000;
/// Users with a wallet.
pub(crate) const USERS: usize = 50_000;
/// What each wallet holds, minor units: the largest single top-up.
const BALANCE: i64 = 5_000_000;
/// What all prices are below, minor units.
const PRICE_MAX: usize = 2_000;
const TEMPLATE: &str = "bench-template";
const SETTLED_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything a run has to work with.
pub(crate) struct Seeded {
    /// Signs their tokens.
    pub(crate) signer: Signer,
    /// Published courses.
    pub(crate) courses: Vec<CourseId>,
    /// Users with a wallet.
    pub(crate) users: Vec<UserId>,
}

impl Seeded {
    /// A token of an operator.
    pub(crate) fn operator(&self) -> Result<String, Failure> {
        self.signer.token(self.users[0], &["learner", "operator"])
    }

    /// Tokens of the first users.
    pub(crate) fn tokens(&self, count: usize) -> Result<Vec<String>, Failure> {
        self.users[..count]
            .iter()
            .map(|user| self.signer.token(*user, &["learner"]))
            .collect()
    }
}

/// Fills an empty database through a server of its own.
///
/// # Errors
/// The database is not empty, or a step is refused.
pub(crate) async fn seed(place: &Place, database: &Client) -> Result<Seeded, Failure> {
    let (sandbox, sandbox_address) = place.start_sandbox().await?;
    let site = place
        .start(&[("providers.sandbox.url", format!("http://{sandbox_address}"))])
        .await?;
    let signer = Signer::load(database).await?;

    let template = register(site.address).await?;
    let payment = top_up(site.address, &signer, template, database).await?;
    let operator = signer.token(template, &["learner", "operator"])?;
    let courses = publish(site.address, template, &operator).await?;
    site.process.end().await?;
    sandbox.end().await?;

    let users = copy_users(database, template, payment).await?;
    database.batch_execute("ANALYZE").await?;
    Ok(Seeded {
        signer,
        courses,
        users,
    })
}

async fn register(address: SocketAddr) -> Result<UserId, Failure> {
    let body = json!({
        "username": TEMPLATE, "password": "a rather long bench passphrase", "email": format!("{TEMPLATE}@example.com"),
        "interests": ["consensus", "replication"],
    });
    let user = call(
        address,
        &request("POST", "/v1/users", None, None, Some(&body)),
        &[201],
    )
    .await?;
    user_id(&user)
}

async fn top_up(
    address: SocketAddr,
    signer: &Signer,
    user: UserId,
    database: &Client,
) -> Result<PaymentId, Failure> {
    let token = signer.token(user, &["learner"])?;
    let body = json!({
        "amount": {"amount": BALANCE, "currency": "CNY"}, "provider": "sandbox", "payment_token": "tok_ok",
    });
    let top_up = request(
        "POST",
        "/v1/me/wallet/top-ups",
        Some(&token),
        Some("bench-top-up"),
        Some(&body),
    );
    call(address, &top_up, &[201, 202]).await?;
    let wallet = request("GET", "/v1/me/wallet", Some(&token), None, None);
    let began = Instant::now();
    while call(address, &wallet, &[200]).await?["balance"]["amount"] != BALANCE {
        if began.elapsed() > SETTLED_TIMEOUT {
            return Err("the top-up is not settled; see the server's log".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let user = Uuid::from_u128(user.as_u128());
    let row = database
        .query_one("SELECT payment_id FROM payments WHERE user_id = $1", &[&user])
        .await?;
    Ok(PaymentId::from_u128(row.get::<_, Uuid>(0).as_u128()))
}

async fn publish(address: SocketAddr, creator: UserId, operator: &str) -> Result<Vec<CourseId>, Failure> {
    let courses: Vec<CourseId> = (0..COURSES)
        .map(|_| CourseId::from_u128(Uuid::now_v7().as_u128()))
        .collect();
    let requests: Vec<Bytes> = courses
        .iter()
        .enumerate()
        .map(|(number, course)| {
            let body = course_body(number, *course, creator);
            request("POST", "/admin/v1/courses", Some(operator), None, Some(&body))
        })
        .collect();
    load::drain(address, 32, requests, &[201])
        .await?
        .checked("publishing courses")?;
    Ok(courses)
}

fn course_body(number: usize, course: CourseId, creator: UserId) -> Value {
    const WORDS: [&str; 24] = [
        "Consensus",
        "Replication",
        "Storage",
        "Queries",
        "Index",
        "Design",
        "Pattern",
        "Network",
        "Actor",
        "Market",
        "Pricing",
        "History",
        "Painting",
        "Writing",
        "Habit",
        "Music",
        "Theory",
        "Practice",
        "Project",
        "Reader",
        "Signal",
        "Memory",
        "Detection",
        "Review",
    ];
    const CATEGORIES: [&str; 8] = [
        "engineering",
        "business",
        "art",
        "language",
        "science",
        "health",
        "music",
        "law",
    ];
    // Strides without a common divisor: neighbours differ, and everything occurs about equally often.
    let word = |step: usize| WORDS[(number * step + number / 24) % WORDS.len()];
    let summary: Vec<&str> = (1..28).map(word).collect();
    let lesson = |title: &str| {
        json!({
            "title": title, "kind": "article", "duration_seconds": 600, "preview": false,
            "content": {"text": format!("{title}. {}.", summary.join(" "))},
        })
    };
    json!({
        "id": course,
        "creator_id": creator,
        "course": {
            "title": format!("{} {} {} {number}", word(1), word(5), word(7)),
            "subtitle": format!("{} and {}", word(11), word(13)),
            "description": format!("{}.", summary.join(" ")),
            "language": "en",
            "level": "beginner",
            "category": CATEGORIES[number % CATEGORIES.len()],
            "tags": [word(1).to_lowercase(), word(5).to_lowercase(), word(7).to_lowercase()],
            "price": {"amount": 100 + number * 37 % (PRICE_MAX - 100), "currency": "CNY"},
        },
        "chapters": [{"title": "Begin", "lessons": [lesson(word(1)), lesson(word(5))]},
            {"title": "Go on", "lessons": [lesson(word(7)), lesson(word(11))]}],
    })
}

/// Tables with a row of the user or of the payment, and the column that tells.
const COPIED: [(&str, &str); 5] = [
    ("events", "entity"),
    ("accounts", "user_id"),
    ("wallets", "user_id"),
    ("payments", "user_id"),
    ("ledger_transactions", "user_id"),
];

async fn copy_users(database: &Client, template: UserId, payment: PaymentId) -> Result<Vec<UserId>, Failure> {
    let users: Vec<UserId> = (0..USERS)
        .map(|_| UserId::from_u128(Uuid::now_v7().as_u128()))
        .collect();
    let payments: Vec<PaymentId> = (0..USERS)
        .map(|_| PaymentId::from_u128(Uuid::now_v7().as_u128()))
        .collect();
    let uuids = |ids: &mut dyn Iterator<Item = u128>| ids.map(Uuid::from_u128).collect::<Vec<_>>();
    let names: Vec<String> = (0..USERS).map(|number| format!("bench-{number}")).collect();
    let columns: [&(dyn ToSql + Sync); 6] = [
        &uuids(&mut users.iter().map(|user| user.as_u128())),
        &users.iter().map(UserId::to_string).collect::<Vec<_>>(),
        &uuids(&mut payments.iter().map(|payment| payment.as_u128())),
        &payments.iter().map(PaymentId::to_string).collect::<Vec<_>>(),
        &names,
        &users
            .iter()
            .map(|user| i16::from(shard_of(user.as_u128())))
            .collect::<Vec<_>>(),
    ];
    database
        .batch_execute(
            "CREATE TEMPORARY TABLE copies (user_id uuid, user_text text, payment_id uuid, payment_text text, \
             name text, shard smallint)",
        )
        .await?;
    database
        .execute(
            "INSERT INTO copies SELECT * FROM \
             unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::smallint[])",
            &columns,
        )
        .await?;
    let (user_id, payment_id) = (
        Uuid::from_u128(template.as_u128()),
        Uuid::from_u128(payment.as_u128()),
    );
    for (table, key) in COPIED {
        database
            .batch_execute(&copy_rows(table, key, user_id, template, payment_id, payment))
            .await?;
    }
    Ok(users)
}

/// Copies the rows of a table as JSON, in which the ids and the name are replaced wherever they stand.
fn copy_rows(
    table: &str,
    key: &str,
    user_id: Uuid,
    user: UserId,
    payment_id: Uuid,
    payment: PaymentId,
) -> String {
    let mut text = "original.text".to_owned();
    for (from, to) in [
        (user_id.to_string(), "user_id::text"),
        (user.to_string(), "user_text"),
        (payment_id.to_string(), "payment_id::text"),
        (payment.to_string(), "payment_text"),
        (TEMPLATE.to_owned(), "name"),
    ] {
        text = format!("replace({text}, '{from}', {to})");
    }
    // A copy was not asked for under an idempotency key, and belongs to its own shard.
    let changed = if table == "events" {
        " || jsonb_build_object('operation', NULL, 'shard', shard)"
    } else {
        ""
    };
    format!(
        "INSERT INTO {table} SELECT copy.* FROM \
         (SELECT to_jsonb(t)::text AS text FROM {table} AS t WHERE {key} IN ('{user_id}', '{payment_id}')) AS original \
         CROSS JOIN copies CROSS JOIN LATERAL \
         jsonb_populate_record(NULL::{table}, {text}::jsonb{changed}) AS copy"
    )
}

fn user_id(user: &Value) -> Result<UserId, Failure> {
    let text = user["id"]
        .as_str()
        .ok_or_else(|| format!("the answer has no id: {user}"))?;
    Ok(text.parse()?)
}
