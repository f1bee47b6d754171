//! The items of a plan: each resource that moves, with its versions and the digest of its entry.
//!
//! Reading versions and digesting entries is most of the work of a plan: several tasks share it, and what the plan before
//! the lock has found out of an entry that has not changed since is not found out again inside it.

use std::collections::HashMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use tokio_util::task::AbortOnDropHandle;

use super::MigrationError;
use super::cutover::entry_digest;
use super::world::World;
use crate::catalogue::{Catalogue, PlanItem};
use crate::keystore::Place;
use crate::model::ResourceId;
use crate::store::Revision;

/// Items that one task makes.
const PART: usize = 128;
/// Tasks under way at once: with more of them whatever else runs here would wait behind them all.
const AT_ONCE: usize = 4;
/// Items between two moments in which others get the thread.
const STRETCH: usize = 16;

/// A resource that moves, and its item where that is known.
type Wanted = (ResourceId, Option<PlanItem>);

/// The items of an earlier plan, each with the revision of the entry that it was made from.
#[derive(Default)]
pub(super) struct Known(HashMap<ResourceId, (Revision, PlanItem)>);

impl Known {
    /// Items that were made from the entries of `world`.
    pub(super) fn of(items: Vec<PlanItem>, world: &World) -> Self {
        let with_revision = |item: PlanItem| Some((item.resource.clone(), (world.revision(&item.resource)?, item)));
        Self(items.into_iter().filter_map(with_revision).collect())
    }

    /// The item of a resource whose entry still is the one that it was made from. No version is made or removed without a
    /// new revision of its entry ([`crate::catalogue::Change`]), so the versions are the same too.
    fn take(&mut self, resource: &ResourceId, now: Option<Revision>) -> Option<PlanItem> {
        let (made_from, item) = self.0.remove(resource)?;
        (Some(made_from) == now).then_some(item)
    }
}

/// The items of what moves, in the same order.
pub(super) async fn items(
    catalogue: &Catalogue,
    world: &Arc<World>,
    moving: Vec<ResourceId>,
    known: Known,
) -> Result<Vec<PlanItem>, MigrationError> {
    let parts = parts(moving, world, known).into_iter();
    let tasks: Vec<_> = parts.map(|part| in_task(make(catalogue.clone(), Arc::clone(world), part))).collect();
    let made: Vec<Vec<PlanItem>> = stream::iter(tasks).buffered(AT_ONCE).try_collect().await?;
    Ok(made.into_iter().flatten().collect())
}

/// Does work in a task of its own, so that another processor can do it; it ends with whoever waits for it.
pub(super) async fn in_task<T, F>(work: F) -> Result<T, MigrationError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, MigrationError>> + Send + 'static,
{
    AbortOnDropHandle::new(tokio::spawn(work)).await.map_err(|e| MigrationError::Internal(e.to_string()))?
}

fn parts(moving: Vec<ResourceId>, world: &World, mut known: Known) -> Vec<Vec<Wanted>> {
    let mut parts: Vec<Vec<Wanted>> = Vec::new();
    for resource in moving {
        // That an item has as many versions as its entry says is looked at all the same: what is not planned is not copied.
        let complete = |item: &PlanItem| usize::try_from(world.versions(&resource)) == Ok(item.places.len());
        let item = known.take(&resource, world.revision(&resource)).filter(complete);
        match parts.last_mut().filter(|part| part.len() < PART) {
            Some(part) => part.push((resource, item)),
            None => parts.push(vec![(resource, item)]),
        }
    }
    parts
}

async fn make(catalogue: Catalogue, world: Arc<World>, part: Vec<Wanted>) -> Result<Vec<PlanItem>, MigrationError> {
    let mut items = Vec::with_capacity(part.len());
    for (n, (resource, known)) in part.into_iter().enumerate() {
        if n % STRETCH == 0 {
            // Reading never waits: the plan of an operator must not hold up the applications' calls.
            tokio::task::yield_now().await;
        }
        items.push(match known {
            Some(item) => item,
            None => read(&catalogue, &world, resource).await?,
        });
    }
    Ok(items)
}

async fn read(catalogue: &Catalogue, world: &World, resource: ResourceId) -> Result<PlanItem, MigrationError> {
    let unknown = || MigrationError::Internal(format!("{resource} was chosen and is not there"));
    match &resource {
        ResourceId::Key(id) => {
            let key = world.keys.get(id).ok_or_else(unknown)?;
            let place = |version| Place { incarnation: key.incarnation.clone(), version };
            let versions = catalogue.key_versions(&key.incarnation).await?;
            let (spec, entry) = (Some(key.spec), entry_digest(&**key)?);
            let places = versions.into_iter().map(|version| place(version.into_value().id)).collect();
            Ok(PlanItem { resource, spec, places, entry })
        }
        ResourceId::Secret(name) => {
            let secret = world.secrets.get(name).ok_or_else(unknown)?;
            let place = |version| Place { incarnation: secret.incarnation.clone(), version };
            let versions = catalogue.secret_versions(&secret.incarnation).await?;
            let entry = entry_digest(&**secret)?;
            let places = versions.into_iter().map(|version| place(version.into_value().material)).collect();
            Ok(PlanItem { resource, spec: None, places, entry })
        }
    }
}
