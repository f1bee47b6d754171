//! Preflight: no lock held. Looks for problems and gets the target's transport offer.

use async_trait::async_trait;

use super::{Ended, Step};
use crate::migration::context::Context;
use crate::migration::items::Known;
use crate::migration::{MigrationError, Plan};
use crate::model::{JobEvent, ProblemCode};
use crate::observe::{Event, emit};

pub(super) struct Preflight;

#[async_trait]
impl Step for Preflight {
    async fn run(&self, context: &mut Context) -> Result<Ended, MigrationError> {
        // Copies of an earlier job that was rolled back may still lie in the instance: the same resources could not be
        // staged beside them. An instance that cannot be reached for it is refused below.
        context.migrations.tend().await?;
        let job = &context.job;
        // Its key takes longer to make than the plan.
        context.migrations.expect_offer(&job.instance);
        let planned =
            context.migrations.plan_for(&job.scope, &job.instance, &job.selection, (&job.id).into(), Known::default());
        let (mut plan, world) = planned.await?;
        // A hold keeps jobs from starting; this one has. `hold --now` asks for its cancel instead.
        plan.problems.retain(|problem| problem.code != ProblemCode::Held);
        if plan.refuses(&job.selection) {
            return Err(MigrationError::Refused(plan.problems));
        }
        for left in &plan.left_behind {
            let fields = context.fields().resource(&left.resource).code(left.code.clone());
            emit(Event::ResourceLeftBehind, &fields, &left.message);
        }
        if plan.items.is_empty() {
            let lease = context.lease.clone();
            let left = plan.left_behind.clone();
            context.migrations.service.catalogue.save_plan(&lease, &[], &left).await?;
            return Ok(Ended::With(JobEvent::NothingToDo));
        }
        let (keys, secrets) = (plan.keys(), plan.secrets());
        let Plan { items, warnings, .. } = plan;
        context.known = Known::of(items, &world);
        drop(world);
        context.make_offer().await?;
        context
            .update(move |job| {
                job.keys_total = keys;
                job.secrets_total = secrets;
                for warning in &warnings {
                    if !job.warnings.contains(warning) {
                        job.warnings.push(warning.clone());
                    }
                }
                Ok(())
            })
            .await?;
        Ok(Ended::With(JobEvent::Done))
    }
}
