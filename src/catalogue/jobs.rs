//! Jobs, the lease to work on one, plan pages, clean-ups and holds.

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Catalogue, CatalogueError, paths};
use crate::audit::{Actor, Entry};
use crate::keystore::Place;
use crate::model::{AccountId, InstanceId, Job, JobId, KeySpec, LeftBehind, RegionId, ResourceId};
use crate::observe::failpoint::Failpoint;
use crate::store::{Compare, MAX_OPERATIONS, Record, Revision, Stored, Transaction, get_record, scan_records};

/// Resources on one page of a plan: a page stays far below the size limit of a value.
pub const PLAN_PAGE: usize = 40;
/// Pages under way at once.
const AT_ONCE: usize = 64;

impl Record for Job {
    const KIND: &'static str = "job";
    const SCHEMA: u16 = 1;
}

/// Who works on a job. Written only at take-over: its revision is the fencing token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct OwnerRecord {
    worker: String,
    since: Timestamp,
}

impl Record for OwnerRecord {
    const KIND: &'static str = "job owner";
    const SCHEMA: u16 = 1;
}

/// Moves while its worker lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RenewalRecord {
    count: u64,
}

impl Record for RenewalRecord {
    const KIND: &'static str = "lease renewal";
    const SCHEMA: u16 = 1;
}

/// The right to work on a job, as long as nobody took it over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    job: JobId,
    token: u64,
}

impl Lease {
    /// The job.
    #[must_use]
    pub const fn job(&self) -> &JobId {
        &self.job
    }

    /// The fencing token: the revision of the owner record.
    #[must_use]
    pub const fn token(&self) -> u64 {
        self.token
    }
}

/// One resource of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanItem {
    /// The resource.
    pub resource: ResourceId,
    /// Its spec, for a key.
    pub spec: Option<KeySpec>,
    /// Its versions.
    pub places: Vec<Place>,
    /// SHA-256 of the catalogue entry as locked, hexadecimal: what a roll-back must restore.
    pub entry: String,
}

/// One page of a plan, in the order of copying.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanPage {
    /// At most [`PLAN_PAGE`] resources.
    pub items: Vec<PlanItem>,
}

impl Record for PlanPage {
    const KIND: &'static str = "plan page";
    const SCHEMA: u16 = 1;
}

/// Some of the resources that full migration leaves where they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftPage {
    /// The resources with reasons.
    pub items: Vec<LeftBehind>,
}

impl Record for LeftPage {
    const KIND: &'static str = "left-behind page";
    const SCHEMA: u16 = 1;
}

/// A target that still has to forget a rolled-back job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanUp {
    /// The job.
    pub job: JobId,
    /// The target.
    pub instance: InstanceId,
    /// The job's region: its shared keystore closes the session too.
    pub region: RegionId,
    /// The token of the roll-back.
    pub token: u64,
}

impl Record for CleanUp {
    const KIND: &'static str = "clean-up";
    const SCHEMA: u16 = 1;
}

/// No job in scope starts while it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Every region when absent.
    pub region: Option<RegionId>,
    /// Every account when absent.
    pub account: Option<AccountId>,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

impl Record for Hold {
    const KIND: &'static str = "hold";
    const SCHEMA: u16 = 1;
}

impl Hold {
    /// Whether it covers a scope.
    #[must_use]
    pub fn covers(&self, region: &RegionId, account: &AccountId) -> bool {
        self.region.as_ref().is_none_or(|r| r == region) && self.account.as_ref().is_none_or(|a| a == account)
    }

    fn path(&self) -> Vec<u8> {
        let text = |part: Option<&str>| part.unwrap_or("*").to_owned();
        paths::hold(&format!(
            "{}/{}",
            text(self.region.as_ref().map(RegionId::as_str)),
            text(self.account.as_ref().map(AccountId::as_str))
        ))
    }
}

impl Catalogue {
    /// Records new jobs, all or none (at most 100), comparing `extra` (a schedule's instant, say).
    ///
    /// # Errors
    /// `Conflict` when an ID exists or `extra` does not hold.
    pub async fn create_jobs(&self, jobs: &[Job], extra: Transaction) -> Result<(), CatalogueError> {
        let mut transaction = extra;
        for job in jobs {
            transaction.create(&paths::job(&job.id), job)?;
        }
        self.commit_at(Failpoint::JobCreate, transaction).await.map(|_| ())
    }

