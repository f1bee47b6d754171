//! TLS of listeners: a certificate and its key from PEM files (rustls with aws-lc-rs, TLS 1.2 and 1.3).

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;

pub use crate::tls::TlsError;
use crate::tls::{pair, provider};

/// What a listener presents. Reading the files again affects later connections only.
pub struct Identity {
    certificate: PathBuf,
    private_key: PathBuf,
    config: RwLock<Read>,
}

/// The configuration, and the certificate it presents (DER).
type Read = (Arc<ServerConfig>, Arc<[u8]>);

impl Identity {
    /// Reads certificate (the chain, leaf first) and private key (PKCS#8, PKCS#1 or SEC1).
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn load(certificate: &Path, private_key: &Path) -> Result<Self, TlsError> {
        let config = RwLock::new(read(certificate, private_key)?);
        Ok(Self { certificate: certificate.to_owned(), private_key: private_key.to_owned(), config })
    }

    /// Reads the files again; nothing changes before [`Identity::present`].
    ///
    /// # Errors
    /// As [`Identity::load`].
    pub fn read_again(&self) -> Result<Fresh, TlsError> {
        read(&self.certificate, &self.private_key).map(Fresh)
    }

    /// Presents what was read.
    pub fn present(&self, fresh: Fresh) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = fresh.0;
    }

    /// The present configuration.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner).0)
    }

    /// The certificate that is presented (DER), without those that vouch for it.
    #[must_use]
    pub fn certificate(&self) -> Arc<[u8]> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner).1)
    }

    /// Where the certificate was read from.
    #[must_use]
    pub fn certificate_file(&self) -> &Path {
        &self.certificate
    }
}

/// Certificate and key that were read and fit each other.
pub struct Fresh(Read);

fn read(certificate: &Path, private_key: &Path) -> Result<Read, TlsError> {
    let (chain, key) = pair(certificate, private_key)?;
    let leaf: Arc<[u8]> = chain.first().map(|leaf| Arc::from(leaf.as_ref())).unwrap_or_default();
    let unusable =
        |error| TlsError::Unusable { certificate: certificate.to_owned(), private_key: private_key.to_owned(), error };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((Arc::new(config), leaf))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_file_and_a_failed_reload_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, private_key) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
        let message = || Identity::load(&certificate, &private_key).err().unwrap().to_string();
        assert!(message().contains("c.pem"));
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&private_key, "nothing").unwrap();
        assert!(message().contains("k.pem") && message().contains("private key"));
        std::fs::write(&private_key, made.signing_key.serialize_pem()).unwrap();
        let identity = Identity::load(&certificate, &private_key).unwrap();
        let before = identity.config();
        let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(&private_key, other.signing_key.serialize_pem()).unwrap();
        assert!(identity.read_again().is_err());
        assert!(Arc::ptr_eq(&before, &identity.config()));
        std::fs::write(&certificate, other.cert.pem()).unwrap();
        identity.present(identity.read_again().unwrap());
        assert!(!Arc::ptr_eq(&before, &identity.config()));
    }
}
