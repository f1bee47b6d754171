//! Bringing a backup back, while no daemon runs, into a state directory that holds nothing but perhaps root keys.

mod elsewhere;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;

use super::DaemonError;
use super::stores::{RESTORING, SLOTS, existing_control};
use crate::admin::protocol::Advice;
use crate::audit::{Actor, Entry};
use crate::backup::reading::{Item, Reader};
use crate::backup::{BackupError, Manifest, Part, PartKind};
use crate::config::locate;
use crate::crypto::archive::ArchiveKey;
use crate::model::{Clock, SystemClock};
use crate::store::sled::Restoring;
use crate::store::{Outcome, Revision, Transaction};

/// What a backup holds.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Contents {
    /// What it is.
    pub manifest: Manifest,
    /// How many parts, stores and directories of slots.
    pub parts: u64,
    /// How many records.
    pub records: u64,
    /// How many slot files.
    pub files: u64,
}

/// Reads a backup from its beginning to its end, without using it.
///
/// # Errors
/// Another key, damage, a medium that fails.
pub fn inspect(file: &Path, key: &ArchiveKey) -> Result<Contents, BackupError> {
    let (manifest, mut reader) = open(file, key)?;
    let mut contents = Contents { manifest, parts: 0, records: 0, files: 0 };
    while let Some(item) = reader.next_item()? {
        let counter = match item {
            Item::Part(_) => &mut contents.parts,
            Item::Record(..) => &mut contents.records,
            Item::File(..) => &mut contents.files,
        };
        *counter = counter.saturating_add(1);
    }
    Ok(contents)
}

/// Restores a backup into the state directory of a configuration. Everything is checked before anything is written; until
/// everything is durable the daemon does not start on it, and another call begins anew. Warnings come with it: instances on
/// other hosts that could not be asked.
///
/// # Errors
/// A state directory that is in use, a backup that is not whole, an instance on another host that is newer than it, a medium
/// that fails.
pub async fn restore(
    config: Option<&Path>,
    file: &Path,
    key: &ArchiveKey,
) -> Result<(Contents, Vec<Advice>), DaemonError> {
    let config = super::load(&locate(config))?.config;
    let state = config.state_dir.clone();
    let contents = inspect(file, key).map_err(DaemonError::Backup)?;
    let unusable = |path: &Path| {
        let path = path.to_owned();
        move |error| DaemonError::Path {
            path,
            error,
            remedy: "state_dir must be a directory that this user can write to",
        }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(&state).map_err(unusable(&state))?;
    let fresh = state.join(RESTORING);
    if fresh.exists() {
        // Nobody has used what an earlier try left: the daemon does not start on it.
        for old in PARTS.map(|part| state.join(part)).iter().chain([&fresh]) {
            remove(old).map_err(unusable(old))?;
        }
    }
    if let Some(taken) = PARTS.iter().map(|part| state.join(part)).find(|part| holds_something(part)) {
        return Err(DaemonError::InUse(taken));
    }
    DirBuilder::new().mode(0o700).create(&fresh).map_err(unusable(&fresh))?;
    sync(&state).map_err(unusable(&state))?;
    let (from, to) = (file.to_owned(), fresh.clone());
    let key = ArchiveKey::clone(key);
    let written = tokio::task::spawn_blocking(move || write(&from, &key, &to)).await;
    written.map_err(|error| DaemonError::Ended(format!("writing ({error})")))?.map_err(DaemonError::Backup)?;
    let asked = elsewhere::ask(&config, &fresh, &contents.manifest).await;
    if asked.is_err() {
        remove(&fresh).and_then(|()| sync(&state)).map_err(unusable(&fresh))?;
    }
    let warnings = asked?;
    for part in PARTS {
        let (from, to) = (fresh.join(part), state.join(part));
        remove(&to).and_then(|()| fs::rename(&from, &to)).map_err(unusable(&to))?;
    }
    sync(&state).map_err(unusable(&state))?;
    note(&state, &contents.manifest).await?;
    remove(&fresh).and_then(|()| sync(&state)).map_err(unusable(&fresh))?;
    Ok((contents, warnings))
}

/// The trail of the restored state says so itself.
async fn note(state: &Path, manifest: &Manifest) -> Result<(), DaemonError> {
    let store = existing_control(state).await?;
    let uid = Some(rustix::process::getuid().as_raw());
    let detail = format!("restored from the backup of {}", manifest.at);
    let entry = Entry::new(SystemClock::default().now(), Actor::Operator { uid }, "restore").detail(&detail);
    let mut transaction = Transaction::new();
    entry.put(&mut transaction)?;
    match store.commit(transaction).await? {
        Outcome::Committed(_) => Ok(()),
        _ => Err(DaemonError::Ended("noting the restoration".to_owned())),
    }
}

enum Target {
    None,
    Store(Box<Restoring>, Part),
    Files(PathBuf),
}

impl Target {
    fn begin(part: Part, to: &Path) -> Result<Self, BackupError> {
        let place = Path::new(&part.place);
        // What is sealed was written by us; a name that leads elsewhere is refused all the same.
        if !place.components().all(|component| matches!(component, Component::Normal(_))) {
            return Err(BackupError::NoBackup);
        }
        let path = to.join(place);
        if let Some(above) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(above)?;
        }
        match part.kind {
            PartKind::Store => Ok(Self::Store(Box::new(Restoring::begin(&path)?), part)),
            PartKind::Files => {
                DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
                Ok(Self::Files(path))
            }
        }
    }

    fn finish(self, now: Timestamp) -> Result<(), BackupError> {
        match self {
            Self::None => Ok(()),
            Self::Store(store, part) => Ok(store.finish(epoch(Revision(part.revision), now))?),
            Self::Files(path) => Ok(sync(&path)?),
        }
    }
}

