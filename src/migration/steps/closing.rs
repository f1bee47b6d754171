//! Closing: the gate goes up, what is in flight finishes, then the lock is put.

use std::time::Duration;

use async_trait::async_trait;

use super::{Ended, Step};
use crate::catalogue::{CatalogueError, Demand};
use crate::migration::MigrationError;
use crate::migration::context::Context;
use crate::model::{Failure, JobEvent};
use crate::observe::{Event, emit};

pub(super) struct Closing;

/// How long rotations in flight may take to finish.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

#[async_trait]
impl Step for Closing {
    async fn run(&self, context: &mut Context) -> Result<Ended, MigrationError> {
        close_gate(context).await?;
        let catalogue = context.migrations.service.catalogue.clone();
        let start = context.migrations.service.clock.monotonic();
        loop {
            // Also while a rotation is waited for: the window ends, somebody cancels, the daemon stops.
            context.checkpoint().await?;
            context.reload().await?;
            let mut job = context.job.clone();
            job.state = job.state.next(JobEvent::Done).map_err(|e| MigrationError::Internal(e.to_string()))?;
            match catalogue.put_lock(&context.lease, &job, context.now()).await {
                Ok(()) => break,
                Err(CatalogueError::Conflict) => context.check_lease().await?,
                Err(error) => return Err(error.into()),
            }
            if context.migrations.service.clock.monotonic().saturating_sub(start) > PATIENCE {
                return Err(MigrationError::Failed(in_flight()));
            }
            tokio::time::sleep(PAUSE).await;
        }
        context.reload().await?;
        emit(Event::LockAcquired, &context.fields(), "management operations in the scope are blocked");
        Ok(Ended::Saved)
    }

    async fn undo(&self, context: &mut Context) -> Result<(), MigrationError> {
        // Gate and lock go in the transaction that ends the job.
        let _ = context;
        Ok(())
    }
}

async fn close_gate(context: &mut Context) -> Result<(), MigrationError> {
    let catalogue = context.migrations.service.catalogue.clone();
    loop {
        context.reload().await?;
        if let Some(gate) = catalogue.gate(&context.job.scope).await? {
            if gate.job == context.job.id {
                return Ok(());
            }
            return Err(MigrationError::Failed(taken(gate.job.as_str())));
        }
        if let Some(gate) = catalogue.instance_gate(&context.job.instance).await? {
            return Err(MigrationError::Failed(taken(gate.job.as_str())));
        }
        let mut job = context.job.clone();
        job.locked_at = Some(context.now());
        let demand = Demand { keys: job.keys_total, secrets: job.secrets_total };
        match catalogue.close_gate(&context.lease, &job, demand, context.now()).await {
            Ok(()) => return Ok(()),
            Err(CatalogueError::Conflict) => context.check_lease().await?,
            Err(error) => return Err(error.into()),
        }
    }
}

fn taken(job: &str) -> Failure {
    Failure {
        code: "ScopeLocked".to_owned(),
        message: format!("{job} holds the scope or the instance"),
        remedy: "run it again when that job has ended".to_owned(),
    }
}

fn in_flight() -> Failure {
    Failure {
        code: "RotationInFlight".to_owned(),
        message: format!("a rotation in the scope did not finish within {} s", PATIENCE.as_secs()),
        remedy: "look after the rotation (events rotation.*) and run the migration again".to_owned(),
    }
}
