//! Access keys: an immutable table, swapped as a whole when the configuration is read again.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use zeroize::Zeroizing;

use crate::model::AccountId;

/// An access key. No `Debug`: it carries the secret.
#[derive(Clone)]
pub struct AccessKey {
    /// The account it belongs to.
    pub account: AccountId,
    /// The AccessKeySecret.
    pub secret: Arc<Zeroizing<String>>,
    /// False: correctly signed requests are refused with `Forbidden.AccessKey`.
    pub enabled: bool,
}

/// Where signatures are checked against.
pub trait AccessKeys: Send + Sync + 'static {
    /// The key with this AccessKeyId, enabled or not.
    fn find(&self, id: &str) -> Option<AccessKey>;
}

/// The access keys of the configuration.
#[derive(Default)]
pub struct AccessKeyTable {
    keys: RwLock<Arc<HashMap<String, AccessKey>>>,
}

impl AccessKeyTable {
    /// A table of these keys, by AccessKeyId. Of two with the same ID the later one counts.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = (String, AccessKey)>) -> Self {
        Self { keys: RwLock::new(Arc::new(keys.into_iter().collect())) }
    }

    /// Replaces the whole table; requests being checked finish with the one they began with.
    pub fn replace(&self, keys: impl IntoIterator<Item = (String, AccessKey)>) {
        let table = Arc::new(keys.into_iter().collect());
        // A poisoned lock guards a pointer that is always whole.
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = table;
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.snapshot().len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn snapshot(&self) -> Arc<HashMap<String, AccessKey>> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl AccessKeys for AccessKeyTable {
    fn find(&self, id: &str) -> Option<AccessKey> {
        self.snapshot().get(id).cloned()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key(secret: &str) -> AccessKey {
        AccessKey {
            account: "1000000000000001".parse().unwrap(),
            secret: Arc::new(Zeroizing::new(secret.to_owned())),
            enabled: true,
        }
    }

    #[test]
    fn a_replaced_table_forgets_what_it_had() {
        let table = AccessKeyTable::new([("a".to_owned(), key("1"))]);
        assert_eq!(table.find("a").unwrap().secret.as_str(), "1");
        table.replace([("b".to_owned(), key("2"))]);
        assert!(table.find("a").is_none());
        assert_eq!(table.find("b").unwrap().secret.as_str(), "2");
        assert_eq!(table.len(), 1);
    }
}
