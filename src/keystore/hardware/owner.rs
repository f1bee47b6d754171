//! The thread that owns a token's session, and the queue in front of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::TokenError;
use super::connection::Connection;

/// Waits until no thread has anything to do with a module any more, at most for `patience`; answers whether that is so. To be
/// called before the process exits: modules take themselves down then, beneath a thread that still closes its session.
pub fn all_have_left(patience: Duration) -> bool {
    let (living, changed) = &LIVING;
    let living = living.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = changed.wait_timeout_while(living, patience, |living| *living > 0);
    *waited.unwrap_or_else(PoisonError::into_inner).0 == 0
}

/// How many owners have not left their module.
static LIVING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// One of them.
struct Alive;

impl Alive {
    fn new() -> Self {
        let mut living = LIVING.0.lock().unwrap_or_else(PoisonError::into_inner);
        *living = living.saturating_add(1);
        Self
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        let mut living = LIVING.0.lock().unwrap_or_else(PoisonError::into_inner);
        *living = living.saturating_sub(1);
        LIVING.1.notify_all();
    }
}

/// How many calls wait at most; further ones wait for a place.
const QUEUE: usize = 256;

/// What is to be done, and within what time it should be.
struct Work {
    run: Box<dyn FnOnce(&mut Connection) + Send>,
    patience: Duration,
}

/// Hands work to the owner. Dropping the last one ends the thread.
pub(super) struct Owner {
    queue: mpsc::Sender<Work>,
    begun: Instant,
    /// When the call that the owner is in should be over, in milliseconds after `begun`; 0: it is in none.
    busy_until: Arc<AtomicU64>,
}

impl Owner {
    /// Starts the thread.
    pub(super) fn start(name: String, mut connection: Connection) -> std::io::Result<Self> {
        let (queue, mut work) = mpsc::channel::<Work>(QUEUE);
        let (begun, busy_until) = (Instant::now(), Arc::<AtomicU64>::default());
        let (busy, alive) = (Arc::clone(&busy_until), Alive::new());
        std::thread::Builder::new().name(name).spawn(move || {
            while let Some(work) = work.blocking_recv() {
                let end = begun.elapsed().saturating_add(work.patience);
                busy.store(u64::try_from(end.as_millis()).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
                (work.run)(&mut connection);
                busy.store(0, Ordering::Relaxed);
            }
            drop(connection);
            drop(alive);
        })?;
        Ok(Self { queue, begun, busy_until })
    }

    /// Has the owner do something, and waits for it at most for `patience`. What it has not begun by then is not done.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        patience: Duration,
        work: impl FnOnce(&mut Connection) -> Result<T, TokenError> + Send + 'static,
    ) -> Result<T, TokenError> {
        let busy_until = self.busy_until.load(Ordering::Relaxed);
        if busy_until > 0 && self.begun.elapsed() > Duration::from_millis(busy_until) {
            // Waiting behind a call that does not come back would only fill the queue.
            return Err(slow("has not come back from an earlier call"));
        }
        let deadline = Instant::now().checked_add(patience);
        let (answer, answered) = oneshot::channel();
        let run = Box::new(move |connection: &mut Connection| {
            if answer.is_closed() || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return;
            }
            // Nobody may be waiting any more.
            let _ = answer.send(work(connection));
        });
        let waiting = async {
            self.queue.send(Work { run, patience }).await.map_err(|_| slow("is shut down"))?;
            answered.await.map_err(|_| slow("did not get to a call in time"))?
        };
        tokio::time::timeout(patience, waiting).await.unwrap_or_else(|_| Err(slow("did not answer in time")))
    }

    /// Leaves work without waiting for it; nothing happens where the queue is full.
    pub(super) fn leave(&self, work: impl FnOnce(&mut Connection) + Send + 'static) {
        let _ = self.queue.try_send(Work { run: Box::new(work), patience: UNHURRIED });
    }
}

/// For what nobody waits for.
const UNHURRIED: Duration = Duration::from_secs(10);

fn slow(what: &str) -> TokenError {
    TokenError::Unreachable(format!("the token {what}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use zeroize::Zeroizing;

    use super::*;
    use crate::keystore::hardware::pin::PinHolder;
    use crate::keystore::hardware::{Pin, TokenAddress};

    fn owner() -> Owner {
        let address =
            TokenAddress { module: "/no/such/module.so".into(), label: "t".into(), instance: "kst-t".parse().unwrap() };
        let pin = Arc::new(PinHolder::new(Pin::new(Zeroizing::new("1234".to_owned()))));
        Owner::start("token-test".to_owned(), Connection::new(address, pin)).unwrap()
    }

    #[tokio::test]
    async fn a_call_that_hangs_is_given_up_and_those_behind_it_do_not_wait() {
        let owner = owner();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (held, begun) = (Arc::new(Mutex::new(held)), Arc::<AtomicBool>::default());
        let patience = Duration::from_millis(50);
        // What the thread does not come to in time is not begun, and then nothing hangs: once more.
        let given_up = loop {
            let (held, hangs) = (Arc::clone(&held), Arc::clone(&begun));
            let hanging = owner.call(patience, move |_| {
                hangs.store(true, Ordering::SeqCst);
                held.lock().unwrap().recv().unwrap();
                Ok(())
            });
            let given_up = hanging.await.unwrap_err();
            if begun.load(Ordering::SeqCst) {
                break given_up;
            }
        };
        let expected = [slow("did not answer in time"), slow("has not come back from an earlier call")];
        assert!(expected.contains(&given_up), "{given_up:?}");
        // The owner's time for it runs from when it began.
        while owner.call(patience, |_| Ok(())).await != Err(slow("has not come back from an earlier call")) {}
        // The owner is in it beyond its time: nobody queues any more, however patient.
        let long = Duration::from_secs(600);
        assert_eq!(owner.call(long, |_| Ok(())).await.unwrap_err(), slow("has not come back from an earlier call"));
        release.send(()).unwrap();
        loop {
            if owner.call(long, |_| Ok(())).await.is_ok() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_was_not_begun_in_time_is_not_done() {
        let owner = owner();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let first = owner.call(Duration::from_secs(600), move |_| {
            held.recv().unwrap();
            Ok(())
        });
        let mut first = std::pin::pin!(first);
        assert!(futures::poll!(&mut first).is_pending());
        let (tell, told) = std::sync::mpsc::channel();
        let late = owner.call(Duration::from_millis(20), move |_| {
            tell.send(()).unwrap();
            Ok(())
        });
        assert!(late.await.is_err());
        release.send(()).unwrap();
        first.await.unwrap();
        owner.call(Duration::from_secs(600), |_| Ok(())).await.unwrap();
        assert!(told.recv().is_err(), "it was dropped undone");
    }

    #[tokio::test]
    async fn a_module_that_is_not_there_is_named() {
        let failed = owner().call(Duration::from_secs(600), |connection| connection.using(true, |_| Ok(()))).await;
        assert!(
            matches!(&failed, Err(TokenError::Unreachable(text)) if text.contains("/no/such/module.so")),
            "{failed:?}"
        );
    }
}
