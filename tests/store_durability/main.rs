//! What an acknowledged commit is worth: the order of system calls, `kill -9`, damaged snapshots.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod child;
mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::{Duration, Instant};

use child::{BLOB_COMMITS, SERIAL, VERSIONS, Version, spawn, version, version_key};
use keyferry::store::sled::{Options, SledStore};
use keyferry::store::{Outcome, Store, Transaction, get_record};
use trace::{acknowledgements_over_synced_blobs, traced};

#[test]
fn the_sync_comes_before_the_acknowledgement() {
    let directory = tempfile::tempdir().unwrap();
    let trace = traced("serial", directory.path());
    let log = directory.path().join("db").display().to_string();
    let mut dirty = false;
    let mut synced_since_acknowledgement = false;
    let mut acknowledged = 0;
    for call in trace.iter().skip_while(|call| !call.says("READY")) {
        if call.name == "pwrite64" && call.path == log {
            dirty = true;
        } else if call.name == "fdatasync" && call.path == log {
            dirty = false;
            synced_since_acknowledgement = true;
        } else if call.says("ACK") {
            assert!(synced_since_acknowledgement, "acknowledged without a sync: {}", call.line);
            assert!(!dirty, "acknowledged while the log was not synced: {}", call.line);
            synced_since_acknowledgement = false;
            acknowledged += 1;
        }
    }
    assert_eq!(acknowledged, SERIAL);
}

#[test]
fn versions_in_chunks_leave_no_blob_unsynced() {
    let directory = tempfile::tempdir().unwrap();
    let trace = traced("versions", directory.path());
    assert_eq!(acknowledgements_over_synced_blobs(&trace, directory.path()).1, VERSIONS);

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = SledStore::open(directory.path(), &Options::default()).unwrap().store;
    for n in 0..VERSIONS {
        let stored = runtime.block_on(get_record::<Version>(&store, &version_key(n))).unwrap().unwrap();
        assert_eq!(*stored, version(n));
    }
}

#[test]
fn blobs_are_synced_before_the_acknowledgement() {
    let directory = tempfile::tempdir().unwrap();
    let trace = traced("blobs", directory.path());
    let (blobs, acknowledged) = acknowledgements_over_synced_blobs(&trace, directory.path());
    assert_eq!(acknowledged, BLOB_COMMITS);
    assert!(blobs > 0, "values of the largest size side by side make sled write blobs; else this proves nothing");
}

