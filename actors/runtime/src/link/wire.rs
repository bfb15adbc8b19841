//! What is inside frames: a binary header that a later minor version may lengthen, and a payload of JSON.
//!
//! ```text
//! message: u8 header length │ header │ payload
//! request: u64 id │ u32 budget ms │ u8 flags │ i16 kind │ i64 epoch │ u128 entity │ u128 placement
//!          │ u128 operation │ u128 fingerprint │ u128 trace │ u64 span       payload {"command": …, "question": …}
//! answer:  u64 id │ u8 status │ u128 entity                               payload the answer, refusal or owner
//! notice:  u64 id │ u32 budget ms                                         payload the notice
//! ```
//!
//! Readable one version back and forth: within a major version headers only grow at their end, payloads only gain fields
//! that may be missing, kinds of frames are only added, and whatever is not known is ignored. A pipe between different
//! majors is refused in its handshake.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ask::AskError;
use crate::context::Operation;
use crate::ownership::Owner;
use crate::trace::Trace;

/// Other majors are not understood.
pub(super) const MAJOR: u16 = 1;
/// Whatever has been added since the major.
pub(super) const MINOR: u16 = 0;

const REQUEST_BYTES: usize = 111;
const ANSWER_BYTES: usize = 25;
const NOTICE_BYTES: usize = 12;

const HAS_OPERATION: u8 = 1;
const SAMPLED: u8 = 2;

/// What is said about a request for an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The number of the entity's kind.
    pub kind: i16,
    /// The entity's id.
    pub entity: u128,
    /// The id that places it.
    pub placement: u128,
    /// The epoch under which the asker believes its shard to be served there.
    pub epoch: i64,
    /// The named operation, if it is one.
    pub operation: Option<Operation>,
    /// The trace to continue.
    pub trace: Trace,
}

/// A message that cannot be read, though its frame could.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message whose header is too short")]
pub(crate) struct Garbled;

/// Cuts a message into the header that is known and its payload; what a later version has added to the header is left.
fn cut<const KNOWN: usize>(message: &Bytes) -> Result<(&[u8; KNOWN], Bytes), Garbled> {
    let length = usize::from(*message.first().ok_or(Garbled)?);
    let header = message.get(1..=length).ok_or(Garbled)?;
    let known = header.first_chunk::<KNOWN>().ok_or(Garbled)?;
    Ok((known, message.slice(1 + length..)))
}

/// Reads a number from its place in a header.
macro_rules! number {
    ($type:ty, $header:expr, $at:expr) => {{
        const BYTES: usize = size_of::<$type>();
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(&$header[$at..$at + BYTES]);
        <$type>::from_be_bytes(bytes)
    }};
}

fn millis(budget: Duration) -> u32 {
    u32::try_from(budget.as_millis()).unwrap_or(u32::MAX)
}

/// Writes the header of a request, with its length before it.
pub(super) fn request(id: u64, header: &Header, budget: Duration) -> [u8; 1 + REQUEST_BYTES] {
    let operation = header.operation.unwrap_or(Operation {
        id: 0,
        fingerprint: 0,
    });
    let flags = if header.operation.is_some() {
        HAS_OPERATION
    } else {
        0
    } | if header.trace.sampled { SAMPLED } else { 0 };
    let mut bytes = [0; 1 + REQUEST_BYTES];
    bytes[0] = u8::try_from(REQUEST_BYTES).unwrap_or(u8::MAX);
    bytes[1..9].copy_from_slice(&id.to_be_bytes());
    bytes[9..13].copy_from_slice(&millis(budget).to_be_bytes());
    bytes[13] = flags;
    bytes[14..16].copy_from_slice(&header.kind.to_be_bytes());
    bytes[16..24].copy_from_slice(&header.epoch.to_be_bytes());
    bytes[24..40].copy_from_slice(&header.entity.to_be_bytes());
    bytes[40..56].copy_from_slice(&header.placement.to_be_bytes());
    bytes[56..72].copy_from_slice(&operation.id.to_be_bytes());
    bytes[72..88].copy_from_slice(&operation.fingerprint.to_be_bytes());
    bytes[88..104].copy_from_slice(&header.trace.trace_id.to_be_bytes());
    bytes[104..112].copy_from_slice(&header.trace.parent_id.to_be_bytes());
    bytes
}

/// A request as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) id: u64,
    pub(super) budget: Duration,
    pub(super) header: Header,
    pub(super) payload: Bytes,
}

