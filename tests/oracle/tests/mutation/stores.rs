//! A database of the test's own, and copies of it to damage.

use std::env;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio_postgres::Client;

use crate::damages::past_the_guards;
use crate::databases::{connect, drop_all};

/// How often a copy is tried, and the pause between.
const TRIES: usize = 200;
const PAUSE: Duration = Duration::from_millis(25);

/// One database and any number of copies, by name, in the instance that tests share.
pub(crate) struct Copies {
    server: String,
    original: String,
    made: AtomicUsize,
}

impl Copies {
    /// Makes an empty database.
    pub(crate) async fn create() -> Self {
        let url = env::var("LYCEUM_TEST_DATABASE_URL").expect("`make test` sets LYCEUM_TEST_DATABASE_URL");
        let (server, _) = url.rsplit_once('/').expect("the URL names a database");
        let copies = Self {
            server: server.to_owned(),
            original: format!("oracle_{}", uuid::Uuid::now_v7().simple()),
            made: AtomicUsize::new(0),
        };
        let admin = connect(&url).await;
        admin
            .batch_execute(&format!("CREATE DATABASE {}", copies.original))
            .await
            .unwrap();
        copies
    }

    /// The name of the database that is never damaged.
    pub(crate) fn original(&self) -> &str {
        &self.original
    }

    /// The URL for the role that may only read.
    pub(crate) fn reading(&self, name: &str) -> String {
        let (scheme, rest) = self.server.split_once("://").expect("a URL");
        let (_, host) = rest.rsplit_once('@').expect("the URL names a role");
        format!("{scheme}://lyceum_read:lyceum@{host}/{name}")
    }

    /// Copies the original, and does something to the copy that its owner may do.
    pub(crate) async fn damaged(&self, sql: &str) -> String {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}_{number}", self.original);
        let admin = self.admin().await;
        let copy = format!("CREATE DATABASE {name} TEMPLATE {}", self.original);
        // The last connections of a server that was ended take a moment to go.
        for tries in 0.. {
            match admin.batch_execute(&copy).await {
                Ok(()) => break,
                Err(error) if tries == TRIES => panic!("{error:?}"),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
        self.own(&name)
            .await
            .batch_execute(&past_the_guards(sql))
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        name
    }

    /// Opens a connection as the owner.
    pub(crate) async fn own(&self, name: &str) -> Client {
        connect(&format!("{}/{name}", self.server)).await
    }

    /// The names of the original and whatever copies are left.
    fn names(&self) -> Vec<String> {
        let made = self.made.load(Ordering::Relaxed);
        let copies = (0..made).map(|number| format!("{}_{number}", self.original));
        copies.chain([self.original.clone()]).collect()
    }

    async fn admin(&self) -> Client {
        connect(&format!("{}/lyceum", self.server)).await
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        drop_all(format!("{}/lyceum", self.server), self.names());
    }
}

/// The URL of a database for the product.
pub(crate) fn owned(name: &str) -> String {
    let url = env::var("LYCEUM_TEST_DATABASE_URL").expect("`make test` sets LYCEUM_TEST_DATABASE_URL");
    let (server, _) = url.rsplit_once('/').expect("the URL names a database");
    format!("{server}/{name}")
}
