//! What must hold also when a worker was killed: no mark without a job, no target that remembers a rolled-back job.

use std::time::Duration;

use super::{MigrationError, Migrations};
use crate::catalogue::CatalogueError;
use crate::observe::{Event, Fields, emit};

impl Migrations {
    /// At start: heals what an earlier process left here. Its jobs go on once [`Migrations::run`] runs; instances, which may
    /// be away, are tended later.
    ///
    /// # Errors
    /// When stores cannot be used.
    pub async fn recover(&self) -> Result<(), MigrationError> {
        self.clear_stranded().await
    }

    /// Clears marks whose job does not run, and lets targets forget rolled-back jobs. Cheap when nothing waits.
    ///
    /// # Errors
    /// When stores cannot be used.
    pub async fn tend(&self) -> Result<(), MigrationError> {
        self.clear_stranded().await?;
        self.let_forget().await
    }

    async fn clear_stranded(&self) -> Result<(), MigrationError> {
        let catalogue = &self.service.catalogue;
        for mark in catalogue.all_marks().await? {
            if !catalogue.job_runs(&mark.job).await? {
                match catalogue.clear_stranded(&mark).await {
                    Ok(()) => {
                        let fields = Fields::new().scope(&mark.scope).resource(&mark.resource).job(&mark.job);
                        emit(
                            Event::RotationStranded,
                            &fields,
                            "a rotation mark of a job that does not run was cleared",
                        );
                    }
                    Err(CatalogueError::Conflict) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    async fn let_forget(&self) -> Result<(), MigrationError> {
        let catalogue = &self.service.catalogue;
        for clean_up in catalogue.clean_ups().await? {
            // Until the roll-back has flipped every entry back, the copies may still be asked.
            if catalogue.job_runs(&clean_up.job).await? {
                continue;
            }
            let Some(target) = self.service.keystores.target(&clean_up.instance) else { continue };
            match tokio::time::timeout(FORGETTING, target.forget(&clean_up.job, clean_up.token)).await {
                Ok(Ok(())) => {}
                // Later: it is tried again and again.
                Err(_) => continue,
                Ok(Err(error)) if error.is_unavailable() => continue,
                Ok(Err(error)) => {
                    tracing::error!(job = %clean_up.job, %error, "the instance does not forget the job; trying again");
                    continue;
                }
            }
            if let Some(source) = self.service.keystores.source(&clean_up.region) {
                source.close_session(&clean_up.job).await?;
            }
            match catalogue.remove_clean_up(&clean_up).await {
                Ok(()) | Err(CatalogueError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// How long one instance may take to forget one job before the others have their turn.
const FORGETTING: Duration = Duration::from_secs(20);
