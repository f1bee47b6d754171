//! The embedded engine: one sled tree, one committing thread.
//!
//! A commit returns when it survives `kill -9` and power loss. Readers run where they are called: sled keeps what is in
//! use in memory. Beside sled's own files a directory holds `lock` (held while it is open) and `damaged-N-snap.…`
//! (snapshots that were set aside), `watermark` (the newest acknowledged revision), and, until it is made, `creating`.

mod committer;
mod creation;
mod durability;
mod fault;
mod restoring;
mod snapshot;
mod tally;
mod view;
mod watermark;

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot, watch};

use self::committer::{Committer, QUEUE, Request};
use self::durability::Durability;
use self::fault::{Fault, contained};
use self::tally::Tally;
use self::view::{COUNTER, View, decode};
use self::watermark::{Marked, Watermark};
use super::changes::Changes;
use super::{Outcome, Page, Revision, Store, StoreError, Transaction, Versioned};
use crate::observe::metrics::METRICS;
use crate::observe::{Event, Fields, emit};
pub use restoring::Restoring;

/// How a database is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Bytes of pages that sled keeps in memory. Default 128 MiB.
    pub cache_capacity: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache_capacity: 128 * 1024 * 1024 }
    }
}

/// A database that could be opened.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: SledStore,
    /// What was wrong and has been put right; logged already as `store.degraded`.
    pub warnings: Vec<String>,
}

/// A database in a directory of its own. Dropping it finishes what was sent, waits for its thread and lets the directory go.
#[derive(Debug)]
pub struct SledStore {
    // Dropped in this order: the lock goes last.
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
    view: Arc<View>,
    changes: Arc<Changes>,
    refused: watch::Receiver<Option<String>>,
    directory: PathBuf,
    _lock: File,
}

impl SledStore {
    /// Opens the database in `directory`, which is made (mode 0700) if there is none. Blocks: it reads the log.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when another process, or another store of this one, holds it; [`StoreError::Damaged`];
    /// [`StoreError::Unavailable`] when the files cannot be read or written.
    pub fn open(directory: impl AsRef<Path>, options: &Options) -> Result<Opened, StoreError> {
        let directory = directory.as_ref();
        let failed = |fault: Fault| fault.into_error(directory);
        let io_failed = |error: std::io::Error| StoreError::Unavailable(format!("{}: {error}", directory.display()));
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(io_failed)?;
        let lock = lock(directory)?;
        let marked = Watermark::read(directory).map_err(io_failed)?;
        if matches!(marked, Marked::At(acknowledged) if acknowledged > Revision(0)) && !directory.join("db").exists() {
            return Err(failed(Fault { detail: "its log is gone".to_owned(), damaged: true }));
        }
        creation::begin(directory, marked).map_err(io_failed)?;
        let mut warnings = snapshot::set_damaged_aside(directory).map_err(io_failed)?;
        let (tree, state) = open_read(directory, options)?;
        let durability = Durability::open(directory).map_err(io_failed)?;
        warnings.extend(state.reaches(marked).map_err(failed)?);
        for warning in &warnings {
            emit(Event::StoreDegraded, &Fields::new(), &format!("{}: {warning}", directory.display()));
        }
        let store = Self::start(directory, tree, state, durability, lock).map_err(io_failed)?;
        Ok(Opened { store, warnings })
    }

    /// Drops the store on a thread that may block.
    pub async fn close(self) {
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }

    /// Why no write is taken any more, once that is so: until the database is opened again.
    #[must_use]
    pub fn refused(&self) -> watch::Receiver<Option<String>> {
        self.refused.clone()
    }

