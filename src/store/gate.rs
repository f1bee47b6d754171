//! A gate before several stores: while it is closed nothing is written to any of them, so that a copy of all is of one
//! moment. Reads go on.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use super::{Outcome, Page, Revision, SharedStore, Store, StoreError, Transaction, Versioned};

/// The gate. Clones are the same gate.
#[derive(Clone, Default)]
pub struct Gate(Arc<RwLock<()>>);

/// The gate is closed as long as this lives.
pub struct Closed {
    _guard: OwnedRwLockWriteGuard<()>,
}

/// Somebody writes as long as this lives.
pub struct Writing {
    _guard: OwnedRwLockReadGuard<()>,
}

impl Gate {
    /// Closes the gate, once what is being written is written.
    pub async fn close(&self) -> Closed {
        Closed { _guard: Arc::clone(&self.0).write_owned().await }
    }

    /// Waits until the gate is open. Not to be asked for by somebody who has one already.
    pub async fn write(&self) -> Writing {
        Writing { _guard: Arc::clone(&self.0).read_owned().await }
    }
}

/// A store behind a gate.
pub struct Gated {
    inner: SharedStore,
    gate: Gate,
}

impl Gated {
    /// `inner` behind `gate`.
    #[must_use]
    pub fn new(inner: SharedStore, gate: Gate) -> Self {
        Self { inner, gate }
    }
}

#[async_trait]
impl Store for Gated {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, StoreError> {
        self.inner.get(key).await
    }

    async fn scan(&self, start: &[u8], end: Option<&[u8]>, limit: usize) -> Result<Page, StoreError> {
        self.inner.scan(start, end, limit).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Outcome, StoreError> {
        let _writing = self.gate.write().await;
        self.inner.commit(transaction).await
    }

    async fn changed(&self, prefix: &[u8], since: Revision) {
        self.inner.changed(prefix, since).await;
    }

    fn revision(&self) -> Revision {
        self.inner.revision()
    }
}
