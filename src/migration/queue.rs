//! Orders become jobs; jobs that meet in a scope or an instance take turns by (due instant, ID).

use super::preflight::run_problem;
use super::{MigrationError, Migrations, Order};
use crate::audit::{Actor, Entry};
use crate::catalogue::{AskedRecord, CatalogueError, Hold};
use crate::model::{Job, JobEvent, JobId, JobState, Method, Problem, ProblemCode, Scope};
use crate::observe::{Event, Fields, emit};
use crate::store::{Stored, Transaction};

impl Migrations {
    /// Makes the jobs of an order, all or none, together with `extra` (the schedule's instant). A manual order for one
    /// account is checked first, so that whoever asked hears of every problem; scheduled jobs and groups hear of theirs
    /// in their own preflight. Who does not want to queue is refused while another job holds the instance.
    ///
    /// # Errors
    /// `Refused` with every problem; `Conflict` when `extra` does not hold.
    pub async fn submit(&self, order: Order, extra: Transaction) -> Result<Vec<JobId>, MigrationError> {
        // Of two that do not queue and come at once the second has to see the first one's job.
        let _one_after_the_other = self.submitting.lock().await;
        if order.method == Method::Manual {
            let only = match order.accounts.as_slice() {
                [account] => Some(Scope { region: order.region.clone(), account: account.clone() }),
                _ => None,
            };
            let mut problems = match &only {
                Some(scope) => {
                    self.expect_offer(&order.instance);
                    self.problems(scope, &order.instance, &order.selection).await?
                }
                None => Vec::new(),
            };
            if !order.queue {
                problems.extend(self.busy(only.as_ref(), &order).await?);
            }
            if !problems.is_empty() {
                return Err(MigrationError::Refused(problems));
            }
        }
        let jobs = self.jobs_of(&order);
        self.service.catalogue.create_jobs(&jobs, self.asked(&order, &jobs, extra)?).await?;
        for job in &jobs {
            emit(Event::MigrationQueued, &Fields::of_job(job), "migration queued");
            if let Some(approval) = &job.approval {
                let text = format!(
                    "asked for by {}; waits for somebody else's `keyferry job approve {}`",
                    approval.asked_by, job.id
                );
                emit(Event::MigrationAwaitingApproval, &Fields::of_job(job), &text);
            }
        }
        self.touch();
        Ok(jobs.into_iter().map(|job| job.id).collect())
    }