    fn start(
        directory: &Path,
        tree: ::sled::Db,
        state: State,
        durability: Durability,
        lock: File,
    ) -> std::io::Result<Self> {
        let watermark = Watermark::open(directory, state.newest)?;
        creation::end(directory)?;
        let view = Arc::new(View::new(tree));
        let changes = Arc::new(Changes::new(state.newest));
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (refusal, refused) = watch::channel(None);
        let (seen, told) = (Arc::clone(&view), Arc::clone(&changes));
        let committer = Committer::new(directory, seen, told, durability, watermark, state.tally, refusal);
        let thread = thread::Builder::new().name("store-commit".to_owned()).spawn(move || committer.run(receiver))?;
        Ok(Self {
            requests: Some(sender),
            thread: Some(thread),
            view,
            changes,
            refused,
            directory: directory.to_owned(),
            _lock: lock,
        })
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // It contains panics; were there one all the same, there would be nothing left to do here.
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl Store for SledStore {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, StoreError> {
        self.view.get(key).map_err(|fault| fault.into_error(&self.directory))
    }

    async fn scan(&self, start: &[u8], end: Option<&[u8]>, limit: usize) -> Result<Page, StoreError> {
        self.view.page(start, end, limit).map_err(|fault| fault.into_error(&self.directory))
    }

    /// A caller that stops waiting does not stop the transaction.
    async fn commit(&self, transaction: Transaction) -> Result<Outcome, StoreError> {
        transaction.check()?;
        let gone = || StoreError::Unavailable("the committing thread has ended".to_owned());
        let requests = self.requests.as_ref().ok_or_else(gone)?;
        let (answer, answered) = oneshot::channel();
        let begun = Instant::now();
        requests.send(Request { transaction, answer }).await.map_err(|_| gone())?;
        let outcome = answered.await.unwrap_or(Ok(Outcome::Unknown));
        METRICS.store_commit.observe(begun.elapsed());
        // Here, and not where it was found out, since here it is known whose commit it was.
        match &outcome {
            Ok(Outcome::Committed(_) | Outcome::Conflict) => {}
            Ok(Outcome::Unknown) => {
                METRICS.store_errors.inc();
                tracing::warn!(path = %self.directory.display(), "it is not known whether a commit is durable");
            }
            Err(error) => {
                METRICS.store_errors.inc();
                tracing::warn!(path = %self.directory.display(), %error, "the store refused a commit");
            }
        }
        outcome
    }

    async fn changed(&self, prefix: &[u8], since: Revision) {
        self.changes.wait(prefix, since).await;
    }

    fn revision(&self) -> Revision {
        self.changes.newest()
    }
}

/// What an opened tree holds.
#[derive(Debug, Clone, Copy)]
struct State {
    newest: Revision,
    tally: Tally,
    /// Whether the counter vouches for it; older releases kept no tally.
    vouched: bool,
}

impl State {
    /// Reads the whole tree and holds it to its counter.
    fn found(tree: &::sled::Db) -> Result<Self, Fault> {
        let mut tally = Tally::from_both_ends(tree)?;
        let Some((newest, expected)) = Self::counted(tree)? else {
            let empty = Self { newest: Revision(0), tally, vouched: false };
            let missing = || Fault { detail: "the revision counter is missing".to_owned(), damaged: true };
            return if tally == Tally::default() { Ok(empty) } else { Err(missing()) };
        };
        if expected.is_none_or(|expected| tally != expected) {
            tally = Tally::of(tree)?;
        }
        expected.map_or(Ok(()), |expected| tally.check(expected))?;
        Ok(Self { newest, tally, vouched: expected.is_some() })
    }

    /// What the counter says; `None`: there is none.
    fn counted(tree: &::sled::Db) -> Result<Option<(Revision, Option<Tally>)>, Fault> {
        let Some(counter) = contained(|| Ok(tree.get(COUNTER)?))? else { return Ok(None) };
        let counter = decode(&counter)?;
        Ok(Some((counter.revision, Tally::from_bytes(&counter.value)?)))
    }

    /// Holds it to the counter of the same database, opened once more.
    fn is_of(self, tree: &::sled::Db) -> Result<(), Fault> {
        let counted = Self::counted(tree)?;
        let same = counted.map_or(self.newest == Revision(0), |(newest, tally)| {
            newest == self.newest && tally.is_none_or(|tally| tally == self.tally)
        });
        let changed = || Fault { detail: "it changed while it was opened".to_owned(), damaged: true };
        if same { Ok(()) } else { Err(changed()) }
    }

    /// Holds it to the watermark. Returns a warning where the watermark itself is the damaged part.
    fn reaches(self, marked: Marked) -> Result<Option<String>, Fault> {
        match marked {
            Marked::At(acknowledged) if acknowledged > self.newest => Err(Fault {
                detail: format!("it ends at revision {}, but {} was acknowledged", self.newest.0, acknowledged.0),
                damaged: true,
            }),
            Marked::At(_) => Ok(None),
            Marked::Never if !self.vouched => Ok(None),
            Marked::Never | Marked::Unreadable => Ok(Some(
                "the file `watermark` was lost or damaged and has been written anew: should the log have lost its end too, \
                 that could not be noticed; compare with the last backup"
                    .to_owned(),
            )),
        }
    }
}

/// A log is large when it is longer than the cache divided by this.
const LARGE: u64 = 8;
/// How a large database is read at opening: enough for the pages in the hands of two threads.
const READING: Options = Options { cache_capacity: 2 * 1024 * 1024 };
/// How long sled's threads of a store that was just closed may hold its file.
const RELEASE: Duration = Duration::from_secs(5);
/// How long a child of this process may hold a lock that was let go.
const FORK: Duration = Duration::from_secs(1);

fn busy(directory: &Path) -> StoreError {
    StoreError::Busy { path: directory.display().to_string() }
}

/// An own lock: sled takes its lock only after snapshots have to be looked at.
fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join("lock");
    let failed = |error: std::io::Error| StoreError::Unavailable(format!("{}: {error}", path.display()));
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            // A child that this process is just starting holds what the parent has let go until it executes its program.
            Err(TryLockError::WouldBlock) if started.elapsed() < FORK => thread::sleep(Duration::from_millis(5)),
            Err(TryLockError::WouldBlock) => return Err(busy(directory)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}

/// Opens a database and reads all of it. What was read stays in the engine's cache, and with it in the memory of a process
/// that may never ask for it: a large database is read through a small cache, closed, and opened once more.
fn open_read(directory: &Path, options: &Options) -> Result<(::sled::Db, State), StoreError> {
    let failed = |fault: Fault| fault.into_error(directory);
    let log = directory.join("db");
    let large = std::fs::metadata(log).is_ok_and(|log| log.len() > options.cache_capacity / LARGE);
    if !large {
        let tree = open_tree(directory, options)?;
        let state = State::found(&tree).map_err(failed)?;
        return Ok((tree, state));
    }
    let state = State::found(&open_tree(directory, &READING)?).map_err(failed)?;
    let tree = open_tree(directory, options)?;
    state.is_of(&tree).map_err(failed)?;
    Ok((tree, state))
}

fn open_tree(directory: &Path, options: &Options) -> Result<::sled::Db, StoreError> {
    let config = ::sled::Config::new()
        .path(directory)
        .cache_capacity(options.cache_capacity)
        // The committer flushes; a flush at another time would only add syncs.
        .flush_every_ms(None);
    let started = Instant::now();
    loop {
        match contained(|| Ok(config.open()?)) {
            Ok(tree) => return Ok(tree),
            Err(fault) if !fault.detail.contains("could not acquire lock") => {
                return Err(fault.into_error(directory));
            }
            // No other store has the directory, so it is the tail of one that was just dropped, or a foreign program.
            Err(_) if started.elapsed() > RELEASE => return Err(busy(directory)),
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

#[cfg(test)]
mod tests;
