//! Approval: with `approval = true`, what one person asks for starts only after another one has approved it.

use super::{MigrationError, Migrations};
use crate::audit::Entry;
use crate::catalogue::CatalogueError;
use crate::model::{Approval, JobId, JobState};
use crate::observe::{Event, Fields, emit};

impl Migrations {
    /// What a job that is asked for now needs. What the configuration file schedules, whoever may write it has approved.
    pub(super) fn approval_needed(&self) -> Option<Approval> {
        let asked_by = self.asked_by.clone().filter(|_| self.settings().approval)?;
        Some(Approval { asked_by, approved_by: None })
    }

    /// Approves a job, and the others of its group, on behalf of whoever acts.
    ///
    /// # Errors
    /// `NoJob`; `NotAwaited` for one that waits for no approval; `OwnApproval` where the same person asked for it, or
    /// nobody knows who approves.
    pub async fn approve(&self, id: &JobId) -> Result<(), MigrationError> {
        let catalogue = &self.service.catalogue;
        let named = catalogue.job(id).await?.ok_or_else(|| MigrationError::NoJob(id.clone()))?;
        let mut approved = false;
        for known in catalogue.jobs().await? {
            let together = known.id == named.id || (named.group.is_some() && known.group == named.group);
            if together {
                approved |= self.approve_one(&known.id).await?;
            }
        }
        if !approved {
            return Err(MigrationError::NotAwaited(id.clone()));
        }
        self.touch();
        Ok(())
    }

    /// False where there is nothing to approve.
    async fn approve_one(&self, id: &JobId) -> Result<bool, MigrationError> {
        loop {
            let Some(mut job) = self.service.catalogue.job(id).await? else { return Ok(false) };
            if job.state != JobState::Queued || !job.awaits_approval() {
                return Ok(false);
            }
            let Some(approval) = job.approval.as_mut() else { return Ok(false) };
            let Some(person) = self.asked_by.as_ref().filter(|person| **person != approval.asked_by) else {
                return Err(MigrationError::OwnApproval(id.clone()));
            };
            if !self.actor_is_known() {
                return Err(MigrationError::OwnApproval(id.clone()));
            }
            approval.approved_by = Some(person.clone());
            let entry = Entry::new(self.service.clock.now(), self.actor.clone(), "job.approved").in_scope(&job.scope);
            match self.service.catalogue.amend_job(&job, Some(&entry.on(format!("job/{id}")))).await {
                Ok(()) => {
                    let text = format!("approved by {person}");
                    emit(Event::MigrationApproved, &Fields::of_job(&job), &text);
                    return Ok(true);
                }
                Err(CatalogueError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    const fn actor_is_known(&self) -> bool {
        matches!(self.actor, crate::audit::Actor::Operator { uid: Some(_) })
    }
}
