//! What goes on beside a step: its lease is renewed, its figures are written and told, and whether it still moves is judged.

use std::sync::Arc;
use std::time::Duration;

use super::Migrations;
use super::context::{Progress, figures};
use crate::catalogue::{CatalogueError, Lease};
use crate::model::Job;
use crate::observe::{Event, emit};

/// Progress is told at least this often.
const TELL: Duration = Duration::from_secs(4);
/// So long a step may go on past the first purge without a resource more being done: longer than any batch, and than the
/// walk that shreds what was purged.
const STUCK: Duration = Duration::from_secs(900);

/// What a step has done, and when it last did more.
pub(super) struct Pace {
    pub(super) done: (u64, u64),
    pub(super) since: Duration,
}

impl Pace {
    pub(super) fn is_stuck(&mut self, past_return: bool, done: (u64, u64), now: Duration) -> bool {
        if done != self.done {
            (self.done, self.since) = (done, now);
        }
        past_return && now.saturating_sub(self.since) >= STUCK
    }
}

/// Tells how far the job is until told otherwise, also while a step is tried again and again.
pub(super) async fn tell(migrations: Migrations, progress: Arc<Progress>) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.tick().await;
    let mut told = tokio::time::Instant::now();
    loop {
        seconds.tick().await;
        let Some((job, since)) = progress.phase() else { continue };
        let clock = &migrations.service.clock;
        progress.watch_window(&job, clock.now());
        if told.elapsed() >= TELL {
            told = tokio::time::Instant::now();
            let done = progress.done();
            let (percent, eta) = share(&job, done, clock.monotonic().saturating_sub(since));
            emit(Event::MigrationProgress, &figures(&job, done).estimate(percent, eta), "migration in progress");
        }
    }
}

/// Keeps the lease until told otherwise.
pub(super) async fn renew(migrations: Migrations, lease: Lease, progress: Arc<Progress>) {
    let mut every = tokio::time::interval(migrations.settings().lease / 4);
    let mut count = 0_u64;
    loop {
        every.tick().await;
        count = count.saturating_add(1);
        if let Err(CatalogueError::LeaseLost(_)) = migrations.service.catalogue.renew(&lease, count).await {
            progress.lose_lease();
            return;
        }
    }
}

/// Writes the figures of the present phase for `job show`. A hint: a conflict is somebody else's newer word.
pub(super) async fn record(migrations: &Migrations, lease: &Lease, done: (u64, u64)) {
    if let Ok(Some(mut job)) = migrations.service.catalogue.job_summary(lease.job()).await
        && (job.keys_done, job.secrets_done) != done
    {
        (job.keys_done, job.secrets_done) = done;
        if migrations.service.catalogue.save_job(lease, &job).await.is_ok() {
            migrations.touch();
        }
    }
}

/// What share of the phase is done (0 to 100), and the seconds left at the pace so far.
pub(super) fn share(job: &Job, (keys, secrets): (u64, u64), spent: Duration) -> (u64, Option<u64>) {
    let total = job.keys_total.saturating_add(job.secrets_total);
    let done = keys.saturating_add(secrets).min(total);
    let percent = done.saturating_mul(100).checked_div(total).unwrap_or(0);
    let left = spent.as_secs().saturating_mul(total.saturating_sub(done)).checked_div(done);
    (percent, left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_step_past_the_first_purge_that_does_nothing_more_is_stuck() {
        let mut pace = Pace { done: (0, 0), since: Duration::ZERO };
        let late = STUCK.saturating_mul(3);
        assert!(!pace.is_stuck(false, (0, 0), late));
        assert!(!pace.is_stuck(true, (1, 0), late));
        assert!(!pace.is_stuck(true, (1, 0), late + STUCK / 2));
        assert!(pace.is_stuck(true, (1, 0), late + STUCK));
        assert!(!pace.is_stuck(true, (1, 1), late + STUCK));
    }
}
