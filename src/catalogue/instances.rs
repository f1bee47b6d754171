//! What the catalogue remembers of an instance besides its configuration: the pinned identity and the shares made by hand.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Catalogue, CatalogueError, TenantRecord, paths};
use crate::crypto::parcel::PublicIdentity;
use crate::model::{AccountId, InstanceId, JobState, Scope};
use crate::store::{Record, Stored, Transaction, get_record};

/// An instance as the catalogue knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRecord {
    /// The instance.
    pub id: InstanceId,
    /// The Ed25519 identity seen when the instance was set up.
    pub identity: PublicIdentity,
    /// Shares made with `instance share`; those of the configuration add up.
    pub shared_with: BTreeSet<AccountId>,
}

impl Record for InstanceRecord {
    const KIND: &'static str = "instance";
    const SCHEMA: u16 = 1;
}

/// The instance of the newest completed migration of a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LastTarget {
    pub(super) instance: InstanceId,
}

impl Record for LastTarget {
    const KIND: &'static str = "last target";
    const SCHEMA: u16 = 1;
}

impl Catalogue {
    /// The instance that the newest completed migration of a scope went to.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn last_target(&self, scope: &Scope) -> Result<Option<InstanceId>, CatalogueError> {
        if let Some(known) = get_record::<LastTarget>(self.store().as_ref(), &paths::last_target(scope)).await? {
            return Ok(Some(known.into_value().instance));
        }
        // Migrations that completed under an earlier release left no record of it.
        let jobs = self.jobs().await?;
        let complete = jobs.into_iter().filter(|job| job.scope == *scope && job.state == JobState::Complete);
        Ok(complete.max_by_key(|job| job.finished_at).map(|job| job.instance.clone()))
    }

    /// The record of an instance.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn instance(&self, id: &InstanceId) -> Result<Option<Stored<InstanceRecord>>, CatalogueError> {
        Ok(get_record(self.store().as_ref(), &paths::instance(id)).await?)
    }

    /// Pins the identity of an instance that was never seen before; answers the pinned one.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn pin_identity(
        &self,
        id: &InstanceId,
        identity: &PublicIdentity,
    ) -> Result<PublicIdentity, CatalogueError> {
        if let Some(known) = self.instance(id).await? {
            return Ok(known.identity);
        }
        let record = InstanceRecord { id: id.clone(), identity: *identity, shared_with: BTreeSet::new() };
        let mut transaction = Transaction::new();
        transaction.create(&paths::instance(id), &record)?;
        match self.commit_transaction(transaction).await {
            Ok(_) => Ok(*identity),
            // Somebody else was first.
            Err(CatalogueError::Conflict) => {
                self.instance(id).await?.map(|known| known.identity).ok_or(CatalogueError::Conflict)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes an instance record from which an account's share is gone, comparing that no job holds the instance and that
    /// the account still holds nothing there (`tenant` as read and found to be zero). Every creation touches the
    /// tenant's record, and so does this: whichever comes second conflicts.
    ///
    /// # Errors
    /// `Conflict` when one of the records changed or a job has closed the instance's gate.
    pub async fn unshare_instance(
        &self,
        record: &Stored<InstanceRecord>,
        account: &AccountId,
        tenant: Option<&Stored<TenantRecord>>,
    ) -> Result<(), CatalogueError> {
        let mut transaction = Transaction::new();
        transaction.compare(crate::store::Compare::Absent(paths::instance_gate(&record.id)));
        transaction.replace(&paths::instance(&record.id), record)?;
        let path = paths::tenant(&record.id, account);
        match tenant {
            Some(tenant) => transaction.replace(&path, tenant)?,
            None => transaction.create(&path, &TenantRecord::default())?,
        };
        self.commit_transaction(transaction).await.map(|_| ())
    }

    /// Writes a changed instance record, comparing that no job holds the instance.
    ///
    /// # Errors
    /// `Conflict` when the record changed or a job has closed the instance's gate.
    pub async fn update_instance(&self, record: &Stored<InstanceRecord>) -> Result<(), CatalogueError> {
        let mut transaction = Transaction::new();
        transaction.compare(crate::store::Compare::Absent(paths::instance_gate(&record.id)));
        transaction.replace(&paths::instance(&record.id), record)?;
        self.commit_transaction(transaction).await.map(|_| ())
    }
}
