//! What this node knows of every shard: served here, sealed for a hand-off, served elsewhere, or nowhere it knows of.
//!
//! Ownership saves work; what makes writes safe is the fence inside every commit, which compares shard, epoch and
//! incarnation with the database. What makes reads from memory safe is the lease: nobody else can have claimed a shard while it
//! lasts, and whoever answers from memory looks at the lease after it looked at the memory.
//!
//! Epochs only grow. Whatever is told of a shard under a lower epoch than the newest known is ignored.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::placement::{SHARDS, Shard};

/// Marks a shard that is not served.
const NOT_OWNED: i64 = 0;
/// The lowest bit of a shard's word: it is being handed over, and nobody new begins here.
const SEALED: i64 = 1;
/// The end of a lease that never ends.
const UNLIMITED: u64 = u64::MAX;
/// The end of a lease that is over.
const OVER: u64 = 0;

/// What this node knows of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// This node serves it.
    Here,
    /// This node is handing it over; soon it has another place, or is here again.
    Sealed,
    /// Another node serves it.
    There(Owner),
    /// Nobody is known to serve it.
    Nowhere,
}

/// The other node that serves a shard. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its incarnation.
    pub incarnation: Uuid,
    /// The epoch it serves the shard under.
    pub epoch: i64,
    /// Where its link listens.
    pub link: Arc<str>,
}

/// What this node knows of all shards.
#[derive(Debug)]
pub struct ShardMap {
    /// Whose map it is; nil where nobody else is.
    me: Uuid,
    /// By shard: the epoch it is served under, shifted, with the seal below it.
    words: Vec<AtomicI64>,
    fenced: Vec<AtomicI64>,
    /// By shard: the highest epoch that anything was heard of.
    heard: Vec<AtomicI64>,
    /// When another node told of a shard last, in microseconds since `origin`; 0 if what is known is from the table.
    rumoured: Vec<AtomicU64>,
    elsewhere: RwLock<Vec<Option<Owner>>>,
    settled: Vec<Notify>,
    gained: Notify,
    turns: Vec<AtomicU32>,
    /// Commands and decisions that were refused because a shard has, or may have, another owner.
    refused: AtomicU64,
    /// The end of the lease, in microseconds since `origin`.
    lease_end: AtomicU64,
    origin: Instant,
    /// Held while a shard changes hands, so that a look and the change that follows from it are one step.
    changing: Mutex<()>,
}

impl Default for ShardMap {
    fn default() -> Self {
        let unowned = || (0..SHARDS).map(|_| AtomicI64::new(NOT_OWNED)).collect();
        ShardMap {
            me: Uuid::nil(),
            words: unowned(),
            fenced: unowned(),
            heard: unowned(),
            rumoured: (0..SHARDS).map(|_| AtomicU64::new(0)).collect(),
            elsewhere: RwLock::new(vec![None; SHARDS]),
            settled: (0..SHARDS).map(|_| Notify::new()).collect(),
            gained: Notify::new(),
            turns: (0..SHARDS).map(|_| AtomicU32::new(0)).collect(),
            refused: AtomicU64::new(0),
            lease_end: AtomicU64::new(UNLIMITED),
            origin: Instant::now(),
            changing: Mutex::new(()),
        }
    }
}

impl ShardMap {
    /// The map of the node with this incarnation.
    pub fn of(me: Uuid) -> Self {
        ShardMap {
            me,
            ..ShardMap::default()
        }
    }

    /// Serves `shard` under `epoch`, which is at least 1.
    pub fn serve(&self, shard: Shard, epoch: i64) {
        let changing = self.change();
        self.begin(shard, epoch);
        drop(changing);
        self.tell_gained(shard);
    }

    /// Serves `shard` under `epoch`, unless something as new was heard of it. Returns whether it does.
    pub fn open(&self, shard: Shard, epoch: i64) -> bool {
        let changing = self.change();
        let new = epoch > self.heard(shard).load(Ordering::Acquire);
        if new {
            self.begin(shard, epoch);
        }
        drop(changing);
        if new {
            self.tell_gained(shard);
        }
        new
    }

    fn begin(&self, shard: Shard, epoch: i64) {
        self.heard(shard).fetch_max(epoch, Ordering::AcqRel);
        self.word(shard).store(epoch << 1, Ordering::Release);
        self.set_elsewhere(shard, None);
    }

    fn tell_gained(&self, shard: Shard) {
        self.settled[usize::from(shard)].notify_waiters();
        self.gained.notify_one();
    }

    /// Stops serving `shard` because the database names another owner. Returns whether it was served.
    pub fn fence(&self, shard: Shard) -> bool {
        let _changing = self.change();
        let epoch = self.word(shard).swap(NOT_OWNED, Ordering::AcqRel) >> 1;
        if epoch == NOT_OWNED {
            return false;
        }
        self.fenced[usize::from(shard)].store(epoch, Ordering::Release);
        true
    }

