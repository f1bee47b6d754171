//! Which keystores there are, and what the configuration says of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::withdrawn::{UnderWay, Withdrawn};
use crate::keystore::{Keystore, SharedSource, SharedTarget};
use crate::model::{AccountId, Directories, InstanceId, KeystoreId, RegionId, ShareRefusal};

/// What the configuration says of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceFacts {
    /// Its ID.
    pub id: InstanceId,
    /// Its region.
    pub region: RegionId,
    /// Its owner.
    pub owner: AccountId,
    /// True for hardware.
    pub hardware: bool,
    /// In use from the start; else somebody has to enable it.
    pub enabled: bool,
    /// Keys it may hold.
    pub key_quota: u64,
    /// Secrets it may hold.
    pub secret_quota: u64,
    /// End of the contract.
    pub expires: Option<Timestamp>,
    /// Somebody renews it.
    pub auto_renew: bool,
    /// Accounts it is shared with by configuration.
    pub shared_with: BTreeSet<AccountId>,
}

/// What the configuration says of a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionFacts {
    /// Its ID.
    pub id: RegionId,
    /// Cloud products whose service keys exist here.
    pub service_keys: Vec<String>,
}

/// All keystores of the deployment. Set and facts change on reload.
pub struct Keystores {
    shared: RwLock<BTreeMap<RegionId, SharedSource>>,
    instances: RwLock<BTreeMap<InstanceId, SharedTarget>>,
    facts: RwLock<Arc<BTreeMap<InstanceId, InstanceFacts>>>,
    regions: RwLock<Arc<BTreeMap<RegionId, RegionFacts>>>,
    directories: RwLock<Arc<Directories>>,
    /// What is to be said of instances that a job holds, from its unlock on.
    waiting: RwLock<BTreeMap<InstanceId, InstanceFacts>>,
    withdrawn: RwLock<Arc<Withdrawn>>,
    under_way: UnderWay,
    sweeping: tokio::sync::Mutex<()>,
}

impl Keystores {
    /// The keystores with their facts.
    #[must_use]
    pub fn new(
        shared: BTreeMap<RegionId, SharedSource>,
        instances: BTreeMap<InstanceId, SharedTarget>,
        facts: Vec<InstanceFacts>,
        regions: Vec<RegionFacts>,
    ) -> Self {
        let keystores = Self {
            shared: RwLock::new(shared),
            instances: RwLock::new(instances),
            facts: RwLock::default(),
            regions: RwLock::default(),
            directories: RwLock::default(),
            waiting: RwLock::default(),
            withdrawn: RwLock::default(),
            under_way: UnderWay::default(),
            sweeping: tokio::sync::Mutex::default(),
        };
        keystores.reload(facts, regions);
        keystores
    }

    /// One destruction at a time: imported material comes back under the name it had, so a sweeper that looked at an
    /// intent long ago must not destroy what has come since.
    pub(super) async fn sweeping(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.sweeping.lock().await
    }

