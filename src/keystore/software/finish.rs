//! What follows staging: closing, activation, confirmation, settling, and forgetting.

use sha2::{Digest as _, Sha256};
use tokio_util::task::AbortOnDropHandle;

use super::bulk::{Entries, in_order};
use super::fence::{Digest, State};
use super::staging::Staged;
use super::vault::OpenHead;
use super::{SoftwareKeystore, layout, records};
use crate::crypto::Writer;
use crate::keystore::KeystoreError;
use crate::model::{Incarnation, JobId};
use crate::store::{Stored, scan_records};

/// Staged resources verified in one task: enough for its own cost not to count, and soon done where others wait.
const TOGETHER: usize = 32;

/// What a job staged, in the order of its keys.
type Indexes = Vec<(Vec<u8>, Stored<Staged>)>;

impl SoftwareKeystore {
    pub(super) async fn close_staging(&self, job: &JobId, token: u64) -> Result<[u8; 32], KeystoreError> {
        loop {
            let mut fence = self.admit(job, token).await?;
            match fence.state {
                State::Forgotten => return Err(KeystoreError::Forgotten(job.clone())),
                State::Closed | State::Activated | State::Settled => {
                    return fence.manifest.map(|m| m.0).ok_or_else(|| mismatch(job, "there is no manifest"));
                }
                State::Staging | State::Closing if fence.offered != token => {
                    return Err(KeystoreError::StagingOpen(job.clone()));
                }
                // First nothing may arrive any more, then what is there is counted.
                State::Staging => fence.state = State::Closing,
                State::Closing => {
                    fence.manifest = Some(Digest(self.verify_all(job).await?));
                    fence.state = State::Closed;
                }
            }
            self.put_fence(job, &fence).await?;
        }
    }

    pub(super) async fn activate_copies(
        &self,
        job: &JobId,
        token: u64,
        manifest: &[u8; 32],
    ) -> Result<(), KeystoreError> {
        loop {
            let mut fence = self.admit(job, token).await?;
            match fence.state {
                State::Forgotten => return Err(KeystoreError::Forgotten(job.clone())),
                State::Staging | State::Closing => {
                    return Err(KeystoreError::StagingOpen(job.clone()));
                }
                _ if fence.manifest != Some(Digest(*manifest)) => {
                    return Err(mismatch(job, "the manifest is not the one that staging was closed with"));
                }
                State::Activated | State::Settled => return Ok(()),
                State::Closed => {}
            }
            if self.verify_all(job).await? != *manifest {
                return Err(mismatch(job, "records were added or removed since staging was closed"));
            }
            fence.state = State::Activated;
            if self.put_fence(job, &fence).await?.is_some() {
                self.offers().remove(job);
                return Ok(());
            }
        }
    }

    pub(super) async fn confirm_copies(
        &self,
        job: &JobId,
        token: u64,
        incarnations: &[Incarnation],
    ) -> Result<(), KeystoreError> {
        let fence = self.admit(job, token).await?;
        match fence.state {
            State::Forgotten => return Err(KeystoreError::Forgotten(job.clone())),
            State::Staging | State::Closing => return Err(KeystoreError::StagingOpen(job.clone())),
            State::Closed => return Err(mismatch(job, "they were not activated")),
            State::Activated | State::Settled => {}
        }
        if incarnations.is_empty() {
            let found = Digest(self.verify_all(job).await?);
            return if fence.manifest == Some(found) {
                Ok(())
            } else {
                Err(mismatch(job, "the records are not those of the manifest"))
            };
        }
        let checks = incarnations.iter().map(|incarnation| async move {
            let index = self.staged(&layout::staged_resource(job, incarnation)).await?;
            let index = index.ok_or_else(|| mismatch(job, "a resource is not among the copies"))?;
            self.verify_one(job, incarnation, &index).await
        });
        in_order(checks).await.map(|_: Vec<()>| ())
    }

    pub(super) async fn settle_copies(&self, job: &JobId, token: u64) -> Result<(), KeystoreError> {
        loop {
            let mut fence = self.admit(job, token).await?;
            match fence.state {
                State::Forgotten => return Err(KeystoreError::Forgotten(job.clone())),
                State::Settled => return Ok(()),
                State::Staging | State::Closing => {
                    return Err(KeystoreError::StagingOpen(job.clone()));
                }
                State::Closed => return Err(mismatch(job, "they were not activated")),
                State::Activated => {
                    fence.state = State::Settled;
                    fence.digest_key = None;
                }
            }
            self.put_fence(job, &fence).await?;
        }
    }

