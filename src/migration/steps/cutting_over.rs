//! Cutting over: entries flip in batches, each a transaction under the job's lease; a secret flips after its key.

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};

use super::{Ended, Step};
use crate::audit::{Actor, Entry};
use crate::catalogue::{CatalogueError, Change, PlanItem};
use crate::migration::MigrationError;
use crate::migration::context::Context;
use crate::migration::cutover::{Destination, Flip};
use crate::model::{JobEvent, ResourceId};
use crate::observe::{Event, emit};

pub(super) struct CuttingOver;

/// Entries in one transaction: two compares are the lease's and the lock's.
const BATCH: usize = 40;
/// Transactions under way at once.
const AT_ONCE: usize = 16;

#[async_trait]
impl Step for CuttingOver {
    async fn run(&self, context: &mut Context) -> Result<Ended, MigrationError> {
        let to = context.destination();
        let plan = context.plan().await?;
        all(context, &plan, &Way::Over(to)).await?;
        Ok(Ended::With(JobEvent::Done))
    }

    async fn undo(&self, context: &mut Context) -> Result<(), MigrationError> {
        // The other way round: secrets go back before their keys.
        let mut plan = context.plan().await?.to_vec();
        plan.reverse();
        let way = Way::Back(context.destination());
        all(context, &plan, &way).await?;
        Ok(())
    }
}

#[derive(Clone)]
enum Way {
    Over(Destination),
    Back(Destination),
}

impl Way {
    const fn action(&self) -> &'static str {
        match self {
            Self::Over(_) => "job.cut_over",
            Self::Back(_) => "job.cut_back",
        }
    }

    fn apply<T: Flip>(&self, entry: &mut T) -> bool {
        match self {
            Self::Over(to) => entry.flip(to),
            Self::Back(to) => entry.flip_back(&to.job),
        }
    }
}

/// Rewrites all entries: of one kind several batches at a time, so that they share a sync, the next kind only after them.
async fn all(context: &Context, plan: &[PlanItem], way: &Way) -> Result<(), MigrationError> {
    // A rate means one batch after the other, none of which takes longer than a second.
    let (size, at_once) = match usize::try_from(context.migrations.settings().max_rate) {
        Ok(rate) if rate > 0 => (rate.min(BATCH), 1),
        _ => (BATCH, AT_ONCE),
    };
    for same in plan.chunk_by(|a, b| a.resource.kind() == b.resource.kind()) {
        let batches: Vec<_> = same.chunks(size).map(|batch| one(context, batch, way)).collect();
        stream::iter(batches).buffer_unordered(at_once).try_collect::<()>().await?;
    }
    Ok(())
}

async fn one(context: &Context, batch: &[PlanItem], way: &Way) -> Result<(), MigrationError> {
    context.checkpoint().await?;
    rewrite(context, batch, way).await?;
    if let Way::Over(_) = way {
        context.progress.add(batch);
        context.pace(batch.len()).await;
    }
    Ok(())
}

async fn rewrite(context: &Context, batch: &[PlanItem], way: &Way) -> Result<(), MigrationError> {
    let catalogue = &context.migrations.service.catalogue;
    let scope = &context.job.scope;
    loop {
        // Undoing a job that never reached its lock finds no plan, so a batch always has one.
        let mut change = Change::locked(&context.locked().await?);
        let mut flipped = Vec::new();
        for item in batch {
            match &item.resource {
                ResourceId::Key(id) => {
                    let mut key = catalogue.key(&scope.region, id).await?.ok_or_else(|| missing(item))?;
                    if way.apply(&mut *key) {
                        change.update_key(&key)?;
                        flipped.push(&item.resource);
                    }
                }
                ResourceId::Secret(name) => {
                    let mut secret = catalogue.secret(scope, name).await?.ok_or_else(|| missing(item))?;
                    if way.apply(&mut *secret) {
                        change.update_secret(&secret)?;
                        flipped.push(&item.resource);
                    }
                }
            }
        }
        if flipped.is_empty() {
            return Ok(());
        }
        let actor = Actor::Job { job: context.job.id.clone(), token: context.lease.token() };
        change.record(Entry::new(context.now(), actor, way.action()).in_scope(scope))?;
        match catalogue.commit(change).await {
            Ok(()) => {
                if let Way::Over(_) = way {
                    for resource in flipped {
                        emit(
                            Event::ResourceCutOver,
                            &context.fields().resource(resource),
                            "served by the instance from now on",
                        );
                    }
                }
                return Ok(());
            }
            Err(CatalogueError::Conflict) => context.check_lease().await?,
            Err(error) => return Err(error.into()),
        }
    }
}

fn missing(item: &PlanItem) -> MigrationError {
    MigrationError::Internal(format!("{} vanished from the catalogue inside the lock", item.resource))
}
