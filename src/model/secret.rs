//! Secrets as the catalogue records them.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    AccountId, Incarnation, KeyId, KeystoreId, MaterialId, Placement, RegionId, Rotation, SecretName, SecretVersionId,
    TagMap,
};

/// Type of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SecretType {
    /// Any text or bytes; never rotates by itself.
    Generic,
    /// An ApsaraDB RDS account.
    Rds,
    /// Access keys of a RAM user.
    RAMCredentials,
    /// Login of an ECS machine.
    ECS,
}

impl SecretType {
    /// Every type.
    pub const ALL: [Self; 4] = [Self::Generic, Self::Rds, Self::RAMCredentials, Self::ECS];

    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Generic => "Generic",
            Self::Rds => "Rds",
            Self::RAMCredentials => "RAMCredentials",
            Self::ECS => "ECS",
        }
    }
}

impl fmt::Display for SecretType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SecretType {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(())
    }
}

/// A secret. One record a secret; versions are records of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRecord {
    /// The name, unique per account and region.
    pub name: SecretName,
    /// The owner.
    pub account: AccountId,
    /// The region.
    pub region: RegionId,
    /// The life of this secret; the name its values are filed under.
    pub incarnation: Incarnation,
    /// The keystore that holds the values: changing this is the cut-over.
    pub keystore: KeystoreId,
    /// Type.
    pub secret_type: SecretType,
    /// The key that encrypts it; `None`: the keystore's system key.
    pub encryption_key: Option<KeyId>,
    /// Description.
    pub description: String,
    /// Extended configuration (a JSON object as text); empty for Generic.
    pub extended_config: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it will be destroyed, while it waits in its recovery window.
    pub planned_delete_at: Option<Timestamp>,
    /// Automatic rotation (not Generic).
    pub rotation: Rotation,
    /// Tags.
    pub tags: TagMap,
    /// Policy document of an instance secret; `None` in the shared KMS.
    pub policy: Option<String>,
    /// How many version records there are.
    pub version_count: u32,
    /// Where it was before its migration.
    pub placement: Option<Placement>,
}

/// One version of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretVersionRecord {
    /// Version ID, chosen by the caller.
    pub id: SecretVersionId,
    /// The name its sealed value is filed under in the keystore.
    pub material: MaterialId,
    /// Its place in the order of creation: 1 for the first version ever, never used again.
    pub number: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// True for `binary`.
    pub binary: bool,
    /// Stages that point here.
    pub stages: BTreeSet<String>,
    /// The key whose version encrypts this value's data key; `None`: the keystore's system key. Equal to the secret's.
    pub encryption_key: Option<KeyId>,
}
