//! Secrets: creation, values, versions and their stages, rotation settings, deletion and its recovery window.
//!
//! A value is encrypted under a data key of its own, the data key under the secret's customer master key as a ciphertext
//! blob; without such a key the keystore's sealing chain protects the value. A data key is opened by the keystore that
//! the catalogue names for the key, whatever keystore the secret is in (design §5).

mod create;
mod envelopes;
mod filing;
mod lifecycle;
mod placing;
mod read;
mod rotation;
mod settings;
mod shapes;
mod stages;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
mod versions;

pub use create::{CreatedSecret, NewSecret, RotationOrder};
pub use lifecycle::Deletion;
pub use read::{SecretFilter, SecretFilterKey, SecretValue, WhichVersion};
pub(in crate::kms) use rotation::Begun;
pub use rotation::{Driven, RotationReport};
pub use settings::SecretChanges;
pub use stages::{CURRENT, MAX_VERSIONS, PREVIOUS, StageMove};
pub use versions::NewValue;

use super::{Caller, KmsError, Service};
use crate::model::{SecretName, SecretRecord};
use crate::store::Stored;

/// A value has at most this many bytes (API page CreateSecret).
pub const MAX_VALUE: usize = 30_720;

impl Service {
    /// A secret of the caller's own scope.
    pub(crate) async fn secret_of(&self, caller: &Caller, name: &SecretName) -> Result<Stored<SecretRecord>, KmsError> {
        self.catalogue.secret(&caller.scope(), name).await?.ok_or(KmsError::ResourceNotFound)
    }

    /// A secret that is not waiting in its recovery window.
    pub(crate) async fn live_secret(
        &self,
        caller: &Caller,
        name: &SecretName,
    ) -> Result<Stored<SecretRecord>, KmsError> {
        let secret = self.secret_of(caller, name).await?;
        if secret.planned_delete_at.is_some() { Err(KmsError::InDeleteWindow) } else { Ok(secret) }
    }
}
