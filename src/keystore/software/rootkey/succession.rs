//! One root key after another: the next one waits beside the present one, under the same name with `.next`, until all is
//! sealed under it and it takes its place. The old one stays as `NAME.retired-ID`: older backups may need it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{RootKeyError, RootKeySource, credential, directory_of, read, write};
use crate::crypto::sealing::RootKey;
use crate::model::Random;

/// A root key that has been replaced and still lies in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retired {
    /// Its ID.
    pub id: String,
    /// The file.
    pub path: PathBuf,
}

/// The next key, if one is there.
///
/// # Errors
/// As [`super::load`].
pub fn next(source: &RootKeySource) -> Result<Option<RootKey>, RootKeyError> {
    let (path, guarded) = next_place(source)?;
    match read(&path, guarded) {
        Ok(bytes) => Ok(Some(RootKey::new(bytes)?)),
        Err(RootKeyError::File { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// ID of the present key.
///
/// # Errors
/// As [`super::load`]; nothing is generated.
pub fn present(source: &RootKeySource) -> Result<String, RootKeyError> {
    let (path, guarded) = place(source)?;
    Ok(RootKey::new(read(&path, guarded)?)?.id())
}

/// The next key, if somebody has put one there; durable on return, as far as it is in a file. Nobody syncs what they write,
/// and a store that names a key must find it after a power loss.
///
/// # Errors
/// As [`super::load`].
pub fn given(source: &RootKeySource) -> Result<Option<RootKey>, RootKeyError> {
    let found = next(source)?;
    if found.is_some() && !matches!(source, RootKeySource::Credential(_)) {
        let (path, _) = next_place(source)?;
        let synced = File::open(&path).and_then(|file| file.sync_all());
        let synced = synced.and_then(|()| match File::open(directory_of(&path)) {
            // Whoever may not look into a directory can use what lies there, and not sync it.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
            directory => directory?.sync_all(),
        });
        synced.map_err(|source| RootKeyError::File { path, source })?;
    }
    Ok(found)
}

/// The next key: the one that is there, else a generated one, which is durable on return.
///
/// # Errors
/// A credential cannot be made here; a file perhaps not, where the directory does not allow it.
pub fn make_next(source: &RootKeySource, random: &dyn Random) -> Result<RootKey, RootKeyError> {
    if let Some(key) = given(source)? {
        return Ok(key);
    }
    let (path, _) = next_place(source)?;
    if let RootKeySource::Credential(name) = source {
        return Err(RootKeyError::NoNext(format!("the credential {name}.next")));
    }
    let mut bytes = Zeroizing::new([0; 32]);
    random.fill(bytes.as_mut_slice());
    match write(&path, &bytes) {
        Ok(()) => Ok(RootKey::new(bytes)?),
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
            Err(RootKeyError::NoNext(format!("the file {}", path.display())))
        }
        Err(source) => Err(RootKeyError::File { path, source }),
    }
}

/// Puts the next key in the place of the present one. To be called when everything is sealed under `current`, the next
/// key. True: it is there (also if it was before). False: nobody but the operator can do it. A crash at any point leaves
/// both keys to be found, and another call goes on.
///
/// # Errors
/// A file that cannot be read or written.
pub fn settle(source: &RootKeySource, current: &str) -> Result<bool, RootKeyError> {
    let (path, _) = place(source)?;
    let present = present(source)?;
    if present == current {
        return Ok(true);
    }
    if matches!(source, RootKeySource::Credential(_)) || next(source)?.is_none_or(|next| next.id() != current) {
        return Ok(false);
    }
    let work = || {
        // A link, unlike a rename, never replaces what is there; after a crash it may be there already.
        match fs::hard_link(&path, with_suffix(&path, &format!("{RETIRED}{present}"))) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        File::open(directory_of(&path))?.sync_all()?;
        fs::rename(with_suffix(&path, NEXT), &path)?;
        File::open(directory_of(&path))?.sync_all()
    };
    match work() {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => Ok(false),
        Err(source) => Err(RootKeyError::File { path, source }),
    }
}

/// Keys that were replaced and still lie beside the present one.
#[must_use]
pub fn retired(source: &RootKeySource) -> Vec<Retired> {
    let (RootKeySource::File(path) | RootKeySource::Generated(path)) = source else {
        return Vec::new();
    };
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Vec::new();
    };
    let start = format!("{name}{RETIRED}");
    let mut found = Vec::new();
    for entry in fs::read_dir(directory_of(path)).into_iter().flatten().flatten() {
        if let Some(id) = entry.file_name().to_str().and_then(|name| name.strip_prefix(&start)) {
            found.push(Retired { id: id.to_owned(), path: entry.path() });
        }
    }
    found.sort_by(|one, other| one.id.cmp(&other.id));
    found
}

/// The present key and, during a rotation, the next one, as lines `NAME ID KEY` (64 hexadecimal digits): for escrow only.
/// Also the IDs.
///
/// # Errors
/// As [`super::load`]; nothing is generated.
pub fn escrow(source: &RootKeySource, name: &str) -> Result<(Zeroizing<String>, Vec<String>), RootKeyError> {
    let (mut text, mut ids) = (Zeroizing::new(String::with_capacity(1024)), Vec::new());
    for (n, (path, guarded)) in [place(source)?, next_place(source)?].into_iter().enumerate() {
        let bytes = match read(&path, guarded) {
            Err(RootKeyError::File { source, .. }) if n > 0 && source.kind() == ErrorKind::NotFound => continue,
            other => other?,
        };
        let digits = Zeroizing::new(hex::encode(bytes.as_slice()));
        let id = RootKey::new(bytes)?.id();
        for part in [name, " ", &id, " ", &digits, "\n"] {
            text.push_str(part);
        }
        ids.push(id);
    }
    Ok((text, ids))
}

/// Where the operator puts the next key.
#[must_use]
pub fn next_name(source: &RootKeySource) -> String {
    match source {
        RootKeySource::Credential(name) => format!("{name}{NEXT}"),
        RootKeySource::File(path) | RootKeySource::Generated(path) => with_suffix(path, NEXT).display().to_string(),
    }
}

fn place(source: &RootKeySource) -> Result<(PathBuf, bool), RootKeyError> {
    match source {
        RootKeySource::File(path) | RootKeySource::Generated(path) => Ok((path.clone(), true)),
        RootKeySource::Credential(name) => Ok((credential(name)?, false)),
    }
}

fn next_place(source: &RootKeySource) -> Result<(PathBuf, bool), RootKeyError> {
    place(source).map(|(path, guarded)| (with_suffix(&path, NEXT), guarded))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut longer = path.as_os_str().to_owned();
    longer.push(suffix);
    PathBuf::from(longer)
}

const NEXT: &str = ".next";
const RETIRED: &str = ".retired-";

#[cfg(test)]
#[path = "succession_tests.rs"]
mod tests;
