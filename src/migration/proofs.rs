//! Proofs by use: what was copied opens, signs and reads like the original, version by version.
//!
//! Symmetric: a fresh challenge sealed by the one side opens in the other, both ways. Asymmetric: the same public key,
//! and a signature by the copy verifies (or a ciphertext opens) with the source's public key in a second implementation.
//! Secrets: keyed digests agree. Labels and catalogue entries: field by field.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::context::Context;
use super::cutover::{Destination, Flip, entry_digest, same_but_for_the_flip};
use super::progress::of_kind;
use super::{MigrationError, Migrations};
use crate::catalogue::PlanItem;
use crate::crypto::material::{DecryptAlgorithm, SignAlgorithm};
use crate::crypto::verify;
use crate::keystore::{Keystore, KeystoreError, Label, Place, SharedSource, SharedTarget};
use crate::model::{
    Incarnation, KeyRecord, KeySpec, KeyUsage, KeystoreId, ResourceId, ResourceKind, Scope, SecretRecord,
};
use crate::observe::{Event, Fields, emit};
use crate::store::Stored;

/// Everything a proof needs.
pub(super) struct Proofs {
    migrations: Migrations,
    source: SharedSource,
    target: SharedTarget,
    scope: Scope,
    to: Destination,
    fields: Fields,
}

const CHALLENGE: usize = 32;

impl Proofs {
    pub(super) fn of(context: &Context) -> Result<Self, MigrationError> {
        Ok(Self {
            migrations: context.migrations.clone(),
            source: context.source()?,
            target: context.target()?,
            scope: context.job.scope.clone(),
            to: context.destination(),
            fields: context.fields(),
        })
    }

    /// Proves the staged (or activated) copies of a batch against the source, by internal use.
    pub(super) async fn copies(&self, batch: &[PlanItem]) -> Result<(), MigrationError> {
        self.labels_and_secrets(batch).await?;
        self.symmetric(batch).await?;
        for item in of_kind(batch, ResourceKind::Key).filter(|item| item.spec.is_some_and(|spec| !spec.is_symmetric()))
        {
            self.asymmetric(item).await?;
        }
        for item in batch {
            emit(Event::ResourceVerified, &self.fields.clone().resource(&item.resource), "the copy is proved");
        }
        Ok(())
    }

    /// Before the flip: each entry is as it was locked, and will differ only where a flip may change it.
    pub(super) async fn entries_before(&self, batch: &[PlanItem]) -> Result<(), MigrationError> {
        for item in batch {
            match &item.resource {
                ResourceId::Key(id) => self.before(item, self.key(id).await?)?,
                ResourceId::Secret(name) => self.before(item, self.secret(name).await?)?,
            }
        }
        Ok(())
    }

    /// After the flip: each entry names the target, and flipping it back gives the entry as it was locked.
    pub(super) async fn entries_after(&self, batch: &[PlanItem]) -> Result<(), MigrationError> {
        let target = KeystoreId::Instance(self.to.instance.clone());
        for item in batch {
            let keystore = match &item.resource {
                ResourceId::Key(id) => {
                    let key = self.key(id).await?;
                    let keystore = key.keystore.clone();
                    self.after(item, key)?;
                    keystore
                }
                ResourceId::Secret(name) => {
                    let secret = self.secret(name).await?;
                    let keystore = secret.keystore.clone();
                    self.after(item, secret)?;
                    keystore
                }
            };
            if keystore != target {
                return Err(self.unproved(item, "its entry does not name the instance"));
            }
        }
        Ok(())
    }

    /// Proves once more, through the keystore that the catalogue names and its daily use.
    pub(super) async fn served(&self, batch: &[PlanItem]) -> Result<(), MigrationError> {
        self.labels_and_secrets(batch).await?;
        for item in of_kind(batch, ResourceKind::Key) {
            let ResourceId::Key(id) = &item.resource else { continue };
            let key = self.key(id).await?;
            let keystore = self.migrations.service.keystores.get(&key.keystore);
            let keystore = keystore.ok_or_else(|| self.unproved(item, "its keystore is not connected"))?;
            for place in &item.places {
                self.served_version(item, &key, &keystore, place).await?;
            }
        }
        Ok(())
    }

