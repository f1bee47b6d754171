//! What has to be done again and again while the daemon runs.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::build::Parts;
use super::expiry;
use super::scheduled_backup;
use super::seal::{RootKeyRing, SEAL_EVERY};
use crate::admin::Backups;
use crate::kms::clock_watch::ClockWatch;

/// Starts all periodic work; each ends at `stop`, after what it is doing.
pub(super) fn spawn(
    parts: &Arc<Parts>,
    ring: &Arc<RootKeyRing>,
    backups: &Arc<dyn Backups>,
    tracker: &TaskTracker,
    stop: &CancellationToken,
) {
    // Deletions, expiries and rotations that waited for an unlock come right after it.
    let (due, mut changes, ended) = (Arc::clone(parts), parts.migrations.changes(), stop.clone());
    tracker.spawn(async move {
        let mut ticks = interval(DUE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last: Option<Instant> = None;
        let mut watch = ClockWatch::default();
        loop {
            tokio::select! {
                biased;
                () = ended.cancelled() => return,
                _ = ticks.tick() => {}
                changed = changes.changed() => {
                    // A job that moves through its states quickly must not make this a busy loop.
                    if changed.is_err() || last.is_some_and(|last| last.elapsed() < DUE_PAUSE) {
                        tokio::task::yield_now().await;
                        continue;
                    }
                }
            }
            last = Some(Instant::now());
            let service = &due.service;
            let done = match watch.look(service, service.clock.now(), service.clock.monotonic()).await {
                Ok(look) => service.run_due_within(look).await,
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                tracing::warn!(%error, "what is due could not be done; trying again");
            }
        }
    });
    // What a reload said of an instance that a job held comes into force with the unlock.
    let (waiting, mut changes, ended) = (Arc::clone(parts), parts.migrations.changes(), stop.clone());
    tracker.spawn(async move {
        loop {
            tokio::select! {
                () = ended.cancelled() => return,
                changed = changes.changed() => if changed.is_err() { return },
            }
            if let Err(error) = waiting.tend_unlocked().await {
                tracing::warn!(%error, "whether a job still holds an instance could not be read");
            }
        }
    });
    spawn_rotations(parts, tracker, stop);
    every(tracker, stop, TEND_EVERY, parts, |parts: Arc<Parts>| async move {
        if let Err(error) = parts.migrations.tend().await {
            tracing::warn!(%error, "clean-ups of ended migrations could not be done; trying again");
        }
    });
    every(tracker, stop, INTENTS_EVERY, parts, |parts: Arc<Parts>| async move {
        if let Err(error) = parts.service.sweep_intents(parts.service.clock.now()).await {
            tracing::warn!(%error, "material of unfinished operations could not be swept; trying again");
        }
    });
    every(tracker, stop, NONCES_EVERY, parts, |parts: Arc<Parts>| async move {
        if let Err(error) = parts.service.catalogue.sweep_nonces(parts.service.clock.now()).await {
            tracing::warn!(%error, "old nonces could not be removed; trying again");
        }
    });
    every(tracker, stop, CACHES_EVERY, parts, |parts: Arc<Parts>| async move {
        let open = parts.open();
        open.shared.values().chain(open.instances.values()).for_each(|keystore| keystore.sweep_cache());
    });
    super::remotes::watch(parts, tracker, stop);
    let terms = Arc::new(expiry::Watch::default());
    every(tracker, stop, expiry::LOOK_EVERY, parts, move |parts: Arc<Parts>| {
        let terms = Arc::clone(&terms);
        async move { expiry::look(&parts, &terms).await }
    });
    // The first round is at the start: it ends what a crash cut.
    every(tracker, stop, SHRED_EVERY, parts, |parts: Arc<Parts>| async move {
        let open = parts.open();
        for keystore in open.shared.values().chain(open.instances.values()) {
            if let Err(error) = keystore.shred_deleted().await {
                tracing::error!(%error, "what was deleted could not be shredded yet; trying again");
            }
        }
    });
    // Exchanges of root keys that a crash cut, or that could not be ended.
    let ring = Arc::clone(ring);
    every(tracker, stop, SEAL_EVERY, parts, move |_| {
        let ring = Arc::clone(&ring);
        async move { ring.carry_on().await }
    });
    let backups = Arc::clone(backups);
    every(tracker, stop, BACKUP_EVERY, parts, move |parts: Arc<Parts>| {
        let backups = Arc::clone(&backups);
        async move { scheduled_backup::carry_on(&parts, &backups).await }
    });
}

/// Rotators are called apart from what else falls due, which must not wait for them.
fn spawn_rotations(parts: &Arc<Parts>, tracker: &TaskTracker, stop: &CancellationToken) {
    let (parts, stop, mut changes) = (Arc::clone(parts), stop.clone(), parts.migrations.changes());
    tracker.spawn(async move {
        let mut ticks = interval(DUE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let rounds = async {
            loop {
                let service = &parts.service;
                tokio::select! {
                    _ = ticks.tick() => {}
                    () = service.rotators.begun() => {}
                    // What waited for an unlock goes on right after it.
                    changed = changes.changed() => {
                        if changed.is_err() {
                            ticks.tick().await;
                        }
                    }
                }
                if let Err(error) = service.run_rotations(service.clock.now()).await {
                    tracing::warn!(%error, "rotations could not go on; trying again");
                }
            }
        };
        // A call under way is cut off, as by a crash: the next start goes on with it.
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = rounds => {}
        }
    });
}

const DUE_EVERY: Duration = Duration::from_secs(1);
const DUE_PAUSE: Duration = Duration::from_millis(100);
const TEND_EVERY: Duration = Duration::from_secs(2);
const INTENTS_EVERY: Duration = Duration::from_secs(60);
const NONCES_EVERY: Duration = Duration::from_secs(300);
const CACHES_EVERY: Duration = Duration::from_secs(10);
/// However much is deleted, the keys of an account are exchanged at most once in this time (a migration's purge apart).
const SHRED_EVERY: Duration = Duration::from_secs(3600);
/// How often it is asked whether a backup is due.
const BACKUP_EVERY: Duration = Duration::from_secs(60);

fn every<F, Fut>(tracker: &TaskTracker, stop: &CancellationToken, period: Duration, parts: &Arc<Parts>, work: F)
where
    F: Fn(Arc<Parts>) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let (parts, stop) = (Arc::clone(parts), stop.clone());
    tracker.spawn(async move {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = ticks.tick() => work(Arc::clone(&parts)).await,
            }
        }
    });
}
