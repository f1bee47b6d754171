//! An instance's quota: a counter that every creation and every job compares.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Catalogue, CatalogueError, paths};
use crate::model::{InstanceId, JobId};
use crate::store::{Record, Stored, Transaction, get_record};

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

impl Catalogue {
    /// The quota record of an instance (zero when nothing was ever stored in it).
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn quota(&self, id: &InstanceId) -> Result<QuotaRecord, CatalogueError> {
        Ok(self.stored_quota(id).await?.map(Stored::into_value).unwrap_or_default())
    }

    /// Adds a change of what the instance holds to a transaction: `plus` comes, `minus` goes.
    pub(super) async fn count(
        &self,
        transaction: &mut Transaction,
        id: &InstanceId,
        plus: Demand,
        minus: Demand,
    ) -> Result<(), CatalogueError> {
        self.change_quota(transaction, id, |quota| quota.used = shift(quota.used, plus, minus)).await
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

    /// Turns a job's reservation into what it moved.
    pub(super) async fn release(
        &self,
        transaction: &mut Transaction,
        id: &InstanceId,
        job: &JobId,
        moved: Demand,
    ) -> Result<(), CatalogueError> {
        if self.quota(id).await?.reserved.contains_key(job) {
            self.change_quota(transaction, id, |quota| {
                quota.reserved.remove(job);
                quota.used = shift(quota.used, moved, Demand::default());
            })
            .await?;
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
