//! Keystores: what holds material under one root of trust.
//!
//! [`Keystore`] is use in daily life, [`Prover`] the internal use that proofs need (it ignores key states and sees staged
//! copies), [`Source`] and [`Target`] the two ends of a migration. Our keystores are all of these; a foreign KMS would be
//! a [`Source`] only. No function returns plaintext key material.

mod answer;
mod error;
pub mod faulty;
pub mod hardware;
mod label;
pub mod remote;
pub mod software;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use zeroize::Zeroizing;

pub use answer::Answer;
pub use error::{KeystoreError, Unfit};
pub use label::{Label, Place};

use crate::crypto::envelope::SecretEnvelope;
use crate::crypto::mac::MacAlgorithm;
use crate::crypto::material::{DecryptAlgorithm, KeyMaterial, SignAlgorithm};
use crate::crypto::parcel::{Parcel, PublicIdentity, SignedOffer};
use crate::model::{Incarnation, InstanceState, JobId, KeystoreId, MaterialId, Scope};
use crate::observe::metrics::ServedBy;

/// Daily use: creation, cryptography, reading, destruction. A call for something that is not here answers
/// [`KeystoreError::Moved`]: the caller reads the catalogue again.
#[async_trait]
pub trait Keystore: Send + Sync + 'static {
    /// Which keystore this is.
    fn id(&self) -> &KeystoreId;

    /// Under which kind its work is counted.
    fn served_by(&self) -> ServedBy {
        match self.id() {
            KeystoreId::Shared(_) => ServedBy::Shared,
            KeystoreId::Instance(_) => ServedBy::Software,
        }
    }

    /// Generates and stores a version of a key. The material is durable on return.
    async fn generate(&self, label: &Label, place: &Place) -> Result<(), KeystoreError>;

    /// Stores a version of a key whose material was imported (BYOK).
    async fn import(&self, label: &Label, place: &Place, material: KeyMaterial) -> Result<(), KeystoreError>;

    /// Stores a version of a secret's value.
    async fn put_value(&self, label: &Label, place: &Place, envelope: &SecretEnvelope) -> Result<(), KeystoreError>;

    /// AES-GCM under a version's raw material: returns `IV (12) || ciphertext || tag (16)`.
    async fn seal(&self, place: &Place, aad: &[u8], plaintext: &[u8]) -> Result<Answer<Vec<u8>>, KeystoreError>;

    /// Opens what [`Keystore::seal`] made. [`KeystoreError::Rejected`] when it does not open.
    async fn open(&self, place: &Place, aad: &[u8], sealed: &[u8])
    -> Result<Answer<Zeroizing<Vec<u8>>>, KeystoreError>;

    /// Signs a 32-byte SHA-256 digest.
    async fn sign(
        &self,
        place: &Place,
        algorithm: SignAlgorithm,
        digest: &[u8],
    ) -> Result<Answer<Vec<u8>>, KeystoreError>;

    /// The message authentication code of a message.
    async fn mac(
        &self,
        place: &Place,
        algorithm: MacAlgorithm,
        message: &[u8],
    ) -> Result<Answer<Vec<u8>>, KeystoreError>;

    /// Decrypts an asymmetric ciphertext. [`KeystoreError::Rejected`] when it does not open.
    async fn decrypt(
        &self,
        place: &Place,
        algorithm: DecryptAlgorithm,
        ciphertext: &[u8],
    ) -> Result<Answer<Zeroizing<Vec<u8>>>, KeystoreError>;

    /// The public key as DER SubjectPublicKeyInfo.
    async fn public_key(&self, place: &Place) -> Result<Answer<Vec<u8>>, KeystoreError>;

    /// The stored envelope of a secret version.
    async fn read_value(&self, place: &Place) -> Result<Answer<SecretEnvelope>, KeystoreError>;

    /// Destroys versions of one incarnation (all of them when `versions` is `None`). Idempotent.
    async fn destroy(&self, incarnation: &Incarnation, versions: Option<&[Place]>) -> Result<(), KeystoreError>;

    /// Destroys what an intent names, unless it has become something else meanwhile. Idempotent.
    async fn destroy_orphan(&self, place: &Place) -> Result<(), KeystoreError>;

    /// Everything it holds, staged copies too, each version opened from the durable store. For the doctor.
    async fn inventory(&self) -> Result<Vec<Held>, KeystoreError>;
}

