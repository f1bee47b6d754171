//! Tags of keys and secrets, of one or of many at once.

use super::key_changes::refuse_service_key;
use super::{Caller, KmsError, Service};
use crate::catalogue::{Change, KeyOrAlias};
use crate::model::{KeyId, ResourceId, ResourceKind, TagMap};

/// Tags a resource may have.
const MAX_TAGS: usize = 20;

/// What is tagged.
pub type Tagged = ResourceId;

/// Which tags are to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Untag {
    /// These; those that are not there are no error.
    Keys(Vec<String>),
    /// Every one.
    All,
}

/// One tag of one resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TagRow {
    /// Key ID or secret name.
    pub resource: String,
    /// The tag's key.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl Service {
    /// TagResource and TagResources: adds tags, and replaces the values of those that are there. All resources or none.
    ///
    /// # Errors
    /// `LimitExceeded` beyond 20 tags; no such key or secret.
    pub async fn tag_resources(&self, caller: &Caller, resources: &[Tagged], tags: &TagMap) -> Result<(), KmsError> {
        self.edit_tags(caller, resources, |present| {
            present.extend(tags.iter().map(|(key, value)| (key.clone(), value.clone())));
        })
        .await
    }

    /// UntagResource and UntagResources: removes tags. All resources or none.
    ///
    /// # Errors
    /// No such key or secret.
    pub async fn untag_resources(&self, caller: &Caller, resources: &[Tagged], which: &Untag) -> Result<(), KmsError> {
        self.edit_tags(caller, resources, |present| match which {
            Untag::Keys(keys) => present.retain(|key, _| !keys.contains(key)),
            Untag::All => present.clear(),
        })
        .await
    }

    /// The tags of a key.
    ///
    /// # Errors
    /// `KeyNotFound`.
    pub async fn key_tags(&self, caller: &Caller, name: &KeyOrAlias) -> Result<(KeyId, TagMap), KmsError> {
        let key = self.find(&caller.scope(), name).await?.into_value();
        Ok((key.id, key.tags))
    }

    /// ListTagResources: the tags of the resources of a kind that carry all of `with` (an empty value: whatever its
    /// value), ordered by resource and tag. `only`: of these alone; one that does not exist has no tags.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn tag_rows(
        &self,
        caller: &Caller,
        kind: ResourceKind,
        only: &[String],
        with: &TagMap,
    ) -> Result<Vec<TagRow>, KmsError> {
        let scope = caller.scope();
        let tagged: Vec<(String, TagMap)> = match kind {
            ResourceKind::Key => {
                let keys = self.catalogue.keys(&scope).await?;
                keys.into_iter().map(|key| (key.id.to_string(), key.into_value().tags)).collect()
            }
            ResourceKind::Secret => {
                let secrets = self.catalogue.secrets(&scope).await?;
                secrets.into_iter().map(|secret| (secret.name.to_string(), secret.into_value().tags)).collect()
            }
        };
        let carries = |tags: &TagMap| {
            with.iter().all(|(key, value)| tags.get(key).is_some_and(|found| value.is_empty() || found == value))
        };
        let mut rows: Vec<TagRow> = tagged
            .into_iter()
            .filter(|(name, tags)| (only.is_empty() || only.contains(name)) && carries(tags))
            .flat_map(|(resource, tags)| {
                tags.into_iter().map(move |(key, value)| TagRow { resource: resource.clone(), key, value })
            })
            .collect();
        rows.sort();
        Ok(rows)
    }

    async fn edit_tags<E>(&self, caller: &Caller, resources: &[Tagged], edit: E) -> Result<(), KmsError>
    where
        E: Fn(&mut TagMap) + Send + Sync,
    {
        let edit = &edit;
        self.manage(caller, |guarded| async move {
            let mut change = Change::guarded(&guarded);
            for resource in resources {
                if !change.has_room(8) {
                    return Err(KmsError::LimitExceeded("Name fewer resources in one request.".to_owned()));
                }
                match resource {
                    ResourceId::Key(id) => {
                        let mut key = self.find(guarded.scope(), &KeyOrAlias::Id(id.clone())).await?;
                        refuse_service_key(&key)?;
                        edit(&mut key.tags);
                        check_count(&key.tags)?;
                        change.relabel_key(&key)?;
                    }
                    ResourceId::Secret(name) => {
                        let secret = self.catalogue.secret(guarded.scope(), name).await?;
                        let mut secret = secret.ok_or(KmsError::ResourceNotFound)?;
                        edit(&mut secret.tags);
                        check_count(&secret.tags)?;
                        change.relabel_secret(&secret)?;
                    }
                }
            }
            Ok((change, ()))
        })
        .await
    }
}

fn check_count(tags: &TagMap) -> Result<(), KmsError> {
    if tags.len() > MAX_TAGS {
        Err(KmsError::LimitExceeded(format!("A resource has at most {MAX_TAGS} tags.")))
    } else {
        Ok(())
    }
}
