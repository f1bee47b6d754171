//! The state of a key at an instant, and what it permits.

use jiff::Timestamp;

use super::{KmsError, Service};
use crate::catalogue::KeyOrAlias;
use crate::model::{KeyOrigin, KeyRecord, KeyState, Scope};
use crate::store::Stored;

/// The state of a key at `now`. Imported material that has expired is gone from that instant on, also while a lock keeps
/// the entry as it is: expiry is judged by the stored instant (design §6, step 4).
#[must_use]
pub fn state_at(key: &KeyRecord, now: Timestamp) -> KeyState {
    match key.state {
        KeyState::Enabled | KeyState::Disabled if !has_material(key, now) => KeyState::PendingImport,
        state => state,
    }
}

/// Whether the key's material is there at `now`.
pub(super) fn has_material(key: &KeyRecord, now: Timestamp) -> bool {
    match (key.origin, &key.imported) {
        (KeyOrigin::Kms, _) => true,
        (KeyOrigin::External, None) => false,
        (KeyOrigin::External, Some(material)) => material.present && material.expires_at.is_none_or(|at| now < at),
    }
}

impl Service {
    /// The key of this name in a scope.
    ///
    /// # Errors
    /// `KeyNotFound`, `AliasNotFound`.
    pub async fn find(&self, scope: &Scope, name: &KeyOrAlias) -> Result<Stored<KeyRecord>, KmsError> {
        match (self.catalogue.find_key(scope, name).await?, name) {
            (Some(key), _) => Ok(key),
            (None, KeyOrAlias::Id(_)) => Err(KmsError::KeyNotFound),
            (None, KeyOrAlias::Alias(_)) => Err(KmsError::AliasNotFound),
        }
    }

    /// As [`Service::find`], for cryptography: the key must be enabled.
    ///
    /// # Errors
    /// `KeyState` naming the state, besides those of [`Service::find`].
    pub async fn find_usable(&self, scope: &Scope, name: &KeyOrAlias) -> Result<Stored<KeyRecord>, KmsError> {
        let key = self.find(scope, name).await?;
        self.require_enabled(&key)?;
        Ok(key)
    }

    /// Refuses a key that is not enabled now.
    ///
    /// # Errors
    /// `KeyState` naming the state.
    pub fn require_enabled(&self, key: &KeyRecord) -> Result<(), KmsError> {
        match state_at(key, self.clock.now()) {
            KeyState::Enabled => Ok(()),
            state => Err(KmsError::KeyState(state.as_str())),
        }
    }
}
