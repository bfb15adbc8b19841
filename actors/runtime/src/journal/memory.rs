//! The journal in memory: the same contract, with faults that a test scripts.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;

use super::{CommitError, Entry, History, Journal, Recorded, Submission};
use crate::effects::Value;
use crate::entity::EntityRef;
use crate::store_error::StoreError;

/// What is to happen to the next submission.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is refused with this error and leaves nothing behind.
    Refuse(CommitError),
    /// It is committed, and its submitter is told that the outcome is unknown.
    LoseReply,
}

#[derive(Default)]
struct Kept {
    histories: BTreeMap<EntityRef, History>,
    operations: BTreeMap<u128, Recorded>,
    rows: Vec<(&'static str, Vec<Value>)>,
    messages: Vec<String>,
    faults: VecDeque<Option<Fault>>,
    held: Option<Vec<Entry>>,
}

/// Keeps everything in memory and commits each submission at once, unless it is told to hold.
#[derive(Clone, Default)]
pub struct MemoryJournal {
    kept: Arc<Mutex<Kept>>,
}

impl MemoryJournal {
    /// Scripts the next submissions, in order; `None` commits normally.
    pub fn script(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.kept().faults.extend(faults);
    }

    /// Holds everything that is submitted from now on, as a slow disk would.
    pub fn hold(&self) {
        self.kept().held.get_or_insert_with(Vec::new);
    }

    /// Commits what was held, in order, and holds no longer.
    pub fn release(&self) {
        let held = self.kept().held.take().unwrap_or_default();
        for entry in held {
            self.submit(entry);
        }
    }

    /// How many entries are held.
    pub fn held(&self) -> usize {
        self.kept().held.as_ref().map_or(0, Vec::len)
    }

    /// What is kept of one entity.
    pub fn history(&self, entity: EntityRef) -> History {
        self.kept().histories.get(&entity).cloned().unwrap_or_default()
    }

    /// Every row written so far: table and values.
    pub fn rows(&self) -> Vec<(&'static str, Vec<Value>)> {
        self.kept().rows.clone()
    }

    /// The payloads of all messages so far.
    pub fn messages(&self) -> Vec<String> {
        self.kept().messages.clone()
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn commit(&mut self, submission: &Submission) -> Result<(), CommitError> {
        if submission.lineage.has_failed() {
            return Err(CommitError::Superseded);
        }
        let fault = self.faults.pop_front().flatten();
        if let Some(Fault::Refuse(error)) = fault {
            return Err(error);
        }
        if submission
            .operation
            .as_ref()
            .is_some_and(|(operation, _)| self.operations.contains_key(&operation.id))
        {
            return Err(CommitError::DuplicateOperation);
        }
        let history = self.histories.entry(submission.entity).or_default();
        if let Some(turn) = &submission.turn {
            let last = history.turns.last().map(|(turn, _)| turn.version);
            let last = last
                .or(history.snapshot.as_ref().map(|snapshot| snapshot.version))
                .unwrap_or(0);
            if turn.version != last + 1 {
                return Err(CommitError::Superseded);
            }
            let operation = submission.operation.as_ref().map(|(operation, _)| operation.id);
            history.turns.push((turn.clone(), operation));
        }
        if let Some(snapshot) = &submission.snapshot {
            history.turns.retain(|(turn, _)| turn.version > snapshot.version);
            history.snapshot = Some(snapshot.clone());
        }
        if let Some((operation, answer)) = &submission.operation {
            let recorded = Recorded {
                entity: submission.entity,
                operation: *operation,
                answer: answer.clone(),
            };
            self.operations.insert(operation.id, recorded);
        }
        self.rows.extend(
            submission
                .effects
                .rows()
                .map(|(table, values)| (table, values.to_vec())),
        );
        self.messages.extend(
            submission
                .effects
                .messages()
                .map(|(_, payload)| payload.to_owned()),
        );
        if let Some(Fault::LoseReply) = fault {
            Err(CommitError::Unknown)
        } else {
            Ok(())
        }
    }
}

impl Journal for MemoryJournal {
    fn submit(&self, entry: Entry) {
        let mut kept = self.kept();
        if let Some(held) = &mut kept.held {
            held.push(entry);
            return;
        }
        let outcome = match &entry {
            Entry::Write(submission) => kept.commit(submission),
            Entry::Barrier(..) => Ok(()),
        };
        drop(kept);
        entry.finish(outcome);
    }

    fn load(&self, entity: EntityRef) -> BoxFuture<'static, Result<History, StoreError>> {
        let history = self.history(entity);
        Box::pin(async move { Ok(history) })
    }

    fn operation(&self, id: u128) -> BoxFuture<'static, Result<Option<Recorded>, StoreError>> {
        let found = self.kept().operations.get(&id).cloned();
        Box::pin(async move { Ok(found) })
    }
}
