//! Opens the stores and keystores that the configuration names.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use zeroize::Zeroizing;

use super::degraded::Degraded;
use super::{DaemonError, seal};
use crate::config::{Config, Instance, Pkcs11, RootKey, TokenIdentity};
use crate::crypto::sealing::RootKey as SealingRoot;
use crate::keystore::hardware::{Pin, Token, TokenAddress};
use crate::keystore::software::rootkey;
use crate::keystore::software::slots::files::FileSlots;
use crate::keystore::software::slots::gated::GatedSlots;
use crate::keystore::software::{SoftwareKeystore, is_empty};
use crate::model::{Clock, InstanceId, KeystoreId, Random, RegionId};
use crate::observe::{Event, Fields, emit};
use crate::store::gate::{Gate, Gated};
use crate::store::prefixed::Prefixed;
use crate::store::sled::{Options, SledStore};
use crate::store::{SharedStore, Store, prefix_end};

/// Opens keystores below one state directory.
#[derive(Clone)]
pub(super) struct Opener {
    state: PathBuf,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    gate: Gate,
    degraded: Degraded,
    instance_stores: Arc<Mutex<BTreeMap<String, Weak<dyn Store>>>>,
}

impl Opener {
    /// Makes the state directory (mode 0700) if there is none.
    pub(super) fn new(state: &Path, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Result<Self, DaemonError> {
        if state.join(RESTORING).exists() {
            return Err(DaemonError::HalfRestored(state.join(RESTORING)));
        }
        for directory in [state.to_owned(), state.join("keys"), state.join("instances"), state.join(SLOTS)] {
            private_directory(&directory)?;
        }
        let (gate, degraded, instance_stores) = (Gate::default(), Degraded::new(), Arc::default());
        Ok(Self { state: state.to_owned(), clock, random, gate, degraded, instance_stores })
    }

    /// The control store.
    pub(super) async fn control(&self) -> Result<SharedStore, DaemonError> {
        Ok(self.gated(self.sled(self.state.join("control"), CONTROL_CACHE).await?))
    }

    /// The stores that take no more writes.
    pub(super) const fn degraded(&self) -> &Degraded {
        &self.degraded
    }

    /// What every store and every slot is behind.
    pub(super) const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The stores of the instances that are open, by their place below the state directory.
    pub(super) fn instance_stores(&self) -> BTreeMap<String, SharedStore> {
        let stores = self.instance_stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.iter().filter_map(|(place, store)| Some((place.clone(), store.upgrade()?))).collect()
    }

    async fn sled(&self, directory: PathBuf, cache_capacity: u64) -> Result<SharedStore, DaemonError> {
        let store = open_sled(directory.clone(), cache_capacity).await?;
        self.degraded.follow(directory, store.refused());
        Ok(Arc::new(store))
    }

    fn gated(&self, store: SharedStore) -> SharedStore {
        Arc::new(Gated::new(store, self.gate.clone()))
    }

    /// The shared keystores of all regions, in the control store, under one root key.
    pub(super) async fn shared(
        &self,
        config: &Config,
        control: &SharedStore,
    ) -> Result<BTreeMap<RegionId, Arc<SoftwareKeystore>>, DaemonError> {
        let end = prefix_end(SHARED.as_bytes());
        let empty = control.scan(SHARED.as_bytes(), end.as_deref(), 1).await?.entries.is_empty();
        let mut opened = BTreeMap::new();
        for (n, region) in config.regions.iter().enumerate() {
            let id = KeystoreId::Shared(region.id.clone());
            // The first region may have the key generated; the next ones find it.
            let root = self.root_key(&id, &config.root_key, seal::SHARED, empty && n == 0)?;
            // Region IDs have no slash, so no prefix begins with another.
            let store = Prefixed::new(Arc::clone(control), format!("{SHARED}{}/", region.id));
            let keystore = self.keystore(id, Arc::new(store), root).await?;
            opened.insert(region.id.clone(), Arc::new(keystore));
        }
        Ok(opened)
    }

    /// An instance, in a store of its own under a root key of its own.
    pub(super) async fn instance(&self, instance: &Instance) -> Result<Arc<SoftwareKeystore>, DaemonError> {
        let directory = self.state.join("instances").join(instance.id.as_str());
        let store = self.gated(self.sled(directory.clone(), INSTANCE_CACHE).await?);
        let id = KeystoreId::Instance(instance.id.clone());
        let empty = is_empty(&store).await?;
        let root = self.root_key(&id, &instance.root_key, instance.id.as_str(), empty)?;
        let place = format!("instances/{}", instance.id);
        let seen = Arc::downgrade(&store);
        let mut keystore = self.keystore(id, store, root).await?;
        if let Some(token) = token(instance)? {
            keystore = keystore.with_token(token);
        }
        self.instance_stores.lock().unwrap_or_else(PoisonError::into_inner).insert(place, seen);
        Ok(Arc::new(keystore.with_free_space(Box::new(move || free_space(&directory)))))
    }

    /// All instances of this process.
    pub(super) async fn instances(
        &self,
        config: &Config,
    ) -> Result<BTreeMap<InstanceId, Arc<SoftwareKeystore>>, DaemonError> {
        let mut opened = BTreeMap::new();
        for instance in config.instances.iter().filter(|instance| instance.remote.is_none()) {
            opened.insert(instance.id.clone(), self.instance(instance).await?);
        }
        Ok(opened)
    }

    async fn keystore(
        &self,
        id: KeystoreId,
        store: SharedStore,
        roots: Vec<SealingRoot>,
    ) -> Result<SoftwareKeystore, DaemonError> {
        let (clock, random) = (Arc::clone(&self.clock), Arc::clone(&self.random));
        let slots = Arc::new(GatedSlots::new(Arc::new(self.slots(&id)?), self.gate.clone()));
        Ok(SoftwareKeystore::open(id, store, slots, roots, clock, random).await?)
    }

    /// The slots of a keystore: files beside its store, so that what is destroyed in them leaves no old pages.
    fn slots(&self, id: &KeystoreId) -> Result<FileSlots, DaemonError> {
        let name = match id {
            KeystoreId::Shared(region) => region.as_str(),
            KeystoreId::Instance(instance) => instance.as_str(),
        };
        let path = self.state.join(SLOTS).join(name);
        FileSlots::open(&path, Arc::clone(&self.random)).map_err(|error| DaemonError::Path {
            path,
            error,
            remedy: "state_dir must be a directory that this user can write to",
        })
    }

    fn root_key(
        &self,
        keystore: &KeystoreId,
        from: &RootKey,
        name: &str,
        empty: bool,
    ) -> Result<Vec<SealingRoot>, DaemonError> {
        let source = seal::source(from, &self.state, name);
        let loaded = rootkey::load(&source, empty, self.random.as_ref())
            .map_err(|error| DaemonError::RootKey { keystore: keystore.clone(), error })?;
        if let Some(path) = loaded.generated {
            let mut fields = Fields::new();
            fields.instance = keystore.instance().map(ToString::to_string);
            let text = format!(
                "generated the root key of {}: back up {} now; without it nothing sealed under it can be opened",
                keystore.instance().map_or_else(|| "the shared keystores".to_owned(), ToString::to_string),
                path.display()
            );
            emit(Event::SealGenerated, &fields, &text);
        }
        Ok(std::iter::once(loaded.key).chain(loaded.next).collect())
    }
}

/// The token of a hardware instance. It is not looked for yet: a daemon starts without it, too.
fn token(instance: &Instance) -> Result<Option<Arc<Token>>, DaemonError> {
    let Some(pkcs11) = &instance.pkcs11 else {
        return Ok(None);
    };
    let TokenIdentity { module, label } = pkcs11.token.clone();
    let address = TokenAddress { module, label, instance: instance.id.clone() };
    Token::new(address, pin(pkcs11)).map(|token| Some(Arc::new(token))).map_err(DaemonError::Threads)
}

/// The PIN as the token takes it.
pub(super) fn pin(pkcs11: &Pkcs11) -> Pin {
    Pin::new(Zeroizing::new(pkcs11.pin.expose().to_owned()))
}

/// Where slots lie below the state directory.
pub(super) const SLOTS: &str = "slots";
/// Where a restoration prepares what it brings back: as long as it is there the state is not whole.
pub(super) const RESTORING: &str = "restoring";
const SHARED: &str = "ks/";
const CONTROL_CACHE: u64 = 256 * 1024 * 1024;
const INSTANCE_CACHE: u64 = 64 * 1024 * 1024;

/// Bytes that this user can still write where a directory lies.
pub(super) fn free_space(directory: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(directory).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

fn private_directory(path: &Path) -> Result<(), DaemonError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| DaemonError::Path {
        path: path.to_owned(),
        error,
        remedy: "state_dir must be a directory that this user can write to",
    })
}

