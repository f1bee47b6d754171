//! Activating: one idempotent durable step in the target, bound to job, token and manifest.

use async_trait::async_trait;

use super::{Ended, Step};
use crate::migration::MigrationError;
use crate::migration::context::Context;
use crate::model::JobEvent;

pub(super) struct Activating;

#[async_trait]
impl Step for Activating {
    async fn run(&self, context: &mut Context) -> Result<Ended, MigrationError> {
        activate(context).await?;
        Ok(Ended::With(JobEvent::Done))
    }
}

/// Idempotent: also for a target that was activated, and for one that has lost that it was.
pub(super) async fn activate(context: &Context) -> Result<(), MigrationError> {
    let manifest = context.job.manifest.as_deref().and_then(|text| hex::decode(text).ok());
    let manifest: [u8; 32] = manifest
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| MigrationError::Internal("the job has no manifest".to_owned()))?;
    Ok(context.target()?.activate(&context.job.id, context.lease.token(), &manifest).await?)
}
