//! The runner: which jobs are worked on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::heartbeat::{renew, tell};
use super::{MigrationError, Migrations};
use crate::model::{Job, JobId, JobState};
use crate::observe::{Event, emit};
use crate::store::{Revision, Stored};

/// How often the runner looks although nobody told it of a change.
const LOOK: Duration = Duration::from_millis(500);

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
        let ended = stop.clone();
        let mut context = Context::new(self.clone(), lease.clone(), job, stop);
        // They end with this work, however it ends.
        let mut beside = JoinSet::new();
        beside.spawn(renew(self.clone(), lease, Arc::clone(&context.progress)));
        beside.spawn(tell(self.clone(), Arc::clone(&context.progress)));
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
