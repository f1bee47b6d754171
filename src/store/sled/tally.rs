//! What is in the tree, in two numbers that change with every write: how many records, and the sum of their digests.
//!
//! sled checks each piece of its log, but takes a piece that does not check out for the end of the log, and pages can point
//! to pieces that are gone. The tally lies in the revision counter, so it is written with each commit; a scan at opening
//! compares it with what is there. It finds damage, not forgery.

use std::sync::{Mutex, PoisonError};
use std::thread;

use ::sled::{Db, IVec};
use aws_lc_rs::digest::{Context, SHA256};

use super::fault::{Fault, contained};
use super::view::COUNTER;

/// Count and sum over all records but the counter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    records: u64,
    sum: u128,
}

impl Tally {
    /// Of what is in a tree now. Reads all of it.
    pub(super) fn of(tree: &Db) -> Result<Self, Fault> {
        Self::read(tree.iter())
    }

    fn read(entries: impl Iterator<Item = ::sled::Result<(IVec, IVec)>>) -> Result<Self, Fault> {
        contained(|| {
            let mut tally = Self::default();
            for entry in entries {
                let (key, raw) = entry?;
                if &*key != COUNTER {
                    tally.add(&key, &raw);
                }
            }
            Ok(tally)
        })
    }

    /// As [`Tally::of`], by two threads that begin at the two ends and go on until they have met: what both have read is
    /// taken off again. Where it differs from what is expected it has to be made sure of by [`Tally::of`].
    pub(super) fn from_both_ends(tree: &Db) -> Result<Self, Fault> {
        let (low, high) = (Mutex::default(), Mutex::default());
        let (up, down) = thread::scope(|scope| {
            let down = thread::Builder::new()
                .name("store-tally".to_owned())
                .spawn_scoped(scope, || sweep(tree.iter().rev(), &high, &low, |mine, other| mine <= other));
            let up = sweep(tree.iter(), &low, &high, |mine, other| mine >= other);
            // Without a second thread, or after it has died, there is the other way to count.
            (up, down.ok().and_then(|thread| thread.join().ok()).unwrap_or_else(|| Ok(Swept::default())))
        });
        let (up, down) = (up?, down?);
        let twice = match (&up.last, &down.last) {
            (Some(highest), Some(lowest)) if lowest <= highest => {
                Self::read(tree.range::<&[u8], _>(&**lowest..=&**highest))?
            }
            _ => Self::default(),
        };
        let (up, down) = (up.tally, down.tally);
        Ok(Self {
            records: up.records.wrapping_add(down.records).wrapping_sub(twice.records),
            sum: up.sum.wrapping_add(down.sum).wrapping_sub(twice.sum),
        })
    }

    /// A record came. `raw` is what the tree holds: revision and value.
    pub(super) fn add(&mut self, key: &[u8], raw: &[u8]) {
        self.records = self.records.wrapping_add(1);
        self.sum = self.sum.wrapping_add(digest(key, raw));
    }

    /// A record went.
    pub(super) fn remove(&mut self, key: &[u8], raw: &[u8]) {
        self.records = self.records.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(digest(key, raw));
    }

    /// As the counter holds it: count (8 bytes), sum (16 bytes), big-endian.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        [self.records.to_be_bytes().as_slice(), &self.sum.to_be_bytes()].concat()
    }

    /// From the counter's value; `None` where an older release wrote it, which kept no tally.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Option<Self>, Fault> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let parts = bytes.split_first_chunk::<8>().and_then(|(records, sum)| Some((records, sum.first_chunk::<16>()?)));
        match parts {
            Some((records, sum)) if bytes.len() == 24 => {
                Ok(Some(Self { records: u64::from_be_bytes(*records), sum: u128::from_be_bytes(*sum) }))
            }
            _ => Err(Fault { detail: "the revision counter cannot be read".to_owned(), damaged: true }),
        }
    }

    /// Holds what is there (`self`) to what the counter says.
    pub(super) fn check(self, expected: Self) -> Result<(), Fault> {
        let detail = if self.records == expected.records {
            "a record is not what was written last".to_owned()
        } else {
            format!("{} records are there of {}", self.records, expected.records)
        };
        if self == expected { Ok(()) } else { Err(Fault { detail, damaged: true }) }
    }
}

/// What one of two threads has read, up to and with the key `last`.
#[derive(Default)]
struct Swept {
    tally: Tally,
    last: Option<IVec>,
}

/// Records between two looks at how far the other thread is.
const STRETCH: usize = 512;

/// Reads until the end, or until it has `met` the other one, which comes from there.
fn sweep(
    entries: impl Iterator<Item = ::sled::Result<(IVec, IVec)>>,
    mine: &Mutex<Option<IVec>>,
    other: &Mutex<Option<IVec>>,
    met: impl Fn(&IVec, &IVec) -> bool,
) -> Result<Swept, Fault> {
    contained(|| {
        let mut swept = Swept::default();
        for (n, entry) in entries.enumerate() {
            let (key, raw) = entry?;
            if &*key != COUNTER {
                swept.tally.add(&key, &raw);
            }
            if n % STRETCH == 0 {
                *mine.lock().unwrap_or_else(PoisonError::into_inner) = Some(key.clone());
                let other = other.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if other.is_some_and(|other| met(&key, &other)) {
                    swept.last = Some(key);
                    return Ok(swept);
                }
            }
            swept.last = Some(key);
        }
        Ok(swept)
    })
}

/// The first 16 bytes of SHA-256 over length of the key, key and value.
fn digest(key: &[u8], raw: &[u8]) -> u128 {
    let mut context = Context::new(&SHA256);
    context.update(&key.len().to_be_bytes());
    context.update(key);
    context.update(raw);
    context.finish().as_ref().first_chunk::<16>().map_or(0, |bytes| u128::from_be_bytes(*bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn from_both_ends_each_record_counts_once() {
        for records in [0_u32, 1, 2, 511, 512, 513, 1025, 20_000] {
            let tree = ::sled::Config::new().temporary(true).open().unwrap();
            (0..records).for_each(|n| drop(tree.insert(n.to_be_bytes(), n.to_string().as_bytes()).unwrap()));
            tree.insert(COUNTER, b"counter".as_slice()).unwrap();
            let (swift, plain) = (Tally::from_both_ends(&tree).unwrap(), Tally::of(&tree).unwrap());
            assert_eq!(swift, plain, "{records}");
            assert_eq!(plain.records, u64::from(records));
        }
    }
}
