//! Locked: preflight once more, now that the world can no longer change; the plan is written down.

use std::sync::Arc;

use async_trait::async_trait;
use futures::TryFutureExt;
use sha2::{Digest, Sha256};

use super::{Ended, Step};
use crate::catalogue::{CatalogueError, Demand, PlanItem};
use crate::migration::MigrationError;
use crate::migration::context::Context;
use crate::migration::items::in_task;
use crate::model::{Failure, JobEvent, JobState, ProblemCode};

pub(super) struct Locked;

#[async_trait]
impl Step for Locked {
    async fn run(&self, context: &mut Context) -> Result<Ended, MigrationError> {
        let known = std::mem::take(&mut context.known);
        let job = &context.job;
        let planned = context.migrations.plan_for(&job.scope, &job.instance, &job.selection, (&job.id).into(), known);
        let (mut plan, world) = planned.await?;
        // A hold keeps jobs from starting; this one has. `hold --now` asks for its cancel instead.
        plan.problems.retain(|problem| problem.code != ProblemCode::Held);
        if plan.refuses(&job.selection) {
            return Err(MigrationError::Refused(plan.problems));
        }
        let rotating = world.rotating();
        drop(world);
        let (keys, secrets) = (plan.keys(), plan.secrets());
        let reserved = (job.keys_total, job.secrets_total);
        // The gate reserved what the first preflight counted; more may have come until it closed.
        if keys > reserved.0 || secrets > reserved.1 {
            reserve(context, Demand { keys, secrets }).await?;
        }
        let catalogue = &context.migrations.service.catalogue;
        let items: Arc<[PlanItem]> = plan.items.into();
        let (saved, nothing) = (Arc::clone(&items), items.is_empty());
        let saving = catalogue.save_plan(&context.lease, &items, &plan.left_behind).map_err(MigrationError::from);
        // Beside the commits, which wait for the disk.
        let (digest, pages) = tokio::try_join!(in_task(async move { digest_of(&saved) }), saving)?;
        let named = digest.clone();
        context
            .update(move |job| {
                job.plan_pages = pages;
                job.plan_digest = Some(named.clone());
                job.keys_total = keys;
                job.secrets_total = secrets;
                Ok(())
            })
            .await?;
        debug_assert_eq!(context.job.state, JobState::Locked);
        // What this lease has read and written is not read again.
        context.planned = Some((digest, items));
        context.rotating = Some(rotating);
        Ok(Ended::With(if nothing { JobEvent::NothingToDo } else { JobEvent::Done }))
    }
}

/// SHA-256 of a plan's JSON, hexadecimal.
fn digest_of(items: &[PlanItem]) -> Result<String, MigrationError> {
    let json = serde_json::to_vec(items).map_err(|e| MigrationError::Internal(e.to_string()))?;
    Ok(hex::encode(Sha256::digest(json)))
}

/// Reserves what the plan wants now, if there is still room for it.
async fn reserve(context: &Context, demand: Demand) -> Result<(), MigrationError> {
    let (service, job) = (&context.migrations.service, &context.job);
    let facts = service.keystores.instance(&job.instance);
    let facts =
        facts.ok_or_else(|| MigrationError::Internal(format!("{} is not configured any more", job.instance)))?;
    let most = Demand { keys: facts.key_quota, secrets: facts.secret_quota };
    loop {
        match service.catalogue.reserve_anew(&context.lease, job, demand, most).await {
            Ok(true) => return Ok(()),
            Ok(false) => return Err(MigrationError::Failed(grown())),
            Err(CatalogueError::Conflict) => context.check_lease().await?,
            Err(error) => return Err(error.into()),
        }
    }
}

fn grown() -> Failure {
    Failure {
        code: "QuotaExceeded".to_owned(),
        message: "resources were added while the gate was closing, and the instance has no room for them".to_owned(),
        remedy: "raise key_quota or secret_quota, or delete what is not needed; then run it again".to_owned(),
    }
}
