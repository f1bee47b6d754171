//! Walking a plan in batches: parallel, bounded, paced, interruptible; and telling how far it is.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::Timestamp;

use super::MigrationError;
use super::context::Context;
use crate::catalogue::PlanItem;
use crate::model::ResourceKind;

/// Resources in one batch.
const BATCH: usize = 25;

impl Context {
    /// Runs `work` on every batch of the plan: batches of one kind in parallel, the next kind only after them. Stops at
    /// the first failure.
    pub(super) async fn each_batch<F, Fut>(&self, plan: Vec<PlanItem>, work: F) -> Result<(), MigrationError>
    where
        F: Fn(Timestamp, Vec<PlanItem>) -> Fut,
        Fut: Future<Output = Result<(), MigrationError>> + Send + 'static,
    {
        let settings = self.migrations.settings();
        let mut rest = plan.as_slice();
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
            let mut running = stream::iter(same.chunks(size))
                .map(|batch| {
                    let work = work(self.now(), batch.to_vec());
                    async move {
                        self.checkpoint().await?;
                        // On a task of its own, so that batches use all cores.
                        tokio::spawn(work).await.map_err(|e| MigrationError::Internal(e.to_string()))??;
                        self.progress.add(batch);
                        self.pace(batch.len()).await;
                        Ok::<_, MigrationError>(())
                    }
                })
                .buffer_unordered(parallel);
            while let Some(done) = running.next().await {
                done?;
            }
        }
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

    /// What share of the present phase is done, 0 to 100.
    pub(super) fn percent(&self) -> u64 {
        let (keys, secrets) = self.progress.done();
        let total = self.job.keys_total.saturating_add(self.job.secrets_total);
        keys.saturating_add(secrets).saturating_mul(100).checked_div(total).unwrap_or(100).min(100)
    }
}

/// Splits a batch by kind.
pub(super) fn of_kind(batch: &[PlanItem], kind: ResourceKind) -> impl Iterator<Item = &PlanItem> {
    batch.iter().filter(move |item| item.resource.kind() == kind)
}
