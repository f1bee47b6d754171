//! Root keys of this process's keystores: which there are, exchanging them, and carrying an exchange on that a restart cut.

mod exchange;
mod own;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::build::Parts;
use crate::admin::protocol::{Advice, RetiredShape, RootKeyShape, SealShape};
use crate::admin::{AdminError, Seal};
use crate::config::{Config, RootKey};
use crate::keystore::software::rootkey::succession::{self, escrow};
use crate::keystore::software::rootkey::{RootKeyError, RootKeySource};
use exchange::{ExchangeError, Group};

pub(super) use own::OwnRootKey;

/// How often an exchange that a crash cut, or that could not be ended, is carried on.
pub(super) const SEAL_EVERY: Duration = Duration::from_secs(60);

/// The name of the root key of all shared keystores.
pub(super) const SHARED: &str = "shared";

/// Where the root key of the shared keystores, or of an instance, comes from.
pub(super) fn source(from: &RootKey, state: &Path, name: &str) -> RootKeySource {
    match from {
        RootKey::Credential(name) => RootKeySource::Credential(name.clone()),
        RootKey::File(path) => RootKeySource::File(path.clone()),
        RootKey::Generated => RootKeySource::Generated(state.join("keys").join(format!("{name}.key"))),
    }
}

/// The root keys that a configuration names, as lines `NAME ID KEY`, for escrow.
///
/// # Errors
/// A key that cannot be read: nothing is left out.
pub fn export(config: &Config) -> Result<zeroize::Zeroizing<String>, RootKeyError> {
    let mut text = zeroize::Zeroizing::new(String::new());
    // The process of an instance (`run --role instance`) has no shared keystore.
    let shared = config.instance_server.is_none().then_some((SHARED, &config.root_key));
    // The key of an instance on another host is there.
    let here = config.instances.iter().filter(|instance| instance.remote.is_none());
    let instances = here.map(|instance| (instance.id.as_str(), &instance.root_key));
    for (name, from) in shared.into_iter().chain(instances) {
        let (lines, _) = escrow(&source(from, &config.state_dir, name), name)?;
        // A string that grows leaves its old memory behind; the allocator wipes it.
        text.push_str(&lines);
    }
    Ok(text)
}

/// The root keys of a running daemon. One exchange at a time.
#[derive(Clone)]
pub(super) struct RootKeyRing {
    parts: Weak<Parts>,
    alone: Arc<Mutex<()>>,
}

impl RootKeyRing {
    /// For these parts.
    pub(super) fn new(parts: &Arc<Parts>) -> Arc<Self> {
        Arc::new(Self { parts: Arc::downgrade(parts), alone: Arc::default() })
    }

    /// Goes on with exchanges that have begun. To be called at start, after one begins, and from time to time.
    pub(super) async fn carry_on(&self) {
        let _alone = self.alone.lock().await;
        for group in self.groups() {
            if let Err(error) = group.carry_on().await {
                tracing::error!(%error, keystores = %group.owners(),
                    "the root key could not be exchanged yet; both keys are needed; trying again");
            }
        }
    }

    fn groups(&self) -> Vec<Group> {
        let Some(parts) = self.parts.upgrade() else { return Vec::new() };
        let (config, open) = (parts.config(), parts.open());
        let state = &config.state_dir;
        let mut groups: Vec<Group> = Vec::new();
        let shared = open.shared.values().map(|keystore| (SHARED, &config.root_key, keystore));
        let instances = config.instances.iter().filter_map(|instance| {
            open.instances.get(&instance.id).map(|keystore| (instance.id.as_str(), &instance.root_key, keystore))
        });
        for (name, from, keystore) in shared.chain(instances) {
            let source = source(from, state, name);
            let keystore = Arc::clone(keystore);
            match groups.iter_mut().find(|group| group.source == source) {
                Some(group) => {
                    if !group.names.iter().any(|known| known == name) {
                        group.names.push(name.to_owned());
                    }
                    group.keystores.push(keystore);
                }
                None => groups.push(Group { names: vec![name.to_owned()], source, keystores: vec![keystore] }),
            }
        }
        groups
    }

