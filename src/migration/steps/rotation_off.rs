//! Rotation off: everything in the scope that rotates is marked suspended by this job; settings stay in place.

use async_trait::async_trait;

use super::{Ended, Step};
use crate::migration::MigrationError;
use crate::migration::context::Context;
use crate::migration::world::World;
use crate::model::{JobEvent, ResourceId};
use crate::observe::{Event, emit};

pub(super) struct RotationOff;

#[async_trait]
impl Step for RotationOff {
    async fn run(&self, context: &mut Context) -> Result<Ended, MigrationError> {
        let catalogue = context.migrations.service.catalogue.clone();
        let locked = context.locked().await?;
        // Inside the lock nothing about it changes; a worker that has not seen it reads it.
        let seen = match context.rotating.take() {
            Some(seen) => seen,
            None => World::read(&context.migrations, locked.scope()).await?.rotating(),
        };
        let rotating: Vec<ResourceId> = seen.iter().map(|seen| seen.resource.clone()).collect();
        catalogue.note_rotation(&context.lease, &seen).await?;
        catalogue.set_marks(&locked, &rotating).await?;
        for resource in &rotating {
            emit(Event::RotationSuspended, &context.fields().resource(resource), "rotation held back by the migration");
        }
        Ok(Ended::With(JobEvent::Done))
    }

    async fn undo(&self, context: &mut Context) -> Result<(), MigrationError> {
        super::rotation_on::restore(context).await
    }
}
