//! The planned hand-off of one shard, as its source sees it: a state machine without clock or IO.
//!
//! ```text
//! preparing → sealing → flipping ──→ opening → moved
//!     │          │          ↓     ↗
//!     └→ kept ←──┘       unsure ─→ lost
//!                           ↓ ↑
//!                         retaking → retaken
//! ```
//!
//! Whoever drives it carries out each action and tells what became of it. Until the flip nothing has happened that could not be taken
//! back; the flip is one compare-and-swap, and where its answer is lost the table is asked what it was. If it has not happened it may
//! still do so, for instance when it waits for a lock, and whoever served on by then would answer from memory what is not its own any
//! more: so the source retakes the shard under the next epoch, which makes the flip come too late. At every
//! moment the table names one owner, and whatever fails, the shard stays, or becomes the target's, or is claimed after a lease.

use uuid::Uuid;

use crate::placement::Shard;

/// What the driver has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask the target whether it takes the shard, and tell it what is hot there.
    Prepare,
    /// Let nobody new begin; let the entities finish and stop, and wait for the journal.
    Seal,
    /// Make the target the owner, by compare-and-swap.
    Flip,
    /// Ask the table who the owner is.
    Look,
    /// Make the source the owner under the next epoch, by compare-and-swap, so that no flip can follow.
    Retake,
    /// Tell the target that it is the owner under this epoch.
    Open(i64),
    /// Nothing more: it has ended like this.
    End(Outcome),
}

/// What became of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Whether the target takes the shard.
    Prepared(bool),
    /// Whether everything has stopped in time.
    Sealed(bool),
    /// The flip was carried out, under this epoch.
    Flipped(i64),
    /// The flip, or the retaking, was refused, or nobody knows.
    FlipUnsure,
    /// The source is the owner under this epoch.
    Retaken(i64),
    /// The table could be read: the epoch, and the owner.
    Found(i64, Option<Uuid>),
    /// The table could not be read.
    NotFound,
    /// The target was told, or could not be reached: it reads the table itself.
    Opened,
}

/// How a hand-off has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target owns the shard, under this epoch.
    Moved(i64),
    /// The source owns it as before.
    Kept,
    /// The source owns it, under this epoch.
    Retaken(i64),
    /// Somebody else owns it, under this epoch.
    Lost(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Preparing,
    Sealing,
    Flipping,
    Unsure,
    Retaking,
    Opening(i64),
    Ended(Outcome),
}

/// One hand-off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handoff {
    /// The shard.
    pub shard: Shard,
    /// The epoch under which the source owns it.
    pub epoch: i64,
    /// The source.
    pub from: Uuid,
    /// The target.
    pub to: Uuid,
    step: Step,
}

impl Handoff {
    /// Begins with asking the target.
    pub fn begin(shard: Shard, epoch: i64, from: Uuid, to: Uuid) -> (Self, Action) {
        let handoff = Handoff {
            shard,
            epoch,
            from,
            to,
            step: Step::Preparing,
        };
        (handoff, Action::Prepare)
    }

    /// What follows from what became of the last action. Events that do not answer it change nothing.
    pub fn on(&mut self, event: Event) -> Action {
        self.step = match (self.step, event) {
            (Step::Preparing, Event::Prepared(true)) => Step::Sealing,
            (Step::Sealing, Event::Sealed(true)) => Step::Flipping,
            (Step::Preparing, Event::Prepared(false)) | (Step::Sealing, Event::Sealed(false)) => {
                Step::Ended(Outcome::Kept)
            }
            (Step::Flipping, Event::Flipped(epoch)) => Step::Opening(epoch),
            (Step::Flipping | Step::Retaking, Event::FlipUnsure) | (Step::Unsure, Event::NotFound) => {
                Step::Unsure
            }
            (Step::Retaking, Event::Retaken(epoch)) => Step::Ended(Outcome::Retaken(epoch)),
            (Step::Unsure, Event::Found(epoch, owner)) => self.found(epoch, owner),
            (Step::Opening(epoch), Event::Opened) => Step::Ended(Outcome::Moved(epoch)),
            (step, _) => step,
        };
        self.action()
    }

