//! Asymmetric cryptography with a named key version.

use zeroize::Zeroizing;

use super::{AskError, Caller, KmsError, Service};
use crate::catalogue::KeyOrAlias;
use crate::crypto::material::{DecryptAlgorithm, SignAlgorithm};
use crate::crypto::{CryptoError, verify};
use crate::keystore::{KeystoreError, Place};
use crate::model::{KeyId, KeyRecord, KeyUsage, MaterialId};
use crate::store::Stored;

/// A key and the version that was used, with what it made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<T> {
    /// The key.
    pub key: KeyId,
    /// Its version.
    pub version: MaterialId,
    /// Signature, verdict or public key (PEM).
    pub value: T,
}

/// An asymmetric ciphertext.
pub type Wrapped = Signed<Vec<u8>>;
/// An asymmetric plaintext.
pub type Unwrapped = Signed<Zeroizing<Vec<u8>>>;

impl Service {
    /// AsymmetricEncrypt.
    ///
    /// # Errors
    /// `KeyState`, `KeyVersionNotFound`, `UnsupportedOperation` for another usage, `InvalidParameter`.
    pub async fn asymmetric_encrypt(
        &self,
        caller: &Caller,
        name: &KeyOrAlias,
        version: &str,
        algorithm: DecryptAlgorithm,
        plaintext: &[u8],
    ) -> Result<Wrapped, KmsError> {
        let (key, place) = self.version_for(caller, name, version, Some(KeyUsage::EncryptDecrypt)).await?;
        check_fit(algorithm.fits(key.spec))?;
        let public = self.public_der(&key, &place).await?;
        let value = verify::encrypt_to(&public, algorithm, plaintext).map_err(|error| match error {
            CryptoError::Unsuitable(_) => KmsError::InvalidParameter("Plaintext"),
            other => KmsError::Internal(other.to_string()),
        })?;
        Ok(answer(key, place, value))
    }

    /// AsymmetricDecrypt.
    ///
    /// # Errors
    /// As [`Service::asymmetric_encrypt`].
    pub async fn asymmetric_decrypt(
        &self,
        caller: &Caller,
        name: &KeyOrAlias,
        version: &str,
        algorithm: DecryptAlgorithm,
        ciphertext: &[u8],
    ) -> Result<Unwrapped, KmsError> {
        let (key, place) = self.version_for(caller, name, version, Some(KeyUsage::EncryptDecrypt)).await?;
        check_fit(algorithm.fits(key.spec))?;
        let at = &place;
        let opened =
            self.ask_for_key(&key, |keystore| async move { keystore.decrypt(at, algorithm, ciphertext).await }).await;
        match opened {
            Ok(value) => Ok(answer(key, place, value)),
            Err(AskError::Keystore(KeystoreError::Rejected)) => Err(KmsError::InvalidParameter("CiphertextBlob")),
            Err(error) => Err(error.into()),
        }
    }

    /// AsymmetricSign: signs a SHA-256 digest.
    ///
    /// # Errors
    /// As [`Service::asymmetric_encrypt`].
    pub async fn asymmetric_sign(
        &self,
        caller: &Caller,
        name: &KeyOrAlias,
        version: &str,
        algorithm: SignAlgorithm,
        digest: &[u8],
    ) -> Result<Signed<Vec<u8>>, KmsError> {
        let (key, place) = self.version_for(caller, name, version, Some(KeyUsage::SignVerify)).await?;
        check_fit(algorithm.fits(key.spec))?;
        check_digest(digest)?;
        let at = &place;
        let value =
            self.ask_for_key(&key, |keystore| async move { keystore.sign(at, algorithm, digest).await }).await?;
        Ok(answer(key, place, value))
    }

    /// AsymmetricVerify: whether a signature over a SHA-256 digest is good.
    ///
    /// # Errors
    /// As [`Service::asymmetric_encrypt`]; a bad signature is an answer, not an error.
    pub async fn asymmetric_verify(
        &self,
        caller: &Caller,
        name: &KeyOrAlias,
        version: &str,
        algorithm: SignAlgorithm,
        digest: &[u8],
        signature: &[u8],
    ) -> Result<Signed<bool>, KmsError> {
        let (key, place) = self.version_for(caller, name, version, Some(KeyUsage::SignVerify)).await?;
        check_fit(algorithm.fits(key.spec))?;
        check_digest(digest)?;
        let public = self.public_der(&key, &place).await?;
        let value = match verify::verify(&public, key.spec, algorithm, digest, signature) {
            Ok(()) => true,
            Err(CryptoError::Rejected) => false,
            Err(error) => return Err(KmsError::Internal(error.to_string())),
        };
        Ok(answer(key, place, value))
    }

    /// GetPublicKey, as PEM.
    ///
    /// # Errors
    /// `KeyState`, `KeyVersionNotFound`, `UnsupportedOperation` for a symmetric key.
    pub async fn get_public_key(
        &self,
        caller: &Caller,
        name: &KeyOrAlias,
        version: &str,
    ) -> Result<Signed<String>, KmsError> {
        let (key, place) = self.version_for(caller, name, version, None).await?;
        let value = verify::public_pem(&self.public_der(&key, &place).await?);
        Ok(answer(key, place, value))
    }

    async fn version_for(
        &self,
        caller: &Caller,
        name: &KeyOrAlias,
        version: &str,
        usage: Option<KeyUsage>,
    ) -> Result<(Stored<KeyRecord>, Place), KmsError> {
        let key = self.find_usable(&caller.scope(), name).await?;
        if !key.spec.is_asymmetric() {
            return Err(KmsError::UnsupportedOperation("the key is not asymmetric".to_owned()));
        }
        if usage.is_some_and(|usage| usage != key.usage) {
            return Err(KmsError::UnsupportedOperation(format!("the usage of the key is {}", key.usage.as_str())));
        }
        let version = self.version_of(&key, version).await?;
        let place = Place { incarnation: key.incarnation.clone(), version: version.id };
        Ok((key, place))
    }

    async fn public_der(&self, key: &KeyRecord, place: &Place) -> Result<Vec<u8>, KmsError> {
        Ok(self.ask_for_key(key, |keystore| async move { keystore.public_key(place).await }).await?)
    }
}

fn answer<T>(key: Stored<KeyRecord>, place: Place, value: T) -> Signed<T> {
    Signed { key: key.into_value().id, version: place.version, value }
}

fn check_fit(fits: bool) -> Result<(), KmsError> {
    if fits { Ok(()) } else { Err(KmsError::InvalidParameter("Algorithm")) }
}

fn check_digest(digest: &[u8]) -> Result<(), KmsError> {
    if digest.len() == 32 { Ok(()) } else { Err(KmsError::InvalidParameter("Digest")) }
}