    /// Replaces what is withdrawn; answers what was.
    pub fn withdraw(&self, withdrawn: Withdrawn) -> Arc<Withdrawn> {
        let mut current = self.withdrawn.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, Arc::new(withdrawn))
    }

    /// What is withdrawn.
    #[must_use]
    pub fn withdrawn(&self) -> Arc<Withdrawn> {
        Arc::clone(&self.withdrawn.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A change begins; it ends with the token.
    pub(super) fn begin_change(&self) -> TaskTrackerToken {
        self.under_way.begin()
    }

    /// Waits for the changes that may have begun before the last [`Keystores::withdraw`].
    pub async fn changes_ended(&self) {
        self.under_way.ended().await;
    }

    /// Replaces the facts.
    pub fn reload(&self, facts: Vec<InstanceFacts>, regions: Vec<RegionFacts>) {
        self.reload_held(facts, regions, &BTreeSet::new());
    }

    /// Replaces the facts; of the instances that a job holds those of before count until [`Keystores::unlocked`].
    pub fn reload_held(&self, facts: Vec<InstanceFacts>, regions: Vec<RegionFacts>, held: &BTreeSet<InstanceId>) {
        let mut waiting = self.waiting.write().unwrap_or_else(PoisonError::into_inner);
        waiting.clear();
        let mut current = self.facts.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = BTreeMap::new();
        for fresh in facts {
            let id = fresh.id.clone();
            match current.get(&id).filter(|before| held.contains(&id) && **before != fresh) {
                Some(before) => {
                    next.insert(id.clone(), before.clone());
                    waiting.insert(id, fresh);
                }
                None => drop(next.insert(id, fresh)),
            }
        }
        *current = Arc::new(next);
        *self.regions.write().unwrap_or_else(PoisonError::into_inner) =
            Arc::new(regions.into_iter().map(|r| (r.id.clone(), r)).collect());
    }

    /// Instances of which a reload waits for the unlock.
    #[must_use]
    pub fn waiting(&self) -> Vec<InstanceId> {
        self.waiting.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// No job holds the instance any more: what a reload said of it meanwhile is in force.
    pub fn unlocked(&self, id: &InstanceId) {
        if let Some(fresh) = self.waiting.write().unwrap_or_else(PoisonError::into_inner).remove(id) {
            let mut current = self.facts.write().unwrap_or_else(PoisonError::into_inner);
            Arc::make_mut(&mut current).insert(id.clone(), fresh);
        }
    }

    /// Replaces the resource directories.
    pub fn set_directories(&self, directories: Directories) {
        *self.directories.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(directories);
    }

    /// Whether an instance of `owner` can be shared with `account`.
    ///
    /// # Errors
    /// Why the resource directories do not let it.
    pub fn check_share(&self, owner: &AccountId, account: &AccountId) -> Result<(), ShareRefusal> {
        if let Some(coming) = &self.withdrawn().directories {
            coming.check_share(owner, account)?;
        }
        self.directories.read().unwrap_or_else(PoisonError::into_inner).check_share(owner, account)
    }

    /// Replaces the set of keystores. Operations under way finish with those they began with.
    pub fn exchange(&self, shared: BTreeMap<RegionId, SharedSource>, instances: BTreeMap<InstanceId, SharedTarget>) {
        *self.shared.write().unwrap_or_else(PoisonError::into_inner) = shared;
        *self.instances.write().unwrap_or_else(PoisonError::into_inner) = instances;
    }

    /// The keystore of an ID, for use.
    #[must_use]
    pub fn get(&self, id: &KeystoreId) -> Option<Arc<dyn Keystore>> {
        match id {
            KeystoreId::Shared(region) => self.source(region).map(|s| s as Arc<dyn Keystore>),
            KeystoreId::Instance(id) => self.connected(id).map(|t| t as Arc<dyn Keystore>),
        }
    }

    /// The shared keystore of a region, as the source of a migration.
    #[must_use]
    pub fn source(&self, region: &RegionId) -> Option<SharedSource> {
        self.shared.read().unwrap_or_else(PoisonError::into_inner).get(region).cloned()
    }

    /// An instance, as the target of a migration; none into one that is withdrawn.
    #[must_use]
    pub fn target(&self, id: &InstanceId) -> Option<SharedTarget> {
        if self.withdrawn().instances.contains(id) { None } else { self.connected(id) }
    }

    fn connected(&self, id: &InstanceId) -> Option<SharedTarget> {
        self.instances.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// What is known of an instance, without the shares that are withdrawn.
    #[must_use]
    pub fn instance(&self, id: &InstanceId) -> Option<InstanceFacts> {
        let mut facts = self.facts().get(id).cloned()?;
        let withdrawn = self.withdrawn();
        if !withdrawn.shares.is_empty() {
            facts.shared_with.retain(|account| !withdrawn.shares.contains(&(id.clone(), account.clone())));
        }
        Some(facts)
    }

    /// All instances.
    #[must_use]
    pub fn facts(&self) -> Arc<BTreeMap<InstanceId, InstanceFacts>> {
        Arc::clone(&self.facts.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// All regions.
    #[must_use]
    pub fn regions(&self) -> Arc<BTreeMap<RegionId, RegionFacts>> {
        Arc::clone(&self.regions.read().unwrap_or_else(PoisonError::into_inner))
    }
}