fn write(file: &Path, key: &ArchiveKey, to: &Path) -> Result<(), BackupError> {
    let (_, mut reader) = open(file, key)?;
    let now = SystemClock::default().now();
    let mut target = Target::None;
    while let Some(item) = reader.next_item()? {
        match (item, &mut target) {
            (Item::Part(part), _) => std::mem::replace(&mut target, Target::begin(part, to)?).finish(now)?,
            (Item::Record(key, record), Target::Store(store, _)) => store.put(&key, &record)?,
            (Item::File(name, content), Target::Files(path)) => {
                if Path::new(&name).components().count() != 1 {
                    return Err(BackupError::NoBackup);
                }
                let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path.join(&name))?;
                file.write_all(&content)?;
                file.sync_all()?;
            }
            _ => return Err(BackupError::NoBackup),
        }
    }
    target.finish(now)?;
    for part in PARTS {
        DirBuilder::new().recursive(true).mode(0o700).create(to.join(part))?;
        sync(&to.join(part))?;
    }
    Ok(sync(to)?)
}

fn open(file: &Path, key: &ArchiveKey) -> Result<(Manifest, Reader<BufReader<File>>), BackupError> {
    Reader::open(BufReader::new(File::open(file)?), key)
}

fn holds_something(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
}

fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync(directory: &Path) -> std::io::Result<()> {
    File::open(directory)?.sync_all()
}

/// The control store last: without it nothing is there.
const PARTS: [&str; 3] = ["instances", SLOTS, "control"];
/// How far a life goes on above the backup at least.
const EPOCH: u64 = 1 << 40;
/// No store gives out so many revisions in a millisecond.
const IN_A_MILLISECOND: u64 = 1 << 20;

/// What the revisions of the new life lie above. An instance on another host is not restored and obeys the highest token
/// that it has seen, so they have to be higher than any that the earlier life can have given out since the backup, and
/// than those of every life that was restored from the same backup before.
fn epoch(newest: Revision, now: Timestamp) -> Revision {
    let elapsed = u64::try_from(now.as_millisecond()).unwrap_or(0);
    Revision(newest.0.saturating_add(EPOCH).max(elapsed.saturating_mul(IN_A_MILLISECOND)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_life_begins_above_the_backup_and_above_every_earlier_life() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let backup = Revision(1000);
        let first = epoch(backup, at("2026-12-01T02:00:00Z"));
        assert!(first >= Revision(backup.0 + EPOCH));
        // The same backup once more, after a life of a second that wrote without a pause.
        let second = epoch(backup, at("2026-12-01T02:00:01Z"));
        assert!(second > Revision(first.0 + 1_000_000));
        // A later backup, and a clock that was set back since.
        assert_eq!(epoch(second, at("2026-01-01T00:00:00Z")), Revision(second.0 + EPOCH));
        assert_eq!(epoch(backup, Timestamp::UNIX_EPOCH), Revision(backup.0 + EPOCH));
        // There is room for all the lives of a long time.
        assert!(epoch(backup, at("2200-01-01T00:00:00Z")).0 < u64::MAX / 2);
    }
}
