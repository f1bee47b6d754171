//! Signals: HUP reads the configuration again, TERM and INT end the daemon, a second of these ends it at once.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
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
    /// Catches them. A second TERM or INT ends the process inside the handler, also when everything else is stuck: what
    /// is durable is safe, and the next start goes on from there.
    pub(super) fn catch() -> Result<Self, DaemonError> {
        let failed = |error| DaemonError::Ended(format!("catching signals ({error})"));
        let stopping = Arc::new(AtomicBool::new(false));
        for number in [SIGTERM, SIGINT] {
            // In this order: the first signal finds the flag down and raises it, the second finds it up.
            flag::register_conditional_shutdown(number, 128 + number, Arc::clone(&stopping)).map_err(failed)?;
            flag::register(number, Arc::clone(&stopping)).map_err(failed)?;
        }
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

    /// Waits for the wish to stop, whatever else is wished for.
    pub(super) async fn stop(&mut self) {
        while self.next().await != Wish::Stop {}
    }
}
