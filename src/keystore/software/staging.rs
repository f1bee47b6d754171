//! Staging: parcels in, sealed records out, each resource whole and guarded by the job's fence.
//!
//! A resource is staged once its record `s/JOB/INCARNATION` is complete. A resource too large for one transaction gets
//! an incomplete one with its head, so that a crash in between leaves nothing that cannot be found.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::bulk::{Entries, Gone, in_order};
use super::fence::{Digest, Fence, State};
use super::objects::Reserved;
use super::unpacking::Prepared;
use super::{SoftwareKeystore, layout, records};
use crate::crypto::identity::PublicIdentity;
use crate::crypto::offer::OfferKey;
use crate::crypto::parcel::Parcel;
use crate::crypto::transport::{DigestKey, TransportKeys};
use crate::keystore::KeystoreError;
use crate::keystore::hardware::{KekId, TokenError, TokenOffer};
use crate::model::JobId;
use crate::store::{Compare, Outcome, Record, Revision, Stored, Transaction, get_record};

/// An offer that stands; in memory only.
pub(super) struct OfferSession {
    pub(super) token: u64,
    pub(super) key: SessionKey,
    /// Digests of the offers made with this key, and their expiry.
    pub(super) offers: HashMap<[u8; 32], Timestamp>,
    /// The source's keys, once unwrapped, with their wrapped form.
    keys: Option<(Vec<u8>, Vec<u8>, Arriving)>,
}

/// The key pairs behind an offer.
#[derive(Clone)]
pub(super) struct SessionKey {
    /// In this process.
    pub(super) process: Arc<OfferKey>,
    /// In the token of a hardware instance.
    pub(super) token: Option<Arc<TokenOffer>>,
}

/// The source's session keys as they have arrived.
#[derive(Clone)]
pub(super) struct Arriving {
    pub(super) keys: Arc<TransportKeys>,
    /// The ephemeral key, where the token has it.
    pub(super) kek: Option<KekId>,
}

impl OfferSession {
    pub(super) fn new(token: u64, key: SessionKey) -> Self {
        Self { token, key, offers: HashMap::new(), keys: None }
    }
}

/// Record `s/JOB/INCARNATION`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Staged {
    /// What came in, under the job's digest key; equal for equal contents, however often they are wrapped.
    pub(super) content: Digest,
    /// What lies in the store; `None` while the resource is incomplete.
    pub(super) stored: Option<Digest>,
    /// How many versions.
    pub(super) versions: u32,
}

impl Record for Staged {
    const KIND: &'static str = "staged resource";
    const SCHEMA: u16 = 1;
}

/// Resources of up to this many values share transactions.
const SMALL: usize = 60;
const SMALL_BYTES: usize = 300 * 1024;
const WIPED_AT_ONCE: usize = 256;

impl SoftwareKeystore {
    pub(super) async fn stage_parcel(&self, parcel: &Parcel, source: &PublicIdentity) -> Result<(), KeystoreError> {
        let job = &parcel.job;
        if parcel.verify(source).is_err() {
            return Err(KeystoreError::Refused("the parcel is not signed by the source".to_owned()));
        }
        if parcel.target != self.id || parcel.source == self.id {
            return Err(KeystoreError::Refused("the parcel is for another keystore".to_owned()));
        }
        self.staging_fence(parcel).await?;
        let arriving = self.transport_keys(parcel).await?;
        let digest_key = arriving.keys.digest_key(job).map_err(|e| self.use_error(e))?;
        // What stands already is rare, and shows as a conflict. What a token took in for nothing would have to be swept.
        let mut look = self.token.is_some() || self.begins_staged(parcel).await?;
        loop {
            let Some(fence) = self.bind_session(parcel, &digest_key).await? else {
                continue;
            };
            let staged = self.try_stage(parcel, &arriving, &digest_key, &fence, look).await;
            if !matches!(staged, Ok(true)) {
                // Objects that came in for records which were not written.
                self.try_sweep_objects().await;
            }
            if staged? {
                return Ok(());
            }
            look = true;
        }
    }

    /// Whether the first resource of a parcel is staged, and so probably all of them: the step is run again.
    async fn begins_staged(&self, parcel: &Parcel) -> Result<bool, KeystoreError> {
        let Some(first) = parcel.items.first() else { return Ok(false) };
        Ok(self.staged(&layout::staged_resource(&parcel.job, &first.incarnation)).await?.is_some())
    }

    /// The record of a staged resource.
    pub(super) async fn staged(&self, key: &[u8]) -> Result<Option<Stored<Staged>>, KeystoreError> {
        get_record(self.store(), key).await.map_err(|e| self.store_error(e))
    }