    fn state_dir(&self) -> Option<PathBuf> {
        self.parts.upgrade().map(|parts| parts.config().state_dir.clone())
    }
}

#[async_trait]
impl Seal for RootKeyRing {
    fn status(&self) -> SealShape {
        let state = self.state_dir();
        SealShape { root_keys: self.groups().iter().map(|group| describe(group, state.as_deref())).collect() }
    }

    fn warnings(&self) -> Vec<Advice> {
        let keys = self.status().root_keys;
        let mut warnings = Vec::new();
        for key in &keys {
            let names = key.names.join(", ");
            if key.beside_data {
                warnings.push(Advice {
                    code: "RootKeyBesideData".to_owned(),
                    message: format!("the root key of {names} lies beside the data it seals: {}", key.place),
                    remedy: "keep it elsewhere: `keyferry seal export`, then `root_key = { credential = … }`"
                        .to_owned(),
                });
            }
            if key.state == BY_HAND {
                warnings.push(Advice {
                    code: "RootKeyToBeMoved".to_owned(),
                    message: format!("everything of {names} is sealed under the next root key, {}", key.id),
                    remedy: format!("put {} in the place of {}", key.next_place, key.place),
                });
            }
        }
        warnings
    }

    async fn rotate(&self, name: Option<&str>) -> Result<SealShape, AdminError> {
        let alone = self.alone.lock().await;
        let groups: Vec<Group> = self.groups();
        let chosen: Vec<&Group> = groups
            .iter()
            .filter(|group| name.is_none_or(|name| group.names.iter().any(|known| known == name)))
            .collect();
        if chosen.is_empty() {
            let known: Vec<&str> = groups.iter().flat_map(|group| &group.names).map(String::as_str).collect();
            let text = format!("there is no root key of {}", name.unwrap_or_default());
            return Err(AdminError::unknown("RootKeyNotFound", text, format!("there are: {}", known.join(", "))));
        }
        for group in chosen {
            group.begin().await.map_err(|error| refusal(group, &error))?;
        }
        drop(alone);
        let ring = self.clone();
        tokio::spawn(async move { ring.carry_on().await });
        Ok(self.status())
    }
}

fn refusal(group: &Group, error: &ExchangeError) -> AdminError {
    let text = error.to_string();
    match error {
        ExchangeError::Key(_) | ExchangeError::Same(_) => {
            AdminError::state("NoNextRootKey", text, "nothing has been changed; see docs/root-keys.md")
        }
        ExchangeError::Keystore(_) | ExchangeError::Gone { .. } => {
            AdminError::state("RootKeyInExchange", text, "`keyferry seal status` shows how far it is")
        }
        ExchangeError::ByHand(_) => {
            let remedy = format!("put {} in the place of the present key first", group.next_place());
            AdminError::state("RootKeyToBeMoved", text, remedy)
        }
    }
}

const SETTLED: &str = "settled";
const EXCHANGING: &str = "exchanging";
const BY_HAND: &str = "by_hand";

fn describe(group: &Group, state: Option<&Path>) -> RootKeyShape {
    let keys = group.keys();
    let id = keys.first().map(|keys| keys.current.clone()).unwrap_or_default();
    let standing = if keys.iter().any(|keys| keys.before.is_some() || keys.current != id) {
        EXCHANGING
    } else if succession::present(&group.source).is_ok_and(|present| present != id) {
        // Also where the next key has gone away: it has to be brought back.
        BY_HAND
    } else {
        SETTLED
    };
    let beside_data = match &group.source {
        RootKeySource::Credential(_) => false,
        RootKeySource::Generated(_) => true,
        RootKeySource::File(path) => state.is_some_and(|state| path.starts_with(state)),
    };
    RootKeyShape {
        names: group.names.clone(),
        id,
        before: keys.iter().find_map(|keys| keys.before.clone()),
        state: standing.to_owned(),
        place: group.place(),
        next_place: group.next_place(),
        beside_data,
        keystores: u64::try_from(group.keystores.len()).unwrap_or(u64::MAX),
        retired: succession::retired(&group.source)
            .into_iter()
            .map(|retired| RetiredShape { id: retired.id, place: retired.path.display().to_string() })
            .collect(),
    }
}
