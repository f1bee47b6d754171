//! The traits of a keystore, each function one call.
//!
//! Everything here may be sent twice: reads and cryptographic operations change nothing, destruction and the calls of a
//! job are idempotent by the names and fencing tokens they carry. Creation has a rule of its own (`Repeat::Creates`), and
//! imported material, which comes back under the name it had, is never sent twice.

use async_trait::async_trait;
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::client::{RemoteKeystore, Repeat};
use super::wire::{Bytes, Call, Decrypt, Mac, Reply, Secret, Sign, WrappedMaterial};
use crate::crypto::envelope::SecretEnvelope;
use crate::crypto::mac::MacAlgorithm;
use crate::crypto::material::{DecryptAlgorithm, KeyMaterial, SignAlgorithm};
use crate::crypto::parcel::{Parcel, PublicIdentity, SignedOffer};
use crate::crypto::transport::TransportKeys;
use crate::keystore::{Answer, Held, Keystore, KeystoreError, Label, Place, Prover, Readiness, Target};
use crate::model::{Incarnation, InstanceState, JobId, KeystoreId};
use crate::observe::metrics::ServedBy;

const QUICK: bool = false;
const SLOW: bool = true;

impl RemoteKeystore {
    async fn ask(&self, call: Call) -> Result<Reply, KeystoreError> {
        self.call(call, QUICK, Repeat::Idempotent).await
    }

    async fn work(&self, call: Call) -> Result<Reply, KeystoreError> {
        self.call(call, SLOW, Repeat::Idempotent).await
    }

    fn done(&self, reply: Reply) -> Result<(), KeystoreError> {
        match reply {
            Reply::Done => Ok(()),
            _ => Err(self.nonsense()),
        }
    }

    fn bytes(&self, reply: Reply) -> Result<Answer<Vec<u8>>, KeystoreError> {
        match reply {
            Reply::Bytes { value, provisional } => Ok(Answer { value: value.0, provisional }),
            _ => Err(self.nonsense()),
        }
    }

    fn secret(&self, reply: Reply) -> Result<Answer<Zeroizing<Vec<u8>>>, KeystoreError> {
        match reply {
            Reply::Secret { value, provisional } => Ok(Answer { value: value.0, provisional }),
            _ => Err(self.nonsense()),
        }
    }

    fn many(&self, reply: Reply, count: usize) -> Result<Vec<Vec<u8>>, KeystoreError> {
        match reply {
            Reply::Many { values } if values.len() == count => Ok(values.into_iter().map(|value| value.0).collect()),
            _ => Err(self.nonsense()),
        }
    }

    fn arrays(&self, reply: Reply, count: usize) -> Result<Vec<[u8; 32]>, KeystoreError> {
        let values = self.many(reply, count)?;
        values.into_iter().map(|value| value.try_into().map_err(|_| self.nonsense())).collect()
    }

    fn manifest(&self, reply: Reply) -> Result<Option<[u8; 32]>, KeystoreError> {
        match reply {
            Reply::Manifest { manifest: None } => Ok(None),
            Reply::Manifest { manifest: Some(bytes) } => bytes.array().map(Some).ok_or_else(|| self.nonsense()),
            _ => Err(self.nonsense()),
        }
    }

    fn nonsense(&self) -> KeystoreError {
        self.away("its answer does not fit the question".to_owned())
    }
}

#[async_trait]
impl Keystore for RemoteKeystore {
    fn id(&self) -> &KeystoreId {
        &self.id
    }

    fn served_by(&self) -> ServedBy {
        ServedBy::Remote
    }

    async fn generate(&self, label: &Label, place: &Place) -> Result<(), KeystoreError> {
        let call = Call::Generate { label: label.clone(), place: place.clone() };
        self.done(self.call(call, SLOW, Repeat::Creates).await?)
    }

    async fn import(&self, label: &Label, place: &Place, material: KeyMaterial) -> Result<(), KeystoreError> {
        // An instance that was restarted since has another import key.
        for last in [false, true] {
            let key = self.bytes(self.work(Call::ImportKey).await?)?.value;
            let keys = TransportKeys::generate(self.random.as_ref());
            let failed = |error: crate::crypto::CryptoError| self.away(format!("material cannot be wrapped ({error})"));
            let (wrapped_kek, wrapped_value_key) = keys.wrap_for(&key).map_err(failed)?;
            let material = WrappedMaterial {
                spec: material.spec(),
                wrapped_kek: Bytes(wrapped_kek),
                wrapped_value_key: Bytes(wrapped_value_key),
                wrapped: Bytes(keys.wrap_material(&material).map_err(failed)?),
            };
            let call = Call::Import { label: label.clone(), place: place.clone(), material };
            match self.call(call, SLOW, Repeat::Never).await {
                Err(KeystoreError::Rejected) if !last => {}
                other => return self.done(other?),
            }
        }
        Err(self.nonsense())
    }

