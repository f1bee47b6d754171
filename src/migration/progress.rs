//! Walking a plan in batches: parallel, bounded, paced, interruptible; and telling how far it is.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::{JoinError, JoinSet};

use super::MigrationError;
use super::context::Context;
use crate::catalogue::PlanItem;
use crate::model::ResourceKind;

/// Resources in one batch: several transactions' worth, so that they share a sync, and so few that the batches under way
/// do not all wait for the same one.
const BATCH: usize = 50;
/// Versions in one batch, unless a single resource has more: a batch of largest values is held in memory.
const VERSIONS: usize = 128;

type Done = Result<Vec<PlanItem>, MigrationError>;

impl Context {
    /// Runs `work` on every batch of the plan: batches of one kind in parallel, the next kind only after them. Stops at
    /// the first failure.
    pub(super) async fn each_batch<F, Fut>(&self, plan: &[PlanItem], work: F) -> Result<(), MigrationError>
    where
        F: Fn(Timestamp, Vec<PlanItem>) -> Fut,
        Fut: Future<Output = Result<(), MigrationError>> + Send + 'static,
    {
        let settings = self.migrations.settings();
        let mut rest = plan;
        while let Some(first) = rest.first() {
            let kind = first.resource.kind();
            let end = rest.iter().position(|item| item.resource.kind() != kind).unwrap_or(rest.len());
            let (same, others) = rest.split_at(end);
            rest = others;
            // A rate means one batch after the other, small enough to be even.
            let (size, parallel) = match usize::try_from(settings.max_rate) {
                Ok(rate) if rate > 0 => (rate.clamp(1, BATCH), 1),
                _ => (BATCH, settings.workers.max(1)),
            };
            let mut running = JoinSet::new();
            for batch in batches(same, size) {
                while running.len() >= parallel {
                    self.settle(running.join_next().await).await?;
                }
                if let Err(end) = self.checkpoint().await {
                    while matches!(end, MigrationError::Stopped) && !running.is_empty() {
                        self.settle(running.join_next().await).await?;
                    }
                    return Err(end);
                }
                let (work, batch) = (work(self.now(), batch.to_vec()), batch.to_vec());
                running.spawn(async move { work.await.map(|()| batch) });
            }
            while !running.is_empty() {
                self.settle(running.join_next().await).await?;
            }
        }
        Ok(())
    }

    async fn settle(&self, joined: Option<Result<Done, JoinError>>) -> Result<(), MigrationError> {
        let Some(joined) = joined else { return Ok(()) };
        let batch = joined.map_err(|e| MigrationError::Internal(e.to_string()))??;
        self.progress.add(&batch);
        self.pace(batch.len()).await;
        Ok(())
    }

    /// Waits as long as `resources` take at the configured rate.
    pub(super) async fn pace(&self, resources: usize) {
        let rate = self.migrations.settings().max_rate;
        if rate > 0 {
            let resources = u32::try_from(resources).unwrap_or(u32::MAX);
            tokio::time::sleep(Duration::from_secs_f64(f64::from(resources) / f64::from(rate))).await;
        }
    }

    /// Gets a transport offer from the target under this lease.
    pub(super) async fn make_offer(&mut self) -> Result<(), MigrationError> {
        let nonce = self.source()?.nonce(&self.job.id).await?;
        let offer = self.target()?.offer(&self.job.id, self.lease.token(), nonce, self.now()).await?;
        self.offer = Some(Arc::new(offer));
        Ok(())
    }
}

/// Cuts resources of one kind into batches of at most `size`, and of bounded versions.
fn batches(mut rest: &[PlanItem], size: usize) -> impl Iterator<Item = &[PlanItem]> {
    std::iter::from_fn(move || {
        let mut versions = 0_usize;
        let fitting = rest.iter().take(size).take_while(|item| {
            versions = versions.saturating_add(item.places.len());
            versions <= VERSIONS
        });
        let (batch, others) = rest.split_at(fitting.count().max(1).min(rest.len()));
        rest = others;
        (!batch.is_empty()).then_some(batch)
    })
}

/// Splits a batch by kind.
pub(super) fn of_kind(batch: &[PlanItem], kind: ResourceKind) -> impl Iterator<Item = &PlanItem> {
    batch.iter().filter(move |item| item.resource.kind() == kind)
}
