//! Files that come back other than they were written: flipped bits, lost sectors, lost ends, lost files, older files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use keyferry::store::sled::SledStore;
use keyferry::store::{Outcome, StoreError};

use crate::Random;
use crate::database::{Content, OPTIONS, commit, copy, read, written};

const IN_THE_SUITE: u64 = 250;
const LONGEST: Duration = Duration::from_secs(60);

#[test]
fn damaged_files_are_noticed_or_do_no_harm() {
    run(IN_THE_SUITE);
}

/// The long form; tests/campaign sets how many.
#[test]
#[ignore = "tests/campaign disk"]
fn campaign() {
    run(std::env::var("KEYFERRY_CAMPAIGN_RUNS").unwrap().parse().unwrap());
}

fn run(cases: u64) {
    let seed: u64 = std::env::var("KEYFERRY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let directory = tempfile::tempdir().unwrap();
    let (whole, older) = (directory.path().join("whole"), directory.path().join("older"));
    let expected = written(&whole, &older);
    let mut ends: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for case in seed..seed + cases {
        let at = directory.path().join(format!("case-{case}"));
        copy(&whole, &at);
        let mut random = Random::new(case);
        let (kind, text) = damage(&mut random, &at, &older);
        let end = opened(&at, &expected, &format!("KEYFERRY_SEED={case}: {text}"));
        *ends.entry((kind, end)).or_default() += 1;
        std::fs::remove_dir_all(&at).unwrap();
    }
    println!("| damage | {:^8} | runs |", "end");
    for ((kind, end), runs) in &ends {
        println!("| {kind} | {end} | {runs} |");
    }
    if let Ok(table) = std::env::var("KEYFERRY_CAMPAIGN_OUT") {
        let rows: String = ends.iter().map(|((kind, end), runs)| format!("| {kind} | {end} | {runs} |\n")).collect();
        std::fs::write(table, format!("| damage to a file of the store | end | runs |\n|---|---|---|\n{rows}"))
            .unwrap();
    }
    let of = |wanted: &str| ends.iter().filter(|((_, end), _)| *end == wanted).map(|(_, runs)| runs).sum::<u64>();
    assert!(of("right") > 0 && of("refused") > cases / 4, "{ends:?}");
}

/// Opens what is left, in a thread of its own, so that a hang is a failure and not a silence.
fn opened(at: &Path, expected: &Content, what: &str) -> &'static str {
    let (sender, receiver) = mpsc::channel();
    let (path, wanted, text) = (at.to_owned(), expected.clone(), what.to_owned());
    std::thread::spawn(move || sender.send(judged(&path, &wanted, &text)));
    match receiver.recv_timeout(LONGEST) {
        Ok(end) => end,
        Err(error) => panic!("{what}: {error}"),
    }
}

fn judged(at: &Path, expected: &Content, what: &str) -> &'static str {
    let store = match SledStore::open(at, &OPTIONS) {
        Ok(opened) => opened.store,
        Err(error) => return refused(&error, what),
    };
    match read(&store) {
        Ok(found) => assert!(found == *expected, "{what}: opened with other content than was acknowledged"),
        Err(error) => return refused(&error, what),
    }
    let outcome = commit(&store, "one/more", what).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(matches!(outcome, Outcome::Committed(_)), "{what}: {outcome:?}");
    drop(store);
    let store =
        SledStore::open(at, &OPTIONS).unwrap_or_else(|error| panic!("{what}: at the second start: {error}")).store;
    let mut found = read(&store).unwrap();
    assert_eq!(found.remove(b"one/more".as_slice()).as_deref(), Some(what.as_bytes()));
    assert!(found == *expected, "{what}: other content after the second start");
    "right"
}

fn refused(error: &StoreError, what: &str) -> &'static str {
    let text = error.to_string();
    assert!(matches!(error, StoreError::Damaged { .. }), "{what}: {error:?}");
    assert!(text.contains("case-") && text.contains("keyferry restore"), "{what}: {text}");
    "refused"
}

fn damage(random: &mut Random, at: &Path, older: &Path) -> (&'static str, String) {
    let mut files = Vec::new();
    walk(at, &mut files);
    files.sort();
    // Half of the damage to the log: it is where the data is.
    let log = at.join("db");
    let file = if random.below(2) == 0 {
        log
    } else {
        files[usize::try_from(random.below(files.len() as u64)).unwrap()].clone()
    };
    let name = file.strip_prefix(at).unwrap().display().to_string();
    let mut bytes = std::fs::read(&file).unwrap();
    let length = bytes.len() as u64;
    let offset = usize::try_from(random.below(length)).unwrap();
    let kind = match random.below(6) {
        0 | 1 if length > 0 => {
            bytes[offset] ^= 1 << random.below(8);
            "a flipped bit"
        }
        2 if length > 0 => {
            let start = offset / 512 * 512;
            let end = (start + 512).min(bytes.len());
            bytes[start..end].fill(if random.below(2) == 0 { 0 } else { 0xa5 });
            "a lost sector"
        }
        3 => {
            bytes.truncate(offset);
            "a lost end"
        }
        4 if older.join(&name).is_file() => {
            bytes = std::fs::read(older.join(&name)).unwrap();
            "an older file"
        }
        _ => {
            std::fs::remove_file(&file).unwrap();
            return ("a lost file", format!("{name} removed"));
        }
    };
    std::fs::write(&file, bytes).unwrap();
    (kind, format!("{kind} in {name} of {length} bytes at {offset}"))
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), files);
        } else if entry.file_name() != "lock" {
            files.push(entry.path());
        }
    }
}
