//! How often a symmetric key version was used, counted coarsely: blocks are reserved ahead in the control store, so a
//! crash counts a started block as used. AES-GCM with random 96-bit IVs is good for 2^32 messages under one key
//! (NIST SP 800-38D, section 8.3).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::{Catalogue, CatalogueError, paths};
use crate::keystore::Place;
use crate::model::RegionId;
use crate::store::{Record, Transaction, get_record};

/// Uses reserved at a time.
const BLOCK: u64 = 1 << 16;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct UsageRecord {
    reserved: u64,
}

impl Record for UsageRecord {
    const KIND: &'static str = "key usage";
    const SCHEMA: u16 = 1;
}

/// Blocks that this process has reserved: next use and end of the block.
#[derive(Default)]
pub(super) struct Reserved(Mutex<HashMap<Place, (u64, u64)>>);

impl Catalogue {
    /// Counts one use; answers its number, from 1.
    ///
    /// # Errors
    /// When a new block cannot be reserved.
    pub async fn count_use(&self, region: &RegionId, place: &Place) -> Result<u64, CatalogueError> {
        loop {
            if let Some(number) = self.usage.take(place) {
                return Ok(number);
            }
            let path = paths::usage(region, &place.incarnation, &place.version);
            let mut transaction = Transaction::new();
            let start = match get_record::<UsageRecord>(self.store().as_ref(), &path).await? {
                Some(mut record) => {
                    let start = record.reserved;
                    // Nothing is left to be reserved; no honest counter comes here.
                    if start > u64::MAX.saturating_sub(BLOCK) {
                        return Ok(start);
                    }
                    record.reserved = start.saturating_add(BLOCK);
                    transaction.replace(&path, &record)?;
                    start
                }
                None => {
                    transaction.create(&path, &UsageRecord { reserved: BLOCK })?;
                    0
                }
            };
            match self.commit_transaction(transaction).await {
                Ok(_) => self.usage.add(place, start, start.saturating_add(BLOCK)),
                Err(CatalogueError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::expect_used)]
impl Catalogue {
    /// As if a key version had been used so often.
    pub(crate) async fn set_uses(&self, region: &RegionId, place: &Place, uses: u64) {
        let mut transaction = Transaction::new();
        let path = paths::usage(region, &place.incarnation, &place.version);
        transaction.overwrite(&path, &UsageRecord { reserved: uses }).expect("a record");
        self.commit_transaction(transaction).await.expect("a commit");
        self.usage.0.lock().unwrap_or_else(PoisonError::into_inner).remove(place);
    }
}

impl Reserved {
    fn take(&self, place: &Place) -> Option<u64> {
        let mut blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, end) = blocks.get_mut(place)?;
        if next < end {
            *next = next.saturating_add(1);
            Some(*next)
        } else {
            None
        }
    }

    fn add(&self, place: &Place, start: u64, end: u64) {
        let mut blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Of two blocks reserved at the same time the later one stays; the other counts as used.
        blocks.insert(place.clone(), (start, end));
    }
}
