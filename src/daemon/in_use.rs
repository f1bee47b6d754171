//! What running jobs and stored resources use: what a changed configuration must leave alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalogue::{Catalogue, CatalogueError, Demand};
use crate::config::{Config, InUse, InstanceIdentity, Tenant};
use crate::model::{AccountId, InstanceId, JobState};
use crate::store::{Outcome, Record, StoreError, Transaction, get_record, scan_records};

impl Record for InstanceIdentity {
    const KIND: &'static str = "configured instance";
    const SCHEMA: u16 = 1;
}

/// Reads what is in use.
pub(super) async fn read(catalogue: &Catalogue) -> Result<InUse, CatalogueError> {
    let mut in_use = InUse::default();
    for scope in catalogue.scopes().await? {
        // Service keys are made by the configuration itself; alone they keep nothing in use.
        if catalogue.holds_own(&scope).await? {
            in_use.regions.insert(scope.region);
            in_use.accounts.insert(scope.account);
        }
    }
    let mut tenants: BTreeMap<InstanceId, BTreeSet<AccountId>> = BTreeMap::new();
    for (id, identity) in known(catalogue).await? {
        let used = catalogue.usage_by_account(&id).await?;
        let there = used.into_iter().filter(|(_, used)| *used != Demand::default()).map(|(account, _)| account);
        tenants.entry(id.clone()).or_default().extend(there);
        let quota = catalogue.quota(&id).await?;
        if quota.used != Demand::default() || !quota.reserved.is_empty() {
            in_use.instances.insert(id, Some(identity));
        }
    }
    for job in catalogue.jobs().await?.into_iter().filter(|job| !job.state.is_final()) {
        in_use.regions.insert(job.scope.region.clone());
        in_use.accounts.insert(job.scope.account.clone());
        in_use.instances.entry(job.instance.clone()).or_default();
        // One that still queues has its own preflight before it.
        if job.state != JobState::Queued {
            tenants.entry(job.instance.clone()).or_default().insert(job.scope.account.clone());
        }
    }
    for (id, accounts) in tenants {
        let by_hand = catalogue.instance(&id).await?.map(|record| record.shared_with.clone()).unwrap_or_default();
        let tenants =
            accounts.into_iter().map(|account| Tenant { shared_by_hand: by_hand.contains(&account), account });
        in_use.tenants.insert(id, tenants.collect());
    }
    Ok(in_use)
}

/// Stores what identifies each configured instance, for the next start and reload.
pub(super) async fn remember(catalogue: &Catalogue, config: &Config) -> Result<(), CatalogueError> {
    let store = catalogue.store();
    for (id, _) in known(catalogue).await?.into_iter().filter(|(id, _)| config.instance(id).is_none()) {
        let mut transaction = Transaction::new();
        transaction.delete(path(&id));
        settle(store.commit(transaction).await?)?;
    }
    for instance in &config.instances {
        let path = path(&instance.id);
        let before = get_record::<InstanceIdentity>(store.as_ref(), &path).await?;
        if before.is_none_or(|before| *before != instance.identity()) {
            let mut transaction = Transaction::new();
            transaction.overwrite(&path, &instance.identity())?;
            settle(store.commit(transaction).await?)?;
        }
    }
    Ok(())
}

const PREFIX: &[u8] = b"d/instance/";

fn path(id: &InstanceId) -> Vec<u8> {
    [PREFIX, id.as_str().as_bytes()].concat()
}

async fn known(catalogue: &Catalogue) -> Result<Vec<(InstanceId, InstanceIdentity)>, StoreError> {
    let found = scan_records::<InstanceIdentity>(catalogue.store().as_ref(), PREFIX, None, usize::MAX).await?;
    let named = found.into_iter().filter_map(|(path, identity)| {
        let id = std::str::from_utf8(path.get(PREFIX.len()..)?).ok()?.parse().ok()?;
        Some((id, identity.into_value()))
    });
    Ok(named.collect())
}

const fn settle(outcome: Outcome) -> Result<(), CatalogueError> {
    match outcome {
        Outcome::Committed(_) => Ok(()),
        Outcome::Conflict => Err(CatalogueError::Conflict),
        Outcome::Unknown => Err(CatalogueError::Unknown),
    }
}
