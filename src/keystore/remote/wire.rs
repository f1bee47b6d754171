//! What gateway and instance say to each other: JSON over HTTP/1.1 inside mutual TLS.
//!
//! A request is [`Request`]: a random ID and a [`Call`]. Every answer is a [`Reply`] signed by the instance's identity over
//! the digests of request and answer, so that nobody else's answer is taken for it, nor its own answer to something else.
//! Key material travels only wrapped ([`WrappedMaterial`], parcels). Secrets are zeroized and have no `Debug`.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::crypto::base64_bytes;
use crate::crypto::mac::MacAlgorithm;
use crate::crypto::material::{DecryptAlgorithm, SignAlgorithm};
use crate::crypto::parcel::{Parcel, PublicIdentity, SignedOffer};
use crate::keystore::{Held, HeldVersion, KeystoreError, Label, Place};
use crate::model::{Incarnation, InstanceId, JobId, KeySpec, KeystoreId, MaterialId};

/// Where the first call goes. Its form never changes, so that any two releases can find out that they do not fit.
pub(super) const HELLO: &str = "/keystore/hello";
/// Where every other call goes.
pub(super) const CALL: &str = "/keystore/call";
/// Header of a call: the protocol it is written in.
pub(super) const PROTOCOL_HEADER: &str = "keyferry-protocol";
/// Header of an answer: the signature, Base64.
pub(super) const SIGNATURE_HEADER: &str = "keyferry-signature";
/// What signatures of answers are for.
pub(super) const PURPOSE: &str = "keyferry remote answer v1";
/// The longest request: a batch of parcels with the largest secrets is far below.
pub(super) const MAX_REQUEST: usize = 32 * 1024 * 1024;
/// The longest answer: an inventory of a hundred thousand keys is below.
pub(super) const MAX_ANSWER: usize = 128 * 1024 * 1024;

/// Protocol versions that a release speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protocols {
    /// The oldest.
    pub oldest: u16,
    /// The newest.
    pub newest: u16,
}

impl Protocols {
    /// Of this release.
    pub const SPOKEN: Self = Self { oldest: 1, newest: 1 };

    /// The newest that both speak.
    #[must_use]
    pub fn common(self, other: Self) -> Option<u16> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }

    /// Does it speak this one?
    #[must_use]
    pub const fn speaks(self, version: u16) -> bool {
        self.oldest <= version && version <= self.newest
    }
}

impl std::fmt::Display for Protocols {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.oldest == self.newest {
            write!(f, "{}", self.newest)
        } else {
            write!(f, "{} to {}", self.oldest, self.newest)
        }
    }
}

/// The first call.
#[derive(Serialize, Deserialize)]
pub(super) struct Hello {
    /// Random, so that an old answer is not taken for a new one.
    pub(super) id: Bytes,
    /// What the caller speaks.
    pub(super) protocols: Protocols,
    /// Whom it wants.
    pub(super) instance: InstanceId,
}

/// The answer to it, signed like every answer.
#[derive(Serialize, Deserialize)]
pub(super) struct Welcome {
    /// What the instance speaks.
    pub(super) protocols: Protocols,
    /// Its release, for people.
    pub(super) version: String,
    /// Who it is.
    pub(super) instance: InstanceId,
    /// Its identity; the signature shows that it holds the private half.
    pub(super) identity: PublicIdentity,
}

/// One call.
#[derive(Serialize, Deserialize)]
pub(super) struct Request {
    /// Random: an answer is for this request and no other.
    pub(super) id: Bytes,
    /// What is asked.
    pub(super) call: Call,
}

/// The calls of [`crate::keystore::Keystore`], [`crate::keystore::Prover`] and [`crate::keystore::Target`].
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Call {
    Generate { label: Label, place: Place },
    ImportKey,
    Import { label: Label, place: Place, material: WrappedMaterial },
    PutValue { label: Label, place: Place, envelope: Secret },
    Seal { place: Place, aad: Bytes, plaintext: Secret },
    Open { place: Place, aad: Bytes, sealed: Bytes },
    Sign { place: Place, algorithm: Sign, digest: Bytes },
    Mac { place: Place, algorithm: Mac, message: Secret },
    Decrypt { place: Place, algorithm: Decrypt, ciphertext: Bytes },
    PublicKey { place: Place },
    ReadValue { place: Place },
    Destroy { incarnation: Incarnation, versions: Option<Vec<Place>> },
    DestroyOrphan { place: Place },
    Inventory,
    SealChallenges { job: JobId, challenges: Vec<(Place, Bytes)> },
    OpenChallenges { job: JobId, sealed: Vec<(Place, Bytes)> },
    PublicKeys { job: JobId, places: Vec<Place> },
    ProveSign { job: JobId, place: Place, algorithm: Sign, digest: Bytes },
    ProveDecrypt { job: JobId, place: Place, algorithm: Decrypt, ciphertext: Bytes },
    Digests { job: JobId, places: Vec<Place> },
    Labels { job: JobId, incarnations: Vec<Incarnation> },
    Ready,
    Offer { job: JobId, token: u64, nonce: Bytes, now: Timestamp },
    Stage { parcel: Box<Parcel>, source: PublicIdentity },
    Close { job: JobId, token: u64 },
    Closed { job: JobId, token: u64 },
    Activate { job: JobId, token: u64, manifest: Bytes },
    Confirm { job: JobId, token: u64, incarnations: Vec<Incarnation> },
    Settle { job: JobId, token: u64 },
    Forget { job: JobId, token: u64 },
}

