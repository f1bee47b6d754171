//! Walking a plan in batches: parallel, bounded, paced, interruptible; and telling how far it is.

use std::future::Future;
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::{JoinError, JoinSet};

use super::MigrationError;
use super::context::Context;
use crate::catalogue::PlanItem;
use crate::model::{JobState, ResourceKind};

/// Resources in one batch: several transactions' worth, so that they share a sync, and so few that the batches under way
/// do not all wait for the same one.
const BATCH: usize = 50;
/// Versions in one batch, unless a single resource has more: a batch of largest values is held in memory.
const VERSIONS: usize = 128;

type Done = Result<Batch, MigrationError>;

/// Resources of one kind that lie together in a plan. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    plan: Arc<[PlanItem]>,
    range: Range<usize>,
}

impl Deref for Batch {
    type Target = [PlanItem];

    fn deref(&self) -> &[PlanItem] {
        self.plan.get(self.range.clone()).unwrap_or_default()
    }
}

/// How a plan is walked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    /// Resources in one batch.
    pub(super) size: usize,
    /// Versions in one batch, unless a single resource has more.
    pub(super) versions: usize,
    /// Batches under way at once.
    pub(super) at_once: usize,
    /// The last batch first: secrets before keys.
    pub(super) backwards: bool,
}

impl Context {
    /// Runs `work` on every batch of the plan, as [`Context::walk`] in the usual way.
    pub(super) async fn each_batch<F, Fut>(&self, plan: &Arc<[PlanItem]>, work: F) -> Result<(), MigrationError>
    where
        F: Fn(Timestamp, Batch) -> Fut,
        Fut: Future<Output = Result<(), MigrationError>> + Send + 'static,
    {
        self.walk(plan, self.usual_walk(), work).await
    }

    /// Forwards, in as many batches at once as there are workers.
    pub(super) fn usual_walk(&self) -> Walk {
        Walk { size: BATCH, versions: VERSIONS, at_once: self.migrations.settings().workers.max(1), backwards: false }
    }

    /// Runs `work` on every batch of the plan, each in a task of its own: batches of one kind in parallel, the next kind
    /// only after them. Stops at the first failure.
    pub(super) async fn walk<F, Fut>(&self, plan: &Arc<[PlanItem]>, walk: Walk, work: F) -> Result<(), MigrationError>
    where
        F: Fn(Timestamp, Batch) -> Fut,
        Fut: Future<Output = Result<(), MigrationError>> + Send + 'static,
    {
        let mut running = JoinSet::new();
        let walked = self.go_through(plan, walk, work, &mut running).await;
        // What a walk that failed has begun is over before a roll-back looks at what there is to undo.
        running.shutdown().await;
        walked
    }

    async fn go_through<F, Fut>(
        &self,
        plan: &Arc<[PlanItem]>,
        walk: Walk,
        work: F,
        running: &mut JoinSet<Done>,
    ) -> Result<(), MigrationError>
    where
        F: Fn(Timestamp, Batch) -> Fut,
        Fut: Future<Output = Result<(), MigrationError>> + Send + 'static,
    {
        // A rate means one batch after the other, small enough to be even.
        let walk = match usize::try_from(self.migrations.settings().max_rate) {
            Ok(rate) if rate > 0 => Walk { size: rate.min(walk.size), at_once: 1, ..walk },
            _ => walk,
        };
        let mut kind = None;
        for batch in batches(plan, walk) {
            let next = batch.first().map(|item| item.resource.kind());
            let room = if next == kind { walk.at_once.max(1) } else { 1 };
            kind = next;
            while running.len() >= room {
                self.settle(running.join_next().await).await?;
            }
            if let Err(end) = self.checkpoint().await {
                while matches!(end, MigrationError::Stopped) && !running.is_empty() {
                    self.settle(running.join_next().await).await?;
                }
                return Err(end);
            }
            let work = work(self.now(), batch.clone());
            running.spawn(async move { work.await.map(|()| batch) });
        }
        while !running.is_empty() {
            self.settle(running.join_next().await).await?;
        }
        Ok(())
    }

    async fn settle(&self, joined: Option<Result<Done, JoinError>>) -> Result<(), MigrationError> {
        let Some(joined) = joined else { return Ok(()) };
        let batch = joined.map_err(|e| MigrationError::Internal(e.to_string()))??;
        // Undoing is no progress, and takes no longer than it has to.
        if self.job.state != JobState::RollingBack {
            self.progress.add(&batch);
            self.pace(batch.len()).await;
        }
        Ok(())
    }

