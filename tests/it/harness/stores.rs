//! A database of the test's own and the checks of its books, read from the tables alone.

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio_postgres::{Client, NoTls};

use super::{random, unique, until_within};

/// Where a test keeps its data. The database is dropped with it.
pub(crate) struct Stores {
    admin_url: String,
    name: String,
    /// The database of the test.
    pub(crate) database_url: String,
    pub(crate) redis_url: String,
}

impl Stores {
    /// Makes an empty database in the instance that the tests share.
    pub(crate) async fn create() -> Self {
        let url = |name: &str| env::var(name).unwrap_or_else(|_| panic!("`make test` sets {name}"));
        Stores::create_in(&url("LYCEUM_TEST_DATABASE_URL"), &url("LYCEUM_TEST_REDIS_URL")).await
    }

    /// Makes an empty database in another instance.
    pub(crate) async fn create_in(database: &str, redis: &str) -> Self {
        let name = unique("it_");
        connect(database)
            .await
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .await
            .unwrap();
        let (server, _) = database.rsplit_once('/').expect("the URL names a database");
        // Keys hold random ids, so tests could share one; a database of few tests is easier to look into.
        let (redis_server, _) = redis.rsplit_once('/').expect("the URL names a database");
        let number = 1 + random(15);
        Stores {
            admin_url: database.to_owned(),
            database_url: format!("{server}/{name}"),
            redis_url: format!("{redis_server}/{number}"),
            name,
        }
    }

    /// Opens a connection to the database.
    pub(crate) async fn connect(&self) -> Client {
        connect(&self.database_url).await
    }

    /// The one number that a query answers.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        self.connect().await.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Waits until nothing is under way any more.
    pub(crate) async fn become_quiet(&self, limit: Duration) {
        let database = self.connect().await;
        until_within(limit, "every saga has ended", async || {
            // What is due later is a timer: the outbox holds those as well.
            let open = "SELECT (SELECT count(*) FROM sagas) \
                + (SELECT count(*) FROM outbox WHERE due_at < now() + interval '1 minute')";
            let open: i64 = database.query_one(open, &[]).await.unwrap().get(0);
            (open == 0).then_some(())
        })
        .await;
    }

    /// Checks everything that is always true; whatever is not is told with its rows.
    pub(crate) async fn check_books(&self) {
        let database = self.connect().await;
        for (rule, violations) in ALWAYS_TRUE {
            let sql = format!("SELECT coalesce(json_agg(v), '[]')::text FROM ({violations} LIMIT 5) AS v");
            let found: String = database.query_one(&sql, &[]).await.unwrap().get(0);
            assert_eq!(found, "[]", "violated: {rule}");
        }
    }
}

impl Drop for Stores {
    fn drop(&mut self) {
        let (url, name) = (self.admin_url.clone(), self.name.clone());
        // A runtime cannot be entered from within another one, and this may run while the test's unwinds.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
                tokio::spawn(connection);
                let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                // It is refused while Postgres itself tidies the database up, which takes a moment.
                for _ in 0..20 {
                    if client.batch_execute(&drop).await.is_ok() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Ok::<(), tokio_postgres::Error>(())
            })?;
            Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
        });
        // Best effort: the instance is the tests' own and is emptied at will.
        let _ = dropped.join();
    }
}

/// Opens a connection to a database.
async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .unwrap_or_else(|error| panic!("{url}: {error}; `config/dev/stores.sh start test` starts it"));
    tokio::spawn(connection);
    client
        .batch_execute("SET statement_timeout = '30s'")
        .await
        .unwrap();
    client
}

/// Runs a script of `config/dev` and returns what it printed.
pub(crate) fn script(name: &str, arguments: &[&str]) -> Result<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("config/dev")
        .join(name);
    let output = Command::new("bash")
        .arg(&path)
        .args(arguments)
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Rules, and queries for what violates them.
const ALWAYS_TRUE: [(&str, &str); 10] = [
    (
        "the trial balance is zero in every currency",
        "SELECT currency, sum(amount) FROM ledger_entries GROUP BY currency HAVING sum(amount) <> 0",
    ),
    (
        "every transaction of the ledger balances",
        "SELECT source_id, step FROM ledger_entries GROUP BY source_id, step HAVING sum(amount) <> 0",
    ),
    (
        "every wallet equals its entries",
        "SELECT coalesce(w.user_id, e.owner_id) AS user_id, w.balance, w.held, e.balance AS posted, e.held AS posted_held \
         FROM wallets w FULL JOIN (SELECT owner_id, \
            coalesce(sum(amount) FILTER (WHERE account = 'user_wallet'), 0) AS balance, \
            coalesce(sum(amount) FILTER (WHERE account = 'wallet_hold'), 0) AS held \
            FROM ledger_entries WHERE account IN ('user_wallet', 'wallet_hold') GROUP BY owner_id) e \
         ON e.owner_id = w.user_id \
         WHERE coalesce(w.balance, 0) <> coalesce(e.balance, 0) OR coalesce(w.held, 0) <> coalesce(e.held, 0)",
    ),
    (
        "no wallet is negative",
        "SELECT user_id FROM wallets WHERE balance < 0 OR held < 0",
    ),
    (
        "whoever paid has access, and nobody else by an order",
        "SELECT o.order_id, o.state, o.lines, count(g.*) AS live FROM orders o \
         LEFT JOIN grants g ON g.source_id = o.order_id AND g.revoked_at IS NULL \
         GROUP BY o.order_id HAVING count(g.*) <> CASE o.state WHEN 'fulfilled' THEN o.lines ELSE 0 END \
            AND o.state NOT IN ('refunding')",
    ),
    (
        "what was paid for an order is what it cost",
        "SELECT o.order_id, o.state, o.total, p.amount FROM orders o JOIN payments p ON p.payment_id = o.payment_id \
         WHERE o.state IN ('fulfilled', 'refunding', 'refunded') AND (p.state <> 'succeeded' OR p.amount <> o.total)",
    ),
    (
        "refunds never exceed the capture",
        "SELECT o.order_id, o.total, sum(r.amount) FROM orders o JOIN refunds r USING (order_id) \
         GROUP BY o.order_id HAVING sum(r.amount) > o.total",
    ),
    (
        "versions have no gaps",
        "SELECT kind, entity, count(*), max(version) FROM events GROUP BY kind, entity HAVING count(*) <> max(version)",
    ),
    (
        "nothing was written under an epoch that had passed",
        "SELECT kind, entity, version FROM (SELECT kind, entity, version, epoch, \
            lag(epoch) OVER (PARTITION BY kind, entity ORDER BY version) AS before FROM events) AS e \
         WHERE epoch < before",
    ),
    ("no message was given up", "SELECT * FROM dead_letters"),
];
