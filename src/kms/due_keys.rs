//! What falls due for keys: destruction, expiry of imported material, rotation.

use jiff::Timestamp;

use super::clock_watch::Look;
use super::due::{Done, forgive_conflict};
use super::key_versions::MAX_VERSIONS;
use super::{By, KmsError, Service};
use crate::catalogue::{Change, Demand, DueEntry, IntentRecord, KeyOrAlias};
use crate::model::{KeyId, KeyRecord, KeyState, ResourceId};
use crate::observe::{Event, Fields, emit};
use crate::store::Stored;

/// Aliases that go with their key in one transaction; further ones go before.
const ALIASES_AT_ONCE: usize = 40;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Destruction,
    Expiry,
    Rotation,
}

impl Service {
    pub(super) async fn due_key(&self, entry: &DueEntry, id: &KeyId, look: Look) -> Result<Done, KmsError> {
        if self.closed(entry).await? {
            return Ok(Done::Waiting);
        }
        let key = self.catalogue.key(&entry.scope.region, id).await?;
        let now = look.now;
        let due = key.as_ref().and_then(|key| due_now(key, now));
        let destroys = matches!(due, Some(Due::Destruction | Due::Expiry));
        if destroys && key.as_ref().and_then(|key| due_now(key, look.destroy_until)) != due {
            return Ok(Done::Waiting);
        }
        let done = match due {
            Some(Due::Destruction) => self.destroy_key(entry, id, now).await?,
            Some(Due::Expiry) => self.expire_material(entry, id, now).await?,
            Some(Due::Rotation) => match &key {
                Some(key) => self.rotate_key(entry, key, now).await?,
                None => Done::Nothing,
            },
            None => Done::Nothing,
        };
        if done != Done::Waiting {
            let key = self.catalogue.key(&entry.scope.region, id).await?;
            forgive_conflict(self.catalogue.settle_key(entry, key.as_ref()).await)?;
        }
        Ok(done)
    }

    /// The entry goes first, and leaves the material to the sweeper: a crash in between loses nothing of that.
    async fn destroy_key(&self, entry: &DueEntry, id: &KeyId, now: Timestamp) -> Result<Done, KmsError> {
        let name = &KeyOrAlias::Id(id.clone());
        loop {
            let left = self
                .change(&entry.scope, By::Daemon("key.destroyed"), |guarded| async move {
                    let mut key = self.find(guarded.scope(), name).await?;
                    let mut change = Change::guarded(&guarded);
                    if due_now(&key, now) != Some(Due::Destruction) {
                        return Ok((change, Removal::NotDue));
                    }
                    if key.aliases.len() > ALIASES_AT_ONCE {
                        let some: Vec<String> = key.aliases.iter().take(ALIASES_AT_ONCE).cloned().collect();
                        for alias in &some {
                            key.aliases.remove(alias);
                            if let Some(record) = self.catalogue.alias(guarded.scope(), alias).await? {
                                change.delete_alias(guarded.scope(), alias, &record);
                            }
                        }
                        change.update_key(&key)?;
                        return Ok((change, Removal::MoreAliases));
                    }
                    let left = IntentRecord::whole(&key.keystore, &key.incarnation, now, &self.worker);
                    change.delete_key(&key).bequeath(&left)?;
                    if let Some(instance) = key.keystore.instance() {
                        let gone = Demand { keys: 1, secrets: 0 };
                        self.catalogue.count_in(&mut change, instance, Demand::default(), gone).await?;
                    }
                    Ok((change, Removal::Gone(left)))
                })
                .await?;
            match left {
                Removal::MoreAliases => {}
                Removal::NotDue => return Ok(Done::Nothing),
                Removal::Gone(left) => {
                    self.discard(&left.place).await;
                    return Ok(Done::DeletedKey);
                }
            }
        }
    }

    async fn expire_material(&self, entry: &DueEntry, id: &KeyId, now: Timestamp) -> Result<Done, KmsError> {
        let name = &KeyOrAlias::Id(id.clone());
        let left = self
            .change(&entry.scope, By::Daemon("key.material_expired"), |guarded| async move {
                let key = self.find(guarded.scope(), name).await?;
                let mut change = Change::guarded(&guarded);
                let left = match due_now(&key, now) {
                    Some(Due::Expiry) => self.drop_imported(&mut change, key)?,
                    _ => None,
                };
                Ok((change, left))
            })
            .await?;
        let Some(place) = left else {
            return Ok(Done::Nothing);
        };
        self.discard(&place).await;
        Ok(Done::Expired)
    }

    async fn rotate_key(&self, entry: &DueEntry, key: &Stored<KeyRecord>, now: Timestamp) -> Result<Done, KmsError> {
        if self.held(key).await? {
            return Ok(Done::Waiting);
        }
        let fields = Fields::new().scope(&entry.scope).resource(&ResourceId::Key(key.id.clone()));
        if key.version_count >= MAX_VERSIONS {
            let text = "a key is due for rotation but has as many versions as a key can have";
            emit(Event::RotationFailed, &fields.code("Rejected.LimitExceeded"), text);
            return Ok(Done::Nothing);
        }
        match self.new_primary(entry, key, now).await {
            Ok(true) => {
                emit(Event::RotationPerformed, &fields, "a key has a new primary version");
                Ok(Done::Rotated)
            }
            Ok(false) => Ok(Done::Nothing),
            Err(KmsError::Migrating(_)) => Ok(Done::Waiting),
            Err(error) => {
                emit(Event::RotationFailed, &fields, "a key is due for rotation and could not be rotated");
                Err(error)
            }
        }
    }

    async fn new_primary(&self, entry: &DueEntry, key: &KeyRecord, now: Timestamp) -> Result<bool, KmsError> {
        let name = &KeyOrAlias::Id(key.id.clone());
        let material = self.generate_version(key).await?;
        let made = &material;
        let rotated = self
            .change(&entry.scope, By::Daemon("key.rotated"), |guarded| async move {
                let key = self.find(guarded.scope(), name).await?;
                if due_now(&key, now) != Some(Due::Rotation) || self.held(&key).await? {
                    return Ok((Change::guarded(&guarded), false));
                }
                let (change, _) = self.add_version(&guarded, key, made, now)?;
                Ok((change, true))
            })
            .await;
        if !matches!(rotated, Ok(true)) {
            self.discard(&material.place).await;
        }
        rotated
    }
}

enum Removal {
    NotDue,
    MoreAliases,
    Gone(IntentRecord),
}

fn due_now(key: &KeyRecord, now: Timestamp) -> Option<Due> {
    let reached = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
    if matches!(key.state, KeyState::PendingDeletion { delete_at } if delete_at <= now) {
        return Some(Due::Destruction);
    }
    if reached(key.imported.as_ref().filter(|material| material.present).and_then(|material| material.expires_at)) {
        return Some(Due::Expiry);
    }
    (key.state == KeyState::Enabled && reached(key.rotation.next())).then_some(Due::Rotation)
}
