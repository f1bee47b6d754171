//! What falls due and when, so that nobody has to read every resource to find out.
//!
//! Every management change of a key or secret files an entry under its next due instant. Entries are hints: one that no
//! longer agrees with its resource is taken out when its instant comes, comparing that the resource is as it was read.

use jiff::Timestamp;

use super::{Catalogue, CatalogueError, paths};
use crate::model::{KeyRecord, KeyState, ResourceId, ResourceKind, Scope, SecretRecord};
use crate::store::{Compare, Stored, Transaction, prefix_end};

/// Something falls due.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DueEntry {
    /// When.
    pub at: Timestamp,
    /// Where.
    pub scope: Scope,
    /// For what.
    pub resource: ResourceId,
}

impl DueEntry {
    /// The next due instant of a key: deletion, expiry of its material, or rotation, whichever is first.
    #[must_use]
    pub fn of_key(key: &KeyRecord) -> Option<Self> {
        let deletion = match key.state {
            KeyState::PendingDeletion { delete_at } => Some(delete_at),
            _ => None,
        };
        let expiry = key.imported.as_ref().filter(|m| m.present).and_then(|m| m.expires_at);
        let at = [deletion, expiry, key.rotation.next()].into_iter().flatten().min()?;
        let scope = Scope { region: key.region.clone(), account: key.account.clone() };
        Some(Self { at, scope, resource: ResourceId::Key(key.id.clone()) })
    }

    /// The next due instant of a secret: its destruction, else its rotation.
    #[must_use]
    pub fn of_secret(secret: &SecretRecord) -> Option<Self> {
        let at = secret.planned_delete_at.or_else(|| secret.rotation.next())?;
        let scope = Scope { region: secret.region.clone(), account: secret.account.clone() };
        Some(Self { at, scope, resource: ResourceId::Secret(secret.name.clone()) })
    }

    fn parse(path: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(path.strip_prefix(paths::DUE)?).ok()?;
        let mut parts = text.splitn(5, '/');
        let at = Timestamp::from_nanosecond(parts.next()?.parse().ok()?).ok()?;
        let region = parts.next()?.parse().ok()?;
        let account = parts.next()?.parse().ok()?;
        let kind = parts.next()?;
        let name = parts.next()?;
        let resource = if kind == ResourceKind::Key.as_str() {
            ResourceId::Key(name.parse().ok()?)
        } else {
            ResourceId::Secret(name.parse().ok()?)
        };
        Some(Self { at, scope: Scope { region, account }, resource })
    }
}

impl Catalogue {
    /// What has fallen due at `now`, earliest first, at most `limit` after `after`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn due(
        &self,
        now: Timestamp,
        after: Option<&DueEntry>,
        limit: usize,
    ) -> Result<Vec<DueEntry>, CatalogueError> {
        let mut start = after.map_or_else(|| paths::DUE.to_vec(), paths::due);
        if after.is_some() {
            start.push(0);
        }
        let page = self.store().scan(&start, prefix_end(paths::DUE).as_deref(), limit).await?;
        let entries = page.entries.iter().filter_map(|(path, _)| DueEntry::parse(path));
        Ok(entries.take_while(|entry| entry.at <= now).collect())
    }

    /// Takes an entry out that has nothing left to do for a key (`None`: the key is gone), and files its next instant.
    ///
    /// # Errors
    /// `Conflict` when the key has changed since it was read.
    pub async fn settle_key(&self, entry: &DueEntry, key: Option<&Stored<KeyRecord>>) -> Result<(), CatalogueError> {
        let ResourceId::Key(id) = &entry.resource else { return Ok(()) };
        let path = paths::key(&entry.scope.region, id);
        let compare =
            key.map_or_else(|| Compare::Absent(path.clone()), |key| Compare::Revision(path.clone(), key.revision()));
        self.settle(entry, compare, key.and_then(|key| DueEntry::of_key(key))).await
    }

    /// As [`Catalogue::settle_key`], for a secret.
    ///
    /// # Errors
    /// `Conflict` when the secret has changed since it was read.
    pub async fn settle_secret(
        &self,
        entry: &DueEntry,
        secret: Option<&Stored<SecretRecord>>,
    ) -> Result<(), CatalogueError> {
        let ResourceId::Secret(name) = &entry.resource else { return Ok(()) };
        let path = paths::secret(&entry.scope, name);
        let compare = secret
            .map_or_else(|| Compare::Absent(path.clone()), |secret| Compare::Revision(path.clone(), secret.revision()));
        self.settle(entry, compare, secret.and_then(|secret| DueEntry::of_secret(secret))).await
    }

    async fn settle(&self, entry: &DueEntry, compare: Compare, next: Option<DueEntry>) -> Result<(), CatalogueError> {
        let mut transaction = Transaction::new();
        transaction.compare(compare).delete(paths::due(entry));
        if let Some(next) = next.filter(|next| next.at > entry.at) {
            transaction.put(paths::due(&next), Vec::new());
        }
        self.commit_transaction(transaction).await.map(|_| ())
    }
}
