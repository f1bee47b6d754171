//! Slots behind a gate: while it is closed none is made, replaced or destroyed.

use async_trait::async_trait;

use super::{SharedSlots, SlotError, SlotName, Slots};
use crate::store::gate::Gate;

/// Slots behind a gate.
pub struct GatedSlots {
    inner: SharedSlots,
    gate: Gate,
}

impl GatedSlots {
    /// `inner` behind `gate`.
    #[must_use]
    pub fn new(inner: SharedSlots, gate: Gate) -> Self {
        Self { inner, gate }
    }
}

#[async_trait]
impl Slots for GatedSlots {
    async fn create(&self, name: &SlotName, content: &[u8]) -> Result<(), SlotError> {
        let _writing = self.gate.write().await;
        self.inner.create(name, content).await
    }

    async fn read(&self, name: &SlotName) -> Result<Option<Vec<u8>>, SlotError> {
        self.inner.read(name).await
    }

    async fn replace(&self, name: &SlotName, content: &[u8]) -> Result<(), SlotError> {
        let _writing = self.gate.write().await;
        self.inner.replace(name, content).await
    }

    async fn shred(&self, name: &SlotName) -> Result<(), SlotError> {
        let _writing = self.gate.write().await;
        self.inner.shred(name).await
    }
}
