//! What a membership was joined at; frozen, so that a plan, a share or a setting that changes later changes nothing for a member.

use std::sync::Arc;
use std::time::Duration;

use lyceum_kernel::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::Refusal;
use crate::commerce::coupon::Issuer;
use crate::commerce::order::{Line, Method, no_discount};
use crate::commerce::plan::{Every, Opens};
use crate::commerce::{Error, Provider};
use crate::ids::{CourseId, PlanId, UserId};

/// The most tries after the first one that failed.
pub const RETRIES_MAX: usize = 10;

/// What was agreed when somebody joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The plan.
    pub plan_id: PlanId,
    /// What it was called.
    pub title: Arc<str>,
    /// Whose plan it is.
    pub issuer: Issuer,
    /// Who earns.
    pub creator: UserId,
    /// Their part of what is paid, in 1/10,000.
    pub share_bps: u16,
    /// What a period costs.
    pub price: Money,
    /// How long a period is.
    pub every: Every,
    /// What may be studied.
    pub opens: Opens,
    /// Who pays.
    pub method: Method,
    /// What the provider needs to charge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What is done about a renewal that is not paid.
    pub dunning: Dunning,
    /// How long a pause lasts at most, milliseconds.
    pub pause_max_ms: u64,
}

/// When a renewal that was not paid is tried again, and until when the member keeps access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dunning {
    /// After the end of the last period, milliseconds; growing, and at most [`RETRIES_MAX`].
    retries_ms: Vec<u64>,
    /// After the end of the last period, milliseconds; later than all of them.
    grace_ms: u64,
}

impl Dunning {
    /// A schedule.
    ///
    /// # Errors
    /// [`Refusal::DunningInvalid`]: the tries do not grow, are too many, or do not fit into the grace.
    pub fn new(retries: &[Duration], grace: Duration) -> Result<Self, Refusal> {
        let grows = retries.windows(2).all(|pair| pair[0] < pair[1]);
        let fits = retries.len() <= RETRIES_MAX && retries.last().is_none_or(|last| *last < grace);
        if !grows || !fits || retries.first().is_some_and(Duration::is_zero) {
            return Err(Refusal::DunningInvalid);
        }
        Ok(Dunning {
            retries_ms: retries.iter().map(|pause| super::millis(*pause)).collect(),
            grace_ms: super::millis(grace),
        })
    }

    /// How long access outlasts what was paid.
    pub fn grace(&self) -> Duration {
        Duration::from_millis(self.grace_ms)
    }

    /// How long after the end it is tried after so many failures; `None` if it is not.
    pub fn retry(&self, failures: u32) -> Option<Duration> {
        let index = usize::try_from(failures.checked_sub(1)?).ok()?;
        self.retries_ms
            .get(index)
            .map(|pause| Duration::from_millis(*pause))
    }
}

impl Terms {
    /// Refuses a way to pay that needs somebody to be there: nobody is when a membership is renewed.
    ///
    /// # Errors
    /// [`Refusal::MethodCannotRenew`].
    pub fn checked(self) -> Result<Self, Error> {
        match self.method {
            Method::Wallet => Ok(Terms { token: None, ..self }),
            Method::Provider(Provider::Sandbox) if self.token.is_some() => Ok(self),
            Method::Provider(Provider::Sandbox) => Err(Error::PaymentTokenRequired),
            Method::Provider(_) => Err(Refusal::MethodCannotRenew.into()),
        }
    }

    /// The one line of the order that pays a period. A line names what is bought by the bits of its id, and those of a plan are never a
    /// course's.
    pub fn line(&self) -> Line {
        Line {
            course_id: CourseId::from_u128(self.plan_id.as_u128()),
            course_version: 1,
            title: self.title.clone(),
            price: self.price,
            creator: self.creator,
            share_bps: self.share_bps,
            discount: no_discount(),
        }
    }

    /// When a period ends that begins at `from` and counts from this day of the month: somebody who joined on the 31st pays at the end of
    /// each month, and not on the 28th for ever after a February.
    pub fn end_of(&self, from: Timestamp, day: u32) -> Timestamp {
        from.plus_months(self.every.months(), day)
    }
}
