//! `lyceum-sandbox`: a stand-in for an external payment provider.
//!
//! A process of its own with its own durable file and none of the product's code, so that what it says about money
//! is independent evidence. It charges and refunds at most once per key, signs and retries its callbacks, and its
//! test tokens misbehave on request (slow answers, lost answers, repeated callbacks). `/admin` makes answers, callbacks and settlement files fail at
//! rates that are drawn from a seed, and opens disputes. With keys it speaks the wire formats
//! of WeChat Pay and Alipay as well, over the same book.
//!
//! ```text
//! http → store (decide on the book, one line, group fsync) → answer
//!                └ after the fsync → callbacks (signed, retried, remembered until delivered)
//! ```

mod admin;
mod book;
mod callbacks;
mod clock;
mod faults;
mod http;
mod settlement;
mod signature;
mod store;
mod tokens;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing::info;
use tracing_subscriber::EnvFilter;

/// What the command line says.
#[derive(Parser)]
#[command(name = "lyceum-sandbox", version, about = "A stand-in payment provider")]
struct Arguments {
    /// The address to serve.
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// The durable file: one JSON line per fact, created when missing.
    #[arg(long)]
    file: PathBuf,
    /// The secret that callbacks are signed with.
    #[arg(long)]
    secret: String,
    /// A folder with the keys of both sides; with it, the wire formats of WeChat Pay and Alipay are spoken as well.
    #[arg(long)]
    keys: Option<PathBuf>,
    /// The key that notifications in the format of WeChat Pay are encrypted with: 32 characters.
    #[arg(long, default_value = "sandbox-api-v3-key-of-32-letters")]
    api_v3_key: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();

    let (events, committed) = mpsc::unbounded_channel();
    let keys = match &arguments.keys {
        Some(folder) => Some(Arc::new(wire::keys::Keys::read(folder, &arguments.api_v3_key)?)),
        None => None,
    };
    let store = Arc::new(store::Store::open(&arguments.file, events)?);
    let faults = Arc::new(faults::Faults::default());
    // Taken before the first request, so that nothing is both pending and freshly committed.
    let pending = store.read(book::Book::undelivered).await;
    tokio::spawn(callbacks::run(
        Arc::clone(&store),
        arguments.secret.into(),
        keys.clone(),
        Arc::clone(&faults),
        pending,
        committed,
    ));
    let listener = TcpListener::bind(arguments.listen).await?;
    info!(address = %listener.local_addr()?, file = %arguments.file.display(), "listening");

    // Every answer was durable before it was given, so stopping needs no ceremony.
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        () = http::serve(listener, http::Provider { store, keys, faults }) => {}
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}
