//! The links between nodes, as a web whose threads can be cut one by one.
//!
//! Every node says that it is reached at an address of the web. Who connects there is found by the process that owns the other end of the
//! connection, and is carried through the proxy of just these two. So one node can be cut off while the others hear each other.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::Failure;
use crate::proxy::{Faults, Proxy};

/// The proxies by who calls and who is called.
type Threads = BTreeMap<(usize, usize), Proxy>;

#[derive(Debug, Default)]
struct Known {
    /// The process of each node.
    pids: BTreeMap<usize, u32>,
    /// Where each node's link listens.
    links: BTreeMap<usize, SocketAddr>,
    threads: Threads,
    cut: Vec<usize>,
}

/// All links.
#[derive(Debug, Default)]
pub(crate) struct Web {
    known: Arc<Mutex<Known>>,
    listening: Vec<JoinHandle<()>>,
}

impl Web {
    /// The address at which others reach a node whose link listens at `link`.
    pub(crate) async fn reach(&mut self, node: usize, link: SocketAddr) -> Result<SocketAddr, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        self.known().links.insert(node, link);
        self.listening
            .push(tokio::spawn(accept(listener, node, self.known.clone())));
        Ok(address)
    }

    /// This process is that node.
    pub(crate) fn is(&self, node: usize, pid: u32) {
        self.known().pids.insert(node, pid);
    }

    /// Cuts a node off from all others, or heals that. Packets are dropped: nobody is told.
    pub(crate) fn cut(&self, node: usize, cut: bool) {
        let mut known = self.known();
        known.cut.retain(|other| *other != node);
        if cut {
            known.cut.push(node);
        }
        for (ends, proxy) in &known.threads {
            proxy.set(faults(&known.cut, *ends));
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.listening.iter().for_each(JoinHandle::abort);
    }
}

fn faults(cut: &[usize], (from, to): (usize, usize)) -> Faults {
    if cut.contains(&from) || cut.contains(&to) {
        Faults::partition()
    } else {
        Faults::default()
    }
}

async fn accept(listener: TcpListener, to: usize, known: Arc<Mutex<Known>>) {
    let mut carried = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = carried.join_next() => continue,
        };
        if let Ok((client, peer)) = accepted {
            // How a connection ends is between the two that it connects.
            let known = known.clone();
            carried.spawn(async move { carry(client, peer, to, &known).await.is_ok() });
        }
    }
}

async fn carry(mut client: TcpStream, peer: SocketAddr, to: usize, known: &Mutex<Known>) -> io::Result<()> {
    let (pids, link) = {
        let known = known.lock().unwrap_or_else(PoisonError::into_inner);
        (known.pids.clone(), known.links[&to])
    };
    // The table of all connections is long to read, and this runtime carries other connections meanwhile.
    let ours = client.local_addr()?;
    let from = tokio::task::spawn_blocking(move || caller(&pids, peer, ours)).await??;
    let thread = {
        let exists = known.lock().unwrap_or_else(PoisonError::into_inner);
        exists.threads.get(&(from, to)).map(Proxy::address)
    };
    let thread = match thread {
        Some(thread) => thread,
        None => {
            let proxy = Proxy::start((Ipv4Addr::LOCALHOST, 0).into(), link).await?;
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            proxy.set(faults(&known.cut, (from, to)));
            known.threads.entry((from, to)).or_insert(proxy).address()
        }
    };
    let mut server = TcpStream::connect(thread).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// The node whose process owns the connection from one address to another.
fn caller(pids: &BTreeMap<usize, u32>, from: SocketAddr, to: SocketAddr) -> io::Result<usize> {
    let inode = inode_of(&fs::read_to_string("/proc/net/tcp")?, from, to).ok_or(io::ErrorKind::NotFound)?;
    let owner = pids.iter().find(|(_, pid)| owns(**pid, inode));
    Ok(owner.map(|(node, _)| *node).ok_or(io::ErrorKind::NotFound)?)
}

/// The inode of the socket with these addresses. Both are compared, since a port is used again while an earlier
/// connection from it to elsewhere still lingers, a row whose inode is 0.
fn inode_of(table: &str, local: SocketAddr, remote: SocketAddr) -> Option<u64> {
    let (local, remote) = (written(local)?, written(remote)?);
    let mut rows = table.lines().skip(1).map(str::split_whitespace);
    let row =
        rows.find_map(|mut row| (row.nth(1) == Some(&local) && row.next() == Some(&remote)).then_some(row))?;
    // What follows is the state, queues, timer, retransmits, user and timeout.
    row.clone().nth(6)?.parse().ok()
}

/// An address as the kernel's table writes it.
fn written(address: SocketAddr) -> Option<String> {
    let SocketAddr::V4(address) = address else {
        return None;
    };
    let ip = u32::from_le_bytes(address.ip().octets());
    Some(format!("{ip:08X}:{:04X}", address.port()))
}

/// Whether a process has this socket open.
fn owns(pid: u32, inode: u64) -> bool {
    let wanted = format!("socket:[{inode}]");
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    let mut links = open
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok());
    links.any(|link| link == Path::new(&wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whose_a_connection_is_is_found_by_its_process() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();

        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let ends = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        let inode = inode_of(&table, ends.0, ends.1).unwrap();

        assert!(owns(std::process::id(), inode));
        assert!(!owns(1, inode));
    }

    #[test]
    fn an_earlier_connection_from_the_same_port_is_not_taken_for_it() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:9C40 0100007F:1F90 06 00000000:00000000 03:00000176 00000000     0        0 0 3 0000000000000000
   1: 0100007F:9C40 0100007F:1538 01 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000
";
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));

        assert_eq!(inode_of(table, at(40_000), at(5_432)), Some(4_711));
        assert_eq!(inode_of(table, at(40_000), at(80)), None);
    }

    #[test]
    fn who_is_cut_off_hears_nobody_and_the_others_hear_each_other() {
        assert_eq!(faults(&[0], (0, 1)), Faults::partition());
        assert_eq!(faults(&[0], (2, 0)), Faults::partition());
        assert_eq!(faults(&[0], (1, 2)), Faults::default());
    }
}
