//! When the daemon last looked at the wall clock, and a step of it that nobody has confirmed yet.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Catalogue, CatalogueError, paths};
use crate::store::{Record, Stored, Transaction, get_record};

/// Record `t/clock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockRecord {
    /// When somebody last looked, coarsely.
    pub seen: Timestamp,
    /// A step that waits for somebody to confirm it.
    pub step: Option<ClockStep>,
}

/// The wall clock went forward by more than time did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockStep {
    /// What it would have shown without the step: what was due by then may be carried out.
    pub from: Timestamp,
    /// What it showed.
    pub to: Timestamp,
}

impl Record for ClockRecord {
    const KIND: &'static str = "look at the clock";
    const SCHEMA: u16 = 1;
}

impl Catalogue {
    /// The last look at the clock; `None`: there was none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn clock(&self) -> Result<Option<Stored<ClockRecord>>, CatalogueError> {
        Ok(get_record(self.store().as_ref(), paths::CLOCK).await?)
    }

    /// Writes a look at the clock, if nobody else did since `before` was read.
    ///
    /// # Errors
    /// `Conflict` when somebody did.
    pub async fn put_clock(
        &self,
        before: Option<Stored<ClockRecord>>,
        record: ClockRecord,
    ) -> Result<(), CatalogueError> {
        let mut transaction = Transaction::new();
        match before {
            Some(mut stored) => {
                *stored = record;
                transaction.replace(paths::CLOCK, &stored)?;
            }
            None => {
                transaction.create(paths::CLOCK, &record)?;
            }
        }
        self.commit_transaction(transaction).await.map(|_| ())
    }
}
