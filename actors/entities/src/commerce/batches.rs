//! [`Batch`] bound to the runtime: a batch of redeem codes, and the hashes by which they are found.
//!
//! ```text
//! POST /v1/redemptions → redeem_codes (by hash) → Batches (redeem) → CommerceFlow::GrantCode → Buyers
//! ```

use lyceum_domain::commerce::batch::{Event, Issued, Terms};
use lyceum_domain::commerce::{Batch, Error};
use lyceum_domain::ids::{BatchId, CodeId, UserId};
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Column, Durability, Effects, Entity, Kind, Table, row};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::codes::{CodeGrant, CodeSecret};
use super::flows::CommerceFlow;
use crate::operators::audit;

/// Binds [`Batch`] to the runtime.
pub struct Batches {
    secret: CodeSecret,
    snapshot_every: u32,
}

impl Batches {
    /// Batches whose codes are derived with `secret`, and whose recovery reads at most `snapshot_every` decisions.
    pub fn new(secret: CodeSecret, snapshot_every: u32) -> Self {
        Batches {
            secret,
            snapshot_every,
        }
    }
}

/// What can be asked about a batch.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchQuestion {
    /// What its codes give, and how far they are used.
    View,
    /// Who has redeemed a code, if anybody has.
    Holder {
        /// The code's number.
        number: u16,
    },
}

/// What a batch answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BatchAnswer {
    /// What its codes give.
    pub terms: Terms,
    /// Who issued it.
    pub by: UserId,
    /// When.
    pub at: Timestamp,
    /// `open`, `cancelled` or `expired`.
    pub state: String,
    /// How many codes have been redeemed.
    pub redeemed: usize,
    /// Who has redeemed the code that was asked for.
    pub holder: Option<UserId>,
}

/// One row for each code that can be, or was, redeemed: of a batch, or of a gift, which its giver's buyer writes.
pub(super) static REDEEM_CODES: Table = Table {
    name: "redeem_codes",
    statement: "INSERT INTO redeem_codes (code_id, batch_id, order_id, giver, number, user_id, redeemed_at) \
                SELECT code_id, batch_id, order_id, giver, number, user_id, to_timestamp(redeemed_ms / 1000.0) \
                FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[], $6::uuid[], $7::bigint[]) \
                AS c(code_id, batch_id, order_id, giver, number, user_id, redeemed_ms) \
                ON CONFLICT (code_id) DO UPDATE SET user_id = excluded.user_id, redeemed_at = excluded.redeemed_at",
    columns: &[
        Column::Uuid,
        Column::Uuid,
        Column::Uuid,
        Column::Uuid,
        Column::Int,
        Column::Uuid,
        Column::Time,
    ],
    key: 1,
};

static CODE_BATCHES: Table = Table {
    name: "code_batches",
    statement: "INSERT INTO code_batches (batch_id, course_id, codes, redeemed, issued_by, issued_at, expires_at, cancelled_at) \
                SELECT batch_id, course_id, codes, redeemed, issued_by, to_timestamp(issued_ms / 1000.0), \
                to_timestamp(expires_ms / 1000.0), to_timestamp(cancelled_ms / 1000.0) \
                FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::uuid[], $6::bigint[], $7::bigint[], $8::bigint[]) \
                AS b(batch_id, course_id, codes, redeemed, issued_by, issued_ms, expires_ms, cancelled_ms) \
                ON CONFLICT (batch_id) DO UPDATE SET redeemed = excluded.redeemed, cancelled_at = excluded.cancelled_at",
    columns: &[
        Column::Uuid,
        Column::Uuid,
        Column::Int,
        Column::Int,
        Column::Uuid,
        Column::Time,
        Column::Time,
        Column::Time,
    ],
    key: 1,
};

impl Entity for Batches {
    type State = Batch;
    type Key = BatchId;
    type Question = BatchQuestion;
    type Answer = BatchAnswer;

    const KIND: Kind = Kind {
        name: "batch",
        number: 22,
    };

    fn durability(&self) -> Durability {
        Durability::Journaled {
            snapshot_every: self.snapshot_every,
        }
    }

    fn answer(&self, state: &Batch, question: BatchQuestion, now: Timestamp) -> Result<BatchAnswer, Error> {
        let issued = state.issued()?;
        let holder = match question {
            BatchQuestion::View => None,
            BatchQuestion::Holder { number } => issued.redeemed.get(&number).copied(),
        };
        Ok(BatchAnswer {
            terms: issued.terms,
            by: issued.by,
            at: issued.at,
            state: issued.state(now).to_owned(),
            redeemed: issued.redeemed.len(),
            holder,
        })
    }

    fn effects(&self, key: BatchId, state: &Batch, events: &[Event], _: Timestamp, effects: &mut Effects) {
        let Ok(issued) = state.issued() else { return };
        for event in events {
            let (deed, action) = match event {
                Event::Issued { deed, .. } => (deed.as_ref(), "issue_codes"),
                Event::Cancelled { deed, .. } => (deed.as_ref(), "cancel_codes"),
                Event::Redeemed { .. } => (None, ""),
            };
            if let Some(deed) = deed {
                let details = json!({"course": issued.terms.course_id, "codes": issued.terms.count});
                audit::record(deed, action, key.to_string(), &details, effects);
            }
            match event {
                Event::Issued { terms, .. } => {
                    for number in 0..terms.count {
                        let code = self.secret.of_batch(key, number).id();
                        code_row(key, number, code, None, effects);
                    }
                }
                Event::Cancelled { .. } => {}
                Event::Redeemed {
                    number,
                    code,
                    user,
                    course_version,
                    at,
                } => {
                    code_row(key, *number, *code, Some((*user, *at)), effects);
                    let grant = CodeGrant {
                        user: *user,
                        code: *code,
                        courses: vec![(issued.terms.course_id, *course_version)],
                    };
                    effects.message(*at, &CommerceFlow::GrantCode(grant));
                }
            }
        }
        if !events.is_empty() {
            batch_row(key, issued, effects);
        }
    }
}

fn code_row(
    key: BatchId,
    number: u16,
    code: CodeId,
    redeemed: Option<(UserId, Timestamp)>,
    effects: &mut Effects,
) {
    let none = || None::<UserId>;
    effects.row(
        &REDEEM_CODES,
        row![
            code,
            key,
            none(),
            none(),
            number,
            redeemed.map(|(user, _)| user),
            redeemed.map(|(_, at)| at),
        ],
    );
}

fn batch_row(key: BatchId, issued: &Issued, effects: &mut Effects) {
    let redeemed = i64::try_from(issued.redeemed.len()).unwrap_or(i64::MAX);
    effects.row(
        &CODE_BATCHES,
        row![
            key,
            issued.terms.course_id,
            issued.terms.count,
            redeemed,
            issued.by,
            issued.at,
            issued.terms.expires_at,
            issued.cancelled_at,
        ],
    );
}
