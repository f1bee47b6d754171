//! The file: a head in the clear, then sealed chunks; in their text, one frame after the other.
//!
//! Head: 16 bytes `keyferry backup\n`, format (1 byte), ID of the backup key (8 bytes), sealed key of the stream (60
//! bytes). Chunk: whether it is the last (1 byte), length (u32, big-endian), sealed text. Frame: tag (1 byte), length
//! (u32), content. A part is `Begin`, its entries, and `End` with their number and the SHA-256 over all its frames.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub(super) const MAGIC: &[u8; 16] = b"keyferry backup\n";
pub(super) const FORMAT: u8 = 1;
/// Bytes of the sealed key in the head: IV, key, tag.
pub(super) const SEALED_KEY: usize = 12 + 32 + 16;
pub(super) const MANIFEST: u8 = 1;
pub(super) const BEGIN: u8 = 2;
pub(super) const RECORD: u8 = 3;
pub(super) const FILE: u8 = 4;
pub(super) const END: u8 = 5;

/// What the backup is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The release that wrote it.
    pub version: String,
    /// When all of it was as it is here.
    pub at: Timestamp,
    /// The root keys without which it cannot be used.
    pub root_keys: Vec<NeededKey>,
}

/// A root key that a keystore needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeededKey {
    /// The keystore.
    pub keystore: String,
    /// ID of the key; during an exchange there is one entry for each.
    pub id: String,
}

/// What a part is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// Records of a store.
    Store,
    /// Files of a directory.
    Files,
}

/// A part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it is of.
    pub kind: PartKind,
    /// Its place below the state directory.
    pub place: String,
    /// The newest revision of the store; 0 for files.
    pub revision: u64,
}

/// The end of a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartEnd {
    pub(super) entries: u64,
    pub(super) sha256: String,
}
