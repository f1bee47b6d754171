//! What a keystore durably remembers of a job: as a target, as a source.

use serde::{Deserialize, Serialize};

use super::roots::Roots;
use super::{SoftwareKeystore, layout};
use crate::crypto::base64_bytes;
use crate::crypto::sealing::Address;
use crate::crypto::transport::DigestKey;
use crate::keystore::KeystoreError;
use crate::model::JobId;
use crate::observe::failpoint::{Failpoint, around};
use crate::store::{Outcome, Record, Revision, Stored, Transaction, get_record};

/// How far a job has come in its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// Copies may arrive.
    Staging,
    /// Nothing more arrives; the manifest is being made.
    Closing,
    /// The manifest stands.
    Closed,
    /// The copies are in use; their answers are provisional.
    Activated,
    /// The copies are final.
    Settled,
    /// The copies are gone; nothing is accepted any more.
    Forgotten,
}

impl State {
    pub(super) const fn has_manifest(self) -> bool {
        matches!(self, Self::Closed | Self::Activated | Self::Settled)
    }
}

/// Record `f/JOB`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Fence {
    /// The highest token seen.
    pub(super) token: u64,
    /// The token of the latest offer; what is staged was staged under it.
    pub(super) offered: u64,
    pub(super) state: State,
    pub(super) manifest: Option<Digest>,
    /// The job's digest key, sealed under the root key.
    pub(super) digest_key: Option<Sealed>,
}

impl Record for Fence {
    const KIND: &'static str = "fence of a job";
    const SCHEMA: u16 = 1;
}

/// Record `p/JOB`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SourceSession {
    /// The highest token seen.
    pub(super) token: u64,
    /// The job's digest key, sealed under the root key.
    pub(super) digest_key: Option<Sealed>,
}

impl Record for SourceSession {
    const KIND: &'static str = "session of a job";
    const SCHEMA: u16 = 1;
}

/// 32 bytes, as Base64 in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Digest(#[serde(with = "base64_bytes")] pub(super) [u8; 32]);

/// A sealed record, as Base64 in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Sealed(#[serde(with = "base64_bytes")] pub(super) Vec<u8>);

impl SoftwareKeystore {
    /// Lets a worker in, as target: refuses a lower token than seen, remembers a higher one durably.
    pub(super) async fn admit(&self, job: &JobId, token: u64) -> Result<Stored<Fence>, KeystoreError> {
        let key = layout::fence(job);
        loop {
            let mut transaction = Transaction::new();
            match get_record::<Fence>(self.store(), &key).await.map_err(|e| self.store_error(e))? {
                None => {
                    let fence = Fence { token, offered: 0, state: State::Staging, manifest: None, digest_key: None };
                    transaction.create(&key, &fence).map_err(|e| self.store_error(e))?;
                }
                Some(fence) if fence.token > token => {
                    return Err(KeystoreError::Fenced { job: job.clone(), token, seen: fence.token });
                }
                Some(mut fence) if fence.token < token => {
                    fence.token = token;
                    transaction.replace(&key, &fence).map_err(|e| self.store_error(e))?;
                }
                Some(fence) => return Ok(fence),
            }
            // Conflict and Unknown are answered by reading again.
            let _ = self.commit(transaction).await?;
        }
    }

    /// Writes a changed fence if nobody else changed it; `None`: read again.
    pub(super) async fn put_fence(
        &self,
        job: &JobId,
        fence: &Stored<Fence>,
    ) -> Result<Option<Revision>, KeystoreError> {
        self.put_fence_under(Transaction::new(), job, fence).await
    }

    /// As [`Self::put_fence`], with a digest key that was just sealed under these root keys.
    pub(super) async fn put_sealing_fence(
        &self,
        roots: &Roots,
        job: &JobId,
        fence: &Stored<Fence>,
    ) -> Result<Option<Revision>, KeystoreError> {
        let mut transaction = Transaction::new();
        transaction.compare(roots.guard.clone());
        self.put_fence_under(transaction, job, fence).await
    }

