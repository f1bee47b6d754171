//! Many records at once: scans, deletions, and several transactions under way.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};

use super::records::Head;
use super::{SoftwareKeystore, layout, objects};
use crate::keystore::KeystoreError;
use crate::keystore::hardware::ObjectId;
use crate::model::Scope;
use crate::store::{Compare, Outcome, Transaction, Versioned, prefix_end};

/// Records as stored, in the order of their keys.
pub(super) type Entries = Vec<(Vec<u8>, Versioned)>;

impl SoftwareKeystore {
    /// Commits transactions, several at a time. False if any of them conflicted or is unknown.
    pub(super) async fn commit_all(&self, transactions: Vec<Transaction>) -> Result<bool, KeystoreError> {
        let outcomes = in_order(transactions.into_iter().map(|transaction| self.commit(transaction))).await?;
        Ok(outcomes.into_iter().all(|outcome| matches!(outcome, Outcome::Committed(_))))
    }

    /// All entries under a prefix.
    pub(super) async fn scan(&self, prefix: &[u8]) -> Result<Entries, KeystoreError> {
        let end = prefix_end(prefix);
        let mut start = prefix.to_vec();
        let mut entries = Vec::new();
        loop {
            let page = self.store.scan(&start, end.as_deref(), PAGE).await.map_err(|e| self.store_error(e))?;
            entries.extend(page.entries);
            match page.next {
                Some(next) => start = next,
                None => return Ok(entries),
            }
        }
    }

    /// Deletes entries in as few transactions as the limits allow, each under the condition, and each putting the marks that
    /// have the deletion shredded later; and with each entry that names a token object the mark that has that destroyed.
    /// False: the condition failed or the outcome is unknown.
    pub(super) async fn delete_all(
        &self,
        entries: impl IntoIterator<Item = Gone>,
        condition: &Compare,
        marks: &[Vec<u8>],
    ) -> Result<bool, KeystoreError> {
        let mut transactions = Vec::new();
        let mut transaction = Transaction::new();
        for Gone { key, object } in entries {
            if !transaction.has_room(1, 2) {
                transactions.push(std::mem::take(&mut transaction));
            }
            if transaction.operations().is_empty() {
                transaction.compare(condition.clone());
                for mark in marks {
                    transaction.put(mark.clone(), MARK);
                }
            }
            transaction.delete(key);
            if let Some(object) = object {
                transaction.put(layout::object(object), objects::TO_DESTROY);
            }
        }
        if !transaction.operations().is_empty() {
            transactions.push(transaction);
        }
        self.commit_all(transactions).await
    }

    /// An entry to be deleted, with the token object that it names.
    pub(super) fn gone(&self, (key, value): (Vec<u8>, Versioned)) -> Gone {
        let object = if self.token.is_some() { objects::named(&key, &value) } else { None };
        Gone { key, object }
    }

    /// The marks of the scopes whose heads are among these entries.
    pub(super) fn marks_of<'a>(
        &self,
        entries: impl Iterator<Item = &'a (Vec<u8>, Versioned)>,
    ) -> Result<Vec<Vec<u8>>, KeystoreError> {
        let mut marks = BTreeSet::new();
        for (_, head) in entries.filter(|(key, _)| key.ends_with(b"/head")) {
            marks.insert(layout::mark(&self.clear_scope(head)?));
        }
        Ok(marks.into_iter().collect())
    }

    /// The scope that a head names in the clear.
    pub(super) fn clear_scope(&self, head: &Versioned) -> Result<Scope, KeystoreError> {
        Head::decode(&head.value).map(|head| head.scope).map_err(|e| self.stored_error("head", e))
    }
}

/// An entry that is to be deleted.
pub(super) struct Gone {
    pub(super) key: Vec<u8>,
    /// The token object that goes with it.
    pub(super) object: Option<ObjectId>,
}

impl From<Vec<u8>> for Gone {
    fn from(key: Vec<u8>) -> Self {
        Self { key, object: None }
    }
}

/// Value of a mark.
pub(super) const MARK: &[u8] = &[1];

/// Runs work, some of it at a time; the results come in the order of the work.
pub(super) async fn in_order<T, F>(work: impl Iterator<Item = F>) -> Result<Vec<T>, KeystoreError>
where
    F: Future<Output = Result<T, KeystoreError>>,
{
    // Collected, because a lazy closure over references does not make a `Send` future.
    let work: Vec<F> = work.collect();
    stream::iter(work).buffered(PARALLEL).try_collect().await
}

/// How many store calls one bulk operation has under way.
const PARALLEL: usize = 16;
const PAGE: usize = 500;
