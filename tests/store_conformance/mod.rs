//! What every engine must do. `factory` makes an empty store each time it is called.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use keyferry::store::{
    Compare, MAX_COMPARES, MAX_OPERATIONS, MAX_TRANSACTION_BYTES, MAX_VALUE_BYTES, Outcome, Record, Revision,
    SharedStore, Store, StoreError, Transaction, get_record, prefix_end, scan_records,
};
use serde::{Deserialize, Serialize};

/// The whole suite. `prefix_bytes`: what the store adds to each key before the byte limit is checked.
pub(crate) async fn all(factory: &mut dyn FnMut() -> SharedStore, prefix_bytes: usize) {
    reads_and_writes(&*factory()).await;
    conflicts(&*factory()).await;
    revisions(&*factory()).await;
    count_limits(&*factory()).await;
    byte_limits(&*factory(), prefix_bytes).await;
    pages(&*factory()).await;
    range_ends(&*factory()).await;
    atomic_pages(factory()).await;
    no_lost_updates(factory()).await;
    chunked_records(&*factory()).await;
    newer_schema(&*factory()).await;
    changes(factory()).await;
}

async fn reads_and_writes(store: &dyn Store) {
    assert_eq!(store.get(b"a").await.unwrap(), None);
    let mut both = Transaction::new();
    both.put("a", "1").put("b", "");
    let revision = committed(store, both).await;
    let a = store.get(b"a").await.unwrap().unwrap();
    assert_eq!((a.value.as_slice(), a.revision), (b"1".as_slice(), revision));
    let b = store.get(b"b").await.unwrap().unwrap();
    assert_eq!((b.value.as_slice(), b.revision), (b"".as_slice(), revision));

    let mut swap = Transaction::new();
    swap.delete("a").delete("never").put("c", [0_u8, 0xff]);
    committed(store, swap).await;
    assert_eq!(store.get(b"a").await.unwrap(), None);
    assert_eq!(store.get(b"c").await.unwrap().unwrap().value, [0, 0xff]);
    assert_eq!(store.get(b"").await.unwrap(), None);
}

async fn conflicts(store: &dyn Store) {
    let first = committed(store, put("k", "1")).await;
    let second = committed(store, put("k", "2")).await;
    let key = b"k".to_vec();
    let none = b"none".to_vec();
    let cases = [
        (Compare::Absent(none.clone()), true),
        (Compare::Absent(key.clone()), false),
        (Compare::Present(key.clone()), true),
        (Compare::Present(none.clone()), false),
        (Compare::Revision(key.clone(), second), true),
        (Compare::Revision(key.clone(), first), false),
        (Compare::Revision(key, Revision(second.0 + 1)), false),
        (Compare::Revision(none.clone(), second), false),
        (Compare::Revision(none, Revision(0)), false),
    ];
    for (n, (compare, holds)) in cases.into_iter().enumerate() {
        let mark = format!("mark{n}");
        let before = store.revision();
        let mut transaction = put(&mark, "x");
        transaction.compare(compare.clone());
        let outcome = store.commit(transaction).await.unwrap();
        let written = store.get(mark.as_bytes()).await.unwrap().is_some();
        if holds {
            assert!(matches!(outcome, Outcome::Committed(_)), "{compare:?}: {outcome:?}");
            assert!(written);
        } else {
            assert_eq!(outcome, Outcome::Conflict, "{compare:?}");
            assert!(!written, "{compare:?} wrote");
            assert_eq!(store.revision(), before);
        }
    }
    let mut mixed = put("mixed", "x");
    mixed.compare(Compare::Present(b"k".to_vec())).compare(Compare::Absent(b"mark0".to_vec()));
    assert_eq!(store.commit(mixed).await.unwrap(), Outcome::Conflict);
    assert_eq!(store.get(b"mixed").await.unwrap(), None);
    let mut ask = Transaction::new();
    ask.compare(Compare::Present(b"k".to_vec()));
    let newest = store.revision();
    assert_eq!(store.commit(ask).await.unwrap(), Outcome::Committed(newest), "a question writes nothing");
    assert_eq!(store.revision(), newest);
}

async fn revisions(store: &dyn Store) {
    let mut last = store.revision();
    for n in 0..20 {
        // The same value again is a write like any other.
        let revision = committed(store, put("same", "value")).await;
        assert!(revision > last, "commit {n}: {revision:?} after {last:?}");
        assert_eq!(store.get(b"same").await.unwrap().unwrap().revision, revision);
        assert!(store.revision() >= revision);
        last = revision;
    }
    let mut delete = Transaction::new();
    delete.delete("same");
    let deleted = committed(store, delete).await;
    assert!(deleted > last);
    assert!(committed(store, put("same", "value")).await > deleted);
}

