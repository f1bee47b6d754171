//! Message authentication codes under HMAC keys, which only instances have.

use subtle::ConstantTimeEq;

use super::{Caller, KmsError, Service};
use crate::catalogue::KeyOrAlias;
use crate::crypto::mac::MacAlgorithm;
use crate::keystore::Place;
use crate::model::KeyId;

impl Service {
    /// GenerateMac.
    ///
    /// # Errors
    /// `KeyState`, `UnsupportedOperation` for a key of another usage, `InvalidParameter` for an algorithm of another spec.
    pub async fn generate_mac(
        &self,
        caller: &Caller,
        name: &KeyOrAlias,
        algorithm: MacAlgorithm,
        message: &[u8],
    ) -> Result<(KeyId, Vec<u8>), KmsError> {
        let key = self.find_usable(&caller.scope(), name).await?;
        if !key.spec.is_mac() {
            let why = format!("the usage of the key is {}", key.usage.as_str());
            return Err(KmsError::UnsupportedOperation(why));
        }
        if !algorithm.fits(key.spec) {
            return Err(KmsError::InvalidParameter("Algorithm"));
        }
        let version = key.primary_version.clone().ok_or(KmsError::KeyState("PendingImport"))?;
        let place = &Place { incarnation: key.incarnation.clone(), version };
        let code =
            self.ask_for_key(&key, |keystore| async move { keystore.mac(place, algorithm, message).await }).await?;
        Ok((key.into_value().id, code))
    }

    /// VerifyMac: whether a code is the one of the message.
    ///
    /// # Errors
    /// As [`Service::generate_mac`]; another code is an answer, not an error.
    pub async fn verify_mac(
        &self,
        caller: &Caller,
        name: &KeyOrAlias,
        algorithm: MacAlgorithm,
        message: &[u8],
        code: &[u8],
    ) -> Result<(KeyId, bool), KmsError> {
        let (key, expected) = self.generate_mac(caller, name, algorithm, message).await?;
        Ok((key, bool::from(expected.as_slice().ct_eq(code))))
    }
}
