//! A keystore in software: material sealed in a store under a root key.
//!
//! With a token ([`SoftwareKeystore::with_token`]) it is the keystore of a hardware instance: everything but the material of
//! keys stays as it is, sealed records name objects in the token instead of holding material (`objects.rs`), and
//! `usable.rs` has the token do what needs it.
//!
//! The process that opened it is the only writer of its store, so what it keeps in memory (opened material, job states)
//! goes stale only through its own writes. A migration's copies are written to the place where they will be used, marked
//! with the job that staged them; they are visible once that job is activated, which is one guarded write.

mod bulk;
mod cache;
mod daily;
mod fence;
mod finish;
mod inventory;
mod keks;
mod layout;
mod objects;
mod proof;
mod records;
pub mod rootkey;
mod roots;
mod shred;
pub mod slots;
mod source;
mod staging;
mod target;
mod unpacking;
mod usable;
mod vault;

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::crypto::CryptoError;
use crate::crypto::identity::{Identity, PublicIdentity};
use crate::crypto::offer::OfferKey;
use crate::crypto::sealing::{Address, RootKey};
use crate::model::{Clock, Incarnation, JobId, KeystoreId, Random, Scope};
use crate::store::{Compare, Outcome, SharedStore, StoreError, Transaction};

use super::Place;
use super::hardware::Token;
use cache::Cache;
use fence::State;
use keks::Keks;
pub use roots::RootKeys;
use roots::Roots;
use slots::SharedSlots;
use usable::Usable;
use vault::OpenHead;

/// Opened material that was not used for this long is dropped by [`SoftwareKeystore::sweep_cache`].
pub const IDLE_AFTER: Duration = Duration::from_secs(60);

/// A software keystore. A clone is the same one, for a task of its own.
#[derive(Clone)]
pub struct SoftwareKeystore {
    id: KeystoreId,
    store: SharedStore,
    slots: SharedSlots,
    roots: Arc<RwLock<Arc<Roots>>>,
    identity: Arc<Identity>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    keks: Cache<Scope, Arc<Keks>>,
    slot_locks: Arc<SlotLocks>,
    heads: Cache<Incarnation, Arc<OpenHead>>,
    opened: Cache<Place, (Arc<Usable>, Option<JobId>)>,
    job_states: Cache<JobId, State>,
    offers: Arc<std::sync::Mutex<HashMap<JobId, staging::OfferSession>>>,
    sessions: Arc<tokio::sync::Mutex<HashMap<JobId, source::Session>>>,
    free_space: Option<Arc<dyn Fn() -> Option<u64> + Send + Sync>>,
    offer_keys: Option<Arc<dyn Fn() -> Arc<OfferKey> + Send + Sync>>,
    /// The key of the next offer, begun before it is asked for.
    next_offer: Arc<std::sync::Mutex<Option<target::OfferKeyInWork>>>,
    /// Has the material of keys in a hardware instance.
    token: Option<Arc<Token>>,
    making: objects::Making,
}

/// What an exchange of a scope's key holds.
type SlotLocks = std::sync::Mutex<HashMap<Scope, Arc<tokio::sync::Mutex<()>>>>;

/// Tells how many bytes are free where the store lies.
pub type FreeSpace = Box<dyn Fn() -> Option<u64> + Send + Sync>;

/// Gives the key of the next offer.
pub type OfferKeys = Box<dyn Fn() -> Arc<OfferKey> + Send + Sync>;

/// Why a software keystore cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// There is a store, but no root key for it.
    #[error(
        "the store of {keystore} is sealed under root key {root_key_id}, which is missing: provide that key again; \
         nothing has been changed"
    )]
    MissingRootKey {
        /// Which keystore.
        keystore: KeystoreId,
        /// ID of the missing key.
        root_key_id: String,
    },
    /// The store is empty, and there is no root key to seal it under.
    #[error(
        "the store of {0} is empty and there is no root key to seal it under: configure one, or have one generated"
    )]
    NoRootKey(KeystoreId),
    /// The root key is another one.
    #[error(
        "the store of {keystore} is sealed under root key {expected}, but root key {found} was given: provide \
         {expected}; nothing has been changed"
    )]
    WrongRootKey {
        /// Which keystore.
        keystore: KeystoreId,
        /// ID of the key it needs.
        expected: String,
        /// ID of the key that was given.
        found: String,
    },
    /// Its check record, identity or layout is damaged.
    #[error("the store of {keystore} is damaged: {detail}; restore it from a backup; nothing has been changed")]
    Damaged {
        /// Which keystore.
        keystore: KeystoreId,
        /// What was found.
        detail: String,
    },
    /// The store cannot be used.
    #[error("the store of {keystore}: {source}")]
    Store {
        /// Which keystore.
        keystore: KeystoreId,
        /// Why.
        source: StoreError,
    },
    /// The cryptographic library failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// True for a store that no keystore was ever set up in: only then may a root key be generated for it.
