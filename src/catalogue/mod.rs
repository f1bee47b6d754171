//! All metadata, wherever the material lives, and which keystore holds it.
//!
//! A write needs a token made only here: [`Guarded`] says that the scope was seen without a gate, and the transaction
//! compares that it still is; [`Locked`] says that the writer's job holds the lock, and the transaction compares that
//! its lease was not taken over; [`InFlight`] says that a rotation touched the outside before the gate went up, and lets it
//! move its stages while there is no lock. There is no fourth way to change a resource.

mod change;
mod clock;
mod due;
mod error;
mod evidence;
mod instances;
mod intents;
mod jobs;
mod lock;
mod marks;
mod paths;
mod quota;
mod repair;
mod resources;
mod rotations;
mod scopes;
mod tally;
mod usage;

use std::sync::Arc;

pub use change::{AliasRecord, Change};
pub use clock::{ClockRecord, ClockStep};
pub use due::DueEntry;
pub use error::CatalogueError;
pub use evidence::{AskedRecord, RotationSeen, StepRecord};
pub use instances::InstanceRecord;
pub use intents::{Intent, IntentRecord};
pub use jobs::{CleanUp, Hold, Lease, LeftPage, PLAN_PAGE, PlanItem, PlanPage};
pub use lock::{GateRecord, Guarded, LockRecord, Locked, Refusal};
pub use marks::MarkRecord;
pub use quota::{Demand, QuotaRecord, TenantRecord};
pub use resources::{KeyOrAlias, Listed};
pub use rotations::{InFlight, MAX_IN_FLIGHT, RotationRecord};

use crate::observe::failpoint::{Failpoint, around};
use crate::store::{Outcome, SharedStore, Transaction};

/// The catalogue of one deployment. Cheap to clone.
#[derive(Clone)]
pub struct Catalogue {
    store: SharedStore,
    usage: Arc<usage::Reserved>,
}

impl Catalogue {
    /// A catalogue in the control store.
    #[must_use]
    pub fn new(store: SharedStore) -> Self {
        Self { store, usage: Arc::default() }
    }

    /// The same catalogue over another view of the control store.
    #[must_use]
    pub fn over(&self, store: SharedStore) -> Self {
        Self { store, usage: Arc::clone(&self.usage) }
    }

    /// The control store, for records of other rooms (schedules).
    #[must_use]
    pub fn store(&self) -> &SharedStore {
        &self.store
    }

    /// Commits a change.
    ///
    /// # Errors
    /// [`CatalogueError::Conflict`] when something it read has changed: read again and retry. `Unknown`: it may have
    /// been committed.
    pub async fn commit(&self, change: Change) -> Result<(), CatalogueError> {
        if change.is_of_a_job() {
            return self.commit_at(Failpoint::CatalogueFlip, change.into_transaction()).await.map(|_| ());
        }
        self.commit_transaction(change.into_transaction()).await.map(|_| ())
    }

    /// Commits a write of a migration, between its failpoints.
    async fn commit_at(
        &self,
        point: Failpoint,
        transaction: Transaction,
    ) -> Result<crate::store::Revision, CatalogueError> {
        around(point, self.commit_transaction(transaction), CatalogueError::from).await
    }

    async fn commit_transaction(&self, transaction: Transaction) -> Result<crate::store::Revision, CatalogueError> {
        match self.store.commit(transaction).await? {
            Outcome::Committed(revision) => Ok(revision),
            Outcome::Conflict => Err(CatalogueError::Conflict),
            Outcome::Unknown => Err(CatalogueError::Unknown),
        }
    }
}
