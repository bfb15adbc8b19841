//! A region and the regions of its kind on other nodes: asking them, and being asked by them.
//!
//! A request goes to whoever serves its shard, as far as this node knows; if that one says who serves it now, the request
//! follows, twice at most. A shard that is changing hands is waited for, within the deadline and a bound. Whoever is asked
//! serves or says who does: a request of another node is never passed on, and is admitted like one of this node.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Region, Shared, counts};
use crate::ask::{Answered, AskError, Heard, Outcome, Permit, Reply, Request};
use crate::context::Context;
use crate::effects::to_json;
use crate::entity::{CommandOf, Entity, ErrorOf, Key};
use crate::link::{self, Answer, Call, Header, Incoming, Lost, Moved, Responder, Served, Status};
use crate::ownership::{Owner, Place};
use crate::placement::{Shard, shard_of};
use crate::seldom::{Seldom, brief};
use crate::trace::{Span, SpanKind, Trace};

/// How often a request is sent on when whoever was asked is not the owner any more.
const HOPS_MAX: u32 = 2;
static UNREADABLE: Seldom = Seldom::new();
/// How long to wait for the news to get around when two nodes name each other, or a pipe has just broken.
const PAUSE: Duration = Duration::from_millis(20);

/// What is asked; a command that nobody waits for asks no question.
pub(super) struct Asked<E: Entity> {
    pub(super) command: Option<CommandOf<E>>,
    pub(super) question: Option<E::Question>,
}

/// Where a request for a shard of another node has got to.
pub(super) enum Found<E: Entity> {
    /// This node serves the shard by now.
    Here(Asked<E>),
    /// Another node has answered.
    There(Heard<E>),
}

impl<E: Entity> Region<E> {
    /// Asks whoever serves the shard, unless that is this node by now.
    pub(super) async fn elsewhere(
        &self,
        key: E::Key,
        asked: Asked<E>,
        context: &Context,
    ) -> Result<Found<E>, AskError<ErrorOf<E>>> {
        let _permit = self.admit().ok_or(AskError::Overloaded)?;
        let shard = shard_of(key.placement());
        let mut payload: Option<Bytes> = None;
        let mut sent = 0;
        loop {
            let owner = match self.shared.node.shards.place(shard) {
                Place::Here => return Ok(Found::Here(asked)),
                Place::Nowhere => {
                    self.count_late(shard, asked.command.is_some());
                    return Err(AskError::NotOwner);
                }
                Place::Sealed => {
                    self.settled(shard, context.deadline).await?;
                    continue;
                }
                Place::There(owner) => owner,
            };
            if sent > HOPS_MAX {
                return Err(AskError::NotOwner);
            }
            sent += 1;
            let payload = payload.get_or_insert_with(|| written(&asked));
            let call = self.call(key, &asked, payload.clone(), context, &owner);
            match self.ask_there(call, context, &owner).await {
                Ok(Answer {
                    status: Status::Moved,
                    payload,
                    ..
                }) => self.follow(shard, &payload, &owner, context).await?,
                Ok(answer) => return Ok(Found::There(self.read_answer(&answer, asked.command.is_some()))),
                // Never sent, so it can be sent again, if only to somebody else.
                Err(Lost::Rejected) if sent <= HOPS_MAX => pause(context).await?,
                Err(Lost::Rejected) => return Err(AskError::Unavailable),
                Err(Lost::Overloaded) => return Err(AskError::Overloaded),
                Err(Lost::Expired) => return Err(AskError::Expired),
                Err(Lost::TooLarge) => {
                    tracing::error!(
                        entity.kind = E::KIND.name,
                        "a request is longer than a message may be"
                    );
                    return Err(AskError::Unavailable);
                }
                Err(Lost::Unknown) if asked.command.is_some() => return Err(AskError::Unknown),
                Err(Lost::Unknown) => return Err(AskError::Unavailable),
            }
        }
    }

    fn call(&self, key: E::Key, asked: &Asked<E>, payload: Bytes, context: &Context, owner: &Owner) -> Call {
        Call {
            header: Header {
                kind: E::KIND.number,
                entity: key.id(),
                placement: key.placement(),
                epoch: owner.epoch,
                operation: context.operation.filter(|_| asked.command.is_some()),
                trace: context.trace,
            },
            payload,
            deadline: context.deadline,
        }
    }

    async fn ask_there(&self, mut call: Call, context: &Context, owner: &Owner) -> Result<Answer, Lost> {
        let mut span = Span::begin(context.trace, SpanKind::Client, "remote ask");
        span.rename(|| format!("remote {} ask", E::KIND.name));
        call.header.trace = span.context();
        let answer = self.shared.node.peers.call(owner, call).await;
        span.ended(matches!(&answer, Ok(answer) if answer.status == Status::Done));
        answer
    }

