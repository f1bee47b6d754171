//! What a reload takes away: out of use first, then asked once more whether it is unused, then gone.

use std::collections::BTreeSet;

use crate::config::{Changes, Config};
use crate::kms::Withdrawn;
use crate::model::{AccountId, InstanceId};

/// What goes with the new file, on top of what earlier reloads took away.
pub(super) fn leaving(old: &Config, new: &Config, changes: &Changes, before: &Withdrawn) -> Withdrawn {
    let mut withdrawn = before.clone();
    withdrawn.regions.extend(changes.regions_gone.iter().cloned());
    withdrawn.accounts.extend(changes.accounts_gone.iter().cloned());
    withdrawn.instances.extend(changes.instances_gone.iter().chain(&changes.instances_replaced).cloned());
    for instance in &old.instances {
        let after = new.instance(&instance.id).map(|after| after.shared_with.as_slice()).unwrap_or_default();
        let lost = instance.shared_with.iter().filter(|account| !after.contains(account));
        withdrawn.shares.extend(lost.map(|account| (instance.id.clone(), account.clone())));
    }
    withdrawn.directories = changes.directories.then(|| new.directories.clone());
    withdrawn
}

/// What stays withdrawn once the new file is in force: requests of an account that is gone may still be under way, and of
/// an instance that a job holds the former shares count until the unlock.
pub(super) fn left(new: &Config, leaving: Withdrawn, held: &BTreeSet<InstanceId>) -> Withdrawn {
    let Withdrawn { mut regions, mut accounts, mut shares, .. } = leaving;
    regions.retain(|id| new.region(id).is_none());
    accounts.retain(|id| new.account(id).is_none());
    shares.retain(|(id, account)| held.contains(id) && !is_shared(new, id, account));
    Withdrawn { regions, accounts, shares, ..Withdrawn::default() }
}

fn is_shared(config: &Config, id: &InstanceId, account: &AccountId) -> bool {
    config.instance(id).is_some_and(|instance| instance.shared_with.contains(account))
}
