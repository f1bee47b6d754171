//! The instance's end of a call: asks its keystore.

use std::sync::Arc;

use super::server::Hosted;
use super::wire::{Bytes, Call, HeldShape, Refusal, Reply, Secret, WrappedMaterial};
use crate::crypto::envelope::SecretEnvelope;
use crate::crypto::offer::OfferKey;
use crate::crypto::transport::TransportKeys;
use crate::keystore::{Answer, KeystoreError, Label, Place, Readiness};
use crate::model::Random;
use crate::observe::metrics::METRICS;

/// A keystore, and the key that imported material is wrapped for.
pub(super) struct Desk {
    pub(super) keystore: Arc<dyn Hosted>,
    random: Arc<dyn Random>,
    import_key: tokio::sync::OnceCell<Arc<OfferKey>>,
}

impl Desk {
    pub(super) fn new(keystore: Arc<dyn Hosted>, random: Arc<dyn Random>) -> Self {
        Self { keystore, random, import_key: tokio::sync::OnceCell::new() }
    }

    pub(super) async fn answer(&self, call: Call) -> Reply {
        // A look at how it stands is no call that it could not serve.
        let looks = matches!(call, Call::Ready);
        match self.carry_out(call).await {
            Ok(reply) => reply,
            Err(error) => {
                if !looks && error.is_unavailable() {
                    METRICS.keystore_error(self.keystore.served_by());
                }
                Reply::Failed(Refusal::of(error))
            }
        }
    }

    async fn carry_out(&self, call: Call) -> Result<Reply, KeystoreError> {
        let keystore = &self.keystore;
        Ok(match call {
            Call::Generate { label, place } => done(keystore.generate(&label, &place).await?),
            Call::ImportKey => bytes(Answer::settled(self.import_key().await?.public_der().to_vec())),
            Call::Import { label, place, material } => done(self.import(&label, &place, material).await?),
            Call::PutValue { label, place, envelope } => {
                let envelope = SecretEnvelope::decode(&envelope.0)
                    .map_err(|_| KeystoreError::Refused("the envelope cannot be read".to_owned()))?;
                done(keystore.put_value(&label, &place, &envelope).await?)
            }
            Call::Seal { place, aad, plaintext } => bytes(keystore.seal(&place, &aad.0, &plaintext.0).await?),
            Call::Open { place, aad, sealed } => secret(keystore.open(&place, &aad.0, &sealed.0).await?),
            Call::Sign { place, algorithm, digest } => bytes(keystore.sign(&place, algorithm.0, &digest.0).await?),
            Call::Mac { place, algorithm, message } => bytes(keystore.mac(&place, algorithm.0, &message.0).await?),
            Call::Decrypt { place, algorithm, ciphertext } => {
                secret(keystore.decrypt(&place, algorithm.0, &ciphertext.0).await?)
            }
            Call::PublicKey { place } => bytes(keystore.public_key(&place).await?),
            Call::ReadValue { place } => {
                let Answer { value, provisional } = keystore.read_value(&place).await?;
                Reply::Secret { value: Secret(value.encode()), provisional }
            }
            Call::Destroy { incarnation, versions } => done(keystore.destroy(&incarnation, versions.as_deref()).await?),
            Call::DestroyOrphan { place } => done(keystore.destroy_orphan(&place).await?),
            Call::Inventory => {
                Reply::Held { held: keystore.inventory().await?.into_iter().map(HeldShape::from).collect() }
            }
            Call::SealChallenges { job, challenges } => {
                let challenges: Vec<_> = challenges
                    .iter()
                    .map(|(place, bytes)| Ok((place.clone(), array(bytes)?)))
                    .collect::<Result<_, _>>()?;
                many(keystore.seal_challenges(&job, &challenges).await?)
            }
            Call::OpenChallenges { job, sealed } => {
                let sealed: Vec<_> = sealed.into_iter().map(|(place, bytes)| (place, bytes.0)).collect();
                many(keystore.open_challenges(&job, &sealed).await?)
            }
            Call::PublicKeys { job, places } => many(keystore.public_keys(&job, &places).await?),
            Call::ProveSign { job, place, algorithm, digest } => {
                bytes(Answer::settled(keystore.prove_sign(&job, &place, algorithm.0, &digest.0).await?))
            }
            Call::ProveDecrypt { job, place, algorithm, ciphertext } => {
                secret(Answer::settled(keystore.prove_decrypt(&job, &place, algorithm.0, &ciphertext.0).await?))
            }
            Call::Digests { job, places } => many(keystore.digests(&job, &places).await?),
            Call::Labels { job, incarnations } => Reply::Labels { labels: keystore.labels(&job, &incarnations).await? },
            Call::Ready => {
                let Readiness { free_bytes, token_free_bytes } = keystore.ready().await?;
                Reply::Ready { free_bytes, token_free_bytes }
            }
            Call::Offer { job, token, nonce, now } => {
                Reply::Offer { offer: Box::new(keystore.offer(&job, token, array(&nonce)?, now).await?) }
            }
            Call::Stage { parcel, source } => done(keystore.stage(&parcel, &source).await?),
            Call::Close { job, token } => manifest(Some(keystore.close(&job, token).await?)),
            Call::Closed { job, token } => manifest(keystore.closed(&job, token).await?),
            Call::Activate { job, token, manifest } => done(keystore.activate(&job, token, &array(&manifest)?).await?),
            Call::Confirm { job, token, incarnations } => done(keystore.confirm(&job, token, &incarnations).await?),
            Call::Settle { job, token } => done(keystore.settle(&job, token).await?),
            Call::Forget { job, token } => done(keystore.forget(&job, token).await?),
        })
    }

