//! A client that does not stop to change a key, also where a job has locked its scope, in every life of the daemon.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::client::Client;
use crate::daemon::Daemon;

/// The client, at work. What it changed, and when, is in the audit trail.
pub struct Intruder {
    task: JoinHandle<()>,
    refused: Arc<AtomicUsize>,
}

impl Intruder {
    /// Begins at once, where a job of an earlier life may have its lock already; or when the daemon tells of a lock, so
    /// that the writes before it are those of the job alone.
    pub fn begin(daemon: &Daemon, key: &str, at_once: bool) -> Self {
        let (client, key, locked) = (Client::new(&daemon.address), key.to_owned(), Arc::clone(&daemon.locked));
        let refused = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&refused);
        let task = tokio::spawn(async move {
            for n in 0_u64.. {
                if at_once || locked.load(Ordering::Relaxed) {
                    // A description that is there already would be no change.
                    let description = format!("changed for the {n}th time");
                    let change = [("KeyId", key.as_str()), ("Description", description.as_str())];
                    let answer = client.call("UpdateKeyDescription", &change).await;
                    if answer.is_err_and(|why| why.contains("Rejected.Migrating")) {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
        Self { task, refused }
    }

    /// Ends; answers how often it was refused because of a migration.
    pub fn end(self) -> usize {
        self.task.abort();
        self.refused.load(Ordering::Relaxed)
    }
}

const PAUSE: Duration = Duration::from_millis(10);
