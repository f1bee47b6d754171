//! What running jobs and stored resources use: what a changed configuration must leave alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalogue::{Catalogue, CatalogueError, Demand, QuotaRecord};
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
    let mut known: BTreeMap<_, _> = known(catalogue).await?.into_iter().collect();
    // Not only those that are known: what is stored in an instance says by itself that it is needed.
    for (id, quota) in catalogue.quotas().await? {
        let used = catalogue.usage_by_account(&id).await?;
        let there = used.into_iter().filter(|(_, used)| *used != Demand::default()).map(|(account, _)| account);
        tenants.entry(id.clone()).or_default().extend(there);
        if is_used(&quota) {
            let identity = known.remove(&id);
            in_use.instances.insert(id, identity);
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

/// Stores what identifies each configured instance, for the next start and reload. What is known of one that holds
/// something stays, whatever the configuration says.
pub(super) async fn remember(catalogue: &Catalogue, config: &Config) -> Result<(), CatalogueError> {
    let store = catalogue.store();
    for (id, _) in known(catalogue).await?.into_iter().filter(|(id, _)| config.instance(id).is_none()) {
        if is_used(&catalogue.quota(&id).await?) {
            continue;
        }
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

fn is_used(quota: &QuotaRecord) -> bool {
    quota.used != Demand::default() || !quota.reserved.is_empty()
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::check_start;
    use crate::store::memory::MemoryStore;

    const CONFIG: &str = r#"
[[region]]
id = "cn-hangzhou"
[[account]]
id = "1000000000000001"
"#;
    const INSTANCES: &str = r#"
[[instance]]
id = "kst-hz1"
region = "cn-hangzhou"
owner = "1000000000000001"
kind = "software"
[[instance]]
id = "kst-hz2"
region = "cn-hangzhou"
owner = "1000000000000001"
kind = "software"
"#;

    fn config(text: &str) -> Config {
        Config::parse(std::path::Path::new("/etc/keyferry/keyferry.toml"), text).unwrap().config
    }

    #[tokio::test]
    async fn what_holds_something_is_in_use_whatever_is_known_of_it() {
        let catalogue = Catalogue::new(Arc::new(MemoryStore::new()));
        let (with, without) = (config(&format!("{CONFIG}{INSTANCES}")), config(CONFIG));
        remember(&catalogue, &with).await.unwrap();
        assert_eq!(known(&catalogue).await.unwrap().len(), 2);
        let mut transaction = Transaction::new();
        let used = QuotaRecord { used: Demand { keys: 1, secrets: 0 }, ..QuotaRecord::default() };
        transaction.create(b"k/quota/kst-hz1", &used).unwrap();
        settle(catalogue.store().commit(transaction).await.unwrap()).unwrap();
        remember(&catalogue, &without).await.unwrap();
        let kept: Vec<_> = known(&catalogue).await.unwrap().into_iter().map(|(id, _)| id.to_string()).collect();
        assert_eq!(kept, ["kst-hz1"]);
        assert!(check_start(&without, &read(&catalogue).await.unwrap()).iter().any(|text| text.contains("kst-hz1")));

        let mut transaction = Transaction::new();
        transaction.delete(b"d/instance/kst-hz1".to_vec());
        settle(catalogue.store().commit(transaction).await.unwrap()).unwrap();
        let in_use = read(&catalogue).await.unwrap();
        assert_eq!(in_use.instances.into_iter().collect::<Vec<_>>(), [("kst-hz1".parse().unwrap(), None)]);
    }
}