/// The control store of a state directory that a daemon has used; none is made.
pub(super) async fn existing_control(state: &Path) -> Result<SharedStore, DaemonError> {
    let directory = state.join("control");
    if let Err(error) = std::fs::metadata(&directory) {
        return Err(DaemonError::Path { path: directory, error, remedy: "no daemon has used this state_dir" });
    }
    Ok(Arc::new(open_sled(directory, CONTROL_CACHE).await?))
}

async fn open_sled(directory: PathBuf, cache_capacity: u64) -> Result<SledStore, DaemonError> {
    let opened = tokio::task::spawn_blocking(move || SledStore::open(directory, &Options { cache_capacity })).await;
    let opened = opened.map_err(|error| DaemonError::Ended(format!("opening a store ({error})")))??;
    Ok(opened.store)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn free_space_is_what_the_file_system_says() {
        let directory = tempfile::tempdir().unwrap();
        let asked = std::process::Command::new("df").args(["-B1", "--output=avail"]).arg(directory.path()).output();
        let said = String::from_utf8(asked.unwrap().stdout).unwrap();
        let said: u64 = said.lines().last().unwrap().trim().parse().unwrap();
        let found = free_space(directory.path()).unwrap();
        // Others write meanwhile.
        assert!(found.abs_diff(said) < 4 << 30, "{found} and {said}");
        assert_eq!(free_space(&directory.path().join("none")), None);
    }
}
