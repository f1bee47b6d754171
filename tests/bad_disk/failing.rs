//! Calls that fail: errors, short writes, torn writes and failed syncs, by a shim before the C library.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use keyferry::store::sled::SledStore;
use keyferry::store::{Outcome, Store, StoreError, Transaction};

use crate::database::{OPTIONS, read, runtime};

const DIRECTORY: &str = "KEYFERRY_TEST_DISK";
const COMMITS: u32 = 60;
const FAULTS: [&str; 5] = ["error", "full", "short", "torn", "sync"];

/// Not a test of its own: what the children run.
#[test]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let store = match SledStore::open(directory, &OPTIONS) {
        Ok(opened) => opened.store,
        Err(error) => return say(&format!("REFUSED {error}")),
    };
    let before = read(&store).unwrap().len();
    for n in 0..COMMITS {
        let mut transaction = Transaction::new();
        transaction.put(format!("k/{n:03}"), value(n)).put(format!("large/{}", n % 3), vec![n as u8; 16 * 1024]);
        match runtime().block_on(store.commit(transaction)) {
            Ok(Outcome::Committed(_)) => say(&format!("ACK {n}")),
            Ok(Outcome::Unknown) => say(&format!("UNKNOWN {n}")),
            Err(StoreError::Unavailable(text)) => {
                assert!(text.contains("restart once the disk is well"), "{text}");
                // Reads go on, and see what is durable.
                let now = read(&store).unwrap();
                say(&format!("CLOSED {}", now.len() - before));
                return;
            }
            other => panic!("{other:?}"),
        }
    }
    say("DONE");
}

#[test]
fn failing_calls_lose_nothing_that_was_acknowledged() {
    let build = tempfile::tempdir().unwrap();
    let shim = compiled(build.path());
    let mut ends: BTreeMap<String, u32> = BTreeMap::new();
    for fault in FAULTS {
        for at in [1, 2, 3, 5, 8, 13, 21, 34, 55, 89] {
            let directory = tempfile::tempdir().unwrap();
            let under = directory.path().join("store");
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "failing::child", "--nocapture", "--test-threads=1"])
                .env(DIRECTORY, &under)
                .env("LD_PRELOAD", &shim)
                .env("KEYFERRY_SHIM_FAULT", fault)
                .env("KEYFERRY_SHIM_AT", at.to_string())
                .env("KEYFERRY_SHIM_UNDER", &under)
                .stderr(Stdio::null())
                .output()
                .unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            let end = checked(&said, &under, &format!("{fault} at call {at}"));
            *ends.entry(format!("{fault}: {end}")).or_default() += 1;
        }
    }
    for (end, runs) in &ends {
        println!("{runs:3} {end}");
    }
    for fault in ["error", "full", "sync"] {
        assert!(ends.contains_key(&format!("{fault}: closed")), "no write was refused: {ends:?}");
    }
    assert!(ends.contains_key("torn: died") && ends.contains_key("short: done"), "{ends:?}");
}

/// Everything acknowledged is there on a good disk; a commit in doubt is there whole or not at all.
fn checked(said: &str, under: &Path, what: &str) -> &'static str {
    let words = |word: &str| -> Vec<u32> {
        said.lines().filter_map(|line| line.strip_prefix(word)?.trim().parse().ok()).collect()
    };
    let (acknowledged, unknown) = (words("ACK "), words("UNKNOWN "));
    let store = SledStore::open(under, &OPTIONS).unwrap_or_else(|error| panic!("{what}: {error}\n{said}")).store;
    let found = read(&store).unwrap();
    for n in &acknowledged {
        assert_eq!(found.get(format!("k/{n:03}").as_bytes()), Some(&value(*n)), "{what}: {n} was acknowledged");
    }
    let last = acknowledged.last().map_or(0, |n| n + 1);
    for n in last..COMMITS {
        let there = found.contains_key(format!("k/{n:03}").as_bytes());
        assert!(
            !there || unknown.contains(&n) || said_nothing_more(said),
            "{what}: {n} was never acknowledged nor in doubt"
        );
    }
    assert!(acknowledged.iter().copied().eq(0..last), "{what}: {said}");
    if said.contains("DONE") {
        "done"
    } else if said.contains("CLOSED") {
        let shown: usize = words("CLOSED ")[0].try_into().unwrap();
        let durable = acknowledged.len() + acknowledged.len().min(3);
        assert_eq!(shown, durable, "{what}: readers saw what was not durable");
        "closed"
    } else if said.contains("REFUSED") {
        "refused"
    } else {
        "died"
    }
}

/// The process died: a commit may have been in flight.
fn said_nothing_more(said: &str) -> bool {
    !["DONE", "CLOSED", "REFUSED"].iter().any(|word| said.contains(word))
}

fn value(n: u32) -> Vec<u8> {
    format!("value {n} {}", "y".repeat(300)).into_bytes()
}

fn say(line: &str) {
    std::io::stdout().lock().write_all(format!("\n{line}\n").as_bytes()).unwrap();
}

fn compiled(into: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad_disk/shim.c");
    let shim = into.join("shim.so");
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim).arg(source).arg("-ldl").status();
    assert!(compiled.unwrap().success(), "the tests need a C compiler");
    shim
}