    async fn put_value(&self, label: &Label, place: &Place, envelope: &SecretEnvelope) -> Result<(), KeystoreError> {
        let envelope = Secret(envelope.encode());
        let call = Call::PutValue { label: label.clone(), place: place.clone(), envelope };
        self.done(self.call(call, SLOW, Repeat::Creates).await?)
    }

    async fn seal(&self, place: &Place, aad: &[u8], plaintext: &[u8]) -> Result<Answer<Vec<u8>>, KeystoreError> {
        let call = Call::Seal { place: place.clone(), aad: Bytes::of(aad), plaintext: Secret::of(plaintext) };
        self.bytes(self.ask(call).await?)
    }

    async fn open(
        &self,
        place: &Place,
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Answer<Zeroizing<Vec<u8>>>, KeystoreError> {
        let call = Call::Open { place: place.clone(), aad: Bytes::of(aad), sealed: Bytes::of(sealed) };
        self.secret(self.ask(call).await?)
    }

    async fn sign(
        &self,
        place: &Place,
        algorithm: SignAlgorithm,
        digest: &[u8],
    ) -> Result<Answer<Vec<u8>>, KeystoreError> {
        let call = Call::Sign { place: place.clone(), algorithm: Sign(algorithm), digest: Bytes::of(digest) };
        self.bytes(self.ask(call).await?)
    }

    async fn mac(
        &self,
        place: &Place,
        algorithm: MacAlgorithm,
        message: &[u8],
    ) -> Result<Answer<Vec<u8>>, KeystoreError> {
        let call = Call::Mac { place: place.clone(), algorithm: Mac(algorithm), message: Secret::of(message) };
        self.bytes(self.ask(call).await?)
    }

    async fn decrypt(
        &self,
        place: &Place,
        algorithm: DecryptAlgorithm,
        ciphertext: &[u8],
    ) -> Result<Answer<Zeroizing<Vec<u8>>>, KeystoreError> {
        let (algorithm, ciphertext) = (Decrypt(algorithm), Bytes::of(ciphertext));
        self.secret(self.ask(Call::Decrypt { place: place.clone(), algorithm, ciphertext }).await?)
    }

    async fn public_key(&self, place: &Place) -> Result<Answer<Vec<u8>>, KeystoreError> {
        self.bytes(self.ask(Call::PublicKey { place: place.clone() }).await?)
    }

    async fn read_value(&self, place: &Place) -> Result<Answer<SecretEnvelope>, KeystoreError> {
        let answer = self.secret(self.ask(Call::ReadValue { place: place.clone() }).await?)?;
        let value = SecretEnvelope::decode(&answer.value).map_err(|_| self.nonsense())?;
        Ok(Answer { value, provisional: answer.provisional })
    }

    async fn destroy(&self, incarnation: &Incarnation, versions: Option<&[Place]>) -> Result<(), KeystoreError> {
        let call = Call::Destroy { incarnation: incarnation.clone(), versions: versions.map(<[Place]>::to_vec) };
        self.done(self.work(call).await?)
    }

    async fn destroy_orphan(&self, place: &Place) -> Result<(), KeystoreError> {
        self.done(self.work(Call::DestroyOrphan { place: place.clone() }).await?)
    }

    async fn inventory(&self) -> Result<Vec<Held>, KeystoreError> {
        match self.work(Call::Inventory).await? {
            Reply::Held { held } => Ok(held.into_iter().map(Held::from).collect()),
            _ => Err(self.nonsense()),
        }
    }
}

#[async_trait]
impl Prover for RemoteKeystore {
    async fn seal_challenges(
        &self,
        job: &JobId,
        challenges: &[(Place, [u8; 32])],
    ) -> Result<Vec<Vec<u8>>, KeystoreError> {
        let challenges: Vec<_> = challenges.iter().map(|(place, bytes)| (place.clone(), Bytes::of(bytes))).collect();
        let count = challenges.len();
        self.many(self.work(Call::SealChallenges { job: job.clone(), challenges }).await?, count)
    }

    async fn open_challenges(&self, job: &JobId, sealed: &[(Place, Vec<u8>)]) -> Result<Vec<[u8; 32]>, KeystoreError> {
        let sealed: Vec<_> = sealed.iter().map(|(place, bytes)| (place.clone(), Bytes::of(bytes))).collect();
        let count = sealed.len();
        self.arrays(self.work(Call::OpenChallenges { job: job.clone(), sealed }).await?, count)
    }

