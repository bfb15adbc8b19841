//! One direction of a connection: read → wait for its time → write in slices, at a rate.
//!
//! What was read waits in a bounded channel with the time it is due, so latency delays and does not throttle.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::{CHUNK_BYTES, Faults, IN_FLIGHT_CHUNKS, Lane};
use crate::dice::Dice;

/// Bytes and when they are due.
type Late = (Instant, Vec<u8>);
/// Which lane of the faults is meant.
type Side = fn(&Faults) -> Lane;

/// Carries both directions until both have ended.
pub(super) async fn both(
    client: &TcpStream,
    server: &TcpStream,
    faults: &watch::Receiver<Faults>,
) -> io::Result<()> {
    let up = one(client, server, faults.clone(), |faults| faults.up);
    let down = one(server, client, faults.clone(), |faults| faults.down);
    let ((), ()) = tokio::try_join!(up, down)?;
    Ok(())
}

async fn one(
    from: &TcpStream,
    to: &TcpStream,
    faults: watch::Receiver<Faults>,
    side: Side,
) -> io::Result<()> {
    let (late, due) = mpsc::channel::<Late>(IN_FLIGHT_CHUNKS);
    let ((), ()) = tokio::try_join!(
        take(from, late, faults.clone(), side),
        give(due, to, faults, side)
    )?;
    Ok(())
}

async fn take(
    from: &TcpStream,
    late: mpsc::Sender<Late>,
    mut faults: watch::Receiver<Faults>,
    side: Side,
) -> io::Result<()> {
    let mut dice = Dice::from_entropy();
    let mut last = Instant::now();
    loop {
        sounding(&mut faults, side).await?;
        tokio::select! {
            readable = from.readable() => readable?,
            // It may have become silent.
            changed = faults.changed() => {
                changed.map_err(|_| io::ErrorKind::ConnectionAborted)?;
                continue;
            }
        }
        let mut chunk = vec![0; CHUNK_BYTES];
        match from.try_read(&mut chunk) {
            // Dropping the sender tells the other half, which has to deliver what is late first.
            Ok(0) => return Ok(()),
            Ok(length) => chunk.truncate(length),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        let lane = side(&faults.borrow_and_update());
        last = last.max(Instant::now() + lane.latency + dice.duration_up_to(lane.jitter));
        // It fails when the other half has ended, and then so has the connection.
        if late.send((last, chunk)).await.is_err() {
            return Ok(());
        }
    }
}

async fn give(
    mut due: mpsc::Receiver<Late>,
    to: &TcpStream,
    mut faults: watch::Receiver<Faults>,
    side: Side,
) -> io::Result<()> {
    while let Some((at, chunk)) = due.recv().await {
        sleep_until(at).await;
        let mut rest = chunk.as_slice();
        while !rest.is_empty() {
            sounding(&mut faults, side).await?;
            let lane = side(&faults.borrow_and_update());
            let slice = lane.slice_bytes.unwrap_or(rest.len()).clamp(1, rest.len());
            to.writable().await?;
            let written = match to.try_write(&rest[..slice]) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            };
            rest = &rest[written..];
            if let Some(rate) = lane.bytes_per_second {
                sleep(time_of(written, rate)).await;
            } else if lane.slice_bytes.is_some() {
                // Lets what was written leave as a segment of its own.
                tokio::task::yield_now().await;
            }
        }
    }
    shut(to)
}

/// Waits while nothing is carried.
async fn sounding(faults: &mut watch::Receiver<Faults>, side: Side) -> io::Result<()> {
    let audible = faults.wait_for(|faults| !side(faults).silent).await;
    audible
        .map(drop)
        .map_err(|_| io::ErrorKind::ConnectionAborted.into())
}

fn time_of(bytes: usize, bytes_per_second: u32) -> Duration {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    Duration::from_secs(1) * bytes / bytes_per_second.max(1)
}

/// Passes an end of file on, with the other direction still open.
fn shut(to: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(to).shutdown(std::net::Shutdown::Write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_their_time() {
        assert_eq!(time_of(500, 1000), Duration::from_millis(500));
        assert_eq!(time_of(1, 0), Duration::from_secs(1));
    }
}
