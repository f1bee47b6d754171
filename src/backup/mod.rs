//! Backups: a sealed copy of all stores and slots as of one moment, and reading it back.
//!
//! [`writing`] and [`reading`] know the file; what is in it is given and taken as parts, each a store or a directory of
//! small files. Root keys are not in it: it names those it needs.

mod error;
pub mod filing;
mod format;
pub mod reading;
pub mod shelf;
pub mod writing;

pub use error::BackupError;
pub use format::{Manifest, NeededKey, Part, PartKind};

/// How many bytes the text of a chunk has, but for the last.
const CHUNK: usize = 256 * 1024;
