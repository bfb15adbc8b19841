//! Measures Lyceum: reads beside bare hyper, durable purchases beside SQL peers, entities, start-up.
//!
//! Everything is a ratio to something measured in the same minute on the same machine, because absolute figures of two
//! machines, or of one machine on two days, say little. `make bench` and `make bench-peers` prepare private stores and
//! run this; the flow is seed → measure → print → check the books.

mod callbacks;
mod control;
mod entities;
mod http;
mod link;
mod load;
mod peer_sales;
mod peers;
mod process;
mod purchases;
mod reads;
mod recommend;
mod report;
mod sales;
mod seed;
mod sight;
mod site;
mod stats;
mod tokens;

use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::peers::PeerArgs;
use crate::report::progress;
use crate::site::Place;

/// The control must not be slower than the server for want of the server's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Why a run ended early; told in one sentence.
type Failure = Box<dyn Error + Send + Sync>;

/// Measures Lyceum beside bare hyper and beside the systems people use instead.
#[derive(Debug, Parser)]
#[command(name = "lyceum-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures reads, purchases, entities and start-up
    Run {
        #[command(flatten)]
        place: Place,
        /// Only these parts; may be repeated
        #[arg(long)]
        only: Vec<Part>,
    },
    /// Measures the recommender on a data set
    Recommend {
        #[command(flatten)]
        place: Place,
        /// Folder of a data set with items.tsv and train.tsv
        #[arg(long)]
        data: PathBuf,
    },
    /// Measures purchases beside those of the peers
    Peers {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        peers: PeerArgs,
        /// Only these parts, purchases and sales; may be repeated
        #[arg(long)]
        only: Vec<Part>,
    },
    /// Answers every request with one recorded answer, by hyper alone
    Control {
        /// The address to serve
        #[arg(long)]
        listen: SocketAddr,
        /// The file of the recorded answer
        #[arg(long)]
        answer: PathBuf,
    },
    /// Is the other node of the link's measurement
    Peer {
        /// The address of its link
        #[arg(long)]
        link: SocketAddr,
        /// The address of HTTP/2 in clear text
        #[arg(long)]
        h2c: SocketAddr,
    },
}

/// A part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Time and memory until ready
    StartUp,
    /// Reads beside bare hyper
    Reads,
    /// Durable purchases
    Purchases,
    /// Grants after a provider's callback
    Callbacks,
    /// Flash sales
    Sales,
    /// Activation and memory of entities
    Entities,
    /// The cost of metrics, traces and logs
    Sight,
    /// Asks on the node and from node to node
    Link,
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run { place, only } => run(&place, &only).await,
        Command::Recommend { place, data } => recommended(&place, &data).await,
        Command::Peers { place, peers, only } => beside_peers(&place, &peers, &only).await,
        Command::Control { listen, answer } => control::serve(listen, &answer).await,
        Command::Peer { link, h2c } => link::serve(link, h2c).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            progress(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}

async fn run(place: &Place, only: &[Part]) -> Result<(), Failure> {
    fs::create_dir_all(&place.out)?;
    let load_before = report::other_work();
    let wanted = |part| only.is_empty() || only.contains(&part);
    let mut sections = Vec::new();
    let mut keep = |section| {
        let told = report::print(&section);
        sections.push(section);
        told
    };
    if wanted(Part::Link) {
        keep(link::asks().await?)?;
        keep(link::run(place).await?)?;
    }
    if only == [Part::Link] {
        // It needs no store.
        return report::save(&place.out, "bench", load_before, &sections);
    }
    let database = place.connect().await?;
    progress("seeding");
    let seeded = seed::seed(place, &database).await?;
    if wanted(Part::StartUp) {
        keep(entities::start_up(place, &seeded).await?)?;
    }
    if wanted(Part::Entities) {
        keep(entities::run(place, &seeded).await?)?;
    }
    if wanted(Part::Sight) {
        keep(sight::run(place, &seeded).await?)?;
    }
    if wanted(Part::Reads) || wanted(Part::Purchases) || wanted(Part::Sales) {
        let site = place.start(&[]).await?;
        if wanted(Part::Reads) {
            keep(reads::run(place, &site, &seeded).await?)?;
        }
        if wanted(Part::Purchases) {
            keep(purchases::run(&site, &seeded, &database).await?)?;
        }
        if wanted(Part::Sales) {
            keep(sales::run(&site, &seeded, &database).await?)?;
        }
        site.process.end().await?;
    }
    if wanted(Part::Callbacks) {
        keep(callbacks::run(place, &seeded, &database).await?)?;
    }
    report::save(&place.out, "bench", load_before, &sections)
}

async fn recommended(place: &Place, data: &Path) -> Result<(), Failure> {
    fs::create_dir_all(&place.out)?;
    let load_before = report::other_work();
    let section = recommend::run(data, &place.connect().await?).await?;
    report::print(&section)?;
    report::save(&place.out, "recommend", load_before, &[section])
}

async fn beside_peers(place: &Place, peers: &PeerArgs, only: &[Part]) -> Result<(), Failure> {
    fs::create_dir_all(&place.out)?;
    let load_before = report::other_work();
    let database = place.connect().await?;
    progress("seeding");
    let seeded = seed::seed(place, &database).await?;
    let site = place.start(&[]).await?;
    let wanted = |part| only.is_empty() || only.contains(&part);
    let mut sections = Vec::new();
    if wanted(Part::Purchases) {
        sections.push(peers::run(place, &site, &seeded, &database, peers).await?);
    }
    if wanted(Part::Sales) {
        sections.push(peer_sales::run(place, &site, &seeded, &database, peers).await?);
    }
    site.process.end().await?;
    for section in &sections {
        report::print(section)?;
    }
    report::save(&place.out, "peers", load_before, &sections)
}
