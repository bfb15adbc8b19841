//! What follows from one domain's commits in another on the same node, at once. A signal may be lost with the process, so
//! nothing that matters depends on it.

use std::sync::Arc;

use lyceum_domain::accounts::Command as AccountCommand;
use lyceum_domain::recommend::Command as ProfileCommand;
use lyceum_runtime::Region;

use crate::accounts::{Accounts, Displaced, InterestsChosen};
use crate::bulletin::Board;
use crate::commerce::{Trade, Traded};
use crate::recommend::Profiles;

/// What follows a trade on this node: what was bought leaves the buyer's recommendations and gains a student, what was
/// refunded may be recommended again and loses one. The other nodes hear of the students.
///
/// It runs before the buyer hears of the trade, so the very next list knows of it.
pub(crate) fn on_trade(profiles: Region<Profiles>, board: Arc<Board>) -> Traded {
    Arc::new(move |user, trade, courses| {
        for course in courses.iter().copied() {
            match trade {
                Trade::Bought => {
                    profiles.tell(user, ProfileCommand::Exclude { course });
                    board.trade(course, 1);
                }
                Trade::Refunded => {
                    profiles.tell(user, ProfileCommand::Include { course });
                    board.trade(course, -1);
                }
            }
        }
    })
}

/// What follows when a login makes room for another: its account has it on record, where every node finds it.
pub(crate) fn on_displaced(accounts: Region<Accounts>) -> Displaced {
    Arc::new(move |user, session_id| accounts.tell(user, AccountCommand::EndLogin { session_id }))
}

/// What follows a choice of interests on this node: the user's very next list knows of it.
pub(crate) fn on_interests(profiles: Region<Profiles>) -> InterestsChosen {
    Arc::new(move |user, interests| {
        let interests = interests.as_slice().iter().map(ToString::to_string).collect();
        profiles.tell(user, ProfileCommand::SetInterests { interests });
    })
}
