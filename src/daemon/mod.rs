//! The daemon: parse, build, spawn, drain. `run` in production, `run --dev` on a laptop, `demo` to see it all.
//!
//! One Tokio runtime, made by the caller.

mod admin;
mod backup;
mod build;
mod degraded;
mod demo;
mod dev;
mod error;
mod evidence;
mod expiry;
mod facts;
mod in_use;
mod inherited;
mod instance_role;
mod leaving;
mod notify;
mod offline;
mod pulse;
mod reload;
mod remotes;
mod restore;
mod running;
mod scheduled_backup;
mod seal;
mod secrecy;
mod signals;
mod standing;
mod stores;
mod swap;
mod tasks;
mod vitals;

use std::path::PathBuf;
use std::time::Duration;

pub use demo::{DemoOptions, demo};
pub use dev::DevOptions;
pub use error::DaemonError;
pub use instance_role::run_instance;
pub use offline::verify_offline;
pub use restore::{Contents as BackupContents, inspect as inspect_backup, restore};
pub use seal::export as export_root_keys;

use crate::config::{Config, Loaded, locate};
use crate::keystore::hardware;
use crate::observe::{self, LogHandle};
use running::Daemon;
use signals::{Signals, Wish};

/// How to run.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// The configuration file; `None`: where it usually is.
    pub config: Option<PathBuf>,
    /// Run a KMS for a laptop or CI instead.
    pub dev: Option<DevOptions>,
}

/// Runs the daemon in the foreground until TERM or INT, on the runtime of the caller.
///
/// # Errors
/// Why it did not start, or did not go on; [`DaemonError::exit_code`] is the code for the process.
pub async fn run(options: RunOptions) -> Result<(), DaemonError> {
    if let Some(dev) = options.dev {
        return dev::run(dev).await;
    }
    let path = locate(options.config.as_deref());
    let loaded = load(&path)?;
    let log = observe::install(loaded.config.log.format, loaded.config.log.level)?;
    serve(path, loaded, Some(log), |_| {}).await
}

/// Waits for the threads that close their sessions with tokens. To be called when nothing runs any more, right before the
/// process exits.
pub fn leave_tokens() {
    if !hardware::all_have_left(LEAVING) {
        tracing::warn!("a token does not let go of its session; the process exits all the same");
    }
}

/// How long a token may take to close a session.
const LEAVING: Duration = Duration::from_secs(3);

/// Serves until a signal says to stop; `started` is called once everything accepts.
async fn serve(
    path: PathBuf,
    loaded: Loaded,
    log: Option<LogHandle>,
    started: impl FnOnce(&Daemon),
) -> Result<(), DaemonError> {
    secrecy::keep_to_ourselves();
    let mut signals = Signals::catch()?;
    notify::status("opening the stores");
    let mut daemon = tokio::select! {
        // Large stores take their time; who waits is told that it goes on.
        started = notify::with_patience(Daemon::start(path, loaded), || true) => started?,
        // Nothing is half done that the next start does not finish.
        () = signals.stop() => return Ok(()),
    };
    notify::ready(&daemon.status());
    started(&daemon);
    let outcome = loop {
        tokio::select! {
            wish = signals.next() => match wish {
                Wish::Reload => {
                    notify::reloading();
                    daemon.reload(log.as_ref()).await;
                    notify::ready(&daemon.status());
                }
                Wish::Stop => break Ok(()),
            },
            failure = daemon.failed() => break Err(failure),
        }
    };
    notify::stopping("finishing the present step");
    // A part is gone: what it would have finished is finished by the next start.
    outcome?;
    let hearts = daemon.parts().migrations.heartbeats().clone();
    notify::with_patience(daemon.stop(), || hearts.stalled(pulse::patience()).is_empty()).await;
    if let Some(log) = log {
        log.flush();
    }
    Ok(())
}

fn load(path: &std::path::Path) -> Result<Loaded, DaemonError> {
    Config::load(path).map_err(DaemonError::Config)
}