    async fn put_fence_under(
        &self,
        mut transaction: Transaction,
        job: &JobId,
        fence: &Stored<Fence>,
    ) -> Result<Option<Revision>, KeystoreError> {
        transaction.replace(&layout::fence(job), fence).map_err(|e| self.store_error(e))?;
        let work = self.commit(transaction);
        let outcome = around(Failpoint::KeystoreFence, work, |injected| self.rehearsed(injected)).await;
        self.job_states.retain(|other, _| other != job);
        match outcome? {
            Outcome::Committed(revision) => Ok(Some(revision)),
            Outcome::Conflict | Outcome::Unknown => Ok(None),
        }
    }

    /// A job's state as target; from memory where known. `None`: no such job here.
    pub(super) async fn job_state(&self, job: &JobId) -> Result<Option<State>, KeystoreError> {
        let now = self.clock.monotonic();
        if let Some(state) = self.job_states.get(job, now) {
            return Ok(Some(state));
        }
        let generation = self.job_states.generation();
        let state = self.fence(job).await?.map(|fence| fence.state);
        if let Some(state) = state {
            self.job_states.insert(generation, job.clone(), state, now);
        }
        Ok(state)
    }

    /// The fence as stored.
    pub(super) async fn fence(&self, job: &JobId) -> Result<Option<Stored<Fence>>, KeystoreError> {
        get_record(self.store(), &layout::fence(job)).await.map_err(|e| self.store_error(e))
    }

    /// Lets a worker in, as source.
    pub(super) async fn admit_source(&self, job: &JobId, token: u64) -> Result<Stored<SourceSession>, KeystoreError> {
        let key = layout::session(job);
        loop {
            let mut transaction = Transaction::new();
            match self.source_session(job).await? {
                None => {
                    let session = SourceSession { token, digest_key: None };
                    transaction.create(&key, &session).map_err(|e| self.store_error(e))?;
                }
                Some(session) if session.token > token => {
                    return Err(KeystoreError::Fenced { job: job.clone(), token, seen: session.token });
                }
                Some(mut session) if session.token < token => {
                    session.token = token;
                    transaction.replace(&key, &session).map_err(|e| self.store_error(e))?;
                }
                Some(session) => return Ok(session),
            }
            let _ = self.commit(transaction).await?;
        }
    }

    /// The source's session as stored.
    pub(super) async fn source_session(&self, job: &JobId) -> Result<Option<Stored<SourceSession>>, KeystoreError> {
        get_record(self.store(), &layout::session(job)).await.map_err(|e| self.store_error(e))
    }

    /// Writes a changed session if nobody else changed it; false: read again. With root keys: it has a digest key that
    /// was just sealed under them.
    pub(super) async fn put_source_session(
        &self,
        job: &JobId,
        session: &Stored<SourceSession>,
        sealed: Option<&Roots>,
    ) -> Result<bool, KeystoreError> {
        let mut transaction = Transaction::new();
        if let Some(roots) = sealed {
            transaction.compare(roots.guard.clone());
        }
        transaction.replace(&layout::session(job), session).map_err(|e| self.store_error(e))?;
        Ok(matches!(self.commit(transaction).await?, Outcome::Committed(_)))
    }

    pub(super) fn seal_digest_key(&self, roots: &Roots, job: &JobId, key: &DigestKey) -> Result<Sealed, KeystoreError> {
        let sealed = roots.sealing().seal(self.random.as_ref(), &self.digest_address(job), key.expose());
        sealed.map(Sealed).map_err(|e| self.stored_error("digest key", e))
    }

    pub(super) fn open_digest_key(&self, job: &JobId, sealed: &Sealed) -> Result<DigestKey, KeystoreError> {
        self.roots()
            .open(&self.digest_address(job), &sealed.0)
            .and_then(|bytes| DigestKey::from_slice(&bytes))
            .map_err(|e| self.stored_error("digest key", e))
    }

    pub(super) fn digest_address<'a>(&'a self, job: &'a JobId) -> Address<'a> {
        Address { beside: job.as_str().as_bytes(), ..Address::of(&self.id, "digest key") }
    }
}
