//! Objects in the token of a hardware instance, and how none is lost or left over.
//!
//! Before an object is made its name is put under `o/`; the transaction that writes the record which names it compares
//! that entry and deletes it. Whatever deletes such a record puts the name there again, in the same transaction. So every
//! object that no record names is under `o/`, and only such objects are ever destroyed: what else a token holds, be it of
//! a newer state than a restored backup, is left alone. This process is the only writer, so it knows which names belong
//! to something that it is just making; all others are swept. A sweep first changes the entry, so that a late commit
//! conflicts, then destroys the object, then deletes the entry.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::bulk::in_order;
use super::{SoftwareKeystore, layout, records};
use crate::keystore::KeystoreError;
use crate::keystore::hardware::ObjectId;
use crate::store::{Compare, Outcome, Revision, Transaction, Versioned};

/// Value of an entry whose object is being made.
const BEING_MADE: &[u8] = &[1];
/// Value of an entry whose object is to be destroyed.
pub(super) const TO_DESTROY: &[u8] = &[2];
/// Names in one transaction, and objects in one call of the token.
const AT_ONCE: usize = 64;

/// Names of objects that are just being made.
pub(super) type Making = Arc<Mutex<BTreeSet<ObjectId>>>;

/// The name of an object that is being made. Dropped after the record that names it is written, or else to be swept.
pub(super) struct Reserved {
    pub(super) id: ObjectId,
    revision: Revision,
    making: Making,
}

impl Reserved {
    /// For the transaction that writes the record which names it.
    pub(super) fn fulfil(&self, transaction: &mut Transaction) {
        let key = layout::object(self.id);
        transaction.compare(Compare::Revision(key.clone(), self.revision)).delete(key);
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.making.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// The object that an entry of a hardware instance names.
pub(super) fn named(key: &[u8], value: &Versioned) -> Option<ObjectId> {
    if !layout::is_version(key) {
        return None;
    }
    let (_, first) = records::split_version(&value.value).ok()?;
    first.first_chunk::<{ ObjectId::LEN }>().map(|id| ObjectId(*id))
}

impl SoftwareKeystore {
    /// Names for new objects, durably noted.
    pub(super) async fn reserve(&self, count: usize) -> Result<Vec<Reserved>, KeystoreError> {
        let mut all = Vec::with_capacity(count);
        while all.len() < count {
            let mut transaction = Transaction::new();
            let mut some = Vec::new();
            while some.len() < AT_ONCE && all.len().saturating_add(some.len()) < count {
                let id = ObjectId::generate(self.random.as_ref());
                self.making.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
                some.push(Reserved { id, revision: Revision(0), making: Arc::clone(&self.making) });
                let key = layout::object(id);
                transaction.compare(Compare::Absent(key.clone())).put(key, BEING_MADE);
            }
            // Of what is not confirmed nothing was made; new names are free.
            if let Outcome::Committed(revision) = self.commit(transaction).await? {
                some.iter_mut().for_each(|reserved| reserved.revision = revision);
                all.append(&mut some);
            }
        }
        Ok(all)
    }

    /// True as long as the object may still be named by a record.
    pub(super) async fn still_reserved(&self, reserved: &Reserved) -> Result<bool, KeystoreError> {
        let found = self.get(&layout::object(reserved.id)).await?;
        Ok(found.is_some_and(|entry| entry.revision == reserved.revision))
    }

    /// Destroys every object that no record names. Answers how many names it did.
    ///
    /// # Errors
    /// A token or store that cannot be used; the next call goes on.
    pub async fn sweep_objects(&self) -> Result<usize, KeystoreError> {
        let Some(token) = &self.token else {
            return Ok(0);
        };
        let mut done = 0_usize;
        for some in self.scan(layout::OBJECTS).await?.chunks(AT_ONCE) {
            let doomed = in_order(some.iter().map(|(key, entry)| self.doom(key, entry))).await?;
            let doomed: Vec<(ObjectId, Compare)> = doomed.into_iter().flatten().collect();
            if doomed.is_empty() {
                continue;
            }
            let ids = doomed.iter().map(|(id, _)| *id).collect();
            token.destroy(ids).await.map_err(|e| self.token_error(e))?;
            let mut transaction = Transaction::new();
            done = done.saturating_add(doomed.len());
            for (id, condition) in doomed {
                transaction.compare(condition).delete(layout::object(id));
            }
            // Where it is not confirmed the next sweep finds nothing to destroy, and deletes the entries.
            let _: Outcome = self.commit(transaction).await?;
        }
        Ok(done)
    }

    /// As [`Self::sweep_objects`], where the caller has done its part: what is left is swept later.
    pub(super) async fn try_sweep_objects(&self) {
        if let Err(error) = self.sweep_objects().await {
            tracing::warn!(%error, keystore = %self.id, "objects without a record stay in the token for now");
        }
    }

    /// Takes an entry for destruction: nobody can name its object any more. `None`: it is being made, or somebody else
    /// was quicker.
    async fn doom(&self, key: &[u8], entry: &Versioned) -> Result<Option<(ObjectId, Compare)>, KeystoreError> {
        let Some(id) = layout::object_of(key) else {
            return Ok(None);
        };
        if entry.value == TO_DESTROY {
            return Ok(Some((id, Compare::Revision(key.to_vec(), entry.revision))));
        }
        if self.making.lock().unwrap_or_else(PoisonError::into_inner).contains(&id) {
            return Ok(None);
        }
        let mut transaction = Transaction::new();
        transaction.compare(Compare::Revision(key.to_vec(), entry.revision)).put(key.to_vec(), TO_DESTROY);
        Ok(match self.commit(transaction).await? {
            Outcome::Committed(revision) => Some((id, Compare::Revision(key.to_vec(), revision))),
            Outcome::Conflict | Outcome::Unknown => None,
        })
    }
}
