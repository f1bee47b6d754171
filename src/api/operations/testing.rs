//! The operations over keystores in memory: a region with its shared keystore, and one instance.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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
use crate::kms::{InstanceFacts, Keystores, RegionFacts, Service};
use crate::model::{KeystoreId, NonceClaim, RegionId, SystemClock, SystemRandom};
use crate::store::SharedStore;
use crate::store::memory::MemoryStore;

pub(super) const INSTANCE: &str = "kst-hzz0000000000000001";

pub(super) struct World {
    pub(super) store: SharedStore,
    operations: Operations,
    nonce: std::sync::atomic::AtomicU64,
}

impl World {
    pub(super) async fn new() -> Self {
        let store: SharedStore = Arc::new(MemoryStore::new());
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
            owner: "1000000000000001".parse().unwrap(),
            hardware: false,
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
            clock,
            random,
            worker: "worker-1".into(),
        };
        Self { store, operations: Operations::new(service), nonce: 0.into() }
    }

    fn caller(&self, operation: &'static str, subject: Option<&str>) -> Caller {
        let nonce = self.nonce.fetch_add(1, std::sync::atomic::Ordering::SeqCst).to_string();
        Caller {
            account: "1000000000000001".parse().unwrap(),
            region: "cn-hangzhou".parse().unwrap(),
            access_key_id: "LTAItest".to_owned(),
            request_id: format!("request-{nonce}"),
            nonce: Some(NonceClaim { access_key_id: "LTAItest".to_owned(), nonce, expires_at: jiff::Timestamp::MAX }),
            source: [127, 0, 0, 1].into(),
            ticket: Ticket::new(operation, subject),
        }
    }

    /// Dispatches an operation; a value `{name}` stands for what is known under that name.
    pub(super) async fn ask(
        &self,
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
        let caller = self.caller(action.name, subject.as_deref());
        self.operations.dispatch(Call { caller, action, parameters }).await
    }
}
