//! Two software keystores over stores in memory; a restart is opening a keystore again over the same store.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod daily;
mod life;
mod mortal;
mod outage;
mod refusal;
mod roots;
mod shredding;

use std::sync::Mutex;

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::slots::memory::MemorySlots;
use super::*;
use crate::crypto::envelope::SecretEnvelope;
use crate::crypto::material::KeyMaterial;
use crate::crypto::parcel::{Parcel, SignedOffer};
use crate::keystore::{Keystore, KeystoreError, Label, Place, Source, Target, WrapOrder};
use crate::model::{KeySpec, MaterialId, ResourceId, SystemRandom};
use crate::store::memory::MemoryStore;

/// A clock that stands until it is moved.
pub(super) struct StandingClock(Mutex<Duration>);

impl StandingClock {
    pub(super) fn pass(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
}

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        let start: Timestamp = "2026-12-01T02:00:00Z".parse().unwrap();
        start + *self.0.lock().unwrap()
    }

    fn monotonic(&self) -> Duration {
        *self.0.lock().unwrap()
    }
}

pub(super) struct World {
    pub(super) clock: Arc<StandingClock>,
    pub(super) source_store: SharedStore,
    pub(super) target_store: SharedStore,
    pub(super) source_slots: Arc<MemorySlots>,
    pub(super) target_slots: Arc<MemorySlots>,
    pub(super) source: SoftwareKeystore,
    pub(super) target: SoftwareKeystore,
}

const SOURCE: (&str, u8) = ("shared:cn-hangzhou", 1);
const TARGET: (&str, u8) = ("kst-a", 2);

pub(super) fn root(seed: u8) -> RootKey {
    RootKey::new(Zeroizing::new([seed; 32])).unwrap()
}

pub(super) fn job() -> JobId {
    "job-00000000000000000001".parse().unwrap()
}

