//! Rotation off: everything in the scope that rotates is marked suspended by this job; settings stay in place.

use async_trait::async_trait;

use super::{Ended, Step};
use crate::migration::MigrationError;
use crate::migration::context::Context;
use crate::model::{JobEvent, ResourceId};
use crate::observe::{Event, emit};

pub(super) struct RotationOff;

#[async_trait]
impl Step for RotationOff {
    async fn run(&self, context: &mut Context) -> Result<Ended, MigrationError> {
        let catalogue = context.migrations.service.catalogue.clone();
        let locked = context.locked().await?;
        let keys = catalogue.keys(locked.scope()).await?;
        let secrets = catalogue.secrets(locked.scope()).await?;
        let rotating: Vec<ResourceId> = keys
            .iter()
            .filter(|key| key.rotation.enabled)
            .map(|key| ResourceId::Key(key.id.clone()))
            .chain(secrets.iter().filter(|s| s.rotation.enabled).map(|s| ResourceId::Secret(s.name.clone())))
            .collect();
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
