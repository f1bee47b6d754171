//! The root keys of a keystore: the one that everything is sealed under and, while it is being exchanged, the one before.
//!
//! Record `check` names them, each with a sealed constant. From the transaction that names a new one on, everything new
//! is sealed under it: whoever seals something in the store compares the record's revision. What is sealed under the old
//! one (identity, slots, digest keys of jobs) is sealed again; then the record names the new one alone. Each of that may
//! be done twice, so a crash at any point is healed by doing it again.

use std::sync::{Arc, PoisonError};

use zeroize::Zeroizing;

use super::fence::{Fence, Sealed, SourceSession};
use super::{OpenError, SoftwareKeystore, layout};
use crate::crypto::sealing::{Address, RootKey, SealingKey};
use crate::crypto::{CryptoError, Reader, Writer};
use crate::keystore::KeystoreError;
use crate::model::{JobId, KeystoreId, Random};
use crate::store::{Compare, Outcome, Record, Transaction, Versioned, get_record};

/// Which root keys a keystore is sealed under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootKeys {
    /// ID of the key that seals what is new.
    pub current: String,
    /// ID of the key before it, while something is still sealed under that.
    pub before: Option<String>,
}

/// The opened root keys.
pub(super) struct Roots {
    seals: Arc<RootKey>,
    before: Option<Arc<RootKey>>,
    /// Holds as long as these are the keys: for every transaction that writes something sealed under a root key.
    pub(super) guard: Compare,
}

impl Roots {
    /// Seals new records.
    pub(super) fn sealing(&self) -> &SealingKey {
        self.seals.sealing()
    }

    /// ID of the key that seals.
    pub(super) fn id(&self) -> String {
        self.seals.id()
    }

    /// Opens a record under whichever key sealed it.
    pub(super) fn open(&self, address: &Address<'_>, record: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        match (self.sealing().open(address, record), &self.before) {
            (Err(CryptoError::Rejected), Some(before)) => before.sealing().open(address, record),
            (opened, _) => opened,
        }
    }

    /// Opens a sealed key under whichever key sealed it.
    pub(super) fn unwrap(&self, address: &Address<'_>, record: &[u8]) -> Result<SealingKey, CryptoError> {
        match (self.sealing().unwrap(address, record), &self.before) {
            (Err(CryptoError::Rejected), Some(before)) => before.sealing().unwrap(address, record),
            (opened, _) => opened,
        }
    }

    /// The record sealed anew, if it lies under the key before; `None` if it is as it should be.
    fn renew(&self, random: &dyn Random, at: &Address<'_>, record: &[u8]) -> Result<Option<Vec<u8>>, CryptoError> {
        if self.sealing().open(at, record).is_ok() {
            return Ok(None);
        }
        self.sealing().seal(random, at, &self.open(at, record)?).map(Some)
    }
}

/// A root key as the record names it: its ID, and the constant sealed under it.
#[derive(Clone)]
struct Named {
    id: String,
    sealed: Vec<u8>,
}

/// The record `check`.
enum CheckRecord {
    Settled(Named),
    Exchanging { old: Named, new: Named },
}

enum CheckEvent {
    /// Another key takes over.
    Begin(Named),
    /// Nothing is left under the old key.
    Renewed,
}

