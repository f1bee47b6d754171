//! Rolling back: the catalogue returns to what it was, the marks go, the lock goes. Never waits for the target: a clean-up
//! record makes it forget the job once it can be reached.

use async_trait::async_trait;

use super::{Ended, Step, UNDO, step};
use crate::catalogue::Demand;
use crate::migration::MigrationError;
use crate::migration::context::Context;
use crate::model::{Ending, JobEvent};
use crate::observe::{Event, emit};

pub(super) struct RollingBack;

#[async_trait]
impl Step for RollingBack {
    async fn run(&self, context: &mut Context) -> Result<Ended, MigrationError> {
        for state in UNDO {
            if let Some(step) = step(state) {
                step.undo(context).await?;
            }
        }
        let ending = context.job.ending.unwrap_or(Ending::Failed);
        super::unlocking::end(context, JobEvent::RolledBack(ending), Demand::default(), |job| {
            if ending != Ending::Rehearsed {
                job.keys_done = 0;
                job.secrets_done = 0;
            }
        })
        .await?;
        emit(Event::MigrationRolledBack, &context.fields(), "everything is as it was before the migration");
        Ok(Ended::Saved)
    }
}
