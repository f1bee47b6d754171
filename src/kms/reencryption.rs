//! What goes from one ciphertext to another without coming out: ReEncrypt, and data keys for a caller's public key.

use std::collections::BTreeMap;

use super::{Caller, KmsError, Sealed, Service};
use crate::catalogue::KeyOrAlias;
use crate::crypto::material::DecryptAlgorithm;
use crate::crypto::{CryptoError, verify};

/// Bytes of the modulus of the public keys that data keys are wrapped for (RSA_2048).
const MODULUS: usize = 256;

/// Where the ciphertext of ReEncrypt comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A ciphertext blob, which names its key.
    Symmetric {
        /// The encryption context it was made with.
        context: BTreeMap<String, String>,
    },
    /// A ciphertext of an asymmetric key.
    Asymmetric {
        /// The key.
        key: KeyOrAlias,
        /// Its version.
        version: String,
        /// How it was made.
        algorithm: DecryptAlgorithm,
    },
}

/// A public key that a caller wants data keys wrapped for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// DER SubjectPublicKeyInfo of an RSA key of 2048 bits.
    pub public_key: Vec<u8>,
    /// How to wrap.
    pub algorithm: DecryptAlgorithm,
}

impl Service {
    /// ReEncrypt: opens a ciphertext and encrypts what it holds under the primary version of a symmetric key.
    ///
    /// # Errors
    /// As decryption of the source and encryption under the destination.
    pub async fn re_encrypt(
        &self,
        caller: &Caller,
        ciphertext: &[u8],
        origin: &Origin,
        destination: &KeyOrAlias,
        context: &BTreeMap<String, String>,
    ) -> Result<Sealed, KmsError> {
        let from = caller.at_source();
        let plaintext = match origin {
            Origin::Symmetric { context } => self.decrypt(&from, ciphertext, context).await?.plaintext,
            Origin::Asymmetric { key, version, algorithm } => {
                self.asymmetric_decrypt(&from, key, version, *algorithm, ciphertext).await?.value
            }
        };
        self.encrypt(caller, destination, &plaintext, context).await
    }

    /// ExportDataKey: opens a ciphertext blob and wraps what it holds for a public key. `blob` of the answer is what the
    /// public key wrapped.
    ///
    /// # Errors
    /// As [`Service::decrypt`]; `InvalidParameter` for a public key that is none, or what does not fit into it.
    pub async fn export_data_key(
        &self,
        caller: &Caller,
        blob: &[u8],
        context: &BTreeMap<String, String>,
        to: &Recipient,
    ) -> Result<Sealed, KmsError> {
        check_recipient(to)?;
        let opened = self.decrypt(caller, blob, context).await?;
        let blob = wrap(to, &opened.plaintext, "CiphertextBlob")?;
        Ok(Sealed { blob, key: opened.key, version: opened.version })
    }

    /// GenerateAndExportDataKey: a random data key of `length` bytes, wrapped for a public key, and encrypted.
    ///
    /// # Errors
    /// As [`Service::generate_data_key`] and [`Service::export_data_key`].
    pub async fn generate_and_export_data_key(
        &self,
        caller: &Caller,
        name: &KeyOrAlias,
        length: usize,
        context: &BTreeMap<String, String>,
        to: &Recipient,
    ) -> Result<(Vec<u8>, Sealed), KmsError> {
        check_recipient(to)?;
        if length > to.algorithm.max_plaintext(MODULUS) {
            return Err(too_long(to, "NumberOfBytes"));
        }
        let (plaintext, sealed) = self.generate_data_key(caller, name, length, context).await?;
        Ok((wrap(to, &plaintext, "NumberOfBytes")?, sealed))
    }
}

fn check_recipient(to: &Recipient) -> Result<(), KmsError> {
    match verify::rsa_modulus_len(&to.public_key) {
        Ok(MODULUS) => Ok(()),
        _ => Err(KmsError::InvalidParameterBecause {
            name: "PublicKeyBlob",
            reason: "it is the Base64 form of the DER SubjectPublicKeyInfo of an RSA key of 2048 bits".to_owned(),
        }),
    }
}

fn wrap(to: &Recipient, plaintext: &[u8], name: &'static str) -> Result<Vec<u8>, KmsError> {
    verify::encrypt_to(&to.public_key, to.algorithm, plaintext).map_err(|error| match error {
        CryptoError::Unsuitable(_) => too_long(to, name),
        other => KmsError::Internal(other.to_string()),
    })
}

fn too_long(to: &Recipient, name: &'static str) -> KmsError {
    let most = to.algorithm.max_plaintext(MODULUS);
    KmsError::InvalidParameterBecause { name, reason: format!("{} takes at most {most} bytes", to.algorithm) }
}
