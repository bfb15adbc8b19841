//! Which logins of a member have ended, on record where nothing that was acknowledged is lost.
//!
//! The logins themselves live in memory that is written behind, so one that has ended may come back as it was seconds
//! before a crash, with its refresh token. Whoever presents a token is therefore held against this record as well. It
//! has to bridge only those seconds, so a short list is enough.

use std::collections::VecDeque;

use lyceum_kernel::Timestamp;
use serde::{Deserialize, Serialize};

use super::Event;
use crate::ids::SessionId;

/// Logins ended one by one that are remembered: more than a member has at once.
const SINGLE_MAX: usize = 32;

/// The logins of a member that have ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedLogins {
    /// Those that began no later than this…
    until: Option<Timestamp>,
    /// …but for this one…
    except: Option<SessionId>,
    /// …and these, the latest last.
    single: VecDeque<SessionId>,
}

impl EndedLogins {
    /// Whether the login that began at `began` has ended.
    pub fn contains(&self, session_id: SessionId, began: Timestamp) -> bool {
        let among_all = self.until.is_some_and(|until| began <= until) && self.except != Some(session_id);
        among_all || self.lists(session_id)
    }

    /// Whether the login was ended by itself.
    pub(super) fn lists(&self, session_id: SessionId) -> bool {
        self.single.contains(&session_id)
    }

    pub(super) fn end(&mut self, session_id: SessionId) {
        if self.single.len() == SINGLE_MAX {
            self.single.pop_front();
        }
        self.single.push_back(session_id);
    }

    pub(super) fn end_all(&mut self, until: Timestamp, except: Option<SessionId>) {
        self.until = Some(until);
        self.except = except;
    }
}

impl Event {
    /// Whether logins of the member have ended with it.
    pub fn ends_logins(&self) -> bool {
        use Event::{Erased, LoginEnded, PasswordChanged, RoleRevoked, Suspended};
        matches!(
            self,
            PasswordChanged { .. }
                | Suspended { .. }
                | LoginEnded { .. }
                | RoleRevoked { .. }
                | Erased { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn logins_end_one_by_one_or_all_that_began_so_far_but_one() {
        let [kept, other, out, later] = [1, 2, 3, 4].map(SessionId::from_u128);
        let mut ended = EndedLogins::default();

        ended.end(out);
        ended.end_all(at(10), Some(kept));

        assert!(ended.contains(out, at(11)));
        assert!(ended.contains(other, at(10)));
        assert!(!ended.contains(kept, at(10)));
        assert!(!ended.contains(later, at(11)));
    }

    #[test]
    fn the_record_stays_short() {
        let mut ended = EndedLogins::default();
        for number in 0..1_000 {
            ended.end(SessionId::from_u128(number));
        }

        assert_eq!(ended.single.len(), SINGLE_MAX);
        assert!(ended.contains(SessionId::from_u128(999), at(1)));
    }
}
