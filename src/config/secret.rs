//! Secrets that the configuration names: zeroized, never printed.

use std::path::PathBuf;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The secret of an access key. Has neither `Debug` nor `Display`.
#[derive(Clone)]
pub struct AccessKeySecret(Zeroizing<String>);

impl AccessKeySecret {
    /// Takes a secret over.
    #[must_use]
    pub const fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// The secret, for signing.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for AccessKeySecret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for AccessKeySecret {}

/// Where the secret of an access key was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretOrigin {
    /// In the configuration file.
    Inline,
    /// In a file of its own.
    File(PathBuf),
    /// In a systemd credential.
    Credential(String),
}

/// Where a root key comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RootKey {
    /// A systemd credential: the file of this name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// A file of mode 0600.
    File(PathBuf),
    /// Generated in the state directory, and that only for an empty store.
    Generated,
}