    /// Asks a job to stop: one that waits is dropped at once, one before its first purge is rolled back.
    ///
    /// # Errors
    /// `NoJob`, `Ended`, or `PastReturn` from the first purge on.
    pub async fn cancel(&self, id: &JobId) -> Result<(), MigrationError> {
        loop {
            let mut job = self.service.catalogue.job(id).await?.ok_or_else(|| MigrationError::NoJob(id.clone()))?;
            if job.state.is_past_return() && !job.state.is_final() {
                return Err(MigrationError::PastReturn(id.clone()));
            }
            if job.state.is_final() {
                return Err(MigrationError::Ended(id.clone(), job.state));
            }
            if job.state == JobState::Queued {
                job.state = job.state.next(JobEvent::Cancel).map_err(|e| MigrationError::Internal(e.to_string()))?;
                job.finished_at = Some(self.service.clock.now());
            } else {
                job.cancel_requested = true;
            }
            let action = if job.state.is_final() { "job.canceled" } else { "job.cancel" };
            let entry = Entry::new(self.service.clock.now(), self.actor.clone(), action).in_scope(&job.scope);
            match self.service.catalogue.amend_job(&job, Some(&entry.on(format!("job/{}", job.id)))).await {
                Ok(()) => {
                    if job.state == JobState::Canceled {
                        emit(Event::MigrationCanceled, &Fields::of_job(&job), "migration canceled before it began");
                    }
                    self.touch();
                    return Ok(());
                }
                Err(CatalogueError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Holds migrations in a scope; `now_too` also rolls back a running one before its first purge.
    ///
    /// # Errors
    /// When stores cannot be used.
    pub async fn hold(&self, hold: Hold, now_too: bool) -> Result<(), MigrationError> {
        self.service.catalogue.put_hold(&hold).await?;
        if now_too {
            for job in self.service.catalogue.jobs().await? {
                let runs = job.state != JobState::Queued && !job.state.is_final() && !job.state.is_past_return();
                if runs && hold.covers(&job.scope.region, &job.scope.account) {
                    match self.cancel(&job.id).await {
                        Ok(()) | Err(MigrationError::Ended(..) | MigrationError::PastReturn(_)) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        self.touch();
        Ok(())
    }

    /// Whether a queued job may start, given all jobs, oldest first.
    pub(super) fn may_start(job: &Job, all: &[Stored<Job>], barriers: &Barriers) -> bool {
        if barriers.keep(job) {
            return false;
        }
        all.iter().filter(|other| other.id != job.id && !other.state.is_final()).all(|other| {
            // What is kept from starting keeps nobody waiting, in a group neither: one account does not stop the others.
            let held = other.state == JobState::Queued && barriers.keep(other);
            let before_in_group =
                job.group.is_some() && other.group == job.group && other.group_index < job.group_index;
            let meets = other.scope == job.scope || other.instance == job.instance;
            let ahead =
                other.state != JobState::Queued || (other.scheduled_for, &other.id) < (job.scheduled_for, &job.id);
            held || !(before_in_group || (meets && ahead))
        })
    }

    /// What keeps queued jobs from starting, now.
    pub(super) async fn barriers(&self) -> Result<Barriers, MigrationError> {
        let closed = !self.settings().allowed_hours.contains(self.service.clock.now());
        Ok(Barriers { holds: self.service.catalogue.holds().await?, closed })
    }

    /// `scope`: that of the only account; of a group one that is busy waits, and the others go on.
    async fn busy(&self, scope: Option<&Scope>, order: &Order) -> Result<Option<Problem>, MigrationError> {
        let (jobs, barriers) = (self.service.catalogue.jobs().await?, self.barriers().await?);
        // One that is kept in the queue keeps nobody waiting.
        let waits = |job: &Job| job.state == JobState::Queued && barriers.keep(job);
        let other = jobs.iter().find(|job| {
            !job.state.is_final() && !waits(job) && (Some(&job.scope) == scope || job.instance == order.instance)
        });
        Ok(other.map(|job| {
            run_problem(
                ProblemCode::ScopeLocked,
                format!("{} ({}) is at work on this scope or instance", job.id, job.state.as_str()),
                "wait for it (`keyferry job watch`), or use --wait to queue behind it",
            )
        }))
    }

    /// Adds to the transaction that makes the jobs who asked for them.
    fn asked(&self, order: &Order, jobs: &[Job], mut transaction: Transaction) -> Result<Transaction, MigrationError> {
        let by = match &order.schedule {
            Some(name) => Actor::Schedule { name: name.clone() },
            None => self.actor.clone(),
        };
        let at = self.service.clock.now();
        if let Some(first) = jobs.first() {
            AskedRecord { by: by.clone(), at }.put(&first.id, &mut transaction)?;
        }
        let mut entry = Entry::new(at, by, "job.queued");
        if let [only] = jobs {
            entry = entry.in_scope(&only.scope);
        }
        entry.resources = jobs.iter().map(|job| format!("job/{}", job.id)).collect();
        entry.put(&mut transaction).map_err(CatalogueError::from)?;
        Ok(transaction)
    }

    fn jobs_of(&self, order: &Order) -> Vec<Job> {
        let now = self.service.clock.now();
        let window = jiff::SignedDuration::try_from(order.window).unwrap_or_default();
        let window_end = order.scheduled_for.checked_add(window).unwrap_or(jiff::Timestamp::MAX);
        let mut group = None;
        let mut jobs = Vec::new();
        let mut random = [0_u8; 4];
        self.service.random.fill(&mut random);
        // The IDs of a group rise with its order: those that take turns by ID would else wait for one another.
        let first = u32::from_be_bytes(random) >> 1;
        for (index, account) in (0_u32..).zip(&order.accounts) {
            let id = JobId::generate(now, first.saturating_add(index));
            if order.accounts.len() > 1 && group.is_none() {
                group = Some(id.clone());
            }
            let mut warnings = Vec::new();
            if !order.acknowledged {
                warnings.push(run_problem(
                    ProblemCode::TerraformUnchecked,
                    "nobody has acknowledged the Migration Instructions: a Terraform configuration that manages these \
                     resources may plan to replace them afterwards"
                        .to_owned(),
                    "see what `keyferry terraform check DIR --plan` finds, then set acknowledge = true",
                ));
            }
            jobs.push(Job {
                id,
                group: group.clone(),
                group_index: index,
                state: JobState::Queued,
                method: order.method,
                schedule: order.schedule.clone(),
                scope: Scope { region: order.region.clone(), account: account.clone() },
                instance: order.instance.clone(),
                selection: order.selection.clone(),
                rehearsal: order.rehearsal,
                scheduled_for: order.scheduled_for,
                window_end,
                soak: order.soak,
                soak_since: None,
                acknowledged: order.acknowledged,
                started_at: None,
                finished_at: None,
                locked_at: None,
                unlocked_at: None,
                keys_total: 0,
                keys_done: 0,
                secrets_total: 0,
                secrets_done: 0,
                plan_pages: 0,
                plan_digest: None,
                manifest: None,
                ending: None,
                cancel_requested: false,
                failure: None,
                left_behind: Vec::new(),
                warnings,
                approval: self.approval_needed(),
            });
        }
        jobs
    }
}

/// What keeps queued jobs from starting, now.
pub(super) struct Barriers {
    holds: Vec<Stored<Hold>>,
    closed: bool,
}

impl Barriers {
    /// A hold, an approval that is missing, or the hour of the day.
    fn keep(&self, job: &Job) -> bool {
        let at_another_hour = self.closed && job.method == Method::Scheduled;
        let held = || self.holds.iter().any(|hold| hold.covers(&job.scope.region, &job.scope.account));
        at_another_hour || job.awaits_approval() || held()
    }
}
