//! Unlocking: gate and lock go, the reservation becomes use, the job is complete — in one transaction.

use async_trait::async_trait;

use super::{Ended, Step};
use crate::catalogue::{CatalogueError, Demand};
use crate::migration::MigrationError;
use crate::migration::context::Context;
use crate::model::{Job, JobEvent};
use crate::observe::{Event, emit};

pub(super) struct Unlocking;

#[async_trait]
impl Step for Unlocking {
    async fn run(&self, context: &mut Context) -> Result<Ended, MigrationError> {
        let moved = Demand { keys: context.job.keys_total, secrets: context.job.secrets_total };
        end(context, JobEvent::Done, moved, |job| {
            job.keys_done = job.keys_total;
            job.secrets_done = job.secrets_total;
        })
        .await?;
        Ok(Ended::Saved)
    }
}

/// Ends the job: takes down gate and lock in the transaction that writes its final state.
pub(super) async fn end(
    context: &mut Context,
    event: JobEvent,
    moved: Demand,
    finish: impl Fn(&mut Job),
) -> Result<(), MigrationError> {
    loop {
        context.reload().await?;
        let now = context.now();
        let mut job = context.job.clone();
        job.state = job.state.next(event).map_err(|e| MigrationError::Internal(e.to_string()))?;
        job.finished_at = Some(now);
        job.unlocked_at = job.locked_at.map(|_| now);
        finish(&mut job);
        match context.migrations.service.catalogue.unlock(&context.lease, &job, moved).await {
            Ok(()) => break,
            Err(CatalogueError::Conflict) => context.check_lease().await?,
            Err(error) => return Err(error.into()),
        }
    }
    context.reload().await?;
    if context.job.locked_at.is_some() {
        emit(Event::LockReleased, &context.fields(), "management operations in the scope go on");
    }
    context.migrations.touch();
    Ok(())
}
