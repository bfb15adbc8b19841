//! The same purchases made by the systems people use instead: actix-web over Postgres, with its transaction in steps,
//! pipelined, or as one statement.
//!
//! All systems run over the same private Postgres, each in its own database, and are measured in turn: one sample of
//! each makes a round. The peers keep their own tables and contract, as their README has them.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::Failure;
use crate::http::request;
use crate::load::{Sample, Traffic, measure};
use crate::process::{Process, free_address};
use crate::purchases::{BUYERS, CONNECTIONS, Purchases, ROUNDS, figures, load_of, prepared};
use crate::report::{Goal, Line, Section, progress};
use crate::seed::Seeded;
use crate::site::{Place, Site, connect};
use crate::stats::{median, ratio};
use crate::tokens::peer_token;

/// How the peer's transaction reaches Postgres, best known first.
const MODES: [&str; 3] = ["cte", "pipelined", "steps"];
const DATABASE: &str = "peers";
/// Rows of the peers' own seed; what purchases do not touch is left out.
const SEED: &str = "\
    INSERT INTO courses SELECT i, 'course-' || i, 'Title ' || i, repeat('word ', 28), 'Teacher ' || i % 900, \
        'engineering', 990 + i * 37 % 1000, 4.5, i % 50000, 'a,b,c', 'a,b,c,d', '2026-11-02T09:30:00Z', NULL \
        FROM generate_series(1, 10000) AS i; \
    INSERT INTO users SELECT i, 'user' || i || '@example.test', 'User ' || i FROM generate_series(1, 50000) AS i; \
    INSERT INTO wallets SELECT i, 100000000 FROM generate_series(1, 50000) AS i; \
    ANALYZE";
const COURSES: usize = 10_000;

/// Where the peers are.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PeerArgs {
    /// The peer's binary
    #[arg(long)]
    pub(crate) peer: PathBuf,
    /// The peers' schema
    #[arg(long)]
    pub(crate) schema: PathBuf,
}

/// Measures Lyceum's purchases beside those of its peers.
///
/// # Errors
/// A purchase was refused, or the books are wrong.
pub(crate) async fn run(
    place: &Place,
    site: &Site,
    seeded: &Seeded,
    database: &Client,
    args: &PeerArgs,
) -> Result<Section, Failure> {
    let (url, books) = seed(place, database, &args.schema).await?;
    let mut peers = Vec::new();
    for mode in MODES {
        peers.push(Peer::start(place, &args.peer, mode, "conditional", &url).await?);
    }
    let mut ours = Purchases::new(seeded)?;
    let mut theirs = PeerPurchases::new()?;
    let mut lines = Vec::new();
    for connections in CONNECTIONS {
        let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); MODES.len() + 1];
        for round in 1..=ROUNDS {
            progress(&format!(
                "peers: {connections} connections, round {round} of {ROUNDS}"
            ));
            samples[0].push(ours.sample(site, connections).await?);
            for (peer, samples) in peers.iter().zip(&mut samples[1..]) {
                samples.push(theirs.sample(peer, connections).await?);
            }
        }
        lines.extend(compared(connections, &samples));
    }
    ours.check_books(database).await?;
    theirs.check_books(&books).await?;
    Ok(Section {
        title: "Purchases beside the best peer over SQL: fsync on, one Postgres, alternating",
        lines,
    })
}

fn compared(connections: usize, samples: &[Vec<Sample>]) -> Vec<Line> {
    let rate = |samples: &Vec<Sample>| median(samples.iter().map(Sample::rate));
    let best = samples[1..].iter().map(rate).fold(0.0, f64::max);
    let mut figures_of_ours = figures("orders/s", &samples[0]);
    figures_of_ours.push(("to best peer", ratio(rate(&samples[0]), best)));
    let ours = Line::new(format!("Lyceum, {connections} connections"), figures_of_ours)
        .judged("to best peer", Goal::at_least(1.5, 2.5));
    let theirs = MODES.iter().zip(&samples[1..]).map(|(mode, samples)| {
        Line::new(
            format!("actix-web + Postgres, {mode}, {connections} connections"),
            figures("orders/s", samples),
        )
    });
    [ours].into_iter().chain(theirs).collect()
}

/// Makes the peers' own database; answers its address and a connection to it.
pub(crate) async fn seed(
    place: &Place,
    database: &Client,
    schema: &Path,
) -> Result<(String, Client), Failure> {
    database
        .batch_execute(&format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"))
        .await?;
    database
        .batch_execute(&format!("CREATE DATABASE {DATABASE}"))
        .await?;
    let (server, _) = place
        .database
        .rsplit_once('/')
        .ok_or("DATABASE_URL names no database")?;
    let url = format!("{server}/{DATABASE}");
    let books = connect(&url).await?;
    let schema =
        fs::read_to_string(schema)?.replace("@SERIAL@", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY");
    books.batch_execute(&schema).await?;
    books.batch_execute(SEED).await?;
    Ok((url, books))
}

/// One peer that serves.
pub(crate) struct Peer {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

impl Peer {
    /// Starts one whose orders reach Postgres and take from a stock in these ways.
    pub(crate) async fn start(
        place: &Place,
        program: &Path,
        mode: &'static str,
        stock: &str,
        url: &str,
    ) -> Result<Self, Failure> {
        let address = free_address()?;
        let port = address.port().to_string();
        let workers = crate::report::cores().to_string();
        let environment = [
            ("PORT", port.as_str()),
            ("ORDER_MODE", mode),
            ("STOCK_MODE", stock),
            ("PG_URL", url),
            ("WORKERS", workers.as_str()),
        ];
        let mut process = Process::start(mode, program, [""; 0], &environment, &place.out)?;
        process.ready(address, "/api/courses/1").await?;
        Ok(Peer { process, address })
    }
}

/// Purchases of all peers together, each a different pair of buyer and course.
struct PeerPurchases {
    tokens: Vec<String>,
    made: usize,
    acknowledged: u64,
}

impl PeerPurchases {
    fn new() -> Result<Self, Failure> {
        let tokens = (1..=BUYERS).map(peer_token).collect::<Result<_, _>>()?;
        Ok(PeerPurchases {
            tokens,
            made: 0,
            acknowledged: 0,
        })
    }

    async fn sample(&mut self, peer: &Peer, connections: usize) -> Result<Sample, Failure> {
        let requests = (self.made..self.made + prepared()).map(|number| {
            let course = 1 + number / BUYERS % COURSES;
            let body = json!({"course_id": course, "idem_key": Uuid::now_v7().to_string()});
            request(
                "POST",
                "/api/orders",
                Some(&self.tokens[number % BUYERS]),
                None,
                Some(&body),
            )
        });
        let requests = Arc::new(requests.collect());
        self.made += prepared();
        let traffic = Traffic {
            requests,
            repeat: false,
            expected: &[201],
        };
        let sample = measure(load_of(peer.address, connections), &traffic, &peer.process).await?;
        self.acknowledged += sample.acknowledged;
        sample.checked("a peer's purchases")
    }

    async fn check_books(&self, books: &Client) -> Result<(), Failure> {
        let row = books
            .query_one(
                "SELECT (SELECT count(*) FROM orders), (SELECT sum(amount_cents) FROM ledger)::bigint",
                &[],
            )
            .await?;
        let found: [i64; 2] = std::array::from_fn(|column| row.get(column));
        if found != [i64::try_from(self.acknowledged)?, 0] {
            return Err(format!("the peers' books are wrong: {found:?} for {}", self.acknowledged).into());
        }
        Ok(())
    }
}
