//! The one actor that every entity is: recover, decide, apply, submit, answer, flush.
//!
//! It holds no rule of any domain. Per request: recover the state if memory is missing or not to be trusted;
//! replay a repeated operation; decide; apply at once; hand everything to the journal and take the next request.
//! The answer leaves when the commit has returned. Whoever is refused or only reads waits for the commits the
//! answer was derived from, so nobody ever hears of a state that can still vanish.
//!
//! Invariant: between a failed commit and the reload nothing is decided on the lost state.

use std::sync::Arc;
use std::time::Instant;

use lyceum_kernel::{Aggregate, Timestamp};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;

mod live;
mod record;
mod recovery;

use self::live::{Flush, Live, OPERATIONS_MAX};
use self::record::answer_from_record;
pub(crate) use self::record::recorded_answer;
use crate::ask::{AskError, Envelope, Outcome, Reply, Request};
use crate::clock;
use crate::context::Operation;
use crate::effects::{Effects, to_json};
use crate::entity::{Durability, Entity, EntityRef, ErrorOf, Key};
use crate::journal::{CommitError, Entry, Snapshot, Submission, Turn};
use crate::placement::shard_of;
use crate::region::Shared;
use crate::resident::Resident;
use crate::trace::{self, Span, SpanKind};

/// The actor of one entity.
pub(crate) struct Shell<E: Entity> {
    pub(crate) shared: Arc<Shared<E>>,
}

/// What the actor is started with.
pub(crate) struct Start<E: Entity> {
    pub(crate) key: E::Key,
    pub(crate) resident: oneshot::Receiver<Arc<Resident<E>>>,
}

impl<E: Entity> Actor for Shell<E> {
    type Msg = Envelope<E>;
    type State = Live<E>;
    type Arguments = Start<E>;