impl CheckRecord {
    /// The only way from one state to another; `None` where the event does not fit.
    fn next(self, event: CheckEvent) -> Option<Self> {
        match (self, event) {
            (Self::Settled(old), CheckEvent::Begin(new)) if old.id != new.id => Some(Self::Exchanging { old, new }),
            (Self::Exchanging { new, .. }, CheckEvent::Renewed) => Some(Self::Settled(new)),
            _ => None,
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, CryptoError> {
        let mut reader = Reader::new(bytes, "check record");
        let first = Named { id: reader.text()?, sealed: reader.field()?.to_vec() };
        if reader.end().is_ok() {
            return Ok(Self::Settled(first));
        }
        let second = Named { id: reader.text()?, sealed: reader.field()?.to_vec() };
        reader.end()?;
        Ok(Self::Exchanging { old: first, new: second })
    }

    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let keys = match self {
            Self::Settled(only) => vec![only],
            Self::Exchanging { old, new } => vec![old, new],
        };
        for key in keys {
            writer.text(&key.id).field(&key.sealed);
        }
        writer.finish()
    }
}

/// The first record, for an empty store.
pub(super) fn first(id: &KeystoreId, root: &RootKey, random: &dyn Random) -> Result<Vec<u8>, CryptoError> {
    Ok(CheckRecord::Settled(named(id, root, random)?).encode())
}

/// Finds the keys that the record names among those that were given.
pub(super) fn find(id: &KeystoreId, check: &Versioned, given: &[Arc<RootKey>]) -> Result<Roots, OpenError> {
    let damaged = |detail: &str| OpenError::Damaged { keystore: id.clone(), detail: detail.to_owned() };
    let record = CheckRecord::decode(&check.value).map_err(|_| damaged("the check record cannot be read"))?;
    let take = |named: &Named| match (given.iter().find(|key| key.id() == named.id), given.first()) {
        (Some(key), _) if key.opens_check(id, &named.sealed) => Ok(Arc::clone(key)),
        (Some(_), _) => Err(damaged("the check record does not open; is it the store of another keystore?")),
        (None, None) => Err(OpenError::MissingRootKey { keystore: id.clone(), root_key_id: named.id.clone() }),
        (None, Some(other)) => {
            Err(OpenError::WrongRootKey { keystore: id.clone(), expected: named.id.clone(), found: other.id() })
        }
    };
    let guard = Compare::Revision(layout::CHECK.to_vec(), check.revision);
    match &record {
        CheckRecord::Settled(only) => Ok(Roots { seals: take(only)?, before: None, guard }),
        CheckRecord::Exchanging { old, new } => Ok(Roots { seals: take(new)?, before: Some(take(old)?), guard }),
    }
}

impl SoftwareKeystore {
    /// The root keys it is sealed under.
    #[must_use]
    pub fn root_keys(&self) -> RootKeys {
        let roots = self.roots();
        RootKeys { current: roots.id(), before: roots.before.as_ref().map(|key| key.id()) }
    }

    /// Has everything new sealed under another root key, which must be kept durably from now on, beside the present one.
    /// Nothing changes where it is the present one already. [`Self::renew_seals`] does the rest.
    ///
    /// # Errors
    /// [`KeystoreError::Refused`] while another exchange is under way; a store that cannot be used.
    pub async fn exchange_root(&self, to: RootKey) -> Result<(), KeystoreError> {
        let to = Arc::new(to);
        loop {
            let roots = self.roots();
            if roots.id() == to.id() {
                return Ok(());
            }
            if let Some(before) = &roots.before {
                let (from, to) = (before.id(), roots.id());
                let text = format!("root key {from} is being exchanged for {to}; let that end first");
                return Err(KeystoreError::Refused(text));
            }
            let new = named(&self.id, &to, self.random.as_ref()).map_err(|e| self.use_error(e))?;
            self.advance_check(CheckEvent::Begin(new), &[Arc::clone(&roots.seals), Arc::clone(&to)]).await?;
        }
    }

