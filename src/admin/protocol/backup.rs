//! Backups.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Body of `backup`. No `Debug`: it holds a key.
#[derive(Clone, Serialize, Deserialize)]
pub struct BackupRequest {
    /// The key to seal under.
    pub key: KeyText,
}

/// A key in hexadecimal digits; wiped when it goes.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct KeyText(Zeroizing<String>);

impl KeyText {
    /// The digits.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for KeyText {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<KeyText> for String {
    fn from(text: KeyText) -> Self {
        text.expose().to_owned()
    }
}