    /// Deletes everything the job staged, while its fence stays at this revision. False: it did not, or the outcome is
    /// not known.
    pub(super) async fn wipe(&self, job: &JobId, fence: Revision) -> Result<bool, KeystoreError> {
        let condition = Compare::Revision(layout::fence(job), fence);
        let indexes: Vec<Vec<u8>> = self.scan(&layout::staged(job)).await?.into_iter().map(|(key, _)| key).collect();
        let mut all = true;
        for some in indexes.chunks(WIPED_AT_ONCE) {
            all = all && self.wipe_some(job, some, &condition).await?;
        }
        self.opened.retain(|_, (_, staged_by)| staged_by.as_ref() != Some(job));
        self.heads.retain(|_, head| head.staged_by.as_ref() != Some(job));
        Ok(all)
    }

    pub(super) async fn wipe_some(
        &self,
        job: &JobId,
        indexes: &[Vec<u8>],
        condition: &Compare,
    ) -> Result<bool, KeystoreError> {
        let found = in_order(indexes.iter().map(|index| self.staged_entries(job, index))).await?;
        let marks = self.marks_of(found.iter().flatten())?;
        let entries = found.into_iter().flatten().map(|entry| self.gone(entry));
        // The indexes go last: while they stand, a second try finds what is left.
        Ok(self.delete_all(entries, condition, &marks).await?
            && self.delete_all(indexes.iter().cloned().map(Gone::from), condition, &[]).await?)
    }

    /// The records of a staged resource; none if its place is another's.
    async fn staged_entries(&self, job: &JobId, index: &[u8]) -> Result<Entries, KeystoreError> {
        let Some(incarnation) = layout::last(index) else {
            return Ok(Vec::new());
        };
        let head = self.get(&layout::head(&incarnation)).await?;
        let head = head.map(|head| records::Head::decode(&head.value)).transpose();
        let head = head.map_err(|e| self.stored_error("head", e))?;
        if head.is_some_and(|head| head.staged_by.as_ref() != Some(job)) {
            return Ok(Vec::new());
        }
        self.scan(&layout::resource(&incarnation)).await
    }

    /// The fence, if parcels are taken under the parcel's token.
    async fn staging_fence(&self, parcel: &Parcel) -> Result<Stored<Fence>, KeystoreError> {
        let job = parcel.job.clone();
        let Some(fence) = self.fence(&job).await? else {
            return Err(KeystoreError::Refused(format!("no offer was made for {job}")));
        };
        match fence.state {
            State::Forgotten => Err(KeystoreError::Forgotten(job)),
            _ if fence.token > parcel.token => {
                Err(KeystoreError::Fenced { job, token: parcel.token, seen: fence.token })
            }
            State::Staging if fence.offered == parcel.token => Ok(fence),
            State::Staging => Err(KeystoreError::Refused(format!("no offer was made under token {}", parcel.token))),
            _ => Err(KeystoreError::StagingClosed(job)),
        }
    }

    /// The source's session keys; unwrapped once per session.
    async fn transport_keys(&self, parcel: &Parcel) -> Result<Arriving, KeystoreError> {
        let refused = |why: &str| KeystoreError::Refused(why.to_owned());
        let key = {
            let offers = self.offers();
            let session = offers.get(&parcel.job).filter(|session| session.token == parcel.token);
            let session = session.ok_or_else(|| refused("the offer is not known any more; make a new one"))?;
            let expires =
                session.offers.get(&parcel.offer).ok_or_else(|| refused("the parcel is for another offer"))?;
            if *expires <= self.clock.now() {
                return Err(refused("the offer has expired"));
            }
            match &session.keys {
                Some((kek, value_key, arriving))
                    if *kek == parcel.wrapped_kek && *value_key == parcel.wrapped_value_key =>
                {
                    return Ok(arriving.clone());
                }
                _ => session.key.clone(),
            }
        };
        let arriving = match (&self.token, &key.token) {
            (Some(token), Some(offer)) => {
                let kek = token.take_kek(offer, &parcel.wrapped_kek).await.map_err(|e| match e {
                    TokenError::Rejected => refused("the ephemeral key does not open under this offer"),
                    other => self.token_error(other),
                })?;
                let (process, value_key) = (key.process, parcel.wrapped_value_key.clone());
                let keys = self.off_thread(move || TransportKeys::unwrap_value_key(&process, &value_key)).await?;
                keys.map(|keys| Arriving { keys: Arc::new(keys), kek: Some(kek) })
            }
            _ => {
                let (process, kek, value_key) =
                    (key.process, parcel.wrapped_kek.clone(), parcel.wrapped_value_key.clone());
                let keys = self.off_thread(move || TransportKeys::unwrap(&process, &kek, &value_key)).await?;
                keys.map(|keys| Arriving { keys: Arc::new(keys), kek: None })
            }
        };
        let arriving = arriving.map_err(|_| refused("the transport keys do not open under this offer"))?;
        if let Some(session) = self.offers().get_mut(&parcel.job).filter(|session| session.token == parcel.token) {
            session.keys = Some((parcel.wrapped_kek.clone(), parcel.wrapped_value_key.clone(), arriving.clone()));
        }
        Ok(arriving)
    }

