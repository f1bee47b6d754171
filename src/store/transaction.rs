//! Transactions and the limits that every engine enforces alike.

use super::{Revision, StoreError};

/// Compares in one transaction.
pub const MAX_COMPARES: usize = 100;
/// Puts and deletes in one transaction.
pub const MAX_OPERATIONS: usize = 100;
/// Bytes of all keys and values in one transaction.
pub const MAX_TRANSACTION_BYTES: usize = 1024 * 1024;
/// Bytes of one value; larger records are chunked (see `record.rs`).
pub const MAX_VALUE_BYTES: usize = 16 * 1024;

/// A condition on one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compare {
    /// There is no value.
    Absent(Vec<u8>),
    /// There is some value.
    Present(Vec<u8>),
    /// The value was written by this revision.
    Revision(Vec<u8>, Revision),
}

impl Compare {
    /// The key it looks at.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Absent(key) | Self::Present(key) | Self::Revision(key, _) => key,
        }
    }

    /// Whether it holds for a key whose value was written by `found` (`None`: there is no value).
    #[must_use]
    pub fn holds(&self, found: Option<Revision>) -> bool {
        match self {
            Self::Absent(_) => found.is_none(),
            Self::Present(_) => found.is_some(),
            Self::Revision(_, wanted) => found == Some(*wanted),
        }
    }
}

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Sets a value.
    Put(Vec<u8>, Vec<u8>),
    /// Removes a value; no error if there is none.
    Delete(Vec<u8>),
}

impl Operation {
    /// The key it writes.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }
}

/// Compares and, if all hold, writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    compares: Vec<Compare>,
    operations: Vec<Operation>,
}

impl Transaction {
    /// An empty transaction.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition. The same condition twice counts once.
    pub fn compare(&mut self, compare: Compare) -> &mut Self {
        if !self.compares.contains(&compare) {
            self.compares.push(compare);
        }
        self
    }

    /// Adds a put.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> &mut Self {
        self.operations.push(Operation::Put(key.into(), value.into()));
        self
    }

    /// Adds a delete.
    pub fn delete(&mut self, key: impl Into<Vec<u8>>) -> &mut Self {
        self.operations.push(Operation::Delete(key.into()));
        self
    }

    /// The conditions.
    #[must_use]
    pub fn compares(&self) -> &[Compare] {
        &self.compares
    }

    /// The writes.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The conditions and the writes, for an engine that takes them over.
    #[must_use]
    pub fn into_parts(self) -> (Vec<Compare>, Vec<Operation>) {
        (self.compares, self.operations)
    }

    /// Room for this many more compares and writes?
    #[must_use]
    pub fn has_room(&self, compares: usize, operations: usize) -> bool {
        self.compares.len().saturating_add(compares) <= MAX_COMPARES
            && self.operations.len().saturating_add(operations) <= MAX_OPERATIONS
            && self.bytes() < MAX_TRANSACTION_BYTES / 2
    }

    /// Checks the limits; engines call it before anything else.
    ///
    /// # Errors
    /// Names the limit that is broken.
    pub fn check(&self) -> Result<(), StoreError> {
        if self.compares.len() > MAX_COMPARES {
            return Err(StoreError::Limit(format!("{} compares, at most {MAX_COMPARES}", self.compares.len())));
        }
        if self.operations.len() > MAX_OPERATIONS {
            return Err(StoreError::Limit(format!("{} operations, at most {MAX_OPERATIONS}", self.operations.len())));
        }
        if self.bytes() > MAX_TRANSACTION_BYTES {
            return Err(StoreError::Limit(format!("{} bytes, at most {MAX_TRANSACTION_BYTES}", self.bytes())));
        }
        // etcd refuses the empty key, and the sled engine keeps its revision counter there.
        if self
            .compares
            .iter()
            .map(Compare::key)
            .chain(self.operations.iter().map(Operation::key))
            .any(<[u8]>::is_empty)
        {
            return Err(StoreError::Limit("an empty key".to_owned()));
        }
        for operation in &self.operations {
            if let Operation::Put(_, value) = operation
                && value.len() > MAX_VALUE_BYTES
            {
                return Err(StoreError::Limit(format!("a value of {} bytes, at most {MAX_VALUE_BYTES}", value.len())));
            }
        }
        unique(self.compares.iter().map(Compare::key), "compared")?;
        unique(self.operations.iter().map(Operation::key), "written")
    }

    pub(super) fn bytes(&self) -> usize {
        let compares: usize = self.compares.iter().map(|c| c.key().len()).sum();
        let operations: usize = self
            .operations
            .iter()
            .map(|o| match o {
                Operation::Put(key, value) => key.len().saturating_add(value.len()),
                Operation::Delete(key) => key.len(),
            })
            .sum();
        compares.saturating_add(operations)
    }
}

fn unique<'a>(keys: impl Iterator<Item = &'a [u8]>, what: &str) -> Result<(), StoreError> {
    let mut keys: Vec<&[u8]> = keys.collect();
    keys.sort_unstable();
    match keys.windows(2).find(|pair| matches!(pair, [a, b] if a == b)) {
        Some(pair) => Err(StoreError::Limit(format!(
            "key {:?} is {what} more than once",
            String::from_utf8_lossy(pair.first().copied().unwrap_or_default())
        ))),
        None => Ok(()),
    }
}
