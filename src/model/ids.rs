//! Identifiers. Each is checked once, where it enters; afterwards its type is the proof.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An identifier that does not have the form its kind requires.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{found:?} is not a valid {kind}: {rule}")]
pub struct IdError {
    /// What was expected, such as `account ID`.
    pub kind: &'static str,
    /// The text as it came.
    pub found: String,
    /// The rule it breaks, in words.
    pub rule: &'static str,
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(IdError { kind: $kind, found: text.chars().take(200).collect(), rule: $rule })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

identifier!(
    /// A tenant: 16 decimal digits.
    AccountId, "account ID", "16 decimal digits", |t| t.len() == 16 && t.bytes().all(|b| b.is_ascii_digit())
);
identifier!(
    /// A region such as `cn-hangzhou`; resources never leave theirs.
    RegionId, "region ID", "2 to 32 lower-case letters, digits and hyphens, beginning with a letter", |t| {
        (2..=32).contains(&t.len())
            && t.starts_with(|c: char| c.is_ascii_lowercase())
            && t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    }
);
identifier!(
    /// A key: a UUID in the shared KMS, `key-…` when created in an instance.
    KeyId, "key ID", "a UUID, or key- followed by letters and digits, at most 64 characters", |t| {
        t.len() <= 64
            && (uuid::Uuid::try_parse(t).is_ok_and(|_| t.len() == 36)
                || t.strip_prefix("key-").is_some_and(|r| !r.is_empty() && r.bytes().all(|b| b.is_ascii_alphanumeric())))
    }
);
identifier!(
    /// A dedicated keystore: `kst-…`.
    InstanceId, "instance ID", "kst- followed by 1 to 60 lower-case letters and digits", |t| {
        t.strip_prefix("kst-").is_some_and(|r| {
            (1..=60).contains(&r.len()) && r.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        })
    }
);
identifier!(
    /// A secret's name, unique in its account and region (API page CreateSecret).
    SecretName, "secret name", "1 to 192 letters, digits and _ / + = . - @", |t| {
        (1..=192).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"_/+=.-@".contains(&b))
    }
);
identifier!(
    /// A secret version's ID, chosen by the caller (API page PutSecretValue).
    SecretVersionId, "version ID", "1 to 64 letters, digits and _ / + = . - @", |t| {
        (1..=64).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"_/+=.-@".contains(&b))
    }
);
identifier!(
    /// A migration job: `job-` and 20 hexadecimal digits; the first twelve are the creation instant in milliseconds,
    /// so that IDs sort by age.
    JobId, "job ID", "job- followed by 20 lower-case hexadecimal digits", |t| {
        t.strip_prefix("job-")
            .is_some_and(|r| r.len() == 20 && r.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
    }
);
identifier!(
    /// One life of a resource: a secret that is deleted and created again under its name has another. A UUID; also the
    /// name under which a keystore files the resource's material.
    Incarnation, "incarnation", "a lower-case UUID", lower_case_uuid
);
identifier!(
    /// One stored version of key material or of a secret's value inside its incarnation. A UUID. For a key it is also
    /// the key version ID that callers see.
    MaterialId, "version ID", "a lower-case UUID", lower_case_uuid
);

fn lower_case_uuid(text: &str) -> bool {
    text.len() == 36 && !text.bytes().any(|b| b.is_ascii_uppercase()) && uuid::Uuid::try_parse(text).is_ok()
}

impl JobId {
    /// Makes an ID from the creation instant and 32 random bits.
    #[must_use]
    pub fn generate(now: jiff::Timestamp, random: u32) -> Self {
        let millis = u64::try_from(now.as_millisecond()).unwrap_or(0) & 0xffff_ffff_ffff;
        Self(format!("job-{millis:012x}{random:08x}"))
    }
}

impl MaterialId {
    /// The 16 bytes of the UUID, as they stand in a ciphertext blob.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 16] {
        uuid::Uuid::try_parse(&self.0).map(uuid::Uuid::into_bytes).unwrap_or_default()
    }

    /// The ID of 16 bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Uuid::from_bytes(bytes).hyphenated().to_string())
    }
}

impl Incarnation {
    /// The incarnation of 16 random bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid().hyphenated().to_string())
    }
}

/// Key or secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    /// A customer master key or service key.
    Key,
    /// A secret.
    Secret,
}

impl ResourceKind {
    /// `key` or `secret`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Secret => "secret",
        }
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A key or a secret by its public name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum ResourceId {
    /// A key by its ID.
    Key(KeyId),
    /// A secret by its name.
    Secret(SecretName),
}

impl ResourceId {
    /// Which of the two it is.
    #[must_use]
    pub const fn kind(&self) -> ResourceKind {
        match self {
            Self::Key(_) => ResourceKind::Key,
            Self::Secret(_) => ResourceKind::Secret,
        }
    }

    /// The key ID or the secret name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Key(id) => id.as_str(),
            Self::Secret(name) => name.as_str(),
        }
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.name())
    }
}

/// Where material lives: the shared keystore of a region, or an instance. As text `shared:REGION` or `kst-…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum KeystoreId {
    /// The shared, multi-tenant keystore of a region.
    Shared(RegionId),
    /// A dedicated instance.
    Instance(InstanceId),
}

impl KeystoreId {
    /// The instance, if it is one.
    #[must_use]
    pub const fn instance(&self) -> Option<&InstanceId> {
        match self {
            Self::Shared(_) => None,
            Self::Instance(id) => Some(id),
        }
    }
}

impl fmt::Display for KeystoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shared(region) => write!(f, "shared:{region}"),
            Self::Instance(id) => write!(f, "{id}"),
        }
    }
}

impl FromStr for KeystoreId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.strip_prefix("shared:") {
            Some(region) => region.parse().map(Self::Shared),
            None => text.parse().map(Self::Instance),
        }
    }
}

impl TryFrom<String> for KeystoreId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<KeystoreId> for String {
    fn from(id: KeystoreId) -> Self {
        id.to_string()
    }
}

/// What a job locks: one account in one region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// The region.
    pub region: RegionId,
    /// The account.
    pub account: AccountId,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.region)
    }
}
