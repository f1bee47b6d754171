#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::*;
use crate::crypto::sealing::RootKey;
use crate::keystore::software::rootkey;
use crate::keystore::software::slots::memory::MemorySlots;
use crate::model::{KeystoreId, SystemClock};
use crate::store::memory::MemoryStore;

/// An instance whose root key is in a file.
async fn group(directory: &Path) -> Group {
    let path = directory.join("root.key");
    let loaded = rootkey::load(&RootKeySource::Generated(path.clone()), true, &SystemRandom).unwrap();
    let (clock, random) = (Arc::new(SystemClock::default()), Arc::new(SystemRandom));
    let (store, slots) = (Arc::new(MemoryStore::new()), Arc::new(MemorySlots::default()));
    let id = KeystoreId::Instance("kst-seal1".parse().unwrap());
    let opened = SoftwareKeystore::open(id, store, slots, Some(loaded.key), clock, random).await.unwrap();
    let (names, source) = (vec!["kst-seal1".to_owned()], RootKeySource::File(path));
    Group { names, source, keystores: vec![Arc::new(opened)] }
}

/// Puts a key where the next one belongs; answers its ID.
fn put_next(directory: &Path, seed: u8, mode: u32) -> String {
    let path = directory.join("root.key.next");
    fs::write(&path, [seed; 32]).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    RootKey::new(Zeroizing::new([seed; 32])).unwrap().id()
}

/// An exchange that was cut between its last transaction and the files; answers the ID of the key it went to.
async fn cut_before_the_files(directory: &Path, group: &Group, seed: u8) -> String {
    let next = put_next(directory, seed, 0o600);
    group.turn().await.unwrap();
    group.keystores[0].renew_seals().await.unwrap();
    next
}

fn settled_under(id: &str) -> [RootKeys; 1] {
    [RootKeys { current: id.to_owned(), before: None }]
}

#[tokio::test]
async fn a_key_that_somebody_puts_there_is_gone_to_when_somebody_wishes_it() {
    let directory = tempfile::tempdir().unwrap();
    let group = group(directory.path()).await;
    let old = group.keys()[0].current.clone();
    assert_eq!(group.follow().await.unwrap(), Standing::Settled);
    let next = put_next(directory.path(), 7, 0o600);
    // By itself, time begins nothing.
    assert_eq!(group.go_on().await.unwrap(), (Standing::Settled, None));
    assert_eq!(group.keys(), settled_under(&old));
    assert_eq!(group.follow().await.unwrap(), Standing::Settled);
    assert_eq!(group.keys(), settled_under(&next));
    assert_eq!(succession::present(&group.source).unwrap(), next);
    assert_eq!(succession::retired(&group.source)[0].id, old);
    // A copy of it that lies there is no other key, and the end of nothing.
    put_next(directory.path(), 7, 0o600);
    assert_eq!(group.go_on().await.unwrap(), (Standing::Settled, None));
    assert_eq!(group.follow().await.unwrap(), Standing::Settled);
    assert!(matches!(group.begin().await, Err(ExchangeError::Same(_))));
    assert_eq!(group.keys(), settled_under(&next));
}

#[tokio::test]
async fn an_exchange_that_was_cut_is_carried_on_and_its_end_told_once() {
    let directory = tempfile::tempdir().unwrap();
    let group = group(directory.path()).await;
    let next = put_next(directory.path(), 7, 0o600);
    group.turn().await.unwrap();
    // Nothing but the identity was sealed yet.
    let ended = Some(Ended { to: next, renewed: 1 });
    assert_eq!(group.go_on().await.unwrap(), (Standing::Settled, ended));
    assert_eq!(group.go_on().await.unwrap(), (Standing::Settled, None));
    let last = cut_before_the_files(directory.path(), &group, 8).await;
    let ended = Some(Ended { to: last.clone(), renewed: 0 });
    assert_eq!(group.go_on().await.unwrap(), (Standing::Settled, ended));
    assert_eq!(group.keys(), settled_under(&last));
}

#[tokio::test]
async fn a_next_key_that_is_none_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let group = group(directory.path()).await;
    let old = group.keys();
    put_next(directory.path(), 7, 0o640);
    assert!(matches!(group.follow().await, Err(ExchangeError::Key(RootKeyError::Open { .. }))));
    let path = directory.path().join("root.key.next");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, [7_u8; 31]).unwrap();
    assert!(matches!(group.follow().await, Err(ExchangeError::Key(RootKeyError::Content { .. }))));
    assert_eq!(group.keys(), old);
    assert_eq!(succession::present(&group.source).unwrap(), old[0].current);
}

#[tokio::test]
async fn a_next_key_that_is_taken_away_in_the_middle_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let group = group(directory.path()).await;
    let next = put_next(directory.path(), 7, 0o600);
    group.turn().await.unwrap();
    let between = group.keys();
    fs::remove_file(directory.path().join("root.key.next")).unwrap();
    for other in [false, true] {
        if other {
            put_next(directory.path(), 8, 0o600);
        }
        let error = group.follow().await.unwrap_err();
        assert!(matches!(&error, ExchangeError::Gone { id, .. } if *id == next), "{error}");
        assert_eq!(group.keys(), between);
    }
    put_next(directory.path(), 7, 0o600);
    assert_eq!(group.follow().await.unwrap(), Standing::Settled);
    assert_eq!(group.keys(), settled_under(&next));
}

#[tokio::test]
async fn a_key_that_is_in_no_file_is_asked_for_and_no_exchange_begins_from_it() {
    let directory = tempfile::tempdir().unwrap();
    let group = group(directory.path()).await;
    let next = cut_before_the_files(directory.path(), &group, 7).await;
    assert_eq!(group.keys(), settled_under(&next));
    fs::remove_file(directory.path().join("root.key.next")).unwrap();
    assert!(group.has_begun());
    let is_gone = |outcome| matches!(outcome, Err(ExchangeError::Gone { id, .. }) if id == next);
    assert!(is_gone(group.carry_on().await));
    put_next(directory.path(), 8, 0o600);
    assert!(is_gone(group.follow().await));
    assert!(is_gone(group.begin().await.map(|()| Standing::Settled)));
    put_next(directory.path(), 7, 0o600);
    assert_eq!(group.follow().await.unwrap(), Standing::Settled);
    assert_eq!(succession::present(&group.source).unwrap(), next);
    assert!(!group.has_begun());
}