/// Imported material on its way: as in a parcel, under the instance's import key.
#[derive(Serialize, Deserialize)]
pub(super) struct WrappedMaterial {
    /// The spec.
    pub(super) spec: KeySpec,
    /// The ephemeral AES key under the import key.
    pub(super) wrapped_kek: Bytes,
    /// The second key of [`crate::crypto::transport::TransportKeys`].
    pub(super) wrapped_value_key: Bytes,
    /// The material under the ephemeral key.
    pub(super) wrapped: Bytes,
}

/// An answer.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    Done,
    Bytes {
        value: Bytes,
        provisional: bool,
    },
    Secret {
        value: Secret,
        provisional: bool,
    },
    Held {
        held: Vec<HeldShape>,
    },
    Many {
        values: Vec<Bytes>,
    },
    Labels {
        labels: Vec<Label>,
    },
    Ready {
        free_bytes: Option<u64>,
        #[serde(default)]
        token_free_bytes: Option<u64>,
    },
    Offer {
        offer: Box<SignedOffer>,
    },
    Manifest {
        manifest: Option<Bytes>,
    },
    Failed(Refusal),
}

/// [`KeystoreError`] on its way.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Refusal {
    Moved,
    Unavailable(String),
    Rejected,
    Unsuitable(String),
    Damaged(String),
    Full(String),
    Fenced {
        job: JobId,
        token: u64,
        seen: u64,
    },
    StagingClosed(JobId),
    StagingOpen(JobId),
    Forgotten(JobId),
    PastReturn(JobId),
    Mismatch {
        job: JobId,
        detail: String,
        /// The resource whose place is taken. Here and not a refusal of its own, so that earlier releases read it.
        #[serde(default)]
        taken: Option<String>,
    },
    Refused(String),
    Exists,
}

impl Refusal {
    /// Of an error.
    pub(super) fn of(error: KeystoreError) -> Self {
        match error {
            KeystoreError::Moved(_) => Self::Moved,
            KeystoreError::Unavailable { detail, .. } => Self::Unavailable(detail),
            KeystoreError::Unfit { detail, remedy, .. } => Self::Unavailable(format!("{detail}; {remedy}")),
            KeystoreError::Rejected => Self::Rejected,
            KeystoreError::Unsuitable(why) => Self::Unsuitable(why.to_owned()),
            KeystoreError::Damaged { detail, .. } => Self::Damaged(detail),
            KeystoreError::Full { detail, .. } => Self::Full(detail),
            KeystoreError::Fenced { job, token, seen } => Self::Fenced { job, token, seen },
            KeystoreError::StagingClosed(job) => Self::StagingClosed(job),
            KeystoreError::StagingOpen(job) => Self::StagingOpen(job),
            KeystoreError::Forgotten(job) => Self::Forgotten(job),
            KeystoreError::PastReturn(job) => Self::PastReturn(job),
            KeystoreError::Mismatch { job, detail } => Self::Mismatch { job, detail, taken: None },
            KeystoreError::Taken { job, resource } => {
                let detail = format!("{resource} is already here and was not staged by this job");
                Self::Mismatch { job, detail, taken: Some(resource) }
            }
            KeystoreError::Refused(why) => Self::Refused(why),
            KeystoreError::Exists => Self::Exists,
        }
    }

    /// The error of a keystore.
    pub(super) fn into_error(self, keystore: &KeystoreId) -> KeystoreError {
        let keystore = keystore.clone();
        match self {
            Self::Moved => KeystoreError::Moved(keystore),
            Self::Unavailable(detail) => KeystoreError::Unavailable { keystore, detail },
            Self::Rejected => KeystoreError::Rejected,
            Self::Unsuitable(why) => KeystoreError::Unsuitable(reason(&why)),
            Self::Damaged(detail) => KeystoreError::Damaged { keystore, detail },
            Self::Full(detail) => KeystoreError::Full { keystore, detail },
            Self::Fenced { job, token, seen } => KeystoreError::Fenced { job, token, seen },
            Self::StagingClosed(job) => KeystoreError::StagingClosed(job),
            Self::StagingOpen(job) => KeystoreError::StagingOpen(job),
            Self::Forgotten(job) => KeystoreError::Forgotten(job),
            Self::PastReturn(job) => KeystoreError::PastReturn(job),
            Self::Mismatch { job, taken: Some(resource), .. } => KeystoreError::Taken { job, resource },
            Self::Mismatch { job, detail, taken: None } => KeystoreError::Mismatch { job, detail },
            Self::Refused(why) => KeystoreError::Refused(why),
            Self::Exists => KeystoreError::Exists,
        }
    }
}

