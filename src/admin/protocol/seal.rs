//! Root keys.

use serde::{Deserialize, Serialize};

/// `seal status`, `seal rotate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealShape {
    /// Every root key.
    pub root_keys: Vec<RootKeyShape>,
}

/// A root key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootKeyShape {
    /// `shared`, or instance IDs: whose it is.
    pub names: Vec<String>,
    /// ID of the key that seals what is new.
    pub id: String,
    /// ID of the key before it, while something is still sealed under that.
    pub before: Option<String>,
    /// `settled`; `exchanging`; `by_hand`: exchanged, and only the operator can put the new key in its place.
    pub state: String,
    /// File or credential.
    pub place: String,
    /// Where the next key is looked for.
    pub next_place: String,
    /// It lies beside the data it seals.
    pub beside_data: bool,
    /// How many keystores are sealed under it.
    pub keystores: u64,
    /// Keys before it that are kept for older backups.
    pub retired: Vec<RetiredShape>,
}

/// A root key that nothing is sealed under any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetiredShape {
    /// Its ID.
    pub id: String,
    /// The file.
    pub place: String,
}

/// Body of `seal rotate`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotateRequest {
    /// `shared` or an instance ID; absent: every root key.
    #[serde(default)]
    pub name: Option<String>,
}
