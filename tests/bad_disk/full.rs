//! A disk that is full: a small tmpfs.

use std::path::Path;
use std::process::Command;

use keyferry::store::sled::SledStore;
use keyferry::store::{Outcome, StoreError};

use crate::database::{Content, OPTIONS, commit, read};

/// A tmpfs, unmounted when it goes.
struct Small(tempfile::TempDir);

impl Small {
    fn mount(size: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        call(
            Command::new("mount")
                .args(["-t", "tmpfs", "-o", &format!("size={size}"), "keyferry-test"])
                .arg(directory.path()),
        );
        Self(directory)
    }

    fn grow(&self, size: &str) {
        call(Command::new("mount").args(["-o", &format!("remount,size={size}")]).arg(self.0.path()));
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn call(command: &mut Command) {
    assert!(command.status().unwrap().success(), "this test needs root: {command:?}");
}

#[test]
fn a_full_disk_ends_writing_and_loses_nothing() {
    let disk = Small::mount("3m");
    let directory = disk.path().join("store");
    let store = SledStore::open(&directory, &OPTIONS).unwrap().store;
    let mut acknowledged = Content::new();
    let mut in_doubt = None;
    for n in 0_u32.. {
        assert!(n < 10_000, "3 MiB took {n} values of 4 KiB");
        let (key, value) = (format!("k/{n:05}"), format!("{n}").repeat(4096 / n.to_string().len()));
        match commit(&store, &key, &value) {
            Ok(Outcome::Committed(_)) => {
                acknowledged.insert(key.into_bytes(), value.into_bytes());
            }
            Ok(Outcome::Unknown) => {
                in_doubt = Some((key.into_bytes(), value.into_bytes()));
                break;
            }
            // Not written for certain: the engine failed before it came to the write.
            Err(StoreError::Unavailable(_)) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(acknowledged.len() > 50, "{}", acknowledged.len());
    let text = match commit(&store, "later", "x") {
        Err(StoreError::Unavailable(text)) => text,
        other => panic!("{other:?}"),
    };
    assert!(text.contains("restart once the disk is well"), "{text}");
    assert_eq!(store.refused().borrow().as_deref(), Some(text.as_str()));
    // A read of this engine may have to write a page, so it can fail too; it never answers with anything else.
    match read(&store) {
        Ok(found) => assert!(found == acknowledged, "only what is durable"),
        Err(error) => assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}"),
    }
    drop(store);

    // Still full: it opens and serves, or says what is wrong; it loses nothing either way.
    match SledStore::open(&directory, &OPTIONS) {
        Ok(opened) => same(&opened.store, &acknowledged, in_doubt.as_ref()),
        Err(error) => assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}"),
    }
    disk.grow("64m");
    let store = SledStore::open(&directory, &OPTIONS).unwrap().store;
    same(&store, &acknowledged, in_doubt.as_ref());
    assert!(matches!(commit(&store, "later", "x").unwrap(), Outcome::Committed(_)));
}

/// All that was acknowledged, and at most the commit in doubt.
fn same(store: &SledStore, acknowledged: &Content, in_doubt: Option<&(Vec<u8>, Vec<u8>)>) {
    let mut found = read(store).unwrap();
    if let Some((key, value)) = in_doubt
        && let Some(there) = found.remove(key)
    {
        assert_eq!(there, *value);
    }
    assert!(found == *acknowledged, "{} records of {}", found.len(), acknowledged.len());
}
