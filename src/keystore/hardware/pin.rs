//! The PIN, and whether it may be tried: tokens lock after a few wrong ones.

use std::sync::{Mutex, MutexGuard, PoisonError};

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A user PIN. Zeroized on drop; no `Debug`.
#[derive(Clone)]
pub struct Pin(Zeroizing<String>);

impl Pin {
    /// Takes it over.
    #[must_use]
    pub const fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Pin {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Pin {}

/// The PIN in force. One that was refused is not tried again until somebody sets it anew.
pub(super) struct PinHolder {
    inner: Mutex<(Pin, Option<String>)>,
}

impl PinHolder {
    pub(super) fn new(pin: Pin) -> Self {
        Self { inner: Mutex::new((pin, None)) }
    }

    /// The PIN, or why it must not be tried.
    pub(super) fn get(&self) -> Result<Pin, String> {
        let inner = self.lock();
        match &inner.1 {
            None => Ok(inner.0.clone()),
            Some(why) => Err(why.clone()),
        }
    }

    /// It was refused.
    pub(super) fn refuse(&self, tried: &Pin, why: &str) {
        let mut inner = self.lock();
        // Another one may have been set meanwhile.
        if inner.0 == *tried {
            inner.1 = Some(why.to_owned());
        }
    }

    /// Puts one in force, to be tried once.
    pub(super) fn set(&self, pin: Pin) {
        *self.lock() = (pin, None);
    }

    fn lock(&self) -> MutexGuard<'_, (Pin, Option<String>)> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_pin_stays_refused_until_one_is_set() {
        let pin = |text: &str| Pin::new(Zeroizing::new(text.to_owned()));
        let holder = PinHolder::new(pin("1111"));
        let tried = holder.get().ok().unwrap();
        holder.refuse(&tried, "wrong");
        assert_eq!(holder.get().err().unwrap(), "wrong");
        holder.set(pin("2222"));
        // The news of the one before comes late.
        holder.refuse(&tried, "wrong");
        assert_eq!(holder.get().ok().unwrap().expose(), "2222");
    }
}
