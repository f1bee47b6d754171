//! The root key of an instance that runs as its own process. Nobody can ask that process for an exchange: its operator puts
//! the next key where it belongs, and reloads or starts it.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::exchange::{ExchangeError, Group, Standing};
use super::{SEAL_EVERY, source};
use crate::config::Instance;
use crate::keystore::software::SoftwareKeystore;

/// The root key of the only instance of this process.
pub(in crate::daemon) struct OwnRootKey {
    group: Group,
    wish: Notify,
}

impl OwnRootKey {
    /// Of an instance that is open.
    pub(in crate::daemon) fn new(instance: &Instance, state: &Path, keystore: Arc<SoftwareKeystore>) -> Arc<Self> {
        let name = instance.id.to_string();
        let source = source(&instance.root_key, state, &name);
        let group = Group { names: vec![name], source, keystores: vec![keystore] };
        Arc::new(Self { group, wish: Notify::new() })
    }

    /// Has it looked whether there is a next key to go to.
    pub(in crate::daemon) fn look(&self) {
        self.wish.notify_one();
    }

    /// Goes to the next key that is there at the start, and at each [`Self::look`]; from time to time it goes on with what
    /// has begun or failed. Ends at `stop`, after what it is doing.
    pub(in crate::daemon) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = interval(SEAL_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut wished = true;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.wish.notified() => wished = true,
                _ = ticks.tick() => {}
            }
            wished = self.round(wished).await;
        }
    }

    /// Answers whether the wish for an exchange is still open.
    async fn round(&self, wished: bool) -> bool {
        let outcome = if wished { self.group.follow().await } else { self.group.carry_on().await };
        let owner = self.group.owners();
        match outcome {
            Ok(Standing::Settled) => false,
            Ok(Standing::ByHand) => {
                if wished {
                    tracing::warn!(
                        "everything of {owner} is sealed under the next root key: put {} in the place of {}, and keep the \
                         one before for older backups",
                        self.group.next_place(),
                        self.group.place()
                    );
                }
                false
            }
            // Whoever puts it right says so: a file that is still being written must not be taken.
            Err(ExchangeError::Key(error)) if !self.group.has_begun() => {
                tracing::error!(
                    "the root key of {owner} is not exchanged: {error}; put that right, then reload (SIGHUP; a credential \
                     wants a restart)"
                );
                false
            }
            Err(error) => {
                tracing::error!(
                    "the root key of {owner} could not be exchanged yet: {error}; both keys are needed; trying again"
                );
                wished
            }
        }
    }
}