/// A resource that a keystore holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its life.
    pub incarnation: Incarnation,
    /// What its label says, or why that does not open.
    pub label: Result<Label, String>,
    /// The job that staged it.
    pub staged_by: Option<JobId>,
    /// No roll-back takes it away any more; false also where the instance is of a release that does not tell.
    pub settled: bool,
    /// Its versions.
    pub versions: Vec<HeldVersion>,
}

/// A version that a keystore holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldVersion {
    /// The name it is filed under.
    pub id: MaterialId,
    /// Why it does not open; `None`: it does.
    pub fault: Option<String>,
}

/// Internal use for proofs. Addresses staged copies of the job in a target, active records in a source; reads the durable
/// store, never a cache.
#[async_trait]
pub trait Prover: Send + Sync {
    /// Encrypts one challenge a place; answers in the same order.
    async fn seal_challenges(
        &self,
        job: &JobId,
        challenges: &[(Place, [u8; 32])],
    ) -> Result<Vec<Vec<u8>>, KeystoreError>;

    /// Opens challenges sealed by the other side; answers in the same order.
    async fn open_challenges(&self, job: &JobId, sealed: &[(Place, Vec<u8>)]) -> Result<Vec<[u8; 32]>, KeystoreError>;

    /// Public keys (DER SubjectPublicKeyInfo).
    async fn public_keys(&self, job: &JobId, places: &[Place]) -> Result<Vec<Vec<u8>>, KeystoreError>;

    /// Signs a 32-byte digest with a copy.
    async fn prove_sign(
        &self,
        job: &JobId,
        place: &Place,
        algorithm: SignAlgorithm,
        digest: &[u8],
    ) -> Result<Vec<u8>, KeystoreError>;

    /// Decrypts an RSA ciphertext with a copy.
    async fn prove_decrypt(
        &self,
        job: &JobId,
        place: &Place,
        algorithm: DecryptAlgorithm,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeystoreError>;

    /// HMAC-SHA-256 of each secret version's envelope under the per-job digest key that only the two keystores hold.
    async fn digests(&self, job: &JobId, places: &[Place]) -> Result<Vec<[u8; 32]>, KeystoreError>;

    /// Labels of copies, to compare with the catalogue; same order as `incarnations`.
    async fn labels(&self, job: &JobId, incarnations: &[Incarnation]) -> Result<Vec<Label>, KeystoreError>;

    /// [`Prover::labels`] of `incarnations` and [`Prover::digests`] of `places`, where both are wanted of the same secrets.
    async fn labels_and_digests(
        &self,
        job: &JobId,
        incarnations: &[Incarnation],
        places: &[Place],
    ) -> Result<(Vec<Label>, Vec<[u8; 32]>), KeystoreError> {
        Ok((self.labels(job, incarnations).await?, self.digests(job, places).await?))
    }
}

/// The end that material leaves.
#[async_trait]
pub trait Source: Keystore + Prover {
    /// The Ed25519 identity that signs parcels.
    fn identity(&self) -> PublicIdentity;

    /// A fresh nonce for the job's offer, remembered (in memory) until an offer that carries it is used.
    async fn nonce(&self, job: &JobId) -> Result<[u8; 32], KeystoreError>;

    /// Wraps all listed versions for the target. Verifies the offer: signature by `target`, job, expiry, nonce.
    async fn wrap_out(
        &self,
        offer: &SignedOffer,
        target: &PublicIdentity,
        now: Timestamp,
        resources: &[WrapOrder],
    ) -> Result<Parcel, KeystoreError>;

