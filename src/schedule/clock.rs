//! What wakes the decision, and what is done about it.
//!
//! tokio-cron-scheduler only wakes: it fires early, twice, and forgets what was missed while the process was down. What is
//! due is decided from stored state by the wall clock, and an instant is noted as run in the very transaction that makes
//! its jobs, so that neither a second tick nor a second process can run it again.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Mutex, Notify};
use tokio_cron_scheduler::{Job as Tick, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;

use super::{
    AllowedHours, Book, Circumstances, Decision, Downtime, MissReason, Outcome, ScheduleError, StoredSchedule, decide,
    upcoming,
};
use crate::catalogue::{CatalogueError, Hold};
use crate::migration::{MigrationError, Migrations, Order};
use crate::model::{JobId, Method, Problem, ScheduleEntry};
use crate::observe::{Event, Fields, emit};
use crate::store::Stored;

/// How long ahead a run is told, and how that is said; the last that fits is told.
pub(super) const LEADS: [(Duration, &str); 2] =
    [(Duration::from_secs(24 * 3600), "within a day"), (Duration::from_secs(3600), "within an hour")];

/// Runs what is due.
pub struct ScheduleClock {
    book: Book,
    migrations: Migrations,
    allowed: RwLock<AllowedHours>,
    wake: Arc<Notify>,
    memory: Mutex<Memory>,
}

impl ScheduleClock {
    /// A clock over these schedules. Reads when the last daemon looked, so that what it missed goes by policy.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn new(book: Book, migrations: Migrations, allowed: AllowedHours) -> Result<Self, ScheduleError> {
        let clock = Arc::clone(&migrations.service().clock);
        let now = clock.now();
        let downtime = book.last_look().await?.map(|from| Downtime { from, to: now });
        let memory = Memory { downtime, looked: None, told: HashMap::new(), wall: now, monotonic: clock.monotonic() };
        Ok(Self {
            book,
            migrations,
            allowed: RwLock::new(allowed),
            wake: Arc::new(Notify::new()),
            memory: Mutex::new(memory),
        })
    }

    /// Replaces the hours in which migrations may start.
    pub fn reload(&self, allowed: AllowedHours) {
        *self.allowed.write().unwrap_or_else(PoisonError::into_inner) = allowed;
        self.wake();
    }

    /// Looks again at once: a schedule, a hold or the configuration changed.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Runs what is due until `stop`; a decision under way is finished first.
    ///
    /// # Errors
    /// When the scheduler that wakes it cannot be started.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), JobSchedulerError> {
        let mut scheduler = JobScheduler::new().await?;
        let wake = Arc::clone(&self.wake);
        scheduler.add(Tick::new_repeated(TICK, move |_, _| wake.notify_one())?).await?;
        scheduler.start().await?;
        self.wake();
        let heart = self.migrations.heartbeats().begin("the clock of the schedules");
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = self.wake.notified() => {
                    if let Err(error) = self.tick().await {
                        tracing::error!(%error, "schedules could not be looked at; trying again");
                    }
                    heart.beat();
                }
            }
        }
        scheduler.shutdown().await
    }

    /// Looks at every schedule once, now.
    ///
    /// # Errors
    /// When the store cannot be read or refuses; nothing that is due is lost by it.
    pub async fn tick(&self) -> Result<(), ScheduleError> {
        let mut memory = self.memory.lock().await;
        let service = self.migrations.service();
        let now = service.clock.now();
        memory.check_step(now, service.clock.monotonic());
        let holds = service.catalogue.holds().await.map_err(into_store)?;
        let allowed = self.allowed.read().unwrap_or_else(PoisonError::into_inner).clone();
        for schedule in self.book.list().await? {
            let held = is_held(&holds, &schedule.entry);
            let around = Circumstances { now, allowed: &allowed, held, downtime: memory.downtime };
            self.settle(schedule, &around, &mut memory).await?;
        }
        if memory.looked.is_none_or(|looked| (now.duration_since(looked)).abs() >= LOOK_EVERY) {
            self.book.note_look(now).await?;
            memory.looked = Some(now);
        }
        Ok(())
    }

    /// Acts on decisions about one schedule until there is nothing to do about it now.
    async fn settle(
        &self,
        schedule: Stored<StoredSchedule>,
        around: &Circumstances<'_>,
        memory: &mut Memory,
    ) -> Result<(), ScheduleError> {
        let name = schedule.entry.name.clone();
        let mut schedule = schedule;
        for _ in 0..DECISIONS {
            match decide(&schedule, around) {
                Decision::Fire { instant, .. } => {
                    if !self.fire(schedule, instant, around.now).await? {
                        return Ok(());
                    }
                }
                Decision::Miss { instant, reason } => {
                    if self.note(&mut schedule, instant, Outcome::Missed, around.now).await? {
                        tell_missed(&schedule, instant, reason);
                    }
                }
                Decision::Skip { instant } => {
                    if self.note(&mut schedule, instant, Outcome::Skipped, around.now).await? {
                        let text = format!("the run of {instant} passed while the schedule was paused");
                        emit(Event::ScheduleSkipped, &fields(&schedule.entry), &text);
                    }
                }
                Decision::Wait { .. } | Decision::Nothing => {
                    memory.tell_upcoming(&schedule, around.now);
                    return Ok(());
                }
            }
            match self.book.get(&name).await {
                Ok(again) => schedule = again,
                Err(ScheduleError::Unknown(_)) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn note(
        &self,
        schedule: &mut Stored<StoredSchedule>,
        instant: Timestamp,
        outcome: Outcome,
        now: Timestamp,
    ) -> Result<bool, ScheduleError> {
        schedule.note(instant, outcome, now);
        self.book.save(schedule).await
    }

    /// False: nothing came of it, the next tick tries again.
    async fn fire(
        &self,
        mut schedule: Stored<StoredSchedule>,
        instant: Timestamp,
        now: Timestamp,
    ) -> Result<bool, ScheduleError> {
        schedule.note(instant, Outcome::Fired, now);
        let noted = Book::replacing(&schedule)?;
        let migrations = self.migrations.asked_by(schedule.added_by.clone());
        match migrations.submit(order(&schedule.entry, instant), noted).await {
            Ok(jobs) => {
                let text = format!("the run of {instant} is due: {}", list(&jobs));
                let mut fields = fields(&schedule.entry);
                fields.job = jobs.first().map(ToString::to_string);
                emit(Event::ScheduleFired, &fields, &text);
                self.remember_job(&schedule.entry.name, jobs.into_iter().next()).await?;
                Ok(true)
            }
            Err(MigrationError::Refused(problems)) => {
                self.refuse(&schedule.entry.name, instant, now, &problems).await?;
                Ok(true)
            }
            // Somebody else changed the schedule, or ran the instant: the next look tells.
            Err(MigrationError::Catalogue(CatalogueError::Conflict | CatalogueError::Unknown)) => Ok(true),
            Err(error) => {
                tracing::error!(%error, schedule = %schedule.entry.name, "a due run could not be started; trying again");
                Ok(false)
            }
        }
    }

    /// A refused run is the instant's outcome: without a change it would be refused again each second.
    async fn refuse(
        &self,
        name: &str,
        instant: Timestamp,
        now: Timestamp,
        problems: &[Problem],
    ) -> Result<(), ScheduleError> {
        let mut schedule = match self.book.get(name).await {
            Err(ScheduleError::Unknown(_)) => return Ok(()),
            found => found?,
        };
        if self.note(&mut schedule, instant, Outcome::Missed, now).await? {
            for problem in problems {
                let fields = fields(&schedule.entry).code(problem.code.as_str());
                let text = format!("the run of {instant} is refused: {} {}", problem.message, problem.remedy);
                emit(Event::MigrationRefused, &fields, &text);
            }
        }
        Ok(())
    }

    /// For `schedule list`; the job names its schedule too, so nothing hangs on it.
    async fn remember_job(&self, name: &str, job: Option<JobId>) -> Result<(), ScheduleError> {
        match self.book.get(name).await {
            Ok(mut schedule) => {
                schedule.last_job = job;
                self.book.save(&schedule).await.map(|_| ())
            }
            Err(ScheduleError::Unknown(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

const TICK: Duration = Duration::from_secs(1);
const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(10);
/// A wall clock that leaves the monotonic one by more has been set.
const STEP: SignedDuration = SignedDuration::from_secs(5);
/// Decisions about one schedule in one look; the rest waits for the next.
const DECISIONS: usize = 8;

struct Memory {
    downtime: Option<Downtime>,
    looked: Option<Timestamp>,
    told: HashMap<String, (Timestamp, &'static str)>,
    wall: Timestamp,
    monotonic: Duration,
}

impl Memory {
    fn check_step(&mut self, wall: Timestamp, monotonic: Duration) {
        let passed = SignedDuration::try_from(monotonic.saturating_sub(self.monotonic)).unwrap_or_default();
        let step = wall.duration_since(self.wall).saturating_sub(passed);
        if step.abs() > STEP {
            let text = format!("the wall clock went from {} to {wall} by a step of {} s", self.wall, step.as_secs());
            emit(Event::ClockStepped, &Fields::new(), &text);
        }
        (self.wall, self.monotonic) = (wall, monotonic);
    }

    fn tell_upcoming(&mut self, schedule: &StoredSchedule, now: Timestamp) {
        let ahead = LEADS.iter().rev().find_map(|(lead, ahead)| Some((upcoming(schedule, now, *lead)?, *ahead)));
        let Some((instant, ahead)) = ahead else {
            return;
        };
        if self.told.insert(schedule.entry.name.clone(), (instant, ahead)) != Some((instant, ahead)) {
            let text = format!("a migration into {} is due {ahead}, at {instant}", schedule.entry.instance);
            emit(Event::ScheduleUpcoming, &fields(&schedule.entry), &text);
        }
    }
}

/// Whether nobody of the group could run: an account of several that is held waits in the queue, and keeps no other.
fn is_held(holds: &[Stored<Hold>], entry: &ScheduleEntry) -> bool {
    entry.accounts.iter().all(|account| holds.iter().any(|hold| hold.covers(&entry.region, account)))
}

fn order(entry: &ScheduleEntry, instant: Timestamp) -> Order {
    Order {
        region: entry.region.clone(),
        accounts: entry.accounts.clone(),
        instance: entry.instance.clone(),
        selection: entry.resources.clone(),
        rehearsal: entry.rehearse,
        acknowledged: entry.acknowledge,
        method: Method::Scheduled,
        schedule: Some(entry.name.clone()),
        scheduled_for: instant,
        window: entry.window,
        queue: true,
        soak: entry.soak,
    }
}

fn fields(entry: &ScheduleEntry) -> Fields {
    let fields = Fields::new().schedule(&entry.name).region(&entry.region).instance(&entry.instance);
    match entry.accounts.as_slice() {
        [only] => fields.account(only),
        _ => fields,
    }
}

fn tell_missed(schedule: &StoredSchedule, instant: Timestamp, reason: MissReason) {
    let mut fields = fields(&schedule.entry);
    fields.code = reason.code().map(|code| code.as_str().to_owned());
    emit(Event::ScheduleMissed, &fields, &format!("the run of {instant} did not happen because {}", reason.as_str()));
}

fn list(jobs: &[JobId]) -> String {
    jobs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn into_store(error: CatalogueError) -> ScheduleError {
    ScheduleError::Store(match error {
        CatalogueError::Store(error) => error,
        other => crate::store::StoreError::Unavailable(other.to_string()),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
#[path = "clock_tests.rs"]
mod tests;
