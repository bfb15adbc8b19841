//! [`Offering`] bound to the runtime, whatever it offers: read by everybody who takes it up.

use std::fmt::Display;
use std::marker::PhantomData;

use lyceum_domain::commerce::offering::{Event, Terms};
use lyceum_domain::commerce::{Error, Offering};
use lyceum_domain::ids::UserId;
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Durability, Effects, Entity, Key, Kind};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::operators::audit;

/// What offerings of one kind have of their own.
pub trait Offered: Terms + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What identifies and places one.
    type Id: Key + Display;

    /// Name and number of the kind.
    const KIND: Kind;
    /// What the audit log calls it when an operator withdraws somebody else's.
    const WITHDRAWAL: &'static str;

    /// Whose it is; `None` if it is the platform's.
    fn creator(&self) -> Option<UserId>;

    /// What the audit log says about it.
    fn details(&self) -> Value;

    /// Writes its row.
    fn row(&self, id: Self::Id, state: &'static str, now: Timestamp, effects: &mut Effects);
}

/// Binds offerings of one kind to the runtime.
pub struct Offerings<T> {
    snapshot_every: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Offerings<T> {
    /// Offerings whose recovery reads at most `snapshot_every` decisions.
    pub fn new(snapshot_every: u32) -> Self {
        Offerings {
            snapshot_every,
            of: PhantomData,
        }
    }
}

/// What can be asked about an offering.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfferQuestion {
    /// What it is, offered or not.
    View,
    /// What it offers to whoever wants it now; refused once it is withdrawn.
    Offer,
}

/// What an offering answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OfferAnswer<T> {
    /// What it offers.
    pub offer: T,
    /// `offered` or `withdrawn`.
    pub state: String,
}

impl<T: Offered> Entity for Offerings<T> {
    type State = Offering<T>;
    type Key = T::Id;
    type Question = OfferQuestion;
    type Answer = OfferAnswer<T>;

    const KIND: Kind = T::KIND;

    fn durability(&self) -> Durability {
        Durability::Journaled {
            snapshot_every: self.snapshot_every,
        }
    }

    fn answer(
        &self,
        state: &Offering<T>,
        question: OfferQuestion,
        _: Timestamp,
    ) -> Result<OfferAnswer<T>, Error> {
        let offer = match question {
            OfferQuestion::View => state.offer()?,
            OfferQuestion::Offer => state.for_sale()?,
        };
        Ok(OfferAnswer {
            offer: offer.clone(),
            state: state.name().to_owned(),
        })
    }

    fn effects(
        &self,
        key: T::Id,
        state: &Offering<T>,
        events: &[Event<T>],
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let Ok(offer) = state.offer() else { return };
        if events.is_empty() {
            return;
        }
        for event in events {
            if let Event::Withdrawn { deed: Some(deed), .. } = event {
                audit::record(deed, T::WITHDRAWAL, key.to_string(), &offer.details(), effects);
            }
        }
        offer.row(key, state.name(), now, effects);
    }
}
