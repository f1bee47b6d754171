//! Signals: HUP reads the configuration again, TERM and INT end the daemon, a second of these ends it at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::DaemonError;

/// What the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Read the configuration again.
    Reload,
    /// Finish the present step and leave.
    Stop,
}

/// The signals of this process, caught from here on.
pub(super) struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches them.
    pub(super) fn catch() -> Result<Self, DaemonError> {
        let catch = |kind| signal(kind).map_err(|error| DaemonError::Ended(format!("catching signals ({error})")));
        Ok(Self {
            hangup: catch(SignalKind::hangup())?,
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
        })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Wish {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.hangup.recv() => Wish::Reload,
        }
    }

    /// Waits for another wish to stop: what is durable is safe, and the next start goes on from there.
    pub(super) async fn second_stop(&mut self) {
        while self.next().await != Wish::Stop {}
    }
}