impl Request {
    pub(super) fn read(message: &Bytes) -> Result<Self, Garbled> {
        let (bytes, payload) = cut::<REQUEST_BYTES>(message)?;
        let flags = bytes[12];
        let operation = Operation {
            id: number!(u128, bytes, 55),
            fingerprint: number!(u128, bytes, 71),
        };
        Ok(Request {
            id: number!(u64, bytes, 0),
            budget: Duration::from_millis(number!(u32, bytes, 8).into()),
            header: Header {
                kind: number!(i16, bytes, 13),
                epoch: number!(i64, bytes, 15),
                entity: number!(u128, bytes, 23),
                placement: number!(u128, bytes, 39),
                operation: (flags & HAS_OPERATION != 0).then_some(operation),
                trace: Trace {
                    trace_id: number!(u128, bytes, 87),
                    parent_id: number!(u64, bytes, 103),
                    sampled: flags & SAMPLED != 0,
                },
            },
            payload,
        })
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The payload is the answer.
    Done,
    /// The payload is the refusal.
    Refused,
    /// As [`AskError::Unavailable`].
    Unavailable,
    /// As [`AskError::Overloaded`].
    Overloaded,
    /// As [`AskError::Expired`].
    Expired,
    /// As [`AskError::NotOwner`].
    NotOwner,
    /// As [`AskError::Quarantined`].
    Quarantined,
    /// As [`AskError::Unknown`].
    Unknown,
    /// As [`AskError::Failed`].
    Failed,
    /// As [`AskError::KeyReused`].
    KeyReused,
    /// The payload says who serves the shard; nothing changed.
    Moved,
    /// The other side cannot read it, because it is of another version; nothing changed.
    Unreadable,
}

const STATUSES: [Status; 12] = [
    Status::Done,
    Status::Refused,
    Status::Unavailable,
    Status::Overloaded,
    Status::Expired,
    Status::NotOwner,
    Status::Quarantined,
    Status::Unknown,
    Status::Failed,
    Status::KeyReused,
    Status::Moved,
    Status::Unreadable,
];

impl Status {
    fn number(self) -> u8 {
        let position = STATUSES.iter().position(|status| *status == self);
        position
            .and_then(|position| u8::try_from(position).ok())
            .unwrap_or(u8::MAX)
    }

    /// A status that is not known may mean anything.
    fn of(number: u8) -> Status {
        STATUSES
            .get(usize::from(number))
            .copied()
            .unwrap_or(Status::Unknown)
    }

    /// The status of an outcome without an answer; a refusal has a payload besides.
    pub(crate) fn of_error<E>(error: &AskError<E>) -> Status {
        match error {
            AskError::Refused(_) => Status::Refused,
            AskError::Unavailable => Status::Unavailable,
            AskError::Overloaded => Status::Overloaded,
            AskError::Expired => Status::Expired,
            AskError::NotOwner => Status::NotOwner,
            AskError::Quarantined => Status::Quarantined,
            AskError::Unknown => Status::Unknown,
            AskError::Failed => Status::Failed,
            AskError::KeyReused => Status::KeyReused,
        }
    }
}

/// An answer as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What became of the request.
    pub status: Status,
    /// Whose answer it is.
    pub entity: u128,
    /// What belongs to the status.
    pub payload: Bytes,
}

/// Writes the header of an answer, with its length before it.
pub(super) fn answer(id: u64, status: Status, entity: u128) -> [u8; 1 + ANSWER_BYTES] {
    let mut bytes = [0; 1 + ANSWER_BYTES];
    bytes[0] = u8::try_from(ANSWER_BYTES).unwrap_or(u8::MAX);
    bytes[1..9].copy_from_slice(&id.to_be_bytes());
    bytes[9] = status.number();
    bytes[10..26].copy_from_slice(&entity.to_be_bytes());
    bytes
}

impl Answer {
    /// Reads an answer and the id of what it answers.
    pub(super) fn read(message: &Bytes) -> Result<(u64, Self), Garbled> {
        let (bytes, payload) = cut::<ANSWER_BYTES>(message)?;
        let answer = Answer {
            status: Status::of(bytes[8]),
            entity: number!(u128, bytes, 9),
            payload,
        };
        Ok((number!(u64, bytes, 0), answer))
    }
}

/// Writes the header of a notice, with its length before it.
pub(super) fn notice(id: u64, budget: Duration) -> [u8; 1 + NOTICE_BYTES] {
    let mut bytes = [0; 1 + NOTICE_BYTES];
    bytes[0] = u8::try_from(NOTICE_BYTES).unwrap_or(u8::MAX);
    bytes[1..9].copy_from_slice(&id.to_be_bytes());
    bytes[9..13].copy_from_slice(&millis(budget).to_be_bytes());
    bytes
}

/// Reads a notice: its id, the time left and its payload.
pub(super) fn read_notice(message: &Bytes) -> Result<(u64, Duration, Bytes), Garbled> {
    let (bytes, payload) = cut::<NOTICE_BYTES>(message)?;
    let budget = Duration::from_millis(number!(u32, bytes, 8).into());
    Ok((number!(u64, bytes, 0), budget, payload))
}

/// The payload of a request, to be written.
#[derive(Serialize)]
pub(crate) struct Asked<'a, C, Q> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<&'a C>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) question: Option<&'a Q>,
}

/// The payload of a request, as it was read.
#[derive(Deserialize)]
#[serde(bound(deserialize = "C: Deserialize<'de>, Q: Deserialize<'de>"))]
pub(crate) struct Heard<C, Q> {
    // A unit question is `null`, which is not the same as none.
    #[serde(default, deserialize_with = "present")]
    pub(crate) command: Option<C>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) question: Option<Q>,
}

fn present<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// The payload of [`Status::Moved`].
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moved {
    epoch: i64,
    incarnation: Uuid,
    link: String,
}

impl From<&Owner> for Moved {
    fn from(owner: &Owner) -> Self {
        Moved {
            epoch: owner.epoch,
            incarnation: owner.incarnation,
            link: owner.link.to_string(),
        }
    }
}

impl From<Moved> for Owner {
    fn from(moved: Moved) -> Self {
        Owner {
            incarnation: moved.incarnation,
            epoch: moved.epoch,
            link: moved.link.into(),
        }
    }
}

#[cfg(test)]
mod tests;
