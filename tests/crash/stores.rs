//! What must hold in the stores of a daemon that does not run, read past it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use keyferry::catalogue::{Catalogue, Demand};
use keyferry::kms::default_policy;
use keyferry::model::{KeystoreId, ResourceKind, Scope};
use keyferry::store::SharedStore;
use keyferry::store::sled::{Options, SledStore};
use serde_json::Value;

use crate::daemon::{ACCOUNT, INSTANCE, REGION};
use crate::trail;

/// The account of keys that the deployment itself uses.
const SYSTEM_ACCOUNT: &str = "0000000000000000";

/// Where material lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holdings {
    shared: BTreeSet<String>,
    instance: BTreeSet<String>,
}

/// What a look at the stores found.
pub struct Found {
    pub holdings: Holdings,
    pub broken: Vec<String>,
}

/// Looks at the stores below a directory. Nobody else may have them open.
pub async fn look(directory: &Path) -> Found {
    let control = control(directory);
    let instance = open(&directory.join("state/instances").join(INSTANCE));
    let shared = format!("ks/{REGION}/");
    let mut broken = Vec::new();
    let catalogue = Catalogue::new(Arc::clone(&control));
    let mut holdings = Holdings { shared: records(&control, &shared).await, instance: records(&instance, "").await };
    // The keys that the deployment itself uses belong to nobody and stay where they are.
    let system = Scope { region: REGION.parse().unwrap(), account: SYSTEM_ACCOUNT.parse().unwrap() };
    for key in catalogue.keys(&system).await.unwrap() {
        let of_the_system = format!("m/{}/", key.incarnation.as_str());
        holdings.shared.retain(|record| !record.starts_with(&of_the_system));
    }
    let scope = Scope { region: REGION.parse().unwrap(), account: ACCOUNT.parse().unwrap() };
    let mut hold = |what: &str, holds: bool| {
        if !holds {
            broken.push(format!("in the stores: {what}"));
        }
    };
    hold("a gate stands", catalogue.gate(&scope).await.unwrap().is_none());
    hold("a lock stands", catalogue.lock_of(&scope).await.unwrap().is_none());
    let id = INSTANCE.parse().unwrap();
    hold("the instance's gate stands", catalogue.instance_gate(&id).await.unwrap().is_none());
    hold("rotation is left off", catalogue.all_marks().await.unwrap().is_empty());
    hold("a clean-up waits", catalogue.clean_ups().await.unwrap().is_empty());
    hold("quota is reserved", catalogue.quota(&id).await.unwrap().reserved.is_empty());
    for job in catalogue.jobs().await.unwrap() {
        hold("a job has not ended", job.state.is_final());
    }
    let keys = catalogue.keys(&scope).await.unwrap();
    let secrets = catalogue.secrets(&scope).await.unwrap();
    let there = |keystore: &KeystoreId| keystore.instance() == Some(&id);
    let counted = Demand {
        keys: keys.iter().filter(|key| there(&key.keystore)).count() as u64,
        secrets: secrets.iter().filter(|secret| there(&secret.keystore)).count() as u64,
    };
    let used = catalogue.quota(&id).await.unwrap().used;
    let tenant = catalogue.tenant(&id, &scope.account).await.unwrap().map(|t| t.used).unwrap_or_default();
    hold(
        &format!("the quota counts {used:?}, the account {tenant:?}, the entries {counted:?}"),
        used == counted && tenant == counted,
    );
    let entries = keys.iter().map(|key| (key.incarnation.to_string(), key.keystore.clone()));
    for (incarnation, keystore) in
        entries.chain(secrets.iter().map(|s| (s.incarnation.to_string(), s.keystore.clone())))
    {
        let (here, there) = (
            holdings.shared.iter().any(|name| name.contains(&incarnation)),
            holdings.instance.iter().any(|name| name.contains(&incarnation)),
        );
        let right = match keystore {
            KeystoreId::Shared(_) => here && !there,
            KeystoreId::Instance(_) => there && !here,
        };
        hold(&format!("{incarnation} names {keystore}, shared: {here}, instance: {there}"), right);
    }
    let policies = keys.iter().map(|key| (ResourceKind::Key, key.id.to_string(), &key.keystore, &key.policy));
    let more = secrets.iter().map(|s| (ResourceKind::Secret, s.name.to_string(), &s.keystore, &s.policy));
    for (kind, name, keystore, policy) in policies.chain(more) {
        let expected = there(keystore).then(|| document(&default_policy(kind, &scope.account)));
        let right = policy.as_deref().map(document) == expected;
        hold(&format!("{kind} {name} in {keystore} has the policy {policy:?}"), right);
    }
    broken.extend(trail::broken(&trail::read(&control).await));
    Found { holdings, broken }
}

impl Holdings {
    /// Whether these are the holdings after a whole migration of what was `before`.
    pub fn are_moved_from(&self, before: &Self) -> bool {
        self.shared.is_empty() && self.instance == before.shared
    }
}

fn document(policy: &str) -> Value {
    serde_json::from_str(policy).unwrap()
}

/// Names of the records of material and values.
async fn records(store: &SharedStore, prefix: &str) -> BTreeSet<String> {
    let (start, end) = (format!("{prefix}m/"), format!("{prefix}m0"));
    let page = store.scan(start.as_bytes(), Some(end.as_bytes()), 100_000).await.unwrap();
    page.entries.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()[prefix.len()..].to_owned()).collect()
}

/// The control store below a directory.
pub fn control(directory: &Path) -> SharedStore {
    open(&directory.join("state/control"))
}

fn open(directory: &Path) -> SharedStore {
    Arc::new(SledStore::open(directory, &Options::default()).unwrap().store)
}