#[test]
fn killed_200_times_and_nothing_acknowledged_is_lost() {
    let seed = std::env::var("KEYFERRY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        u64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() & 0xffff_ffff_ffff).unwrap()
    });
    println!("KEYFERRY_SEED={seed}");
    let mut random = Random(seed | 1);
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged: BTreeMap<String, u64> = BTreeMap::new();
    let mut under_load = 0;
    for round in 0..200 {
        let mut child = spawn("load", directory.path(), round);
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let during_start = random.below(8) == 0;
        if during_start {
            // At a moment inside opening and recovery.
            std::thread::sleep(Duration::from_micros(random.below(30_000)));
        } else {
            let wanted = random.below(120);
            let mut seen = 0;
            let mut line = String::new();
            while seen < wanted && lines.read_line(&mut line).unwrap() > 0 {
                seen += u64::from(note(&line, &mut acknowledged));
                line.clear();
            }
            under_load += 1;
            // Not always just behind an acknowledgement.
            let moment = Instant::now();
            let pause = Duration::from_micros(random.below(400));
            while moment.elapsed() < pause {
                std::hint::spin_loop();
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it acknowledged before it died is still in the pipe; a torn last line was not an acknowledgement.
        let mut line = String::new();
        while lines.read_line(&mut line).unwrap() > 0 {
            note(&line, &mut acknowledged);
            line.clear();
        }
        if round % 10 == 9 {
            check(directory.path(), &acknowledged, round);
        }
    }
    assert!(under_load > 100 && acknowledged.len() > 2000, "{} commits under load", acknowledged.len());
}

#[test]
fn a_damaged_snapshot_is_set_aside_and_the_log_is_read() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut expected = BTreeMap::new();
    // Enough rewriting that segments of the log are used again, over several starts.
    for start in 0..4_u32 {
        let store = SledStore::open(path, &Options::default()).unwrap().store;
        runtime.block_on(async {
            for n in 0..300_u32 {
                let mut transaction = Transaction::new();
                for part in 0..10_u32 {
                    let key = format!("k/{:04}", (n * 7 + part * 131) % 1000);
                    let value = format!("{start}/{n}/{}", "x".repeat(700));
                    expected.insert(key.clone(), value.clone());
                    transaction.put(key, value);
                }
                assert!(matches!(store.commit(transaction).await.unwrap(), Outcome::Committed(_)));
            }
        });
    }
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 5] = [
        ("a flipped byte in the middle", |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
        }),
        ("a flipped byte in the checksum", |bytes| *bytes.last_mut().unwrap() ^= 1),
        ("cut in half", |bytes| bytes.truncate(bytes.len() / 2)),
        ("cut to 12 bytes", |bytes| bytes.truncate(12)),
        ("empty", Vec::clear),
    ];
    for (n, (damage, apply)) in damages.into_iter().enumerate() {
        let snapshots = names(path, "snap.");
        assert_eq!(snapshots.len(), 1, "{snapshots:?}");
        let file = path.join(&snapshots[0]);
        let mut bytes = std::fs::read(&file).unwrap();
        apply(&mut bytes);
        std::fs::write(&file, bytes).unwrap();
        // What a crash leaves while a snapshot is written; not worth a warning, but sled would stumble over it.
        std::fs::write(path.join("snap.00FFFFFFFFFFFFFF.generating"), b"half").unwrap();

        let opened = SledStore::open(path, &Options::default()).unwrap();
        assert_eq!(opened.warnings.len(), 1, "{damage}: {:?}", opened.warnings);
        assert!(opened.warnings[0].contains(&snapshots[0]), "{:?}", opened.warnings);
        assert_eq!(names(path, "damaged-").len(), n + 1, "{damage}");
        let page = runtime.block_on(opened.store.scan(b"k/", None, 2000)).unwrap();
        let found: BTreeMap<String, String> = page
            .entries
            .into_iter()
            .map(|(key, v)| (String::from_utf8(key).unwrap(), String::from_utf8(v.value).unwrap()))
            .collect();
        assert_eq!(found.len(), expected.len(), "{damage}");
        assert!(found == expected, "{damage}: other values than before");
        // And it goes on from there.
        let mut transaction = Transaction::new();
        transaction.put("k/new", damage);
        expected.insert("k/new".to_owned(), damage.to_owned());
        assert!(matches!(runtime.block_on(opened.store.commit(transaction)).unwrap(), Outcome::Committed(_)));
    }
    assert!(SledStore::open(path, &Options::default()).unwrap().warnings.is_empty());
}

/// Notes an acknowledgement; false for any other line.
fn note(line: &str, acknowledged: &mut BTreeMap<String, u64>) -> bool {
    let Some(rest) = line.strip_prefix("ACK ").and_then(|rest| rest.strip_suffix('\n')) else {
        return false;
    };
    let (id, revision) = rest.split_once(' ').unwrap();
    assert_eq!(acknowledged.insert(id.to_owned(), revision.parse().unwrap()), None);
    true
}

fn check(directory: &Path, acknowledged: &BTreeMap<String, u64>, round: u64) {
    let store = SledStore::open(directory, &Options::default()).unwrap().store;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let read = |prefix: &[u8], end: &[u8]| -> BTreeMap<String, u64> {
        let page = runtime.block_on(store.scan(prefix, Some(end), usize::MAX)).unwrap();
        page.entries
            .into_iter()
            .map(|(key, v)| {
                let id = String::from_utf8(key[2..].to_vec()).unwrap();
                assert_eq!(v.value, id.as_bytes());
                (id, v.revision.0)
            })
            .collect()
    };
    let (a, b) = (read(b"a/", b"a0"), read(b"b/", b"b0"));
    assert!(a == b, "round {round}: half a transaction is there");
    for (id, revision) in acknowledged {
        assert_eq!(a.get(id), Some(revision), "round {round}: {id} was acknowledged");
    }
    let revisions: BTreeSet<u64> = a.values().copied().collect();
    assert_eq!(revisions.len(), a.len(), "round {round}: a revision was used twice");
    assert!(revisions.last().is_none_or(|newest| *newest <= store.revision().0));
}

fn names(directory: &Path, prefix: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort();
    names
}

struct Random(u64);

impl Random {
    /// xorshift64
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