///
/// # Errors
/// When the store cannot be read.
pub async fn is_empty(store: &SharedStore) -> Result<bool, StoreError> {
    Ok(store.scan(b"", None, 1).await?.entries.is_empty())
}

impl SoftwareKeystore {
    /// Opens the keystore in `store` and `slots`, or sets it up there, under the first root key, if the store is empty.
    /// While root keys are being exchanged both have to be given, in any order.
    ///
    /// # Errors
    /// Another root key than the one it is sealed under, or none: names what is missing. Damage, or an unusable store.
    pub async fn open(
        id: KeystoreId,
        store: SharedStore,
        slots: SharedSlots,
        roots: impl IntoIterator<Item = RootKey> + Send,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, OpenError> {
        let given: Vec<Arc<RootKey>> = roots.into_iter().map(Arc::new).collect();
        let unusable = |source| OpenError::Store { keystore: id.clone(), source };
        let damaged = |detail: &str| OpenError::Damaged { keystore: id.clone(), detail: detail.to_owned() };
        loop {
            let Some(check) = store.get(layout::CHECK).await.map_err(unusable)? else {
                if !is_empty(&store).await.map_err(unusable)? {
                    return Err(damaged("there are records but no check record"));
                }
                let Some(root) = given.first() else {
                    return Err(OpenError::NoRootKey(id));
                };
                let transaction = set_up(&id, root, random.as_ref())?;
                // Conflict and Unknown are answered by reading again.
                let _: Outcome = store.commit(transaction).await.map_err(unusable)?;
                continue;
            };
            let roots = roots::find(&id, &check, &given)?;
            let stored = store.get(layout::IDENTITY).await.map_err(unusable)?;
            let stored = stored.ok_or_else(|| damaged("the identity is missing"))?;
            let seed = roots.open(&Address::of(&id, "identity"), &stored.value);
            let seed = seed.ok().and_then(|seed| <[u8; 32]>::try_from(seed.as_slice()).ok().map(Zeroizing::new));
            let identity = Identity::from_seed(seed.ok_or_else(|| damaged("the identity does not open"))?)?;
            let keystore = Self {
                id,
                store,
                slots,
                roots: Arc::new(RwLock::new(Arc::new(roots))),
                identity: Arc::new(identity),
                clock,
                random,
                keks: Cache::new(),
                slot_locks: Arc::default(),
                heads: Cache::new(),
                opened: Cache::new(),
                job_states: Cache::new(),
                offers: Arc::default(),
                sessions: Arc::default(),
                free_space: None,
                offer_keys: None,
                next_offer: Arc::default(),
                token: None,
                making: objects::Making::default(),
            };
            let adopted = keystore.adopt_inline().await;
            let id = &keystore.id;
            adopted.map_err(|e| OpenError::Damaged { keystore: id.clone(), detail: e.to_string() })?;
            return Ok(keystore);
        }
    }

    /// With a probe of the free space where its store lies; preflight asks it.
    #[must_use]
    pub fn with_free_space(mut self, probe: FreeSpace) -> Self {
        self.free_space = Some(Arc::from(probe));
        self
    }

    /// With a token that has the material of keys: a hardware instance. Must be so from its first key on.
    #[must_use]
    pub fn with_token(mut self, token: Arc<Token>) -> Self {
        self.token = Some(token);
        self
    }

    /// The token of a hardware instance.
    #[must_use]
    pub const fn token(&self) -> Option<&Arc<Token>> {
        self.token.as_ref()
    }

    /// With offer keys from elsewhere, for a simulation that has no time to make them: in life each offer has its own.
    #[must_use]
    pub fn with_offer_keys(mut self, keys: OfferKeys) -> Self {
        self.offer_keys = Some(Arc::from(keys));
        self
    }

    /// The public half of its identity.
    #[must_use]
    pub fn public_identity(&self) -> PublicIdentity {
        self.identity.public()
    }

    /// Signs in the name of this keystore, for a purpose of its own.
    #[must_use]
    pub fn attest(&self, purpose: &'static str, statement: &[u8]) -> Vec<u8> {
        self.identity.sign(purpose, statement)
    }

    /// Drops keys from memory that were not used for [`IDLE_AFTER`]. To be called every few seconds.
    pub fn sweep_cache(&self) {
        let since = self.clock.monotonic().saturating_sub(IDLE_AFTER);
        self.opened.sweep(since);
        self.heads.sweep(since);
        self.keks.sweep(since);
        self.job_states.sweep(since);
    }
}

fn set_up(id: &KeystoreId, root: &RootKey, random: &dyn Random) -> Result<Transaction, CryptoError> {
    let identity = Identity::generate(random)?;
    let seed = root.sealing().seal(random, &Address::of(id, "identity"), identity.seed())?;
    let check = roots::first(id, root, random)?;
    let mut transaction = Transaction::new();
    transaction.compare(Compare::Absent(layout::CHECK.to_vec())).compare(Compare::Absent(layout::IDENTITY.to_vec()));
    transaction.put(layout::CHECK, check).put(layout::IDENTITY, seed);
    Ok(transaction)
}

#[cfg(test)]
mod tests;
