//! Rotation on: the marks go. What fell due meanwhile runs after the unlock.

use async_trait::async_trait;

use super::{Ended, Step};
use crate::migration::MigrationError;
use crate::migration::context::Context;
use crate::model::JobEvent;
use crate::observe::{Event, emit};

pub(super) struct RotationOn;

#[async_trait]
impl Step for RotationOn {
    async fn run(&self, context: &mut Context) -> Result<Ended, MigrationError> {
        restore(context).await?;
        Ok(Ended::With(JobEvent::Done))
    }
}

pub(super) async fn restore(context: &Context) -> Result<(), MigrationError> {
    let catalogue = &context.migrations.service.catalogue;
    for resource in catalogue.clear_marks(&context.lease, &context.job.scope).await? {
        emit(Event::RotationRestored, &context.fields().resource(&resource), "rotation goes on as before");
    }
    Ok(())
}
