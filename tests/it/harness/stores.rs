//! A database of the test's own.

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::Client;

use super::{random, unique, until_within};
use crate::databases::{connect, drop_all};

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

    /// What Redis answers to a command, which is sent as one types it.
    pub(crate) async fn redis(&self, command: &str) -> String {
        let (_, place) = self.redis_url.split_once("://").expect("a URL");
        let (address, number) = place.split_once('/').expect("the URL names a database");
        let mut connection = TcpStream::connect(address).await.unwrap();
        let lines = format!("SELECT {number}\r\n{command}\r\nQUIT\r\n");
        connection.write_all(lines.as_bytes()).await.unwrap();
        let mut answers = String::new();
        connection.read_to_string(&mut answers).await.unwrap();
        answers.lines().nth(1).unwrap_or_default().to_owned()
    }

    /// The URL of the database for the role that may only read.
    pub(crate) fn reading_url(&self) -> String {
        let (scheme, rest) = self.database_url.split_once("://").expect("a URL");
        let (_, place) = rest.rsplit_once('@').expect("the URL names a role");
        format!("{scheme}://lyceum_read:lyceum@{place}")
    }
}

impl Drop for Stores {
    fn drop(&mut self) {
        drop_all(self.admin_url.clone(), vec![self.name.clone()]);
    }
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
