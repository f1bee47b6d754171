//! A backup of this daemon's stores and slots, as of one moment.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Seek};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use super::build::Parts;
use super::stores::SLOTS;
use crate::admin::{AdminError, Backups};
use crate::backup::writing::Writer;
use crate::backup::{BackupError, Manifest, NeededKey};
use crate::crypto::archive::ArchiveKey;
use crate::keystore::software::SoftwareKeystore;

/// Backups of a running daemon, one at a time.
pub(super) struct StateBackups {
    parts: Weak<Parts>,
    alone: Mutex<()>,
}

impl StateBackups {
    /// For these parts.
    pub(super) fn new(parts: &Arc<Parts>) -> Arc<Self> {
        Arc::new(Self { parts: Arc::downgrade(parts), alone: Mutex::default() })
    }
}

#[async_trait]
impl Backups for StateBackups {
    async fn make(&self, key: ArchiveKey) -> Result<File, AdminError> {
        let _alone = self.alone.lock().await;
        let leaving = || AdminError::state("Stopping", "the daemon is leaving", "try again once it has been started");
        let parts = self.parts.upgrade().ok_or_else(leaving)?;
        // The stores are read where that may block.
        let made = tokio::task::spawn_blocking(move || Handle::current().block_on(write(&parts, &key))).await;
        let made = made.map_err(|_| leaving())?;
        made.map_err(|error| AdminError::state("BackupFailed", error.to_string(), "look into the log; try again"))
    }
}

/// Writes to a file without a name below the state directory, sealed already: what is copied out slowly then does not hold
/// anybody up.
async fn write(parts: &Parts, key: &ArchiveKey) -> Result<File, BackupError> {
    let config = parts.config();
    let state = &config.state_dir;
    let spool = spool(&state.join("backup.spool"))?;
    // From here on nothing is written anywhere: flips, purges, shredding and unlocks wait, reads go on.
    // Who waits for it is not stuck.
    let paused = parts.migrations.heartbeats().pause();
    let closed = parts.opener.gate().close().await;
    let open = parts.open();
    let keystores = open.shared.values().chain(open.instances.values());
    let manifest = Manifest {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        at: parts.service.clock.now(),
        root_keys: keystores.flat_map(needed).collect(),
    };
    let mut writer = Writer::begin(BufWriter::new(spool), key, parts.service.random.as_ref(), &manifest)?;
    writer.store("control", parts.service.catalogue.store().as_ref()).await?;
    for (place, store) in parts.opener.instance_stores() {
        writer.store(&place, store.as_ref()).await?;
    }
    for (place, files) in slots(state)? {
        writer.files(&place, &files)?;
    }
    let file = writer.finish()?.into_inner().map_err(|error| BackupError::Medium(error.into_error()))?;
    drop(closed);
    drop(paused);
    let mut file = file;
    file.rewind()?;
    Ok(file)
}

fn needed(keystore: &Arc<SoftwareKeystore>) -> Vec<NeededKey> {
    let keys = keystore.root_keys();
    let id = crate::keystore::Keystore::id(keystore.as_ref()).to_string();
    std::iter::once(keys.current).chain(keys.before).map(|key| NeededKey { keystore: id.clone(), id: key }).collect()
}

fn spool(path: &Path) -> std::io::Result<File> {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

/// The slot files by directory.
#[allow(clippy::type_complexity, reason = "a list of lists")]
fn slots(state: &Path) -> std::io::Result<Vec<(String, Vec<(String, Vec<u8>)>)>> {
    let mut found = Vec::new();
    for directory in sorted(&state.join(SLOTS))? {
        let mut files = Vec::new();
        for path in sorted(&directory)? {
            files.push((name(&path), std::fs::read(&path)?));
        }
        found.push((format!("{SLOTS}/{}", name(&directory)), files));
    }
    Ok(found)
}

fn sorted(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths)
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
