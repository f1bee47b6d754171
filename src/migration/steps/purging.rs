//! Purging: the point of no return. Source copies are destroyed in batches, the target confirming each batch's records
//! before. From here on only forward, retried until done.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Ended, Step};
use crate::migration::MigrationError;
use crate::migration::context::Context;
use crate::migration::progress::{Batch, Walk};
use crate::model::{Incarnation, JobEvent};

pub(super) struct Purging;

#[async_trait]
impl Step for Purging {
    async fn run(&self, context: &mut Context) -> Result<Ended, MigrationError> {
        let (source, target) = (context.source()?, context.target()?);
        let (job, token) = (context.job.id.clone(), context.lease.token());
        let (for_batches, target_of_batches) = (Arc::clone(&source), Arc::clone(&target));
        let job_of_batches = job.clone();
        // A target that lost its activation meanwhile confirms nothing until it has it again.
        super::activating::activate(context).await?;
        // Secrets before keys: a half-purged source never holds a value whose key it has destroyed first.
        let plan = context.plan().await?;
        let backwards = Walk { backwards: true, ..context.usual_walk() };
        context
            .walk(&plan, backwards, move |_, batch: Batch| {
                let (source, target, job) =
                    (Arc::clone(&for_batches), Arc::clone(&target_of_batches), job_of_batches.clone());
                async move {
                    let incarnations: Vec<Incarnation> = batch
                        .iter()
                        .filter_map(|item| item.places.first())
                        .map(|place| place.incarnation.clone())
                        .collect();
                    if !incarnations.is_empty() {
                        target.confirm(&job, token, &incarnations).await?;
                        source.purge(&job, token, &incarnations).await?;
                    }
                    Ok(())
                }
            })
            .await?;
        // Once for all of them: deleted is not destroyed while the engine's old pages can be opened.
        source.shred(&job, token, &context.job.scope).await?;
        target.settle(&job, token).await?;
        source.close_session(&job).await?;
        Ok(Ended::With(JobEvent::Done))
    }
}