impl World {
    pub(super) async fn new() -> Self {
        let clock = Arc::new(StandingClock(Mutex::default()));
        let (source_store, target_store): (SharedStore, SharedStore) =
            (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
        let (source_slots, target_slots) = (Arc::<MemorySlots>::default(), Arc::<MemorySlots>::default());
        let source = open(SOURCE, &source_store, &source_slots, &clock).await;
        let target = open(TARGET, &target_store, &target_slots, &clock).await;
        Self { clock, source_store, target_store, source_slots, target_slots, source, target }
    }

    pub(super) async fn restart(&mut self) {
        self.source = open(SOURCE, &self.source_store, &self.source_slots, &self.clock).await;
        self.target = open(TARGET, &self.target_store, &self.target_slots, &self.clock).await;
    }

    pub(super) async fn offer(&self, token: u64) -> Result<SignedOffer, KeystoreError> {
        let nonce = self.source.nonce(&job()).await?;
        self.target.offer(&job(), token, nonce, self.clock.now()).await
    }

    pub(super) async fn wrap(&self, offer: &SignedOffer, orders: &[WrapOrder]) -> Result<Parcel, KeystoreError> {
        self.source.wrap_out(offer, &Target::identity(&self.target), self.clock.now(), orders).await
    }

    pub(super) async fn stage(&self, parcel: &Parcel) -> Result<(), KeystoreError> {
        self.target.stage(parcel, &Source::identity(&self.source)).await
    }

    /// Offer, parcel, staging and closing in one; returns the manifest.
    pub(super) async fn copy(&self, token: u64, orders: &[WrapOrder]) -> [u8; 32] {
        let offer = self.offer(token).await.unwrap();
        self.stage(&self.wrap(&offer, orders).await.unwrap()).await.unwrap();
        self.target.close(&job(), token).await.unwrap()
    }
}

async fn open(
    (id, seed): (&str, u8),
    store: &SharedStore,
    slots: &Arc<impl slots::Slots>,
    clock: &Arc<StandingClock>,
) -> SoftwareKeystore {
    open_under((id, &[seed]), store, slots, clock).await.unwrap()
}

pub(super) async fn open_under(
    (id, seeds): (&str, &[u8]),
    store: &SharedStore,
    slots: &Arc<impl slots::Slots>,
    clock: &Arc<StandingClock>,
) -> Result<SoftwareKeystore, OpenError> {
    let (clock, slots): (Arc<dyn Clock>, SharedSlots) = (Arc::<StandingClock>::clone(clock), Arc::clone(slots) as _);
    let (id, store, roots) = (id.parse().unwrap(), Arc::clone(store), seeds.iter().map(|seed| root(*seed)));
    SoftwareKeystore::open(id, store, slots, roots.collect::<Vec<_>>(), clock, Arc::new(SystemRandom)).await
}

pub(super) fn incarnation(n: u32) -> Incarnation {
    format!("11111111-1111-4111-8111-{n:012}").parse().unwrap()
}

pub(super) fn place(n: u32, version: u32) -> Place {
    let version: MaterialId = format!("22222222-2222-4222-{n:04}-{version:012}").parse().unwrap();
    Place { incarnation: incarnation(n), version }
}

pub(super) fn label(n: u32, spec: Option<KeySpec>) -> Label {
    let resource = match spec {
        Some(_) => ResourceId::Key(format!("key-{n}").parse().unwrap()),
        None => ResourceId::Secret(format!("secret/{n}").parse().unwrap()),
    };
    let scope = Scope { region: "cn-hangzhou".parse().unwrap(), account: "1000000000000001".parse().unwrap() };
    Label { scope, resource, incarnation: incarnation(n), spec }
}

/// Generates a key with versions 1 to `versions`.
pub(super) async fn key(keystore: &SoftwareKeystore, n: u32, spec: KeySpec, versions: u32) -> WrapOrder {
    let label = label(n, Some(spec));
    let places: Vec<Place> = (1..=versions).map(|v| place(n, v)).collect();
    for place in &places {
        keystore.generate(&label, place).await.unwrap();
    }
    WrapOrder { label, places }
}

pub(super) fn value(n: u32, version: u32, length: usize) -> Vec<u8> {
    format!("value {n}/{version} ").into_bytes().into_iter().cycle().take(length).collect()
}

/// Stores a secret with versions 1 to `versions` of `length` bytes under the system key.
pub(super) async fn secret(keystore: &SoftwareKeystore, n: u32, versions: u32, length: usize) -> WrapOrder {
    let label = label(n, None);
    let places: Vec<Place> = (1..=versions).map(|v| place(n, v)).collect();
    for (v, place) in (1..).zip(&places) {
        let envelope = SecretEnvelope::System { value: Zeroizing::new(value(n, v, length)) };
        keystore.put_value(&label, place, &envelope).await.unwrap();
    }
    WrapOrder { label, places }
}

pub(super) async fn read(keystore: &SoftwareKeystore, place: &Place) -> Result<(Vec<u8>, bool), KeystoreError> {
    let answer = keystore.read_value(place).await?;
    match answer.value {
        SecretEnvelope::System { value } => Ok((value.to_vec(), answer.provisional)),
        SecretEnvelope::Cmk { .. } => panic!("another kind of envelope"),
    }
}

/// Every stored value whose key begins with `prefix`.
pub(super) async fn dump(store: &SharedStore, prefix: &str) -> Vec<(String, Vec<u8>)> {
    let page = store.scan(b"", None, usize::MAX).await.unwrap();
    let entries = page.entries.into_iter().map(|(key, v)| (String::from_utf8(key).unwrap(), v.value));
    entries.filter(|(key, _)| key.starts_with(prefix)).collect()
}

pub(super) async fn overwrite(store: &SharedStore, key: &str, value: Vec<u8>) {
    let mut transaction = Transaction::new();
    transaction.put(key, value);
    assert!(matches!(store.commit(transaction).await.unwrap(), Outcome::Committed(_)));
}

macro_rules! assert_err {
    ($result:expr, $pattern:pat) => {
        match $result {
            Err($pattern) => {}
            Err(other) => panic!("another error: {other}"),
            Ok(_) => panic!("no error"),
        }
    };
}
pub(super) use assert_err;

pub(super) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

pub(super) fn imported(spec: KeySpec) -> KeyMaterial {
    KeyMaterial::generate(spec, &SystemRandom).unwrap()
}
