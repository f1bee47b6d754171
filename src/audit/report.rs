//! Reports of jobs: a text in parts, and a header with its digest under the daemon's signature. The transaction that
//! writes the header puts an entry with the same digest into the trail, so that a report altered afterwards shows.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Actor, AuditError, Entry, Trail, paths};
use crate::crypto::identity::PublicIdentity;
use crate::crypto::{Writer, base64_bytes};
use crate::model::{JobId, Scope};
use crate::store::{Outcome, Record, Store, StoreError, Transaction, get_record, prefix_end};

/// The header of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedReport {
    /// The job.
    pub job: JobId,
    /// When it was filed.
    pub at: Timestamp,
    /// Parts of its text.
    pub parts: u32,
    /// SHA-256 over its text.
    #[serde(with = "base64_bytes")]
    pub digest: [u8; 32],
    /// Who signed.
    pub signer: PublicIdentity,
    /// Ed25519 over job, instant and digest.
    #[serde(with = "base64_bytes")]
    pub signature: Vec<u8>,
}

impl Record for SignedReport {
    const KIND: &'static str = "signed job report";
    const SCHEMA: u16 = 1;
}

impl SignedReport {
    /// True when its signer made the signature over this header.
    #[must_use]
    pub fn is_authentic(&self) -> bool {
        self.signer.verify(PURPOSE, &self.message(), &self.signature).is_ok()
    }

    fn message(&self) -> Vec<u8> {
        Writer::new().text(self.job.as_str()).text(&self.at.to_string()).field(&self.digest).finish()
    }
}

/// A report with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReport {
    /// The header.
    pub signed: SignedReport,
    /// The text as it lies in the store.
    pub text: Vec<u8>,
}

impl StoredReport {
    /// True when text, digest and signature agree.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        <[u8; 32]>::from(Sha256::digest(&self.text)) == self.signed.digest && self.signed.is_authentic()
    }
}

impl Trail {
    /// Files a report. One that was filed stays as it is: its header is answered.
    ///
    /// # Errors
    /// [`AuditError::NoIdentity`]; [`AuditError::Busy`] when another process files one; when the store refuses.
    pub async fn file_report(&self, job: &JobId, scope: &Scope, text: &str) -> Result<SignedReport, AuditError> {
        let identity = self.identity.as_ref().ok_or(AuditError::NoIdentity)?;
        if let Some(filed) = get_record::<SignedReport>(self.store.as_ref(), &paths::report(job)).await? {
            return Ok(filed.into_value());
        }
        let mut parts = 0_u32;
        for batch in text.as_bytes().chunks(PART * AT_ONCE) {
            let mut transaction = Transaction::new();
            for part in batch.chunks(PART) {
                transaction.put(paths::report_part(job, parts), part);
                parts = parts.saturating_add(1);
            }
            self.commit(transaction).await?;
        }
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let at = self.clock.now();
        let signer = identity.public();
        let mut signed = SignedReport { job: job.clone(), at, parts, digest, signer, signature: Vec::new() };
        signed.signature = identity.sign(PURPOSE, &signed.message());
        let mut transaction = Transaction::new();
        transaction.create(&paths::report(job), &signed)?;
        let entry = Entry { digest: Some(hex::encode(digest)), ..Entry::new(at, Actor::Daemon, REPORTED) };
        entry.in_scope(scope).on(resource(job)).put(&mut transaction)?;
        self.commit(transaction).await?;
        Ok(signed)
    }

    /// Whether a report of this job is filed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn is_reported(&self, job: &JobId) -> Result<bool, StoreError> {
        Ok(self.store.get(&paths::report(job)).await?.is_some())
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), AuditError> {
        match self.store.commit(transaction).await? {
            Outcome::Committed(_) => Ok(()),
            Outcome::Conflict | Outcome::Unknown => Err(AuditError::Busy),
        }
    }
}

/// The report of a job, if it is filed; whether it is intact is for [`StoredReport::is_intact`] to say.
///
/// # Errors
/// When the store cannot be read or the header is malformed.
pub async fn read_report(store: &dyn Store, job: &JobId) -> Result<Option<StoredReport>, StoreError> {
    let Some(signed) = get_record::<SignedReport>(store, &paths::report(job)).await? else {
        return Ok(None);
    };
    let prefix = paths::report_parts(job);
    let (end, mut start) = (prefix_end(&prefix), prefix);
    let mut text = Vec::new();
    let mut left = signed.parts;
    while left > 0 {
        let page = store.scan(&start, end.as_deref(), usize::try_from(left).unwrap_or(PAGE).min(PAGE)).await?;
        for (_, part) in page.entries {
            text.extend_from_slice(&part.value);
            left = left.saturating_sub(1);
        }
        match page.next {
            Some(next) => start = next,
            None => break,
        }
    }
    Ok(Some(StoredReport { signed: signed.into_value(), text }))
}

/// The action of the entry that files a report.
pub(super) const REPORTED: &str = "job.report";

/// A job as the resource of an entry.
pub(super) fn resource(job: &JobId) -> String {
    format!("job/{job}")
}

const PURPOSE: &str = "keyferry job report v1";
const PART: usize = 15 * 1024;
/// Parts in one transaction: well below its 1 MiB.
const AT_ONCE: usize = 50;
const PAGE: usize = 200;
