//! Root keys of this daemon's keystores: which there are, exchanging them, and carrying an exchange on that a restart cut.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::build::Parts;
use crate::admin::protocol::{Advice, RetiredShape, RootKeyShape, SealShape};
use crate::admin::{AdminError, Seal};
use crate::config::{Config, RootKey};
use crate::keystore::KeystoreError;
use crate::keystore::software::SoftwareKeystore;
use crate::keystore::software::rootkey::succession::{self, escrow};
use crate::keystore::software::rootkey::{RootKeyError, RootKeySource};
use crate::model::SystemRandom;
use crate::observe::{Event, Fields, emit};

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

/// One source of root keys, and the keystores that are sealed under it.
struct Group {
    names: Vec<String>,
    source: RootKeySource,
    keystores: Vec<Arc<SoftwareKeystore>>,
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
            if let Err(error) = carry_on(&group).await {
                tracing::error!(%error, keystores = %group.names.join(", "),
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
            begin(group).await?;
        }
        drop(alone);
        let ring = self.clone();
        tokio::spawn(async move { ring.carry_on().await });
        Ok(self.status())
    }
}

/// From here on everything new is sealed under the next key, which lies durably beside the present one.
async fn begin(group: &Group) -> Result<(), AdminError> {
    let refused = |error: RootKeyError| {
        AdminError::state("NoNextRootKey", error.to_string(), "nothing has been changed; see docs/root-keys.md")
    };
    let busy = |error: KeystoreError| {
        AdminError::state("RootKeyInExchange", error.to_string(), "`keyferry seal status` shows how far it is")
    };
    // What ended without its files being moved would be taken for a new exchange.
    if carry_on(group).await.map_err(busy)? == Standing::ByHand {
        let text = format!("the last exchange of the root key of {} wants an end by hand", group.names.join(", "));
        let remedy = format!("put {} in the place of the present key first", succession::next_name(&group.source));
        return Err(AdminError::state("RootKeyToBeMoved", text, remedy));
    }
    succession::make_next(&group.source, &SystemRandom).map_err(refused)?;
    for keystore in &group.keystores {
        if let Some(next) = succession::next(&group.source).map_err(refused)? {
            keystore.exchange_root(next).await.map_err(busy)?;
        }
    }
    Ok(())
}

/// How an exchange stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// None is under way.
    Settled,
    /// It has ended, but only the operator can put the key in its place.
    ByHand,
}

/// Ends an exchange that has begun in any keystore of the group.
async fn carry_on(group: &Group) -> Result<Standing, KeystoreError> {
    let failed = |error: RootKeyError| KeystoreError::Refused(error.to_string());
    let Some(next) = succession::next(&group.source).map_err(failed)? else {
        return Ok(Standing::Settled);
    };
    if !group.keystores.iter().any(|keystore| keystore.root_keys().current == next.id()) {
        return Ok(Standing::Settled);
    }
    let mut renewed = 0_usize;
    for keystore in &group.keystores {
        // A keystore that came meanwhile was set up under the present key.
        if let Some(next) = succession::next(&group.source).map_err(failed)? {
            keystore.exchange_root(next).await?;
        }
        renewed = renewed.saturating_add(keystore.renew_seals().await?);
    }
    if group.keystores.iter().any(|keystore| keystore.root_keys().before.is_some()) {
        return Err(KeystoreError::Refused("the outcome of the last write is not known".to_owned()));
    }
    if !succession::settle(&group.source, &next.id()).map_err(failed)? {
        return Ok(Standing::ByHand);
    }
    let names = group.names.join(", ");
    let text = format!(
        "the root key of {names} is {} now; {renewed} records were sealed again; the one before is kept for older \
         backups: see `keyferry seal status`",
        next.id()
    );
    emit(Event::SealRotated, &Fields::new(), &text);
    Ok(Standing::Settled)
}

const SETTLED: &str = "settled";
const EXCHANGING: &str = "exchanging";
const BY_HAND: &str = "by_hand";

fn describe(group: &Group, state: Option<&Path>) -> RootKeyShape {
    let keys: Vec<_> = group.keystores.iter().map(|keystore| keystore.root_keys()).collect();
    let id = keys.first().map(|keys| keys.current.clone()).unwrap_or_default();
    let next = succession::next(&group.source).ok().flatten().map(|next| next.id());
    let exchanging = keys.iter().any(|keys| keys.before.is_some() || keys.current != id);
    let standing = match &next {
        _ if exchanging => EXCHANGING,
        Some(next) if *next == id => BY_HAND,
        _ => SETTLED,
    };
    let (place, beside_data) = match &group.source {
        RootKeySource::Credential(name) => (format!("credential {name}"), false),
        RootKeySource::Generated(path) => (path.display().to_string(), true),
        RootKeySource::File(path) => (path.display().to_string(), state.is_some_and(|state| path.starts_with(state))),
    };
    RootKeyShape {
        names: group.names.clone(),
        id,
        before: keys.iter().find_map(|keys| keys.before.clone()),
        state: standing.to_owned(),
        place,
        next_place: succession::next_name(&group.source),
        beside_data,
        keystores: u64::try_from(group.keystores.len()).unwrap_or(u64::MAX),
        retired: succession::retired(&group.source)
            .into_iter()
            .map(|retired| RetiredShape { id: retired.id, place: retired.path.display().to_string() })
            .collect(),
    }
}
