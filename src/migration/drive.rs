//! One job's way from step to step: what a step's end or error means for its state.

use std::sync::Arc;
use std::time::Duration;

use super::MigrationError;
use super::context::{Context, cut_short, figures};
use super::failures::{self, list};
use super::heartbeat::{Pace, record, share};
use super::steps::{Ended, step};
use crate::catalogue::{CatalogueError, CleanUp};
use crate::keystore::KeystoreError;
use crate::model::{Ending, Failure, JobEvent, JobState};
use crate::observe::{Event, emit};
use crate::store::StoreError;

/// Tries of a step before the first purge while the target cannot be reached.
const TRIES: u32 = 5;
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Seconds that a step may still take once the daemon stops. Cut then, it is as after a crash.
const PARTING: u32 = 10;

impl Context {
    /// Takes the job from step to step until it has ended, the daemon stops or the lease is lost.
    pub(super) async fn drive(&mut self) -> Result<(), MigrationError> {
        let mut tries = 0_u32;
        self.reload().await?;
        if self.job.state.is_final() {
            // Canceled since it was picked; who canceled it has told so.
            return Ok(());
        }
        while !self.job.state.is_final() {
            if self.stop.is_cancelled() {
                return Ok(());
            }
            let state = self.job.state;
            match self.one_step().await {
                Err(MigrationError::Stopped | MigrationError::Ended(..)) => return Ok(()),
                Ok(Ended::Saved) => self.reload().await?,
                Ok(Ended::With(event)) => match self.transition(event, None).await {
                    Err(MigrationError::Ended(..)) => return Ok(()),
                    moved => moved?,
                },
                Err(error) if is_lost(&error) => return Err(error),
                Err(error) => {
                    let moved = match self.stop_for(error, tries).await {
                        Err(MigrationError::Ended(..)) => return Ok(()),
                        moved => moved?,
                    };
                    if !moved {
                        let first = self.migrations.settings().first_pause;
                        let pause = first.saturating_mul(1 << tries.min(8)).min(LONGEST_PAUSE);
                        tries = tries.saturating_add(1);
                        let stop = self.stop.clone();
                        tokio::select! {
                            biased;
                            () = stop.cancelled() => return Ok(()),
                            () = tokio::time::sleep(pause) => {}
                        }
                        continue;
                    }
                }
            }
            if self.job.state != state {
                tries = 0;
                if state == JobState::Queued && self.job.state == JobState::Preflight {
                    emit(Event::MigrationStarted, &self.fields(), "migration started");
                }
                self.tell();
                self.migrations.touch();
            }
        }
        self.progress.leave();
        self.tell_end();
        Ok(())
    }

    async fn one_step(&mut self) -> Result<Ended, MigrationError> {
        self.progress.reset();
        if self.job.state == JobState::Queued {
            if self.now() >= self.job.window_end {
                return Err(MigrationError::Failed(failures::window_ended(&self.job)));
            }
            return Ok(Ended::With(JobEvent::Done));
        }
        self.checkpoint().await?;
        let step = step(self.job.state).ok_or_else(|| MigrationError::Internal("a state without a step".to_owned()))?;
        let mut recorder = tokio::time::interval(Duration::from_secs(1));
        recorder.tick().await;
        let (progress, migrations, lease) = (Arc::clone(&self.progress), self.migrations.clone(), self.lease.clone());
        let seen = (*self.job).clone();
        let heart = self.migrations.hearts.begin(&format!("{} in {}", self.job.id, self.job.state.as_str()));
        let (clock, start) = (Arc::clone(&self.migrations.service.clock), self.migrations.service.clock.monotonic());
        let mut pace = Pace { done: self.progress.done(), since: start };
        self.progress.enter(seen.clone(), start);
        let stop = self.stop.clone();
        let recording = async move {
            let mut stopping = 0_u32;
            loop {
                recorder.tick().await;
                // Before the first purge the window's end cuts a step that hangs; later only a restart does.
                if !pace.is_stuck(seen.state.is_past_return(), progress.done(), clock.monotonic()) {
                    heart.beat();
                }
                record(&migrations, &lease, progress.done()).await;
                if let Some(cut) = cut_short(&migrations, &seen).await {
                    return cut;
                }
                // A step ends in its own time, but not in that of an instance that does not answer.
                stopping = if stop.is_cancelled() { stopping.saturating_add(1) } else { 0 };
                if stopping > PARTING {
                    return MigrationError::Stopped;
                }
            }
        };
        tokio::select! {
            biased;
            ended = step.run(self) => ended,
            cut = recording => Err(cut),
        }
    }

