//! Databases that tests make for themselves, next to the one that `LYCEUM_TEST_DATABASE_URL` names.
//!
//! Several test programs include this file. A test that is killed leaves its databases behind; `stores.sh start`
//! clears up those that no run can be using.

use std::time::Duration;

use tokio_postgres::{Client, NoTls};

/// How often a drop is tried, and the pause between: it is refused while Postgres itself tidies the database up.
const TRIES: usize = 200;
const PAUSE: Duration = Duration::from_millis(25);

/// Opens a connection to a database.
pub(crate) async fn connect(url: &str) -> Client {
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

/// Drops databases through a connection to another one at `url`, from wherever a test ends.
pub(crate) fn drop_all(url: String, names: Vec<String>) {
    // A runtime cannot be entered from within another one, and this may run while the test's unwinds.
    let dropped = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
            tokio::spawn(connection);
            // Dropping a database waits for a checkpoint.
            client.batch_execute("SET statement_timeout = '30s'").await?;
            for name in names {
                let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                for _ in 0..TRIES {
                    if client.batch_execute(&drop).await.is_ok() {
                        break;
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
            Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
        })
    });
    // Best effort: the instance is the tests' own and is emptied at will.
    let _ = dropped.join();
}
