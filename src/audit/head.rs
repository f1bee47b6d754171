//! Heads: a place and the link there. Whoever keeps one from the log can tell later that everything before it is still
//! what it was. Signed heads are numbered and chained to each other, so that none can be taken out of their midst.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::chain::{self, Link, scan};
use super::{AuditError, Trail, paths};
use crate::crypto::identity::PublicIdentity;
use crate::crypto::{Writer, base64_bytes};
use crate::store::{Outcome, Record, SharedStore, StoreError, Transaction, decode, prefix_end};

/// A head of the trail; as text `PLACE:LINK`, the link in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The place of its newest entry; 0 when there is none.
    pub place: u64,
    /// The link there.
    #[serde(with = "base64_bytes")]
    pub link: Link,
}

impl Head {
    /// Of an empty trail.
    #[must_use]
    pub fn genesis() -> Self {
        Self { place: 0, link: chain::genesis() }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.place, hex::encode(self.link))
    }
}

impl FromStr for Head {
    type Err = AuditError;

    fn from_str(text: &str) -> Result<Self, AuditError> {
        let read = || {
            let (place, link) = text.trim().split_once(':')?;
            let link = hex::decode(link).ok()?.try_into().ok()?;
            Some(Self { place: place.parse().ok()?, link })
        };
        read().ok_or_else(|| AuditError::NotAHead(text.to_owned()))
    }
}

/// A head under the daemon's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHead {
    /// From 1, without a gap.
    pub number: u64,
    /// The head.
    pub head: Head,
    /// When it was signed.
    pub at: Timestamp,
    /// SHA-256 over the signed head before it, zeros for the first.
    #[serde(with = "base64_bytes")]
    pub before: [u8; 32],
    /// Who signed.
    pub signer: PublicIdentity,
    /// Ed25519 over everything above.
    #[serde(with = "base64_bytes")]
    pub signature: Vec<u8>,
}

impl Record for SignedHead {
    const KIND: &'static str = "signed audit head";
    const SCHEMA: u16 = 1;
}

impl SignedHead {
    /// True when its signer made the signature.
    #[must_use]
    pub fn is_authentic(&self) -> bool {
        self.signer.verify(PURPOSE, &self.message(), &self.signature).is_ok()
    }

    /// What the next signed head carries of this one.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.message());
        hash.update(&self.signature);
        hash.finalize().into()
    }

    fn message(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.field(&self.number.to_be_bytes()).field(&self.head.place.to_be_bytes()).field(&self.head.link);
        writer.text(&self.at.to_string()).field(&self.before).field(&self.signer.0).finish()
    }
}

impl Trail {
    /// Chains what waits and signs the head, unless the newest signed one is over the same.
    ///
    /// # Errors
    /// [`AuditError::NoIdentity`]; [`AuditError::Busy`] when another process signs; when the store refuses.
    pub async fn sign_head(&self) -> Result<SignedHead, AuditError> {
        let identity = self.identity.as_ref().ok_or(AuditError::NoIdentity)?;
        let _alone = self.writing.lock().await;
        self.chain_alone().await?;
        let head = self.head().await?;
        let last = self.last_signed().await?;
        if let Some(last) = last.as_ref().filter(|last| last.head == head && last.signer == identity.public()) {
            return Ok(last.clone());
        }
        let mut signed = SignedHead {
            number: last.as_ref().map_or(1, |last| last.number.saturating_add(1)),
            head,
            at: self.clock.now(),
            before: last.as_ref().map_or([0; 32], SignedHead::digest),
            signer: identity.public(),
            signature: Vec::new(),
        };
        signed.signature = identity.sign(PURPOSE, &signed.message());
        let mut transaction = Transaction::new();
        transaction.create(&paths::signed(signed.number), &signed)?;
        match self.store.commit(transaction).await? {
            Outcome::Committed(_) => Ok(signed),
            Outcome::Conflict | Outcome::Unknown => Err(AuditError::Busy),
        }
    }

    /// The newest signed head. Found by halving: signed heads have no gap.
    async fn last_signed(&self) -> Result<Option<SignedHead>, AuditError> {
        if !self.signed_from(0).await? {
            return Ok(None);
        }
        let (mut there, mut gone) = (0_u64, 1_u64);
        while self.signed_from(gone).await? {
            (there, gone) = (gone, gone.saturating_mul(2));
        }
        while gone.saturating_sub(there) > 1 {
            let middle = there.midpoint(gone);
            if self.signed_from(middle).await? { there = middle } else { gone = middle }
        }
        let key = paths::signed(there);
        match self.store.get(&key).await? {
            Some(value) => Ok(Some(decode::<SignedHead>(&key, &value, &[])?.into_value())),
            None => Err(AuditError::Malformed(String::from_utf8_lossy(&key).into_owned())),
        }
    }

    /// Whether there is a signed head with this number or a higher one.
    async fn signed_from(&self, number: u64) -> Result<bool, StoreError> {
        let end = prefix_end(paths::SIGNED);
        let page = self.store.scan(&paths::signed(number), end.as_deref(), 1).await?;
        Ok(!page.entries.is_empty())
    }
}

const PURPOSE: &str = "keyferry audit head v1";

/// Every signed head with its number as stored; `None` for one that cannot be read.
pub(super) async fn all_signed(store: &SharedStore) -> Result<Vec<(Vec<u8>, Option<SignedHead>)>, StoreError> {
    let found = scan(store, paths::SIGNED).await?;
    let read = found.into_iter().map(|(key, value)| {
        let signed = decode::<SignedHead>(&key, &value, &[]).ok().map(crate::store::Stored::into_value);
        (key, signed)
    });
    Ok(read.collect())
}
