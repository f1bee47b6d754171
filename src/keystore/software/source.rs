//! The end that material leaves: trait [`Source`].

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use subtle::ConstantTimeEq;

use super::bulk::{Gone, in_order};
use super::vault::Sight;
use super::{SoftwareKeystore, layout, records};
use crate::crypto::CryptoError;
use crate::crypto::identity::PublicIdentity;
use crate::crypto::offer::{Offer, SignedOffer, ValuePublicKey, Wrapping};
use crate::crypto::parcel::{Item, ItemVersion, Parcel, value_aad};
use crate::crypto::transport::TransportKeys;
use crate::keystore::{KeystoreError, Source, WrapOrder};
use crate::model::{Incarnation, JobId, Scope};
use crate::observe::failpoint::{Failpoint, around};
use crate::store::Compare;

/// A job's transport session as the source knows it: in memory only, apart from the digest key.
#[derive(Default)]
pub(super) struct Session {
    nonce: Option<[u8; 32]>,
    open: Option<OpenSession>,
}

#[derive(Clone)]
struct OpenSession {
    offer: [u8; 32],
    keys: Arc<TransportKeys>,
    wrapped_kek: Vec<u8>,
    wrapped_value_key: Vec<u8>,
}

#[async_trait]
impl Source for SoftwareKeystore {
    fn identity(&self) -> PublicIdentity {
        self.identity.public()
    }

    async fn nonce(&self, job: &JobId) -> Result<[u8; 32], KeystoreError> {
        let mut nonce = [0; 32];
        self.random.fill(&mut nonce);
        self.sessions.lock().await.entry(job.clone()).or_default().nonce = Some(nonce);
        Ok(nonce)
    }

    async fn wrap_out(
        &self,
        offer: &SignedOffer,
        target: &PublicIdentity,
        now: Timestamp,
        resources: &[WrapOrder],
    ) -> Result<Parcel, KeystoreError> {
        let work = async {
            let refused = |why: &str| Err(KeystoreError::Refused(why.to_owned()));
            if offer.verify(target).is_err() {
                return refused("the offer is not signed by the target");
            }
            let terms = &offer.offer;
            if terms.expires_at <= now {
                return refused("the offer has expired");
            }
            if terms.target == self.id {
                return refused("the offer is our own");
            }
            if terms.wrapping().is_none() {
                return refused("the target cannot unwrap what this release wraps");
            }
            let session = self.session(offer).await?;
            let mut parcel = Parcel {
                job: terms.job.clone(),
                source: self.id.clone(),
                target: terms.target.clone(),
                token: terms.token,
                offer: session.offer,
                wrapped_kek: session.wrapped_kek,
                wrapped_value_key: session.wrapped_value_key,
                items: Vec::new(),
                signature: Vec::new(),
            };
            parcel.items = in_order(resources.iter().map(|order| self.wrap(&parcel, &session.keys, order))).await?;
            parcel.sign(&self.identity);
            Ok(parcel)
        };
        around(Failpoint::SourceWrap, work, |injected| self.rehearsed(injected)).await
    }

    async fn purge(&self, job: &JobId, token: u64, incarnations: &[Incarnation]) -> Result<(), KeystoreError> {
        let work = async {
            let purged: HashSet<&Incarnation> = incarnations.iter().collect();
            loop {
                let session = self.admit_source(job, token).await?;
                let condition = Compare::Revision(layout::session(job), session.revision());
                let scans = incarnations.iter().map(|i| async move { self.scan(&layout::resource(i)).await });
                let found = in_order(scans).await?;
                let marks = self.marks_of(found.iter().flatten())?;
                // Backwards, so that of a resource cut by the limit the head goes last and a second try finds the rest.
                let entries: Vec<Gone> = found.into_iter().flatten().map(|entry| self.gone(entry)).rev().collect();
                let gone = self.delete_all(entries, &condition, &marks).await;
                self.drop_opened(&|other| purged.contains(other));
                if gone? {
                    return self.sweep_objects().await.map(drop);
                }
            }
        };
        around(Failpoint::SourcePurge, work, |injected| self.rehearsed(injected)).await
    }

    async fn shred(&self, job: &JobId, token: u64, scope: &Scope) -> Result<(), KeystoreError> {
        self.shred_for(job, token, scope).await
    }

