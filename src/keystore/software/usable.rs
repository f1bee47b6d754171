//! A key ready for use: opened material, or a reference to the token that has it.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::SoftwareKeystore;
use super::vault::OpenHead;
use crate::crypto::CryptoError;
use crate::crypto::mac::MacAlgorithm;
use crate::crypto::material::{DecryptAlgorithm, OpenedMaterial, SignAlgorithm};
use crate::keystore::hardware::{Deed, ObjectId, Token, TokenError};
use crate::keystore::{KeystoreError, Unfit};
use crate::model::MaterialId;

/// A key ready for use.
pub(super) enum Usable {
    /// In memory.
    Here(Arc<OpenedMaterial>),
    /// In the token.
    There(Arc<Token>, Deed),
}

/// Bytes of the IV in front of a sealed text.
const IV: usize = 12;

impl SoftwareKeystore {
    /// Opens a stored version of a key.
    pub(super) async fn open_key(
        &self,
        head: &OpenHead,
        version: &MaterialId,
        sealed: &[u8],
    ) -> Result<Arc<Usable>, KeystoreError> {
        let Some(token) = &self.token else {
            let material = self.parse(self.open_material(head, version, sealed)?).await?;
            return Ok(Arc::new(Usable::Here(material)));
        };
        Ok(Arc::new(Usable::There(Arc::clone(token), self.open_deed(head, version, sealed)?)))
    }

    /// The stored bytes of a key in the token: its object in the clear, so that whoever deletes the record knows what to
    /// destroy, and the sealed deed.
    pub(super) fn seal_deed(
        &self,
        head: &OpenHead,
        version: &MaterialId,
        deed: &Deed,
    ) -> Result<Vec<u8>, KeystoreError> {
        let address = self.deed_address(&head.label, version);
        let sealed = head.dek.seal(self.random.as_ref(), &address, &deed.encode()).map_err(|e| self.use_error(e))?;
        Ok([deed.object.0.as_slice(), &sealed].concat())
    }

    fn open_deed(&self, head: &OpenHead, version: &MaterialId, stored: &[u8]) -> Result<Deed, KeystoreError> {
        let spec = head.label.spec.ok_or(KeystoreError::Unsuitable("it is a secret"))?;
        let opened = || {
            let (object, sealed) = stored.split_first_chunk::<{ ObjectId::LEN }>().ok_or(CryptoError::Rejected)?;
            let deed = Deed::decode(&head.dek.open(&self.deed_address(&head.label, version), sealed)?)?;
            if deed.object != ObjectId(*object) || deed.spec != spec {
                return Err(CryptoError::Malformed("reference to a token object"));
            }
            Ok(deed)
        };
        opened().map_err(|e| self.stored_error("reference to a token object", e))
    }

    /// AES-GCM: `IV || ciphertext || tag`.
    pub(super) async fn seal_with(&self, key: &Usable, aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeystoreError> {
        match key {
            Usable::Here(material) => {
                material.seal(self.random.as_ref(), aad, plaintext).map_err(|e| self.use_error(e))
            }
            Usable::There(token, deed) => {
                symmetric(deed)?;
                let mut iv = [0; IV];
                self.random.fill(&mut iv);
                let sealed = token.seal(deed.object, iv, aad, plaintext).await.map_err(|e| self.token_error(e))?;
                Ok([iv.as_slice(), &sealed].concat())
            }
        }
    }

    /// Opens what [`Self::seal_with`] made.
    pub(super) async fn open_with(
        &self,
        key: &Usable,
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        match key {
            Usable::Here(material) => material.open(aad, sealed).map_err(|e| self.use_error(e)),
            Usable::There(token, deed) => {
                symmetric(deed)?;
                let (iv, text) = sealed.split_first_chunk::<IV>().ok_or(KeystoreError::Rejected)?;
                token.open(deed.object, *iv, aad, text).await.map_err(|e| self.token_error(e))
            }
        }
    }

    /// Signs a SHA-256 digest.
    pub(super) async fn sign_with(
        &self,
        key: &Usable,
        algorithm: SignAlgorithm,
        digest: &[u8],
    ) -> Result<Vec<u8>, KeystoreError> {
        match key {
            Usable::Here(material) => {
                let digest = digest.to_vec();
                self.use_material(Arc::clone(material), move |m| m.sign(algorithm, &digest)).await
            }
            Usable::There(token, deed) => token.sign(deed, algorithm, digest).await.map_err(|e| self.token_error(e)),
        }
    }

    /// The code of a message.
    pub(super) fn mac_with(
        &self,
        key: &Usable,
        algorithm: MacAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, KeystoreError> {
        match key {
            Usable::Here(material) => material.mac(algorithm, message).map_err(|e| self.use_error(e)),
            Usable::There(..) => Err(KeystoreError::Unsuitable("the algorithm does not fit its spec")),
        }
    }

    /// Opens an RSA-OAEP ciphertext.
    pub(super) async fn decrypt_with(
        &self,
        key: &Usable,
        algorithm: DecryptAlgorithm,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        match key {
            Usable::Here(material) => {
                let ciphertext = ciphertext.to_vec();
                self.use_material(Arc::clone(material), move |m| m.decrypt(algorithm, &ciphertext)).await
            }
            Usable::There(token, deed) => {
                token.decrypt(deed, algorithm, ciphertext).await.map_err(|e| self.token_error(e))
            }
        }
    }

    /// DER SubjectPublicKeyInfo.
    pub(super) fn public_key_of(&self, key: &Usable) -> Result<Vec<u8>, KeystoreError> {
        match key {
            Usable::Here(material) => material.public_key_der().map_err(|e| self.use_error(e)),
            Usable::There(_, deed) if deed.public.is_empty() => Err(KeystoreError::Unsuitable("it has no public key")),
            Usable::There(_, deed) => Ok(deed.public.clone()),
        }
    }

    /// Holds a key in the token to what its record says; nothing to do for one in memory, which has been opened.
    pub(super) async fn prove_usable(&self, key: &Usable) -> Result<(), KeystoreError> {
        match key {
            Usable::Here(_) => Ok(()),
            Usable::There(token, deed) => token.prove(deed).await.map_err(|e| self.token_error(e)),
        }
    }

    /// What a failure of the token means for a caller of the keystore.
    pub(super) fn token_error(&self, error: TokenError) -> KeystoreError {
        let keystore = self.id.clone();
        match error {
            TokenError::Rejected => KeystoreError::Rejected,
            TokenError::Unsuitable(why) => KeystoreError::Unsuitable(why),
            TokenError::Full(_) => KeystoreError::Full { keystore, detail: error.to_string() },
            TokenError::Missing(_) => KeystoreError::Damaged { keystore, detail: error.to_string() },
            TokenError::Unreachable(_) | TokenError::PinRefused(_) | TokenError::OfferGone | TokenError::Failed(_) => {
                KeystoreError::Unavailable { keystore, detail: error.to_string() }
            }
        }
    }

    /// As [`Self::token_error`], where the token itself was asked and not one of its keys.
    pub(super) fn unready(&self, error: TokenError) -> KeystoreError {
        match error {
            TokenError::Unsuitable(why) => KeystoreError::Unfit {
                keystore: self.id.clone(),
                fault: Unfit::Token,
                detail: why.to_owned(),
                remedy: "give the instance a token that does what docs/hardware.md lists".to_owned(),
            },
            other => self.token_error(other),
        }
    }
}

fn symmetric(deed: &Deed) -> Result<(), KeystoreError> {
    if deed.spec.is_symmetric() { Ok(()) } else { Err(KeystoreError::Unsuitable("it is not symmetric")) }
}
