//! Snapshot files of sled 0.34, checked before sled reads them.
//!
//! sled writes its page table to `snap.LSN` when it opens, so that the next start need not scan the whole log. A damaged
//! one makes it refuse to open, although the log holds everything. Format (sled 0.34.7, `pagecache/snapshot.rs`): body,
//! length of the body (8 bytes), CRC-32 of the body (4 bytes, little-endian). The newest file by name is the one read,
//! and any name that begins with `snap.` counts, also an unfinished `snap.LSN.generating`.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Removes unfinished snapshots and moves all snapshots aside if one of them is damaged. Call it only while holding the
/// lock of the directory.
///
/// Returns a text for each file that was moved.
///
/// # Errors
/// When the directory cannot be read or a file not moved.
pub(super) fn set_damaged_aside(directory: &Path) -> io::Result<Vec<String>> {
    let mut snapshots = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("snap.") || !entry.file_type()?.is_file() {
            continue;
        }
        if name.ends_with(".generating") {
            // A crash while it was written; sled removes the older snapshot only after the rename.
            fs::remove_file(entry.path())?;
        } else {
            snapshots.push((name, entry.path()));
        }
    }
    let mut fault = None;
    for (name, path) in &snapshots {
        if let Some(found) = check(path)? {
            fault = Some(format!("{name} is damaged ({found})"));
        }
    }
    let Some(fault) = fault else {
        return Ok(Vec::new());
    };
    // An older intact one goes too: segments that it names may have been used again since.
    let mut warnings = Vec::new();
    for (name, path) in &snapshots {
        let aside = free_name(directory, name);
        fs::rename(path, &aside)?;
        warnings.push(format!(
            "snapshot {name} moved to {}: {fault}; the whole log is read instead",
            aside.file_name().unwrap_or_default().to_string_lossy()
        ));
    }
    fs::File::open(directory)?.sync_all()?;
    Ok(warnings)
}

fn check(path: &Path) -> io::Result<Option<String>> {
    let bytes = fs::read(path)?;
    let Some((body, [l0, l1, l2, l3, l4, l5, l6, l7, c0, c1, c2, c3])) = bytes.split_last_chunk::<12>() else {
        return Ok(Some(format!("{} bytes", bytes.len())));
    };
    if body.is_empty() {
        return Ok(Some("no content".to_owned()));
    }
    let length = u64::from_le_bytes([*l0, *l1, *l2, *l3, *l4, *l5, *l6, *l7]);
    if u64::try_from(body.len()) != Ok(length) {
        return Ok(Some(format!("{} bytes of {length}", body.len())));
    }
    if crc32fast::hash(body) != u32::from_le_bytes([*c0, *c1, *c2, *c3]) {
        return Ok(Some("its checksum differs".to_owned()));
    }
    Ok(None)
}

fn free_name(directory: &Path, name: &str) -> PathBuf {
    let mut n = 1_u32;
    loop {
        // Not beginning with `snap.`, or sled would read it.
        let path = directory.join(format!("damaged-{n}-{name}"));
        if !path.exists() {
            return path;
        }
        n = n.saturating_add(1);
    }
}
