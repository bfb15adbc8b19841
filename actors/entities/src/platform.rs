//! The system without its edge: stores, node, regions, read models and workers, started in order and drained.
//!
//! Start: stores → claim of the shards, or membership → journal → regions → read models → outbox relay, which needs them all → a
//! member's share of the shards.
//! Drain: entities finish what they have and keep their snapshots; then what is buffered beside them is written.

use std::io;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lyceum_domain::accounts::{Policy, Roles};
use lyceum_runtime::journal::postgres::{Condition, JournalSettings, PostgresJournal};
use lyceum_runtime::link::{Alone, Link, LinkError, LinkSettings, PeerTransport, Regions};
use lyceum_runtime::{
    ActorLimits, Cluster, ClusterSettings, CpuPool, Database, DatabaseSettings, Membership, Niceness, Node,
    OutboxSettings, Pace, Redis, Region, Relay, StoreError, Supervisors, clock, supervise,
};

use crate::accounts::{
    AccountQueries, Accounts, HashCost, Identity, KeySettings, Keys, Passwords, Revoked, Sessions,
    TokenSecret,
};
use crate::billing::{BillingSettings, Documents, Issuer};
use crate::bulletin::Board;
use crate::catalog::{CatalogLimits, CatalogQueries, CatalogSnapshot, Courses, Projector};
use crate::commerce::providers::{self, ProviderSettings, Receivers};
use crate::commerce::{
    Adjustments, Batches, Bundles, Buyers, ClosingSettings, CodeSecret, CommercePorts, CommerceQueries,
    Coupons, Gateway, Groups, Inbox, InboxSettings, Memberships, OrderTimes, Payments, Plans, RereadSettings,
    Sales, Teams,
};
use crate::commerce::{closing, rereads};
use crate::flows::Flows;
use crate::freshness::{Followed, Freshness};
use crate::gauges;
use crate::operators::{Operators, audit};
use crate::recommend::{
    ModelStore, Privacy, Profiles, RecommendRows, Recommender, RecommenderSettings, Sink, SinkSettings,
    SinkWorker, TrainerSettings, train,
};
use crate::signals::{on_displaced, on_interests, on_trade};
use crate::webhooks::{Courier, Listeners, Subscribers, WebhookSettings};

mod condition;
mod drain;

/// Everything the platform is started with.
#[derive(Clone, Debug)]
pub struct PlatformSettings {
    /// The node's name.
    pub node: String,
    /// How it shares the shards with others; alone without.
    pub cluster: Option<ClusterSettings>,
    /// Postgres.
    pub database: DatabaseSettings,
    /// The address of Redis.
    pub redis_url: String,
    /// Connections to Redis.
    pub redis_connections: usize,
    /// How long a connection to Redis may take.
    pub redis_connect_timeout: Duration,
    /// How long a Redis command may take.
    pub redis_timeout: Duration,
    /// Group commit and recovery.
    pub journal: JournalSettings,
    /// The outbox relay.
    pub outbox: OutboxSettings,
    /// Limits on actors.
    pub actors: ActorLimits,
    /// The link to other nodes, if there may be some.
    pub link: Option<LinkSettings>,
    /// Threads that hash passwords.
    pub cpu_threads: usize,
    /// Passwords waiting to be hashed, at most.
    pub cpu_queue_max: usize,
    /// Cost of one password hash.
    pub hash_cost: HashCost,
    /// Limits on logins.
    pub logins: Policy,
    /// Signing keys of access tokens.
    pub keys: KeySettings,
    /// The roles of a new account.
    pub initial_roles: Roles,
    /// The catalog's snapshot.
    pub catalog: CatalogLimits,
    /// Events of one entity after which a snapshot is written.
    pub snapshot_every: u32,
    /// Models and lists.
    pub recommender: RecommenderSettings,
    /// Buffer of recorded events.
    pub sink: SinkSettings,
    /// When models are trained.
    pub trainer: TrainerSettings,
    /// What redeem codes are derived with.
    pub code_secret: CodeSecret,
    /// Whom payments are offered through.
    pub providers: ProviderSettings,
    /// How callbacks are written down.
    pub inbox: InboxSettings,
    /// How callbacks that were left behind are worked through.
    pub rereads: RereadSettings,
    /// How long the orders that renew memberships live.
    pub order_times: OrderTimes,
    /// How the ledger is summed up.
    pub closing: ClosingSettings,
    /// How whoever wants to hear of events is told.
    pub webhooks: WebhookSettings,
    /// How documents are issued and printed.
    pub billing: BillingSettings,
    /// How long an entity may take to answer a message.
    pub ask_timeout: Duration,
    /// An entity's answer that takes longer counts as slow.
    pub slow_after: Duration,
}

