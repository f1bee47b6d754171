//! Slots in memory, for simulation and tests. Nothing survives the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{SlotError, SlotName, Slots};

/// Slots in a map.
#[derive(Debug, Default)]
pub struct MemorySlots(Mutex<BTreeMap<SlotName, Vec<u8>>>);

impl MemorySlots {
    /// The names of all slots.
    #[must_use]
    pub fn names(&self) -> Vec<SlotName> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SlotName, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Slots for MemorySlots {
    async fn create(&self, name: &SlotName, content: &[u8]) -> Result<(), SlotError> {
        let mut slots = self.lock();
        if slots.contains_key(name) {
            return Err(SlotError::Exists(name.clone()));
        }
        slots.insert(name.clone(), content.to_vec());
        Ok(())
    }

    async fn read(&self, name: &SlotName) -> Result<Option<Vec<u8>>, SlotError> {
        Ok(self.lock().get(name).cloned())
    }

    async fn replace(&self, name: &SlotName, content: &[u8]) -> Result<(), SlotError> {
        self.lock().insert(name.clone(), content.to_vec());
        Ok(())
    }

    async fn shred(&self, name: &SlotName) -> Result<(), SlotError> {
        self.lock().remove(name);
        Ok(())
    }
}
