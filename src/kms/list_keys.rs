//! ListKeys and its filters (kms-protocol.md §9): keys differ by AND, the values of one key by OR.

use std::collections::BTreeSet;

use super::{Caller, KmsError, Service, state_at};
use crate::model::{KeyId, KeyRecord, ResourceKind};

/// What keys are filtered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyFilter {
    /// State now.
    State,
    /// Spec.
    Spec,
    /// Usage.
    Usage,
    /// Protection level.
    ProtectionLevel,
    /// `User` or `Service`.
    CreatorType,
    /// Instance.
    Instance,
    /// Key ID.
    Id,
    /// An alias, with or without its prefix.
    Alias,
    /// Account or cloud product that made it.
    Creator,
    /// A tag key.
    TagKey,
    /// A tag value.
    TagValue,
}

impl KeyFilter {
    /// Every filter with its name in the API.
    pub const ALL: [(&'static str, Self); 11] = [
        ("KeyState", Self::State),
        ("KeySpec", Self::Spec),
        ("KeyUsage", Self::Usage),
        ("ProtectionLevel", Self::ProtectionLevel),
        ("CreatorType", Self::CreatorType),
        ("DKMSInstanceId", Self::Instance),
        ("KeyId", Self::Id),
        ("AliasName", Self::Alias),
        ("Creator", Self::Creator),
        ("TagKey", Self::TagKey),
        ("TagValue", Self::TagValue),
    ];
}

/// Filters with the values of which a key must match one each.
pub type KeyFilters = Vec<(KeyFilter, BTreeSet<String>)>;

impl Service {
    /// IDs of the keys of the account in the region that match, in the order of their creation.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn list_keys(&self, caller: &Caller, filters: &KeyFilters) -> Result<Vec<KeyId>, KmsError> {
        let scope = caller.scope();
        if filters.is_empty() {
            let rows = self.catalogue.list(&scope, ResourceKind::Key).await?;
            return Ok(rows.into_iter().filter_map(|row| row.name.parse().ok()).collect());
        }
        let now = self.clock.now();
        let matches = |key: &KeyRecord| filters.iter().all(|(filter, values)| accepts(key, *filter, values, now));
        let keys = self.catalogue.keys(&scope).await?;
        Ok(keys.into_iter().filter(|key| matches(key)).map(|key| key.id.clone()).collect())
    }
}

fn accepts(key: &KeyRecord, filter: KeyFilter, values: &BTreeSet<String>, now: jiff::Timestamp) -> bool {
    let is = |text: &str| values.contains(text);
    match filter {
        KeyFilter::State => is(state_at(key, now).as_str()),
        KeyFilter::Spec => is(key.spec.as_str()),
        KeyFilter::Usage => is(key.usage.as_str()),
        KeyFilter::ProtectionLevel => is(key.protection_level.as_str()),
        KeyFilter::CreatorType => is(if key.service.is_some() { "Service" } else { "User" }),
        KeyFilter::Instance => key.keystore.instance().is_some_and(|id| is(id.as_str())),
        KeyFilter::Id => is(key.id.as_str()),
        KeyFilter::Alias => key.aliases.iter().any(|alias| is(alias) || alias.strip_prefix("alias/").is_some_and(is)),
        KeyFilter::Creator => is(&key.creator),
        KeyFilter::TagKey => key.tags.keys().any(|tag| is(tag)),
        KeyFilter::TagValue => key.tags.values().any(|value| is(value)),
    }
}