    /// Begins a hand-over: what was begun is finished, and nobody new begins. Returns the epoch, if it was served.
    pub fn seal(&self, shard: Shard) -> Option<i64> {
        let _changing = self.change();
        let word = self.word(shard).load(Ordering::Acquire);
        if word == NOT_OWNED || word & SEALED != 0 {
            return None;
        }
        self.word(shard).store(word | SEALED, Ordering::Release);
        Some(word >> 1)
    }

    /// Ends a hand-over that did not happen: the shard is served as before, if it still is sealed.
    pub fn unseal(&self, shard: Shard) {
        let changing = self.change();
        let word = self.word(shard).load(Ordering::Acquire);
        if word & SEALED != 0 {
            self.word(shard).store(word & !SEALED, Ordering::Release);
        }
        drop(changing);
        self.settled[usize::from(shard)].notify_waiters();
    }

    /// Another node serves `shard`, as the table or the node itself told; an epoch lower than the one known is ignored. So is news of
    /// this node: that a shard is its own it hears from the table or from whoever hands it over, and then [opens](Self::open) it,
    /// which it could not do if the epoch were known already.
    ///
    /// Returns the epoch under which this node served the shard until now, if it did: its entities have to go.
    pub fn learn(&self, shard: Shard, owner: Owner) -> Option<i64> {
        if owner.incarnation == self.me {
            return None;
        }
        let changing = self.change();
        let here = self.word(shard).load(Ordering::Acquire);
        let heard = self.heard(shard).load(Ordering::Acquire);
        // Of one epoch there is one owner: told again, it may bring a new address, unless it is this node or dead.
        if owner.epoch < heard || owner.epoch == heard && self.elsewhere(shard).is_none() {
            return None;
        }
        self.heard(shard).store(owner.epoch, Ordering::Release);
        self.word(shard).store(NOT_OWNED, Ordering::Release);
        self.set_elsewhere(shard, Some(owner));
        drop(changing);
        self.settled[usize::from(shard)].notify_waiters();
        (here != NOT_OWNED).then_some(here >> 1)
    }

    /// Another node says who serves `shard`: believed as what the table says is, until the table is [looked at](Self::correct) again.
    ///
    /// Returns what [`ShardMap::learn`] does.
    pub fn hear(&self, shard: Shard, owner: Owner) -> Option<i64> {
        self.rumoured[usize::from(shard)].store(self.micros(Instant::now()).max(1), Ordering::Release);
        self.learn(shard, owner)
    }

    /// Takes back what another node told of `shard` if a look at the table that began later, at `looked`, found a lower epoch: whoever
    /// tells the truth tells what is in the table already.
    pub fn correct(&self, shard: Shard, epoch: i64, looked: Instant) {
        let rumoured = &self.rumoured[usize::from(shard)];
        let told = rumoured.load(Ordering::Acquire);
        if told == 0 || told >= self.micros(looked) {
            return;
        }
        let _changing = self.change();
        if self.word(shard).load(Ordering::Acquire) == NOT_OWNED
            && self.heard(shard).load(Ordering::Acquire) > epoch
        {
            self.heard(shard).store(epoch - 1, Ordering::Release);
            self.set_elsewhere(shard, None);
        }
        rumoured.store(0, Ordering::Release);
    }

    /// Nobody serves `shard`: its owner under `epoch` is dead, or has given it up.
    pub fn disown(&self, shard: Shard, epoch: i64) {
        let _changing = self.change();
        if self.elsewhere(shard).is_some_and(|owner| owner.epoch <= epoch) {
            self.set_elsewhere(shard, None);
        }
        self.heard(shard).fetch_max(epoch, Ordering::AcqRel);
    }

    /// Whether anything was heard of `shard` under `epoch` or a later one.
    pub fn knows(&self, shard: Shard, epoch: i64) -> bool {
        self.heard(shard).load(Ordering::Acquire) >= epoch
    }

    /// What this node knows of `shard`.
    pub fn place(&self, shard: Shard) -> Place {
        self.place_at(shard, Instant::now())
    }

    /// What this node knows of `shard` at this moment.
    pub fn place_at(&self, shard: Shard, now: Instant) -> Place {
        let word = self.word(shard).load(Ordering::Acquire);
        if word == NOT_OWNED {
            return self.elsewhere(shard).map_or(Place::Nowhere, Place::There);
        }
        match word & SEALED {
            0 if self.held(now) => Place::Here,
            // Whoever could not renew its lease may have lost all it had, and does not know to whom.
            0 => Place::Nowhere,
            _ => Place::Sealed,
        }
    }

    /// Waits until `shard` is served by somebody. Callers bound the wait by their deadline, and how many wait.
    pub async fn settled(&self, shard: Shard) {
        loop {
            let changed = self.settled[usize::from(shard)].notified();
            let mut changed = std::pin::pin!(changed);
            // Listening before looking, so that nothing is missed in between.
            changed.as_mut().enable();
            if matches!(self.place(shard), Place::Here | Place::There(_)) {
                return;
            }
            changed.await;
        }
    }

    /// Waits until this node has gained a shard; several gained meanwhile are one wait.
    pub(crate) async fn gained(&self) {
        self.gained.notified().await;
    }