    /// Takes note of where a shard is said to be.
    async fn follow(
        &self,
        shard: Shard,
        moved: &[u8],
        asked: &Owner,
        context: &Context,
    ) -> Result<(), AskError<ErrorOf<E>>> {
        let owner: Owner = match serde_json::from_slice::<Moved>(moved) {
            Ok(moved) => moved.into(),
            Err(_) => return Err(AskError::NotOwner),
        };
        let shards = &self.shared.node.shards;
        if shards.hear(shard, owner).is_some() {
            self.shared.node.supervisors.forget(shard);
        }
        let news = shards.place(shard) != Place::There(asked.clone());
        // Whoever was asked is about to hear that the shard is its own, or this node that it is not.
        if news { Ok(()) } else { pause(context).await }
    }

    /// Waits until a shard that is changing hands has a place, within the deadline and a bound.
    async fn settled(&self, shard: Shard, deadline: Instant) -> Result<(), AskError<ErrorOf<E>>> {
        let moving_max = self.shared.node.limits.moving_max;
        let _place = Permit::take(&self.shared.moving, moving_max).ok_or(AskError::Overloaded)?;
        tokio::time::timeout_at(deadline.into(), self.shared.node.shards.settled(shard))
            .await
            .map_err(|_| AskError::Expired)
    }

    fn read_answer(&self, answer: &Answer, changes: bool) -> Heard<E> {
        let unreadable = |error: serde_json::Error| {
            tracing::error!(entity.kind = E::KIND.name, %error, "unreadable answer of another node");
            if changes {
                AskError::Unknown
            } else {
                AskError::Unavailable
            }
        };
        Err(match answer.status {
            Status::Done => {
                return serde_json::from_slice(&answer.payload)
                    .map(|read| Answered {
                        entity: answer.entity,
                        answer: read,
                    })
                    .map_err(unreadable);
            }
            Status::Refused => match serde_json::from_slice(&answer.payload) {
                Ok(refusal) => AskError::Refused(refusal),
                Err(error) => unreadable(error),
            },
            Status::Unavailable | Status::Unreadable => AskError::Unavailable,
            Status::Overloaded => AskError::Overloaded,
            Status::Expired => AskError::Expired,
            Status::NotOwner | Status::Moved => AskError::NotOwner,
            Status::Quarantined => AskError::Quarantined,
            Status::Unknown if changes => AskError::Unknown,
            Status::Unknown => AskError::Unavailable,
            Status::Failed => AskError::Failed,
            Status::KeyReused => AskError::KeyReused,
        })
    }

    /// Sends a command that nobody waits for to another node: at most once, and dropped if it does not find its way.
    pub(super) fn tell_elsewhere(&self, key: E::Key, command: CommandOf<E>, context: Context) {
        let asked = Asked {
            command: Some(command),
            question: None,
        };
        let region = self.clone();
        tokio::spawn(async move {
            let found = region.elsewhere(key, asked, &context).await;
            if let Ok(Found::Here(Asked {
                command: Some(command),
                ..
            })) = found
            {
                region.tell_here(key, command, context.trace);
            }
        });
    }

    /// Gives a request that was not begun back to whoever can send it to the node that the shard goes to.
    pub(super) fn reroute(self, key: E::Key, mut request: Request<E>) {
        match request.reply.take_far() {
            None => request.give_back(),
            Some(far) => self.answer_when_settled(key, request, far),
        }
    }

    /// Serves a request of another node once its shard has a place, or says where that is.
    fn answer_when_settled(self, key: E::Key, request: Request<E>, far: Box<Far<E>>) {
        let shard = shard_of(key.placement());
        let Request {
            command,
            question,
            operation,
            trace,
            deadline,
            ..
        } = request;
        tokio::spawn(async move {
            if let Err(error) = self.settled(shard, deadline).await {
                return far.tell(Err(error));
            }
            match self.shared.node.shards.place(shard) {
                Place::Here => {
                    let Some(permit) = self.admit() else {
                        return far.tell(Err(AskError::Overloaded));
                    };
                    let request = Request {
                        command,
                        question,
                        operation,
                        trace,
                        deadline,
                        queued_at: Instant::now(),
                        waiting: Some(self.shared.metrics.mailbox_depth.rise()),
                        reply: Reply::far(far, key.id(), permit),
                    };
                    let now = request.queued_at;
                    self.send(key, Box::new(request), now);
                }
                Place::There(owner) => far.moved(&owner),
                Place::Sealed | Place::Nowhere => far.tell(Err(AskError::NotOwner)),
            }
        });
    }
}

/// The payload of a request.
fn written<E: Entity>(asked: &Asked<E>) -> Bytes {
    let asked: link::Asked<'_, CommandOf<E>, E::Question> = link::Asked {
        command: asked.command.as_ref(),
        question: asked.question.as_ref(),
    };
    to_json(&asked).into()
}

