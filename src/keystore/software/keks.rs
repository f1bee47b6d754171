//! Key-encryption keys: one a scope, in a slot that the store names.
//!
//! Record `k/REGION/ACCOUNT` says which slots there are and how far an exchange of them has come. Every transaction that
//! writes a new head compares its revision: from the moment an exchange rewraps, nothing more arrives under the old key.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::bulk::MARK;
use super::roots::Roots;
use super::slots::{SlotError, SlotName};
use super::{SoftwareKeystore, layout};
use crate::crypto::sealing::{Address, SealingKey};
use crate::crypto::{CryptoError, Reader, Writer};
use crate::keystore::KeystoreError;
use crate::model::Scope;
use crate::store::{Compare, Outcome, Record, Stored, Transaction, get_record};

/// Record `k/REGION/ACCOUNT`: the slots of a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub(super) enum SlotState {
    /// The new slot is being written; it holds nothing anybody needs yet.
    Making { old: Option<SlotName>, new: SlotName },
    /// One slot.
    Settled { current: SlotName },
    /// New data keys go under the new slot's key; those under the old one follow.
    Rewrapping { old: SlotName, new: SlotName },
    /// Nothing is left under the old slot's key; the slot is being destroyed.
    Shredding { old: SlotName, current: SlotName },
}

impl Record for SlotState {
    const KIND: &'static str = "slots of an account";
    const SCHEMA: u16 = 1;
}

/// What happened to the slots of a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SlotEvent {
    /// An exchange begins, towards a slot of this name.
    Begin(SlotName),
    /// The new slot is durable.
    Made,
    /// No head is under the old slot's key any more.
    Rewrapped,
    /// The old slot is gone for good.
    Shredded,
}

/// The event does not fit the state: a fault of the program.
#[derive(Debug, Error)]
#[error("the slots of an account cannot go on from here")]
pub(super) struct SlotTransitionError;

impl SlotState {
    /// The only way from one state to another.
    pub(super) fn next(self, event: SlotEvent) -> Result<Self, SlotTransitionError> {
        Ok(match (self, event) {
            (Self::Settled { current }, SlotEvent::Begin(new)) => Self::Making { old: Some(current), new },
            (Self::Making { old: None, new }, SlotEvent::Made) => Self::Settled { current: new },
            (Self::Making { old: Some(old), new }, SlotEvent::Made) => Self::Rewrapping { old, new },
            (Self::Rewrapping { old, new }, SlotEvent::Rewrapped) => Self::Shredding { old, current: new },
            (Self::Shredding { current, .. }, SlotEvent::Shredded) => Self::Settled { current },
            _ => return Err(SlotTransitionError),
        })
    }

    /// The slots that hold a key which is needed.
    fn standing(&self) -> impl Iterator<Item = &SlotName> {
        let (one, other) = match self {
            Self::Making { old, .. } => (old.as_ref(), None),
            Self::Settled { current } | Self::Shredding { current, .. } => (Some(current), None),
            Self::Rewrapping { old, new } => (Some(old), Some(new)),
        };
        one.into_iter().chain(other)
    }

    /// The slot under whose key new data keys go, and the one that may still hold others. `None`: not usable yet.
    fn slots(&self) -> Option<(&SlotName, Option<&SlotName>)> {
        match self {
            Self::Making { old, .. } => old.as_ref().map(|old| (old, None)),
            Self::Settled { current } | Self::Shredding { current, .. } => Some((current, None)),
            Self::Rewrapping { old, new } => Some((new, Some(old))),
        }
    }
}

/// The opened keys of a scope.
pub(super) struct Keks {
    /// Seals new data keys.
    pub(super) seals: SealingKey,
    /// Has sealed some that were not rewrapped yet.
    pub(super) before: Option<SealingKey>,
    /// Holds as long as these are the keys: for every transaction that writes a new head.
    pub(super) guard: Compare,
}

