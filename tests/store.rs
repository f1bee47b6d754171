//! Every engine passes the one suite; what only the sled engine has is tested below.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod store_conformance;

use std::sync::Arc;

use keyferry::store::memory::MemoryStore;
use keyferry::store::prefixed::Prefixed;
use keyferry::store::sled::{Options, SledStore};
use keyferry::store::{SharedStore, Store, StoreError};
use store_conformance::{committed, put};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_conforms() {
    store_conformance::all(&mut || Arc::new(MemoryStore::new()), 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sled_conforms() {
    let mut directories = Vec::new();
    let mut factory = || -> SharedStore {
        let directory = tempfile::tempdir().unwrap();
        let store = SledStore::open(directory.path(), &Options::default()).unwrap().store;
        directories.push(directory);
        Arc::new(store)
    };
    store_conformance::all(&mut factory, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_part_of_a_store_conforms() {
    let prefix = b"shared/\xff";
    let mut whole: Vec<SharedStore> = Vec::new();
    let mut factory = || -> SharedStore {
        let inner: SharedStore = Arc::new(MemoryStore::new());
        whole.push(Arc::clone(&inner));
        Arc::new(Prefixed::new(inner, prefix))
    };
    store_conformance::all(&mut factory, prefix.len()).await;
    for inner in whole {
        let page = inner.scan(b"", None, 10_000).await.unwrap();
        assert!(page.entries.iter().all(|(key, _)| key.starts_with(prefix)));
    }
}

#[tokio::test]
async fn parts_do_not_see_each_other() {
    let inner: SharedStore = Arc::new(MemoryStore::new());
    let a = Prefixed::new(Arc::clone(&inner), "a/");
    let b = Prefixed::new(Arc::clone(&inner), "b/");
    committed(&a, put("k", "of a")).await;
    committed(&b, put("k", "of b")).await;
    committed(&*inner, put("z", "of neither")).await;
    assert_eq!(a.get(b"k").await.unwrap().unwrap().value, b"of a");
    let page = b.scan(b"", None, 10).await.unwrap();
    assert_eq!(page.entries.len(), 1);
    assert_eq!(page.entries[0].0, b"k");
    assert_eq!(page.next, None);
}

#[tokio::test]
async fn an_open_database_is_busy_and_a_closed_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options::default();
    let mut last = keyferry::store::Revision(0);
    for n in 0..10 {
        let store = SledStore::open(directory.path(), &options).unwrap().store;
        assert!(store.revision() >= last);
        assert!(matches!(SledStore::open(directory.path(), &options), Err(StoreError::Busy { .. })));
        let revision = committed(&store, put("k", n.to_string())).await;
        assert!(revision > last, "revisions go on after a restart");
        last = revision;
        if n % 2 == 0 {
            store.close().await;
        } else {
            drop(store);
        }
    }
}

#[tokio::test]
async fn unreadable_settings_are_damage_without_a_panic() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(directory.path(), &Options::default()).unwrap().store;
    committed(&store, put("k", "v")).await;
    drop(store);
    // Settings that do not belong to this database: what sled answers with an error must come out as one.
    std::fs::write(directory.path().join("conf"), [0xff; 64]).unwrap();
    match SledStore::open(directory.path(), &Options::default()) {
        Err(StoreError::Damaged { path, .. }) => {
            assert!(path.contains(directory.path().to_str().unwrap()))
        }
        other => unreachable!("{other:?}"),
    }
}
