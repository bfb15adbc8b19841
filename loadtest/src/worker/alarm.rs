//! A timer that is finer than the runtime's, whose steps of a millisecond would be most of a fast answer's latency.
//!
//! It is a file descriptor of the kernel (`timerfd_create(2)`) that the runtime waits for like for a socket.

use std::io;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::net::unix::pipe::Receiver;
use tokio::time::Instant;

/// The shortest wait: at 30,000 starts a second a wake-up for each would leave no time for the answers.
const GRAIN: Duration = Duration::from_micros(100);

/// Wakes one task at a time.
pub(super) struct Alarm {
    /// Read like a pipe, which is how the runtime waits for any descriptor without unsafe code.
    timer: Receiver,
}

impl Alarm {
    /// Makes an alarm of this thread's runtime.
    ///
    /// # Errors
    /// There are no file descriptors left.
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Alarm {
            timer: Receiver::from_owned_fd_unchecked(timerfd_create(TimerfdClockId::Monotonic, flags)?)?,
        })
    }

    /// Waits until `due`, at most [`GRAIN`] longer.
    ///
    /// # Errors
    /// The kernel refuses the timer.
    pub(super) async fn wait_until(&self, due: Instant) -> io::Result<()> {
        let wait = due.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            return Ok(());
        }
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec::try_from(wait.max(GRAIN)).map_err(|_| io::ErrorKind::InvalidInput)?,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        loop {
            self.timer.readable().await?;
            // Eight bytes: how often it has gone off.
            match self.timer.try_read(&mut [0; 8]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.map(|_| ()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn it_never_goes_off_early_and_bears_being_used_again() {
        let alarm = Alarm::new().expect("a descriptor is left");
        let began = Instant::now();
        for step in 1..=20 {
            let due = began + Duration::from_micros(250) * step;
            alarm.wait_until(due).await.expect("the kernel takes it");
            assert!(Instant::now() >= due, "step {step}");
        }
    }

    #[test]
    fn what_is_due_already_is_not_waited_for() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let waited = runtime.expect("it is made").block_on(async {
            let alarm = Alarm::new().expect("a descriptor is left");
            alarm.wait_until(Instant::now()).now_or_never()
        });
        assert!(waited.is_some_and(|done| done.is_ok()));
    }
}
