//! Confirming: served by the target while the source is still whole. The soak passes, everything is proved once more
//! through the catalogue, and the target confirms the whole manifest.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Ended, Step};
use crate::migration::MigrationError;
use crate::migration::context::Context;
use crate::migration::progress::Batch;
use crate::migration::proofs::Proofs;
use crate::model::JobEvent;

pub(super) struct Confirming;

const LOOK: Duration = Duration::from_millis(100);

#[async_trait]
impl Step for Confirming {
    async fn run(&self, context: &mut Context) -> Result<Ended, MigrationError> {
        if !context.job.soak.is_zero() {
            soak(context).await?;
        }
        let proofs = Arc::new(Proofs::of(context)?);
        let plan = context.plan().await?;
        context
            .each_batch(&plan, move |_, batch: Batch| {
                let proofs = Arc::clone(&proofs);
                async move {
                    proofs.served(&batch).await?;
                    proofs.entries_after(&batch).await
                }
            })
            .await?;
        context.target()?.confirm(&context.job.id, context.lease.token(), &[]).await?;
        Ok(Ended::With(JobEvent::Done))
    }
}

async fn soak(context: &mut Context) -> Result<(), MigrationError> {
    let now = context.now();
    context
        .update(move |job| {
            job.soak_since.get_or_insert(now);
            Ok(())
        })
        .await?;
    let span = jiff::SignedDuration::try_from(context.job.soak).unwrap_or_default();
    let until = context.job.soak_since.unwrap_or(now).checked_add(span).unwrap_or(jiff::Timestamp::MAX);
    while context.now() < until {
        context.checkpoint().await?;
        let stop = context.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    Ok(())
}
