//! The newest revision that was acknowledged, in a file beside the log: a log that lost its end is noticed.
//!
//! A log that ends early looks like one that was never longer. So each commit, once it is synced and before it is
//! acknowledged, writes its revision here. A crash of the process cannot lose that; power loss can lose what was written
//! since the last sync of this file, which happens at most once a second (and on closing): the mark is then a little low,
//! never too high.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};

use crate::store::Revision;

/// The file of a database.
#[derive(Debug)]
pub(super) struct Watermark {
    file: File,
    /// Which of the two places is written next: the one that holds the older revision.
    next: u64,
    synced: Instant,
    dirty: bool,
}

/// What the file says before the database is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marked {
    /// There is none: a new database, or one of an older release.
    Never,
    /// A whole place of the file says so.
    At(Revision),
    /// There is a file, but none of its places is whole.
    Unreadable,
}

impl Watermark {
    /// What the file of a directory says.
    pub(super) fn read(directory: &Path) -> io::Result<Marked> {
        let bytes = match std::fs::read(path(directory)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Marked::Never),
            Err(error) => return Err(error),
        };
        let places = PLACES.into_iter().filter_map(|at| decode(bytes.get(usize::try_from(at).ok()?..)?));
        Ok(places.max().map_or(Marked::Unreadable, Marked::At))
    }

    /// Takes the file over at this revision. Durable on return.
    pub(super) fn open(directory: &Path, newest: Revision) -> io::Result<Self> {
        let file = File::options().create(true).truncate(false).write(true).open(path(directory))?;
        for place in PLACES {
            file.write_all_at(&encode(newest), place)?;
        }
        file.sync_all()?;
        File::open(directory)?.sync_all()?;
        Ok(Self { file, next: 0, synced: Instant::now(), dirty: false })
    }

    /// Notes that everything up to `newest` is durable.
    pub(super) fn raise(&mut self, newest: Revision) -> io::Result<()> {
        let [first, second] = PLACES;
        let place = if self.next == first { first } else { second };
        self.file.write_all_at(&encode(newest), place)?;
        self.next = if place == first { second } else { first };
        self.dirty = true;
        if self.synced.elapsed() >= SYNC_EVERY { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        (self.synced, self.dirty) = (Instant::now(), false);
        Ok(())
    }
}

impl Drop for Watermark {
    fn drop(&mut self) {
        // A mark that is a little low does no harm.
        if self.dirty {
            let _ = self.sync();
        }
    }
}

/// Two places in different sectors, so that a torn write leaves one whole.
const PLACES: [u64; 2] = [0, 4096];

const SYNC_EVERY: Duration = Duration::from_secs(1);

fn path(directory: &Path) -> PathBuf {
    directory.join("watermark")
}

/// The revision (8 bytes, big-endian) and the first 8 bytes of its SHA-256.
fn encode(revision: Revision) -> Vec<u8> {
    let bytes = revision.0.to_be_bytes();
    let check = digest(&SHA256, &bytes);
    bytes.iter().chain(check.as_ref().iter().take(8)).copied().collect()
}

fn decode(place: &[u8]) -> Option<Revision> {
    let revision = Revision(u64::from_be_bytes(*place.first_chunk::<8>()?));
    (place.get(..16)? == encode(revision)).then_some(revision)
}