async fn count_limits(store: &dyn Store) {
    let with = |compares: usize, operations: usize| {
        let mut transaction = Transaction::new();
        for n in 0..compares {
            transaction.compare(Compare::Absent(format!("none{n}").into_bytes()));
        }
        for n in 0..operations {
            transaction.put(format!("key{n}"), "v");
        }
        transaction
    };
    committed(store, with(MAX_COMPARES, MAX_OPERATIONS)).await;
    let before = store.revision();
    refused(store, with(MAX_COMPARES + 1, 1)).await;
    refused(store, with(1, MAX_OPERATIONS + 1)).await;
    let mut twice = put("a", "1");
    twice.delete("a");
    refused(store, twice).await;
    let mut twice = put("a", "1");
    twice.compare(Compare::Absent(b"a".to_vec())).compare(Compare::Present(b"a".to_vec()));
    refused(store, twice).await;
    refused(store, put("", "1")).await;
    let mut empty = put("a", "1");
    empty.compare(Compare::Absent(Vec::new()));
    refused(store, empty).await;
    assert_eq!(store.revision(), before);
    let mut same = put("a", "1");
    same.compare(Compare::Absent(b"a".to_vec())).compare(Compare::Absent(b"a".to_vec()));
    committed(store, same).await;
}

async fn byte_limits(store: &dyn Store, prefix_bytes: usize) {
    committed(store, put("value", vec![7; MAX_VALUE_BYTES])).await;
    refused(store, put("value", vec![7; MAX_VALUE_BYTES + 1])).await;

    // 64 values and their keys, to the byte.
    let of = |total: usize| {
        let mut transaction = Transaction::new();
        let count = MAX_TRANSACTION_BYTES / MAX_VALUE_BYTES;
        let mut left = total;
        for n in 0..count {
            let key = format!("big{n:03}");
            left -= key.len() + prefix_bytes;
            let size = (left / (count - n)).min(MAX_VALUE_BYTES);
            transaction.put(key, vec![9; size]);
            left -= size;
        }
        assert_eq!(left, 0);
        transaction
    };
    committed(store, of(MAX_TRANSACTION_BYTES)).await;
    refused(store, of(MAX_TRANSACTION_BYTES + 1)).await;
    let mut tipped = of(MAX_TRANSACTION_BYTES);
    tipped.compare(Compare::Absent(b"n".to_vec()));
    refused(store, tipped).await;
}

async fn pages(store: &dyn Store) {
    let keys: Vec<String> = (0..25).map(|n| format!("p/{n:02}")).collect();
    for key in &keys {
        committed(store, put(key, key)).await;
    }
    committed(store, put("o", "before")).await;
    committed(store, put("q", "after")).await;
    let end = prefix_end(b"p/").unwrap();
    for limit in [1, 7, 24, 25, 26, 1000] {
        let mut found = Vec::new();
        let mut start = b"p/".to_vec();
        loop {
            let page = store.scan(&start, Some(&end), limit).await.unwrap();
            assert!(page.entries.len() <= limit);
            found.extend(page.entries.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()));
            match page.next {
                Some(next) => {
                    assert!(!next.is_empty() && next > start);
                    start = next;
                }
                None => break,
            }
        }
        assert_eq!(found, keys, "limit {limit}");
    }
    let exact = store.scan(b"p/", Some(&end), 25).await.unwrap();
    assert_eq!(exact.next, None, "nothing follows, though the page is full");
    assert_eq!(store.scan(b"p/05", Some(b"p/05"), 9).await.unwrap().entries.len(), 0);
    assert_eq!(store.scan(b"p/06", Some(b"p/05"), 9).await.unwrap().entries.len(), 0);
    let half_open = store.scan(b"p/05", Some(b"p/07"), 9).await.unwrap();
    assert_eq!(half_open.entries.iter().map(|(key, _)| key.as_slice()).collect::<Vec<_>>(), [b"p/05", b"p/06"]);
    assert_eq!(store.scan(b"", None, 1000).await.unwrap().entries.len(), 27);
    assert_eq!(store.scan(b"p/24", None, 1).await.unwrap().next, Some(b"q".to_vec()));
}

async fn range_ends(store: &dyn Store) {
    assert_eq!(prefix_end(b"a"), Some(b"b".to_vec()));
    assert_eq!(prefix_end(b"a\xff"), Some(b"b".to_vec()));
    assert_eq!(prefix_end(b"a\xff\xfe"), Some(b"a\xff\xff".to_vec()));
    assert_eq!(prefix_end(b"\xff\xff"), None);
    assert_eq!(prefix_end(b""), None);
    let keys: [&[u8]; 8] = [b"\0", b"\0\0", b"a", b"a\0", b"a\xff", b"a\xff\xff", b"b", b"\xff\xff"];
    let mut all = Transaction::new();
    for key in keys {
        all.put(key, key);
    }
    committed(store, all).await;
    for (prefix, expected) in [(b"a\xff".as_slice(), 2), (b"a", 4), (b"\xff", 1), (b"", 8), (b"\0", 2)] {
        let page = store.scan(prefix, prefix_end(prefix).as_deref(), 100).await.unwrap();
        assert_eq!(page.entries.len(), expected, "{prefix:?}");
        assert!(page.entries.iter().all(|(key, value)| key.starts_with(prefix) && *key == value.value));
    }
}