impl Keks {
    /// Opens a data key under whichever of them sealed it.
    pub(super) fn unwrap(&self, address: &Address<'_>, wrapped: &[u8]) -> Result<SealingKey, CryptoError> {
        match (self.seals.unwrap(address, wrapped), &self.before) {
            (Err(CryptoError::Rejected), Some(before)) => before.unwrap(address, wrapped),
            (opened, _) => opened,
        }
    }
}

impl SoftwareKeystore {
    /// The keys of a scope; made when the scope is first used.
    pub(super) async fn keks(&self, scope: &Scope) -> Result<Arc<Keks>, KeystoreError> {
        let now = self.clock.monotonic();
        loop {
            if let Some(keks) = self.keks.get(scope, now) {
                return Ok(keks);
            }
            let generation = self.keks.generation();
            let state = self.slot_state(scope).await?;
            let Some((state, (seals, before))) = state.as_ref().and_then(|s| Some((s, s.slots()?))) else {
                self.first_slot(scope).await?;
                continue;
            };
            let seals = self.open_slot(scope, seals).await?;
            let before = match before {
                Some(name) => self.open_slot(scope, name).await?.map(Some),
                None => Some(None),
            };
            // A slot that is gone was exchanged meanwhile, or lost: the record tells which.
            let (Some(seals), Some(before)) = (seals, before) else {
                let again = self.slot_state(scope).await?;
                if again.is_some_and(|again| again.revision() == state.revision()) {
                    return Err(self.lost_slot(scope));
                }
                continue;
            };
            let guard = Compare::Revision(layout::slots(scope), state.revision());
            let keks = Arc::new(Keks { seals, before, guard });
            self.keks.insert(generation, scope.clone(), Arc::clone(&keks), now);
            return Ok(keks);
        }
    }

    /// How far the slots of a scope are. `None`: it was never used.
    pub(super) async fn slot_state(&self, scope: &Scope) -> Result<Option<Stored<SlotState>>, KeystoreError> {
        get_record(self.store(), &layout::slots(scope)).await.map_err(|e| self.store_error(e))
    }

    /// Writes a new slot with a new key. What an earlier try left under this name goes first: nothing was ever sealed
    /// under it.
    pub(super) async fn make_slot(&self, scope: &Scope, name: &SlotName) -> Result<(), KeystoreError> {
        let kek = SealingKey::generate(self.random.as_ref()).map_err(|e| self.use_error(e))?;
        self.slots.shred(name).await.map_err(|e| self.slot_error(&e))?;
        self.write_slot(scope, name, &kek).await
    }

    /// Moves keys into slots that an earlier release kept in the store, sealed under the root key. The mark has each
    /// exchanged soon, since the engine keeps old pages of it.
    pub(super) async fn adopt_inline(&self) -> Result<(), KeystoreError> {
        for (key, stored) in self.scan(layout::SLOTS).await? {
            let Some(scope) = layout::scope(&key).filter(|_| stored.value.first() == Some(&INLINE)) else {
                continue;
            };
            let address = Address { scope: Some(&scope), ..Address::of(&self.id, "kek") };
            let kek = self.roots().unwrap(&address, &stored.value);
            let kek = kek.map_err(|e| self.stored_error("key-encryption key", e))?;
            let current = SlotName::generate(self.random.as_ref());
            self.write_slot(&scope, &current, &kek).await?;
            let mut transaction = Transaction::new();
            transaction.compare(Compare::Revision(key.clone(), stored.revision)).put(layout::mark(&scope), MARK);
            transaction.overwrite(&key, &SlotState::Settled { current }).map_err(|e| self.store_error(e))?;
            // The only writer: what is not confirmed shows at the next start.
            let _: Outcome = self.commit(transaction).await?;
        }
        Ok(())
    }

    async fn write_slot(&self, scope: &Scope, name: &SlotName, kek: &SealingKey) -> Result<(), KeystoreError> {
        let content = self.slot_content(scope, name, kek)?;
        self.slots.create(name, &content).await.map_err(|e| self.slot_error(&e))
    }

