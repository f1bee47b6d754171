//! Verifying: proof by use of every version, the metadata field by field, then the target closes its staging.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Ended, Step};
use crate::migration::MigrationError;
use crate::migration::context::Context;
use crate::migration::progress::Batch;
use crate::migration::proofs::Proofs;
use crate::model::JobEvent;

pub(super) struct Verifying;

#[async_trait]
impl Step for Verifying {
    async fn run(&self, context: &mut Context) -> Result<Ended, MigrationError> {
        let target = context.target()?;
        let (job, token) = (context.job.id.clone(), context.lease.token());
        let manifest = match target.closed(&job, token).await? {
            // Closing comes last, after every proof has held.
            Some(manifest) => manifest,
            None if context.offer.is_none() => return Ok(Ended::With(JobEvent::Restage)),
            None => {
                let proofs = Arc::new(Proofs::of(context)?);
                let plan = context.plan().await?;
                context
                    .each_batch(&plan, move |_, batch: Batch| {
                        let proofs = Arc::clone(&proofs);
                        async move {
                            proofs.copies(&batch).await?;
                            proofs.entries_before(&batch).await
                        }
                    })
                    .await?;
                target.close(&job, token).await?
            }
        };
        let manifest = hex::encode(manifest);
        context
            .update(move |job| {
                job.manifest = Some(manifest.clone());
                Ok(())
            })
            .await?;
        Ok(Ended::With(if context.job.rehearsal { JobEvent::RehearsalProved } else { JobEvent::Done }))
    }
}