    fn found(&self, epoch: i64, owner: Option<Uuid>) -> Step {
        if epoch == self.epoch && owner == Some(self.from) {
            Step::Retaking
        } else if epoch == self.epoch + 1 && owner == Some(self.from) {
            Step::Ended(Outcome::Retaken(epoch))
        } else if epoch == self.epoch + 1 && owner == Some(self.to) {
            Step::Opening(epoch)
        } else {
            Step::Ended(Outcome::Lost(epoch))
        }
    }

    fn action(&self) -> Action {
        match self.step {
            Step::Preparing => Action::Prepare,
            Step::Sealing => Action::Seal,
            Step::Flipping => Action::Flip,
            Step::Unsure => Action::Look,
            Step::Retaking => Action::Retake,
            Step::Opening(epoch) => Action::Open(epoch),
            Step::Ended(outcome) => Action::End(outcome),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Uuid = Uuid::from_u128(1);
    const TARGET: Uuid = Uuid::from_u128(2);

    /// The actions that follow from these events.
    fn run(events: &[Event]) -> Vec<Action> {
        let (mut handoff, first) = Handoff::begin(9, 4, SOURCE, TARGET);
        let rest = events.iter().map(|event| handoff.on(*event));
        [first].into_iter().chain(rest).collect()
    }

    #[test]
    fn a_hand_off_prepares_seals_flips_and_opens() {
        assert_eq!(
            run(&[
                Event::Prepared(true),
                Event::Sealed(true),
                Event::Flipped(5),
                Event::Opened
            ]),
            [
                Action::Prepare,
                Action::Seal,
                Action::Flip,
                Action::Open(5),
                Action::End(Outcome::Moved(5))
            ]
        );
    }

    #[test]
    fn whatever_fails_before_the_flip_leaves_the_shard_where_it_is() {
        let kept = Action::End(Outcome::Kept);

        assert_eq!(run(&[Event::Prepared(false)])[1], kept);
        assert_eq!(run(&[Event::Prepared(true), Event::Sealed(false)])[2], kept);
    }

    #[test]
    fn a_flip_whose_answer_is_lost_is_looked_up_until_it_is_known() {
        let unsure = [
            Event::Prepared(true),
            Event::Sealed(true),
            Event::FlipUnsure,
            Event::NotFound,
        ];
        let then = |event| *run(&[&unsure[..], &[event]].concat()).last().expect("an action");

        assert_eq!(run(&unsure)[3..], [Action::Look, Action::Look]);
        assert_eq!(then(Event::Found(5, Some(TARGET))), Action::Open(5));
        assert_eq!(then(Event::Found(4, Some(SOURCE))), Action::Retake);
        assert_eq!(
            then(Event::Found(5, Some(Uuid::from_u128(3)))),
            Action::End(Outcome::Lost(5))
        );
    }

    #[test]
    fn a_flip_that_has_not_happened_is_made_to_come_too_late() {
        let retaking = [
            Event::Prepared(true),
            Event::Sealed(true),
            Event::FlipUnsure,
            Event::Found(4, Some(SOURCE)),
        ];
        let then = |events: &[Event]| *run(&[&retaking[..], events].concat()).last().expect("an action");

        assert_eq!(then(&[Event::Retaken(5)]), Action::End(Outcome::Retaken(5)));
        assert_eq!(then(&[Event::FlipUnsure]), Action::Look);
        // The flip was faster.
        assert_eq!(
            then(&[Event::FlipUnsure, Event::Found(5, Some(TARGET))]),
            Action::Open(5)
        );
        // The answer to the retaking was lost.
        assert_eq!(
            then(&[Event::FlipUnsure, Event::Found(5, Some(SOURCE))]),
            Action::End(Outcome::Retaken(5))
        );
    }

    #[test]
    fn events_out_of_turn_change_nothing() {
        assert_eq!(
            run(&[Event::Flipped(5), Event::Sealed(true), Event::Opened]),
            [Action::Prepare; 4]
        );
    }
}
