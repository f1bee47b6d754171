//! Slots: where key-encryption keys lie, apart from the store.
//!
//! An engine keeps old pages, so what was deleted in it can be read from its files for a long time. A slot can be
//! destroyed for good: it is overwritten in place before it goes. [`files`] keeps slots beside the store, [`memory`] in
//! the process.

pub mod files;
pub mod gated;
pub mod memory;

use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::model::Random;

/// The random name of a slot: 32 hexadecimal digits, never used twice for two keys that both exist.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SlotName(String);

impl SlotName {
    /// A fresh name.
    #[must_use]
    pub fn generate(random: &dyn Random) -> Self {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        Self(hex::encode(bytes))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for SlotName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SlotName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if fits { Ok(Self(text.to_owned())) } else { Err("the name of a slot has 32 hexadecimal digits".to_owned()) }
    }
}

impl TryFrom<String> for SlotName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<SlotName> for String {
    fn from(name: SlotName) -> Self {
        name.0
    }
}

/// A slot that cannot be used.
#[derive(Debug, Error)]
pub enum SlotError {
    /// A new slot would replace one that is there.
    #[error("slot {0} exists already; nothing was written")]
    Exists(SlotName),
    /// The medium fails.
    #[error("slot {name}: {source}; see that its directory is there, writable and not full")]
    Medium {
        /// Which slot.
        name: SlotName,
        /// Why.
        source: std::io::Error,
    },
}

/// A place for slots. Contents are sealed already: nothing here is secret by itself.
#[async_trait]
pub trait Slots: Send + Sync + 'static {
    /// Writes a slot that is not there yet. Durable on return.
    ///
    /// # Errors
    /// [`SlotError::Exists`]; [`SlotError::Medium`], after which it may be there in part.
    async fn create(&self, name: &SlotName, content: &[u8]) -> Result<(), SlotError>;

    /// The content of a slot, if it is there.
    ///
    /// # Errors
    /// When the medium fails.
    async fn read(&self, name: &SlotName) -> Result<Option<Vec<u8>>, SlotError>;

    /// Puts another content in place of the present one, which is destroyed. After a crash at any point [`Slots::read`]
    /// shows one of the two, whole. Durable on return.
    ///
    /// # Errors
    /// When the medium fails.
    async fn replace(&self, name: &SlotName, content: &[u8]) -> Result<(), SlotError>;

    /// Overwrites a slot with noise, makes that durable, and removes it durably. Harmless where there is none.
    ///
    /// # Errors
    /// When the medium fails; to be tried again.
    async fn shred(&self, name: &SlotName) -> Result<(), SlotError>;
}

/// Slots shared by their users.
pub type SharedSlots = Arc<dyn Slots>;
