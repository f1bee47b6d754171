//! Keys as the catalogue records them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AccountId, Incarnation, JobId, KeyId, KeystoreId, MaterialId, RegionId};

/// Tags of a resource, by tag key.
pub type TagMap = BTreeMap<String, String>;

/// Algorithm and size of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum KeySpec {
    /// AES, 256 bits.
    #[serde(rename = "Aliyun_AES_256")]
    Aes256,
    /// AES, 128 bits.
    #[serde(rename = "Aliyun_AES_128")]
    Aes128,
    /// RSA, 2048 bits.
    #[serde(rename = "RSA_2048")]
    Rsa2048,
    /// RSA, 3072 bits.
    #[serde(rename = "RSA_3072")]
    Rsa3072,
    /// RSA, 4096 bits.
    #[serde(rename = "RSA_4096")]
    Rsa4096,
    /// NIST P-256.
    #[serde(rename = "EC_P256")]
    EcP256,
    /// secp256k1.
    #[serde(rename = "EC_P256K")]
    EcP256k,
    /// AES, 192 bits.
    #[serde(rename = "Aliyun_AES_192")]
    Aes192,
    /// HMAC with SHA-224.
    #[serde(rename = "HMAC_SHA_224")]
    HmacSha224,
    /// HMAC with SHA-256.
    #[serde(rename = "HMAC_SHA_256")]
    HmacSha256,
    /// HMAC with SHA-384.
    #[serde(rename = "HMAC_SHA_384")]
    HmacSha384,
    /// HMAC with SHA-512.
    #[serde(rename = "HMAC_SHA_512")]
    HmacSha512,
}

impl KeySpec {
    /// Every spec, in the order of the documentation.
    pub const ALL: [Self; 12] = [
        Self::Aes256,
        Self::Aes192,
        Self::Aes128,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
        Self::EcP256,
        Self::EcP256k,
        Self::HmacSha224,
        Self::HmacSha256,
        Self::HmacSha384,
        Self::HmacSha512,
    ];

    /// The name in the API, such as `Aliyun_AES_256`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aes256 => "Aliyun_AES_256",
            Self::Aes192 => "Aliyun_AES_192",
            Self::Aes128 => "Aliyun_AES_128",
            Self::Rsa2048 => "RSA_2048",
            Self::Rsa3072 => "RSA_3072",
            Self::Rsa4096 => "RSA_4096",
            Self::EcP256 => "EC_P256",
            Self::EcP256k => "EC_P256K",
            Self::HmacSha224 => "HMAC_SHA_224",
            Self::HmacSha256 => "HMAC_SHA_256",
            Self::HmacSha384 => "HMAC_SHA_384",
            Self::HmacSha512 => "HMAC_SHA_512",
        }
    }

    /// True for AES: what encrypts and decrypts with one secret.
    #[must_use]
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::Aes256 | Self::Aes192 | Self::Aes128)
    }

    /// True for HMAC: one secret that neither encrypts nor decrypts.
    #[must_use]
    pub const fn is_mac(self) -> bool {
        matches!(self, Self::HmacSha224 | Self::HmacSha256 | Self::HmacSha384 | Self::HmacSha512)
    }

    /// True for RSA and elliptic curves.
    #[must_use]
    pub const fn is_asymmetric(self) -> bool {
        !self.is_symmetric() && !self.is_mac()
    }

    /// True for specs that only instances offer (API page CreateKey).
    #[must_use]
    pub const fn is_of_instances(self) -> bool {
        matches!(self, Self::Aes192 | Self::Rsa4096) || self.is_mac()
    }

    /// Length of raw material in bytes; `None` for asymmetric specs. HMAC keys are as long as their hash (RFC 2104, 3).
    #[must_use]
    pub const fn raw_len(self) -> Option<usize> {
        match self {
            Self::Aes256 | Self::HmacSha256 => Some(32),
            Self::Aes192 => Some(24),
            Self::Aes128 => Some(16),
            Self::HmacSha224 => Some(28),
            Self::HmacSha384 => Some(48),
            Self::HmacSha512 => Some(64),
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 | Self::EcP256 | Self::EcP256k => None,
        }
    }

    /// The usages a key of this spec may have; the first is the default (API page CreateKey).
    #[must_use]
    pub const fn usages(self) -> &'static [KeyUsage] {
        match self {
            Self::Aes256 | Self::Aes192 | Self::Aes128 => &[KeyUsage::EncryptDecrypt],
            Self::HmacSha224 | Self::HmacSha256 | Self::HmacSha384 | Self::HmacSha512 => &[KeyUsage::GenerateVerifyMac],
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => &[KeyUsage::SignVerify, KeyUsage::EncryptDecrypt],
            Self::EcP256 | Self::EcP256k => &[KeyUsage::SignVerify],
        }
    }
}

impl fmt::Display for KeySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for KeySpec {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|spec| spec.as_str() == text).ok_or(())
    }
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeyUsage {
    /// Encryption, decryption and data keys.
    #[serde(rename = "ENCRYPT/DECRYPT")]
    EncryptDecrypt,
    /// Signatures.
    #[serde(rename = "SIGN/VERIFY")]
    SignVerify,
    /// Message authentication codes.
    #[serde(rename = "GENERATE/VERIFY MAC")]
    GenerateVerifyMac,
}

impl KeyUsage {
    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EncryptDecrypt => "ENCRYPT/DECRYPT",
            Self::SignVerify => "SIGN/VERIFY",
            Self::GenerateVerifyMac => "GENERATE/VERIFY MAC",
        }
    }
}

