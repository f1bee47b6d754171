//! One receiver's task: tells what waits, in order, and tries again what did not arrive.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::Notify as Wake;

use super::notice::Notice;
use super::outbox::{Outbox, ROOM, Waiting};
use super::receiver::{NotArrived, Receiver};
use crate::model::Clock;
use crate::observe::metrics::METRICS;
use crate::observe::{Event, Fields, emit};

/// How long and how often a receiver is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Before the second try; doubled for each further one.
    pub first_pause: Duration,
    /// No pause is longer, whatever a receiver asks for.
    pub longest_pause: Duration,
    /// What is older is given up.
    pub give_up: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(300),
            give_up: Duration::from_secs(24 * 3600),
        }
    }
}

impl Patience {
    pub(super) fn oldest(&self) -> SignedDuration {
        SignedDuration::try_from(self.give_up).unwrap_or(SignedDuration::MAX)
    }

    fn pause(&self, failures: u32, asked: Option<Duration>) -> Duration {
        let own = self.first_pause.saturating_mul(1_u32.checked_shl(failures.min(16)).unwrap_or(u32::MAX));
        asked.unwrap_or_default().max(own).min(self.longest_pause)
    }
}

/// What one receiver's task works with.
pub(super) struct Deliverer {
    pub(super) receiver: Arc<Receiver>,
    pub(super) outbox: Outbox,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) patience: Patience,
    pub(super) wake: Arc<Wake>,
}

/// Tries of a message that the receiver does not want.
const TRIES_WHEN_REFUSED: u32 = 3;
/// How often it is looked although nobody woke the task.
const LOOK: Duration = Duration::from_secs(30);

enum Next {
    Filed(Waiting),
    Kept(Notice),
}

impl Next {
    fn notice(&self) -> &Notice {
        match self {
            Self::Filed(waiting) => &waiting.notice,
            Self::Kept(notice) => notice,
        }
    }
}

impl Deliverer {
    pub(super) async fn run(self) {
        let mut failures = 0_u32;
        if let Err(error) = self.outbox.prune(self.receiver.name(), self.clock.now()).await {
            tracing::debug!(%error, "what was told long ago could not be forgotten");
        }
        loop {
            // Before the look, so that what is filed after it is not missed.
            let woken = self.wake.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            let Some(next) = self.next().await else {
                let _ = tokio::time::timeout(LOOK, woken).await;
                continue;
            };
            let now = self.clock.now();
            match self.receiver.send(next.notice(), now).await {
                Ok(()) => {
                    METRICS.notified.inc();
                    failures = 0;
                    self.done(next).await;
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    let old = now.duration_since(next.notice().at) > self.patience.oldest();
                    if old || (error.refused && failures >= TRIES_WHEN_REFUSED) {
                        self.give_up(&next, &error.why);
                        failures = 0;
                        self.done(next).await;
                        continue;
                    }
                    self.tell_failure(&error, failures);
                    METRICS.notify_retries.inc();
                    tokio::time::sleep(self.patience.pause(failures.saturating_sub(1), error.after)).await;
                    self.make_room().await;
                }
            }
        }
    }

    async fn next(&self) -> Option<Next> {
        if let Some(notice) = self.receiver.kept() {
            return Some(Next::Kept(notice));
        }
        match self.outbox.next(self.receiver.name()).await {
            Ok(Some(waiting)) => Some(Next::Filed(waiting)),
            Ok(None) => None,
            Err(error) => {
                tracing::debug!(%error, "notifications could not be read; trying again");
                None
            }
        }
    }

    async fn done(&self, next: Next) {
        match next {
            Next::Kept(_) => self.receiver.drop_kept(),
            Next::Filed(waiting) => {
                while let Err(error) = self.outbox.done(&waiting).await {
                    // Without this it would be told again and again.
                    tracing::debug!(%error, "a notification could not be struck off; trying again");
                    tokio::time::sleep(self.patience.longest_pause.min(Duration::from_secs(5))).await;
                }
            }
        }
        METRICS.set_waiting(self.receiver.name(), self.waiting().await);
    }

    async fn waiting(&self) -> u64 {
        let waiting = self.outbox.len(self.receiver.name()).await.unwrap_or_default();
        u64::try_from(waiting).unwrap_or(u64::MAX)
    }

    /// Drops the oldest where too many wait.
    async fn make_room(&self) {
        METRICS.set_waiting(self.receiver.name(), self.waiting().await);
        while self.outbox.len(self.receiver.name()).await.is_ok_and(|waiting| waiting > ROOM) {
            let Ok(Some(oldest)) = self.outbox.next(self.receiver.name()).await else { return };
            let oldest = Next::Filed(oldest);
            self.give_up(&oldest, "too many wait");
            self.done(oldest).await;
        }
    }

    fn give_up(&self, next: &Next, why: &str) {
        METRICS.undelivered.inc();
        let notice = next.notice();
        let fields = Fields { code: Some(notice.event.clone()), ..Fields::new() };
        let text = format!(
            "{} was not told of {} of {}: {why}; it is given up",
            self.receiver.name(),
            notice.event,
            notice.at
        );
        emit(Event::NotifyUndelivered, &fields, &text);
    }

    /// The first failure, and then now and then.
    fn tell_failure(&self, error: &NotArrived, failures: u32) {
        if failures == 1 || failures.is_multiple_of(20) {
            tracing::warn!(
                receiver = self.receiver.name(),
                failures,
                "a notification did not arrive: {}; it is tried again",
                error.why
            );
        }
    }
}
