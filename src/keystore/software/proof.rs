//! Internal use for proofs: trait [`Prover`]. Everything is read from the durable store; only KEKs come from memory.

use std::sync::Arc;

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::SoftwareKeystore;
use super::bulk::in_order;
use super::fence::State;
use super::usable::Usable;
use super::vault::{OpenHead, Sight};
use super::{layout, records};
use crate::crypto::Writer;
use crate::crypto::material::{DecryptAlgorithm, SignAlgorithm};
use crate::crypto::transport::DigestKey;
use crate::keystore::{KeystoreError, Label, Place, Prover};
use crate::model::{Incarnation, JobId};
use crate::observe::failpoint::{Failpoint, around};

#[async_trait]
impl Prover for SoftwareKeystore {
    async fn seal_challenges(
        &self,
        job: &JobId,
        challenges: &[(Place, [u8; 32])],
    ) -> Result<Vec<Vec<u8>>, KeystoreError> {
        let work = async {
            in_order(challenges.iter().map(|(place, challenge)| async move {
                let key = self.copy(job, place).await?;
                self.seal_with(&key, &challenge_aad(job, place), challenge).await
            }))
            .await
        };
        around(Failpoint::ProofSeal, work, |injected| self.rehearsed(injected)).await
    }

    async fn open_challenges(&self, job: &JobId, sealed: &[(Place, Vec<u8>)]) -> Result<Vec<[u8; 32]>, KeystoreError> {
        let work = async {
            in_order(sealed.iter().map(|(place, sealed)| async move {
                let key = self.copy(job, place).await?;
                let text = self.open_with(&key, &challenge_aad(job, place), sealed).await?;
                <[u8; 32]>::try_from(text.as_slice()).map_err(|_| KeystoreError::Rejected)
            }))
            .await
        };
        around(Failpoint::ProofOpen, work, |injected| self.rehearsed(injected)).await
    }

    async fn public_keys(&self, job: &JobId, places: &[Place]) -> Result<Vec<Vec<u8>>, KeystoreError> {
        let work = async {
            in_order(places.iter().map(|place| async move { self.public_key_of(&*self.copy(job, place).await?) })).await
        };
        around(Failpoint::ProofPublicKeys, work, |injected| self.rehearsed(injected)).await
    }

    async fn prove_sign(
        &self,
        job: &JobId,
        place: &Place,
        algorithm: SignAlgorithm,
        digest: &[u8],
    ) -> Result<Vec<u8>, KeystoreError> {
        let work = async { self.sign_with(&*self.copy(job, place).await?, algorithm, digest).await };
        around(Failpoint::ProofSign, work, |injected| self.rehearsed(injected)).await
    }

    async fn prove_decrypt(
        &self,
        job: &JobId,
        place: &Place,
        algorithm: DecryptAlgorithm,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        let work = async { self.decrypt_with(&*self.copy(job, place).await?, algorithm, ciphertext).await };
        around(Failpoint::ProofDecrypt, work, |injected| self.rehearsed(injected)).await
    }

    async fn digests(&self, job: &JobId, places: &[Place]) -> Result<Vec<[u8; 32]>, KeystoreError> {
        let work = async {
            if places.is_empty() {
                return Ok(Vec::new());
            }
            let secrets = self.digested(job, places).await?;
            Ok(secrets.into_iter().flat_map(|(_, digests)| digests).collect())
        };
        around(Failpoint::ProofDigests, work, |injected| self.rehearsed(injected)).await
    }

    async fn labels(&self, job: &JobId, incarnations: &[Incarnation]) -> Result<Vec<Label>, KeystoreError> {
        let work = async {
            let own = self.own_copies(job).await?;
            in_order(
                incarnations
                    .iter()
                    .map(|incarnation| async move { Ok(self.copy_head(job, own, incarnation).await?.label) }),
            )
            .await
        };
        around(Failpoint::ProofLabels, work, |injected| self.rehearsed(injected)).await
    }

