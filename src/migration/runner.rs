//! The runner: which jobs are worked on, and one job's way through its steps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::context::{Context, Progress, cut_short, figures, unreachable, window_ended};
use super::steps::{Ended, step};
use super::{MigrationError, Migrations};
use crate::catalogue::{CatalogueError, CleanUp, Lease};
use crate::keystore::KeystoreError;
use crate::model::{Ending, Failure, Job, JobEvent, JobId, JobState, ProblemCode};
use crate::observe::{Event, emit};
use crate::store::{Revision, StoreError, Stored};

/// How often the runner looks although nobody told it of a change.
const LOOK: Duration = Duration::from_millis(500);
/// Progress is told at least this often.
const TELL: Duration = Duration::from_secs(4);
/// Tries of a step before the first purge while the target cannot be reached.
const TRIES: u32 = 5;
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Seconds that a step may still take once the daemon stops. Cut then, it is as after a crash.
const PARTING: u32 = 10;

/// What another worker's lease looked like, and since when on our monotonic clock.
type Watched = BTreeMap<JobId, (Option<Revision>, Duration)>;

impl Migrations {
    /// Works on jobs until `stop`: then finishes the present step of each and returns. Jobs of an earlier process go on
    /// where they were.
    pub async fn run(&self, stop: CancellationToken) {
        let mut changes = self.changes();
        let mut active: BTreeMap<JobId, ()> = BTreeMap::new();
        let mut running: JoinSet<JobId> = JoinSet::new();
        let mut watched = Watched::new();
        let mut resumable = true;
        let heart = self.hearts.begin("the runner of migrations");
        while !stop.is_cancelled() {
            match self.pick(&active, &mut watched, resumable).await {
                Ok(jobs) => {
                    for (job, resumed) in jobs {
                        active.insert(job.id.clone(), ());
                        let (migrations, stop) = (self.clone(), stop.clone());
                        running.spawn(async move {
                            let id = job.id.clone();
                            migrations.work(job, resumed, stop).await;
                            id
                        });
                    }
                    // A second process is excluded by the engine: what runs and is not ours was left by an earlier one.
                    resumable = self.settings().exclusive;
                }
                Err(error) => tracing::warn!(%error, "jobs cannot be read; trying again"),
            }
            heart.beat();
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                Some(done) = running.join_next() => {
                    if let Ok(id) = done {
                        active.remove(&id);
                    }
                }
                _ = changes.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        // From here on each job speaks for itself.
        drop(heart);
        while running.join_next().await.is_some() {}
    }

    /// Jobs to work on now: queued ones whose turn it is, and ones left by a worker that is gone.
    async fn pick(
        &self,
        active: &BTreeMap<JobId, ()>,
        watched: &mut Watched,
        resumable: bool,
    ) -> Result<Vec<(Stored<Job>, bool)>, MigrationError> {
        let catalogue = &self.service.catalogue;
        let jobs = catalogue.jobs().await?;
        let barriers = self.barriers().await?;
        let mut picked = Vec::new();
        for job in jobs.iter().filter(|job| !job.state.is_final() && !active.contains_key(&job.id)) {
            if job.state == JobState::Queued {
                let over = self.service.clock.now() >= job.window_end;
                if over || Self::may_start(job, &jobs, &barriers) {
                    picked.push((job.clone(), false));
                    if !over {
                        break;
                    }
                }
            } else if resumable && self.settings().exclusive {
                picked.push((job.clone(), true));
            } else {
                let now = self.service.clock.monotonic();
                let renewal = catalogue.renewal(&job.id).await?;
                let seen = watched.entry(job.id.clone()).or_insert((renewal, now));
                if seen.0 != renewal {
                    *seen = (renewal, now);
                } else if now.saturating_sub(seen.1) >= self.settings().lease {
                    picked.push((job.clone(), true));
                }
            }
        }
        Ok(picked)
    }

    async fn work(&self, job: Stored<Job>, resumed: bool, stop: CancellationToken) {
        let id = job.id.clone();
        let lease = match self.service.catalogue.take_over(&id, &self.service.worker, self.service.clock.now()).await {
            Ok(lease) => lease,
            Err(error) => {
                tracing::info!(job = %id, %error, "the job was not taken over");
                // Who stops here is picked again at once.
                self.rest(&stop).await;
                return;
            }
        };
        let progress = Arc::new(Progress::default());
        // They end with this work, however it ends.
        let mut beside = JoinSet::new();
        beside.spawn(renew(self.clone(), lease.clone(), Arc::clone(&progress)));
        beside.spawn(tell(self.clone(), Arc::clone(&progress)));
        let ended = stop.clone();
        let mut context = Context { migrations: self.clone(), lease, job, stop, offer: None, progress, planned: None };
        if resumed {
            emit(Event::MigrationResumed, &context.fields(), "migration goes on after a restart");
        }
        if let Err(error) = context.drive().await {
            tracing::warn!(job = %id, %error, "the work on the job stops here");
            beside.abort_all();
            self.rest(&ended).await;
        }
        drop(beside);
        self.touch();
    }

    async fn rest(&self, stop: &CancellationToken) {
        let pause = self.settings().first_pause.saturating_mul(4);
        let _ = tokio::time::timeout(pause, stop.cancelled()).await;
    }
}

impl Context {
    /// Takes the job from step to step until it has ended, the daemon stops or the lease is lost.
    async fn drive(&mut self) -> Result<(), MigrationError> {
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
                Ok(Ended::Paused) | Err(MigrationError::Stopped | MigrationError::Ended(_)) => return Ok(()),
                Ok(Ended::Saved) => self.reload().await?,
                Ok(Ended::With(event)) => match self.transition(event, None).await {
                    Err(MigrationError::Ended(_)) => return Ok(()),
                    moved => moved?,
                },
                Err(error) if is_lost(&error) => return Err(error),
                Err(error) => {
                    let moved = match self.stop_for(error, tries).await {
                        Err(MigrationError::Ended(_)) => return Ok(()),
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
                return Err(MigrationError::Failed(window_ended(&self.job)));
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
                return Err(MigrationError::Ended(job.id.clone()));
            }
            if job.state == JobState::Queued && event == JobEvent::Done {
                job.started_at.get_or_insert(now);
            }
            let wanted = job.cancel_requested && job.state.next(JobEvent::Cancel).is_ok();
            let late = now >= job.window_end && job.state == JobState::Confirming;
            let (event, failure) = match event {
                JobEvent::Fail | JobEvent::Cancel | JobEvent::RehearsalProved => (event, failure.clone()),
                _ if wanted => (JobEvent::Cancel, None),
                _ if late => (JobEvent::Fail, Some(window_ended(job))),
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
                (JobEvent::Fail, Some(refused(&problems)))
            }
            MigrationError::Unproved(why) => (JobEvent::Fail, Some(unproved(why))),
            MigrationError::Keystore(error) if error.is_unavailable() => {
                (JobEvent::Fail, Some(unreachable(&error.to_string())))
            }
            MigrationError::Keystore(error @ KeystoreError::Full { .. }) => {
                (JobEvent::Fail, Some(full(&error.to_string())))
            }
            other => (JobEvent::Fail, Some(internal(&other.to_string()))),
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

/// So long a step may go on past the first purge without a resource more being done: longer than any batch, and than the
/// walk that shreds what was purged.
const STUCK: Duration = Duration::from_secs(900);

/// What a step has done, and when it last did more.
struct Pace {
    done: (u64, u64),
    since: Duration,
}

impl Pace {
    fn is_stuck(&mut self, past_return: bool, done: (u64, u64), now: Duration) -> bool {
        if done != self.done {
            (self.done, self.since) = (done, now);
        }
        past_return && now.saturating_sub(self.since) >= STUCK
    }
}

/// Tells how far the job is until told otherwise, also while a step is tried again and again.
async fn tell(migrations: Migrations, progress: Arc<Progress>) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.tick().await;
    let mut told = tokio::time::Instant::now();
    loop {
        seconds.tick().await;
        let Some((job, since)) = progress.phase() else { continue };
        let clock = &migrations.service.clock;
        progress.watch_window(&job, clock.now());
        if told.elapsed() >= TELL {
            told = tokio::time::Instant::now();
            let done = progress.done();
            let (percent, eta) = share(&job, done, clock.monotonic().saturating_sub(since));
            emit(Event::MigrationProgress, &figures(&job, done).estimate(percent, eta), "migration in progress");
        }
    }
}

/// Keeps the lease until told otherwise.
async fn renew(migrations: Migrations, lease: Lease, progress: Arc<Progress>) {
    let mut every = tokio::time::interval(migrations.settings().lease / 4);
    let mut count = 0_u64;
    loop {
        every.tick().await;
        count = count.saturating_add(1);
        if let Err(CatalogueError::LeaseLost(_)) = migrations.service.catalogue.renew(&lease, count).await {
            progress.lose_lease();
            return;
        }
    }
}

/// Writes the figures of the present phase for `job show`. A hint: a conflict is somebody else's newer word.
async fn record(migrations: &Migrations, lease: &Lease, done: (u64, u64)) {
    if let Ok(Some(mut job)) = migrations.service.catalogue.job_summary(lease.job()).await
        && (job.keys_done, job.secrets_done) != done
    {
        (job.keys_done, job.secrets_done) = done;
        if migrations.service.catalogue.save_job(lease, &job).await.is_ok() {
            migrations.touch();
        }
    }
}

/// What share of the phase is done (0 to 100), and the seconds left at the pace so far.
fn share(job: &Job, (keys, secrets): (u64, u64), spent: Duration) -> (u64, Option<u64>) {
    let total = job.keys_total.saturating_add(job.secrets_total);
    let done = keys.saturating_add(secrets).min(total);
    let percent = done.saturating_mul(100).checked_div(total).unwrap_or(0);
    let left = spent.as_secs().saturating_mul(total.saturating_sub(done)).checked_div(done);
    (percent, left)
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

fn refused(problems: &[crate::model::Problem]) -> Failure {
    let first = problems.first();
    Failure {
        code: first.map(|p| p.code.as_str().to_owned()).unwrap_or_default(),
        message: list(problems),
        remedy: first.map(|p| p.remedy.clone()).unwrap_or_default(),
    }
}

fn list(problems: &[crate::model::Problem]) -> String {
    let lines: Vec<String> = problems
        .iter()
        .take(20)
        .map(|p| match &p.resource {
            Some(resource) => format!("{resource}: {} ({})", p.message, p.code),
            None => format!("{} ({})", p.message, p.code),
        })
        .collect();
    lines.join("; ")
}

fn unproved(why: String) -> Failure {
    Failure {
        code: "VerificationFailed".to_owned(),
        message: why,
        remedy: "everything is as it was before; look into the instance's store before running it again".to_owned(),
    }
}

fn full(why: &str) -> Failure {
    Failure {
        code: ProblemCode::InsufficientSpace.as_str().to_owned(),
        message: why.to_owned(),
        remedy: "everything is as it was before; make room in the instance's token, or migrate fewer keys".to_owned(),
    }
}

fn internal(why: &str) -> Failure {
    Failure {
        code: "Internal".to_owned(),
        message: why.to_owned(),
        remedy: "everything is as it was before; look into the log around this event".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_step_past_the_first_purge_that_does_nothing_more_is_stuck() {
        let mut pace = Pace { done: (0, 0), since: Duration::ZERO };
        let late = STUCK.saturating_mul(3);
        assert!(!pace.is_stuck(false, (0, 0), late));
        assert!(!pace.is_stuck(true, (1, 0), late));
        assert!(!pace.is_stuck(true, (1, 0), late + STUCK / 2));
        assert!(pace.is_stuck(true, (1, 0), late + STUCK));
        assert!(!pace.is_stuck(true, (1, 1), late + STUCK));
    }
}