/// Why the platform did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A store is away or refuses.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The link to other nodes could not be opened.
    #[error("{0}")]
    Link(#[from] LinkError),
    /// A thread or an index could not be started.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// An actor could not be started.
    #[error("{0}")]
    Actor(String),
}

/// The running system, as handlers reach it.
pub struct Platform {
    /// Every account.
    pub accounts: Region<Accounts>,
    /// The logins of every user.
    pub sessions: Region<Sessions>,
    /// Every course.
    pub courses: Region<Courses>,
    /// Wallet, orders and access of every user.
    pub buyers: Region<Buyers>,
    /// Payments through external providers.
    pub payments: Region<Payments>,
    /// What two operators post by hand.
    pub adjustments: Region<Adjustments>,
    /// What every user wants to hear of.
    pub subscribers: Region<Subscribers>,
    /// Tells them.
    pub webhooks: Arc<Courier>,
    /// The flash sales.
    pub sales: Region<Sales>,
    /// Courses for less, to whoever finds enough others.
    pub groups: Region<Groups>,
    /// Those who buy together.
    pub teams: Region<Teams>,
    /// Courses that are sold together.
    pub bundles: Region<Bundles>,
    /// Batches of redeem codes.
    pub batches: Region<Batches>,
    /// Coupons of creators and of the platform.
    pub coupons: Region<Coupons>,
    /// What members may study, and for how much.
    pub plans: Region<Plans>,
    /// Who is a member of which plan.
    pub memberships: Region<Memberships>,
    /// What every user likes.
    pub profiles: Region<Profiles>,
    /// Registers and logs in.
    pub identity: Identity,
    /// Signing keys of access tokens.
    pub keys: Arc<Keys>,
    /// Logins whose access tokens are refused.
    pub revoked: Arc<Revoked>,
    /// What operators do to the cluster.
    pub operators: Operators,
    /// What the nodes tell each other of what they have counted.
    pub board: Arc<Board>,
    /// How far everything that this node keeps of others' decisions is behind.
    pub freshness: Freshness,
    /// The published courses.
    pub catalog: Arc<CatalogSnapshot>,
    /// Courses and lessons by their rows.
    pub catalog_queries: CatalogQueries,
    /// Ledger, wallets and sagas by their rows.
    pub commerce: CommerceQueries,
    /// Invoices and credit notes.
    pub documents: Documents,
    /// The payment providers that are offered.
    pub gateway: Gateway,
    /// Take the callbacks of the providers that are offered.
    pub receivers: Receivers,
    /// The node's model and lists.
    pub recommender: Arc<Recommender>,
    /// What users may know and decide of what recommends to them.
    pub privacy: Privacy,
    /// Takes events for the table of interactions.
    pub interactions: Sink,
    /// Postgres, for health checks.
    pub database: Database,
    /// Redis, for health checks.
    pub redis: Redis,
    /// The link to other nodes, if there may be some.
    pub link: Option<Arc<Link>>,
    condition: Arc<Condition>,
    pub(crate) node: Arc<Node>,
    cluster: Arc<Cluster>,
    pub(crate) member: Membership,
    sink_worker: Mutex<Option<SinkWorker>>,
}