/// Where the material came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeyOrigin {
    /// Generated by the KMS.
    #[serde(rename = "Aliyun_KMS")]
    Kms,
    /// Imported by the owner (BYOK).
    #[serde(rename = "EXTERNAL")]
    External,
}

impl KeyOrigin {
    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kms => "Aliyun_KMS",
            Self::External => "EXTERNAL",
        }
    }
}

/// Protection level as `DescribeKey` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ProtectionLevel {
    /// Software.
    #[serde(rename = "SOFTWARE")]
    Software,
    /// Hardware security module.
    #[serde(rename = "HSM")]
    Hsm,
}

impl ProtectionLevel {
    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Software => "SOFTWARE",
            Self::Hsm => "HSM",
        }
    }
}

/// State of a key. `Suspended` rotation is not a state: see [`Rotation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state")]
pub enum KeyState {
    /// Usable.
    Enabled,
    /// Kept, refused for cryptography.
    Disabled,
    /// Will be destroyed at `delete_at`.
    PendingDeletion {
        /// When.
        delete_at: Timestamp,
    },
    /// An EXTERNAL key without material.
    PendingImport,
}

impl KeyState {
    /// The name in the API.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Disabled => "Disabled",
            Self::PendingDeletion { .. } => "PendingDeletion",
            Self::PendingImport => "PendingImport",
        }
    }
}

/// Automatic rotation: the owner's setting. Whether it is held back (key not enabled, job running) is derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rotation {
    /// Switched on by the owner.
    pub enabled: bool,
    /// The period; kept when rotation is switched off, absent when it never was on.
    pub interval: Option<Duration>,
    /// When the newest version was made (keys: the first version counts; secrets: absent until rotated once).
    pub last: Option<Timestamp>,
    /// For secrets: rotation keeps failing (`Invalid` in the API). Always false for keys.
    #[serde(default)]
    pub invalid: bool,
    /// For secrets: the base of the first rotation, when `last` is absent (creation, or when rotation was switched on).
    #[serde(default)]
    pub since: Option<Timestamp>,
}

impl Rotation {
    /// When the next rotation falls due: last (or since) plus the interval; `None` while switched off.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        if !self.enabled {
            return None;
        }
        let base = self.last.or(self.since)?;
        let span = jiff::SignedDuration::try_from(self.interval?).ok()?;
        base.checked_add(span).ok()
    }
}

/// What is kept of imported material, also after its deletion: only the same material may be imported again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedMaterial {
    /// HMAC-SHA-256 of the material under a random check key, Base64. The check key is public within the catalogue:
    /// it serves comparison, and 256-bit random material cannot be guessed from it.
    pub check_value: String,
    /// The check key, Base64.
    pub check_key: String,
    /// When the material expires; `None` = never. Judged by this instant at each use.
    pub expires_at: Option<Timestamp>,
    /// The version ID the material had, so that a second import restores the same version.
    pub version: MaterialId,
    /// False after `DeleteKeyMaterial` or expiry.
    pub present: bool,
}

/// Where a resource was before a migration: what a roll-back puts back, and the provenance afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The job that moved it.
    pub job: JobId,
    /// The keystore it came from.
    pub keystore: KeystoreId,
    /// Its policy then.
    pub policy: Option<String>,
    /// Its protection level then (keys).
    pub protection_level: Option<ProtectionLevel>,
    /// Its own placement then, if it had been moved before.
    pub earlier: Option<Box<Placement>>,
}

/// A key. One record a key; versions are records of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// The key ID, unique in the region.
    pub id: KeyId,
    /// The owner.
    pub account: AccountId,
    /// The region.
    pub region: RegionId,
    /// The life of this key; the name its material is filed under.
    pub incarnation: Incarnation,
    /// The keystore that holds the material: changing this is the cut-over.
    pub keystore: KeystoreId,
    /// Algorithm and size.
    pub spec: KeySpec,
    /// What it is for.
    pub usage: KeyUsage,
    /// Generated or imported.
    pub origin: KeyOrigin,
    /// SOFTWARE, or HSM in a hardware instance.
    pub protection_level: ProtectionLevel,
    /// Lifecycle state.
    pub state: KeyState,
    /// What the state returns to on `CancelKeyDeletion` is Enabled (API page); `PendingImport` when it has no material.
    pub description: String,
    /// Who made it: the account ID, or the cloud product of a service key.
    pub creator: String,
    /// The cloud product, for a service key; service keys are never migrated.
    pub service: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// The primary version of a symmetric key, the first version of an asymmetric one; `None` until material exists.
    pub primary_version: Option<MaterialId>,
    /// How many version records there are.
    pub version_count: u32,
    /// Automatic rotation.
    pub rotation: Rotation,
    /// Deletion protection.
    pub deletion_protection: bool,
    /// Kept only while protection is on.
    pub deletion_protection_description: String,
    /// Aliases with their `alias/` prefix.
    pub aliases: BTreeSet<String>,
    /// Tags.
    pub tags: TagMap,
    /// Policy document of an instance key; `None` in the shared KMS.
    pub policy: Option<String>,
    /// Imported material (origin EXTERNAL).
    pub imported: Option<ImportedMaterial>,
    /// Where it was before its migration.
    pub placement: Option<Placement>,
}

/// One version of a key. The version ID is also the name of its material.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyVersionRecord {
    /// The key.
    pub key: KeyId,
    /// Version ID.
    pub id: MaterialId,
    /// 1 for the first.
    pub number: u32,
    /// When it was made.
    pub created_at: Timestamp,
}
