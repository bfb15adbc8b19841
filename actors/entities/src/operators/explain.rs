//! What operators can see of the system: who owns which shard, and everything known about one entity.

use lyceum_domain::ids::{
    AdjustmentId, BatchId, BundleId, CouponId, CourseId, GroupId, MembershipId, PaymentId, PlanId, SaleId,
    TeamId, UserId,
};
use lyceum_kernel::Aggregate;
use lyceum_runtime::{Entity, EventOf, Kind, StoreError, shard_of};
use serde_json::{Value, json};
use uuid::Uuid;

use super::redact::redacted;
use crate::accounts::{Accounts, Sessions};
use crate::catalog::Courses;
use crate::commerce::{
    Adjustments, Batches, Bundles, Buyers, Coupons, Groups, Memberships, Payments, Plans, Sales, Teams,
};
use crate::platform::Platform;
use crate::recommend::Profiles;
use crate::webhooks::Subscribers;

impl Platform {
    /// How far what this node keeps of other nodes' decisions is behind them, in milliseconds.
    fn snapshots_view(&self) -> Value {
        let lags = self.freshness.lags();
        let millis = |lag: std::time::Duration| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
        lags.map(|(followed, lag)| (followed.name().to_owned(), json!({"lag_ms": millis(lag)})))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    /// Members, shards and the last moves by the database, and what this node makes of them.
    ///
    /// # Errors
    /// Postgres is away.
    pub async fn cluster_view(&self) -> Result<Value, StoreError> {
        let view = self.cluster().view().await?;
        let mut view = serde_json::to_value(view).map_err(StoreError::refused)?;
        view["entities_alive"] = self.alive().into();
        view["shards_serving"] = self.shards_served().into();
        view["snapshots"] = self.snapshots_view();
        Ok(view)
    }

    /// Where one entity lives, its version, its mailbox, its state without what is personal or secret, and the kinds of its
    /// last events; nothing of their content. `None` for an unknown kind or id, and for an entity that never did anything.
    ///
    /// The state is what the stores hold: of a journaled entity all that was committed, of the others what was written behind.
    /// Its mailbox is known where it lives.
    ///
    /// # Errors
    /// Postgres is away.
    pub async fn explain(&self, kind: &str, id: &str) -> Result<Option<Value>, StoreError> {
        let user = || id.parse::<UserId>().map(|id| id.as_u128()).ok();
        let found = match kind {
            "account" => user().map(|id| (Accounts::KIND, id, id, self.accounts.explain(id))),
            "session" => user().map(|id| (Sessions::KIND, id, id, self.sessions.explain(id))),
            "buyer" => user().map(|id| (Buyers::KIND, id, id, self.buyers.explain(id))),
            "profile" => user().map(|id| (Profiles::KIND, id, id, self.profiles.explain(id))),
            "course" => {
                let id = id.parse::<CourseId>().map(|id| id.as_u128()).ok();
                id.map(|id| (Courses::KIND, id, id, self.courses.explain(id)))
            }
            "subscriber" => user().map(|id| (Subscribers::KIND, id, id, self.subscribers.explain(id))),
            "adjustment" => {
                let id = id.parse::<AdjustmentId>().map(|id| id.as_u128()).ok();
                id.map(|id| (Adjustments::KIND, id, id, self.adjustments.explain(id)))
            }
            "sale" => {
                let id = id.parse::<SaleId>().map(|id| id.as_u128()).ok();
                id.map(|id| (Sales::KIND, id, id, self.sales.explain(id)))
            }
            "team" => {
                let id = id.parse::<TeamId>().map(|id| id.as_u128()).ok();
                id.map(|id| (Teams::KIND, id, id, self.teams.explain(id)))
            }
            "group_offer" => {
                let id = id.parse::<GroupId>().map(|id| id.as_u128()).ok();
                id.map(|id| (Groups::KIND, id, id, self.groups.explain(id)))
            }
            "bundle" => {
                let id = id.parse::<BundleId>().map(|id| id.as_u128()).ok();
                id.map(|id| (Bundles::KIND, id, id, self.bundles.explain(id)))
            }
            "batch" => {
                let id = id.parse::<BatchId>().map(|id| id.as_u128()).ok();
                id.map(|id| (Batches::KIND, id, id, self.batches.explain(id)))
            }
            "coupon" => {
                let id = id.parse::<CouponId>().map(|id| id.as_u128()).ok();
                id.map(|id| (Coupons::KIND, id, id, self.coupons.explain(id)))
            }
            "membership_plan" => {
                let id = id.parse::<PlanId>().map(|id| id.as_u128()).ok();
                id.map(|id| (Plans::KIND, id, id, self.plans.explain(id)))
            }
            "membership" => match id.parse::<MembershipId>() {
                Ok(membership) => self.commerce.member(membership).await?.map(|owner| {
                    let id = membership.as_u128();
                    (
                        Memberships::KIND,
                        id,
                        owner.as_u128(),
                        self.memberships.explain(id),
                    )
                }),
                Err(_) => None,
            },
            "payment" => match id.parse::<PaymentId>() {
                Ok(payment) => self.commerce.payer(payment).await?.map(|owner| {
                    let id = payment.as_u128();
                    (Payments::KIND, id, owner.as_u128(), self.payments.explain(id))
                }),
                Err(_) => None,
            },
            _ => None,
        };
        let Some((kind, entity, placement, live)) = found else {
            return Ok(None);
        };

        const TURNS: &str = "SELECT version, epoch, \
            to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), events::text \
            FROM events WHERE kind = $1 AND entity = $2 ORDER BY version DESC LIMIT 20";
        let turns = self
            .database
            .query(TURNS, &[&kind.number, &Uuid::from_u128(entity)])
            .await?;
        if turns.is_empty() && live.is_none() {
            return Ok(None);
        }
        let turns: Vec<Value> = turns
            .iter()
            .map(|row| {
                json!({
                    "version": row.get::<_, i64>(0),
                    "epoch": row.get::<_, i64>(1),
                    "at": row.get::<_, String>(2),
                    "events": event_types(row.get(3)),
                })
            })
            .collect();
        let state = match kind {
            kind if kind == Accounts::KIND => self.committed::<Accounts>(entity).await?,
            kind if kind == Courses::KIND => self.committed::<Courses>(entity).await?,
            kind if kind == Buyers::KIND => self.committed::<Buyers>(entity).await?,
            kind if kind == Payments::KIND => self.committed::<Payments>(entity).await?,
            kind if kind == Teams::KIND => self.committed::<Teams>(entity).await?,
            kind if kind == Groups::KIND => self.committed::<Groups>(entity).await?,
            kind if kind == Bundles::KIND => self.committed::<Bundles>(entity).await?,
            kind if kind == Batches::KIND => self.committed::<Batches>(entity).await?,
            kind if kind == Coupons::KIND => self.committed::<Coupons>(entity).await?,
            kind if kind == Plans::KIND => self.committed::<Plans>(entity).await?,
            kind if kind == Memberships::KIND => self.committed::<Memberships>(entity).await?,
            kind if kind == Adjustments::KIND => self.committed::<Adjustments>(entity).await?,
            kind if kind == Subscribers::KIND => self.committed::<Subscribers>(entity).await?,
            kind if kind == Sales::KIND => self.committed::<Sales>(entity).await?,
            kind => self.written_behind(kind, entity).await,
        };
        let shard = shard_of(placement);
        const OWNER: &str = "SELECT epoch, node, incarnation FROM shard_owner WHERE shard = $1";
        let owner = self.database.query_opt(OWNER, &[&i16::from(shard)]).await?;
        let owner = owner.map(|row| {
            json!({
                "node": row.get::<_, Option<String>>(1),
                "incarnation": row.get::<_, Option<Uuid>>(2),
                "epoch": row.get::<_, i64>(0),
            })
        });
        Ok(Some(json!({
            "kind": kind.name,
            "id": id,
            "shard": shard,
            "owner": owner,
            "epoch": self.node.shards.epoch(shard),
            "node": self.member.node,
            "here": self.node.shards.serving(shard),
            "state": state.map(redacted),
            "alive": live.is_some(),
            "mailbox_depth": live.map(|(depth, _)| depth),
            "idle_ms": live.and_then(|(_, idle)| idle).map(|idle| u64::try_from(idle.as_millis()).unwrap_or(u64::MAX)),
            "version": turns.first().map(|turn| turn["version"].clone()),
            "turns": turns,
        })))
    }
}

impl Platform {
    /// The state that the journal holds, as JSON.
    async fn committed<E: Entity>(&self, entity: u128) -> Result<Option<Value>, StoreError> {
        const SNAPSHOT: &str = "SELECT version, state::text FROM snapshots WHERE kind = $1 AND entity = $2";
        const SINCE: &str = "SELECT events::text FROM events WHERE kind = $1 AND entity = $2 AND version > $3 \
            ORDER BY version";
        let (kind, id) = (E::KIND.number, Uuid::from_u128(entity));
        let (mut version, mut state) = (0_i64, E::State::default());
        if let Some(row) = self.database.query_opt(SNAPSHOT, &[&kind, &id]).await? {
            version = row.get(0);
            state = serde_json::from_str(row.get(1)).map_err(StoreError::refused)?;
        }
        let turns = self.database.query(SINCE, &[&kind, &id, &version]).await?;
        if version == 0 && turns.is_empty() {
            return Ok(None);
        }
        for turn in &turns {
            let events: Vec<EventOf<E>> = serde_json::from_str(turn.get(0)).map_err(StoreError::refused)?;
            events.iter().for_each(|event| state.apply(event));
        }
        serde_json::to_value(&state)
            .map(Some)
            .map_err(StoreError::refused)
    }

    /// The state that Redis holds, as JSON; nothing if it is away.
    async fn written_behind(&self, kind: Kind, entity: u128) -> Option<Value> {
        let stored = self.redis.get(&kind.snapshot_key(entity)).await.ok()??;
        serde_json::from_slice(&stored).ok()
    }
}

/// The types of the events of one turn.
fn event_types(events: &str) -> Vec<String> {
    let events: Vec<Value> = serde_json::from_str(events).unwrap_or_default();
    events
        .iter()
        .map(|event| match event {
            Value::Object(fields) => fields
                .get("type")
                .and_then(Value::as_str)
                .or_else(|| fields.keys().next().map(String::as_str))
                .unwrap_or("unknown")
                .to_owned(),
            Value::String(name) => name.clone(),
            _ => "unknown".to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_of_events_are_told_and_their_content_is_not() {
        let events = r#"[{"type":"placed","secret":1},{"Registered":{"email":"a@b.c"}},"Reinstated"]"#;

        assert_eq!(event_types(events), ["placed", "Registered", "Reinstated"]);
    }
}