    /// Whether new work may begin on `shard` here, as far as that can be told without a clock.
    pub fn serving(&self, shard: Shard) -> bool {
        self.serving_epoch(shard) != NOT_OWNED && self.lease_end.load(Ordering::Relaxed) != OVER
    }

    /// Whether new work may begin on `shard` here at this moment.
    pub fn serving_at(&self, shard: Shard, now: Instant) -> bool {
        self.serving_epoch(shard) != NOT_OWNED && self.held(now)
    }

    /// The epoch under which new work may begin on `shard`, whatever the lease; 0 for none.
    pub(crate) fn serving_epoch(&self, shard: Shard) -> i64 {
        let word = self.word(shard).load(Ordering::Acquire);
        if word & SEALED == 0 { word >> 1 } else { NOT_OWNED }
    }

    /// The epoch under which this node owns `shard`, sealed or not; 0 if it does not.
    pub fn epoch(&self, shard: Shard) -> i64 {
        self.word(shard).load(Ordering::Acquire) >> 1
    }

    /// The epoch under which `shard` was fenced, if it was.
    pub fn fenced_at(&self, shard: Shard) -> Option<i64> {
        let epoch = self.fenced[usize::from(shard)].load(Ordering::Acquire);
        (epoch != NOT_OWNED).then_some(epoch)
    }

    /// Every shard with the epoch under which this node owns it (0: it does not).
    pub fn all(&self) -> impl Iterator<Item = (Shard, i64)> {
        (0..=Shard::MAX).map(|shard| (shard, self.epoch(shard)))
    }

    /// Whether this node serves every shard.
    pub fn complete(&self) -> bool {
        self.all().all(|(_, epoch)| epoch != NOT_OWNED)
    }

    /// Whether every shard is served by somebody, or about to be.
    pub fn placed(&self) -> bool {
        (0..=Shard::MAX).all(|shard| self.place(shard) != Place::Nowhere)
    }

    /// Whether some shard is served by somebody, or about to be.
    pub fn placed_any(&self) -> bool {
        (0..=Shard::MAX).any(|shard| self.place(shard) != Place::Nowhere)
    }

    /// Grants the lease until then.
    pub fn lease_until(&self, end: Instant) {
        let before = self.lease_end.swap(self.micros(end).max(1), Ordering::AcqRel);
        if before == OVER {
            self.settled.iter().for_each(Notify::notify_waiters);
        }
    }

    /// Takes the lease away if it has ended by now. Returns whether it was held until now.
    pub fn end_lease(&self, now: Instant) -> bool {
        let end = self.lease_end.load(Ordering::Acquire);
        if end == OVER || self.held(now) {
            return false;
        }
        self.lease_end.store(OVER, Ordering::Release);
        true
    }

    /// Takes the lease away for good measure, whenever it ends.
    pub fn revoke_lease(&self) {
        self.lease_end.store(OVER, Ordering::Release);
    }

    /// Whether the lease is held at this moment.
    pub fn held(&self, now: Instant) -> bool {
        match self.lease_end.load(Ordering::Relaxed) {
            UNLIMITED => true,
            end => self.micros(now) < end,
        }
    }

    /// How long the lease still lasts; `None` for ever.
    pub fn lease_remaining(&self, now: Instant) -> Option<Duration> {
        match self.lease_end.load(Ordering::Relaxed) {
            UNLIMITED => None,
            end => Some(Duration::from_micros(end.saturating_sub(self.micros(now)))),
        }
    }

    /// Counts a command or decision that is refused because its shard has, or may have, another owner.
    pub(crate) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How many commands and decisions were refused because a shard has, or may have, another owner.
    pub fn refused(&self) -> i64 {
        i64::try_from(self.refused.load(Ordering::Relaxed)).unwrap_or(i64::MAX)
    }

    /// Counts a turn of an entity of `shard`.
    pub(crate) fn turned(&self, shard: Shard) {
        self.turns[usize::from(shard)].fetch_add(1, Ordering::Relaxed);
    }

    /// How many turns the entities of each shard have taken since this was asked last.
    pub fn take_turns(&self) -> Vec<u32> {
        self.turns
            .iter()
            .map(|turns| turns.swap(0, Ordering::Relaxed))
            .collect()
    }

    fn heard(&self, shard: Shard) -> &AtomicI64 {
        &self.heard[usize::from(shard)]
    }

    fn elsewhere(&self, shard: Shard) -> Option<Owner> {
        let elsewhere = self.elsewhere.read().unwrap_or_else(PoisonError::into_inner);
        elsewhere[usize::from(shard)].clone()
    }

    fn set_elsewhere(&self, shard: Shard, owner: Option<Owner>) {
        let mut elsewhere = self.elsewhere.write().unwrap_or_else(PoisonError::into_inner);
        elsewhere[usize::from(shard)] = owner;
    }

    fn change(&self) -> std::sync::MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn word(&self, shard: Shard) -> &AtomicI64 {
        &self.words[usize::from(shard)]
    }

    fn micros(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.origin);
        u64::try_from(since.as_micros()).unwrap_or(UNLIMITED - 1)
    }
}

#[cfg(test)]
mod tests;
