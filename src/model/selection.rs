//! What a migration is to move.

use serde::{Deserialize, Serialize};

use super::{KeyId, SecretName};

/// At most this many keys, and as many secrets, may be picked by hand (Migration Resources, vendor's page).
pub const MAX_SELECTED: usize = 50;

/// At most this many accounts run as one group: the jobs of all are made in one transaction, however much is picked.
pub const MAX_ACCOUNTS: usize = 64;

/// What to move. In the configuration `"all"` or `{ keys = [...], secrets = [...] }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// Full migration: all that can migrate; the rest is left behind and listed.
    All,
    /// Hand-picked.
    Picked {
        /// Key IDs.
        keys: Vec<KeyId>,
        /// Secret names.
        secrets: Vec<SecretName>,
    },
}
