//! Logins that ended while their access tokens are still valid, on whichever node they ended.
//!
//! An access token is believed without asking anybody, so the guard looks here. What ends on this node is entered by
//! the signal of its commit, at once. What ends elsewhere, and whatever a signal lost, is read from the journal: every
//! end of a login is an event of its account, so nothing else has to be reachable for a node to hear of it.
//!
//! ```text
//! commit here → signal ─────────────────────┐
//! commit anywhere → journal → stream ───────┴→ ended logins, and users with the time up to which theirs ended
//! ```
//!
//! An entry lives as long as the longest access token: after that the token has expired by itself. A node that starts
//! reads what ended in that time before it serves.

use std::sync::Arc;
use std::time::Duration;

use lyceum_domain::accounts::Event;
use lyceum_domain::ids::{SessionId, UserId};
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Database, Entity, Mark, StoreError, Stream, clock, supervise};
use papaya::HashMap;
use rustc_hash::FxBuildHasher;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::Accounts;

/// What the clock of a node that verifies tokens may be behind.
const LEEWAY: Duration = Duration::from_secs(60);
/// What the clock of a node that ended a login may be off by, when the journal is read by time.
const CLOCKS_APART: Duration = Duration::from_secs(600);
/// How often the journal is looked at: twice in half of the second within which every node must know.
const POLL_EVERY: Duration = Duration::from_millis(100);
/// Entries kept of either kind, at 60 bytes each: ten minutes of 300 logouts a second. A login above it stays good for its
/// last access token, which is better than no memory.
const ENTRIES_MAX: usize = 200_000;

/// The set of ended logins.
#[derive(Debug)]
pub struct Revoked {
    /// Logins that ended one by one, each with the time at which its last access token expires.
    logins: HashMap<SessionId, Timestamp, FxBuildHasher>,
    /// Users of whom all logins ended.
    users: HashMap<UserId, Ended, FxBuildHasher>,
    lifetime: Duration,
}

/// Which logins of a user have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ended {
    /// Those that began no later than this…
    until: Timestamp,
    /// …but for this one.
    except: Option<SessionId>,
    /// When the last of their access tokens expires.
    expires: Timestamp,
}

impl Revoked {
    /// Nothing has ended yet. `lifetime` is that of an access token.
    pub fn new(lifetime: Duration) -> Self {
        Revoked {
            logins: HashMap::with_hasher(FxBuildHasher),
            users: HashMap::with_hasher(FxBuildHasher),
            lifetime: lifetime + LEEWAY,
        }
    }

    /// Reads what ended lately and follows the journal from there, for as long as the node lives; `mark` says how far.
    ///
    /// # Errors
    /// The store is away: without knowing what has ended, a node does not serve.
    pub async fn start(
        database: &Database,
        lifetime: Duration,
        mark: Arc<Mark>,
    ) -> Result<Arc<Self>, StoreError> {
        let revoked = Arc::new(Revoked::new(lifetime));
        // Before the past is read: what is committed in between is read twice rather than never.
        let position = Stream::end(database).await?;
        revoked.load(database).await?;
        let stream = Stream::follow(database.clone(), &[Accounts::KIND.number], position, POLL_EVERY)
            // Entries only ever add up, so their order does not matter and nobody's open transaction holds them up.
            .early()
            .marking(mark);
        let (stream, follower) = (Arc::new(Mutex::new(stream)), revoked.clone());
        supervise("ended logins", move || follower.clone().follow(stream.clone()));
        Ok(revoked)
    }

    /// Whether the access tokens of a login are no longer good.
    pub fn contains(&self, session_id: SessionId) -> bool {
        // Most of the time nothing is, and then a request pays one load.
        !self.logins.is_empty() && self.logins.pin().contains_key(&session_id)
    }

    /// Whether the access tokens of a login of this user, begun then, are no longer good.
    pub fn ended(&self, user: UserId, session_id: SessionId, began: Timestamp) -> bool {
        if self.contains(session_id) {
            return true;
        }
        if self.users.is_empty() {
            return false;
        }
        let users = self.users.pin();
        let among = |ended: &Ended| began <= ended.until && ended.except != Some(session_id);
        users.get(&user).is_some_and(among)
    }

    /// Adds a login that has just ended.
    pub fn add(&self, session_id: SessionId) {
        let now = clock::now();
        if self.logins.len() >= ENTRIES_MAX {
            self.sweep(now);
        }
        if self.logins.len() < ENTRIES_MAX {
            self.logins.pin().insert(session_id, now.plus(self.lifetime));
        } else {
            tracing::error!("too many ended logins to remember");
        }
    }

    /// Adds what an event of an account ended, decided at `at`. Adding it again changes nothing.
    pub(super) fn take(&self, user: UserId, event: &Event, at: Timestamp) {
        let except = match event {
            Event::LoginEnded { session_id } => return self.add(*session_id),
            Event::PasswordChanged { keep_session, .. } => *keep_session,
            Event::Suspended { .. } | Event::Erased { .. } | Event::RoleRevoked { .. } => None,
            Event::Registered { .. }
            | Event::ProfileChanged { .. }
            | Event::Reinstated
            | Event::RoleGranted { .. }
            | Event::Redacted => return,
        };
        self.end_all(user, at, except);
    }

