//! The journal's own protocol (systemd.journal-fields(7), `systemd.io/JOURNAL_NATIVE_PROTOCOL`): one datagram a line, with
//! every field of its own name, so that `journalctl KEYFERRY_JOB=…` tells one job's story.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::line::{Line, priority};

/// Where journald listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// A way to the journal.
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    /// To the journal that listens at `path`. It may come and go: each line is sent to whoever listens then.
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // A journal that hangs must not hang the daemon for long.
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { socket, path: path.to_owned() })
    }

    /// Sends a line. An error says that the line has not arrived: nobody listens, or it is too long for a datagram.
    pub(super) fn send(&self, line: &Line) -> io::Result<()> {
        self.socket.send_to(&datagram(line), &self.path).map(|_| ())
    }
}

const PATIENCE: Duration = Duration::from_secs(1);
const IDENTIFIER: &str = env!("CARGO_PKG_NAME");

fn datagram(line: &Line) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    push(&mut bytes, "MESSAGE", &line.message);
    push(&mut bytes, "PRIORITY", &priority(line.level).to_string());
    push(&mut bytes, "SYSLOG_IDENTIFIER", IDENTIFIER);
    match line.event() {
        Some(event) => push(&mut bytes, "MESSAGE_ID", &event.message_id()),
        None => push(&mut bytes, "KEYFERRY_MODULE", line.target),
    }
    for (name, value) in &line.fields {
        let name = format!("KEYFERRY_{}", name.to_ascii_uppercase());
        match value {
            Value::String(text) => push(&mut bytes, &name, text),
            other => push(&mut bytes, &name, &other.to_string()),
        }
    }
    bytes
}

/// `NAME=value`, or where the value has line breaks: name, length (64 bits, little endian), value.
fn push(bytes: &mut Vec<u8>, name: &str, value: &str) {
    bytes.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        bytes.push(b'\n');
        bytes.extend_from_slice(&u64::try_from(value.len()).unwrap_or_default().to_le_bytes());
    } else {
        bytes.push(b'=');
    }
    bytes.extend_from_slice(value.as_bytes());
    bytes.push(b'\n');
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::observe::{Event, Fields, LogLevel, emit, logging};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Reads a datagram as journald does.
    fn read(socket: &UnixDatagram) -> BTreeMap<String, String> {
        let mut room = vec![0; 1 << 20];
        let length = socket.recv(&mut room).unwrap();
        let mut rest = &room[..length];
        let mut fields = BTreeMap::new();
        while !rest.is_empty() {
            let end = rest.iter().position(|b| *b == b'\n').unwrap();
            let (head, behind) = (std::str::from_utf8(&rest[..end]).unwrap(), &rest[end + 1..]);
            let (name, value, behind) = match head.split_once('=') {
                Some((name, value)) => (name, value.to_owned(), behind),
                None => {
                    let size = usize::try_from(u64::from_le_bytes(behind[..8].try_into().unwrap())).unwrap();
                    let value = String::from_utf8(behind[8..8 + size].to_vec()).unwrap();
                    assert_eq!(behind[8 + size], b'\n');
                    (head, value, &behind[9 + size..])
                }
            };
            let valid = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            assert!(name.len() <= 64 && name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(valid));
            assert_eq!(fields.insert(name.to_owned(), value), None, "{name} twice");
            rest = behind;
        }
        fields
    }

    #[test]
    fn each_field_of_a_line_is_a_field_of_the_journal() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let kept = Kept::default();
        let (subscriber, _handle) = logging::journal_logger(LogLevel::Info, &path, Box::new(kept.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let fields = Fields { job: Some("mig-1".to_owned()), ..Fields::new() }.progress((1, 2), (3, 4));
            emit(Event::MigrationProgress, &fields, "half of it\nPRIORITY=0\nand more");
            tracing::warn!(job = "mig-1", odd = 7, "a step is tried again");
        });
        let first = read(&journal);
        assert_eq!(first["MESSAGE"], "half of it\nPRIORITY=0\nand more");
        assert_eq!((first["PRIORITY"].as_str(), first["SYSLOG_IDENTIFIER"].as_str()), ("6", "keyferry"));
        assert_eq!(first["MESSAGE_ID"], Event::MigrationProgress.message_id());
        assert_eq!(first["KEYFERRY_EVENT"], "migration.progress");
        assert_eq!((first["KEYFERRY_JOB"].as_str(), first["KEYFERRY_SECRETS_TOTAL"].as_str()), ("mig-1", "4"));
        let second = read(&journal);
        assert_eq!((second["PRIORITY"].as_str(), second["KEYFERRY_JOB"].as_str()), ("4", "mig-1"));
        assert_eq!(second["MESSAGE"], "a step is tried again odd=7");
        assert!(!second.contains_key("MESSAGE_ID") && second["KEYFERRY_MODULE"].starts_with("keyferry::"));
        assert!(kept.0.lock().unwrap().is_empty());
    }

    #[test]
    fn a_line_that_the_journal_does_not_take_goes_to_standard_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let kept = Kept::default();
        let (subscriber, _handle) = logging::journal_logger(LogLevel::Info, &path, Box::new(kept.clone()));
        let text = || String::from_utf8(std::mem::take(&mut *kept.0.lock().unwrap())).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            emit(Event::MigrationFailed, &Fields::new(), "nobody\nlistens");
            assert_eq!(text(), "<3>migration.failed nobody\\nlistens\n");
            let journal = UnixDatagram::bind(&path).unwrap();
            emit(Event::MigrationFailed, &Fields::new(), "somebody does");
            assert_eq!(read(&journal)["MESSAGE"], "somebody does");
            emit(Event::MigrationFailed, &Fields::new(), &"x".repeat(1 << 20));
            assert!(text().starts_with("<3>migration.failed xxx"));
            drop(journal);
            emit(Event::MigrationFailed, &Fields::new(), "it has gone again");
            assert_eq!(text(), "<3>migration.failed it has gone again\n");
        });
    }
}
