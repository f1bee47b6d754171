//! Crypto-shredding: after something was destroyed, the key-encryption key of its scope is exchanged and the old one
//! destroyed, so that old pages of the engine hold nothing that can be opened.
//!
//! Every deletion puts the mark `d/REGION/ACCOUNT` in its own transaction; an exchange takes the mark away when it
//! begins. Each step of an exchange is written down before the next, and each may be done twice.

use std::sync::{Arc, PoisonError};

use super::keks::{SlotEvent, SlotState};
use super::records::{self, Head};
use super::slots::SlotName;
use super::{SoftwareKeystore, layout};
use crate::keystore::KeystoreError;
use crate::model::{JobId, Scope};
use crate::store::{Compare, Outcome, Stored, Transaction, prefix_end, scan_records};

impl SoftwareKeystore {
    /// Shreds what was destroyed in a scope, and first ends an exchange that is under way; nothing to do without either.
    /// The transactions that name slots are fenced by the job's token.
    pub(super) async fn shred_for(&self, job: &JobId, token: u64, scope: &Scope) -> Result<(), KeystoreError> {
        loop {
            let session = self.admit_source(job, token).await?;
            let fence = Compare::Revision(layout::session(job), session.revision());
            match self.exchange(scope, Some(&fence)).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                // Destroying the old key could make a damaged record worse; holding the lock of the job would help
                // nobody. The mark or the state of the exchange stays, and so the sweeper keeps trying and telling.
                Err(error @ KeystoreError::Damaged { .. }) => {
                    tracing::error!(%error, %scope, "what the migration purged is deleted, but not shredded");
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Ends exchanges that a crash cut, and shreds what daily use destroyed. To be called at start and from time to time:
    /// each scope with deletions gets one exchange a call, however many they were. Answers how many scopes it did.
    ///
    /// # Errors
    /// The first that occurred; the other scopes are done all the same.
    pub async fn shred_deleted(&self) -> Result<usize, KeystoreError> {
        let mut scopes: Vec<Scope> =
            self.scan(layout::MARKS).await?.iter().filter_map(|(key, _)| layout::scope(key)).collect();
        let states = scan_records::<SlotState>(self.store(), layout::SLOTS, None, usize::MAX).await;
        for (key, state) in states.map_err(|e| self.store_error(e))? {
            if !matches!(*state, SlotState::Settled { .. }) {
                scopes.extend(layout::scope(&key));
            }
        }
        scopes.sort();
        scopes.dedup();
        let (mut done, mut failed) = (0_usize, self.sweep_objects().await.err());
        for scope in scopes {
            match self.exchange(&scope, None).await {
                Ok(true) => done = done.saturating_add(1),
                // Not confirmed; the next call goes on.
                Ok(false) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(done), Err)
    }

    /// Goes on with an exchange until the scope is settled without a mark. False: a transaction was not confirmed, or
    /// the fence does not hold.
    pub(super) async fn exchange(&self, scope: &Scope, fence: Option<&Compare>) -> Result<bool, KeystoreError> {
        let lock = self.slot_lock(scope);
        let _alone = lock.lock().await;
        loop {
            let Some(state) = self.slot_state(scope).await? else {
                return Ok(true);
            };
            if matches!(*state, SlotState::Settled { .. }) && self.get(&layout::mark(scope)).await?.is_none() {
                return Ok(true);
            }
            if !self.advance(scope, state, fence).await? {
                return Ok(false);
            }
        }
    }

    /// One step of an exchange, and the transaction that says it is done. Under the scope's lock.
    pub(super) async fn advance(
        &self,
        scope: &Scope,
        mut state: Stored<SlotState>,
        fence: Option<&Compare>,
    ) -> Result<bool, KeystoreError> {
        let mut transaction = Transaction::new();
        let event = match &*state {
            SlotState::Settled { .. } => {
                transaction.delete(layout::mark(scope));
                SlotEvent::Begin(SlotName::generate(self.random.as_ref()))
            }
            SlotState::Making { new, .. } => {
                self.make_slot(scope, new).await?;
                SlotEvent::Made
            }
            SlotState::Rewrapping { old, new } => {
                if !self.rewrap(scope, old, new, fence).await? {
                    return Ok(false);
                }
                SlotEvent::Rewrapped
            }
            SlotState::Shredding { old, .. } => {
                self.slots.shred(old).await.map_err(|e| self.slot_error(&e))?;
                SlotEvent::Shredded
            }
        };
        let next = state.clone().into_value().next(event);
        *state = next.map_err(|e| KeystoreError::Unavailable { keystore: self.id.clone(), detail: e.to_string() })?;
        if let Some(fence) = fence {
            transaction.compare(fence.clone());
        }
        transaction.replace(&layout::slots(scope), &state).map_err(|e| self.store_error(e))?;
        let outcome = self.commit(transaction).await;
        self.keks.retain(|other, _| other != scope);
        Ok(matches!(outcome?, Outcome::Committed(_)))
    }

    /// Every head of the scope that is not under the new key yet: one walk over the heads, their data keys rewrapped in
    /// batches, and again only if something else changed a head meanwhile.
    async fn rewrap(
        &self,
        scope: &Scope,
        old: &SlotName,
        new: &SlotName,
        fence: Option<&Compare>,
    ) -> Result<bool, KeystoreError> {
        let old = self.open_slot(scope, old).await?.ok_or_else(|| self.lost_slot(scope))?;
        let new = self.open_slot(scope, new).await?.ok_or_else(|| self.lost_slot(scope))?;
        loop {
            let (mut clean, mut start, end) = (true, layout::RESOURCES.to_vec(), prefix_end(layout::RESOURCES));
            loop {
                let page = self.store.scan(&start, end.as_deref(), PAGE).await.map_err(|e| self.store_error(e))?;
                let mut transactions = Vec::new();
                let mut transaction = Transaction::new();
                for (key, stored) in page.entries.iter().filter(|(key, _)| key.ends_with(b"/head")) {
                    let mut head = Head::decode(&stored.value).map_err(|e| self.stored_error("head", e))?;
                    if head.scope != *scope {
                        continue;
                    }
                    let incarnation = layout::incarnation(key).ok_or_else(|| self.nameless())?;
                    let beside = records::clear(&head.scope, head.staged_by.as_ref());
                    let address = self.head_address(&incarnation, "dek", &beside);
                    if new.unwrap(&address, &head.wrapped_dek).is_ok() {
                        continue;
                    }
                    let dek = old.unwrap(&address, &head.wrapped_dek).map_err(|e| self.stored_error("head", e))?;
                    head.wrapped_dek = new.wrap(self.random.as_ref(), &address, &dek).map_err(|e| self.use_error(e))?;
                    if !transaction.has_room(2, 1) {
                        transactions.push(std::mem::take(&mut transaction));
                    }
                    if let Some(fence) = fence {
                        transaction.compare(fence.clone());
                    }
                    transaction
                        .compare(Compare::Revision(key.clone(), stored.revision))
                        .put(key.clone(), head.encode());
                }
                if !transaction.operations().is_empty() {
                    transactions.push(transaction);
                }
                if !self.commit_all(transactions).await? {
                    // A fence that does not hold will not hold again; the caller finds out.
                    if fence.is_some() {
                        return Ok(false);
                    }
                    clean = false;
                }
                match page.next {
                    Some(next) => start = next,
                    None => break,
                }
            }
            if clean {
                return Ok(true);
            }
        }
    }

    /// One exchange at a time in a scope.
    pub(super) fn slot_lock(&self, scope: &Scope) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.slot_locks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(locks.entry(scope.clone()).or_default())
    }

    fn nameless(&self) -> KeystoreError {
        KeystoreError::Damaged { keystore: self.id.clone(), detail: "a head has no name".to_owned() }
    }
}

const PAGE: usize = 500;