    /// Made when the first one asks; lives in memory only.
    async fn import_key(&self) -> Result<Arc<OfferKey>, KeystoreError> {
        let made = self.import_key.get_or_try_init(|| async {
            let random = Arc::clone(&self.random);
            let made = tokio::task::spawn_blocking(move || OfferKey::generate(random.as_ref())).await;
            made.ok().and_then(Result::ok).map(Arc::new).ok_or_else(|| KeystoreError::Unavailable {
                keystore: self.keystore.id().clone(),
                detail: "the import key could not be made".to_owned(),
            })
        });
        made.await.cloned()
    }

    async fn import(&self, label: &Label, place: &Place, material: WrappedMaterial) -> Result<(), KeystoreError> {
        let key = self.import_key().await?;
        // An RSA operation.
        let opened = tokio::task::spawn_blocking(move || {
            TransportKeys::unwrap(&key, &material.wrapped_kek.0, &material.wrapped_value_key.0)
                .and_then(|keys| keys.unwrap_material(material.spec, &material.wrapped.0))
        });
        let material = opened.await.ok().and_then(Result::ok).ok_or(KeystoreError::Rejected)?;
        self.keystore.import(label, place, material).await
    }
}

const fn done((): ()) -> Reply {
    Reply::Done
}

fn bytes(answer: Answer<Vec<u8>>) -> Reply {
    Reply::Bytes { value: Bytes(answer.value), provisional: answer.provisional }
}

fn secret(answer: Answer<zeroize::Zeroizing<Vec<u8>>>) -> Reply {
    Reply::Secret { value: Secret(answer.value), provisional: answer.provisional }
}

fn many<T: AsRef<[u8]>>(values: Vec<T>) -> Reply {
    Reply::Many { values: values.iter().map(|value| Bytes::of(value.as_ref())).collect() }
}

fn manifest(digest: Option<[u8; 32]>) -> Reply {
    Reply::Manifest { manifest: digest.map(|digest| Bytes::of(&digest)) }
}

fn array(bytes: &Bytes) -> Result<[u8; 32], KeystoreError> {
    bytes.array().ok_or_else(|| KeystoreError::Refused("not 32 bytes".to_owned()))
}
