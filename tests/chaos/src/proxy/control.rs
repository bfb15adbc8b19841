//! The control socket of a proxy that runs as a process of its own: one command a line, one line back.
//!
//! ```text
//! both latency_ms=50 jitter_ms=10     sets what is named, in both directions; `up` or `down` for one
//! down slice_bytes=7 bytes_per_second=1000
//! up silent=on                        nothing passes towards upstream; `both` is a partition
//! partition                           the same as `both silent=on`
//! reset on                            every connection, open or new, is reset; `reset off` ends it
//! clear                               no faults
//! show                                what happens at present
//! ```
//!
//! The answer is `ok …` with the faults that hold now, or `error …` and nothing has changed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::{Faults, Lane, Proxy};

/// Commands are shorter.
const LINE_BYTES_MAX: u64 = 512;
/// Those who steer at once: one test, and a person who looks.
const CONNECTIONS_MAX: usize = 8;
/// A connection that says nothing for so long makes room.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// Takes commands on `listen` for as long as it is polled.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(listen: SocketAddr, proxy: &Proxy) -> io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let (stream, _) = listener.accept().await?;
        let Ok(seat) = seats.clone().try_acquire_owned() else {
            continue;
        };
        let switch = proxy.switch();
        tokio::spawn(async move {
            // Whoever steers notices by himself that the line is gone.
            let _ = converse(stream, &switch).await;
            drop(seat);
        });
    }
}

async fn converse(mut stream: TcpStream, switch: &watch::Sender<Faults>) -> io::Result<()> {
    let (read, mut write) = stream.split();
    let mut lines = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let mut limited = (&mut lines).take(LINE_BYTES_MAX);
        let reading = limited.read_until(b'\n', &mut line);
        if !matches!(timeout(IDLE_TIMEOUT, reading).await, Ok(Ok(1..))) || !line.ends_with(b"\n") {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&line);
        let now = *switch.borrow();
        let answer = match command(now, line.trim()) {
            Ok(faults) => {
                switch.send_replace(faults);
                format!("ok {}\n", describe(&faults))
            }
            Err(reason) => format!("error {reason}\n"),
        };
        write.write_all(answer.as_bytes()).await?;
    }
}

/// What holds after a command.
///
/// # Errors
/// What is wrong with it, in words.
pub fn command(now: Faults, line: &str) -> Result<Faults, String> {
    let mut words = line.split_whitespace();
    let verb = words.next().unwrap_or_default();
    let settings: Vec<&str> = words.collect();
    let mut faults = now;
    match (verb, settings.as_slice()) {
        ("show", []) => {}
        ("clear", []) => faults = Faults::default(),
        ("partition", []) => faults = Faults::partition(),
        ("reset", [switch]) => faults.reset = on_or_off(switch)?,
        ("up", [_, ..]) => set(&mut faults.up, &settings)?,
        ("down", [_, ..]) => set(&mut faults.down, &settings)?,
        ("both", [_, ..]) => {
            set(&mut faults.up, &settings)?;
            set(&mut faults.down, &settings)?;
        }
        _ => {
            return Err(format!(
                "there is no command `{line}`: up, down or both with settings, partition, reset on|off, clear, show"
            ));
        }
    }
    Ok(faults)
}

fn set(lane: &mut Lane, settings: &[&str]) -> Result<(), String> {
    for setting in settings {
        let (name, value) = setting
            .split_once('=')
            .ok_or_else(|| format!("`{setting}` has no `=`"))?;
        let number = || {
            value
                .parse::<u32>()
                .map_err(|_| format!("`{value}` of {name} is no number"))
        };
        // Zero is how a limit is taken away again.
        let limit = || Ok::<_, String>(Some(number()?).filter(|number| *number > 0));
        match name {
            "latency_ms" => lane.latency = Duration::from_millis(number()?.into()),
            "jitter_ms" => lane.jitter = Duration::from_millis(number()?.into()),
            "slice_bytes" => lane.slice_bytes = limit()?.and_then(|number| usize::try_from(number).ok()),
            "bytes_per_second" => lane.bytes_per_second = limit()?,
            "silent" => lane.silent = on_or_off(value)?,
            _ => {
                return Err(format!(
                    "there is no setting `{name}`: latency_ms, jitter_ms, slice_bytes, bytes_per_second, silent"
                ));
            }
        }
    }
    Ok(())
}

fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("`{text}` is neither on nor off")),
    }
}

fn describe(faults: &Faults) -> String {
    let lane = |name: &str, lane: &Lane| {
        format!(
            "{name}: latency_ms={} jitter_ms={} slice_bytes={} bytes_per_second={} silent={}",
            lane.latency.as_millis(),
            lane.jitter.as_millis(),
            lane.slice_bytes.unwrap_or(0),
            lane.bytes_per_second.unwrap_or(0),
            if lane.silent { "on" } else { "off" },
        )
    };
    let reset = if faults.reset { "on" } else { "off" };
    format!(
        "{}; {}; reset {reset}",
        lane("up", &faults.up),
        lane("down", &faults.down)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_change_what_they_name_and_nothing_else() {
        let faults = command(Faults::default(), "both latency_ms=50 jitter_ms=10").unwrap();
        let faults = command(faults, "down slice_bytes=7 bytes_per_second=1000").unwrap();

        assert_eq!(faults.up.latency, Duration::from_millis(50));
        assert_eq!(faults.up.slice_bytes, None);
        assert_eq!(faults.down.jitter, Duration::from_millis(10));
        assert_eq!(faults.down.slice_bytes, Some(7));
        assert_eq!(faults.down.bytes_per_second, Some(1000));
        assert_eq!(
            command(faults, "down slice_bytes=0").unwrap().down.slice_bytes,
            None
        );
        assert_eq!(command(faults, "clear"), Ok(Faults::default()));
        assert_eq!(command(faults, "show"), Ok(faults));
    }

    #[test]
    fn a_partition_is_silence_in_both_directions() {
        assert_eq!(
            command(Faults::default(), "partition"),
            command(Faults::default(), "both silent=on")
        );
        assert!(command(Faults::default(), "reset on").unwrap().reset);
    }

    #[test]
    fn what_is_no_command_is_refused_with_the_reason() {
        for (line, reason) in [
            ("", "no command"),
            ("both", "no command"),
            ("clear all", "no command"),
            ("up latency_ms=-1", "no number"),
            ("up latency=5", "no setting"),
            ("up silent", "no `=`"),
            ("reset maybe", "neither on nor off"),
        ] {
            let refused = command(Faults::default(), line).unwrap_err();

            assert!(refused.contains(reason), "{line}: {refused}");
        }
    }
}