async fn pause<E>(context: &Context) -> Result<(), AskError<E>> {
    if Instant::now() + PAUSE >= context.deadline {
        return Err(AskError::Expired);
    }
    tokio::time::sleep(PAUSE).await;
    Ok(())
}

/// The promise to answer a caller on another node.
pub(crate) struct Far<E: Entity> {
    shared: Arc<Shared<E>>,
    responder: Responder,
    entity: u128,
    asked: Instant,
    span: Span,
}

impl<E: Entity> Far<E> {
    /// Answers.
    pub(crate) fn tell(mut self, heard: Heard<E>) {
        if counts(&heard) {
            self.shared.node.pace.answered(self.asked.elapsed());
        }
        self.span.ended(heard.is_ok());
        match heard {
            Ok(Answered { entity, answer }) => {
                self.responder
                    .send(Status::Done, entity, to_json(&answer).as_bytes());
            }
            Err(AskError::Refused(refusal)) => {
                self.responder
                    .send(Status::Refused, self.entity, to_json(&refusal).as_bytes());
            }
            Err(error) => self.responder.send(Status::of_error(&error), self.entity, &[]),
        }
    }

    fn answer(self, outcome: Outcome<E>) {
        let entity = self.entity;
        self.tell(outcome.map(|answer| Answered { entity, answer }));
    }

    /// Says that a command is in its entity's mailbox.
    fn taken(self) {
        self.responder.send(Status::Done, self.entity, b"null");
    }

    /// Says who serves the shard.
    fn moved(self, owner: &Owner) {
        let payload = to_json(&Moved::from(owner));
        self.responder
            .send(Status::Moved, self.entity, payload.as_bytes());
    }
}

impl<E: Entity> Served for Shared<E> {
    fn serve(self: Arc<Self>, incoming: Incoming, responder: Responder) {
        let Incoming { header, received, .. } = incoming;
        let asked: link::Heard<CommandOf<E>, E::Question> = match serde_json::from_slice(&incoming.payload) {
            Ok(asked) => asked,
            Err(error) => {
                if let Some(others) = UNREADABLE.pass() {
                    let error = brief(&error);
                    tracing::error!(
                        entity.kind = E::KIND.name,
                        error,
                        others,
                        "unreadable request of another node"
                    );
                }
                return responder.send(Status::Unreadable, header.entity, &[]);
            }
        };
        let key = E::Key::from_parts(header.entity, header.placement);
        let mut span = Span::begin(header.trace, SpanKind::Server, "remote request");
        span.rename(|| format!("remote {} request", E::KIND.name));
        let trace = span.context();
        let far = Box::new(Far {
            shared: self.clone(),
            responder,
            entity: header.entity,
            asked: received,
            span,
        });
        let region = Region { shared: self };
        match (asked.command, asked.question) {
            (Some(command), None) => region.told(key, command, trace, *far),
            (command, question) => region.asked(key, Asked { command, question }, &incoming, trace, far),
        }
    }
}

impl<E: Entity> Region<E> {
    /// Takes a command of another node that nobody waits for.
    fn told(self, key: E::Key, command: CommandOf<E>, trace: Trace, far: Far<E>) {
        match self.shared.node.shards.place(shard_of(key.placement())) {
            Place::Here => {
                self.tell_here(key, command, trace);
                far.taken();
            }
            Place::There(owner) => far.moved(&owner),
            Place::Sealed | Place::Nowhere => far.tell(Err(AskError::NotOwner)),
        }
    }

    /// Takes a request of another node.
    fn asked(self, key: E::Key, asked: Asked<E>, incoming: &Incoming, trace: Trace, far: Box<Far<E>>) {
        let Asked { command, question } = asked;
        let question = match (&command, question) {
            (None, Some(question)) => match self.read_here(key, question) {
                Ok(outcome) => return far.answer(outcome),
                Err(question) => Some(question),
            },
            (_, question) => question,
        };
        let Some(permit) = self.admit() else {
            return far.tell(Err(AskError::Overloaded));
        };
        let mut request = Box::new(Request {
            command,
            question,
            operation: incoming.header.operation,
            trace,
            deadline: incoming.deadline,
            queued_at: incoming.received,
            waiting: Some(self.shared.metrics.mailbox_depth.rise()),
            reply: Reply::far(far, key.id(), permit),
        });
        let shard = shard_of(key.placement());
        match self.shared.node.shards.place(shard) {
            Place::Here => self.send(key, request, incoming.received),
            Place::Sealed => self.reroute(key, *request),
            Place::Nowhere => {
                self.count_late(shard, request.command.is_some());
                request.reply.send(Err(AskError::NotOwner));
            }
            Place::There(owner) => {
                if let Some(far) = request.reply.take_far() {
                    far.moved(&owner);
                }
            }
        }
    }
}
