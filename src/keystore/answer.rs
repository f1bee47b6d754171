//! An answer and how far to trust that it came from the right place.

/// What a keystore answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// The result.
    pub value: T,
    /// True for a copy of a job whose purge has not reached it: the service reads the catalogue once more and discards
    /// the answer if the entry no longer names this keystore (design §6, step 8).
    pub provisional: bool,
}

impl<T> Answer<T> {
    /// An answer that stands.
    pub const fn settled(value: T) -> Self {
        Self { value, provisional: false }
    }
}
