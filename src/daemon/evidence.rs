//! The audit trail while the daemon runs: chaining as soon as something is put, a signed head in the log every minute, and
//! the report of each job that has ended.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::build::Parts;
use crate::audit::{AuditError, Trail};
use crate::migration::MigrationError;
use crate::model::{Job, JobId};
use crate::observe::{Event, Fields, emit};

/// Starts what keeps the trail; it ends at `stop`, after what it is doing.
pub(super) fn spawn(parts: &Arc<Parts>, tracker: &TaskTracker, stop: &CancellationToken) {
    let (trail, ended) = (parts.trail.clone(), stop.clone());
    tracker.spawn(async move {
        loop {
            let since = trail.now_at();
            let chained = trail.chain().await;
            tokio::select! {
                biased;
                () = ended.cancelled() => return,
                () = again(&trail, since, chained) => {}
            }
        }
    });
    let (trail, ended) = (parts.trail.clone(), stop.clone());
    tracker.spawn(async move {
        let mut ticks = interval(HEAD_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = ended.cancelled() => return,
                _ = ticks.tick() => tell_head(&trail, None).await,
            }
        }
    });
    let (reporting, mut changes, ended) = (Arc::clone(parts), parts.migrations.changes(), stop.clone());
    tracker.spawn(async move {
        let mut filed = BTreeSet::new();
        loop {
            if let Err(error) = file_reports(&reporting, &mut filed).await {
                tracing::warn!(%error, "reports of ended migrations could not be filed; trying again");
            }
            tokio::select! {
                biased;
                () = ended.cancelled() => return,
                changed = changes.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(REPORTS_EVERY) => {}
            }
            // A job that moves through its states quickly must not make this a busy loop.
            tokio::time::sleep(REPORTS_PAUSE).await;
        }
    });
}

/// At the end: what the last requests have put is chained, and the head of it is told.
pub(super) async fn close(parts: &Parts) {
    if parts.trail.public().is_some() {
        tell_head(&parts.trail, None).await;
    } else if let Err(error) = parts.trail.chain().await {
        tracing::warn!(%error, "the last entries of the audit trail are chained at the next start");
    }
}

const HEAD_EVERY: Duration = Duration::from_secs(60);
const REPORTS_EVERY: Duration = Duration::from_secs(5);
const REPORTS_PAUSE: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_secs(1);

/// Until there is something to chain, or it is time to try again.
async fn again(trail: &Trail, since: crate::store::Revision, chained: Result<usize, AuditError>) {
    match chained {
        Ok(_) => trail.put_since(since).await,
        Err(error) => {
            tracing::warn!(%error, "the audit trail could not be chained; trying again");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn tell_head(trail: &Trail, job: Option<&Job>) {
    match trail.sign_head().await {
        Ok(signed) => {
            let fields = job.map_or_else(Fields::new, Fields::of_job).head(signed.head);
            let text = format!("the audit trail has {} entries; keep this head to verify it later", signed.head.place);
            emit(Event::AuditHead, &fields, &text);
        }
        Err(AuditError::NoIdentity) => {}
        Err(error) => tracing::warn!(%error, "the head of the audit trail could not be signed; trying again"),
    }
}

async fn file_reports(parts: &Parts, filed: &mut BTreeSet<JobId>) -> Result<(), MigrationError> {
    if parts.trail.public().is_none() {
        return Ok(());
    }
    let catalogue = &parts.service.catalogue;
    for job in catalogue.jobs().await? {
        if !job.state.is_final() || filed.contains(&job.id) {
            continue;
        }
        if !parts.trail.is_reported(&job.id).await? {
            let Some(job) = catalogue.job(&job.id).await? else { continue };
            let report = parts.migrations.report(&job).await?;
            let text = serde_json::to_string(&report).map_err(|error| MigrationError::Internal(error.to_string()))?;
            match parts.trail.file_report(&job.id, &job.scope, &text).await {
                Ok(_) => tell_head(&parts.trail, Some(&job)).await,
                Err(error) => return Err(MigrationError::Internal(error.to_string())),
            }
        }
        filed.insert(job.id.clone());
    }
    Ok(())
}