    async fn served_version(
        &self,
        item: &PlanItem,
        key: &KeyRecord,
        keystore: &Arc<dyn Keystore>,
        place: &Place,
    ) -> Result<(), MigrationError> {
        const AAD: &[u8] = b"keyferry confirming v1";
        let challenge = self.challenge();
        let failed = |error: KeystoreError| self.refused(item, error);
        if key.spec.is_symmetric() {
            let sealed = self.source.seal(place, AAD, challenge.as_slice()).await.map_err(failed)?.value;
            let opened = keystore.open(place, AAD, &sealed).await.map_err(failed)?.value;
            return self.equal(item, opened.as_slice() == challenge.as_slice(), "a challenge opened to something else");
        }
        let public = self.source.public_key(place).await.map_err(failed)?.value;
        if key.usage == KeyUsage::EncryptDecrypt {
            let algorithm = DecryptAlgorithm::OaepSha256;
            let sealed = verify::encrypt_to(&public, algorithm, challenge.as_slice())
                .map_err(|error| MigrationError::Internal(error.to_string()))?;
            let opened = keystore.decrypt(place, algorithm, &sealed).await.map_err(failed)?.value;
            return self.equal(
                item,
                opened.as_slice() == challenge.as_slice(),
                "a ciphertext opened to something else",
            );
        }
        let algorithm = sign_algorithm(key.spec);
        let digest = Sha256::digest(challenge.as_slice());
        let signature = keystore.sign(place, algorithm, &digest).await.map_err(failed)?.value;
        let holds = verify::verify(&public, key.spec, algorithm, &digest, &signature);
        self.equal(item, holds.is_ok(), "a signature does not verify")
    }

    async fn labels_and_secrets(&self, batch: &[PlanItem]) -> Result<(), MigrationError> {
        let job = &self.to.job;
        let items: Vec<(&PlanItem, Incarnation)> =
            batch.iter().filter_map(|item| Some((item, item.places.first()?.incarnation.clone()))).collect();
        let incarnations: Vec<Incarnation> = items.iter().map(|(_, incarnation)| incarnation.clone()).collect();
        let secrets: Vec<(&PlanItem, Place)> = of_kind(batch, ResourceKind::Secret)
            .flat_map(|item| item.places.iter().map(move |place| (item, place.clone())))
            .collect();
        if secrets.is_empty() {
            return self.labels(&items, &self.target.labels(job, &incarnations).await?);
        }
        let places: Vec<Place> = secrets.iter().map(|(_, place)| place.clone()).collect();
        let (labels, there) = self.target.labels_and_digests(job, &incarnations, &places).await?;
        self.labels(&items, &labels)?;
        let here = self.source.digests(job, &places).await?;
        self.complete(here.len().min(there.len()), secrets.len())?;
        for ((item, _), (here, there)) in secrets.iter().zip(here.iter().zip(&there)) {
            self.equal(item, here == there, "a version differs")?;
        }
        Ok(())
    }

    fn labels(&self, items: &[(&PlanItem, Incarnation)], labels: &[Label]) -> Result<(), MigrationError> {
        for ((item, incarnation), label) in items.iter().zip(labels) {
            let wanted = Label {
                scope: self.scope.clone(),
                resource: item.resource.clone(),
                incarnation: incarnation.clone(),
                spec: item.spec,
            };
            self.equal(item, *label == wanted, "its label in the instance differs")?;
        }
        self.complete(labels.len(), items.len())
    }

    async fn symmetric(&self, batch: &[PlanItem]) -> Result<(), MigrationError> {
        let job = &self.to.job;
        let places: Vec<(&PlanItem, Place)> = of_kind(batch, ResourceKind::Key)
            .filter(|item| item.spec.is_some_and(KeySpec::is_symmetric))
            .flat_map(|item| item.places.iter().map(move |place| (item, place.clone())))
            .collect();
        if places.is_empty() {
            return Ok(());
        }
        let challenges: Vec<(Place, [u8; CHALLENGE])> =
            places.iter().map(|(_, place)| (place.clone(), *self.challenge())).collect();
        let by_source = self.source.seal_challenges(job, &challenges).await?;
        let by_target = self.target.seal_challenges(job, &challenges).await?;
        let pair = |sealed: Vec<Vec<u8>>| -> Vec<(Place, Vec<u8>)> {
            places.iter().map(|(_, place)| place.clone()).zip(sealed).collect()
        };
        let in_target =
            self.target.open_challenges(job, &pair(by_source)).await.map_err(|e| self.batch_refused(&places, e))?;
        let in_source =
            self.source.open_challenges(job, &pair(by_target)).await.map_err(|e| self.batch_refused(&places, e))?;
        self.complete(in_target.len().min(in_source.len()), places.len())?;
        for (((item, _), (_, challenge)), (there, back)) in
            places.iter().zip(&challenges).zip(in_target.iter().zip(&in_source))
        {
            self.equal(item, there == challenge && back == challenge, "a challenge opened to something else")?;
        }
        Ok(())
    }

