//! Journeys: what people do on the platform, as small sequences of requests.
//!
//! | journey | operations in order |
//! |---|---|
//! | browse | list, (think), course |
//! | look | course |
//! | search | search, (think), course |
//! | register | register |
//! | login | login, me, logout |
//! | recommend | recommend |
//! | learn | course, content, (think), learn |
//! | rate | rate |
//! | buy | `top_up` if the wallet is short, buy |
//! | `buy_sandbox` | `buy_sandbox`, settle |
//! | refund | buy if there is nothing to return, refund |
//!
//! `settle` lasts from the 202 of an order until it is final, as its buyer sees it by asking again and again; the polls
//! themselves are not counted. Likewise `top_up` lasts until the money is in the wallet. A journey ends with its first
//! failure; the operation that failed is counted as such.

mod account;
mod buy;
mod read;
mod study;

use crate::visit::{Ended, Visit};

/// A sequence of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journey {
    /// Looks through a page of courses and at one of them.
    Browse,
    /// Looks at one course: the cheapest request that says something.
    Look,
    /// Finds courses by words.
    Search,
    /// Makes an account.
    Register,
    /// Logs in and out again.
    Login,
    /// Asks what to study next.
    Recommend,
    /// Studies: content of a lesson, then progress.
    Learn,
    /// Gives stars.
    Rate,
    /// Buys a course from the wallet.
    Buy,
    /// Buys a course through the sandbox provider.
    BuySandbox,
    /// Returns a course.
    Refund,
}

/// A request, or a wait, that is measured under a name of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `GET /v1/courses`.
    List,
    /// `GET /v1/courses/{id}`.
    Course,
    /// `GET /v1/courses?q=`.
    Search,
    /// `POST /v1/users`.
    Register,
    /// `POST /v1/sessions`.
    Login,
    /// `GET /v1/me`.
    Me,
    /// `DELETE /v1/sessions/{id}`.
    Logout,
    /// `GET /v1/me/recommendations`.
    Recommend,
    /// `GET /v1/courses/{id}/lessons/{lesson_id}/content`.
    Content,
    /// `POST /v1/events`: start and progress.
    Learn,
    /// `POST /v1/events`: a rating.
    Rate,
    /// `POST /v1/me/wallet/top-ups` until the money is there.
    TopUp,
    /// `POST /v1/orders` from the wallet.
    Buy,
    /// `POST /v1/orders` through the sandbox.
    BuySandbox,
    /// From the 202 of an order until it is final.
    Settle,
    /// `POST /v1/orders/{id}/refunds`.
    Refund,
}

impl Step {
    /// Every step, in the order of reports.
    pub const ALL: [Step; 16] = [
        Step::List,
        Step::Course,
        Step::Search,
        Step::Register,
        Step::Login,
        Step::Me,
        Step::Logout,
        Step::Recommend,
        Step::Content,
        Step::Learn,
        Step::Rate,
        Step::TopUp,
        Step::Buy,
        Step::BuySandbox,
        Step::Settle,
        Step::Refund,
    ];

    /// Returns its name in thresholds and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Step::List => "list",
            Step::Course => "course",
            Step::Search => "search",
            Step::Register => "register",
            Step::Login => "login",
            Step::Me => "me",
            Step::Logout => "logout",
            Step::Recommend => "recommend",
            Step::Content => "content",
            Step::Learn => "learn",
            Step::Rate => "rate",
            Step::TopUp => "top_up",
            Step::Buy => "buy",
            Step::BuySandbox => "buy_sandbox",
            Step::Settle => "settle",
            Step::Refund => "refund",
        }
    }
}

impl Journey {
    /// Every journey.
    pub const ALL: [Journey; 11] = [
        Journey::Browse,
        Journey::Look,
        Journey::Search,
        Journey::Register,
        Journey::Login,
        Journey::Recommend,
        Journey::Learn,
        Journey::Rate,
        Journey::Buy,
        Journey::BuySandbox,
        Journey::Refund,
    ];

    /// Returns its name in scenarios.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Journey::Browse => "browse",
            Journey::Look => "look",
            Journey::Search => "search",
            Journey::Register => "register",
            Journey::Login => "login",
            Journey::Recommend => "recommend",
            Journey::Learn => "learn",
            Journey::Rate => "rate",
            Journey::Buy => "buy",
            Journey::BuySandbox => "buy_sandbox",
            Journey::Refund => "refund",
        }
    }

    /// Returns the journey of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Journey::ALL.into_iter().find(|journey| journey.name() == name)
    }

    /// Returns what it performs; a start that is dropped is counted for the first.
    #[must_use]
    pub fn operations(self) -> &'static [Step] {
        match self {
            Journey::Browse => &[Step::List, Step::Course],
            Journey::Look => &[Step::Course],
            Journey::Search => &[Step::Search, Step::Course],
            Journey::Register => &[Step::Register],
            Journey::Login => &[Step::Login, Step::Me, Step::Logout],
            Journey::Recommend => &[Step::Recommend],
            Journey::Learn => &[Step::Course, Step::Content, Step::Learn],
            Journey::Rate => &[Step::Rate],
            Journey::Buy => &[Step::Buy, Step::TopUp],
            Journey::BuySandbox => &[Step::BuySandbox, Step::Settle],
            Journey::Refund => &[Step::Refund, Step::Buy, Step::TopUp],
        }
    }

    /// Says whether each of its visits takes a course from what its users may still buy.
    #[must_use]
    pub fn buys(self) -> bool {
        matches!(self, Journey::Buy | Journey::BuySandbox)
    }

    /// Says whether it pays from the wallet.
    #[must_use]
    pub fn spends(self) -> bool {
        matches!(self, Journey::Buy | Journey::Refund)
    }

    /// Says whether it needs somebody who is logged in.
    #[must_use]
    pub fn needs_user(self) -> bool {
        !matches!(
            self,
            Journey::Browse | Journey::Look | Journey::Search | Journey::Register
        )
    }

    /// Goes on the journey.
    pub(crate) async fn go(self, visit: &mut Visit) -> Result<(), Ended> {
        match self {
            Journey::Browse => read::browse(visit).await,
            Journey::Look => read::look(visit).await,
            Journey::Search => read::search(visit).await,
            Journey::Register => account::register(visit).await,
            Journey::Login => account::login(visit).await,
            Journey::Recommend => read::recommend(visit).await,
            Journey::Learn => study::learn(visit).await,
            Journey::Rate => study::rate(visit).await,
            Journey::Buy => buy::from_wallet(visit).await,
            Journey::BuySandbox => buy::through_sandbox(visit).await,
            Journey::Refund => buy::refund(visit).await,
        }
    }
}

#[cfg(test)]
mod tests;
