//! Reading resources: by ID, by alias, by name, and lists in the order of creation.

use super::change::AliasRecord;
use super::{Catalogue, CatalogueError, paths};
use crate::model::{
    AccountId, Incarnation, KeyId, KeyRecord, KeyVersionRecord, MaterialId, RegionId, ResourceKind, Scope, SecretName,
    SecretRecord, SecretVersionId, SecretVersionRecord,
};
use crate::store::{Record, Stored, get_record, prefix_end, scan_records};

impl Record for KeyRecord {
    const KIND: &'static str = "key";
    const SCHEMA: u16 = 1;
}

impl Record for KeyVersionRecord {
    const KIND: &'static str = "key version";
    const SCHEMA: u16 = 1;
}

impl Record for SecretRecord {
    const KIND: &'static str = "secret";
    const SCHEMA: u16 = 1;
}

impl Record for SecretVersionRecord {
    const KIND: &'static str = "secret version";
    const SCHEMA: u16 = 1;
}

/// How a caller named a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyOrAlias {
    /// By ID (or key ARN).
    Id(KeyId),
    /// By alias, with its `alias/` prefix (or alias ARN).
    Alias(String),
}

/// One row of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Key ID or secret name.
    pub name: String,
}

impl Catalogue {
    /// A key of the region. The caller checks the account: a foreign key is to look like a missing one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn key(&self, region: &RegionId, id: &KeyId) -> Result<Option<Stored<KeyRecord>>, CatalogueError> {
        Ok(get_record(self.store().as_ref(), &paths::key(region, id)).await?)
    }

    /// A key of the scope, by ID or alias.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn find_key(
        &self,
        scope: &Scope,
        name: &KeyOrAlias,
    ) -> Result<Option<Stored<KeyRecord>>, CatalogueError> {
        let found = match name {
            KeyOrAlias::Id(id) => self.key(&scope.region, id).await?,
            KeyOrAlias::Alias(alias) => match self.alias(scope, alias).await? {
                Some(record) => self.key(&scope.region, &record.key).await?,
                None => None,
            },
        };
        Ok(found.filter(|key| key.account == scope.account))
    }

    /// A version of a key.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn key_version(
        &self,
        incarnation: &Incarnation,
        version: &MaterialId,
    ) -> Result<Option<Stored<KeyVersionRecord>>, CatalogueError> {
        Ok(get_record(self.store().as_ref(), &paths::key_version(incarnation, version)).await?)
    }

    /// All versions of a key, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn key_versions(
        &self,
        incarnation: &Incarnation,
    ) -> Result<Vec<Stored<KeyVersionRecord>>, CatalogueError> {
        let found = scan_records(self.store().as_ref(), &paths::key_versions(incarnation), None, usize::MAX).await?;
        let mut versions: Vec<Stored<KeyVersionRecord>> = found.into_iter().map(|(_, record)| record).collect();
        versions.sort_by_key(|version| version.number);
        Ok(versions)
    }

    /// An alias of the scope.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn alias(&self, scope: &Scope, alias: &str) -> Result<Option<Stored<AliasRecord>>, CatalogueError> {
        Ok(get_record(self.store().as_ref(), &paths::alias(scope, alias)).await?)
    }

    /// All aliases of the scope with their keys, in the order of their names.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn aliases(&self, scope: &Scope) -> Result<Vec<(String, KeyId)>, CatalogueError> {
        let prefix = paths::aliases(scope);
        let found = scan_records::<AliasRecord>(self.store().as_ref(), &prefix, None, usize::MAX).await?;
        Ok(found
            .into_iter()
            .map(|(path, record)| {
                let name = String::from_utf8_lossy(path.get(prefix.len()..).unwrap_or_default()).into_owned();
                (name, record.into_value().key)
            })
            .collect())
    }

    /// A secret of the scope.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn secret(
        &self,
        scope: &Scope,
        name: &SecretName,
    ) -> Result<Option<Stored<SecretRecord>>, CatalogueError> {
        Ok(get_record(self.store().as_ref(), &paths::secret(scope, name)).await?)
    }

    /// A version of a secret.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn secret_version(
        &self,
        incarnation: &Incarnation,
        id: &SecretVersionId,
    ) -> Result<Option<Stored<SecretVersionRecord>>, CatalogueError> {
        Ok(get_record(self.store().as_ref(), &paths::secret_version(incarnation, id)).await?)
    }

    /// All versions of a secret, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn secret_versions(
        &self,
        incarnation: &Incarnation,
    ) -> Result<Vec<Stored<SecretVersionRecord>>, CatalogueError> {
        let found = scan_records(self.store().as_ref(), &paths::secret_versions(incarnation), None, usize::MAX).await?;
        let mut versions: Vec<Stored<SecretVersionRecord>> = found.into_iter().map(|(_, record)| record).collect();
        versions.sort_by_key(|version| version.number);
        Ok(versions)
    }

    /// The secrets whose values are encrypted under a key (with their accounts).
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn secrets_under(
        &self,
        region: &RegionId,
        key: &KeyId,
    ) -> Result<Vec<(AccountId, SecretName)>, CatalogueError> {
        let prefix = paths::under_key_prefix(region, key);
        let mut found = Vec::new();
        self.walk(&prefix, |path| {
            let text = String::from_utf8_lossy(path);
            if let Some((account, name)) = text.split_once('/')
                && let (Ok(account), Ok(name)) = (account.parse(), name.parse())
            {
                found.push((account, name));
            }
        })
        .await?;
        Ok(found)
    }

    /// IDs of all keys or names of all secrets of a scope, in the order of creation.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(&self, scope: &Scope, kind: ResourceKind) -> Result<Vec<Listed>, CatalogueError> {
        let prefix = paths::index_prefix(scope, kind);
        let mut found = Vec::new();
        self.walk(&prefix, |path| {
            let text = String::from_utf8_lossy(path);
            if let Some((_, name)) = text.split_once('/') {
                found.push(Listed { name: name.to_owned() });
            }
        })
        .await?;
        Ok(found)
    }

    /// All keys of a scope, in the order of creation.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn keys(&self, scope: &Scope) -> Result<Vec<Stored<KeyRecord>>, CatalogueError> {
        let mut keys = Vec::new();
        for (n, row) in self.list(scope, ResourceKind::Key).await?.into_iter().enumerate() {
            if n % STRETCH == 0 {
                // An embedded engine never waits: whoever reads many lets others go on.
                tokio::task::yield_now().await;
            }
            if let Ok(id) = row.name.parse() {
                keys.extend(self.key(&scope.region, &id).await?);
            }
        }
        Ok(keys)
    }

    /// All secrets of a scope, in the order of creation.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn secrets(&self, scope: &Scope) -> Result<Vec<Stored<SecretRecord>>, CatalogueError> {
        let mut secrets = Vec::new();
        for row in self.list(scope, ResourceKind::Secret).await? {
            if let Ok(name) = row.name.parse() {
                secrets.extend(self.secret(scope, &name).await?);
            }
        }
        Ok(secrets)
    }

    /// All secrets of a scope, in the order of their names: as they lie, so read together and not one by one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn secrets_by_name(&self, scope: &Scope) -> Result<Vec<Stored<SecretRecord>>, CatalogueError> {
        let found = scan_records(self.store().as_ref(), &paths::secrets(scope), None, usize::MAX).await?;
        Ok(found.into_iter().map(|(_, secret)| secret).collect())
    }

    /// Whether a scope holds anything but service keys. Looks only as far as the first such thing.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn holds_own(&self, scope: &Scope) -> Result<bool, CatalogueError> {
        let secrets = paths::index_prefix(scope, ResourceKind::Secret);
        if !self.store().scan(&secrets, prefix_end(&secrets).as_deref(), 1).await?.entries.is_empty() {
            return Ok(true);
        }
        let prefix = paths::index_prefix(scope, ResourceKind::Key);
        let end = prefix_end(&prefix);
        let mut start = prefix.clone();
        loop {
            let page = self.store().scan(&start, end.as_deref(), FEW).await?;
            for (path, _) in &page.entries {
                let text = String::from_utf8_lossy(path.get(prefix.len()..).unwrap_or_default());
                let Some(Ok(id)) = text.split_once('/').map(|(_, id)| id.parse()) else {
                    continue;
                };
                if self.key(&scope.region, &id).await?.is_some_and(|key| key.service.is_none()) {
                    return Ok(true);
                }
            }
            match page.next {
                Some(next) => start = next,
                None => return Ok(false),
            }
        }
    }

    /// Visits every key under a prefix, without the prefix.
    pub(super) async fn walk(&self, prefix: &[u8], mut visit: impl FnMut(&[u8]) + Send) -> Result<(), CatalogueError> {
        const PAGE: usize = 1000;
        let end = prefix_end(prefix);
        let mut start = prefix.to_vec();
        loop {
            let page = self.store().scan(&start, end.as_deref(), PAGE).await?;
            for (path, _) in &page.entries {
                visit(path.get(prefix.len()..).unwrap_or_default());
            }
            match page.next {
                Some(next) => start = next,
                None => return Ok(()),
            }
        }
    }
}

/// Entries between two moments in which others get the thread.
const STRETCH: usize = 64;
/// Service keys are the first ones of a scope, and few.
const FEW: usize = 16;