    /// Never fails and never waits for a store: an actor is linked to its supervisor only after this, so the
    /// state is recovered by the first request.
    async fn pre_start(
        &self,
        _: ActorRef<Self::Msg>,
        start: Start<E>,
    ) -> Result<Self::State, ActorProcessingErr> {
        let resident = start.resident.await?;
        self.shared.metrics.activations.increment();
        Ok(Live {
            key: start.key,
            shard: shard_of(start.key.placement()),
            resident,
            recovered: false,
            epoch: 0,
            version: 0,
            snapshot_version: 0,
            operations: Vec::new(),
            operations_complete: true,
            recent: Vec::new(),
            lineage: Arc::default(),
            flush: Flush::Clean,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        envelope: Self::Msg,
        live: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match envelope {
            Envelope::Request(request) => {
                let command = request.command.is_some();
                let trace = request.trace;
                // An idle actor keeps room for the largest thing it ever waits with: the request stays in its box.
                if trace.sampled {
                    Box::pin(trace::scope(trace, self.request(&myself, request, live))).await;
                } else {
                    self.request(&myself, request, live).await;
                }
                live.resident.dealt_with(command);
            }
            Envelope::Flush => self.flush(&myself, live),
            Envelope::Flushed(true) => live.flushed(&myself, &self.shared),
            Envelope::Flushed(false) => {
                live.flush = Flush::Clean;
                live.change(&myself, &self.shared);
            }
        }
        Ok(())
    }

    /// Leaves nothing behind: what is in flight is answered, a snapshot is kept.
    async fn post_stop(
        &self,
        _: ActorRef<Self::Msg>,
        live: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match self.shared.entity.durability() {
            Durability::Journaled { snapshot_every } => {
                // A short tail of events is read as fast as a snapshot; it is not worth a write.
                let tail = live.version - live.snapshot_version;
                if live.recovered && !live.lineage.has_failed() && tail > i64::from(snapshot_every / 4) {
                    self.submit_snapshot(live);
                }
                // A journal too full to tell is no reason to stay.
                let _ = Box::pin(self.settle(live)).await;
            }
            Durability::Snapshotted { ttl, .. }
                if live.recovered && live.flush != Flush::Clean && self.owns(live) =>
            {
                let put = self
                    .shared
                    .node
                    .snapshots
                    .put(live.snapshot_key(), live.encode(), ttl);
                if let Err(error) = Box::pin(put).await {
                    tracing::warn!(entity.kind = E::KIND.name, %error, "snapshot lost at passivation");
                }
            }
            Durability::Snapshotted { .. } => {}
        }
        Ok(())
    }
}

impl<E: Entity> Shell<E> {
    async fn request(
        &self,
        myself: &ActorRef<Envelope<E>>,
        mut request: Box<Request<E>>,
        live: &mut Live<E>,
    ) {
        request.waiting = None;
        let now_monotonic = Instant::now();
        live.resident.touch(now_monotonic);
        self.shared
            .metrics
            .mailbox_wait
            .record(now_monotonic.duration_since(request.queued_at));
        if request.deadline <= now_monotonic {
            self.shared.metrics.expired.increment();
            return request.reply.send(Err(AskError::Expired));
        }
        let shards = &self.shared.node.shards;
        let epoch = shards.epoch(live.shard);
        if epoch == 0 || !shards.held(now_monotonic) {
            if request.command.is_some() {
                self.shared.metrics.fenced.increment();
                shards.refuse();
            }
            return request.reply.send(Err(AskError::NotOwner));
        }
        shards.turned(live.shard);
        let mut span = Span::begin(request.trace, SpanKind::Internal, "turn");
        span.rename(|| format!("{} turn", E::KIND.name));
        request.trace = span.context();
        if (!live.recovered || live.epoch != epoch || live.lineage.has_failed())
            && let Err(error) = Box::pin(self.recover(live)).await
        {
            tracing::warn!(entity.kind = E::KIND.name, %error, "entity could not be recovered");
            span.ended(false);
            return request.reply.send(Err(AskError::Unavailable));
        }

        if let Some(operation) = request.operation
            && self.is_repeated(operation, live)
        {
            match Box::pin(self.replay(operation, request.reply, live)).await {
                None => return,
                // It looked repeated and is not on record: carry it out.
                Some(reply) => request.reply = reply,
            }
        }
        self.turn(myself, *request, live);
        self.shared.metrics.handle.record(now_monotonic.elapsed());
    }

    /// Decides, applies, hands over; the asker hears once the commit has returned.
    fn turn(&self, myself: &ActorRef<Envelope<E>>, mut request: Request<E>, live: &mut Live<E>) {
        let now = clock::now();
        request.reply.begin();
        let Some(command) = request.command else {
            return self.look(request, live, now);
        };
        // Held until what was decided is in the journal's hands, so that no reader takes it for durable before.
        let resident = live.resident.clone();
        let mut memory = resident.memory();
        let state = &mut memory.state;
        let events = match state.decide(command, now) {
            Ok(events) => events,
            Err(refusal) => {
                let refused = Err(AskError::Refused(refusal));
                return self.after_commits(live, request.reply, refused, request.operation);
            }
        };
        let mut effects = Effects::of(request.trace, self.shared.entity.saga_step(state, &events));
        for event in &events {
            state.apply(event);
        }
        let answer = match request.question {
            Some(question) => self.shared.entity.answer(state, question, now).map(Some),
            None => Ok(None),
        };
        if !events.is_empty() {
            self.shared
                .entity
                .effects(live.key, state, &events, now, &mut effects);
        }

        match self.shared.entity.durability() {
            Durability::Snapshotted { .. } => {
                if !events.is_empty() {
                    live.change(myself, &self.shared);
                }
                effects.send_signals();
                answer_to(request.reply, answer);
            }
            Durability::Journaled { .. } if events.is_empty() => match answer {
                // Nothing happened, so there is nothing to record: deciding it again gives the same.
                Ok(Some(answer)) => self.after_commits(live, request.reply, Ok(answer), request.operation),
                Ok(None) => {}
                Err(refusal) => self.after_commits(
                    live,
                    request.reply,
                    Err(AskError::Refused(refusal)),
                    request.operation,
                ),
            },
            Durability::Journaled { snapshot_every } => {
                let turn = Turn {
                    version: live.version + 1,
                    events: to_json(&events),
                };
                live.version += 1;
                let operation = self.record(request.operation, &answer, live);
                let snapshot = (live.version - live.snapshot_version >= i64::from(snapshot_every))
                    .then(|| live.take_snapshot(state));
                let done = self.answer_after_commit(request.reply, answer, request.operation);
                self.submit(live, Some(turn), now, operation, effects, snapshot, done);
            }
        }
    }

    /// Answers a question that changes nothing, once what it shows is durable.
    fn look(&self, request: Request<E>, live: &Live<E>, now: Timestamp) {
        let Some(question) = request.question else { return };
        let outcome = live.resident.answer(question, now).map_err(AskError::Refused);
        match self.shared.entity.durability() {
            Durability::Snapshotted { .. } => request.reply.send(outcome),
            Durability::Journaled { .. } => {
                self.after_commits(live, request.reply, outcome, request.operation);
            }
        }
    }

    /// Remembers a named operation and returns what the journal is to record of it.
    fn record(
        &self,
        operation: Option<Operation>,
        answer: &Result<Option<E::Answer>, ErrorOf<E>>,
        live: &mut Live<E>,
    ) -> Option<(Operation, String)> {
        let (Some(operation), Ok(Some(answer))) = (operation, answer) else {
            return None;
        };
        // An answer that is forgotten too early is found by the journal's refusal of a second record.
        if live.lineage.in_flight() == 0 || live.recent.len() >= OPERATIONS_MAX {
            live.recent.clear();
        }
        live.recent.push((operation, answer.clone()));
        live.remember(operation.id);
        Some((operation, to_json(answer)))
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one submission, named at the only two call sites"
    )]
    fn submit(
        &self,
        live: &Live<E>,
        turn: Option<Turn>,
        at: Timestamp,
        operation: Option<(Operation, String)>,
        effects: Effects,
        snapshot: Option<Snapshot>,
        done: Box<dyn FnOnce(Result<(), CommitError>) + Send>,
    ) {
        let lineage = live.lineage.clone();
        let in_flight = lineage.begin();
        let mut span = Span::begin(effects.trace(), SpanKind::Internal, "journal commit");
        self.shared.node.journal.submit(Entry::Write(Box::new(Submission {
            entity: EntityRef {
                kind: E::KIND.number,
                id: live.key.id(),
            },
            shard: live.shard,
            epoch: live.epoch,
            lineage,
            turn,
            at,
            operation,
            effects,
            snapshot,
            done: Some(Box::new(move |outcome| {
                drop(in_flight);
                span.ended(outcome.is_ok());
                drop(span);
                done(outcome);
            })),
        })));
    }

    fn submit_snapshot(&self, live: &mut Live<E>) {
        let snapshot = live.take_snapshot(&live.resident.clone().look().state);
        self.submit(
            live,
            None,
            clock::now(),
            None,
            Effects::default(),
            Some(snapshot),
            Box::new(|_| {}),
        );
    }

    /// The writer owns the reply from here.
    fn answer_after_commit(
        &self,
        reply: Reply<E>,
        answer: Result<Option<E::Answer>, ErrorOf<E>>,
        operation: Option<Operation>,
    ) -> Box<dyn FnOnce(Result<(), CommitError>) + Send> {
        let shared = self.shared.clone();
        Box::new(move |outcome| match outcome {
            Ok(()) => answer_to(reply, answer),
            Err(CommitError::Unknown) => reply.send(Err(AskError::Unknown)),
            Err(CommitError::Unavailable | CommitError::Superseded) => reply.send(Err(AskError::Unavailable)),
            Err(CommitError::Fenced) => reply.send(Err(AskError::NotOwner)),
            Err(CommitError::Constraint(name)) => {
                let refusal = match shared.entity.refusal(&name) {
                    Some(refusal) => AskError::Refused(refusal),
                    None => {
                        tracing::error!(
                            entity.kind = E::KIND.name,
                            constraint = name,
                            "constraint without a refusal"
                        );
                        AskError::Unavailable
                    }
                };
                // A repeated creation collides with its own first time before it is known to be a repetition.
                answer_from_record(shared, operation, reply, refusal);
            }
            Err(CommitError::DuplicateOperation) => {
                answer_from_record(shared, operation, reply, AskError::Unavailable);
            }
            Err(CommitError::Fault(cause)) => {
                tracing::error!(
                    entity.kind = E::KIND.name,
                    cause,
                    "a decision could not be stored"
                );
                reply.send(Err(AskError::Unavailable));
            }
        })
    }

    /// Answers once the commits that the answer was derived from have returned. If one has not, the state vanished and
    /// the asker has to ask the next one, unless the operation is on record by then.
    fn after_commits(
        &self,
        live: &Live<E>,
        reply: Reply<E>,
        outcome: Outcome<E>,
        operation: Option<Operation>,
    ) {
        let (shared, lineage) = (self.shared.clone(), live.lineage.clone());
        let (shard, epoch) = (live.shard, live.epoch);
        let done = move |passed: Result<(), CommitError>| {
            let shards = &shared.node.shards;
            if passed.is_err() || lineage.has_failed() {
                answer_from_record(shared, operation, reply, AskError::Unavailable);
            } else if shards.epoch(shard) != epoch || !shards.held(Instant::now()) {
                // Another owner may have changed what the answer was derived from.
                reply.send(Err(AskError::NotOwner));
            } else {
                reply.send(outcome);
            }
        };
        if live.lineage.in_flight() == 0 {
            // The last commit may have failed since this request was begun.
            return done(Ok(()));
        }
        let barrier = Entry::Barrier(live.shard, Box::new(done));
        self.shared.node.journal.submit(barrier);
    }

    fn is_repeated(&self, operation: Operation, live: &Live<E>) -> bool {
        live.operations.contains(&operation.id) || !live.operations_complete
    }

    /// Answers a repeated operation from its record; gives the reply back if there is none.
    async fn replay(&self, operation: Operation, reply: Reply<E>, live: &Live<E>) -> Option<Reply<E>> {
        if let Some((first, answer)) = live.recent.iter().find(|(first, _)| first.id == operation.id) {
            let same = first.fingerprint == operation.fingerprint;
            let outcome = if same {
                self.shared.metrics.replayed.increment();
                Ok(answer.clone())
            } else {
                self.shared.metrics.conflicts.increment();
                Err(AskError::KeyReused)
            };
            self.after_commits(live, reply, outcome, Some(operation));
            return None;
        }
        match recorded_answer(&self.shared, operation).await {
            Ok(Some(answered)) => reply.tell(Ok(answered)),
            Ok(None) => return Some(reply),
            Err(error) => reply.send(Err(error)),
        }
        None
    }

    fn flush(&self, myself: &ActorRef<Envelope<E>>, live: &mut Live<E>) {
        let Durability::Snapshotted { ttl, .. } = self.shared.entity.durability() else {
            return;
        };
        if !self.owns(live) {
            live.flush = Flush::Clean;
            return;
        }
        live.flush = Flush::Writing { dirty: false };
        let put = self
            .shared
            .node
            .snapshots
            .put(live.snapshot_key(), live.encode(), ttl);
        let myself = myself.clone();
        tokio::spawn(async move {
            let written = put.await.is_ok();
            // A stopped actor has written its state itself.
            let _ = myself.send_message(Envelope::Flushed(written));
        });
    }
}

fn answer_to<E: Entity>(reply: Reply<E>, answer: Result<Option<E::Answer>, ErrorOf<E>>) {
    match answer {
        Ok(Some(answer)) => reply.send(Ok(answer)),
        // Nobody asked a question: a command that was told.
        Ok(None) => {}
        Err(refusal) => reply.send(Err(AskError::Refused(refusal))),
    }
}
