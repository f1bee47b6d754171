//! Rotations of secrets that have begun and not ended, and which of them are in flight.
//!
//! The new value is a version without a stage, committed with the record of its rotation before anything outside is
//! touched. In flight is a rotation that may have touched it: it is registered by a transaction that compares the gate
//! absent, and takes itself out in one that compares only the lock absent, so a job that has closed the gate waits for it
//! (design §6, step 3).

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Catalogue, CatalogueError, Change, paths};
use crate::model::{Incarnation, Scope, SecretName, SecretVersionId};
use crate::store::{Record, Stored, Transaction, get_record, scan_records};

/// Rotations of one scope that may be in flight at a time: their names are one record.
pub const MAX_IN_FLIGHT: usize = 32;

/// A rotation that has begun. It stays until the new version is current.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationRecord {
    /// The same for every try: what makes a rotator's work idempotent.
    pub id: String,
    /// Where the secret is.
    pub scope: Scope,
    /// The secret.
    pub secret: SecretName,
    /// The life of the secret: a recreated one has nothing to do with this.
    pub incarnation: Incarnation,
    /// The version that is to become current.
    pub version: SecretVersionId,
    /// The access key that goes out of use with this rotation (RAMCredentials).
    pub retires: Option<String>,
    /// True when a request asked for it; false when it fell due.
    pub by_request: bool,
    /// When it began.
    pub began_at: Timestamp,
    /// Tries that failed.
    pub failures: u32,
    /// When it was tried last.
    pub tried_at: Option<Timestamp>,
    /// Not before this instant it is tried again.
    pub next_try: Timestamp,
    /// Registered as in flight.
    pub in_flight: bool,
    /// A try ended without an answer: the credential may have changed.
    pub unsure: bool,
}

impl Record for RotationRecord {
    const KIND: &'static str = "rotation";
    const SCHEMA: u16 = 1;
}

/// Which rotations of a scope are in flight; present while there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FlightRecord {
    secrets: BTreeSet<SecretName>,
}

impl Record for FlightRecord {
    const KIND: &'static str = "rotations in flight";
    const SCHEMA: u16 = 1;
}

/// The rotation was registered before a gate; a change made with it compares that there is no lock, and that the
/// registrations are as they were read.
#[derive(Debug, Clone)]
pub struct InFlight {
    pub(super) scope: Scope,
    secret: SecretName,
    pub(super) record: Stored<FlightRecord>,
}

impl Catalogue {
    /// The rotation of a secret, if one has begun.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn rotation(
        &self,
        scope: &Scope,
        secret: &SecretName,
    ) -> Result<Option<Stored<RotationRecord>>, CatalogueError> {
        Ok(get_record(self.store().as_ref(), &paths::rotation(scope, secret)).await?)
    }

    /// Every rotation that has begun and not ended.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn rotations(&self) -> Result<Vec<Stored<RotationRecord>>, CatalogueError> {
        let found = scan_records(self.store().as_ref(), paths::ROTATIONS, None, usize::MAX).await?;
        Ok(found.into_iter().map(|(_, record)| record).collect())
    }

    /// Permission to finish a rotation that is in flight.
    ///
    /// # Errors
    /// `Conflict` when it is not registered.
    pub async fn in_flight(&self, scope: &Scope, secret: &SecretName) -> Result<InFlight, CatalogueError> {
        let record = get_record::<FlightRecord>(self.store().as_ref(), &paths::flight(scope)).await?;
        match record {
            Some(record) if record.secrets.contains(secret) => {
                Ok(InFlight { scope: scope.clone(), secret: secret.clone(), record })
            }
            _ => Err(CatalogueError::Conflict),
        }
    }

    /// Registers a secret's rotation as in flight by a guarded change. False when too many are.
    ///
    /// # Errors
    /// When the store cannot be read or the record not written.
    pub async fn take_off(
        &self,
        change: &mut Change,
        scope: &Scope,
        secret: &SecretName,
    ) -> Result<bool, CatalogueError> {
        let path = paths::flight(scope);
        let transaction = change.transaction();
        match get_record::<FlightRecord>(self.store().as_ref(), &path).await? {
            None => {
                transaction.create(&path, &FlightRecord { secrets: BTreeSet::from([secret.clone()]) })?;
            }
            Some(record) if record.secrets.len() >= MAX_IN_FLIGHT => return Ok(false),
            Some(mut record) => {
                record.secrets.insert(secret.clone());
                transaction.replace(&path, &record)?;
            }
        }
        Ok(true)
    }

    /// Forgets a rotation that is not in flight and changes no resource: its secret is gone, or it was given up.
    ///
    /// # Errors
    /// `Conflict` when it changed.
    pub async fn forget_rotation(&self, record: &Stored<RotationRecord>) -> Result<(), CatalogueError> {
        let mut transaction = Transaction::new();
        transaction.remove(&paths::rotation(&record.scope, &record.secret), record);
        self.commit_transaction(transaction).await.map(|_| ())
    }

    /// Writes when a rotation that is not in flight is to be tried again.
    ///
    /// # Errors
    /// `Conflict` when it changed.
    pub async fn postpone_rotation(&self, record: &Stored<RotationRecord>) -> Result<(), CatalogueError> {
        let mut transaction = Transaction::new();
        transaction.replace(&paths::rotation(&record.scope, &record.secret), record)?;
        self.commit_transaction(transaction).await.map(|_| ())
    }
}

impl Change {
    /// A rotation that begins, in place of what an earlier secret of the name left.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn begin_rotation(
        &mut self,
        record: &RotationRecord,
        left: Option<&Stored<RotationRecord>>,
    ) -> Result<&mut Self, CatalogueError> {
        let path = paths::rotation(&record.scope, &record.secret);
        match left {
            None => self.transaction().create(&path, record)?,
            Some(left) => {
                let mut stored = left.clone();
                *stored = record.clone();
                self.transaction().replace(&path, &stored)?
            }
        };
        Ok(self)
    }

    /// A rotation whose record changed.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn update_rotation(&mut self, record: &Stored<RotationRecord>) -> Result<&mut Self, CatalogueError> {
        self.transaction().replace(&paths::rotation(&record.scope, &record.secret), record)?;
        Ok(self)
    }

    /// A rotation that has ended.
    pub fn end_rotation(&mut self, record: &Stored<RotationRecord>) -> &mut Self {
        self.transaction().remove(&paths::rotation(&record.scope, &record.secret), record);
        self
    }

    /// Takes the rotation out of those in flight.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn land(&mut self, flight: &InFlight) -> Result<&mut Self, CatalogueError> {
        let path = paths::flight(&flight.scope);
        let mut record = flight.record.clone();
        record.secrets.remove(&flight.secret);
        if record.secrets.is_empty() {
            self.transaction().remove(&path, &record);
        } else {
            self.transaction().replace(&path, &record)?;
        }
        Ok(self)
    }
}
