//! What each account holds in each instance, counted once: stores of releases that kept totals alone do not say it.

use std::collections::BTreeMap;

use super::quota::TenantRecord;
use super::{Catalogue, CatalogueError, Demand, QuotaRecord, paths};
use crate::model::{AccountId, InstanceId};
use crate::store::{MAX_OPERATIONS, Transaction};

type Tenants = BTreeMap<InstanceId, BTreeMap<AccountId, Demand>>;

impl Catalogue {
    /// Counts them where that has not been done yet. To be called before anything else writes.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn tally(&self) -> Result<(), CatalogueError> {
        if self.store().get(paths::TALLIED).await?.is_some() {
            return Ok(());
        }
        let mut records = Vec::new();
        let quotas = self.quotas().await?;
        if !quotas.is_empty() {
            let mut tenants = self.tenants().await?;
            for (id, quota) in quotas {
                let mut held = tenants.remove(&id).unwrap_or_default();
                self.without_reserved(&quota, &mut held).await?;
                records.extend(held.into_iter().map(|(account, used)| (paths::tenant(&id, &account), used)));
            }
        }
        for batch in records.chunks(MAX_OPERATIONS) {
            let mut transaction = Transaction::new();
            for (path, used) in batch {
                transaction.overwrite(path, &TenantRecord { used: *used })?;
            }
            self.commit_transaction(transaction).await?;
        }
        let mut transaction = Transaction::new();
        transaction.put(paths::TALLIED, Vec::new());
        self.commit_transaction(transaction).await.map(|_| ())
    }

    /// By what the entries say.
    async fn tenants(&self) -> Result<Tenants, CatalogueError> {
        let mut tenants = Tenants::new();
        for scope in self.scopes().await? {
            for key in self.keys(&scope).await? {
                if let Some(id) = key.keystore.instance() {
                    tenants.entry(id.clone()).or_default().entry(scope.account.clone()).or_default().keys += 1;
                }
            }
            for secret in self.secrets(&scope).await? {
                if let Some(id) = secret.keystore.instance() {
                    tenants.entry(id.clone()).or_default().entry(scope.account.clone()).or_default().secrets += 1;
                }
            }
        }
        Ok(tenants)
    }

    /// What a running job has brought counts as reserved until it ends: the job's account has what the others leave of the
    /// total. One job at a time holds an instance.
    async fn without_reserved(
        &self,
        quota: &QuotaRecord,
        held: &mut BTreeMap<AccountId, Demand>,
    ) -> Result<(), CatalogueError> {
        let Some(job) = quota.reserved.keys().next() else { return Ok(()) };
        let Some(job) = self.job_summary(job).await? else { return Ok(()) };
        let mover = &job.scope.account;
        let others = held.iter().filter(|(account, _)| *account != mover).fold(quota.used, |left, (_, d)| Demand {
            keys: left.keys.saturating_sub(d.keys),
            secrets: left.secrets.saturating_sub(d.secrets),
        });
        held.insert(mover.clone(), others);
        Ok(())
    }
}
