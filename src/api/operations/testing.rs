//! The operations over keystores in memory: a region with its shared keystore, and one instance.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::Value;
use zeroize::Zeroizing;

use super::Operations;
use crate::api::{ApiError, Call, Caller, Dispatcher, Parameters, actions};
use crate::audit::Ticket;
use crate::catalogue::Catalogue;
use crate::crypto::sealing::RootKey;
use crate::keystore::software::SoftwareKeystore;
use crate::keystore::software::slots::memory::MemorySlots;
use crate::keystore::{SharedSource, SharedTarget};
use crate::kms::{Acting, InstanceFacts, Keystores, RegionFacts, Service};
use crate::model::{KeystoreId, NonceClaim, RegionId, SystemClock, SystemRandom};
use crate::store::memory::MemoryStore;
use crate::store::{Outcome, Page, Revision, SharedStore, Store, StoreError, Transaction, Versioned};

pub(super) const INSTANCE: &str = "kst-hzz0000000000000001";

pub(super) const OWNER: &str = "1000000000000001";

pub(super) struct World {
    pub(super) store: SharedStore,
    /// The same, without anybody watching.
    pub(super) unwatched: SharedStore,
    /// What was read of the catalogue, by kind of record.
    pub(super) reads: Reads,
    pub(super) service: Service,
    operations: Operations,
    nonce: std::sync::atomic::AtomicU64,
}

impl World {
    pub(super) async fn new() -> Self {
        let reads = Reads::default();
        let unwatched: SharedStore = Arc::new(MemoryStore::new());
        let store: SharedStore = Arc::new(Watched { inner: Arc::clone(&unwatched), reads: Arc::clone(&reads) });
        let (clock, random) = (Arc::new(SystemClock::default()), Arc::new(SystemRandom));
        let region: RegionId = "cn-hangzhou".parse().unwrap();
        let open = |id: KeystoreId| {
            SoftwareKeystore::open(
                id,
                Arc::new(MemoryStore::new()),
                Arc::new(MemorySlots::default()),
                Some(RootKey::new(Zeroizing::new([7; 32])).unwrap()),
                clock.clone(),
                random.clone(),
            )
        };
        let shared: SharedSource = Arc::new(open(KeystoreId::Shared(region.clone())).await.unwrap());
        let instance: SharedTarget = Arc::new(open(INSTANCE.parse().unwrap()).await.unwrap());
        let instances = vec![InstanceFacts {
            id: INSTANCE.parse().unwrap(),
            region: region.clone(),
            owner: OWNER.parse().unwrap(),
            hardware: false,
            enabled: true,
            key_quota: 1000,
            secret_quota: 1000,
            expires: None,
            auto_renew: true,
            shared_with: BTreeSet::new(),
        }];
        let facts = vec![RegionFacts { id: region.clone(), service_keys: Vec::new() }];
        let keystores = Keystores::new(
            BTreeMap::from([(region, shared)]),
            BTreeMap::from([(INSTANCE.parse().unwrap(), instance)]),
            instances,
            facts,
        );
        let service = Service {
            catalogue: Catalogue::new(Arc::clone(&store)),
            keystores: Arc::new(keystores),
            rotators: Arc::default(),
            clock,
            random,
            worker: "worker-1".into(),
        };
        Self { store, unwatched, reads, operations: Operations::new(service.clone()), service, nonce: 0.into() }
    }

    /// What the operations work on.
    pub(super) const fn service(&self) -> &Service {
        &self.operations.service
    }

    pub(super) fn caller(&self, account: &str, operation: &'static str, subject: Option<&str>) -> Caller {
        let nonce = self.nonce.fetch_add(1, std::sync::atomic::Ordering::SeqCst).to_string();
        Caller {
            account: account.parse().unwrap(),
            region: "cn-hangzhou".parse().unwrap(),
            access_key_id: "LTAItest".to_owned(),
            request_id: format!("request-{nonce}"),
            nonce: Some(NonceClaim { access_key_id: "LTAItest".to_owned(), nonce, expires_at: jiff::Timestamp::MAX }),
            source: [127, 0, 0, 1].into(),
            ticket: Ticket::new(operation, subject),
            acting: Acting::default(),
        }
    }

    /// As [`World::ask_as`], for the owner of the instance.
    pub(super) async fn ask(
        &self,
        name: &str,
        parameters: &[(&str, &str)],
        known: &BTreeMap<&str, String>,
    ) -> Result<Value, ApiError> {
        self.ask_as(OWNER, name, parameters, known).await
    }

    /// Dispatches an operation for an account; a value `{name}` stands for what is known under that name.
    pub(super) async fn ask_as(
        &self,
        account: &str,
        name: &str,
        parameters: &[(&str, &str)],
        known: &BTreeMap<&str, String>,
    ) -> Result<Value, ApiError> {
        self.ask_acting(account, Acting::default(), name, parameters, known).await
    }

    /// As [`World::ask_as`], for a user or role of the account.
    pub(super) async fn ask_acting(
        &self,
        account: &str,
        acting: Acting,
        name: &str,
        parameters: &[(&str, &str)],
        known: &BTreeMap<&str, String>,
    ) -> Result<Value, ApiError> {
        let action = actions::find(name).unwrap();
        let value = |text: &str| match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
            Some(name) if known.contains_key(name) => known[name].clone(),
            _ => text.to_owned(),
        };
        let pairs =
            parameters.iter().map(|(name, text)| ((*name).to_owned(), Zeroizing::new(value(text)).to_string().into()));
        let parameters = Parameters::new(pairs.collect(), Vec::new()).unwrap();
        let subject = ["KeyId", "SecretName"].into_iter().find_map(|name| parameters.optional(name)).map(str::to_owned);
        let caller = Caller { acting, ..self.caller(account, action.name, subject.as_deref()) };
        self.operations.dispatch(Call { caller, action, parameters }).await
    }
}

pub(super) type Reads = Arc<Mutex<Vec<String>>>;

/// A store that notes what is read.
struct Watched {
    inner: SharedStore,
    reads: Reads,
}

impl Watched {
    /// The kind of record: a path up to its second slash; a nonce's is a digest from the first on.
    fn note(&self, how: &str, key: &[u8]) {
        let path = String::from_utf8_lossy(key);
        let kind: Vec<&str> = path.split('/').take(if path.starts_with("n/") { 1 } else { 2 }).collect();
        self.reads.lock().unwrap().push(format!("{how} {}", kind.join("/")));
    }
}

#[async_trait]
impl Store for Watched {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, StoreError> {
        self.note("get", key);
        self.inner.get(key).await
    }

    async fn scan(&self, start: &[u8], end: Option<&[u8]>, limit: usize) -> Result<Page, StoreError> {
        self.note("scan", start);
        self.inner.scan(start, end, limit).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Outcome, StoreError> {
        self.inner.commit(transaction).await
    }

    async fn changed(&self, prefix: &[u8], since: Revision) {
        self.inner.changed(prefix, since).await;
    }

    fn revision(&self) -> Revision {
        self.inner.revision()
    }
}
