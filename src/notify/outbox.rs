//! What waits for its receiver, and what was told: `notify/out/RECEIVER/INSTANT-ID` and `notify/told/RECEIVER/ID` in the
//! control store.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::notice::Notice;
use crate::store::{
    Outcome, Record, SharedStore, StoreError, Stored, Transaction, get_record, prefix_end, scan_records,
};

/// At most so many wait for one receiver.
pub(super) const ROOM: usize = 1000;
/// So long it is remembered that something was told.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(60 * 24);

#[derive(Debug, Serialize, Deserialize)]
struct ToldRecord {
    at: Timestamp,
}

impl Record for ToldRecord {
    const KIND: &'static str = "told notification";
    const SCHEMA: u16 = 1;
}

/// The outboxes of all receivers.
pub(super) struct Outbox {
    store: SharedStore,
}

/// A notification that waits.
pub(super) struct Waiting {
    key: Vec<u8>,
    pub(super) notice: Stored<Notice>,
}

impl Outbox {
    pub(super) const fn new(store: SharedStore) -> Self {
        Self { store }
    }

    /// Writes down what is to be told; false when it was before.
    pub(super) async fn put(&self, receiver: &str, notice: &Notice) -> Result<bool, StoreError> {
        let mut transaction = Transaction::new();
        transaction.create(&told(receiver, &notice.id), &ToldRecord { at: notice.at })?;
        let nanos = u64::try_from(notice.at.as_nanosecond()).unwrap_or_default();
        let key = [out(receiver), format!("{nanos:020}-{}", notice.id).into_bytes()].concat();
        transaction.create(&key, notice)?;
        match self.store.commit(transaction).await? {
            Outcome::Committed(_) => Ok(true),
            Outcome::Conflict => Ok(false),
            Outcome::Unknown => Err(StoreError::Unavailable("a notification may not be durable".to_owned())),
        }
    }

    /// Was it written down for this receiver?
    pub(super) async fn was_told(&self, receiver: &str, id: &str) -> Result<bool, StoreError> {
        Ok(get_record::<ToldRecord>(self.store.as_ref(), &told(receiver, id)).await?.is_some())
    }

    /// What waits longest.
    pub(super) async fn next(&self, receiver: &str) -> Result<Option<Waiting>, StoreError> {
        let found = scan_records::<Notice>(self.store.as_ref(), &out(receiver), None, 1).await?;
        Ok(found.into_iter().next().map(|(key, notice)| Waiting { key, notice }))
    }

    /// How many wait.
    pub(super) async fn len(&self, receiver: &str) -> Result<usize, StoreError> {
        let prefix = out(receiver);
        let page = self.store.scan(&prefix, prefix_end(&prefix).as_deref(), ROOM.saturating_mul(2)).await?;
        Ok(page.entries.iter().filter(|(key, _)| !key.contains(&0)).count())
    }

    /// It has been told, or will never be.
    pub(super) async fn done(&self, waiting: &Waiting) -> Result<(), StoreError> {
        let mut transaction = Transaction::new();
        transaction.remove(&waiting.key, &waiting.notice);
        match self.store.commit(transaction).await? {
            // Somebody else removed it, or it is removed again.
            Outcome::Committed(_) | Outcome::Conflict => Ok(()),
            Outcome::Unknown => Err(StoreError::Unavailable("a notification may be told again".to_owned())),
        }
    }

    /// Forgets what was told long ago.
    pub(super) async fn prune(&self, receiver: &str, now: Timestamp) -> Result<(), StoreError> {
        for (key, record) in scan_records::<ToldRecord>(self.store.as_ref(), &told(receiver, ""), None, ROOM).await? {
            if now.duration_since(record.at) > REMEMBERED {
                let mut transaction = Transaction::new();
                transaction.remove(&key, &record);
                let _ = self.store.commit(transaction).await?;
            }
        }
        Ok(())
    }

    /// Removes what waits for receivers that are not among these.
    pub(super) async fn forget_others(&self, receivers: &[&str]) -> Result<(), StoreError> {
        for (key, notice) in scan_records::<Notice>(self.store.as_ref(), OUT, None, usize::MAX).await? {
            let mine = receivers.iter().any(|name| key.starts_with(&out(name)));
            if !mine {
                self.done(&Waiting { key, notice }).await?;
            }
        }
        Ok(())
    }
}

const OUT: &[u8] = b"notify/out/";

// Names of receivers have no slash, so no prefix begins with another.
fn out(receiver: &str) -> Vec<u8> {
    [OUT, receiver.as_bytes(), b"/"].concat()
}

fn told(receiver: &str, id: &str) -> Vec<u8> {
    format!("notify/told/{receiver}/{id}").into_bytes()
}