async fn atomic_pages(store: SharedStore) {
    // The writer goes on until the reader has seen enough of its commits.
    let enough = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = {
        let (store, enough) = (Arc::clone(&store), Arc::clone(&enough));
        tokio::spawn(async move {
            for n in 0_u32.. {
                if enough.load(std::sync::atomic::Ordering::SeqCst) {
                    break;
                }
                let mut transaction = Transaction::new();
                for key in 0..60 {
                    transaction.put(format!("page/{key:02}"), n.to_be_bytes());
                }
                // A key that comes and goes with the parity.
                if n % 2 == 0 {
                    transaction.put("page/odd", "")
                } else {
                    transaction.delete("page/odd")
                };
                committed(&*store, transaction).await;
            }
        })
    };
    let mut seen = BTreeSet::new();
    while seen.len() < 20 {
        let page = store.scan(b"page/", Some(b"page0"), 100).await.unwrap();
        let revisions: BTreeSet<Revision> = page.entries.iter().map(|(_, v)| v.revision).collect();
        assert!(revisions.len() <= 1, "a page of several commits: {revisions:?}");
        if let Some((_, v)) = page.entries.first() {
            let n = u32::from_be_bytes(v.value.as_slice().try_into().unwrap());
            assert_eq!(page.entries.len(), if n % 2 == 0 { 61 } else { 60 });
            seen.insert(n);
        }
        tokio::task::yield_now().await;
    }
    enough.store(true, std::sync::atomic::Ordering::SeqCst);
    writer.await.unwrap();
}

