//! What stops the whole.

use std::path::PathBuf;

use thiserror::Error;

/// Why nothing can be said or done. What concerns a single file is a [`super::Problem`] instead.
#[derive(Debug, Error)]
pub enum TerraformError {
    /// The directory cannot be read.
    #[error("{} is not a directory that can be read ({cause})", .path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// There is no configuration in it.
    #[error("there is no .tf or .tf.json file in {} or below it", .0.display())]
    Empty(PathBuf),
    /// A file that was named cannot be read or understood; the text never quotes its content.
    #[error("{} {cause}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why, beginning with a verb.
        cause: String,
    },
    /// A version that is none.
    #[error("{0} is not a version of the provider")]
    Version(String),
    /// A file could not be written. What was written before it is whole.
    #[error("{} cannot be written ({cause}); {} file(s) were changed before it", .path.display(), .before)]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: String,
        /// How many files were changed.
        before: usize,
    },
}
