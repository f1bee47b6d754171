//! A store that takes no more writes. The daemon goes on serving what can be read; once there is room on the disk again it
//! ends, so that the service manager starts it anew: opening a database is the only way to know what the disk has kept.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::stores::free_space;

/// Notices stores that take no more writes.
#[derive(Debug, Clone)]
pub(super) struct Degraded {
    curable: Arc<watch::Sender<Option<String>>>,
}

impl Degraded {
    pub(super) fn new() -> Self {
        Self { curable: Arc::new(watch::Sender::new(None)) }
    }

    /// Follows a store in `directory`, as long as it is open. Needs a runtime.
    pub(super) fn follow(&self, directory: PathBuf, mut refused: watch::Receiver<Option<String>>) {
        let curable = Arc::clone(&self.curable);
        tokio::spawn(async move {
            let Ok(reason) = refused.wait_for(Option::is_some).await.map(|reason| reason.clone()) else {
                return;
            };
            // A fault that is not for want of room may last: the service manager gives up on who ends too often.
            sleep(PAUSE).await;
            let mut ticks = interval(LOOK_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while free_space(&directory).is_some_and(|free| free < ROOM) {
                ticks.tick().await;
            }
            curable.send_replace(reason);
        });
    }

    /// Waits until a store has refused writes and opening it again may help. Returns why it refused.
    pub(super) async fn curable(&self) -> String {
        let mut found = self.curable.subscribe();
        let reason = found.wait_for(Option::is_some).await.map(|reason| reason.clone());
        match reason {
            Ok(Some(reason)) => reason,
            // The sender lives as long as `self`.
            _ => std::future::pending().await,
        }
    }
}

const PAUSE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Room that a database needs to be opened and written to for a while.
const ROOM: u64 = 16 * 1024 * 1024;