async fn no_lost_updates(store: SharedStore) {
    const EACH: u64 = 50;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut done = 0;
                let mut last = Revision(0);
                while done < EACH {
                    let read = store.get(b"counter").await.unwrap();
                    let mut transaction = Transaction::new();
                    let value = match &read {
                        None => {
                            transaction.compare(Compare::Absent(b"counter".to_vec()));
                            0
                        }
                        Some(read) => {
                            assert!(read.revision >= last, "a read went back behind an own commit");
                            transaction.compare(Compare::Revision(b"counter".to_vec(), read.revision));
                            u64::from_be_bytes(read.value.as_slice().try_into().unwrap())
                        }
                    };
                    transaction.put("counter", (value + 1).to_be_bytes());
                    match store.commit(transaction).await.unwrap() {
                        Outcome::Committed(revision) => {
                            assert!(revision > last);
                            last = revision;
                            done += 1;
                        }
                        Outcome::Conflict => {}
                        Outcome::Unknown => unreachable!("nothing failed"),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let counter = store.get(b"counter").await.unwrap().unwrap();
    assert_eq!(u64::from_be_bytes(counter.value.as_slice().try_into().unwrap()), 8 * EACH);
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Text {
    text: String,
}

impl Record for Text {
    const KIND: &'static str = "text";
    const SCHEMA: u16 = 2;

    fn upgrade(from: u16, value: serde_json::Value) -> Result<serde_json::Value, String> {
        match from {
            1 => Ok(serde_json::json!({ "text": value })),
            _ => Err(format!("no upgrade from schema {from}")),
        }
    }
}

async fn chunked_records(store: &dyn Store) {
    let of = |size: usize, c: char| Text { text: String::from(c).repeat(size) };
    let key = b"r/1";
    let mut create = Transaction::new();
    create.create(key, &of(30_000, 'a')).unwrap();
    committed(store, create.clone()).await;
    assert_eq!(store.commit(create).await.unwrap(), Outcome::Conflict, "it exists");
    let mut neighbour = Transaction::new();
    neighbour.create(b"r/10", &of(10, 'n')).unwrap();
    committed(store, neighbour).await;

    // Around the borders of one and two chunks, growing and shrinking; 11 bytes are `{"text":""}`, 5 the header.
    let border = MAX_VALUE_BYTES - 16;
    for size in [200_000, 5, border, border + 1, 2 * border, 90_000, border - 1, 40_000, 0] {
        let stored = get_record::<Text>(store, key).await.unwrap().unwrap();
        let stale = stored.clone();
        let mut stored = stored;
        *stored = of(size, 'b');
        let mut replace = Transaction::new();
        replace.replace(key, &stored).unwrap();
        let revision = committed(store, replace).await;
        let read = get_record::<Text>(store, key).await.unwrap().unwrap();
        assert_eq!(read.text.len(), size);
        assert_eq!(read.revision(), revision);
        let mut late = Transaction::new();
        late.replace(key, &stale).unwrap();
        assert_eq!(store.commit(late).await.unwrap(), Outcome::Conflict);
        let rows = store.scan(key, Some(b"r/1\x01"), 1000).await.unwrap().entries.len();
        assert_eq!(rows, (size + 11).max(1).div_ceil(MAX_VALUE_BYTES - 5), "no chunk is left over at {size}");
    }
    let mut large = get_record::<Text>(store, key).await.unwrap().unwrap();
    *large = of(100_000, 'c');
    let mut replace = Transaction::new();
    replace.replace(key, &large).unwrap();
    committed(store, replace).await;
    let listed = scan_records::<Text>(store, b"r/", None, 10).await.unwrap();
    let lengths: Vec<_> = listed.iter().map(|(key, text)| (key.as_slice(), text.text.len())).collect();
    assert_eq!(lengths, [(b"r/1".as_slice(), 100_000), (b"r/10".as_slice(), 10)]);
    assert_eq!(scan_records::<Text>(store, b"r/", None, 1).await.unwrap().len(), 1);
    assert_eq!(scan_records::<Text>(store, b"r/", Some(b"r/1\0"), 9).await.unwrap().len(), 1);

    let stored = get_record::<Text>(store, key).await.unwrap().unwrap();
    let mut remove = Transaction::new();
    remove.remove(key, &stored);
    committed(store, remove).await;
    assert!(get_record::<Text>(store, key).await.unwrap().is_none());
    assert_eq!(store.scan(b"r/", Some(b"r0"), 1000).await.unwrap().entries.len(), 1, "only the neighbour is left");
}

async fn newer_schema(store: &dyn Store) {
    let record = |schema: u16, json: &str| {
        [b"K".as_slice(), &schema.to_be_bytes(), &0_u16.to_be_bytes(), json.as_bytes()].concat()
    };
    let mut all = Transaction::new();
    all.put("new", record(3, "{}")).put("old", record(1, "\"hello\"")).put("junk", "junk").put("half", record(2, "{"));
    committed(store, all).await;
    assert_eq!(get_record::<Text>(store, b"old").await.unwrap().unwrap().text, "hello");
    match get_record::<Text>(store, b"new").await {
        Err(StoreError::Newer { key, kind: "text", found: 3, known: 2 }) => assert_eq!(key, "new"),
        other => unreachable!("{other:?}"),
    }
    assert!(matches!(get_record::<Text>(store, b"junk").await, Err(StoreError::Malformed { kind: "text", .. })));
    assert!(matches!(get_record::<Text>(store, b"half").await, Err(StoreError::Malformed { kind: "text", .. })));
}

async fn changes(store: SharedStore) {
    let start = store.revision();
    let waiting = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.changed(b"watched/", start).await })
    };
    committed(&*store, put("elsewhere", "1")).await;
    committed(&*store, put("watched/a", "1")).await;
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("a write wakes the watcher").unwrap();
    // It happened before the call.
    let late = store.changed(b"watched/", start);
    tokio::time::timeout(Duration::from_secs(10), late).await.expect("an earlier change is reported at once");
    let mut delete = Transaction::new();
    delete.delete("watched/a");
    let before = store.revision();
    committed(&*store, delete).await;
    let deleted = store.changed(b"watched/", before);
    tokio::time::timeout(Duration::from_secs(10), deleted).await.expect("a delete is a change");
    // Two watchers, one write.
    let before = store.revision();
    let pair = async { tokio::join!(store.changed(b"", before), store.changed(b"w", before)) };
    let (_, outcome) = tokio::join!(tokio::time::timeout(Duration::from_secs(10), pair), store.commit(put("w", "2")));
    assert!(matches!(outcome.unwrap(), Outcome::Committed(_)));
}

/// A transaction of one put.
pub(crate) fn put(key: &str, value: impl AsRef<[u8]>) -> Transaction {
    let mut transaction = Transaction::new();
    transaction.put(key, value.as_ref());
    transaction
}

/// Commits what must succeed.
pub(crate) async fn committed(store: &dyn Store, transaction: Transaction) -> Revision {
    match store.commit(transaction).await.unwrap() {
        Outcome::Committed(revision) => revision,
        other => unreachable!("{other:?}"),
    }
}

async fn refused(store: &dyn Store, transaction: Transaction) {
    match store.commit(transaction).await {
        Err(StoreError::Limit(_)) => {}
        other => unreachable!("not refused: {other:?}"),
    }
}
