#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::os::fd::OwnedFd;

use super::*;
use crate::store::Compare;

fn put(key: &str, value: &str) -> Transaction {
    let mut transaction = Transaction::new();
    transaction.put(key, value);
    transaction
}

/// A store whose log cannot be synced: fdatasync of a pipe is refused by the kernel.
fn failing(directory: &Path) -> SledStore {
    let lock = lock(directory).unwrap();
    let tree = open_tree(directory, &Options::default()).unwrap();
    let mut durability = Durability::open(directory).unwrap();
    let (_, writer) = std::io::pipe().unwrap();
    durability.divert(File::from(OwnedFd::from(writer)));
    let state = State::found(&tree).unwrap();
    SledStore::start(directory, tree, state, durability, lock).unwrap()
}

#[tokio::test]
async fn failed_sync_answers_unknown_and_ends_writing() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(directory.path(), &Options::default()).unwrap().store;
    assert_eq!(store.commit(put("a", "1")).await.unwrap(), Outcome::Committed(Revision(1)));
    drop(store);

    let store = failing(directory.path());
    let mut change = put("a", "2");
    change.put("b", "2");
    assert_eq!(store.commit(change).await.unwrap(), Outcome::Unknown);
    assert_eq!(store.get(b"a").await.unwrap().unwrap().value, b"1");
    assert_eq!(store.get(b"b").await.unwrap(), None);
    let page = store.scan(b"", None, 10).await.unwrap();
    assert_eq!(page.entries.len(), 1);
    assert_eq!(page.entries[0].1.value, b"1");
    assert_eq!(store.revision(), Revision(1));
    assert!(matches!(store.commit(put("c", "3")).await, Err(StoreError::Unavailable(_))));
    assert_eq!(store.get(b"c").await.unwrap(), None);
}

#[test]
fn group_judges_in_order_and_hides_what_is_not_durable() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let _lock = lock(path).unwrap();
    let view = Arc::new(View::new(open_tree(path, &Options::default()).unwrap()));
    let changes = Arc::new(Changes::new(Revision(0)));
    let watermark = Watermark::open(path, Revision(0)).unwrap();
    let durability = Durability::open(path).unwrap();
    let committer = Committer::new(
        directory.path(),
        Arc::clone(&view),
        Arc::clone(&changes),
        durability,
        watermark,
        Tally::default(),
        watch::channel(None).0,
    );

    // All of it waits before the committer starts, so it is one group.
    let (sender, receiver) = mpsc::channel(16);
    let send = |transaction: Transaction| {
        let (answer, answered) = oneshot::channel();
        sender.try_send(Request { transaction, answer }).unwrap();
        answered
    };
    let mut create = put("k", "first");
    create.compare(Compare::Absent(b"k".to_vec()));
    let mut again = put("k", "second");
    again.compare(Compare::Absent(b"k".to_vec()));
    let mut follow = put("k", "third");
    follow.compare(Compare::Revision(b"k".to_vec(), Revision(1)));
    let mut hopeless = put("x", "never");
    hopeless.compare(Compare::Present(b"y".to_vec()));
    let answers = [create, again, follow, hopeless].map(send);
    drop(sender);
    committer.run(receiver);

    let outcomes = answers.map(|answer| answer.blocking_recv().unwrap().unwrap());
    assert_eq!(
        outcomes,
        [Outcome::Committed(Revision(1)), Outcome::Conflict, Outcome::Committed(Revision(2)), Outcome::Conflict]
    );
    assert_eq!(view.get(b"k").unwrap().unwrap(), Versioned { value: b"third".to_vec(), revision: Revision(2) });
    assert_eq!(changes.newest(), Revision(2));
}

#[test]
fn readers_see_old_values_until_revealed() {
    let directory = tempfile::tempdir().unwrap();
    let tree = open_tree(directory.path(), &Options::default()).unwrap();
    for key in ["a", "c", "e"] {
        tree.insert(key, view::encode(Revision(1), b"old")).unwrap();
    }
    let view = View::new(tree);
    let mut batch = ::sled::Batch::default();
    let mut old = view::Before::new();
    for key in ["b", "c", "f"] {
        batch.insert(key, view::encode(Revision(2), b"new"));
        old.insert(key.into(), view.raw(key.as_bytes()).unwrap());
    }
    batch.remove("a");
    old.insert("a".into(), view.raw(b"a").unwrap());
    view.apply(old, batch).unwrap();

    let read = |page: Page| -> Vec<String> {
        page.entries
            .iter()
            .map(|(key, v)| format!("{}={}", String::from_utf8_lossy(key), String::from_utf8_lossy(&v.value)))
            .collect()
    };
    assert_eq!(read(view.page(b"", None, 10).unwrap()), ["a=old", "c=old", "e=old"]);
    let page = view.page(b"a", None, 2).unwrap();
    assert_eq!(page.next, Some(b"e".to_vec()));
    assert_eq!(read(page), ["a=old", "c=old"]);
    assert_eq!(view.get(b"a").unwrap().unwrap().revision, Revision(1));
    assert_eq!(view.get(b"b").unwrap(), None);

    view.reveal();
    assert_eq!(read(view.page(b"", None, 10).unwrap()), ["b=new", "c=new", "e=old", "f=new"]);
    assert_eq!(view.get(b"a").unwrap(), None);
}

#[test]
fn a_conflict_with_a_write_that_fails_is_unknown() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let _lock = lock(path).unwrap();
    let view = Arc::new(View::new(open_tree(path, &Options::default()).unwrap()));
    let changes = Arc::new(Changes::new(Revision(0)));
    let mut durability = Durability::open(path).unwrap();
    let (_, writer) = std::io::pipe().unwrap();
    durability.divert(File::from(OwnedFd::from(writer)));

    let (sender, receiver) = mpsc::channel(16);
    let mut create = put("k", "first");
    create.compare(Compare::Absent(b"k".to_vec()));
    let mut hopeless = put("x", "never");
    hopeless.compare(Compare::Present(b"y".to_vec()));
    let answers = [create.clone(), create, hopeless].map(|transaction| {
        let (answer, answered) = oneshot::channel();
        sender.try_send(Request { transaction, answer }).unwrap();
        answered
    });
    drop(sender);
    let watermark = Watermark::open(directory.path(), Revision(0)).unwrap();
    Committer::new(
        directory.path(),
        Arc::clone(&view),
        Arc::clone(&changes),
        durability,
        watermark,
        Tally::default(),
        watch::channel(None).0,
    )
    .run(receiver);

    let outcomes = answers.map(|answer| answer.blocking_recv().unwrap().unwrap());
    assert_eq!(outcomes, [Outcome::Unknown, Outcome::Unknown, Outcome::Conflict]);
    assert_eq!(view.get(b"k").unwrap(), None);
    assert_eq!(changes.newest(), Revision(0));
}