    /// Seals again what is still sealed under the key before, and gives that key up. Answers how many records that were;
    /// nothing to do without an exchange.
    ///
    /// # Errors
    /// The first record that does not open or cannot be written; the others are done, and the key before stays needed.
    pub async fn renew_seals(&self) -> Result<usize, KeystoreError> {
        let roots = self.roots();
        if roots.before.is_none() {
            return Ok(0);
        }
        let mut done = usize::from(self.renew_identity(&roots).await?);
        let (mut failed, mut scopes) = (None, Vec::new());
        for (key, _) in self.scan(layout::SLOTS).await? {
            scopes.extend(layout::scope(&key));
        }
        for scope in scopes {
            match self.renew_slots(&roots, &scope).await {
                Ok(renewed) => done = done.saturating_add(renewed),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let fences = self.renew_digest_keys(&roots, layout::FENCES, |fence: &mut Fence| &mut fence.digest_key);
        done = done.saturating_add(fences.await?);
        let sessions =
            self.renew_digest_keys(&roots, layout::SESSIONS, |session: &mut SourceSession| &mut session.digest_key);
        done = done.saturating_add(sessions.await?);
        let given: Vec<_> = roots.before.iter().chain([&roots.seals]).map(Arc::clone).collect();
        self.advance_check(CheckEvent::Renewed, &given).await?;
        Ok(done)
    }

    /// The opened root keys.
    pub(super) fn roots(&self) -> Arc<Roots> {
        Arc::clone(&self.roots.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes the record's next state and takes the keys it names then. Conflict and an unknown outcome are left to the
    /// caller, who looks at the keys again.
    async fn advance_check(&self, event: CheckEvent, given: &[Arc<RootKey>]) -> Result<(), KeystoreError> {
        let missing = || KeystoreError::Damaged { keystore: self.id.clone(), detail: "no check record".to_owned() };
        let check = self.get(layout::CHECK).await?.ok_or_else(missing)?;
        let record = CheckRecord::decode(&check.value).map_err(|e| self.stored_error("check record", e))?;
        let next = record.next(event);
        if let Some(next) = next {
            let mut transaction = Transaction::new();
            transaction.compare(Compare::Revision(layout::CHECK.to_vec(), check.revision));
            transaction.put(layout::CHECK, next.encode());
            let _: Outcome = self.commit(transaction).await?;
        }
        let check = self.get(layout::CHECK).await?.ok_or_else(missing)?;
        let found = find(&self.id, &check, given);
        let found = found.map_err(|e| KeystoreError::Damaged { keystore: self.id.clone(), detail: e.to_string() })?;
        *self.roots.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(found);
        Ok(())
    }

    async fn renew_identity(&self, roots: &Roots) -> Result<bool, KeystoreError> {
        loop {
            let stored = self.get(layout::IDENTITY).await?;
            let stored = stored.ok_or_else(|| self.stored_error("identity", CryptoError::Malformed("missing")))?;
            let renewed = roots.renew(self.random.as_ref(), &Address::of(&self.id, "identity"), &stored.value);
            let Some(renewed) = renewed.map_err(|e| self.stored_error("identity", e))? else {
                return Ok(false);
            };
            let mut transaction = Transaction::new();
            transaction.compare(roots.guard.clone());
            transaction.compare(Compare::Revision(layout::IDENTITY.to_vec(), stored.revision));
            transaction.put(layout::IDENTITY, renewed);
            if matches!(self.commit(transaction).await?, Outcome::Committed(_)) {
                return Ok(true);
            }
        }
    }

    /// Digest keys live as long as their jobs run; workers that change the same records read them again.
    async fn renew_digest_keys<R: Record>(
        &self,
        roots: &Roots,
        prefix: &[u8],
        part: fn(&mut R) -> &mut Option<Sealed>,
    ) -> Result<usize, KeystoreError> {
        let mut done = 0_usize;
        for (key, _) in self.scan(prefix).await? {
            let Some(job) = layout::last::<JobId>(&key) else { continue };
            loop {
                let stored = get_record::<R>(self.store(), &key).await.map_err(|e| self.store_error(e))?;
                let Some(mut stored) = stored else { break };
                let Some(sealed) = part(&mut stored).as_mut() else { break };
                let renewed = roots.renew(self.random.as_ref(), &self.digest_address(&job), &sealed.0);
                let Some(renewed) = renewed.map_err(|e| self.stored_error("digest key", e))? else { break };
                sealed.0 = renewed;
                let mut transaction = Transaction::new();
                transaction.compare(roots.guard.clone());
                transaction.replace(&key, &stored).map_err(|e| self.store_error(e))?;
                if matches!(self.commit(transaction).await?, Outcome::Committed(_)) {
                    done = done.saturating_add(1);
                }
            }
        }
        Ok(done)
    }
}

fn named(id: &KeystoreId, root: &RootKey, random: &dyn Random) -> Result<Named, CryptoError> {
    Ok(Named { id: root.id(), sealed: root.check_record(random, id)? })
}
