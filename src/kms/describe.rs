//! What callers see of a key.

use jiff::Timestamp;

use super::{Caller, KmsError, Service, state_at};
use crate::catalogue::KeyOrAlias;
use crate::model::{KeyRecord, KeyState, ResourceId, Scope};

/// Automatic rotation as `DescribeKey` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutomaticRotation {
    /// On.
    Enabled,
    /// Off.
    Disabled,
    /// On, but held back: the key is not enabled, or a migration runs.
    Suspended,
}

impl AutomaticRotation {
    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Disabled => "Disabled",
            Self::Suspended => "Suspended",
        }
    }
}

/// A key with what is derived from its record at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyView {
    /// The record.
    pub key: KeyRecord,
    /// The state now: expired material is gone.
    pub state: KeyState,
    /// Rotation now.
    pub rotation: AutomaticRotation,
    /// The next rotation, while it is on or held back.
    pub next_rotation: Option<Timestamp>,
}

impl Service {
    /// DescribeKey.
    ///
    /// # Errors
    /// `KeyNotFound`, `AliasNotFound`.
    pub async fn describe_key(&self, caller: &Caller, name: &KeyOrAlias) -> Result<KeyView, KmsError> {
        let key = self.find(&caller.scope(), name).await?;
        self.view(key.into_value()).await
    }

    /// A record as callers see it now.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn view(&self, key: KeyRecord) -> Result<KeyView, KmsError> {
        let state = state_at(&key, self.clock.now());
        let rotation = if !key.rotation.enabled {
            AutomaticRotation::Disabled
        } else if state != KeyState::Enabled || self.held(&key).await? {
            AutomaticRotation::Suspended
        } else {
            AutomaticRotation::Enabled
        };
        let next_rotation = key.rotation.next();
        Ok(KeyView { key, state, rotation, next_rotation })
    }

    /// Whether a migration holds the key's rotation back.
    pub(super) async fn held(&self, key: &KeyRecord) -> Result<bool, KmsError> {
        let scope = Scope { region: key.region.clone(), account: key.account.clone() };
        Ok(self.catalogue.rotation_held(&scope, &ResourceId::Key(key.id.clone())).await?)
    }
}
