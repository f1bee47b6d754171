//! An instance's quota: a counter that every creation and every job compares; and beside it what each account holds of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Catalogue, CatalogueError, Lease, paths};
use crate::model::{AccountId, InstanceId, Job, JobId};
use crate::store::{Record, Stored, Transaction, get_record, scan_records};

/// Keys and secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Demand {
    /// Keys.
    pub keys: u64,
    /// Secrets.
    pub secrets: u64,
}

/// What an instance holds and what jobs have reserved in it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct QuotaRecord {
    /// In use.
    pub used: Demand,
    /// Reserved by jobs that run.
    pub reserved: BTreeMap<JobId, Demand>,
}

impl QuotaRecord {
    /// In use and reserved by others than `except`.
    #[must_use]
    pub fn taken(&self, except: Option<&JobId>) -> Demand {
        self.reserved.iter().filter(|(job, _)| Some(*job) != except).fold(self.used, |sum, (_, d)| Demand {
            keys: sum.keys.saturating_add(d.keys),
            secrets: sum.secrets.saturating_add(d.secrets),
        })
    }
}

impl Record for QuotaRecord {
    const KIND: &'static str = "instance quota";
    const SCHEMA: u16 = 1;
}

/// What an account holds in an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TenantRecord {
    /// In use; what a running job brings is reserved, not yet here.
    pub used: Demand,
}

impl Record for TenantRecord {
    const KIND: &'static str = "instance use of an account";
    const SCHEMA: u16 = 1;
}

impl Catalogue {
    /// The quota record of an instance (zero when nothing was ever stored in it).
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn quota(&self, id: &InstanceId) -> Result<QuotaRecord, CatalogueError> {
        Ok(self.stored_quota(id).await?.map(Stored::into_value).unwrap_or_default())
    }

    /// The quota record of every instance in which something was ever stored, or reserved.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn quotas(&self) -> Result<BTreeMap<InstanceId, QuotaRecord>, CatalogueError> {
        let found = scan_records::<QuotaRecord>(self.store().as_ref(), paths::QUOTAS, None, usize::MAX).await?;
        let named = found.into_iter().filter_map(|(path, quota)| {
            let id = std::str::from_utf8(path.get(paths::QUOTAS.len()..)?).ok()?.parse().ok()?;
            Some((id, quota.into_value()))
        });
        Ok(named.collect())
    }

    /// What an account holds in an instance; `None` when it never held anything.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn tenant(
        &self,
        id: &InstanceId,
        account: &AccountId,
    ) -> Result<Option<Stored<TenantRecord>>, CatalogueError> {
        Ok(get_record(self.store().as_ref(), &paths::tenant(id, account)).await?)
    }

    /// What each account holds in an instance, by account.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn usage_by_account(&self, id: &InstanceId) -> Result<BTreeMap<AccountId, Demand>, CatalogueError> {
        let prefix = paths::tenants(id);
        let found = scan_records::<TenantRecord>(self.store().as_ref(), &prefix, None, usize::MAX).await?;
        let named = found.into_iter().filter_map(|(path, record)| {
            let account = std::str::from_utf8(path.get(prefix.len()..)?).ok()?.parse().ok()?;
            Some((account, record.used))
        });
        Ok(named.collect())
    }

    /// Adds a change of what the instance holds of an account to a transaction: `plus` comes, `minus` goes.
    pub(super) async fn count(
        &self,
        transaction: &mut Transaction,
        id: &InstanceId,
        account: &AccountId,
        plus: Demand,
        minus: Demand,
    ) -> Result<(), CatalogueError> {
        self.change_quota(transaction, id, |quota| quota.used = shift(quota.used, plus, minus)).await?;
        self.change_tenant(transaction, id, account, plus, minus).await
    }

    /// Reserves another demand for a job that has reserved something; false when the instance may not hold so much.
    ///
    /// # Errors
    /// `Conflict` when the quota record changed or the lease was lost.
    pub async fn reserve_anew(
        &self,
        lease: &Lease,
        job: &Job,
        demand: Demand,
        most: Demand,
    ) -> Result<bool, CatalogueError> {
        let mut transaction = Transaction::new();
        lease.apply(&mut transaction);
        let mut fits = false;
        self.change_quota(&mut transaction, &job.instance, |quota| {
            let taken = quota.taken(Some(&job.id));
            fits = taken.keys.saturating_add(demand.keys) <= most.keys
                && taken.secrets.saturating_add(demand.secrets) <= most.secrets;
            quota.reserved.insert(job.id.clone(), demand);
        })
        .await?;
        if fits {
            self.commit_transaction(transaction).await?;
        }
        Ok(fits)
    }

    pub(super) async fn reserve(
        &self,
        transaction: &mut Transaction,
        id: &InstanceId,
        job: &JobId,
        demand: Demand,
    ) -> Result<(), CatalogueError> {
        self.change_quota(transaction, id, |quota| {
            quota.reserved.insert(job.clone(), demand);
        })
        .await
    }

    /// Turns a job's reservation into what it moved for the account, or gives it up.
    pub(super) async fn release(
        &self,
        transaction: &mut Transaction,
        id: &InstanceId,
        job: &JobId,
        moved: Option<(&AccountId, Demand)>,
    ) -> Result<(), CatalogueError> {
        if self.quota(id).await?.reserved.contains_key(job) {
            self.change_quota(transaction, id, |quota| {
                quota.reserved.remove(job);
                quota.used = shift(quota.used, moved.map(|(_, moved)| moved).unwrap_or_default(), Demand::default());
            })
            .await?;
            if let Some((account, moved)) = moved {
                self.change_tenant(transaction, id, account, moved, Demand::default()).await?;
            }
        }
        Ok(())
    }

    async fn change_quota(
        &self,
        transaction: &mut Transaction,
        id: &InstanceId,
        change: impl FnOnce(&mut QuotaRecord),
    ) -> Result<(), CatalogueError> {
        let path = paths::quota(id);
        match self.stored_quota(id).await? {
            Some(mut stored) => {
                change(&mut stored);
                transaction.replace(&path, &stored)?;
            }
            None => {
                let mut fresh = QuotaRecord::default();
                change(&mut fresh);
                transaction.create(&path, &fresh)?;
            }
        }
        Ok(())
    }

    async fn change_tenant(
        &self,
        transaction: &mut Transaction,
        id: &InstanceId,
        account: &AccountId,
        plus: Demand,
        minus: Demand,
    ) -> Result<(), CatalogueError> {
        let path = paths::tenant(id, account);
        match self.tenant(id, account).await? {
            Some(mut stored) => {
                stored.used = shift(stored.used, plus, minus);
                transaction.replace(&path, &stored)?;
            }
            None => {
                let used = shift(Demand::default(), plus, minus);
                transaction.create(&path, &TenantRecord { used })?;
            }
        }
        Ok(())
    }

    async fn stored_quota(&self, id: &InstanceId) -> Result<Option<Stored<QuotaRecord>>, CatalogueError> {
        Ok(get_record(self.store().as_ref(), &paths::quota(id)).await?)
    }
}

fn shift(used: Demand, plus: Demand, minus: Demand) -> Demand {
    Demand {
        keys: used.keys.saturating_add(plus.keys).saturating_sub(minus.keys),
        secrets: used.secrets.saturating_add(plus.secrets).saturating_sub(minus.secrets),
    }
}
