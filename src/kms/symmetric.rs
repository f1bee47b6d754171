//! Encrypt, Decrypt and data keys: ciphertext blobs under symmetric keys (formats: [`crate::crypto::blob`]).

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::{AskError, Caller, KmsError, Service};
use crate::catalogue::KeyOrAlias;
use crate::crypto::blob;
use crate::keystore::{KeystoreError, Place};
use crate::model::{KeyId, KeyRecord, KeyUsage, MaterialId, ResourceId, Scope};
use crate::observe::{Event, Fields, emit};

/// Uses of a key version after which somebody should look (design §5).
const MANY_USES: u64 = 1 << 31;
/// Uses of a key version at which it is refused: the bound of NIST SP 800-38D, section 8.3.
const MOST_USES: u64 = 1 << 32;
/// The warning is repeated after so many further uses.
const WARN_EVERY: u64 = 1 << 16;

/// What Encrypt made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The ciphertext blob.
    pub blob: Vec<u8>,
    /// The key.
    pub key: KeyId,
    /// Its version.
    pub version: MaterialId,
}

/// What Decrypt opened. No `Debug`: it holds a plaintext.
pub struct Opened {
    /// The plaintext.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// The key.
    pub key: KeyId,
    /// Its version.
    pub version: MaterialId,
}

impl Service {
    /// Encrypts under the primary version of a symmetric key.
    ///
    /// # Errors
    /// `KeyState`, `UnsupportedOperation` for an asymmetric key, `LimitExceeded` at 2^32 uses of the version.
    pub async fn encrypt(
        &self,
        caller: &Caller,
        name: &KeyOrAlias,
        plaintext: &[u8],
        context: &BTreeMap<String, String>,
    ) -> Result<Sealed, KmsError> {
        let key = self.find_usable(&caller.scope(), name).await?;
        self.seal_blob(&key, plaintext, context).await
    }

    /// A random data key of `length` bytes, in the clear and encrypted.
    ///
    /// # Errors
    /// As [`Service::encrypt`].
    pub async fn generate_data_key(
        &self,
        caller: &Caller,
        name: &KeyOrAlias,
        length: usize,
        context: &BTreeMap<String, String>,
    ) -> Result<(Zeroizing<Vec<u8>>, Sealed), KmsError> {
        let mut plaintext = Zeroizing::new(vec![0; length]);
        self.random.fill(&mut plaintext);
        let sealed = self.encrypt(caller, name, &plaintext, context).await?;
        Ok((plaintext, sealed))
    }

    /// Opens a ciphertext blob under the key that it names.
    ///
    /// # Errors
    /// `InvalidParameter` for a blob that does not open, whatever the reason (damage, another context, no such key);
    /// `KeyState` when the key cannot be used.
    pub async fn decrypt(
        &self,
        caller: &Caller,
        sealed: &[u8],
        context: &BTreeMap<String, String>,
    ) -> Result<Opened, KmsError> {
        let (header, _) = blob::parse(sealed).map_err(|_| rejected())?;
        let key = self.catalogue.key(&caller.region, &header.key_id).await?;
        let key = key.filter(|key| key.account == caller.scope().account).ok_or_else(rejected)?;
        self.require_enabled(&key)?;
        self.open_blob(&key, sealed, context).await
    }

    /// Encrypts under the primary version of a key record that the caller has checked.
    ///
    /// # Errors
    /// `UnsupportedOperation` for an asymmetric key, `LimitExceeded` at 2^32 uses of the version.
    pub async fn seal_blob(
        &self,
        key: &KeyRecord,
        plaintext: &[u8],
        context: &BTreeMap<String, String>,
    ) -> Result<Sealed, KmsError> {
        if !key.spec.is_symmetric() || key.usage != KeyUsage::EncryptDecrypt {
            return Err(KmsError::UnsupportedOperation("the key is not symmetric".to_owned()));
        }
        let version = key.primary_version.clone().ok_or(KmsError::KeyState("PendingImport"))?;
        let header = blob::Header { key_id: key.id.clone(), version };
        let place = Place { incarnation: key.incarnation.clone(), version: header.version.clone() };
        self.count_use_of(key, &place).await?;
        let aad = blob::aad(&header, context);
        let (place, aad) = (&place, aad.as_slice());
        let sealed =
            self.ask_for_key(key, |keystore| async move { keystore.seal(place, aad, plaintext).await }).await?;
        Ok(Sealed { blob: blob::assemble(&header, &sealed), key: header.key_id, version: header.version })
    }

    /// Opens a blob that must be one of this key, whose state the caller has checked.
    ///
    /// # Errors
    /// `InvalidParameter` when it does not open.
    pub async fn open_blob(
        &self,
        key: &KeyRecord,
        sealed: &[u8],
        context: &BTreeMap<String, String>,
    ) -> Result<Opened, KmsError> {
        let (header, body) = blob::parse(sealed).map_err(|_| rejected())?;
        if header.key_id != key.id || !key.spec.is_symmetric() {
            return Err(rejected());
        }
        // A version ID that was damaged would look like one that has moved.
        if self.catalogue.key_version(&key.incarnation, &header.version).await?.is_none() {
            return Err(rejected());
        }
        let place = Place { incarnation: key.incarnation.clone(), version: header.version.clone() };
        let aad = blob::aad(&header, context);
        let (place, aad) = (&place, aad.as_slice());
        match self.ask_for_key(key, |keystore| async move { keystore.open(place, aad, body).await }).await {
            Ok(plaintext) => Ok(Opened { plaintext, key: header.key_id, version: header.version }),
            Err(AskError::Keystore(KeystoreError::Rejected)) => Err(rejected()),
            Err(error) => Err(error.into()),
        }
    }

    async fn count_use_of(&self, key: &KeyRecord, place: &Place) -> Result<(), KmsError> {
        let uses = self.catalogue.count_use(&key.region, place).await?;
        if uses > MOST_USES {
            return Err(KmsError::LimitExceeded(
                "This key version was used 2^32 times; make a new one with CreateKeyVersion.".to_owned(),
            ));
        }
        if uses > MANY_USES && uses % WARN_EVERY == 1 {
            let scope = Scope { region: key.region.clone(), account: key.account.clone() };
            let fields = Fields::new().scope(&scope).resource(&ResourceId::Key(key.id.clone()));
            emit(Event::KeyUsageHigh, &fields, "a key version was used more than 2^31 times; at 2^32 it is refused");
        }
        Ok(())
    }
}

fn rejected() -> KmsError {
    KmsError::InvalidParameter("CiphertextBlob")
}
