//! What the service manager hears while the daemon runs: what it is at, and that those who work make progress.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::build::Parts;
use super::notify;
use super::standing::standing;
use crate::observe::{Event, Fields, emit};

/// Tells both until `stop`; `idle` is the line while nothing is going on.
pub(super) fn spawn(parts: &Arc<Parts>, idle: String, tracker: &TaskTracker, stop: &CancellationToken) {
    let (of, ended) = (Arc::clone(parts), stop.clone());
    tracker.spawn(async move {
        tokio::select! {
            biased;
            () = ended.cancelled() => {}
            () = tell(&of, &idle) => {}
        }
    });
    let (of, ended) = (Arc::clone(parts), stop.clone());
    tracker.spawn(async move {
        tokio::select! {
            biased;
            () = ended.cancelled() => {}
            () = guard(&of) => {}
        }
    });
}

/// Who has made no progress for so long is stuck: half the time after which the service manager acts.
pub(super) fn patience() -> Duration {
    notify::watchdog().map_or(UNWATCHED, |timeout| timeout / 2)
}

/// How often one shows that one works, so that one slow answer is not taken for silence.
pub(super) fn period() -> Duration {
    (patience() / 2).max(SHORTEST_PERIOD)
}

const UNWATCHED: Duration = Duration::from_secs(30);
const LONGEST_PERIOD: Duration = Duration::from_secs(5);
/// How long a store may take to answer.
pub(super) const PROBE: Duration = Duration::from_secs(5);
/// Nothing is looked at more often.
const SHORTEST_PERIOD: Duration = Duration::from_millis(50);
const TELL_PAUSE: Duration = Duration::from_secs(1);
const TELL_EVERY: Duration = Duration::from_secs(5);

async fn tell(parts: &Parts, idle: &str) {
    let mut changes = parts.migrations.changes();
    let mut last = String::new();
    loop {
        if let Ok(jobs) = parts.service.catalogue.jobs().await {
            let now = parts.service.clock.now();
            let jobs = jobs.iter().map(|job| &**job);
            let text = standing(jobs, &parts.config(), now).unwrap_or_else(|| idle.to_owned());
            if text != last {
                notify::status(&text);
                last = text;
            }
        }
        // Not more often than somebody could read it.
        tokio::time::sleep(TELL_PAUSE).await;
        let _ = timeout(TELL_EVERY, changes.changed()).await;
    }
}

async fn guard(parts: &Parts) {
    let patience = patience();
    let mut ticks = interval(period().min(LONGEST_PERIOD));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = BTreeSet::new();
    loop {
        ticks.tick().await;
        let stalled = parts.migrations.heartbeats().stalled(patience);
        for (name, silence) in &stalled {
            if told.insert(name.clone()) {
                let text = format!("{name} has made no progress for {} s", silence.as_secs());
                emit(Event::WorkerStalled, &Fields::new(), &text);
            }
        }
        told.retain(|name| stalled.iter().any(|(stalled, _)| stalled == name));
        if stalled.is_empty() && is_readable(parts).await {
            notify::alive();
        }
    }
}

/// A daemon whose store hangs is not alive.
pub(super) async fn is_readable(parts: &Parts) -> bool {
    timeout(PROBE, parts.service.catalogue.holds()).await.is_ok_and(|found| found.is_ok())
}
