//! What tests stand on: sites, clients, stores, and waiting for conditions.
//!
//! ```text
//! site         a running server, in this process or as one that can be killed, and the sandbox provider beside it
//! client       requests and answers; users with their verbs
//! payers       what happens at other providers than the sandbox
//! receiver     somebody who is told of events
//! stores       a database of the test's own
//! courses      what is published, and how
//! child        programs that end with the test
//! localstripe  a stand-in for Stripe that nobody here wrote
//! tokens       access tokens that the server did not issue
//! ```

mod child;
mod client;
mod courses;
mod localstripe;
mod payers;
mod receiver;
mod site;
mod stores;
mod tokens;

use std::time::{Duration, Instant};

pub(crate) use self::child::{Child, free_address};
pub(crate) use self::client::{Answer, Call, Client, User, cny, order};
pub(crate) use self::courses::{CourseSpec, approved, draft, lesson_id, put_lesson, unknown_course};
pub(crate) use self::localstripe::Localstripe;
pub(crate) use self::payers::KEYS;
pub(crate) use self::receiver::{Heard, Reply, WebhookReceiver};
pub(crate) use self::site::{PASSWORD, SANDBOX_SECRET, Site, registration};
pub(crate) use self::stores::{Stores, script};
pub(crate) use self::tokens::Mint;

/// How long a condition may take to come true before the test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(10);

/// Waits until `condition` returns something, and returns it.
pub(crate) async fn until<T>(what: &str, condition: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(DEADLINE, what, condition).await
}

/// Waits until `condition` returns something, at most `limit`.
pub(crate) async fn until_within<T>(
    limit: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(began.elapsed() < limit, "after {limit:?}, still not: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// A text that no other test uses.
pub(crate) fn unique(prefix: &str) -> String {
    let id = uuid::Uuid::now_v7().simple().to_string();
    // The end of a UUIDv7 is random; its start is the time.
    format!("{prefix}{}", &id[18..])
}

/// A number below `bound` that differs between tests.
pub(crate) fn random(bound: u16) -> u16 {
    // The low bits of a UUIDv7 are random.
    let bits = uuid::Uuid::now_v7().as_u128() & 0xffff_ffff;
    u16::try_from(bits % u128::from(bound)).unwrap()
}
