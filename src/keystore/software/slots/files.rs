//! Slots as files of one directory: `NAME`; while a content is being replaced also `NAME.part` (perhaps incomplete) and
//! `NAME.next` (complete, and the valid one from its appearance on).
//!
//! Overwriting in place destroys on file systems that write in place. Copy-on-write file systems, snapshots, backups and
//! media that remap blocks keep what was written before: they are outside the promise (docs/design.md).

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::{SlotError, SlotName, Slots};
use crate::model::Random;

/// Slots in a directory.
pub struct FileSlots {
    inner: Arc<Inner>,
}

struct Inner {
    directory: PathBuf,
    random: Arc<dyn Random>,
    /// One operation at a time, so that a reader never meets a replacement half way.
    alone: Mutex<()>,
}

impl FileSlots {
    /// Slots below `directory`, which is made durably (mode 0700) if it is not there.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn open(directory: &Path, random: Arc<dyn Random>) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        // A slot is only as durable as the names of the directories above it.
        for above in directory.ancestors().skip(1).take(2).filter(|above| !above.as_os_str().is_empty()) {
            File::open(above)?.sync_all()?;
        }
        let inner = Inner { directory: directory.to_owned(), random, alone: Mutex::new(()) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// File work off the async threads.
    async fn run<T: Send + 'static>(
        &self,
        name: &SlotName,
        work: impl FnOnce(&Inner, &SlotName) -> io::Result<T> + Send + 'static,
    ) -> Result<T, SlotError> {
        let (inner, owned) = (Arc::clone(&self.inner), name.clone());
        let done = tokio::task::spawn_blocking(move || {
            let _alone = inner.alone.lock().unwrap_or_else(PoisonError::into_inner);
            work(&inner, &owned)
        });
        let done = done.await.unwrap_or_else(|_| Err(io::Error::other("the process is shutting down")));
        done.map_err(|source| SlotError::Medium { name: name.clone(), source })
    }
}

#[async_trait]
impl Slots for FileSlots {
    async fn create(&self, name: &SlotName, content: &[u8]) -> Result<(), SlotError> {
        let content = content.to_vec();
        let made = self.run(name, move |inner, name| {
            inner.write_new(&inner.path(name, ""), &content)?;
            inner.sync_directory()
        });
        made.await.map_err(|error| match error {
            SlotError::Medium { source, .. } if source.kind() == ErrorKind::AlreadyExists => {
                SlotError::Exists(name.clone())
            }
            other => other,
        })
    }

    async fn read(&self, name: &SlotName) -> Result<Option<Vec<u8>>, SlotError> {
        self.run(name, |inner, name| {
            for suffix in [NEXT, ""] {
                match fs::read(inner.path(name, suffix)) {
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    found => return found.map(Some),
                }
            }
            Ok(None)
        })
        .await
    }

    async fn replace(&self, name: &SlotName, content: &[u8]) -> Result<(), SlotError> {
        let content = content.to_vec();
        self.run(name, move |inner, name| {
            inner.settle(name)?;
            let part = inner.path(name, PART);
            inner.destroy(&part)?;
            inner.write_new(&part, &content)?;
            // From this name on the new content counts; the old one can go.
            fs::rename(&part, inner.path(name, NEXT))?;
            inner.sync_directory()?;
            inner.settle(name)
        })
        .await
    }

    async fn shred(&self, name: &SlotName) -> Result<(), SlotError> {
        self.run(name, |inner, name| {
            for suffix in [PART, "", NEXT] {
                inner.destroy(&inner.path(name, suffix))?;
            }
            inner.sync_directory()
        })
        .await
    }
}

impl Inner {
    fn path(&self, name: &SlotName, suffix: &str) -> PathBuf {
        self.directory.join(format!("{name}{suffix}"))
    }

    fn write_new(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(content)?;
        file.sync_all()
    }

    /// Carries a replacement that has its new content to its end.
    fn settle(&self, name: &SlotName) -> io::Result<()> {
        let next = self.path(name, NEXT);
        if !next.try_exists()? {
            return Ok(());
        }
        let path = self.path(name, "");
        self.destroy(&path)?;
        fs::rename(next, path)?;
        self.sync_directory()
    }

    /// Noise over the whole file, durably, before it goes.
    fn destroy(&self, path: &Path) -> io::Result<()> {
        let mut file = match OpenOptions::new().write(true).open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        let mut left = file.metadata()?.len();
        let mut noise = [0_u8; 512];
        while left > 0 {
            self.random.fill(&mut noise);
            let some = usize::try_from(left).unwrap_or(noise.len()).min(noise.len());
            file.write_all(noise.get(..some).unwrap_or_default())?;
            left = left.saturating_sub(u64::try_from(some).unwrap_or(left));
        }
        file.sync_all()?;
        drop(file);
        fs::remove_file(path)
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }
}

const PART: &str = ".part";
const NEXT: &str = ".next";

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
