//! [`Adjustment`] bound to the runtime. It is placed by its own id; the wallet it moves is its buyer's to move.
//!
//! ```text
//! proposed ─ approved ─ no wallet: posted in the same commit
//!                └ wallet: CommerceFlow::PostAdjustment → Buyers ─ posts, or refuses
//!             posted | rejected ← CommerceFlow::SettleAdjustment | RefuseAdjustment ←┘
//! ```

use lyceum_domain::commerce::adjustment::{Event, Proposal};
use lyceum_domain::commerce::{Adjustment, Deed, Error, SETTLEMENT_CURRENCY};
use lyceum_domain::ids::AdjustmentId;
use lyceum_kernel::Timestamp;
use lyceum_runtime::{Column, Durability, Effects, Entity, Kind, Table, row};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::flows::CommerceFlow;
use super::ledger_rows;
use crate::operators::audit;

/// Binds [`Adjustment`] to the runtime.
pub struct Adjustments {
    snapshot_every: u32,
}

impl Adjustments {
    /// Adjustments whose recovery reads at most `snapshot_every` decisions.
    pub fn new(snapshot_every: u32) -> Self {
        Adjustments { snapshot_every }
    }
}

/// What can be asked about an adjustment.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdjustmentQuestion {
    /// Nothing: the caller only wants the command done.
    Nothing,
    /// All of it.
    State,
}

/// What an adjustment answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdjustmentAnswer {
    /// To [`AdjustmentQuestion::Nothing`].
    Nothing,
    /// To [`AdjustmentQuestion::State`].
    State(Box<Adjustment>),
}

static ADJUSTMENTS: Table = Table {
    name: "adjustments",
    statement: "INSERT INTO adjustments (adjustment_id, state, maker, checker, user_id, reason, note, refusal, accounts, owners, \
                amounts, currency, proposed_at, updated_at) \
                SELECT adjustment_id, state, maker, checker, user_id, reason, note, refusal, accounts::smallint[], \
                owners::uuid[], amounts::bigint[], currency, to_timestamp(proposed_ms / 1000.0), to_timestamp(updated_ms / 1000.0) \
                FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::text[], \
                $9::text[], $10::text[], $11::text[], $12::text[], $13::bigint[], $14::bigint[]) \
                AS a(adjustment_id, state, maker, checker, user_id, reason, note, refusal, accounts, owners, amounts, currency, \
                proposed_ms, updated_ms) \
                ON CONFLICT (adjustment_id) DO UPDATE SET state = excluded.state, checker = excluded.checker, \
                note = excluded.note, refusal = excluded.refusal, updated_at = excluded.updated_at",
    columns: &[
        Column::Uuid,
        Column::Text,
        Column::Uuid,
        Column::Uuid,
        Column::Uuid,
        Column::Text,
        Column::Text,
        Column::Text,
        Column::Text,
        Column::Text,
        Column::Text,
        Column::Text,
        Column::Time,
        Column::Time,
    ],
    key: 1,
};

impl Entity for Adjustments {
    type State = Adjustment;
    type Key = AdjustmentId;
    type Question = AdjustmentQuestion;
    type Answer = AdjustmentAnswer;

    const KIND: Kind = Kind {
        name: "adjustment",
        number: 7,
    };

    fn durability(&self) -> Durability {
        Durability::Journaled {
            snapshot_every: self.snapshot_every,
        }
    }

    fn answer(
        &self,
        state: &Adjustment,
        question: AdjustmentQuestion,
        _: Timestamp,
    ) -> Result<AdjustmentAnswer, Error> {
        Ok(match question {
            AdjustmentQuestion::Nothing => AdjustmentAnswer::Nothing,
            AdjustmentQuestion::State => {
                state.proposal()?;
                AdjustmentAnswer::State(Box::new(state.clone()))
            }
        })
    }

    fn effects(
        &self,
        key: AdjustmentId,
        state: &Adjustment,
        events: &[Event],
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let Ok(proposal) = state.proposal() else { return };
        write(key, state, proposal, now, effects);
        for event in events {
            if let Some((deed, action)) = deed_of(event) {
                audit::record(deed, action, key.to_string(), &details(proposal), effects);
            }
            if let Some(transaction) = state.posting(key, event) {
                ledger_rows::write(proposal.user(), &transaction, now, effects);
            }
            if let (Event::Approved { .. }, Some(user)) = (event, proposal.wallet()) {
                let message = CommerceFlow::PostAdjustment {
                    user,
                    adjustment: key,
                    entries: proposal.entries.clone(),
                };
                effects.message(now, &message);
            }
        }
    }

    fn refusal(&self, constraint: &str) -> Option<Error> {
        (constraint == "adjustments_two_operators").then_some(Error::AdjustmentSameOperator)
    }
}

/// Who did it and what the log calls it; a wallet's answer is nobody's deed.
fn deed_of(event: &Event) -> Option<(&Deed, &'static str)> {
    match event {
        Event::Proposed { proposal } => Some((&proposal.maker, "propose_adjustment")),
        Event::Approved { checker, .. } => Some((checker, "approve_adjustment")),
        Event::Rejected {
            checker,
            refusal: None,
            ..
        } => Some((checker, "reject_adjustment")),
        Event::Rejected { .. } | Event::Posted { .. } => None,
    }
}

fn details(proposal: &Proposal) -> serde_json::Value {
    json!({"entries": proposal.entries, "currency": SETTLEMENT_CURRENCY.code()})
}

fn write(key: AdjustmentId, state: &Adjustment, proposal: &Proposal, now: Timestamp, effects: &mut Effects) {
    let (accounts, owners, amounts) = ledger_rows::arrays(&proposal.entries);
    let checker = state.checker();
    effects.row(
        &ADJUSTMENTS,
        row![
            key,
            state.name(),
            proposal.maker.operator,
            checker.map(|deed| deed.operator),
            proposal.wallet(),
            &proposal.maker.reason,
            checker.map(|deed| deed.reason.clone()),
            state.refusal().map(str::to_owned),
            accounts,
            owners,
            amounts,
            SETTLEMENT_CURRENCY.code(),
            proposal.at,
            now,
        ],
    );
}