    /// Ties the job's staging to one source session, by its digest key. `None`: read again.
    async fn bind_session(&self, parcel: &Parcel, key: &DigestKey) -> Result<Option<Stored<Fence>>, KeystoreError> {
        let mut fence = self.staging_fence(parcel).await?;
        if let Some(sealed) = &fence.digest_key {
            let bound = self.open_digest_key(&parcel.job, sealed)?;
            if !bool::from(bound.expose().ct_eq(key.expose())) {
                return Err(mismatch(parcel, "a parcel of another session came under the same offer"));
            }
            return Ok(Some(fence));
        }
        let roots = self.roots();
        fence.digest_key = Some(self.seal_digest_key(&roots, &parcel.job, key)?);
        self.put_sealing_fence(&roots, &parcel.job, &fence).await?;
        Ok(None)
    }

    /// Writes what is not there yet; without looking first, everything. False: something stands there or somebody else
    /// changed something; look.
    async fn try_stage(
        &self,
        parcel: &Parcel,
        arriving: &Arriving,
        digest_key: &DigestKey,
        fence: &Stored<Fence>,
        look: bool,
    ) -> Result<bool, KeystoreError> {
        let guard = Compare::Revision(layout::fence(&parcel.job), fence.revision());
        let mut transactions = Vec::new();
        let mut shared = Transaction::new();
        let (mut large, mut names, mut used) = (Vec::new(), self.names_for(parcel).await?, Vec::new());
        for item in &parcel.items {
            let prepared = self.prepare(parcel, item, arriving, digest_key, look.then_some(&guard), &mut names).await?;
            let Some(mut prepared) = prepared else {
                continue;
            };
            let bytes: usize = prepared.versions.iter().map(|(key, value)| key.len().saturating_add(value.len())).sum();
            if prepared.versions.len() > SMALL || bytes > SMALL_BYTES {
                large.push(prepared);
                continue;
            }
            let objects = prepared.objects.len();
            let operations = prepared.versions.len().saturating_add(objects).saturating_add(2);
            if !shared.has_room(objects.saturating_add(4), operations) {
                transactions.push(std::mem::take(&mut shared));
            }
            self.write_first(&mut shared, &prepared, &prepared.index, &guard)?;
            used.append(&mut prepared.objects);
            for (key, value) in prepared.versions {
                shared.put(key, value);
            }
        }
        if !shared.operations().is_empty() {
            transactions.push(shared);
        }
        let mut all = self.commit_all(transactions).await?;
        for prepared in large {
            all &= self.write_large(prepared, &guard).await?;
        }
        // Until here nobody sweeps what these records name.
        drop(used);
        Ok(all)
    }

    fn write_first(
        &self,
        transaction: &mut Transaction,
        prepared: &Prepared,
        index: &Staged,
        guard: &Compare,
    ) -> Result<(), KeystoreError> {
        transaction.compare(guard.clone()).compare(prepared.slots.clone());
        transaction.compare(Compare::Absent(prepared.head.0.clone()));
        transaction.put(prepared.head.0.clone(), prepared.head.1.clone());
        transaction.create(&prepared.index_key, index).map_err(|e| self.store_error(e))?;
        prepared.objects.iter().for_each(|reserved| reserved.fulfil(transaction));
        Ok(())
    }

    /// Names for the objects that a parcel's keys may become.
    async fn names_for(&self, parcel: &Parcel) -> Result<Vec<Reserved>, KeystoreError> {
        if self.token.is_none() {
            return Ok(Vec::new());
        }
        let keys = parcel.items.iter().filter(|item| item.spec.is_some());
        self.reserve(keys.map(|item| item.versions.len()).sum()).await
    }

    /// Writes a resource that does not fit one transaction: head and incomplete index, versions, complete index.
    async fn write_large(&self, prepared: Prepared, guard: &Compare) -> Result<bool, KeystoreError> {
        let mut first = Transaction::new();
        let incomplete = Staged { stored: None, ..prepared.index.clone() };
        self.write_first(&mut first, &prepared, &incomplete, guard)?;
        let Outcome::Committed(revision) = self.commit(first).await? else {
            return Ok(false);
        };
        let head = Compare::Revision(prepared.head.0, revision);
        let mut parts = Vec::new();
        let mut part = Transaction::new();
        for (key, value) in prepared.versions {
            if !part.has_room(2, 1) {
                parts.push(std::mem::take(&mut part));
            }
            part.compare(guard.clone()).compare(head.clone()).put(key, value);
        }
        parts.push(part);
        if !self.commit_all(parts).await? {
            return Ok(false);
        }
        let mut last = Transaction::new();
        last.compare(guard.clone()).compare(head).compare(Compare::Revision(prepared.index_key.clone(), revision));
        last.overwrite(&prepared.index_key, &prepared.index).map_err(|e| self.store_error(e))?;
        Ok(matches!(self.commit(last).await?, Outcome::Committed(_)))
    }
}

pub(super) fn mismatch(parcel: &Parcel, detail: &str) -> KeystoreError {
    KeystoreError::Mismatch { job: parcel.job.clone(), detail: detail.to_owned() }
}
