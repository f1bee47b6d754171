//! From the configuration to what the rooms below know of it.

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::access::AccessKey;
use crate::api::throttle::Rates;
use crate::config::{Config, InstanceKind};
use crate::kms::{InstanceFacts, RegionFacts};
use crate::migration::Settings;
use crate::model::RegionId;

/// What is said of each instance.
pub(super) fn instances(config: &Config) -> Vec<InstanceFacts> {
    let facts = config.instances.iter().map(|instance| InstanceFacts {
        id: instance.id.clone(),
        region: instance.region.clone(),
        owner: instance.owner.clone(),
        hardware: instance.kind == InstanceKind::Hardware,
        enabled: instance.enabled,
        key_quota: instance.key_quota,
        secret_quota: instance.secret_quota,
        expires: instance.expires,
        auto_renew: instance.auto_renew,
        shared_with: instance.shared_with.iter().cloned().collect(),
    });
    facts.collect()
}

/// What is said of each region.
pub(super) fn regions(config: &Config) -> Vec<RegionFacts> {
    let facts = config.regions.iter();
    facts.map(|r| RegionFacts { id: r.id.clone(), service_keys: r.service_keys.clone() }).collect()
}

/// The regions that requests may name.
pub(super) fn region_ids(config: &Config) -> Vec<RegionId> {
    config.regions.iter().map(|region| region.id.clone()).collect()
}

/// Who may sign requests.
pub(super) fn access_keys(config: &Config) -> Vec<(String, AccessKey)> {
    let mut keys = Vec::new();
    for account in &config.accounts {
        for key in &account.access_keys {
            let secret = Arc::new(Zeroizing::new(key.secret.expose().to_owned()));
            keys.push((key.id.clone(), AccessKey { account: account.id.clone(), secret, enabled: true }));
        }
    }
    keys
}

/// How migrations run.
pub(super) fn settings(config: &Config) -> Settings {
    Settings {
        workers: usize::try_from(config.migration.workers).unwrap_or(1),
        max_rate: config.migration.max_rate,
        ..Settings::default()
    }
}

/// How many requests a second an account may send.
pub(super) const fn rates(config: &Config) -> Rates {
    Rates {
        data: config.limits.data_per_second,
        read: config.limits.read_per_second,
        management: config.limits.management_per_second,
    }
}

/// For how long connections that are under way may finish when the daemon stops.
pub(super) const DRAIN: Duration = Duration::from_secs(20);
