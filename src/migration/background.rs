//! Where migrations run: threads of their own that leave the processors to the data plane.
//!
//! A migration uses every processor that nobody needs. With applications waiting it has to be the one that waits: its
//! threads are nice, so that encrypting and reading secrets goes on at nearly its usual speed.

use std::io;
use std::thread;

use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// Runs a future, and all that it spawns, on threads of low priority. What it returns comes through the channel, which
/// closes without a value if the future panics.
///
/// # Errors
/// When the system gives no threads.
pub fn in_background<F>(work: F) -> io::Result<oneshot::Receiver<F::Output>>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let runtime =
        Builder::new_multi_thread().thread_name("migration").on_thread_start(step_back).enable_all().build()?;
    let (sender, receiver) = oneshot::channel();
    // A thread that may block, since the end of a runtime waits for its threads.
    thread::Builder::new().name("migrations".to_owned()).spawn(move || {
        step_back();
        // On a worker thread, where it shares queues with what it spawns.
        let result = runtime.block_on(async move { tokio::spawn(work).await });
        if let Ok(result) = result {
            // Nobody may be waiting any more.
            let _ = sender.send(result);
        }
    })?;
    Ok(receiver)
}

/// A thread this nice gets about a thirtieth of a processor while threads of usual priority want all of it.
const NICENESS: i32 = 15;

fn step_back() {
    // On Linux "this process" is the calling thread, and a thread begins with the niceness of the one that made it.
    // Where it cannot be changed everything works, only less evenly.
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::warn!(%error, "migrations run at the priority of the data plane");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn threads_of_a_migration_are_nice_and_others_are_not() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let usual = niceness();
        let nice = in_background(async move {
            let blocking = tokio::task::spawn_blocking(niceness).await.unwrap();
            (niceness(), blocking)
        });
        assert_eq!(nice.unwrap().await.unwrap(), (NICENESS, NICENESS));
        assert_eq!(niceness(), usual);
        assert_ne!(usual, NICENESS, "the test itself runs at the priority of migrations and shows nothing");
    }
}