    async fn labels_and_digests(
        &self,
        job: &JobId,
        incarnations: &[Incarnation],
        places: &[Place],
    ) -> Result<(Vec<Label>, Vec<[u8; 32]>), KeystoreError> {
        // One reading of a secret answers both, if these are the same secrets.
        let same = secrets_of(places).filter_map(|some| some.first()).map(|first| &first.incarnation).eq(incarnations);
        if places.is_empty() || !same {
            return Ok((self.labels(job, incarnations).await?, self.digests(job, places).await?));
        }
        let work = async {
            let (labels, digests): (Vec<Label>, Vec<Vec<[u8; 32]>>) =
                self.digested(job, places).await?.into_iter().unzip();
            Ok((labels, digests.concat()))
        };
        let work = around(Failpoint::ProofDigests, work, |injected| self.rehearsed(injected));
        around(Failpoint::ProofLabels, work, |injected| self.rehearsed(injected)).await
    }
}

impl SoftwareKeystore {
    /// Whether the job's own copies count: from the moment they are staged until the job is forgotten.
    async fn own_copies(&self, job: &JobId) -> Result<bool, KeystoreError> {
        Ok(self.job_state(job).await?.is_some_and(|state| state != State::Forgotten))
    }

    /// What the job sees: its own copies if they count, otherwise what daily use sees.
    async fn copy_head(&self, job: &JobId, own: bool, incarnation: &Incarnation) -> Result<OpenHead, KeystoreError> {
        let head = self.read_head(incarnation).await?.ok_or_else(|| self.moved())?;
        self.seen(job, own, head).await
    }

    async fn seen(&self, job: &JobId, own: bool, head: OpenHead) -> Result<OpenHead, KeystoreError> {
        let sees = if head.staged_by.as_ref() == Some(job) {
            own
        } else {
            self.sight(head.staged_by.as_ref()).await? != Sight::Hidden
        };
        if sees { Ok(head) } else { Err(self.moved()) }
    }

    async fn copy(&self, job: &JobId, place: &Place) -> Result<Arc<Usable>, KeystoreError> {
        let head = self.copy_head(job, self.own_copies(job).await?, &place.incarnation).await?;
        let sealed = self.read_version(place).await?.ok_or_else(|| self.moved())?;
        self.open_key(&head, &place.version, &sealed).await
    }

    /// The secrets that these places are versions of: their labels, and the digests of the versions.
    async fn digested(&self, job: &JobId, places: &[Place]) -> Result<Vec<(Label, Vec<[u8; 32]>)>, KeystoreError> {
        let key = &self.digest_key(job).await?;
        let own = self.own_copies(job).await?;
        in_order(secrets_of(places).map(|places| self.digested_one(job, own, key, places))).await
    }

    async fn digested_one(
        &self,
        job: &JobId,
        own: bool,
        key: &DigestKey,
        places: &[Place],
    ) -> Result<(Label, Vec<[u8; 32]>), KeystoreError> {
        let incarnation = &places.first().ok_or_else(|| self.moved())?.incarnation;
        let entries = self.scan(&layout::resource(incarnation)).await?;
        let stored = entries.iter().find(|(key, _)| key.ends_with(b"/head"));
        let (_, stored) = stored.ok_or_else(|| self.moved())?;
        let head = self.seen(job, own, self.open_head(incarnation, stored).await?).await?;
        let versions = records::versions(&entries).map_err(|e| self.stored_error("version", e))?;
        let mut digests = Vec::with_capacity(places.len());
        for place in places {
            let version = versions.iter().find(|(version, _)| *version == place.version);
            let (version, sealed) = version.ok_or_else(|| self.moved())?;
            digests.push(key.envelope(&self.open_envelope(&head, version, sealed)?));
        }
        Ok((head.label, digests))
    }

    /// The digest key of the job's latest transport session.
    async fn digest_key(&self, job: &JobId) -> Result<DigestKey, KeystoreError> {
        let as_target = self.fence(job).await?.and_then(|fence| fence.digest_key.clone());
        let sealed = match as_target {
            Some(sealed) => Some(sealed),
            None => self.source_session(job).await?.and_then(|session| session.digest_key.clone()),
        };
        let sealed = sealed.ok_or_else(|| KeystoreError::Refused(format!("{job} has no transport session here")))?;
        self.open_digest_key(job, &sealed)
    }
}

/// Places of one secret come one after the other.
fn secrets_of(places: &[Place]) -> impl Iterator<Item = &[Place]> {
    places.chunk_by(|a, b| a.incarnation == b.incarnation)
}

/// Additional data of a challenge: it proves one place for one job.
fn challenge_aad(job: &JobId, place: &Place) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.text("keyferry challenge v1").text(job.as_str());
    writer.text(place.incarnation.as_str()).text(place.version.as_str()).finish()
}
