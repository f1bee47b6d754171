//! Backups that the daemon takes by itself, as `[backup]` says.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::build::Parts;
use super::restore::inspect;
use crate::admin::Backups;
use crate::audit::{Actor, Entry};
use crate::backup::filing::Filing;
use crate::backup::shelf::{Retention, Shelf, file_name};
use crate::config;
use crate::crypto::archive::ArchiveKey;
use crate::keystore::software::rootkey;
use crate::observe::{Event, Fields, emit};

/// Takes a backup if one is due, and removes those that have had their time. A failure is logged and tried again at the
/// next call.
pub(super) async fn carry_on(parts: &Arc<Parts>, backups: &Arc<dyn Backups>) {
    let config = parts.config();
    let Some(settings) = &config.backup else { return };
    let now = parts.service.clock.now();
    let done = match Shelf::read(&settings.directory) {
        Ok(shelf) if shelf.is_due(now, settings.every) => take(parts, backups, settings).await.map(Some),
        Ok(_) => Ok(None),
        Err(error) => Err(format!("{}: {error}", settings.directory.display())),
    };
    match done {
        Ok(Some(path)) => {
            emit(Event::BackupDone, &Fields::new(), &format!("backup written and read back: {}", path.display()));
        }
        Ok(None) => {}
        Err(why) => {
            let text = format!("no backup could be taken: {why}; trying again every minute");
            emit(Event::BackupFailed, &Fields::new(), &text);
            // The old ones may be all there is.
            return;
        }
    }
    if let Err(error) = prune(settings, now) {
        tracing::warn!(%error, directory = %settings.directory.display(), "old backups could not be removed; trying again");
    }
}

async fn take(parts: &Arc<Parts>, backups: &Arc<dyn Backups>, settings: &config::Backup) -> Result<PathBuf, String> {
    let (key, made) = rootkey::key_file(&settings.key_file, true, parts.service.random.as_ref())
        .map_err(|error| error.to_string())?;
    if made {
        tracing::warn!(
            path = %settings.key_file.display(),
            "made the backup key: keep a copy apart from the backups; without it none of them can be read"
        );
    }
    let key = ArchiveKey::new(key);
    let id = key.id();
    let entry = Entry::new(parts.service.clock.now(), Actor::Daemon, "backup").detail(&format!("under key {id}"));
    parts.service.catalogue.record(&entry).await.map_err(|error| error.to_string())?;
    let target = settings.directory.join(file_name(parts.service.clock.now()));
    let source = backups.make(key).await.map_err(|error| error.message().to_owned())?;
    let key_file = settings.key_file.clone();
    let path = target.clone();
    let filed = tokio::task::spawn_blocking(move || file(source, &path, &key_file)).await;
    filed.map_err(|error| error.to_string())??;
    Ok(target)
}

fn file(mut source: std::fs::File, target: &Path, key_file: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", target.display());
    let mut filing = Filing::begin(target).map_err(failed)?;
    let mut piece = vec![0; PIECE];
    loop {
        let length = source.read(&mut piece).map_err(failed)?;
        match piece.get(..length) {
            Some(bytes) if !bytes.is_empty() => filing.write(bytes).map_err(failed)?,
            _ => break,
        }
    }
    filing.sync().map_err(failed)?;
    // What was written is read back, under the key as it is in its file, before it is called a backup.
    let (key, _) =
        rootkey::key_file(key_file, false, &crate::model::SystemRandom).map_err(|error| error.to_string())?;
    inspect(filing.partial(), &ArchiveKey::new(key)).map_err(|error| format!("{}: {error}", target.display()))?;
    filing.name().map_err(failed)
}

fn prune(settings: &config::Backup, now: jiff::Timestamp) -> std::io::Result<()> {
    let retention = Retention { keep: settings.keep, max_age: settings.max_age };
    for path in Shelf::read(&settings.directory)?.surplus(now, retention) {
        std::fs::remove_file(path)?;
        tracing::info!(path = %path.display(), "an old backup has been removed");
    }
    Ok(())
}

const PIECE: usize = 256 * 1024;