impl Platform {
    /// Starts everything and returns once this node serves its shards.
    ///
    /// # Errors
    /// A store is away, refuses, or holds something unexpected.
    pub async fn start(settings: PlatformSettings) -> Result<Arc<Self>, StartError> {
        let database = Database::new(&settings.database)?;
        let redis = Redis::connect(
            &settings.redis_url,
            settings.redis_connections,
            settings.redis_connect_timeout,
            settings.redis_timeout,
        )?;
        // Before anything is decided: all nodes mean the same present.
        clock::compare(&database).await?;
        let compared = database.clone();
        supervise("clock", move || clock::keep(compared.clone()));
        let member = Membership::new(settings.node);
        let regions = Arc::new(Regions::default());
        let link = match settings.link {
            Some(link) => Some(Link::start(link, member.incarnation, regions.clone()).await?),
            None => None,
        };
        let cluster = match settings.cluster {
            None => Cluster::alone(&member, database.clone(), &settings.database).await?,
            Some(mut cluster) => {
                if let Some(link) = &link {
                    cluster.link = link.advertised().to_string();
                }
                Cluster::join(&member, database.clone(), &settings.database, cluster).await?
            }
        };
        if let Some(link) = &link {
            cluster.link_over(link);
        }
        let shards = cluster.shards().clone();
        let (journal, committed) = PostgresJournal::start(
            &settings.journal,
            &settings.database,
            database.clone(),
            &shards,
            member.incarnation,
        );
        let condition = journal.condition();
        let peers: Arc<dyn PeerTransport> = match &link {
            Some(link) => link.clone(),
            None => Arc::new(Alone),
        };
        let supervisors = Arc::new(Supervisors::default());
        let node = Arc::new(Node {
            journal: Arc::new(journal),
            snapshots: Arc::new(redis.clone()),
            shards: shards.clone(),
            peers,
            regions,
            limits: settings.actors,
            supervisors: supervisors.clone(),
            alive: AtomicUsize::new(0),
            pace: Arc::new(Pace::new(settings.slow_after)),
            started: Instant::now(),
        });
        supervisors
            .start(node.clone())
            .await
            .map_err(|error| StartError::Actor(error.to_string()))?;

        let catalog = CatalogSnapshot::start(settings.catalog)?;
        let keys = Arc::new(Keys::load(&database, settings.keys).await?);
        let freshness = Freshness::new(keys.mark());
        let lifetime = settings.keys.token_lifetime;
        let revoked = Revoked::start(&database, lifetime, freshness.of(Followed::Logins)).await?;
        let recommender = Recommender::new(catalog.clone(), settings.recommender);
        let rows = RecommendRows::new(database.clone());
        let weights = recommender.weights().clone();
        let (sink, sink_worker) = Sink::start(rows.clone(), weights, settings.sink);
        let board = Board::start(
            database.clone(),
            member.incarnation,
            catalog.clone(),
            sink.clone(),
            freshness.of(Followed::Counters),
        );
        let (threads, queue_max) = (settings.cpu_threads, settings.cpu_queue_max);
        let cpu = CpuPool::start("passwords", threads, queue_max, Niceness::Normal)?;
        let training = CpuPool::start("training", 1, 1, Niceness::Background)?;

        let (threads, queue_max) = (settings.billing.threads, settings.billing.queue_max);
        let printing = CpuPool::start("printing", threads, queue_max, Niceness::Background)?;
        let documents = Documents::new(database.clone(), printing, &settings.billing.font);

        let profiles = Region::open(
            node.clone(),
            Profiles::new(recommender.clone(), rows.clone(), sink.clone()),
        );
        let privacy = Privacy::new(rows.clone(), profiles.clone());
        let accounts = Region::open(
            node.clone(),
            Accounts::new(on_interests(profiles.clone()), revoked.clone()),
        );
        let displaced = on_displaced(accounts.clone());
        let sessions = Region::open(
            node.clone(),
            Sessions::new(revoked.clone(), displaced, settings.logins),
        );
        let courses = Region::open(
            node.clone(),
            Courses::new(catalog.clone(), settings.snapshot_every),
        );
        let traded = on_trade(profiles.clone(), board.clone());
        let listeners = Listeners::start(&database).await?;
        let buyers = Buyers::new(traded, settings.snapshot_every).announcing(listeners.clone());
        let buyers = Region::open(node.clone(), buyers);
        let subscribers = Region::open(node.clone(), Subscribers::new(listeners, settings.snapshot_every));
        let webhooks = Courier::new(settings.webhooks, database.clone(), subscribers.clone())?;
        let payments = Region::open(node.clone(), Payments::new(settings.snapshot_every));
        let adjustments = Region::open(node.clone(), Adjustments::new(settings.snapshot_every));
        let sales = Region::open(node.clone(), Sales::new(settings.snapshot_every));
        let groups = Region::open(node.clone(), Groups::new(settings.snapshot_every));
        let teams = Region::open(node.clone(), Teams::new(settings.snapshot_every));
        let bundles = Region::open(node.clone(), Bundles::new(settings.snapshot_every));
        let batches = Region::open(
            node.clone(),
            Batches::new(settings.code_secret, settings.snapshot_every),
        );
        let coupons = Region::open(node.clone(), Coupons::new(settings.snapshot_every));
        let plans = Region::open(node.clone(), Plans::new(settings.snapshot_every));
        let memberships = Region::open(node.clone(), Memberships::new(settings.snapshot_every));
        let identity = Identity {
            accounts: accounts.clone(),
            sessions: sessions.clone(),
            queries: AccountQueries::new(database.clone()),
            passwords: Passwords::new(cpu, settings.hash_cost)
                .map_err(|error| StartError::Actor(error.to_string()))?,
            secret: TokenSecret::load(&database).await?,
            revoked: revoked.clone(),
            policy: settings.logins,
            initial_roles: settings.initial_roles,
        };
        let commerce = CommerceQueries::new(database.clone());
        let (gateway, schemes) = providers::open(settings.providers)?;
        let ports = CommercePorts {
            buyers: buyers.clone(),
            payments: payments.clone(),
            adjustments: adjustments.clone(),
            sales: sales.clone(),
            teams: teams.clone(),
            coupons: coupons.clone(),
            memberships: memberships.clone(),
            accounts: accounts.clone(),
            order_times: settings.order_times,
            gateway: gateway.clone(),
            webhooks: webhooks.queue().clone(),
            ask_timeout: settings.ask_timeout,
        };
        let inbox = Inbox::start(&database, settings.inbox);
        let receivers = Receivers::new(schemes, &inbox, &commerce, &ports);
        rereads::keep(database.clone(), receivers.clone(), settings.rereads);

        Projector::load(&database, catalog.clone(), freshness.of(Followed::Catalog))
            .await?
            .start();
        let trainer = settings.trainer;
        let kept = ModelStore::new(
            database.clone(),
            member.node.clone(),
            member.incarnation,
            trainer.kept,
        );
        let trained = (recommender.clone(), rows, kept, sink.clone());
        let model = freshness.of(Followed::Model);
        supervise("recommend trainer", move || {
            let (recommender, rows, kept, sink) = trained.clone();
            train(
                recommender,
                rows,
                kept,
                sink,
                training.clone(),
                trainer.clone(),
                model.clone(),
            )
        });
        let flows = Flows {
            sessions: sessions.clone(),
            subscribers: subscribers.clone(),
            privacy: privacy.clone(),
            courses: courses.clone(),
            commerce: ports,
        };
        gauges::keep(database.clone(), shards.clone());
        audit::keep(database.clone());
        closing::keep(commerce.clone(), settings.closing, member.node.clone());
        Issuer::new(database.clone(), settings.billing).keep();
        Relay::start(
            database.clone(),
            shards,
            settings.outbox,
            Arc::new(flows),
            committed,
        );
        cluster.warms(vec![
            Arc::new(accounts.clone()),
            Arc::new(sessions.clone()),
            Arc::new(courses.clone()),
            Arc::new(buyers.clone()),
            Arc::new(payments.clone()),
            Arc::new(adjustments.clone()),
            Arc::new(subscribers.clone()),
            Arc::new(sales.clone()),
            Arc::new(groups.clone()),
            Arc::new(teams.clone()),
            Arc::new(bundles.clone()),
            Arc::new(batches.clone()),
            Arc::new(coupons.clone()),
            Arc::new(plans.clone()),
            Arc::new(memberships.clone()),
            Arc::new(profiles.clone()),
        ]);
        cluster.begin(node.clone()).await?;
        webhooks.begin();
        Ok(Arc::new(Platform {
            accounts,
            sessions,
            courses,
            buyers,
            payments,
            adjustments,
            subscribers,
            webhooks,
            sales,
            groups,
            teams,
            bundles,
            batches,
            coupons,
            plans,
            memberships,
            profiles,
            identity,
            keys,
            revoked,
            operators: Operators::new(database.clone(), member.node.clone()),
            board,
            freshness,
            catalog,
            catalog_queries: CatalogQueries::new(database.clone()),
            commerce,
            documents,
            gateway,
            receivers,
            recommender,
            privacy,
            interactions: sink,
            database,
            redis,
            link,
            condition,
            node,
            cluster,
            member,
            sink_worker: Mutex::new(Some(sink_worker)),
        }))
    }

    /// This node's place among others.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }
}
