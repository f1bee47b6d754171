//! The socket file: mode 0660, an optional group, and never two daemons on one path.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;
use tokio::net::UnixListener;

/// Why the socket cannot be served.
#[derive(Debug, Error)]
pub enum SocketError {
    /// Another daemon answers there.
    #[error("another daemon serves {0}: stop it, or set [admin] socket to another path")]
    InUse(PathBuf),
    /// Something else lies there.
    #[error("{0} exists and is not a socket: move it away, or set [admin] socket to another path")]
    NotASocket(PathBuf),
    /// No such group.
    #[error("there is no group {0:?} on this machine: create it, or change [admin] group")]
    NoGroup(String),
    /// The operating system refuses.
    #[error("{path}: {source}")]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A bound socket; its file goes with it.
pub(super) struct BoundSocket {
    pub(super) path: PathBuf,
    pub(super) listener: UnixListener,
}

/// Binds under a temporary name and renames, so that nobody meets a socket with other permissions than the final ones.
pub(super) fn bind(path: &Path, group: Option<&str>) -> Result<BoundSocket, SocketError> {
    let fail = |source| SocketError::Io { path: path.to_owned(), source };
    check_stale(path)?;
    let gid = group.map(group_id).transpose()?;
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(fail)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let temporary = PathBuf::from(name);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&temporary).map_err(fail)?;
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o660)).map_err(fail)?;
    if let Some(gid) = gid {
        std::os::unix::fs::chown(&temporary, None, Some(gid)).map_err(fail)?;
    }
    fs::rename(&temporary, path).map_err(fail)?;
    Ok(BoundSocket { path: path.to_owned(), listener })
}

/// A socket that a crashed daemon left behind refuses connections.
fn check_stale(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(SocketError::Io { path: path.to_owned(), source }),
        Ok(metadata) if !metadata.file_type().is_socket() => Err(SocketError::NotASocket(path.to_owned())),
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Err(SocketError::InUse(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(source) => Err(SocketError::Io { path: path.to_owned(), source }),
        },
    }
}

/// Looks a group up in `/etc/group` (group(5)): local groups are what a service's socket needs.
fn group_id(name: &str) -> Result<u32, SocketError> {
    const FILE: &str = "/etc/group";
    let text = fs::read_to_string(FILE).map_err(|source| SocketError::Io { path: PathBuf::from(FILE), source })?;
    find_group(&text, name).ok_or_else(|| SocketError::NoGroup(name.to_owned()))
}

fn find_group(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Waits until a socket is served no more: a program that another test starts has our descriptors for a moment,
    /// until it is another program.
    async fn left(path: &Path) {
        let wait = async {
            while std::os::unix::net::UnixStream::connect(path).is_ok() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
    }

    #[test]
    fn groups_are_found_by_their_whole_name() {
        let text = "root:x:0:\nkey:x:7:a,b\nkeyferry:x:998:\nbroken\n";
        assert_eq!(find_group(text, "keyferry"), Some(998));
        assert_eq!(find_group(text, "ferry"), None);
        assert_eq!(find_group(text, "broken"), None);
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_served_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sub/admin.sock");
        drop(bind(&path, None).unwrap());
        assert!(path.exists(), "a crash leaves the file");
        left(&path).await;
        let bound = bind(&path, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(matches!(bind(&path, None), Err(SocketError::InUse(_))));
        drop(bound);
        left(&path).await;
        let file = directory.path().join("file");
        fs::write(&file, "mine").unwrap();
        assert!(matches!(bind(&file, None), Err(SocketError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
        assert!(matches!(bind(&path, Some("no such group")), Err(SocketError::NoGroup(_))));
    }
}
