//! Parcels: resources on their way from a source to a target, wrapped for one offer and signed by the source.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::identity::Identity;
pub use super::identity::PublicIdentity;
pub use super::offer::SignedOffer;
use super::{CryptoError, Writer, base64_bytes, digest_field};
use crate::model::{Incarnation, JobId, KeySpec, KeystoreId, MaterialId, ResourceId, Scope};

/// Resources of one job, wrapped for one offer. JSON-serializable: a remote instance receives it over HTTPS.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// The job.
    pub job: JobId,
    /// Who wrapped it.
    pub source: KeystoreId,
    /// For whom.
    pub target: KeystoreId,
    /// The fencing token of the offer.
    pub token: u64,
    /// The offer it was wrapped for ([`super::offer::Offer::digest`]).
    #[serde(with = "base64_bytes")]
    pub offer: [u8; 32],
    /// The ephemeral AES-256 key under RSA-OAEP-SHA-256.
    #[serde(with = "base64_bytes")]
    pub wrapped_kek: Vec<u8>,
    /// The job's value key under the ephemeral key, AES-KWP.
    #[serde(with = "base64_bytes")]
    pub wrapped_value_key: Vec<u8>,
    /// The resources.
    pub items: Vec<Item>,
    /// Ed25519 of the source over everything above.
    #[serde(with = "base64_bytes")]
    pub signature: Vec<u8>,
}

/// One resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Account and region.
    pub scope: Scope,
    /// Key ID or secret name.
    pub resource: ResourceId,
    /// Its life.
    pub incarnation: Incarnation,
    /// Spec of a key; `None` for a secret.
    pub spec: Option<KeySpec>,
    /// Its versions.
    pub versions: Vec<ItemVersion>,
}

/// One version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemVersion {
    /// The version.
    pub version: MaterialId,
    /// Keys: AES-KWP of the material. Secrets: AES-256-GCM of the envelope under the value key, additional data
    /// [`value_aad`].
    #[serde(with = "base64_bytes")]
    pub ciphertext: Vec<u8>,
}

impl Parcel {
    /// Sets the signature.
    pub fn sign(&mut self, identity: &Identity) {
        self.signature = identity.sign(PURPOSE, &self.digest());
    }

    /// Verifies that the source signed exactly this.
    ///
    /// # Errors
    /// [`CryptoError::Rejected`] when it did not.
    pub fn verify(&self, source: &PublicIdentity) -> Result<(), CryptoError> {
        source.verify(PURPOSE, &self.digest(), &self.signature)
    }

    fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut header = Writer::new();
        header.text(self.job.as_str()).keystore(&self.source).keystore(&self.target).u64(self.token);
        header.raw(&self.offer).field(&self.wrapped_kek).field(&self.wrapped_value_key).count(self.items.len());
        hash.update(header.finish());
        for item in &self.items {
            let mut writer = Writer::new();
            item.encode_label(&mut writer);
            hash.update(writer.count(item.versions.len()).finish());
            for version in &item.versions {
                digest_field(&mut hash, version.version.as_str().as_bytes());
                digest_field(&mut hash, &version.ciphertext);
            }
        }
        hash.finalize().into()
    }
}

impl Item {
    pub(crate) fn encode_label(&self, writer: &mut Writer) {
        writer.text(self.scope.account.as_str()).text(self.scope.region.as_str());
        writer.text(self.resource.kind().as_str()).text(self.resource.name()).text(self.incarnation.as_str());
        writer.text(self.spec.map_or("", KeySpec::as_str));
    }
}

/// Additional data of a secret version in a parcel.
#[must_use]
pub fn value_aad(parcel: &Parcel, item: &Item, version: &MaterialId) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.text("keyferry parcel value v1").text(parcel.job.as_str());
    writer.keystore(&parcel.source).keystore(&parcel.target);
    item.encode_label(&mut writer);
    writer.text(version.as_str()).finish()
}

impl fmt::Debug for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parcel({}, {} -> {}, {} resources)", self.job, self.source, self.target, self.items.len())
    }
}

const PURPOSE: &str = "keyferry parcel v1";

#[cfg(test)]
#[path = "parcel_tests.rs"]
mod tests;
