//! What a changed file may change while the daemon runs, and what it may not (contract §1).

use std::collections::{BTreeMap, BTreeSet};

use super::settings::{Config, Instance, InstanceIdentity};
use crate::model::{AccountId, InstanceId, RegionId};
use crate::observe::LogLevel;

/// What running jobs and stored resources use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InUse {
    /// Regions with resources or running jobs.
    pub regions: BTreeSet<RegionId>,
    /// Accounts with resources or running jobs.
    pub accounts: BTreeSet<AccountId>,
    /// Instances with resources or running jobs, with the identity the store knows of each, if it does.
    pub instances: BTreeMap<InstanceId, Option<InstanceIdentity>>,
    /// Who has resources in an instance, or a job into it that has not ended.
    pub tenants: BTreeMap<InstanceId, Vec<Tenant>>,
}

/// An account that uses an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Which.
    pub account: AccountId,
    /// `instance share` lets it, whatever the file says.
    pub shared_by_hand: bool,
}

/// What a reload changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The new log level.
    pub level: Option<LogLevel>,
    /// Workers, rate or allowed hours differ.
    pub migration: bool,
    /// Requests a second differ.
    pub limits: bool,
    /// Rights over the admin socket differ.
    pub rights: bool,
    /// Scheduled backups differ.
    pub backup: bool,
    /// Resource directories differ.
    pub directories: bool,
    /// Rotators differ.
    pub rotators: bool,
    /// Who is notified differs.
    pub notify: bool,
    /// Schedules differ: reconcile them.
    pub schedules: bool,
    /// Regions that are new, or whose service keys differ.
    pub regions: BTreeSet<RegionId>,
    /// Regions that go.
    pub regions_gone: BTreeSet<RegionId>,
    /// Accounts that are new, or whose name or access keys differ.
    pub accounts: BTreeSet<AccountId>,
    /// Accounts that go.
    pub accounts_gone: BTreeSet<AccountId>,
    /// Instances that are new, or whose quotas, expiry or shares differ; for one that a job holds, in force from the
    /// unlock.
    pub instances: BTreeSet<InstanceId>,
    /// Instances that are not in use and whose identity differs: close the old one, open the new one.
    pub instances_replaced: BTreeSet<InstanceId>,
    /// Instances that go.
    pub instances_gone: BTreeSet<InstanceId>,
    /// Keys that differ but are in force only from the next start.
    pub at_next_start: BTreeSet<String>,
}

impl Changes {
    /// Is there anything to do?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// One line for the log and the command line.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut parts = Vec::new();
        if let Some(level) = self.level {
            parts.push(format!("log level {}", level.as_str()));
        }
        if self.migration {
            parts.push("migration".to_owned());
        }
        if self.limits {
            parts.push("limits".to_owned());
        }
        if self.rights {
            parts.push("admin rights".to_owned());
        }
        if self.backup {
            parts.push("backup".to_owned());
        }
        if self.directories {
            parts.push("directories".to_owned());
        }
        if self.rotators {
            parts.push("rotators".to_owned());
        }
        if self.notify {
            parts.push("notify".to_owned());
        }
        if self.schedules {
            parts.push("schedules".to_owned());
        }
        names(&mut parts, "regions", &self.regions);
        names(&mut parts, "regions gone:", &self.regions_gone);
        names(&mut parts, "accounts", &self.accounts);
        names(&mut parts, "accounts gone:", &self.accounts_gone);
        names(&mut parts, "instances", &self.instances);
        names(&mut parts, "instances replaced:", &self.instances_replaced);
        names(&mut parts, "instances gone:", &self.instances_gone);
        names(&mut parts, "from the next start:", &self.at_next_start);
        if parts.is_empty() { "nothing differs".to_owned() } else { parts.join("; ") }
    }
}