/// Reasons are texts of this release; of another release's only the gist is known.
fn reason(text: &str) -> &'static str {
    const KNOWN: [&str; 11] = [
        "it has no public key",
        "it is a key",
        "it is a secret",
        "it is not symmetric",
        "the algorithm does not fit its spec",
        "the decryption algorithm does not fit its spec",
        "the digest is not 32 bytes of SHA-256",
        "the incarnation belongs to another resource",
        "the material is of another spec",
        "the place belongs to another resource",
        "the signature algorithm does not fit its spec",
    ];
    KNOWN.into_iter().find(|known| *known == text).unwrap_or("the instance does not offer it for this spec")
}

/// [`Held`] on its way.
#[derive(Serialize, Deserialize)]
pub(super) struct HeldShape {
    incarnation: Incarnation,
    label: Option<Label>,
    fault: Option<String>,
    staged_by: Option<JobId>,
    /// Earlier releases do not tell.
    #[serde(default)]
    settled: bool,
    versions: Vec<(MaterialId, Option<String>)>,
}

impl From<Held> for HeldShape {
    fn from(held: Held) -> Self {
        let (label, fault) = match held.label {
            Ok(label) => (Some(label), None),
            Err(fault) => (None, Some(fault)),
        };
        let versions = held.versions.into_iter().map(|version| (version.id, version.fault)).collect();
        let (staged_by, settled) = (held.staged_by, held.settled);
        Self { incarnation: held.incarnation, label, fault, staged_by, settled, versions }
    }
}

impl From<HeldShape> for Held {
    fn from(shape: HeldShape) -> Self {
        let versions = shape.versions.into_iter().map(|(id, fault)| HeldVersion { id, fault }).collect();
        let label = shape.label.ok_or_else(|| shape.fault.unwrap_or_default());
        Self { incarnation: shape.incarnation, label, staged_by: shape.staged_by, settled: shape.settled, versions }
    }
}

/// Bytes that are no secret; Base64.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Bytes(#[serde(with = "base64_bytes")] pub(super) Vec<u8>);

impl Bytes {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// 32 bytes, if it is so many.
    pub(super) fn array(&self) -> Option<[u8; 32]> {
        self.0.as_slice().try_into().ok()
    }
}

/// Plaintext: zeroized, no `Debug`; Base64.
pub(super) struct Secret(pub(super) Zeroizing<Vec<u8>>);

impl Secret {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(STANDARD.encode(self.0.as_slice())))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Borrowed from the body, so that no copy is made; Base64 needs no escapes in JSON.
        let text = <&'de str>::deserialize(deserializer)?;
        STANDARD.decode(text).map(|bytes| Self(Zeroizing::new(bytes))).map_err(|_| D::Error::custom("not Base64"))
    }
}

/// An algorithm by its name in the API.
macro_rules! named {
    ($($(#[$doc:meta])* $name:ident($inner:ty) $read:expr;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(super) struct $name(pub(super) $inner);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.0.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let read: fn(&str) -> Option<$inner> = $read;
                read(&text).map(Self).ok_or_else(|| D::Error::custom("an unknown algorithm"))
            }
        }
    )* };
}

named! {
    /// A signature algorithm.
    Sign(SignAlgorithm) |text| SignAlgorithm::ALL.into_iter().find(|algorithm| algorithm.as_str() == text);
    /// A decryption algorithm.
    Decrypt(DecryptAlgorithm) |text| DecryptAlgorithm::ALL.into_iter().find(|algorithm| algorithm.as_str() == text);
    /// An algorithm of message authentication codes.
    Mac(MacAlgorithm) |text| MacAlgorithm::from_str(text).ok();
}

/// What the signature of an answer is over.
pub(super) fn statement(request: &[u8], answer: &[u8]) -> Vec<u8> {
    let mut statement = Vec::with_capacity(64);
    statement.extend_from_slice(&Sha256::digest(request));
    statement.extend_from_slice(&Sha256::digest(answer));
    statement
}

/// JSON, in memory that is wiped.
pub(super) fn encode(message: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    serde_json::to_vec(message).map(Zeroizing::new)
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
