//! Redaction: what the journal says about a person goes once they are erased.
//!
//! Each domain redacts its own entities of that person, in the transaction of the event that says they were erased.

use lyceum_domain::ids::UserId;
use lyceum_runtime::{Column, Effects, Kind, Table, row};

/// Removes what earlier events and recorded answers of an entity say about the person.
///
/// Versions stay gapless: each earlier turn keeps its row and holds one `redacted` event.
static REDACTIONS: Table = Table {
    name: "redactions",
    statement: "SELECT redact_entity(k::smallint, u) FROM unnest($1::uuid[], $2::bigint[]) AS t(u, k)",
    columns: &[Column::Uuid, Column::Int],
    key: 2,
};

/// Redacts what the journal holds of the entity of this kind that is `user`'s.
pub(crate) fn redact(user: UserId, kind: Kind, effects: &mut Effects) {
    effects.row(&REDACTIONS, row![user, i64::from(kind.number)]);
}
