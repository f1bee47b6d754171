//! What a writer asks of the kernel, and in which order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use super::child::told;

/// A completed system call.
pub(crate) struct Call {
    pub(crate) name: String,
    /// Of the file descriptor or name that is its first path.
    pub(crate) path: String,
    pub(crate) line: String,
}

impl Call {
    pub(crate) fn says(&self, word: &str) -> bool {
        self.name == "write" && self.line.contains(&format!("\"\\n{word}"))
    }
}

/// Runs a child under strace until it ends; its calls in the order in which they completed. A `write` counts from its
/// beginning: what it says may be read from then on.
pub(crate) fn traced(work: &str, directory: &Path) -> Vec<Call> {
    let output = tempfile::NamedTempFile::new().unwrap();
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-y", "-s", "64", "-e", "trace=openat,pwrite64,write,fsync,fdatasync", "-o"])
        .arg(output.path())
        .arg(std::env::current_exe().unwrap());
    let child = told(strace, work, directory, 0);
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));

    let mut calls = Vec::new();
    let mut begun: BTreeMap<String, String> = BTreeMap::new();
    for line in std::fs::read_to_string(output.path()).unwrap().lines() {
        let (thread, rest) = line.split_once(' ').unwrap();
        let rest = rest.trim_start();
        if let Some(start) = rest.strip_suffix(" <unfinished ...>") {
            if start.starts_with("write(") {
                calls.extend(call(start));
            } else {
                begun.insert(thread.to_owned(), start.to_owned());
            }
        } else if rest.starts_with("<... ") {
            if let Some(start) = begun.remove(thread) {
                calls.extend(call(&format!("{start}{rest}")).filter(|_| !rest.contains("= -1")));
            }
        } else if !rest.contains("= -1") {
            calls.extend(call(rest));
        }
    }
    calls
}

fn call(line: &str) -> Option<Call> {
    let (name, arguments) = line.split_once('(')?;
    let path = if name == "openat" {
        arguments.split('"').nth(1)?
    } else {
        arguments.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(path, _)| path)
    };
    Some(Call { name: name.to_owned(), path: path.to_owned(), line: line.to_owned() })
}

/// Checks that at each acknowledgement every blob made so far was synced after its last write, and the directory after
/// its making. Returns how many blobs were made, and how many acknowledgements there were.
pub(crate) fn acknowledgements_over_synced_blobs(trace: &[Call], directory: &Path) -> (usize, usize) {
    let folder = directory.join("blobs").display().to_string();
    let is_blob = |call: &Call| call.path.strip_prefix(&folder).is_some_and(|rest| rest.len() > 1);
    let (mut made, mut acknowledged) = (0, 0);
    let mut unsynced: BTreeSet<String> = BTreeSet::new();
    for call in trace {
        match call.name.as_str() {
            "openat" if is_blob(call) && call.line.contains("O_CREAT") => {
                made += 1;
                unsynced.insert(call.path.clone());
                unsynced.insert(folder.clone());
            }
            "write" if is_blob(call) => {
                unsynced.insert(call.path.clone());
            }
            "fsync" | "fdatasync" => {
                unsynced.remove(&call.path);
            }
            _ if call.says("ACK") => {
                assert!(unsynced.is_empty(), "{} while not synced: {unsynced:?}", call.line.trim());
                acknowledged += 1;
            }
            _ => {}
        }
    }
    (made, acknowledged)
}
