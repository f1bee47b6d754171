//! sled's errors and panics as errors of the store: nothing unwinds out of this engine.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::observe::failpoint::Injected;
use crate::store::StoreError;

/// Why sled could not do something.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    /// What it said.
    pub(super) detail: String,
    /// Whether it means that the files are damaged (sled panics where it finds what it does not expect).
    pub(super) damaged: bool,
}

impl Fault {
    /// The error for a caller who read.
    pub(super) fn into_error(self, directory: &Path) -> StoreError {
        if self.damaged {
            StoreError::Damaged { path: directory.display().to_string(), detail: self.detail }
        } else {
            StoreError::Unavailable(self.detail)
        }
    }
}

impl From<::sled::Error> for Fault {
    fn from(error: ::sled::Error) -> Self {
        use io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
        let damaged = match &error {
            // A blob that is gone, or a file that ends before what is looked for in it.
            ::sled::Error::Io(error) => matches!(error.kind(), InvalidData | NotFound | UnexpectedEof),
            _ => true,
        };
        Self { damaged, detail: error.to_string() }
    }
}

impl From<Injected> for Fault {
    fn from(injected: Injected) -> Self {
        Self { detail: format!("rehearsed at {}", injected.point), damaged: false }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self { detail: error.to_string(), damaged: false }
    }
}

/// Runs a call into sled.
pub(super) fn contained<T>(call: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    // After a panic inside a write the committer takes no further write, and reads see pre-images of what it touched.
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|panic| Err(Fault { detail: format!("panic in sled: {}", text(&*panic)), damaged: true }))
}

fn text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}
