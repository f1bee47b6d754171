//! The writers: this test binary again, told by environment variables what to do.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use keyferry::store::sled::{Options, SledStore};
use keyferry::store::{Outcome, Record, Store, Transaction};
use serde::{Deserialize, Serialize};

const WORK: &str = "KEYFERRY_TEST_STORE_WORK";
const DIRECTORY: &str = "KEYFERRY_TEST_STORE_DIRECTORY";
const ROUND: &str = "KEYFERRY_TEST_STORE_ROUND";

/// Not a test of its own: what the children run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(work) = std::env::var(WORK) else {
        return;
    };
    let directory = std::env::var(DIRECTORY).unwrap();
    let store = SledStore::open(directory, &Options::default()).unwrap().store;
    say("READY");
    match work.as_str() {
        "serial" => write_serially(&store).await,
        "versions" => write_versions(&store).await,
        "blobs" => write_blobs(&store).await,
        "load" => write_for_ever(Arc::new(store)).await,
        other => panic!("{other}"),
    }
}

pub(crate) const SERIAL: usize = 40;
pub(crate) const VERSIONS: usize = 50;
pub(crate) const BLOB_COMMITS: usize = 40;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) value: String,
}

impl Record for Version {
    const KIND: &'static str = "version";
    const SCHEMA: u16 = 1;
}

pub(crate) fn version(n: usize) -> Version {
    Version { value: format!("{n:02}").repeat(15_000) }
}

pub(crate) fn version_key(n: usize) -> Vec<u8> {
    format!("version/{n:02}").into_bytes()
}

async fn write_serially(store: &SledStore) {
    for n in 0..SERIAL {
        let mut transaction = Transaction::new();
        transaction.put(format!("k{n}"), format!("v{n}"));
        acknowledge(store, transaction, &n.to_string()).await;
    }
}

async fn write_versions(store: &SledStore) {
    for n in 0..VERSIONS {
        let mut transaction = Transaction::new();
        transaction.create(&version_key(n), &version(n)).unwrap();
        acknowledge(store, transaction, &n.to_string()).await;
    }
}

async fn write_blobs(store: &SledStore) {
    for n in 0..BLOB_COMMITS {
        let mut transaction = Transaction::new();
        for part in 0..15_u8 {
            transaction.put(format!("b{part:02}"), vec![part ^ u8::try_from(n).unwrap(); 16 * 1024]);
        }
        acknowledge(store, transaction, &n.to_string()).await;
    }
}

async fn acknowledge(store: &SledStore, transaction: Transaction, id: &str) {
    match store.commit(transaction).await.unwrap() {
        Outcome::Committed(revision) => say(&format!("ACK {id} {}", revision.0)),
        other => panic!("{other:?}"),
    }
}

/// Eight writers; each commit is a pair of keys, now and then with a large value or a delete of an earlier pair's filler.
async fn write_for_ever(store: Arc<SledStore>) {
    let round = std::env::var(ROUND).unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let (store, round) = (Arc::clone(&store), round.clone());
            tokio::spawn(async move {
                for n in 0_u64.. {
                    let id = format!("{round}-{task}-{n}");
                    let mut transaction = Transaction::new();
                    transaction.put(format!("a/{id}"), id.as_bytes()).put(format!("b/{id}"), id.as_bytes());
                    let filler = if n % 16 == 0 { 16 * 1024 } else { 200 };
                    transaction.put(format!("filler/{task}/{}", n % 50), vec![u8::try_from(n % 251).unwrap(); filler]);
                    acknowledge(&store, transaction, &id).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

fn say(line: &str) {
    // One write a line, and a newline before it: the test harness may have begun a line of its own.
    std::io::stdout().lock().write_all(format!("\n{line}\n").as_bytes()).unwrap();
    std::io::stdout().lock().flush().unwrap();
}

pub(crate) fn told(mut command: Command, work: &str, directory: &Path, round: u64) -> Child {
    command
        .args(["--exact", "child::child", "--nocapture", "--test-threads=1"])
        .env(WORK, work)
        .env(DIRECTORY, directory)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the tests need strace (tests/run installs it)")
}

pub(crate) fn spawn(work: &str, directory: &Path, round: u64) -> Child {
    told(Command::new(std::env::current_exe().unwrap()), work, directory, round)
}
