//! What the service manager is told (sd_notify(3)). Outside of systemd nothing is sent.

use std::future::Future;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Instant, interval};

/// Listeners and admin socket accept, recovery has begun.
pub(super) fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is being read again; [`ready`] follows.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(_) => send(&[NotifyState::Reloading]),
    }
}

/// The daemon leaves.
pub(super) fn stopping(status: &str) {
    send(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// One line for `systemctl status`.
pub(super) fn status(status: &str) {
    send(&[NotifyState::Status(status)]);
}

/// The daemon lives.
pub(super) fn alive() {
    send(&[NotifyState::Watchdog]);
}

/// The time after which the service manager restarts a daemon that does not show that it lives.
pub(super) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// Asks the service manager for patience while something that must end goes on, as long as `goes_on` says that it does,
/// and not for ever.
pub(super) async fn with_patience<T>(work: impl Future<Output = T>, goes_on: impl Fn() -> bool) -> T {
    let mut work = std::pin::pin!(work);
    let mut ticks = interval(ASK_EVERY);
    let begun = Instant::now();
    loop {
        tokio::select! {
            biased;
            done = work.as_mut() => return done,
            _ = ticks.tick() => if begun.elapsed() < LONGEST && goes_on() {
                send(&[NotifyState::ExtendTimeoutUsec(MORE_MICROSECONDS)]);
            },
        }
    }
}

const ASK_EVERY: Duration = Duration::from_secs(10);
const MORE_MICROSECONDS: u32 = 30_000_000;
/// What takes longer is stuck, however alive it looks.
const LONGEST: Duration = Duration::from_secs(15 * 60);

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be notified");
    }
}
