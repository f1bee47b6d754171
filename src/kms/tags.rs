//! Tags of keys and secrets.

use super::key_changes::refuse_service_key;
use super::{Caller, KmsError, Service};
use crate::catalogue::{Change, Guarded, KeyOrAlias};
use crate::model::{KeyId, ResourceId, SecretName, TagMap};

/// Tags a resource may have.
const MAX_TAGS: usize = 20;

/// What is tagged.
pub type Tagged = ResourceId;

impl Service {
    /// TagResource: adds tags, and replaces the values of those that are there.
    ///
    /// # Errors
    /// `LimitExceeded` beyond 20 tags; no such key or secret.
    pub async fn tag_resource(&self, caller: &Caller, resource: &Tagged, tags: &TagMap) -> Result<(), KmsError> {
        self.edit_tags(caller, resource, |present| {
            present.extend(tags.iter().map(|(key, value)| (key.clone(), value.clone())));
        })
        .await
    }

    /// UntagResource: removes tags; those that are not there are no error.
    ///
    /// # Errors
    /// No such key or secret.
    pub async fn untag_resource(&self, caller: &Caller, resource: &Tagged, keys: &[String]) -> Result<(), KmsError> {
        self.edit_tags(caller, resource, |present| present.retain(|key, _| !keys.contains(key))).await
    }

    /// The tags of a key.
    ///
    /// # Errors
    /// `KeyNotFound`.
    pub async fn key_tags(&self, caller: &Caller, name: &KeyOrAlias) -> Result<(KeyId, TagMap), KmsError> {
        let key = self.find(&caller.scope(), name).await?.into_value();
        Ok((key.id, key.tags))
    }

    async fn edit_tags<E>(&self, caller: &Caller, resource: &Tagged, edit: E) -> Result<(), KmsError>
    where
        E: Fn(&mut TagMap) + Send + Sync,
    {
        let edit = &edit;
        match resource {
            ResourceId::Key(id) => {
                let id = &KeyOrAlias::Id(id.clone());
                self.manage(caller, |guarded| async move {
                    let mut key = self.find(guarded.scope(), id).await?;
                    refuse_service_key(&key)?;
                    edit(&mut key.tags);
                    check_count(&key.tags)?;
                    let mut change = Change::guarded(&guarded);
                    change.update_key(&key)?;
                    Ok((change, ()))
                })
                .await
            }
            ResourceId::Secret(name) => self.manage(caller, |guarded| self.edit_secret_tags(guarded, name, edit)).await,
        }
    }

    async fn edit_secret_tags<E>(&self, guarded: Guarded, name: &SecretName, edit: &E) -> Result<(Change, ()), KmsError>
    where
        E: Fn(&mut TagMap) + Send + Sync,
    {
        let mut secret = self.catalogue.secret(guarded.scope(), name).await?.ok_or(KmsError::ResourceNotFound)?;
        edit(&mut secret.tags);
        check_count(&secret.tags)?;
        let mut change = Change::guarded(&guarded);
        change.update_secret(&secret)?;
        Ok((change, ()))
    }
}

fn check_count(tags: &TagMap) -> Result<(), KmsError> {
    if tags.len() > MAX_TAGS {
        Err(KmsError::LimitExceeded(format!("A resource has at most {MAX_TAGS} tags.")))
    } else {
        Ok(())
    }
}