    async fn asymmetric(&self, item: &PlanItem) -> Result<(), MigrationError> {
        let ResourceId::Key(id) = &item.resource else { return Ok(()) };
        let key = self.key(id).await?;
        let job = &self.to.job;
        let here = self.source.public_keys(job, &item.places).await?;
        let there = self.target.public_keys(job, &item.places).await?;
        self.equal(item, here == there, "its public key differs")?;
        self.complete(here.len(), item.places.len())?;
        for (place, public) in item.places.iter().zip(&here) {
            let challenge = self.challenge();
            if key.usage == KeyUsage::EncryptDecrypt {
                let algorithm = DecryptAlgorithm::OaepSha256;
                let sealed = verify::encrypt_to(public, algorithm, challenge.as_slice())
                    .map_err(|error| MigrationError::Internal(error.to_string()))?;
                let opened = self
                    .target
                    .prove_decrypt(job, place, algorithm, &sealed)
                    .await
                    .map_err(|e| self.refused(item, e))?;
                self.equal(item, opened.as_slice() == challenge.as_slice(), "a ciphertext opened to something else")?;
            } else {
                let algorithm = sign_algorithm(key.spec);
                let digest = Sha256::digest(challenge.as_slice());
                let signature =
                    self.target.prove_sign(job, place, algorithm, &digest).await.map_err(|e| self.refused(item, e))?;
                let holds = verify::verify(public, key.spec, algorithm, &digest, &signature);
                self.equal(item, holds.is_ok(), "a signature does not verify")?;
            }
        }
        Ok(())
    }

    fn before<T: Flip + Clone>(&self, item: &PlanItem, entry: Stored<T>) -> Result<(), MigrationError> {
        self.equal(item, entry_digest(&*entry)? == item.entry, "its entry changed inside the lock")?;
        let mut flipped = (*entry).clone();
        flipped.flip(&self.to);
        same_but_for_the_flip(&*entry, &flipped).map_err(|why| self.unproved(item, &why))
    }

    fn after<T: Flip>(&self, item: &PlanItem, mut entry: Stored<T>) -> Result<(), MigrationError> {
        let was_flipped = entry.flip_back(&self.to.job);
        self.equal(
            item,
            was_flipped && entry_digest(&*entry)? == item.entry,
            "its entry is not the one that was locked",
        )
    }

    async fn key(&self, id: &crate::model::KeyId) -> Result<Stored<KeyRecord>, MigrationError> {
        let found = self.migrations.service.catalogue.key(&self.scope.region, id).await?;
        found.ok_or_else(|| MigrationError::Unproved(format!("key {id} vanished from the catalogue")))
    }

    async fn secret(&self, name: &crate::model::SecretName) -> Result<Stored<SecretRecord>, MigrationError> {
        let found = self.migrations.service.catalogue.secret(&self.scope, name).await?;
        found.ok_or_else(|| MigrationError::Unproved(format!("secret {name} vanished from the catalogue")))
    }

    fn challenge(&self) -> Zeroizing<[u8; CHALLENGE]> {
        let mut challenge = Zeroizing::new([0_u8; CHALLENGE]);
        self.migrations.service.random.fill(challenge.as_mut_slice());
        challenge
    }

    fn equal(&self, item: &PlanItem, holds: bool, otherwise: &str) -> Result<(), MigrationError> {
        if holds { Ok(()) } else { Err(self.unproved(item, otherwise)) }
    }

    fn complete(&self, got: usize, wanted: usize) -> Result<(), MigrationError> {
        if got == wanted {
            Ok(())
        } else {
            Err(MigrationError::Unproved(format!("{got} of {wanted} proofs were answered")))
        }
    }

    fn unproved(&self, item: &PlanItem, why: &str) -> MigrationError {
        emit(Event::VerificationFailed, &self.fields.clone().resource(&item.resource), why);
        MigrationError::Unproved(format!("{}: {why}", item.resource))
    }

    /// A copy that cannot do what the original can is a failed proof; an instance that is away is not.
    fn refused(&self, item: &PlanItem, error: KeystoreError) -> MigrationError {
        match error {
            KeystoreError::Rejected | KeystoreError::Damaged { .. } | KeystoreError::Moved(_) => {
                self.unproved(item, &error.to_string())
            }
            other => other.into(),
        }
    }

    fn batch_refused(&self, places: &[(&PlanItem, Place)], error: KeystoreError) -> MigrationError {
        match places.first() {
            Some((item, _)) => self.refused(item, error),
            None => error.into(),
        }
    }
}

fn sign_algorithm(spec: KeySpec) -> SignAlgorithm {
    match spec {
        KeySpec::EcP256 | KeySpec::EcP256k => SignAlgorithm::EcdsaSha256,
        _ => SignAlgorithm::RsaPssSha256,
    }
}
