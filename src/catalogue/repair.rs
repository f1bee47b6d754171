//! What only the doctor changes: index rows that were lost, and what holds a scope for a job that does not run.

use jiff::Timestamp;

use super::{Catalogue, CatalogueError, Change, GateRecord, LockRecord, paths};
use crate::model::{InstanceId, JobId, KeyRecord, ResourceKind, Scope, SecretRecord};
use crate::store::{Compare, Stored, Transaction, get_record, scan_records};

impl Change {
    /// Puts the index row of a key that has lost it.
    pub fn index_key(&mut self, record: &Stored<KeyRecord>) -> &mut Self {
        let scope = Scope { region: record.region.clone(), account: record.account.clone() };
        let row = paths::index(&scope, ResourceKind::Key, record.created_at, record.id.as_str());
        self.index(paths::key(&record.region, &record.id), record.revision(), row)
    }

    /// Puts the index row of a secret that has lost it.
    pub fn index_secret(&mut self, record: &Stored<SecretRecord>) -> &mut Self {
        let scope = Scope { region: record.region.clone(), account: record.account.clone() };
        let row = paths::index(&scope, ResourceKind::Secret, record.created_at, record.name.as_str());
        self.index(paths::secret(&scope, &record.name), record.revision(), row)
    }
}

impl Catalogue {
    /// When a resource was made, as far as its index row tells; it outlives a lost entry.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn created_by_index(
        &self,
        scope: &Scope,
        kind: ResourceKind,
        name: &str,
    ) -> Result<Option<Timestamp>, CatalogueError> {
        let mut found = None;
        self.walk(&paths::index_prefix(scope, kind), |row| {
            if let Some((nanos, named)) = String::from_utf8_lossy(row).split_once('/')
                && named == name
            {
                found = nanos.parse().ok().and_then(|nanos| Timestamp::from_nanosecond(nanos).ok());
            }
        })
        .await?;
        Ok(found)
    }

    /// Who holds an instance.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn held_instances(&self) -> Result<Vec<(InstanceId, JobId)>, CatalogueError> {
        let found = scan_records::<GateRecord>(self.store().as_ref(), paths::INSTANCE_GATES, None, usize::MAX).await?;
        let held = found.into_iter().filter_map(|(path, gate)| {
            let name = path.get(paths::INSTANCE_GATES.len()..)?;
            Some((std::str::from_utf8(name).ok()?.parse().ok()?, gate.job.clone()))
        });
        Ok(held.collect())
    }

    /// Who holds a scope, running or not.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn held_scopes(&self) -> Result<Vec<(Scope, JobId)>, CatalogueError> {
        let mut held = Vec::new();
        for (path, gate) in scan_records::<GateRecord>(self.store().as_ref(), paths::GATES, None, usize::MAX).await? {
            held.extend(paths::scope_behind(&path, paths::GATES).map(|scope| (scope, gate.job.clone())));
        }
        for (path, lock) in scan_records::<LockRecord>(self.store().as_ref(), paths::LOCKS, None, usize::MAX).await? {
            held.extend(paths::scope_behind(&path, paths::LOCKS).map(|scope| (scope, lock.job.clone())));
        }
        held.sort();
        held.dedup();
        Ok(held)
    }

    /// Takes gate and lock of a scope down, if they are of this job and it does not run.
    ///
    /// # Errors
    /// `Conflict` when something changed meanwhile; `LeaseLost` when the job runs.
    pub async fn release_scope(&self, scope: &Scope, job: &JobId) -> Result<(), CatalogueError> {
        let mut transaction = self.of_no_running_job(job).await?;
        if let Some(gate) = self.gate(scope).await?
            && gate.job == *job
        {
            transaction.remove(&paths::gate(scope), &gate);
        }
        if let Some(lock) = self.lock_of(scope).await?
            && lock.job == *job
        {
            transaction.remove(&paths::lock(scope), &lock);
        }
        self.commit_transaction(transaction).await.map(|_| ())
    }

    /// Takes the gate of an instance down and gives up what the job reserved in it, if the job does not run.
    ///
    /// # Errors
    /// `Conflict` when something changed meanwhile; `LeaseLost` when the job runs.
    pub async fn release_instance(&self, id: &InstanceId, job: &JobId) -> Result<(), CatalogueError> {
        let mut transaction = self.of_no_running_job(job).await?;
        if let Some(gate) = self.instance_gate(id).await?
            && gate.job == *job
        {
            transaction.remove(&paths::instance_gate(id), &gate);
        }
        self.release(&mut transaction, id, job, None).await?;
        self.commit_transaction(transaction).await.map(|_| ())
    }

    /// A transaction that holds only as long as the job does not run.
    async fn of_no_running_job(&self, job: &JobId) -> Result<Transaction, CatalogueError> {
        let mut transaction = Transaction::new();
        let path = paths::job(job);
        match get_record::<crate::model::Job>(self.store().as_ref(), &path).await? {
            Some(found) if !found.state.is_final() => return Err(CatalogueError::LeaseLost(job.clone())),
            Some(found) => transaction.compare(Compare::Revision(path, found.revision())),
            None => transaction.compare(Compare::Absent(path)),
        };
        Ok(transaction)
    }
}
