//! From the configuration to what the rooms below know of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::DaemonError;
use crate::access::{AccessKey, Attached, Identity, Principal};
use crate::api::throttle::Rates;
use crate::config::{self, Config, InstanceKind, RotatorKind};
use crate::kms::{InstanceFacts, RegionFacts};
use crate::migration::Settings;
use crate::model::RegionId;
use crate::rotator::{Postgresql, PostgresqlSettings, Rotator, Rule, Serving, Webhook, WebhookSettings};

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
    let mut add = |identity: &Arc<Identity>, of: &[config::AccessKey]| {
        for key in of {
            let secret = Arc::new(Zeroizing::new(key.secret.expose().to_owned()));
            keys.push((key.id.clone(), AccessKey { identity: Arc::clone(identity), secret, enabled: !key.disabled }));
        }
    };
    for account in &config.accounts {
        add(&Arc::new(Identity::root(Principal::root(account.id.clone()))), &account.access_keys);
        for user in &account.users {
            add(&Arc::new(of_user(account, user)), &user.access_keys);
        }
    }
    keys
}

/// Who rotates which secrets.
///
/// # Errors
/// What is wrong with a certificate file, naming rotator and file.
pub(super) fn rotators(config: &Config) -> Result<Vec<Serving>, DaemonError> {
    config.rotators.iter().map(serving).collect()
}

fn serving(configured: &config::Rotator) -> Result<Serving, DaemonError> {
    let wrong = |ca: &Option<PathBuf>, error: String| {
        let file = ca.as_ref().map_or_else(String::new, |path| format!(" ({})", path.display()));
        DaemonError::Rotator(format!("rotator {}{file}: {error}", configured.name))
    };
    let read = |ca: &Option<PathBuf>| match ca {
        Some(path) => std::fs::read(path).map(Some).map_err(|error| wrong(ca, error.to_string())),
        None => Ok(None),
    };
    let secret = Zeroizing::new(configured.secret.expose().to_owned());
    let rotator: Arc<dyn Rotator> = match &configured.kind {
        RotatorKind::Webhook { url, ca } => {
            let settings = WebhookSettings { url: url.clone(), key: secret, ca: read(ca)? };
            Arc::new(Webhook::new(settings).map_err(|error| wrong(ca, error))?)
        }
        RotatorKind::Postgresql { host, port, database, user, ca } => {
            let settings = PostgresqlSettings {
                host: host.clone(),
                port: *port,
                database: database.clone(),
                user: user.clone(),
                password: secret,
                ca: read(ca)?,
            };
            Arc::new(Postgresql::new(settings).map_err(|error| wrong(ca, error))?)
        }
    };
    let rule = Rule {
        types: configured.types.clone(),
        accounts: configured.accounts.iter().cloned().collect(),
        names: configured.names.clone(),
        targets: configured.targets.iter().cloned().collect(),
    };
    Ok(Serving {
        name: configured.name.clone(),
        rule,
        rotator,
        timeout: configured.timeout,
        retry_after: configured.retry_after,
        attempts: configured.attempts,
    })
}

/// Every identity, also those without an access key: roots, users and roles.
pub(super) fn identities(config: &Config) -> Vec<Arc<Identity>> {
    let mut identities = Vec::new();
    for account in &config.accounts {
        identities.push(Identity::root(Principal::root(account.id.clone())));
        identities.extend(account.users.iter().map(|user| of_user(account, user)));
        identities.extend(account.roles.iter().map(|role| {
            let principal = Principal::role(account.id.clone(), &role.name);
            Identity { principal, policies: attached(&role.policies), session: None }
        }));
    }
    identities.into_iter().map(Arc::new).collect()
}

fn of_user(account: &config::Account, user: &config::User) -> Identity {
    let principal = Principal::user(account.id.clone(), &user.name);
    Identity { principal, policies: attached(&user.policies), session: None }
}

fn attached(policies: &[config::AttachedPolicy]) -> Vec<Attached> {
    policies.iter().map(|p| Attached { name: p.name.clone(), policy: Arc::clone(&p.policy) }).collect()
}

/// How migrations run.
pub(super) fn settings(config: &Config) -> Settings {
    Settings {
        workers: usize::try_from(config.migration.workers).unwrap_or(1),
        max_rate: config.migration.max_rate,
        approval: config.migration.approval,
        allowed_hours: config.migration.allowed_hours.clone(),
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
