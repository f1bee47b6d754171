//! A small deployment in memory: one region with its shared keystore, two instances, three accounts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::catalogue::{Catalogue, Demand, Lease};
use crate::crypto::sealing::RootKey;
use crate::keystore::software::SoftwareKeystore;
use crate::keystore::software::slots::memory::MemorySlots;
use crate::keystore::{SharedSource, SharedTarget};
use crate::kms::{Caller, InstanceFacts, Keystores, NewKey, RegionFacts, Service};
use crate::model::{
    AccountId, Clock, Job, JobId, JobState, KeyId, KeystoreId, Method, NonceClaim, Random, RegionId, Scope, Selection,
    SystemRandom,
};
use crate::store::memory::MemoryStore;
use crate::store::{SharedStore, Transaction};

pub(in crate::kms) const OWNER: &str = "1000000000000001";
pub(in crate::kms) const STRANGER: &str = "1000000000000003";
/// An account that the first instance is shared with.
pub(in crate::kms) const FRIEND: &str = "1000000000000002";
pub(in crate::kms) const INSTANCE: &str = "kst-hzz0000000000000001";
/// An instance with room for two secrets.
pub(in crate::kms) const SMALL: &str = "kst-hzz0000000000000002";

/// A clock that goes when it is told to.
pub(in crate::kms) struct ManualClock(AtomicI64);

impl ManualClock {
    pub(in crate::kms) fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_secs()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::SeqCst)).unwrap()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.0.load(Ordering::SeqCst)).unwrap())
    }
}

pub(in crate::kms) struct Kms {
    pub(in crate::kms) service: Service,
    pub(in crate::kms) clock: Arc<ManualClock>,
    /// The stores of the keystores, to look into.
    pub(in crate::kms) stores: BTreeMap<KeystoreId, SharedStore>,
    lease: Mutex<Option<Lease>>,
}

impl Kms {
    pub(in crate::kms) async fn new() -> Self {
        let clock = Arc::new(ManualClock(AtomicI64::new(1_800_000_000)));
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let region: RegionId = "cn-hangzhou".parse().unwrap();
        let mut stores: BTreeMap<KeystoreId, SharedStore> = BTreeMap::new();
        let shared_id = KeystoreId::Shared(region.clone());
        let shared: SharedSource = Arc::new(open(&shared_id, &mut stores, &clock, &random).await);
        let mut instances: BTreeMap<_, SharedTarget> = BTreeMap::new();
        let mut facts = Vec::new();
        for (id, secret_quota) in [(INSTANCE, 100), (SMALL, 2)] {
            let keystore = open(&id.parse().unwrap(), &mut stores, &clock, &random).await;
            instances.insert(id.parse().unwrap(), Arc::new(keystore));
            facts.push(InstanceFacts {
                id: id.parse().unwrap(),
                region: region.clone(),
                owner: OWNER.parse().unwrap(),
                hardware: false,
                enabled: true,
                key_quota: secret_quota,
                secret_quota,
                expires: None,
                auto_renew: true,
                shared_with: BTreeSet::from([FRIEND.parse().unwrap()]),
            });
        }
        let regions = vec![RegionFacts { id: region.clone(), service_keys: vec!["ecs".to_owned(), "oss".to_owned()] }];
        let keystores = Keystores::new(BTreeMap::from([(region, shared)]), instances, facts, regions);
        let service = Service {
            catalogue: Catalogue::new(Arc::new(MemoryStore::new())),
            keystores: Arc::new(keystores),
            rotators: Arc::default(),
            clock: clock.clone(),
            random,
            worker: "worker-1".into(),
        };
        Self { service, clock, stores, lease: Mutex::new(None) }
    }

    pub(in crate::kms) async fn key(&self, who: &Caller, new: NewKey) -> KeyId {
        self.service.create_key(who, new).await.unwrap().key.id.clone()
    }

    /// Closes the owner's scope as a migration does.
    pub(in crate::kms) async fn lock(&self) {
        let now = self.service.clock.now();
        let scope = caller(OWNER).scope();
        let job = job(&scope, now);
        let catalogue = &self.service.catalogue;
        catalogue.create_jobs(std::slice::from_ref(&job), Transaction::new()).await.unwrap();
        let lease = catalogue.take_over(&job.id, "worker-1", now).await.unwrap();
        let stored = catalogue.job(&job.id).await.unwrap().unwrap();
        catalogue.close_gate(&lease, &stored, Demand::default(), now).await.unwrap();
        *self.lease.lock().unwrap() = Some(lease);
    }
}

async fn open(
    id: &KeystoreId,
    stores: &mut BTreeMap<KeystoreId, SharedStore>,
    clock: &Arc<ManualClock>,
    random: &Arc<dyn Random>,
) -> SoftwareKeystore {
    let store: SharedStore = Arc::new(MemoryStore::new());
    stores.insert(id.clone(), Arc::clone(&store));
    let root = RootKey::new(Zeroizing::new([7; 32])).unwrap();
    let slots = Arc::new(MemorySlots::default());
    SoftwareKeystore::open(id.clone(), store, slots, Some(root), clock.clone(), Arc::clone(random)).await.unwrap()
}

pub(in crate::kms) fn job(scope: &Scope, now: Timestamp) -> Job {
    Job {
        id: JobId::generate(now, 1),
        group: None,
        group_index: 0,
        state: JobState::Closing,
        method: Method::Manual,
        schedule: None,
        scope: scope.clone(),
        instance: INSTANCE.parse().unwrap(),
        selection: Selection::All,
        rehearsal: false,
        scheduled_for: now,
        window_end: now,
        soak: Duration::ZERO,
        soak_since: None,
        acknowledged: true,
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
        warnings: Vec::new(),
        approval: None,
    }
}

pub(in crate::kms) fn caller(account: &str) -> Caller {
    static NEXT: AtomicI64 = AtomicI64::new(0);
    let account: AccountId = account.parse().unwrap();
    let nonce = NonceClaim {
        access_key_id: "LTAItest".to_owned(),
        nonce: NEXT.fetch_add(1, Ordering::SeqCst).to_string(),
        expires_at: Timestamp::MAX,
    };
    Caller {
        account,
        region: "cn-hangzhou".parse().unwrap(),
        access_key_id: "LTAItest".to_owned(),
        request_id: "request".to_owned(),
        nonce: Some(nonce),
        source: [127, 0, 0, 1].into(),
        ticket: crate::audit::Ticket::default(),
        acting: crate::kms::Acting::default(),
    }
}
