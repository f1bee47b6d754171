//! Certificates and private keys in PEM files: reading them, and how long they are good for.
//!
//! Knows no other room.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use zeroize::Zeroizing;

/// A certificate or key that cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file holds no such thing, or a damaged one.
    #[error("{path}: no usable {what} in PEM form ({error})")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// Why.
        error: String,
    },
    /// Certificate and key do not fit each other, or have a form that is not supported.
    #[error("{certificate} with {private_key}: {error}")]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        private_key: PathBuf,
        /// Why.
        error: rustls::Error,
    },
}

/// A certificate chain (leaf first) and the key of its leaf.
pub type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The certificates of a file, leaf first; at least one.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let malformed = |error: String| TlsError::Pem { path: path.to_owned(), what: "certificate", error };
    let chain = CertificateDer::pem_slice_iter(&contents(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| malformed(error.to_string()))?;
    if chain.is_empty() { Err(malformed("none found".to_owned())) } else { Ok(chain) }
}

/// A certificate chain and its private key (PKCS#8, PKCS#1 or SEC1).
///
/// # Errors
/// As [`certificates`].
pub fn pair(certificate: &Path, private_key: &Path) -> Result<Pair, TlsError> {
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&contents(private_key)?).map_err(|error| TlsError::Pem {
        path: private_key.to_owned(),
        what: "private key",
        error: error.to_string(),
    })?;
    Ok((chain, key))
}

/// The certificate authorities of a file, to verify others against.
///
/// # Errors
/// As [`certificates`].
pub fn authorities(path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| TlsError::Pem {
            path: path.to_owned(),
            what: "certificate authority",
            error: error.to_string(),
        })?;
    }
    Ok(Arc::new(roots))
}

/// What does the cryptography of TLS.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Until when the certificates of a file are good: the earliest end (RFC 5280, notAfter).
///
/// # Errors
/// As [`certificates`].
pub fn expires(path: &Path) -> Result<Timestamp, TlsError> {
    let mut earliest = Timestamp::MAX;
    for certificate in certificates(path)? {
        let malformed = |error: String| TlsError::Pem { path: path.to_owned(), what: "certificate", error };
        earliest = earliest.min(end_of(&certificate).map_err(malformed)?);
    }
    Ok(earliest)
}

/// Until when a certificate (DER) is good.
///
/// # Errors
/// Why it cannot be read.
pub fn end_of(certificate: &[u8]) -> Result<Timestamp, String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|error| error.to_string())?;
    Timestamp::from_second(parsed.validity().not_after.timestamp()).map_err(|error| error.to_string())
}

fn contents(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    std::fs::read(path).map(Zeroizing::new).map_err(|error| TlsError::Read { path: path.to_owned(), error })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_ends_with_its_shortest_link() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("chain.pem");
        let mut text = String::new();
        for year in [2040, 2031, 2050] {
            let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            parameters.not_after = rcgen::date_time_ymd(year, 1, 2);
            text.push_str(&parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem());
        }
        std::fs::write(&path, &text).unwrap();
        assert_eq!(certificates(&path).unwrap().len(), 3);
        assert_eq!(expires(&path).unwrap().to_string(), "2031-01-02T00:00:00Z");
        std::fs::write(&path, "nothing").unwrap();
        assert!(expires(&path).unwrap_err().to_string().contains("chain.pem"));
    }
}
