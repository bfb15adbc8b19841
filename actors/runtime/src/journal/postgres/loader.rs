//! Recovers entities: those that ask at the same moment share two queries.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_postgres::{Client, Config, Error, NoTls, Statement};
use uuid::Uuid;

use super::super::{History, Snapshot, Turn};
use super::JournalSettings;
use crate::entity::EntityRef;
use crate::store_error::StoreError;

const SNAPSHOTS: &str = "SELECT s.kind, s.entity, s.version, s.state::text, s.operations FROM snapshots s \
    JOIN unnest($1::smallint[], $2::uuid[]) AS wanted (kind, entity) USING (kind, entity)";
const TURNS: &str = "SELECT e.kind, e.entity, e.version, e.events::text, e.operation \
    FROM unnest($1::smallint[], $2::uuid[]) AS wanted (kind, entity) \
    LEFT JOIN snapshots s ON s.kind = wanted.kind AND s.entity = wanted.entity \
    JOIN events e ON e.kind = wanted.kind AND e.entity = wanted.entity AND e.version > coalesce(s.version, 0) \
    ORDER BY e.kind, e.entity, e.version";

/// One entity to recover.
pub(super) struct Load {
    pub(super) entity: EntityRef,
    pub(super) reply: oneshot::Sender<Result<History, StoreError>>,
}

struct Connection {
    client: Client,
    snapshots: Statement,
    turns: Statement,
}

pub(super) struct Loader {
    config: Config,
    batch_max: usize,
    timeout: Duration,
    connection: Option<Connection>,
}

impl Loader {
    pub(super) fn new(config: Config, settings: &JournalSettings, statement_timeout: Duration) -> Self {
        Loader {
            config,
            batch_max: settings.load_batch_max,
            timeout: statement_timeout * 2,
            connection: None,
        }
    }

    /// Serves the queue that all loaders share.
    pub(super) async fn run(mut self, queue: Arc<Mutex<mpsc::Receiver<Load>>>) {
        loop {
            let mut loads = Vec::new();
            if queue.lock().await.recv_many(&mut loads, self.batch_max).await == 0 {
                return;
            }
            let entities: Vec<EntityRef> = loads.iter().map(|load| load.entity).collect();
            match tokio::time::timeout(self.timeout, self.load(&entities)).await {
                Ok(Ok(mut histories)) => {
                    for load in loads {
                        let _ = load
                            .reply
                            .send(Ok(histories.remove(&load.entity).unwrap_or_default()));
                    }
                }
                Ok(Err(error)) => self.fail(loads, &StoreError::from(error)),
                Err(_) => self.fail(loads, &StoreError::unavailable("recovery timed out")),
            }
        }
    }

    fn fail(&mut self, loads: Vec<Load>, error: &StoreError) {
        self.connection = None;
        for load in loads {
            let _ = load.reply.send(Err(error.clone()));
        }
    }

    async fn load(&mut self, entities: &[EntityRef]) -> Result<HashMap<EntityRef, History>, Error> {
        let kinds: Vec<i16> = entities.iter().map(|entity| entity.kind).collect();
        let ids: Vec<Uuid> = entities.iter().map(|entity| Uuid::from_u128(entity.id)).collect();
        let Connection {
            client,
            snapshots,
            turns,
        } = self.connection().await?;

        // One after the other, in this order: a snapshot written in between only makes the tail shorter, and the
        // turns below it are found in the snapshot that the second query no longer counts from. So the tail is read
        // first and joined to the snapshot that is read last.
        let turns = client.query(turns, &[&kinds, &ids]).await?;
        let snapshots = client.query(snapshots, &[&kinds, &ids]).await?;

        let mut histories: HashMap<EntityRef, History> = HashMap::with_capacity(entities.len());
        for row in snapshots {
            let entity = EntityRef {
                kind: row.get(0),
                id: row.get::<_, Uuid>(1).as_u128(),
            };
            let operations = row
                .get::<_, Vec<Uuid>>(4)
                .into_iter()
                .map(|id| id.as_u128())
                .collect();
            let snapshot = Snapshot {
                version: row.get(2),
                state: row.get(3),
                operations,
            };
            histories.entry(entity).or_default().snapshot = Some(snapshot);
        }
        for row in turns {
            let entity = EntityRef {
                kind: row.get(0),
                id: row.get::<_, Uuid>(1).as_u128(),
            };
            let history = histories.entry(entity).or_default();
            let version: i64 = row.get(2);
            if history
                .snapshot
                .as_ref()
                .is_none_or(|snapshot| version > snapshot.version)
            {
                let operation = row.get::<_, Option<Uuid>>(4).map(|id| id.as_u128());
                history.turns.push((
                    Turn {
                        version,
                        events: row.get(3),
                    },
                    operation,
                ));
            }
        }
        Ok(histories)
    }

    async fn connection(&mut self) -> Result<&Connection, Error> {
        if self
            .connection
            .as_ref()
            .is_some_and(|connection| connection.client.is_closed())
        {
            self.connection = None;
        }
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                tokio::spawn(connection);
                let snapshots = client.prepare(SNAPSHOTS).await?;
                let turns = client.prepare(TURNS).await?;
                Connection {
                    client,
                    snapshots,
                    turns,
                }
            }
        };
        Ok(self.connection.insert(connection))
    }
}