    /// One job.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn job(&self, id: &JobId) -> Result<Option<Stored<Job>>, CatalogueError> {
        let Some(mut job) = get_record::<Job>(self.store().as_ref(), &paths::job(id)).await? else { return Ok(None) };
        if job.state.is_final() || job.plan_digest.is_some() {
            let left: Vec<(Vec<u8>, Stored<LeftPage>)> =
                scan_records(self.store().as_ref(), &paths::left(id), None, usize::MAX).await?;
            job.left_behind = left.into_iter().flat_map(|(_, page)| page.into_value().items).collect();
        }
        Ok(Some(job))
    }

    /// Every job, oldest first, without what it left behind.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn jobs(&self) -> Result<Vec<Stored<Job>>, CatalogueError> {
        let found = scan_records(self.store().as_ref(), paths::JOBS, None, usize::MAX).await?;
        Ok(found.into_iter().map(|(_, job)| job).collect())
    }

    /// Whether a job exists and has not ended.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn job_runs(&self, id: &JobId) -> Result<bool, CatalogueError> {
        Ok(get_record::<Job>(self.store().as_ref(), &paths::job(id)).await?.is_some_and(|job| !job.state.is_final()))
    }

    /// Takes over a job: from here on only this lease may work on it.
    ///
    /// # Errors
    /// `Conflict` when another worker was faster.
    pub async fn take_over(&self, id: &JobId, worker: &str, now: Timestamp) -> Result<Lease, CatalogueError> {
        let path = paths::owner(id);
        let owner = OwnerRecord { worker: worker.to_owned(), since: now };
        let mut transaction = Transaction::new();
        match get_record::<OwnerRecord>(self.store().as_ref(), &path).await? {
            Some(old) => {
                transaction.compare(Compare::Revision(path.clone(), old.revision()));
                transaction.overwrite(&path, &owner)?;
            }
            None => {
                transaction.create(&path, &owner)?;
            }
        }
        let entry = Entry::new(now, Actor::Daemon, "job.take_over").on(format!("job/{id}")).detail(worker);
        entry.put(&mut transaction)?;
        let Revision(token) = self.commit_at(Failpoint::JobTakeOver, transaction).await?;
        Ok(Lease { job: id.clone(), token })
    }

    /// One job without what it left behind.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn job_summary(&self, id: &JobId) -> Result<Option<Stored<Job>>, CatalogueError> {
        Ok(get_record(self.store().as_ref(), &paths::job(id)).await?)
    }

    /// Whether nobody has taken the lease over.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn lease_holds(&self, lease: &Lease) -> Result<bool, CatalogueError> {
        let owner = self.store().get(&paths::owner(lease.job())).await?;
        Ok(owner.is_some_and(|owner| owner.revision == Revision(lease.token())))
    }

    /// Shows that the lease's worker lives.
    ///
    /// # Errors
    /// `LeaseLost` when the lease was taken over.
    pub async fn renew(&self, lease: &Lease, count: u64) -> Result<(), CatalogueError> {
        let mut transaction = Transaction::new();
        lease.apply(&mut transaction);
        transaction.overwrite(&paths::renewal(lease.job()), &RenewalRecord { count })?;
        self.commit_transaction(transaction).await.map(|_| ()).map_err(|error| lost(error, lease))
    }

    /// The revision of the newest renewal, to be watched on the watcher's own monotonic clock.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn renewal(&self, id: &JobId) -> Result<Option<Revision>, CatalogueError> {
        Ok(self.store().get(&paths::renewal(id)).await?.map(|found| found.revision))
    }

    /// Writes the job's new state.
    ///
    /// # Errors
    /// `Conflict` when the job changed or the lease was lost.
    pub async fn save_job(&self, lease: &Lease, job: &Stored<Job>) -> Result<(), CatalogueError> {
        let mut transaction = Transaction::new();
        lease.apply(&mut transaction);
        transaction.replace(&paths::job(&job.id), job)?;
        self.commit_at(Failpoint::Journal(job.state), transaction).await.map(|_| ())
    }

    /// Replaces the plan and what is left behind.
    ///
    /// # Errors
    /// `Conflict` when the lease was lost.
    pub async fn save_plan(
        &self,
        lease: &Lease,
        items: &[PlanItem],
        left: &[LeftBehind],
    ) -> Result<u32, CatalogueError> {
        self.drop_plan(lease).await?;
        let mut transactions = Vec::new();
        let mut pages = 0_u32;
        for chunk in items.chunks(PLAN_PAGE) {
            let mut transaction = Transaction::new();
            lease.apply(&mut transaction);
            transaction.create(&paths::plan_page(lease.job(), pages), &PlanPage { items: chunk.to_vec() })?;
            transactions.push(transaction);
            pages = pages.saturating_add(1);
        }
        for (page, chunk) in (0_u32..).zip(left.chunks(PLAN_PAGE)) {
            let mut transaction = Transaction::new();
            lease.apply(&mut transaction);
            transaction.create(&paths::left_page(lease.job(), page), &LeftPage { items: chunk.to_vec() })?;
            transactions.push(transaction);
        }
        // Many at a time, so that they share syncs: a plan counts only once the job names its digest.
        let commits: Vec<_> = transactions.into_iter().map(|t| self.commit_at(Failpoint::PlanSave, t)).collect();
        stream::iter(commits).buffered(AT_ONCE).try_for_each(|_| async { Ok(()) }).await?;
        Ok(pages)
    }

    /// The whole plan, in the order of copying.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn plan(&self, id: &JobId) -> Result<Vec<PlanItem>, CatalogueError> {
        let pages: Vec<(Vec<u8>, Stored<PlanPage>)> =
            scan_records(self.store().as_ref(), &paths::plan(id), None, usize::MAX).await?;
        Ok(pages.into_iter().flat_map(|(_, page)| page.into_value().items).collect())
    }

    /// Records that a target has to forget a job, together with the job's new state.
    ///
    /// # Errors
    /// `Conflict` when the lease was lost.
    pub async fn add_clean_up(&self, lease: &Lease, clean_up: &CleanUp) -> Result<(), CatalogueError> {
        let mut transaction = Transaction::new();
        lease.apply(&mut transaction);
        transaction.overwrite(&paths::clean_up(&clean_up.job), clean_up)?;
        self.commit_at(Failpoint::CleanUpAdd, transaction).await.map(|_| ())
    }

    /// Clean-ups that wait.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn clean_ups(&self) -> Result<Vec<Stored<CleanUp>>, CatalogueError> {
        let found = scan_records(self.store().as_ref(), paths::CLEAN_UPS, None, usize::MAX).await?;
        Ok(found.into_iter().map(|(_, record)| record).collect())
    }

    /// The target has forgotten.
    ///
    /// # Errors
    /// `Conflict` when the record changed.
    pub async fn remove_clean_up(&self, clean_up: &Stored<CleanUp>) -> Result<(), CatalogueError> {
        let mut transaction = Transaction::new();
        transaction.remove(&paths::clean_up(&clean_up.job), clean_up);
        self.commit_at(Failpoint::CleanUpRemove, transaction).await.map(|_| ())
    }

    /// Puts a hold; one of the same coverage is replaced.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn put_hold(&self, hold: &Hold) -> Result<(), CatalogueError> {
        let mut transaction = Transaction::new();
        transaction.overwrite(&hold.path(), hold)?;
        self.commit_transaction(transaction).await.map(|_| ())
    }

    /// Holds that stand.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn holds(&self) -> Result<Vec<Stored<Hold>>, CatalogueError> {
        let found = scan_records(self.store().as_ref(), paths::HOLDS, None, usize::MAX).await?;
        Ok(found.into_iter().map(|(_, record)| record).collect())
    }

    /// Lifts a hold.
    ///
    /// # Errors
    /// `Conflict` when it changed.
    pub async fn remove_hold(&self, hold: &Stored<Hold>) -> Result<(), CatalogueError> {
        let mut transaction = Transaction::new();
        transaction.remove(&hold.path(), hold);
        self.commit_transaction(transaction).await.map(|_| ())
    }

    async fn drop_plan(&self, lease: &Lease) -> Result<(), CatalogueError> {
        for prefix in [paths::plan(lease.job()), paths::left(lease.job())] {
            loop {
                let end = crate::store::prefix_end(&prefix);
                let page = self.store().scan(&prefix, end.as_deref(), MAX_OPERATIONS).await?;
                if page.entries.is_empty() {
                    break;
                }
                let mut transaction = Transaction::new();
                lease.apply(&mut transaction);
                for (key, _) in page.entries {
                    transaction.delete(key);
                }
                self.commit_transaction(transaction).await?;
            }
        }
        Ok(())
    }
}

fn lost(error: CatalogueError, lease: &Lease) -> CatalogueError {
    match error {
        CatalogueError::Conflict => CatalogueError::LeaseLost(lease.job.clone()),
        other => other,
    }
}