    /// The key in a slot; `None` if the slot is not there.
    pub(super) async fn open_slot(&self, scope: &Scope, name: &SlotName) -> Result<Option<SealingKey>, KeystoreError> {
        let Some(content) = self.slots.read(name).await.map_err(|e| self.slot_error(&e))? else {
            return Ok(None);
        };
        let opened =
            sealed_part(&content).and_then(|(_, sealed)| self.roots().unwrap(&self.slot_address(scope, name), sealed));
        opened.map(Some).map_err(|e| self.stored_error(&format!("slot {name}"), e))
    }

    /// Seals the slots of a scope again that are not under the present root key. Answers how many.
    pub(super) async fn renew_slots(&self, roots: &Roots, scope: &Scope) -> Result<usize, KeystoreError> {
        let lock = self.slot_lock(scope);
        // An exchange makes and destroys slots under this lock.
        let _alone = lock.lock().await;
        let state = self.slot_state(scope).await?;
        let mut done = 0_usize;
        for name in state.iter().flat_map(|state| state.standing()) {
            let content = self.slots.read(name).await.map_err(|e| self.slot_error(&e))?;
            let content = content.ok_or_else(|| self.lost_slot(scope))?;
            let (under, _) = sealed_part(&content).map_err(|e| self.stored_error(&format!("slot {name}"), e))?;
            if under == roots.id() {
                continue;
            }
            let kek = self.open_slot(scope, name).await?.ok_or_else(|| self.lost_slot(scope))?;
            let content = self.slot_content(scope, name, &kek)?;
            self.slots.replace(name, &content).await.map_err(|e| self.slot_error(&e))?;
            done = done.saturating_add(1);
        }
        Ok(done)
    }

    fn slot_content(&self, scope: &Scope, name: &SlotName, kek: &SealingKey) -> Result<Vec<u8>, KeystoreError> {
        let roots = self.roots();
        let sealed = roots.sealing().wrap(self.random.as_ref(), &self.slot_address(scope, name), kek);
        let sealed = sealed.map_err(|e| self.use_error(e))?;
        Ok(Writer::new().u8(FORMAT).text(&roots.id()).field(&sealed).finish())
    }

    pub(super) fn slot_error(&self, error: &SlotError) -> KeystoreError {
        KeystoreError::Unavailable { keystore: self.id.clone(), detail: error.to_string() }
    }

    pub(super) fn lost_slot(&self, scope: &Scope) -> KeystoreError {
        let detail = format!("the slot that holds the key of {scope} is missing; restore the slots from a backup");
        KeystoreError::Damaged { keystore: self.id.clone(), detail }
    }

    /// Makes the first slot of a scope.
    async fn first_slot(&self, scope: &Scope) -> Result<(), KeystoreError> {
        let lock = self.slot_lock(scope);
        let _alone = lock.lock().await;
        let key = layout::slots(scope);
        match self.slot_state(scope).await? {
            None => {
                let first = SlotState::Making { old: None, new: SlotName::generate(self.random.as_ref()) };
                let mut transaction = Transaction::new();
                transaction.create(&key, &first).map_err(|e| self.store_error(e))?;
                // Whatever the outcome, the next look shows it.
                let _: Outcome = self.commit(transaction).await?;
            }
            Some(state) if state.slots().is_none() => {
                self.advance(scope, state, None).await?;
            }
            Some(_) => {}
        }
        Ok(())
    }

    fn slot_address<'a>(&'a self, scope: &'a Scope, name: &'a SlotName) -> Address<'a> {
        Address { scope: Some(scope), beside: name.as_str().as_bytes(), ..Address::of(&self.id, "kek") }
    }
}

/// The ID of the root key that a slot is sealed under, and the sealed key.
fn sealed_part(content: &[u8]) -> Result<(String, &[u8]), CryptoError> {
    let mut reader = Reader::new(content, "slot");
    if reader.u8()? != FORMAT {
        return Err(CryptoError::Malformed("slot of an unknown format"));
    }
    let part = (reader.text()?, reader.field()?);
    reader.end()?;
    Ok(part)
}

/// First byte of a sealed key where earlier releases kept one; a record begins with another.
const INLINE: u8 = 1;
const FORMAT: u8 = 1;
