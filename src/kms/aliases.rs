//! Aliases: names of keys, unique in an account and region. `alias/acs…` belongs to service keys.

use super::key_changes::refuse_service_key;
use super::{Caller, KmsError, Service};
use crate::catalogue::{Change, KeyOrAlias};
use crate::model::{KeyId, KeyRecord, KeyState};

const RESERVED: &str = "alias/acs";
/// Aliases a key may have; they stand in its record, which has to fit a transaction. The vendor's quota of an account.
const MAX_ALIASES: usize = 300;

impl Service {
    /// CreateAlias.
    ///
    /// # Errors
    /// `AliasExists`; `StateModifiedFailed` for a key that waits for its deletion; `LimitExceeded` beyond 300 of a key.
    pub async fn create_alias(&self, caller: &Caller, alias: &str, id: &KeyId) -> Result<(), KmsError> {
        check_alias(alias)?;
        let (scope, name) = (&caller.scope(), &KeyOrAlias::Id(id.clone()));
        self.manage(caller, |guarded| async move {
            let mut key = self.find(scope, name).await?;
            refuse_service_key(&key)?;
            if matches!(key.state, KeyState::PendingDeletion { .. }) {
                return Err(KmsError::StateModifiedFailed);
            }
            if self.catalogue.alias(scope, alias).await?.is_some() {
                return Err(KmsError::AliasExists);
            }
            add(&mut key, alias)?;
            let mut change = Change::guarded(&guarded);
            change.create_alias(scope, alias, &key.id)?.update_key(&key)?;
            Ok((change, ()))
        })
        .await
    }

    /// UpdateAlias: an alias points to another key. Only the state of that one counts.
    ///
    /// # Errors
    /// `AliasNotFound`; `KeyState` for a target that waits for its deletion; `LimitExceeded` as for a new one.
    pub async fn update_alias(&self, caller: &Caller, alias: &str, id: &KeyId) -> Result<(), KmsError> {
        check_alias(alias)?;
        let (scope, name) = (&caller.scope(), &KeyOrAlias::Id(id.clone()));
        self.manage(caller, |guarded| async move {
            let mut record = self.catalogue.alias(scope, alias).await?.ok_or(KmsError::AliasNotFound)?;
            let mut key = self.find(scope, name).await?;
            refuse_service_key(&key)?;
            super::key_changes::refuse_pending_deletion(&key)?;
            let mut change = Change::guarded(&guarded);
            if record.key != key.id {
                if let Some(mut former) = self.catalogue.key(&scope.region, &record.key).await? {
                    former.aliases.remove(alias);
                    change.update_key(&former)?;
                }
                add(&mut key, alias)?;
                change.update_key(&key)?;
                record.key = key.id.clone();
            }
            change.update_alias(scope, alias, &record)?;
            Ok((change, ()))
        })
        .await
    }

    /// DeleteAlias.
    ///
    /// # Errors
    /// `AliasNotFound`.
    pub async fn delete_alias(&self, caller: &Caller, alias: &str) -> Result<(), KmsError> {
        check_alias(alias)?;
        let scope = &caller.scope();
        self.manage(caller, |guarded| async move {
            let record = self.catalogue.alias(scope, alias).await?.ok_or(KmsError::AliasNotFound)?;
            let mut change = Change::guarded(&guarded);
            if let Some(mut key) = self.catalogue.key(&scope.region, &record.key).await? {
                key.aliases.remove(alias);
                change.update_key(&key)?;
            }
            change.delete_alias(scope, alias, &record);
            Ok((change, ()))
        })
        .await
    }

    /// All aliases of the account in the region with their keys, in the order of their names.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn list_aliases(&self, caller: &Caller) -> Result<Vec<(String, KeyId)>, KmsError> {
        Ok(self.catalogue.aliases(&caller.scope()).await?)
    }

    /// The aliases of one key.
    ///
    /// # Errors
    /// `KeyNotFound`.
    pub async fn list_aliases_of(&self, caller: &Caller, name: &KeyOrAlias) -> Result<Vec<(String, KeyId)>, KmsError> {
        let key = self.find(&caller.scope(), name).await?;
        Ok(key.aliases.iter().map(|alias| (alias.clone(), key.id.clone())).collect())
    }
}

fn add(key: &mut KeyRecord, alias: &str) -> Result<(), KmsError> {
    if key.aliases.len() >= MAX_ALIASES {
        return Err(KmsError::LimitExceeded(format!("A key has at most {MAX_ALIASES} aliases.")));
    }
    key.aliases.insert(alias.to_owned());
    Ok(())
}

/// `alias/` and a name, at most 255 characters together.
fn check_alias(alias: &str) -> Result<(), KmsError> {
    let invalid = |reason: &str| KmsError::InvalidParameterBecause { name: "AliasName", reason: reason.to_owned() };
    let name = alias.strip_prefix("alias/").unwrap_or_default();
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_/+=.-@".contains(&b);
    if name.is_empty() || alias.len() > 255 || !name.bytes().all(allowed) {
        return Err(invalid("alias/ and letters, digits or _ / + = . - @, at most 255 characters"));
    }
    if alias.starts_with(RESERVED) {
        return Err(invalid("alias/acs is reserved for service keys"));
    }
    Ok(())
}