    fn end_all(&self, user: UserId, until: Timestamp, except: Option<SessionId>) {
        let now = clock::now();
        if self.users.len() >= ENTRIES_MAX {
            self.sweep(now);
        }
        if self.users.len() >= ENTRIES_MAX {
            tracing::error!("too many users whose logins ended to remember");
            return;
        }
        let ended = Ended {
            until,
            except,
            expires: now.plus(self.lifetime),
        };
        // Of two ends the later one counts: whatever it excepts was excepted by the earlier, or began after it.
        self.users.pin().update_or_insert(
            user,
            |known| if known.until > until { *known } else { ended },
            ended,
        );
    }

    /// Forgets the logins whose access tokens have all expired. Call it about once a minute.
    pub fn sweep(&self, now: Timestamp) {
        self.logins.pin().retain(|_, expires| *expires > now);
        self.users.pin().retain(|_, ended| ended.expires > now);
    }

    /// Takes over what ended within the life of an access token.
    async fn load(&self, database: &Database) -> Result<(), StoreError> {
        const ENDS: &str = "SELECT entity, events::text, (extract(epoch FROM at) * 1000)::bigint FROM events WHERE kind = 1 \
            AND at > now() - $1::bigint * interval '1 millisecond' \
            AND events::text ~ '\"(login_ended|password_changed|suspended|erased|role_revoked)\"'";
        let since = self.lifetime + CLOCKS_APART;
        let since = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        for row in database.query(ENDS, &[&since]).await? {
            let user = UserId::from_u128(row.get::<_, Uuid>(0).as_u128());
            self.read(user, row.get(1), Timestamp::from_millis(row.get(2)));
        }
        Ok(())
    }

    async fn follow(self: Arc<Self>, stream: Arc<Mutex<Stream>>) {
        // Never contended: one worker runs at a time, and one that panicked gives it back.
        let mut stream = stream.lock().await;
        loop {
            for turn in stream.next().await {
                self.read(UserId::from_u128(turn.entity.id), &turn.events, turn.at);
            }
        }
    }

    fn read(&self, user: UserId, events: &str, at: Timestamp) {
        match serde_json::from_str::<Vec<Event>>(events) {
            Ok(events) => events.iter().for_each(|event| self.take(user, event, at)),
            // A newer node may have written it; whoever is refused too much logs in again.
            Err(error) => {
                tracing::error!(%error, "events of an account cannot be read; its logins are refused");
                self.end_all(user, at, None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lyceum_domain::accounts::{PasswordHash, Role};

    use super::*;

    const ADA: UserId = UserId::from_u128(1);
    const KEPT: SessionId = SessionId::from_u128(2);
    const OTHER: SessionId = SessionId::from_u128(3);

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn change(revoked: &Revoked, millis: i64) {
        let event = Event::PasswordChanged {
            password_hash: PasswordHash::new("$hash"),
            keep_session: Some(KEPT),
            at: at(millis),
        };
        revoked.take(ADA, &event, at(millis));
    }

    #[test]
    fn a_changed_password_ends_what_began_before_but_for_the_login_that_changed_it() {
        let revoked = Revoked::new(Duration::from_secs(600));

        change(&revoked, 10);
        // The journal tells of it once more, and late.
        change(&revoked, 10);
        change(&revoked, 5);

        assert!(revoked.ended(ADA, OTHER, at(10)));
        assert!(!revoked.ended(ADA, OTHER, at(11)), "it began later");
        assert!(!revoked.ended(ADA, KEPT, at(1)));
        assert!(!revoked.ended(UserId::from_u128(9), OTHER, at(10)));
    }

    #[test]
    fn a_suspension_an_erasure_and_a_role_that_is_taken_away_end_all() {
        let reason = lyceum_domain::accounts::Reason::parse("spam").expect("valid");
        for event in [
            Event::Suspended { reason, at: at(10) },
            Event::Erased { at: at(10) },
            Event::RoleRevoked { role: Role::Creator },
        ] {
            let revoked = Revoked::new(Duration::from_secs(600));

            revoked.take(ADA, &event, at(10));

            assert!(
                revoked.ended(ADA, KEPT, at(10)) && revoked.ended(ADA, OTHER, at(10)),
                "{event:?}"
            );
        }
    }

    #[test]
    fn entries_are_kept_for_the_life_of_an_access_token() {
        let revoked = Revoked::new(Duration::from_secs(600));
        change(&revoked, 10);
        revoked.take(ADA, &Event::LoginEnded { session_id: OTHER }, at(10));
        assert!(revoked.contains(OTHER));

        revoked.sweep(clock::now().plus(Duration::from_secs(599)));
        assert!(revoked.contains(OTHER) && revoked.ended(ADA, OTHER, at(1)));
        revoked.sweep(clock::now().plus(Duration::from_secs(662)));

        assert!(!revoked.ended(ADA, OTHER, at(1)));
    }

    #[test]
    fn events_that_cannot_be_read_refuse_rather_than_admit() {
        let revoked = Revoked::new(Duration::from_secs(600));

        revoked.read(ADA, r#"[{"type":"banished"}]"#, at(10));

        assert!(revoked.ended(ADA, OTHER, at(10)));
    }
}