    /// Makes a transition; at the brink of no return an operator's cancel that came first wins.
    async fn transition(&mut self, event: JobEvent, failure: Option<Failure>) -> Result<(), MigrationError> {
        let now = self.now();
        let (walked, done) = (self.job.state.walks_plan(), self.progress.done());
        self.update(move |job| {
            if job.state.is_final() {
                return Err(MigrationError::Ended(job.id.clone(), job.state));
            }
            if job.state == JobState::Queued && event == JobEvent::Done {
                job.started_at.get_or_insert(now);
            }
            let wanted = job.cancel_requested && job.state.next(JobEvent::Cancel).is_ok();
            let late = now >= job.window_end && job.state == JobState::Confirming;
            let (event, failure) = match event {
                JobEvent::Fail | JobEvent::Cancel | JobEvent::RehearsalProved => (event, failure.clone()),
                _ if wanted => (JobEvent::Cancel, None),
                _ if late => (JobEvent::Fail, Some(failures::window_ended(job))),
                _ => (event, failure.clone()),
            };
            job.state = job.state.next(event).map_err(|e| MigrationError::Internal(e.to_string()))?;
            match event {
                JobEvent::Fail => job.ending = Some(Ending::Failed),
                JobEvent::Cancel => job.ending = Some(Ending::Canceled),
                JobEvent::RehearsalProved => job.ending = Some(Ending::Rehearsed),
                _ => {}
            }
            job.failure = failure.or_else(|| job.failure.take());
            // A phase that goes through the plan begins at nothing; the others show what the last one did.
            if job.state.walks_plan() {
                (job.keys_done, job.secrets_done) = (0, 0);
            } else if walked {
                (job.keys_done, job.secrets_done) = done;
            }
            if job.state.is_final() {
                job.finished_at = Some(now);
            }
            Ok(())
        })
        .await
    }

    /// Decides what a failed step means: true when the job's state has moved, false when the step is to be tried again.
    async fn stop_for(&mut self, error: MigrationError, tries: u32) -> Result<bool, MigrationError> {
        self.reload().await?;
        let brief = error.to_string();
        let transient = is_transient(&error);
        if transient {
            let fields = self.fields();
            if matches!(error, MigrationError::Keystore(_)) {
                emit(Event::InstanceUnreachable, &fields, &brief);
            } else {
                tracing::warn!(job = %self.job.id, error = %brief, "a step is tried again");
            }
        }
        if self.job.state.is_past_return() || self.job.state == JobState::RollingBack {
            if !transient {
                tracing::error!(job = %self.job.id, error = %brief, "a step that must go on is tried again");
            }
            return Ok(false);
        }
        if transient && tries < TRIES && !self.job.cancel_requested && self.now() < self.job.window_end {
            return Ok(false);
        }
        let (event, failure) = match error {
            MigrationError::Interrupted => (JobEvent::Cancel, None),
            MigrationError::Failed(failure) => (JobEvent::Fail, Some(failure)),
            MigrationError::Refused(problems) => {
                let code = problems.first().map(|problem| problem.code.as_str()).unwrap_or_default();
                emit(Event::MigrationRefused, &self.fields().code(code), &list(&problems));
                (JobEvent::Fail, Some(failures::refused(&problems)))
            }
            MigrationError::Unproved(why) => (JobEvent::Fail, Some(failures::unproved(why))),
            MigrationError::Keystore(error) if error.is_unavailable() => {
                (JobEvent::Fail, Some(failures::unreachable(&error.to_string())))
            }
            MigrationError::Keystore(error @ KeystoreError::Full { .. }) => {
                (JobEvent::Fail, Some(failures::full(&error.to_string())))
            }
            MigrationError::Keystore(error @ KeystoreError::Taken { .. }) => {
                (JobEvent::Fail, Some(failures::taken(&self.job.instance, &error.to_string())))
            }
            other => (JobEvent::Fail, Some(failures::internal(&other.to_string()))),
        };
        let holds_nothing = !self.job.state.may_hold_lock();
        if holds_nothing && self.offer.is_some() {
            // The offer left a trace in the target although nothing was staged.
            let clean_up = CleanUp {
                job: self.job.id.clone(),
                instance: self.job.instance.clone(),
                region: self.job.scope.region.clone(),
                token: self.lease.token(),
            };
            self.migrations.service.catalogue.add_clean_up(&self.lease, &clean_up).await?;
        }
        self.transition(event, failure).await?;
        Ok(true)
    }

    fn tell(&self) {
        let done = (self.job.keys_done, self.job.secrets_done);
        let (percent, _) = share(&self.job, done, Duration::ZERO);
        emit(Event::MigrationProgress, &figures(&self.job, done).estimate(percent, None), "migration in progress");
    }

    fn tell_end(&self) {
        let fields = figures(&self.job, (self.job.keys_done, self.job.secrets_done));
        match self.job.state {
            JobState::Complete => emit(Event::MigrationComplete, &fields, "Migration Complete"),
            JobState::Canceled => emit(Event::MigrationCanceled, &fields, "migration canceled"),
            JobState::Rehearsed => emit(Event::MigrationRehearsed, &fields, "rehearsal held; everything is as before"),
            _ => {
                let failure = self.job.failure.as_ref();
                let fields = fields.code(failure.map(|f| f.code.clone()).unwrap_or_default());
                emit(Event::MigrationFailed, &fields, failure.map_or("migration failed", |f| f.message.as_str()));
            }
        }
    }
}

fn is_lost(error: &MigrationError) -> bool {
    matches!(
        error,
        MigrationError::Catalogue(CatalogueError::LeaseLost(_))
            | MigrationError::Keystore(KeystoreError::Fenced { .. })
    )
}

fn is_transient(error: &MigrationError) -> bool {
    match error {
        MigrationError::Keystore(error) => error.is_unavailable(),
        MigrationError::Catalogue(
            CatalogueError::Conflict | CatalogueError::Unknown | CatalogueError::Store(StoreError::Unavailable(_)),
        ) => true,
        _ => false,
    }
}
