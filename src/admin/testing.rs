//! An admin server on a socket of its own, over a store in memory and no keystore: for tests here and of the CLI.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{AccountName, AdminServer, State};
use crate::catalogue::Catalogue;
use crate::kms::{InstanceFacts, Keystores, RegionFacts, Service};
use crate::migration::{Migrations, Settings};
use crate::model::{Job, JobId, JobState, Method, Scope, Selection, SystemClock, SystemRandom};
use crate::schedule::Book;
use crate::store::Transaction;
use crate::store::memory::MemoryStore;

pub(crate) const REGION: &str = "cn-hangzhou";
pub(crate) const ACCOUNT: &str = "1000000000000001";
pub(crate) const INSTANCE: &str = "kst-hzz1";

/// A running server.
pub(crate) struct TestDaemon {
    pub(crate) socket: PathBuf,
    pub(crate) migrations: Migrations,
    pub(crate) state: State,
    pub(crate) stop: CancellationToken,
    pub(crate) served: tokio::task::JoinHandle<()>,
    _directory: TempDir,
}

impl TestDaemon {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("admin.sock");
        let store: crate::store::SharedStore = Arc::new(MemoryStore::new());
        let clock = Arc::new(SystemClock::default());
        let facts = InstanceFacts {
            id: INSTANCE.parse().unwrap(),
            region: REGION.parse().unwrap(),
            owner: ACCOUNT.parse().unwrap(),
            hardware: false,
            enabled: true,
            key_quota: 1000,
            secret_quota: 1000,
            expires: None,
            auto_renew: false,
            shared_with: std::collections::BTreeSet::new(),
        };
        let region = RegionFacts { id: REGION.parse().unwrap(), service_keys: Vec::new() };
        let service = Service {
            catalogue: Catalogue::new(Arc::clone(&store)),
            keystores: Arc::new(Keystores::new(BTreeMap::new(), BTreeMap::new(), vec![facts], vec![region])),
            rotators: Arc::default(),
            clock: clock.clone(),
            random: Arc::new(SystemRandom),
            worker: "test".into(),
        };
        let migrations = Migrations::new(service, Settings::default());
        let book = Book::new(store, clock);
        let accounts = ["1000000000000001", "1000000000000002"]
            .map(|id| AccountName { id: id.parse().unwrap(), name: String::new() })
            .to_vec();
        let stop = CancellationToken::new();
        let state = State::new(migrations.clone(), book, accounts, stop.clone());
        let server = AdminServer::bind(&socket, None).unwrap();
        let serving = state.clone();
        let served = tokio::spawn(async move { server.serve(serving).await.unwrap() });
        Self { socket, migrations, state, stop, served, _directory: directory }
    }

    /// Records a job in some state.
    pub(crate) async fn job(&self, state: JobState) -> JobId {
        let job = job(state);
        self.migrations.service().catalogue.create_jobs(std::slice::from_ref(&job), Transaction::new()).await.unwrap();
        job.id
    }

    /// Records a group with one job an account, in these states.
    pub(crate) async fn group(&self, states: &[JobState]) -> Vec<JobId> {
        let mut jobs: Vec<Job> = states.iter().map(|state| job(*state)).collect();
        jobs.sort_by(|a, b| a.id.cmp(&b.id));
        let group = jobs[0].id.clone();
        for (index, (job, state)) in (0_u32..).zip(jobs.iter_mut().zip(states)) {
            (job.group, job.group_index, job.state) = (Some(group.clone()), index, *state);
            job.finished_at = state.is_final().then(jiff::Timestamp::now);
            job.scope.account = format!("{:016}", 1_000_000_000_000_001_u64 + u64::from(index)).parse().unwrap();
        }
        self.migrations.service().catalogue.create_jobs(&jobs, Transaction::new()).await.unwrap();
        jobs.into_iter().map(|job| job.id).collect()
    }

    /// Ends a job as its preflight does when it refuses.
    pub(crate) async fn refuse(&self, id: &JobId, code: &str) {
        let mut job = self.migrations.service().catalogue.job(id).await.unwrap().unwrap();
        job.state = JobState::Failed;
        job.finished_at = Some(jiff::Timestamp::now());
        let (message, remedy) = ("why".to_owned(), "what to do".to_owned());
        job.failure = Some(crate::model::Failure { code: code.to_owned(), message, remedy });
        self.migrations.service().catalogue.amend_job(&job, None).await.unwrap();
    }

    /// Moves a job to another state, and tells those who watch.
    pub(crate) async fn advance(&self, id: &JobId, state: JobState) {
        let mut job = self.migrations.service().catalogue.job(id).await.unwrap().unwrap();
        job.state = state;
        job.finished_at = state.is_final().then(jiff::Timestamp::now);
        self.migrations.service().catalogue.amend_job(&job, None).await.unwrap();
        // A hold on nobody is a change like any other.
        let account = Some("9999999999999999".parse().unwrap());
        let hold =
            crate::catalogue::Hold { region: None, account, reason: "x".to_owned(), since: jiff::Timestamp::now() };
        self.migrations.hold(hold, false).await.unwrap();
    }
}

/// A job in some state.
pub(crate) fn job(state: JobState) -> Job {
    let now = jiff::Timestamp::now();
    let mut random = [0; 4];
    aws_lc_rs::rand::fill(&mut random).unwrap();
    Job {
        id: JobId::generate(now, u32::from_le_bytes(random)),
        group: None,
        group_index: 0,
        state,
        method: Method::Manual,
        schedule: None,
        scope: Scope { region: REGION.parse().unwrap(), account: ACCOUNT.parse().unwrap() },
        instance: INSTANCE.parse().unwrap(),
        selection: Selection::All,
        rehearsal: false,
        scheduled_for: now,
        window_end: now + Duration::from_secs(7200),
        soak: Duration::ZERO,
        soak_since: None,
        acknowledged: true,
        started_at: Some(now),
        finished_at: state.is_final().then_some(now),
        locked_at: None,
        unlocked_at: None,
        keys_total: 2,
        keys_done: 1,
        secrets_total: 3,
        secrets_done: 0,
        plan_pages: 0,
        plan_digest: None,
        manifest: None,
        ending: None,
        cancel_requested: false,
        failure: None,
        left_behind: Vec::new(),
        warnings: Vec::new(),
        approval: None,
    }
}
