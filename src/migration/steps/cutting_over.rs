//! Cutting over: entries flip in batches, each a transaction under the job's lease; a secret flips after its key.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Ended, Step};
use crate::audit::{Actor, Entry};
use crate::catalogue::{CatalogueError, Change, Lease, PlanItem};
use crate::migration::context::{Context, Progress, check_lease, figures};
use crate::migration::cutover::{Destination, Flip};
use crate::migration::progress::{Batch, Walk};
use crate::migration::{MigrationError, Migrations};
use crate::model::{Job, JobEvent, ResourceId};
use crate::observe::{Event, emit};

pub(super) struct CuttingOver;

/// Entries in one transaction: two compares are the lease's and the lock's.
const BATCH: usize = 40;
/// Transactions under way at once, so that many share a sync.
const AT_ONCE: usize = 48;

#[async_trait]
impl Step for CuttingOver {
    async fn run(&self, context: &mut Context) -> Result<Ended, MigrationError> {
        let way = Way::Over(context.destination());
        all(context, way).await?;
        Ok(Ended::With(JobEvent::Done))
    }

    async fn undo(&self, context: &mut Context) -> Result<(), MigrationError> {
        let way = Way::Back(context.destination());
        all(context, way).await
    }
}

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

/// What the tasks that rewrite entries share.
struct Rewriting {
    migrations: Migrations,
    lease: Lease,
    job: Job,
    progress: Arc<Progress>,
    way: Way,
}

/// Rewrites all entries; on the way back secrets before their keys.
async fn all(context: &mut Context, way: Way) -> Result<(), MigrationError> {
    let plan = context.plan().await?;
    let backwards = matches!(way, Way::Back(_));
    let rewriting = Arc::new(Rewriting {
        migrations: context.migrations.clone(),
        lease: context.lease.clone(),
        job: (*context.job).clone(),
        progress: Arc::clone(&context.progress),
        way,
    });
    context
        .walk(&plan, Walk { size: BATCH, versions: usize::MAX, at_once: AT_ONCE, backwards }, move |_, batch: Batch| {
            let rewriting = Arc::clone(&rewriting);
            async move { rewriting.rewrite(&batch).await }
        })
        .await
}

impl Rewriting {
    async fn rewrite(&self, batch: &[PlanItem]) -> Result<(), MigrationError> {
        let service = &self.migrations.service;
        let (catalogue, scope) = (&service.catalogue, &self.job.scope);
        loop {
            // Undoing a job that never reached its lock finds no plan, so a batch always has one.
            let mut change = Change::locked(&catalogue.locked(&self.lease, scope).await?);
            let mut flipped = Vec::new();
            for item in batch {
                match &item.resource {
                    ResourceId::Key(id) => {
                        let mut key = catalogue.key(&scope.region, id).await?.ok_or_else(|| missing(item))?;
                        if self.way.apply(&mut *key) {
                            change.update_key(&key)?;
                            flipped.push(&item.resource);
                        }
                    }
                    ResourceId::Secret(name) => {
                        let mut secret = catalogue.secret(scope, name).await?.ok_or_else(|| missing(item))?;
                        if self.way.apply(&mut *secret) {
                            change.update_secret(&secret)?;
                            flipped.push(&item.resource);
                        }
                    }
                }
            }
            if flipped.is_empty() {
                return Ok(());
            }
            let actor = Actor::Job { job: self.job.id.clone(), token: self.lease.token() };
            change.record(Entry::new(service.clock.now(), actor, self.way.action()).in_scope(scope))?;
            match catalogue.commit(change).await {
                Ok(()) => {
                    if let Way::Over(_) = self.way {
                        self.tell(&flipped);
                    }
                    return Ok(());
                }
                Err(CatalogueError::Conflict) => check_lease(&self.migrations, &self.lease).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn tell(&self, flipped: &[&ResourceId]) {
        let fields = figures(&self.job, self.progress.done());
        for resource in flipped {
            emit(Event::ResourceCutOver, &fields.clone().resource(resource), "served by the instance from now on");
        }
    }
}

fn missing(item: &PlanItem) -> MigrationError {
    MigrationError::Internal(format!("{} vanished from the catalogue inside the lock", item.resource))
}
