//! The open connections of one listener: their limits, their sweeper's list, their end.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::pulse::{Clock, Order, Patience, Protocol, Pulse};

/// All connections of one listener.
pub(super) struct Registry {
    table: Mutex<Table>,
    ended: Notify,
    connections_max: usize,
    per_address_max: usize,
}

#[derive(Default)]
struct Table {
    next: u64,
    open: HashMap<u64, Arc<Pulse>>,
    by_address: HashMap<IpAddr, usize>,
}

/// A connection's place among the others, given back when it is dropped.
pub(super) struct Seat {
    registry: Arc<Registry>,
    number: u64,
    address: IpAddr,
}

/// Why a connection is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// There are too many in all.
    Connections,
    /// There are too many from this address.
    Address,
}

/// Open connections by protocol and by whether a request is open: `[unknown, 1, 2][idle, active]`.
pub(super) type Census = [[u32; 2]; 3];

impl Registry {
    pub(super) fn new(connections_max: usize, per_address_max: usize) -> Arc<Self> {
        Arc::new(Registry {
            table: Mutex::default(),
            ended: Notify::new(),
            connections_max,
            per_address_max,
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing that holds the lock can leave the table half changed.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn admit(
        self: &Arc<Self>,
        address: IpAddr,
        clock: &Arc<Clock>,
    ) -> Result<(Seat, Arc<Pulse>), Full> {
        let address = network(address);
        let mut table = self.table();
        if table.open.len() >= self.connections_max {
            return Err(Full::Connections);
        }
        let count = table.by_address.entry(address).or_default();
        if *count >= self.per_address_max {
            return Err(Full::Address);
        }
        *count += 1;
        let number = table.next;
        table.next += 1;
        let pulse = Arc::new(Pulse::new(clock.clone()));
        table.open.insert(number, pulse.clone());
        Ok((
            Seat {
                registry: self.clone(),
                number,
                address,
            },
            pulse,
        ))
    }

    /// Carries out the limits, and counts.
    pub(super) fn sweep(&self, patience: &Patience) -> Census {
        let mut census = Census::default();
        for pulse in self.table().open.values() {
            let order = pulse.judge(patience);
            if order != Order::Serve {
                pulse.tell(order);
            }
            let (protocol, active) = pulse.state();
            let row = match protocol {
                Protocol::Unknown => 0,
                Protocol::Http1 => 1,
                Protocol::Http2 => 2,
            };
            census[row][usize::from(active)] += 1;
        }
        census
    }

    /// Gives every connection the same order; answers how many there are.
    pub(super) fn tell_all(&self, order: Order) -> usize {
        let table = self.table();
        table.open.values().for_each(|pulse| pulse.tell(order));
        table.open.len()
    }

    /// Waits until no connection is left.
    pub(super) async fn emptied(&self) {
        loop {
            let ended = self.ended.notified();
            if self.table().open.is_empty() {
                return;
            }
            ended.await;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.registry.table();
        table.open.remove(&self.number);
        if let Some(count) = table.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                table.by_address.remove(&self.address);
            }
        }
        drop(table);
        self.registry.ended.notify_waiters();
    }
}

/// Whom an address counts as: of IPv6 the /64, because one customer is given at least that many.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn connections_are_limited_in_all_and_per_address() {
        let registry = Registry::new(3, 2);
        let clock = Arc::new(Clock::new());
        let admit = |last| registry.admit(Ipv4Addr::new(10, 0, 0, last).into(), &clock);

        let first = admit(1).ok();
        let _second = admit(1).ok();
        assert_eq!(admit(1).err(), Some(Full::Address));
        let _third = admit(2).ok();
        assert_eq!(admit(3).err(), Some(Full::Connections));

        drop(first);
        assert!(admit(1).is_ok());
    }

    #[tokio::test]
    async fn whoever_waits_for_the_end_hears_of_it() {
        let registry = Registry::new(3, 2);
        let seat = registry
            .admit(Ipv4Addr::LOCALHOST.into(), &Arc::new(Clock::new()))
            .ok();

        let waiting = registry.emptied();
        drop(seat);

        waiting.await;
    }
}
