//! What the service manager is told (sd_notify(3)). Outside of systemd nothing is sent.

use std::time::Duration;

use sd_notify::NotifyState;

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

/// How often to show that, if the service manager watches: twice in its time.
pub(super) fn watchdog_period() -> Option<Duration> {
    sd_notify::watchdog_enabled().and_then(|timeout| timeout.checked_div(2))
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be notified");
    }
}