    /// Waits as long as `resources` take at the configured rate.
    async fn pace(&self, resources: usize) {
        let rate = self.migrations.settings().max_rate;
        if rate > 0 {
            let resources = u32::try_from(resources).unwrap_or(u32::MAX);
            tokio::time::sleep(Duration::from_secs_f64(f64::from(resources) / f64::from(rate))).await;
        }
    }

    /// Gets a transport offer from the target under this lease.
    pub(super) async fn make_offer(&mut self) -> Result<(), MigrationError> {
        let nonce = self.source()?.nonce(&self.job.id).await?;
        let offer = self.target()?.offer(&self.job.id, self.lease.token(), nonce, self.now()).await?;
        self.offer = Some(Arc::new(offer));
        Ok(())
    }
}

/// Cuts a plan into batches, each of one kind and of bounded size, in the order in which they are walked.
fn batches(plan: &Arc<[PlanItem]>, walk: Walk) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut start = 0_usize;
    for same in plan.chunk_by(|a, b| a.resource.kind() == b.resource.kind()) {
        let mut rest = same;
        while !rest.is_empty() {
            let mut versions = 0_usize;
            let fitting = rest.iter().take(walk.size).take_while(|item| {
                versions = versions.saturating_add(item.places.len());
                versions <= walk.versions
            });
            let size = fitting.count().max(1);
            let end = start.saturating_add(size);
            batches.push(Batch { plan: Arc::clone(plan), range: start..end });
            (start, rest) = (end, rest.get(size..).unwrap_or_default());
        }
    }
    if walk.backwards {
        batches.reverse();
    }
    batches
}

/// Splits a batch by kind.
pub(super) fn of_kind(batch: &[PlanItem], kind: ResourceKind) -> impl Iterator<Item = &PlanItem> {
    batch.iter().filter(move |item| item.resource.kind() == kind)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::keystore::Place;
    use crate::model::{Incarnation, MaterialId, ResourceId};

    fn item(n: usize, kind: ResourceKind, versions: usize) -> PlanItem {
        let incarnation: Incarnation = format!("11111111-1111-4111-8111-{n:012}").parse().unwrap();
        let place = |version: usize| {
            let version: MaterialId = format!("22222222-2222-4222-8222-{version:012}").parse().unwrap();
            Place { incarnation: incarnation.clone(), version }
        };
        let resource = match kind {
            ResourceKind::Key => ResourceId::Key(format!("key-{n}").parse().unwrap()),
            ResourceKind::Secret => ResourceId::Secret(format!("secret-{n}").parse().unwrap()),
        };
        PlanItem { resource, spec: None, places: (0..versions).map(place).collect(), entry: String::new() }
    }

    fn ranges(plan: &Arc<[PlanItem]>, walk: Walk) -> Vec<Range<usize>> {
        batches(plan, walk).into_iter().map(|batch| batch.range).collect()
    }

    #[test]
    fn batches_are_of_one_kind_bounded_and_all_of_the_plan() {
        let versions = [1, 1, 1, 9, 1, 3, 2, 1];
        let kind = |n: usize| if n < 5 { ResourceKind::Key } else { ResourceKind::Secret };
        let plan: Arc<[PlanItem]> = versions.iter().enumerate().map(|(n, v)| item(n, kind(n), *v)).collect();
        let walk = Walk { size: 2, versions: 4, at_once: 1, backwards: false };
        // The fourth has more versions than a batch may have, and the seventh does not fit in beside the sixth.
        let forwards = [0..2, 2..3, 3..4, 4..5, 5..6, 6..8];
        assert_eq!(ranges(&plan, walk), forwards);
        let mut backwards = ranges(&plan, Walk { backwards: true, ..walk });
        backwards.reverse();
        assert_eq!(backwards, forwards, "the same batches, the last one first");
        let walked: Vec<PlanItem> = batches(&plan, walk).iter().flat_map(|batch| batch.to_vec()).collect();
        assert_eq!(walked, *plan);
        let nothing: Arc<[PlanItem]> = Vec::new().into();
        assert!(batches(&nothing, walk).is_empty());
    }
}
