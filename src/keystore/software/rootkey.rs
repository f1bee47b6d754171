//! Where a keystore's root key comes from: a file, a systemd credential, or a file generated for an empty store.
//!
//! The file holds 32 raw bytes or 64 hexadecimal digits (a newline may follow). It must be a regular file that nobody
//! but its owner can use (mode 0600 or stricter); a credential is protected by systemd.

pub mod succession;

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

use crate::crypto::CryptoError;
use crate::crypto::sealing::RootKey;
use crate::model::Random;

/// Where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootKeySource {
    /// A file that somebody provides.
    File(PathBuf),
    /// A systemd credential by name (`LoadCredential=`, `LoadCredentialEncrypted=`), under `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// A file that is generated if the keystore's store is empty.
    Generated(PathBuf),
}

/// A root key and whether it was just generated (then the caller logs `seal.generated`).
pub struct Loaded {
    /// The key.
    pub key: RootKey,
    /// The key that a rotation goes to, if one is there.
    pub next: Option<RootKey>,
    /// The file that was written.
    pub generated: Option<PathBuf>,
}

/// Why there is no root key.
#[derive(Debug, Error)]
pub enum RootKeyError {
    /// The file cannot be read or written.
    #[error("key file {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others can use the file.
    #[error("key file {path} has mode {mode:04o}; only its owner may use it: chmod 0600 {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The content is no key.
    #[error("key file {path} holds neither 32 bytes nor 64 hexadecimal digits")]
    Content {
        /// The file.
        path: PathBuf,
    },
    /// The process has no credentials.
    #[error(
        "the credential {0} cannot be found: CREDENTIALS_DIRECTORY is not set; add LoadCredential={0}:… to the unit"
    )]
    NoCredentials(String),
    /// The generated key is gone, but its store is not.
    #[error(
        "the root key {path} was generated for a store that is not empty, and is gone: put it back from your backup"
    )]
    Lost {
        /// The file.
        path: PathBuf,
    },
    /// There is no key to rotate to, and none can be made here.
    #[error(
        "there is no next root key, and the daemon cannot make one here: provide 32 random bytes or 64 hexadecimal \
         digits as {0} (mode 0600; a credential wants a restart), and rotate again"
    )]
    NoNext(String),
    /// The cryptographic library failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// Loads a root key; generates one only for [`RootKeySource::Generated`] and an empty store.
///
/// # Errors
/// Says what is wrong with the file, and what to do.
pub fn load(source: &RootKeySource, store_is_empty: bool, random: &dyn Random) -> Result<Loaded, RootKeyError> {
    let (path, guarded) = match source {
        RootKeySource::File(path) | RootKeySource::Generated(path) => (path.clone(), true),
        RootKeySource::Credential(name) => (credential(name)?, false),
    };
    match read(&path, guarded) {
        Err(RootKeyError::File { source: e, .. })
            if e.kind() == ErrorKind::NotFound && matches!(source, RootKeySource::Generated(_)) =>
        {
            if !store_is_empty {
                return Err(RootKeyError::Lost { path });
            }
            let mut bytes = Zeroizing::new([0; 32]);
            random.fill(bytes.as_mut_slice());
            write(&path, &bytes).map_err(|source| RootKeyError::File { path: path.clone(), source })?;
            Ok(Loaded { key: RootKey::new(bytes)?, next: None, generated: Some(path) })
        }
        Err(error) => Err(error),
        Ok(bytes) => Ok(Loaded { key: RootKey::new(bytes)?, next: succession::next(source)?, generated: None }),
    }
}

/// A key of the same form in a file of its own, made there if it may be and is not there. True: it was made.
///
/// # Errors
/// Says what is wrong with the file, and what to do.
pub fn key_file(path: &Path, make: bool, random: &dyn Random) -> Result<(Zeroizing<[u8; 32]>, bool), RootKeyError> {
    match read(path, true) {
        Err(RootKeyError::File { source, .. }) if make && source.kind() == ErrorKind::NotFound => {
            let mut bytes = Zeroizing::new([0; 32]);
            random.fill(bytes.as_mut_slice());
            write(path, &bytes).map_err(|source| RootKeyError::File { path: path.to_owned(), source })?;
            Ok((bytes, true))
        }
        Err(error) => Err(error),
        Ok(bytes) => Ok((bytes, false)),
    }
}

fn credential(name: &str) -> Result<PathBuf, RootKeyError> {
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY");
    let directory = directory.ok_or_else(|| RootKeyError::NoCredentials(name.to_owned()))?;
    Ok(Path::new(&directory).join(name))
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

fn read(path: &Path, guarded: bool) -> Result<Zeroizing<[u8; 32]>, RootKeyError> {
    let failed = |source| RootKeyError::File { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    // Asked of the open file, so that it is the one that is read.
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if guarded && mode & 0o077 != 0 {
        return Err(RootKeyError::Open { path: path.to_owned(), mode });
    }
    let mut room = Zeroizing::new([0_u8; 128]);
    let mut length = 0_usize;
    loop {
        match file.read(room.get_mut(length..).unwrap_or_default()).map_err(failed)? {
            0 => break,
            more => length = length.saturating_add(more),
        }
    }
    let content = room.get(..length).unwrap_or_default();
    parse(content).ok_or_else(|| RootKeyError::Content { path: path.to_owned() })
}

fn parse(content: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    if let Ok(raw) = <[u8; 32]>::try_from(content) {
        return Some(Zeroizing::new(raw));
    }
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(content.trim_ascii(), bytes.as_mut_slice()).ok()?;
    Some(bytes)
}

/// Writes the key under another name, syncs it, gives it its name and syncs the directory: whoever seals a store under
/// it can rely on finding it after a power loss.
fn write(path: &Path, bytes: &[u8; 32]) -> std::io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    match fs::remove_file(&part) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    let mut text = Zeroizing::new([0_u8; 65]);
    if let Some((last, digits)) = text.split_last_mut() {
        *last = b'\n';
        hex::encode_to_slice(bytes, digits).map_err(std::io::Error::other)?;
    }
    file.write_all(text.as_slice())?;
    file.sync_all()?;
    // A link, unlike a rename, never replaces a key that is there.
    fs::hard_link(&part, path)?;
    fs::remove_file(&part)?;
    File::open(directory_of(path))?.sync_all()
}

#[cfg(test)]
#[path = "rootkey_tests.rs"]
mod tests;
