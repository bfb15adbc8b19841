//! Stands between clients and a server, and gives one name in what they send another ending each time it comes by: to the
//! server, nothing that bears the name is ever a repetition. It passes everything else on, both ways, until it is dropped.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A listener that ends with its handle.
pub(crate) struct Renaming {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Drop for Renaming {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Renaming {
    pub(crate) fn before(server: SocketAddr, name: &'static str) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let times = Arc::new(AtomicU8::new(0));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server).await.unwrap();
                tokio::spawn(pass(client, server, name, times.clone()));
            }
        });
        Self { address, accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Passes on what both say until one of them has finished.
async fn pass(client: TcpStream, server: TcpStream, name: &'static str, times: Arc<AtomicU8>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let forth = async {
        // A request of this test is sent whole.
        let mut sent = vec![0; 65_536];
        while let Ok(length @ 1..) = from_client.read(&mut sent).await {
            rename(&mut sent[..length], name.as_bytes(), &times);
            if to_server.write_all(&sent[..length]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = forth => {}
        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
    }
}

/// Changes the last letter of each `name`, so that its length stays.
fn rename(sent: &mut [u8], name: &[u8], times: &AtomicU8) {
    for start in 0..(sent.len() + 1).saturating_sub(name.len()) {
        let end = start + name.len();
        if sent[start..end] == *name {
            sent[end - 1] = b'a' + times.fetch_add(1, Ordering::Relaxed) % 26;
        }
    }
}
