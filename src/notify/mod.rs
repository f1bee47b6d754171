//! Notifications: events of the log, told to webhooks.
//!
//! What happens is written down for each receiver in the control store, under an ID made from what it is about, before it
//! is told; so a restart neither loses it nor tells it again. A receiver that is away is tried until it is back, or the
//! notification is too old; nobody but its own task ever waits for it. A receiver that broke off in the middle of an answer
//! may hear something twice: the ID is in each message.

mod delivery;
mod message;
mod notice;
mod outbox;
mod receiver;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Notify as Wake, broadcast, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use delivery::Patience;
pub use receiver::ReceiverError;

use crate::catalogue::Catalogue;
use crate::config::Notify;
use crate::model::Clock;
use crate::observe::metrics::METRICS;
use crate::observe::{Event, Fields, emit, tap};
use delivery::Deliverer;
use notice::Notice;
use outbox::Outbox;
use receiver::Receiver;

/// Tells events to the configured receivers.
pub struct Notifier {
    catalogue: Catalogue,
    clock: Arc<dyn Clock>,
    patience: Patience,
    receivers: RwLock<Arc<Vec<Arc<Receiver>>>>,
    /// Moves when the receivers change.
    changed: watch::Sender<u64>,
    /// Something is to be told.
    wake: Arc<Wake>,
    /// Since the notifier was made, so that nothing is missed before it runs.
    told: tokio::sync::Mutex<broadcast::Receiver<tap::Told>>,
}

/// Receivers that are ready.
pub struct Receivers(Arc<Vec<Arc<Receiver>>>);

impl Notifier {
    /// A notifier over the control store that hears every event from now on.
    ///
    /// # Errors
    /// When a receiver cannot be used as it is configured.
    pub fn new(
        catalogue: Catalogue,
        clock: Arc<dyn Clock>,
        receivers: &[Notify],
        patience: Patience,
    ) -> Result<Self, ReceiverError> {
        Ok(Self {
            catalogue,
            clock,
            patience,
            receivers: RwLock::new(Self::prepare(receivers)?.0),
            changed: watch::Sender::new(0),
            wake: Arc::default(),
            told: tokio::sync::Mutex::new(tap::listen()),
        })
    }

    /// Makes receivers ready; nothing changes before [`Notifier::exchange`].
    ///
    /// # Errors
    /// When a receiver cannot be used as it is configured.
    pub fn prepare(receivers: &[Notify]) -> Result<Receivers, ReceiverError> {
        let made: Result<Vec<_>, _> = receivers.iter().map(|config| Receiver::new(config).map(Arc::new)).collect();
        made.map(|made| Receivers(Arc::new(made)))
    }

    /// Replaces the receivers. What waits for one that is gone is forgotten.
    pub fn exchange(&self, receivers: Receivers) {
        *self.receivers.write().unwrap_or_else(PoisonError::into_inner) = receivers.0;
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Tells until `stop`. What has not arrived then is told after the next start.
    pub async fn run(&self, stop: CancellationToken) {
        self.catch_up().await;
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.listen() => {}
            () = self.deliver() => {}
        }
    }

    fn receivers(&self) -> Arc<Vec<Arc<Receiver>>> {
        Arc::clone(&self.receivers.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn outbox(&self) -> Outbox {
        Outbox::new(Arc::clone(self.catalogue.store()))
    }

    /// Tells the ends of jobs whose start was told, but whose end came as the daemon went down.
    async fn catch_up(&self) {
        let Ok(jobs) = self.catalogue.jobs().await else { return };
        let now = self.clock.now();
        let recent =
            jobs.iter().filter(|job| job.finished_at.is_some_and(|at| now.duration_since(at) < self.patience.oldest()));
        for job in recent {
            let (Some(end), start) = (Notice::of_end(job), Notice::start_id(&job.id)) else { continue };
            for receiver in self.receivers().iter().filter(|receiver| receiver.wants(end.event())) {
                if self.outbox().was_told(receiver.name(), &start).await.unwrap_or_default() {
                    self.file(receiver, &end).await;
                }
            }
        }
    }

    async fn listen(&self) {
        let mut told = self.told.lock().await;
        loop {
            match told.recv().await {
                Ok(told) => {
                    let notice = Notice::new(&told, self.clock.now());
                    for receiver in self.receivers().iter().filter(|receiver| receiver.wants(told.event)) {
                        self.file(receiver, &notice).await;
                    }
                }
                Err(broadcast::error::RecvError::Lagged(lost)) => {
                    let text = format!("{lost} events came faster than they could be written down, and are not told");
                    emit(Event::NotifyUndelivered, &Fields::new(), &text);
                }
                // The tap is never closed.
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    /// Writes down what is to be told; where the store takes nothing, it is kept in memory: it may be just that which is
    /// to be told.
    async fn file(&self, receiver: &Receiver, notice: &Notice) {
        match self.outbox().put(receiver.name(), notice).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::debug!(receiver = receiver.name(), %error, "a notification could not be written down");
                receiver.keep(notice.clone());
            }
        }
        self.wake.notify_waiters();
    }

    async fn deliver(&self) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            METRICS.forget_waiting();
            let receivers = self.receivers();
            let names: Vec<&str> = receivers.iter().map(|receiver| receiver.name()).collect();
            if let Err(error) = self.outbox().forget_others(&names).await {
                tracing::warn!(%error, "what waits for former receivers could not be removed; trying again");
            }
            let mut running = JoinSet::new();
            for receiver in receivers.iter() {
                let deliverer = Deliverer {
                    receiver: Arc::clone(receiver),
                    outbox: self.outbox(),
                    clock: Arc::clone(&self.clock),
                    patience: self.patience,
                    wake: Arc::clone(&self.wake),
                };
                running.spawn(deliverer.run());
            }
            // Dropping the set ends its tasks.
            if changed.changed().await.is_err() {
                return;
            }
        }
    }
}