    pub(super) async fn forget_job(&self, job: &JobId, token: u64) -> Result<(), KeystoreError> {
        self.offers().remove(job);
        loop {
            let mut fence = self.admit(job, token).await?;
            match fence.state {
                State::Settled => return Err(KeystoreError::PastReturn(job.clone())),
                State::Forgotten => {
                    if self.wipe(job, fence.revision()).await? {
                        return self.sweep_objects().await.map(drop);
                    }
                }
                // The tombstone comes first: nothing can arrive while the copies are removed.
                _ => {
                    fence.state = State::Forgotten;
                    fence.digest_key = None;
                    self.put_fence(job, &fence).await?;
                }
            }
        }
    }

    /// Reads every staged record again, holds it to its digest, and returns the manifest digest over all of them.
    async fn verify_all(&self, job: &JobId) -> Result<[u8; 32], KeystoreError> {
        let prefix = layout::staged(job);
        let indexes = scan_records::<Staged>(self.store(), &prefix, None, usize::MAX).await;
        let indexes = indexes.map_err(|e| self.store_error(e))?;
        let mut hash = Sha256::new();
        hash.update(Writer::new().text("keyferry manifest v1").text(job.as_str()).count(indexes.len()).finish());
        let mut rest = indexes.into_iter();
        let parts = std::iter::from_fn(move || {
            let some: Indexes = rest.by_ref().take(TOGETHER).collect();
            (!some.is_empty()).then_some(some)
        });
        let lines = in_order(parts.map(|some| self.verify_apart(job, some))).await?;
        lines.iter().flatten().for_each(|line| hash.update(line));
        Ok(hash.finalize().into())
    }

    /// Verifies staged resources in a task of their own, since reading and digesting them is work for more than one
    /// processor. Answers their lines of the manifest.
    async fn verify_apart(&self, job: &JobId, some: Indexes) -> Result<Vec<Vec<u8>>, KeystoreError> {
        let (keystore, job) = (self.clone(), job.clone());
        let task = tokio::spawn(async move { keystore.verify_some(&job, &some).await });
        let lines = AbortOnDropHandle::new(task).await;
        lines.map_err(|_| KeystoreError::Unavailable {
            keystore: self.id.clone(),
            detail: "it is shutting down".to_owned(),
        })?
    }

    async fn verify_some(
        &self,
        job: &JobId,
        some: &[(Vec<u8>, Stored<Staged>)],
    ) -> Result<Vec<Vec<u8>>, KeystoreError> {
        let mut lines = Vec::with_capacity(some.len());
        for (key, index) in some {
            let incarnation = layout::last(key).ok_or_else(|| mismatch(job, "a staged record has no name"))?;
            self.verify_one(job, &incarnation, index).await?;
            let stored = index.stored.map(|digest| digest.0).unwrap_or_default();
            // Reading never waits: without this nobody else would get the thread for many resources.
            tokio::task::yield_now().await;
            lines.push(Writer::new().text(incarnation.as_str()).u64(index.versions.into()).raw(&stored).finish());
        }
        Ok(lines)
    }

    async fn verify_one(
        &self,
        job: &JobId,
        incarnation: &Incarnation,
        index: &Stored<Staged>,
    ) -> Result<(), KeystoreError> {
        let Some(expected) = index.stored else {
            return Err(mismatch(job, &format!("{incarnation} was staged only in part")));
        };
        let entries = self.scan(&layout::resource(incarnation)).await?;
        let found = records::stored_digest(entries.iter().map(|(key, v)| (key.as_slice(), v.value.as_slice())));
        let changed = || mismatch(job, &format!("{incarnation} is not as it was staged"));
        if Digest(found) != expected {
            return Err(changed());
        }
        // The wrapped data key is not in the digest: it is as it should be if it opens the label.
        let (_, head) = entries.iter().find(|(key, _)| key.ends_with(b"/head")).ok_or_else(changed)?;
        match self.open_head(incarnation, head).await {
            Ok(head) => self.verify_objects(&head, &entries).await.map_err(|error| match error {
                KeystoreError::Damaged { .. } => changed(),
                other => other,
            }),
            Err(KeystoreError::Damaged { .. }) => Err(changed()),
            Err(error) => Err(error),
        }
    }

    /// In a hardware instance a record is only half of a key: the object that it names must be there, and work.
    async fn verify_objects(&self, head: &OpenHead, entries: &Entries) -> Result<(), KeystoreError> {
        if self.token.is_none() || head.label.spec.is_none() {
            return Ok(());
        }
        for (version, stored) in records::versions(entries).map_err(|e| self.stored_error("version", e))? {
            self.prove_usable(&*self.open_key(head, &version, &stored).await?).await?;
        }
        Ok(())
    }
}

fn mismatch(job: &JobId, detail: &str) -> KeystoreError {
    KeystoreError::Mismatch { job: job.clone(), detail: detail.to_owned() }
}