/// What the new file changes.
///
/// # Errors
/// What is in use and would go or get another identity, one text each: the new file is to be rejected as a whole.
pub fn reload_diff(old: &Config, new: &Config, in_use: &InUse) -> Result<Changes, Vec<String>> {
    let mut refused = check_start(new, in_use);
    for id in in_use.instances.keys() {
        if let (Some(before), Some(after)) = (old.instance(id), new.instance(id)) {
            let differences = differences(id, &before.identity(), &after.identity());
            refused.extend(differences.into_iter().filter(|text| !refused.contains(text)).collect::<Vec<_>>());
        }
    }
    if !refused.is_empty() {
        return Err(refused);
    }
    let mut changes = Changes {
        level: (old.log.level != new.log.level).then_some(new.log.level),
        migration: old.migration != new.migration,
        limits: old.limits != new.limits,
        rights: old.admin.rights != new.admin.rights,
        backup: old.backup != new.backup,
        directories: old.directories != new.directories,
        rotators: old.rotators != new.rotators,
        notify: old.notify != new.notify,
        schedules: old.schedules != new.schedules,
        at_next_start: at_next_start(old, new),
        ..Changes::default()
    };
    for region in &new.regions {
        if old.region(&region.id).is_none_or(|before| before.service_keys != region.service_keys) {
            changes.regions.insert(region.id.clone());
        }
    }
    for account in &new.accounts {
        if old.account(&account.id).is_none_or(|before| before != account) {
            changes.accounts.insert(account.id.clone());
        }
    }
    for instance in &new.instances {
        match old.instance(&instance.id) {
            Some(before) if before.identity() != instance.identity() => {
                changes.instances_replaced.insert(instance.id.clone());
            }
            Some(before) if before == instance => {}
            _ => {
                changes.instances.insert(instance.id.clone());
            }
        }
    }
    let gone = old.regions.iter().map(|region| &region.id).filter(|id| new.region(id).is_none());
    changes.regions_gone = gone.cloned().collect();
    let gone = old.accounts.iter().map(|account| &account.id).filter(|id| new.account(id).is_none());
    changes.accounts_gone = gone.cloned().collect();
    let gone = old.instances.iter().map(|instance| &instance.id).filter(|id| new.instance(id).is_none());
    changes.instances_gone = gone.cloned().collect();
    Ok(changes)
}

/// What the store uses and the file does not have, or has with another identity: the daemon does not start on it.
#[must_use]
pub fn check_start(config: &Config, in_use: &InUse) -> Vec<String> {
    const BACK: &str = "which running jobs or stored resources use, is not in the file: put it back";
    let mut refused = Vec::new();
    for id in in_use.regions.iter().filter(|id| config.region(id).is_none()) {
        refused.push(format!("region {id}, {BACK}"));
    }
    for id in in_use.accounts.iter().filter(|id| config.account(id).is_none()) {
        refused.push(format!("account {id}, {BACK}"));
    }
    for (id, known) in &in_use.instances {
        match (config.instance(id).map(Instance::identity), known) {
            (None, _) => refused.push(format!("instance {id}, {BACK}")),
            (Some(now), Some(known)) => refused.extend(differences(id, known, &now)),
            (Some(_), None) => {}
        }
    }
    for (id, tenants) in &in_use.tenants {
        if let Some(instance) = config.instance(id) {
            refused.extend(tenants.iter().filter_map(|tenant| unshared(config, instance, tenant)));
        }
    }
    refused
}

/// Why an account could not stay where it has resources.
fn unshared(config: &Config, instance: &Instance, tenant: &Tenant) -> Option<String> {
    let account = &tenant.account;
    let what = format!("the share of instance {} with account {account}, which has resources there,", instance.id);
    if let Err(refusal) = config.directories.check_share(&instance.owner, account) {
        return Some(format!("{what} cannot stay, because {refusal}: {}", refusal.remedy()));
    }
    let open = instance.is_open_to(account) || tenant.shared_by_hand;
    (!open).then(|| format!("{what} is gone: put it back into shared_with, or make it with `keyferry instance share`"))
}

fn differences(id: &InstanceId, before: &InstanceIdentity, after: &InstanceIdentity) -> Vec<String> {
    let keys = [
        ("region", before.region == after.region),
        ("owner", before.owner == after.owner),
        ("kind", before.kind == after.kind),
        ("root_key", before.root_key == after.root_key),
        ("remote", before.remote == after.remote),
        ("pkcs11", before.pkcs11 == after.pkcs11),
    ];
    let changed = keys.into_iter().filter(|(_, same)| !same);
    changed
        .map(|(key, _)| {
            format!(
                "{key} of instance {id}, which running jobs or stored resources use, is another: put the old one back"
            )
        })
        .collect()
}

fn at_next_start(old: &Config, new: &Config) -> BTreeSet<String> {
    let keys = [
        ("state_dir", old.state_dir == new.state_dir),
        ("log.format", old.log.format == new.log.format),
        ("admin", (&old.admin.socket, &old.admin.group) == (&new.admin.socket, &new.admin.group)),
        ("api", old.api == new.api),
        ("metrics", old.metrics == new.metrics),
        ("store", old.store == new.store),
        ("seal", old.root_key == new.root_key),
        ("instance_server", old.instance_server == new.instance_server),
    ];
    let mut changed: BTreeSet<String> =
        keys.into_iter().filter(|(_, same)| !same).map(|(key, _)| key.to_owned()).collect();
    for region in &new.regions {
        let before = old.region(&region.id).and_then(|before| before.listen);
        if before != region.listen {
            changed.insert(format!("listen of region {}", region.id));
        }
    }
    changed
}

fn names(parts: &mut Vec<String>, what: &str, names: &BTreeSet<impl ToString>) {
    if !names.is_empty() {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        parts.push(format!("{what} {}", names.join(", ")));
    }
}
