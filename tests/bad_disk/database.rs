//! A database with a past: several starts, rewritten records, deletions and values that sled keeps in blobs.

use std::collections::BTreeMap;
use std::path::Path;

use keyferry::store::sled::{Options, SledStore};
use keyferry::store::{Outcome, Store, StoreError, Transaction};
use tokio::runtime::Runtime;

/// Keys and values.
pub(crate) type Content = BTreeMap<Vec<u8>, Vec<u8>>;

/// A page cache so small that reads go to the file.
pub(crate) const OPTIONS: Options = Options { cache_capacity: 64 * 1024 };

/// Writes three lives of a database; what the last acknowledged commit left, and a copy of the directory before the last
/// life.
pub(crate) fn written(directory: &Path, older: &Path) -> Content {
    let runtime = runtime();
    let mut content = Content::new();
    for life in 0..3_u32 {
        if life == 2 {
            copy(directory, older);
        }
        let store = SledStore::open(directory, &OPTIONS).unwrap().store;
        runtime.block_on(async {
            for n in 0..60_u32 {
                let mut transaction = Transaction::new();
                for part in 0..6_u32 {
                    let key = format!("k/{:04}", (n * 7 + part * 131) % 400).into_bytes();
                    let value =
                        format!("{life}/{n}/{}", "x".repeat(usize::try_from(n % 7 * 150).unwrap())).into_bytes();
                    content.insert(key.clone(), value.clone());
                    transaction.put(key, value);
                }
                if n % 10 == 0 {
                    for part in 0..8_u32 {
                        let key = format!("large/{part}").into_bytes();
                        let value = vec![u8::try_from(n + part + life).unwrap(); 16 * 1024];
                        content.insert(key.clone(), value.clone());
                        transaction.put(key, value);
                    }
                }
                if n % 9 == 4 {
                    let gone = format!("k/{:04}", (n * 7 + 500) % 400).into_bytes();
                    if content.remove(&gone).is_some() {
                        transaction.delete(gone);
                    }
                }
                assert!(matches!(store.commit(transaction).await.unwrap(), Outcome::Committed(_)));
            }
        });
    }
    content
}

/// Everything that a store holds.
pub(crate) fn read(store: &SledStore) -> Result<Content, StoreError> {
    let page = runtime().block_on(store.scan(b"", None, usize::MAX))?;
    Ok(page.entries.into_iter().map(|(key, found)| (key, found.value)).collect())
}

/// One more commit.
pub(crate) fn commit(store: &SledStore, key: &str, value: &str) -> Result<Outcome, StoreError> {
    let mut transaction = Transaction::new();
    transaction.put(key, value);
    runtime().block_on(store.commit(transaction))
}

/// Copies a directory with everything below it.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
