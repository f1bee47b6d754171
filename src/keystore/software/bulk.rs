//! Many records at once: scans, deletions, and several transactions under way.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use futures::StreamExt;
use futures::stream::FuturesOrdered;

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
    let mut results = Vec::with_capacity(work.len());
    let mut under_way: FuturesOrdered<Pin<Box<F>>> = FuturesOrdered::new();
    for one in work {
        let mut one = Box::pin(one);
        // Reading waits for nothing, and keeping such work in the set costs more than the reading.
        if under_way.is_empty()
            && let Poll::Ready(result) = poll_fn(|context| Poll::Ready(one.as_mut().poll(context))).await
        {
            results.push(result?);
            continue;
        }
        if under_way.len() >= PARALLEL
            && let Some(result) = under_way.next().await
        {
            results.push(result?);
        }
        under_way.push_back(one);
    }
    while let Some(result) = under_way.next().await {
        results.push(result?);
    }
    Ok(results)
}

/// How many store calls one bulk operation has under way.
const PARALLEL: usize = 16;
const PAGE: usize = 500;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn results_come_in_order_and_only_so_many_are_under_way() {
        // Ready at once; waiting, some longer than those behind them; and both in turns.
        type Waits = fn(usize) -> usize;
        let cases: [(Waits, usize); 3] =
            [(|_| 0, 1), (|n| 1 + n % 7, PARALLEL), (|n| if n % 40 < 20 { 0 } else { 1 + n % 5 }, PARALLEL)];
        for (waits, expected) in cases {
            let (under_way, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let work = (0..200).map(|n| {
                let (under_way, most) = (&under_way, &most);
                async move {
                    most.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    for _ in 0..waits(n) {
                        tokio::task::yield_now().await;
                    }
                    under_way.fetch_sub(1, Ordering::SeqCst);
                    Ok(n)
                }
            });
            assert!(in_order(work).await.unwrap().into_iter().eq(0..200));
            assert_eq!(most.into_inner(), expected);
        }
    }

    #[tokio::test]
    async fn the_first_failure_in_order_ends_the_work() {
        for waits in [0, 1] {
            let begun = AtomicUsize::new(0);
            let work = (0..200_usize).map(|n| {
                let begun = &begun;
                async move {
                    begun.fetch_add(1, Ordering::SeqCst);
                    for _ in 0..waits * (200 - n) {
                        tokio::task::yield_now().await;
                    }
                    if n < 30 { Ok(n) } else { Err(KeystoreError::Unsuitable(if n == 30 { "first" } else { "later" })) }
                }
            });
            assert!(matches!(in_order(work).await, Err(KeystoreError::Unsuitable("first"))));
            assert!(begun.into_inner() <= 30 + PARALLEL);
        }
    }
}