    async fn public_keys(&self, job: &JobId, places: &[Place]) -> Result<Vec<Vec<u8>>, KeystoreError> {
        let call = Call::PublicKeys { job: job.clone(), places: places.to_vec() };
        self.many(self.work(call).await?, places.len())
    }

    async fn prove_sign(
        &self,
        job: &JobId,
        place: &Place,
        algorithm: SignAlgorithm,
        digest: &[u8],
    ) -> Result<Vec<u8>, KeystoreError> {
        let (job, place, algorithm) = (job.clone(), place.clone(), Sign(algorithm));
        let reply = self.work(Call::ProveSign { job, place, algorithm, digest: Bytes::of(digest) }).await?;
        Ok(self.bytes(reply)?.value)
    }

    async fn prove_decrypt(
        &self,
        job: &JobId,
        place: &Place,
        algorithm: DecryptAlgorithm,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        let (job, place, algorithm) = (job.clone(), place.clone(), Decrypt(algorithm));
        let call = Call::ProveDecrypt { job, place, algorithm, ciphertext: Bytes::of(ciphertext) };
        Ok(self.secret(self.work(call).await?)?.value)
    }

    async fn digests(&self, job: &JobId, places: &[Place]) -> Result<Vec<[u8; 32]>, KeystoreError> {
        let call = Call::Digests { job: job.clone(), places: places.to_vec() };
        self.arrays(self.work(call).await?, places.len())
    }

    async fn labels(&self, job: &JobId, incarnations: &[Incarnation]) -> Result<Vec<Label>, KeystoreError> {
        let call = Call::Labels { job: job.clone(), incarnations: incarnations.to_vec() };
        match self.work(call).await? {
            Reply::Labels { labels } => Ok(labels),
            _ => Err(self.nonsense()),
        }
    }
}

#[async_trait]
impl Target for RemoteKeystore {
    /// The one that answered last; before it was ever reached the pinned one, or one that nobody has.
    fn identity(&self) -> PublicIdentity {
        self.known_identity().unwrap_or(PublicIdentity([0; 32]))
    }

    fn state(&self) -> InstanceState {
        self.current_state()
    }

    fn trouble(&self) -> Option<String> {
        self.current_trouble()
    }

    async fn ready(&self) -> Result<Readiness, KeystoreError> {
        // Says hello first: certificates, identity and protocol are looked at again, not what is remembered of them.
        self.probe().await?;
        match self.work(Call::Ready).await? {
            Reply::Ready { free_bytes, token_free_bytes } => Ok(Readiness { free_bytes, token_free_bytes }),
            _ => Err(self.nonsense()),
        }
    }

    async fn offer(
        &self,
        job: &JobId,
        token: u64,
        nonce: [u8; 32],
        now: Timestamp,
    ) -> Result<SignedOffer, KeystoreError> {
        match self.work(Call::Offer { job: job.clone(), token, nonce: Bytes::of(&nonce), now }).await? {
            Reply::Offer { offer } => Ok(*offer),
            _ => Err(self.nonsense()),
        }
    }

    async fn stage(&self, parcel: &Parcel, source: &PublicIdentity) -> Result<(), KeystoreError> {
        let call = Call::Stage { parcel: Box::new(parcel.clone()), source: *source };
        self.done(self.work(call).await?)
    }

    async fn close(&self, job: &JobId, token: u64) -> Result<[u8; 32], KeystoreError> {
        let reply = self.work(Call::Close { job: job.clone(), token }).await?;
        self.manifest(reply)?.ok_or_else(|| self.nonsense())
    }

    async fn closed(&self, job: &JobId, token: u64) -> Result<Option<[u8; 32]>, KeystoreError> {
        self.manifest(self.work(Call::Closed { job: job.clone(), token }).await?)
    }

    async fn activate(&self, job: &JobId, token: u64, manifest: &[u8; 32]) -> Result<(), KeystoreError> {
        let call = Call::Activate { job: job.clone(), token, manifest: Bytes::of(manifest) };
        self.done(self.work(call).await?)
    }

    async fn confirm(&self, job: &JobId, token: u64, incarnations: &[Incarnation]) -> Result<(), KeystoreError> {
        let call = Call::Confirm { job: job.clone(), token, incarnations: incarnations.to_vec() };
        self.done(self.work(call).await?)
    }

    async fn settle(&self, job: &JobId, token: u64) -> Result<(), KeystoreError> {
        self.done(self.work(Call::Settle { job: job.clone(), token }).await?)
    }

    async fn forget(&self, job: &JobId, token: u64) -> Result<(), KeystoreError> {
        self.done(self.work(Call::Forget { job: job.clone(), token }).await?)
    }
}