    /// Destroys the source copies of a batch, fenced: refuses a token lower than the highest seen for the job.
    async fn purge(&self, job: &JobId, token: u64, incarnations: &[Incarnation]) -> Result<(), KeystoreError>;

    /// Makes what was purged of a scope unreadable also in what the store's medium keeps of it. Once a job, after all its
    /// purges; fenced like them; idempotent.
    async fn shred(&self, job: &JobId, token: u64, scope: &Scope) -> Result<(), KeystoreError>;

    /// Forgets the job's session (digest key, nonce). Idempotent.
    async fn close_session(&self, job: &JobId) -> Result<(), KeystoreError>;
}

/// What the source is to wrap: one resource with the versions the catalogue lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrapOrder {
    /// The resource.
    pub label: Label,
    /// Its versions.
    pub places: Vec<Place>,
}

/// The end that material reaches.
#[async_trait]
pub trait Target: Keystore + Prover {
    /// The Ed25519 identity, pinned in the catalogue when the instance is set up.
    fn identity(&self) -> PublicIdentity;

    /// How it stands, as far as is known without asking it.
    fn state(&self) -> InstanceState {
        InstanceState::Connected
    }

    /// What was wrong with the last call, while [`Target::state`] is neither connected nor to be set up.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// Whether it answers and takes writes; called by preflight.
    async fn ready(&self) -> Result<Readiness, KeystoreError>;

    /// Tells that an offer will be asked for soon: what takes long about it may be begun. To be called within a runtime.
    fn expect_offer(&self) {}

    /// A signed transport offer, valid for the job and token until it expires. Discards what the job staged under lower
    /// tokens; refused with [`KeystoreError::Fenced`] under a lower token than seen, with
    /// [`KeystoreError::StagingClosed`] once staging is closed, with [`KeystoreError::Forgotten`] after `forget`.
    async fn offer(
        &self,
        job: &JobId,
        token: u64,
        nonce: [u8; 32],
        now: Timestamp,
    ) -> Result<SignedOffer, KeystoreError>;

    /// Stages a parcel: invisible, durable, idempotent. Verifies the signature by `source`, job, target, token; refuses
    /// a second parcel item for a resource that differs from the first.
    async fn stage(&self, parcel: &Parcel, source: &PublicIdentity) -> Result<(), KeystoreError>;

    /// Closes staging and returns the manifest digest over every staged record as stored. Idempotent.
    async fn close(&self, job: &JobId, token: u64) -> Result<[u8; 32], KeystoreError>;

    /// The manifest digest, if the job's staging is closed.
    async fn closed(&self, job: &JobId, token: u64) -> Result<Option<[u8; 32]>, KeystoreError>;

    /// Makes what was staged usable, in one durable idempotent step. Refused if a record is missing or differs from the
    /// manifest.
    async fn activate(&self, job: &JobId, token: u64, manifest: &[u8; 32]) -> Result<(), KeystoreError>;

    /// Confirms that every record of these incarnations is durable here and as in the manifest. Empty: the whole manifest.
    async fn confirm(&self, job: &JobId, token: u64, incarnations: &[Incarnation]) -> Result<(), KeystoreError>;

    /// The purge has reached these copies: their answers are provisional no longer. Empty: all of the job. Idempotent.
    async fn settle(&self, job: &JobId, token: u64) -> Result<(), KeystoreError>;

    /// Destroys all copies of the job, staged or active, and leaves a tombstone that refuses anything later for it.
    /// Idempotent. Refused with [`KeystoreError::PastReturn`] after `settle`.
    async fn forget(&self, job: &JobId, token: u64) -> Result<(), KeystoreError>;
}

/// What a target tells preflight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readiness {
    /// Bytes free for its store, if it can tell.
    pub free_bytes: Option<u64>,
    /// Bytes free for private objects in its token, if it has one that can tell.
    pub token_free_bytes: Option<u64>,
}

/// A keystore that can be both ends, shared by its users.
pub type SharedSource = Arc<dyn Source>;
/// A target shared by its users.
pub type SharedTarget = Arc<dyn Target>;