    async fn close_session(&self, job: &JobId) -> Result<(), KeystoreError> {
        let work = async {
            self.sessions.lock().await.remove(job);
            loop {
                let Some(mut session) = self.source_session(job).await? else {
                    return Ok(());
                };
                if session.digest_key.take().is_none() || self.put_source_session(job, &session, None).await? {
                    return Ok(());
                }
            }
        };
        around(Failpoint::SourceClose, work, |injected| self.rehearsed(injected)).await
    }
}

impl SoftwareKeystore {
    /// The session of an offer; its first use spends the nonce and writes down the digest key.
    async fn session(&self, offer: &SignedOffer) -> Result<OpenSession, KeystoreError> {
        let job = &offer.offer.job;
        let digest = offer.offer.digest();
        // Held across the writing, so that a parallel first use waits instead of missing the nonce.
        let mut sessions = self.sessions.lock().await;
        let session = sessions.entry(job.clone()).or_default();
        if let Some(open) = session.open.as_ref().filter(|open| open.offer == digest) {
            return Ok(open.clone());
        }
        if !session.nonce.is_some_and(|nonce| bool::from(nonce.ct_eq(&offer.offer.nonce))) {
            return Err(KeystoreError::Refused(
                "the offer does not carry the latest nonce, or was replaced".to_owned(),
            ));
        }
        let mut keys = TransportKeys::generate(self.random.as_ref());
        let (wrapped_kek, wrapped_value_key) = wrap_session(&mut keys, &offer.offer)
            .map_err(|_| KeystoreError::Refused("the offered public key cannot be used".to_owned()))?;
        let digest_key = keys.digest_key(job).map_err(|e| self.use_error(e))?;
        loop {
            let mut stored = self.admit_source(job, offer.offer.token).await?;
            let roots = self.roots();
            stored.digest_key = Some(self.seal_digest_key(&roots, job, &digest_key)?);
            if self.put_source_session(job, &stored, Some(&roots)).await? {
                break;
            }
        }
        let open = OpenSession { offer: digest, keys: Arc::new(keys), wrapped_kek, wrapped_value_key };
        session.nonce = None;
        session.open = Some(open.clone());
        Ok(open)
    }

    async fn wrap(&self, parcel: &Parcel, keys: &TransportKeys, order: &WrapOrder) -> Result<Item, KeystoreError> {
        let label = &order.label;
        let entries = self.scan(&layout::resource(&label.incarnation)).await?;
        let Some((_, stored)) = entries.iter().find(|(key, _)| key.ends_with(b"/head")) else {
            return Err(self.moved());
        };
        let head = self.open_head(&label.incarnation, stored).await?;
        if self.sight(head.staged_by.as_ref()).await? == Sight::Hidden {
            return Err(self.moved());
        }
        if head.label != *label {
            return Err(KeystoreError::Damaged {
                keystore: self.id.clone(),
                detail: format!("the label of {} does not say what the catalogue says", label.resource),
            });
        }
        let mut item = Item {
            scope: label.scope.clone(),
            resource: label.resource.clone(),
            incarnation: label.incarnation.clone(),
            spec: label.spec,
            versions: Vec::new(),
        };
        let stored = records::versions(&entries).map_err(|e| self.stored_error("version", e))?;
        for place in &order.places {
            let (_, sealed) = stored
                .iter()
                .find(|(version, _)| place.incarnation == label.incarnation && *version == place.version)
                .ok_or_else(|| self.moved())?;
            let ciphertext = if label.spec.is_some() {
                if self.token.is_some() {
                    return Err(KeystoreError::Unsuitable("keys of a token do not leave it"));
                }
                keys.wrap_material(&self.open_material(&head, &place.version, sealed)?)
            } else {
                let envelope = self.open_envelope(&head, &place.version, sealed)?;
                keys.seal_envelope(self.random.as_ref(), &value_aad(parcel, &item, &place.version), &envelope)
            };
            let ciphertext = ciphertext.map_err(|e| self.use_error(e))?;
            item.versions.push(ItemVersion { version: place.version.clone(), ciphertext });
        }
        Ok(item)
    }
}

/// Both session keys as the offer wants them.
fn wrap_session(keys: &mut TransportKeys, offer: &Offer) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
    match (offer.wrapping(), &offer.value_public_key) {
        (Some(Wrapping::Whole), None) => keys.wrap_for(&offer.public_key),
        (Some(Wrapping::Split(oaep)), Some(ValuePublicKey(values))) => {
            keys.wrap_for_token(&offer.public_key, oaep, values)
        }
        _ => Err(CryptoError::Malformed("offer")),
    }
}
