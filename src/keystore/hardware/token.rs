//! A token as the rest of the program sees it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::connection::Connection;
use super::owner::Owner;
use super::pin::PinHolder;
use super::{Deed, KekId, ObjectId, OfferId, Pin, TokenError, TokenOffer};
use crate::crypto::material::{DecryptAlgorithm, KeyMaterial, SignAlgorithm};
use crate::model::{InstanceId, KeySpec, SystemRandom};

/// Which token, and for which instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenAddress {
    /// The PKCS#11 module.
    pub module: PathBuf,
    /// CKA_LABEL of the token: slot numbers change.
    pub label: String,
    /// The instance: objects carry its ID in their label.
    pub instance: InstanceId,
}

/// Use of a token. A token that cannot be reached is looked for again at each use.
pub struct Token {
    address: TokenAddress,
    pin: Arc<PinHolder>,
    owner: Arc<Owner>,
}

/// For what a request of an application waits for.
const DAILY: Duration = Duration::from_secs(5);
/// For what makes keys or takes them in.
const MAKING: Duration = Duration::from_secs(60);

impl Token {
    /// Starts the token's owner; does not go to the token yet.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(address: TokenAddress, pin: Pin) -> std::io::Result<Self> {
        let pin = Arc::new(PinHolder::new(pin));
        let connection = Connection::new(address.clone(), Arc::clone(&pin));
        let owner = Owner::start(format!("token-{}", address.instance), connection)?;
        Ok(Self { address, pin, owner: Arc::new(owner) })
    }

    /// Which one it is.
    #[must_use]
    pub const fn address(&self) -> &TokenAddress {
        &self.address
    }

    /// Puts a PIN in force; one that was refused before may be tried once more.
    pub fn set_pin(&self, pin: Pin) {
        self.pin.set(pin);
    }

    /// Whether it can be reached, lets us in and can take keys in. Answers how many bytes are free for private objects,
    /// where the token tells.
    ///
    /// # Errors
    /// What is in the way.
    pub async fn ready(&self) -> Result<Option<u64>, TokenError> {
        let look = |link: &mut super::connection::Link| {
            link.unwrapping()?;
            let info = link.context.get_token_info(link.slot).map_err(super::error::classify)?;
            if info.write_protected() {
                return Err(TokenError::Unsuitable("the token is write-protected"));
            }
            Ok(info.free_private_memory().and_then(|bytes| u64::try_from(bytes).ok()))
        };
        let work = move |connection: &mut Connection| {
            connection.look_again();
            connection.using(true, look)
        };
        self.owner.call(MAKING, work).await
    }

    /// Whether it can be reached and lets us in. Asks less of it than [`Token::ready`], so that it may be asked often.
    ///
    /// # Errors
    /// What is in the way.
    pub async fn reachable(&self) -> Result<(), TokenError> {
        self.owner.call(DAILY, |connection| connection.using(true, |link| link.present())).await
    }

    /// Makes a key under a fresh name.
    ///
    /// # Errors
    /// [`TokenError::Unsuitable`] for what the token does not offer.
    pub async fn generate(&self, id: ObjectId, spec: KeySpec) -> Result<Deed, TokenError> {
        self.owner.call(MAKING, move |connection| connection.using(false, |link| link.generate(id, spec))).await
    }

    /// Takes in a key that the process holds (BYOK), under a fresh name.
    ///
    /// # Errors
    /// [`TokenError::Unsuitable`] for what is not AES.
    pub async fn import(&self, id: ObjectId, material: KeyMaterial) -> Result<Deed, TokenError> {
        self.owner.call(MAKING, move |connection| connection.using(false, |link| link.import(id, &material))).await
    }

    /// A key pair for a transport offer.
    ///
    /// # Errors
    /// As [`Token::ready`].
    pub async fn offer(&self) -> Result<TokenOffer, TokenError> {
        let id = ObjectId::generate(&SystemRandom);
        let made = self.owner.call(MAKING, move |connection| connection.using(true, |link| link.offer(id))).await;
        let (public, oaep) = made?;
        Ok(TokenOffer::new(id, public, oaep, &self.owner))
    }

    /// Takes in the ephemeral key that was wrapped for an offer.
    ///
    /// # Errors
    /// [`TokenError::Rejected`] when it was not; [`TokenError::OfferGone`] where the session was lost since.
    pub async fn take_kek(&self, named: &TokenOffer, wrapped: &[u8]) -> Result<KekId, TokenError> {
        let (OfferId(offer), oaep, wrapped) = (named.id, named.oaep, wrapped.to_vec());
        let kek = ObjectId::generate(&SystemRandom);
        named.note(kek);
        let work = move |connection: &mut Connection| {
            connection.using(false, |link| session_bound(link.take_kek(offer, kek, oaep, &wrapped)))
        };
        self.owner.call(MAKING, work).await.map(|()| KekId(kek))
    }

    /// Takes in a key that is wrapped under an ephemeral one, under a fresh name.
    ///
    /// # Errors
    /// As [`Token::take_kek`].
    pub async fn unwrap(&self, kek: KekId, id: ObjectId, spec: KeySpec, wrapped: &[u8]) -> Result<Deed, TokenError> {
        let (KekId(kek), wrapped) = (kek, wrapped.to_vec());
        let work = move |connection: &mut Connection| {
            connection.using(false, |link| session_bound(link.unwrap(kek, id, spec, &wrapped)))
        };
        self.owner.call(MAKING, work).await
    }

    /// Destroys objects; those that are not there count as destroyed.
    ///
    /// # Errors
    /// The first failure; what was destroyed before stays so.
    pub async fn destroy(&self, ids: Vec<ObjectId>) -> Result<(), TokenError> {
        let work = move |connection: &mut Connection| {
            connection.using(true, |link| ids.iter().try_for_each(|id| link.destroy(*id)))
        };
        self.owner.call(MAKING, work).await
    }

    /// Whether the key is there and works.
    ///
    /// # Errors
    /// [`TokenError::Missing`] when it is not there.
    pub async fn prove(&self, deed: &Deed) -> Result<(), TokenError> {
        let deed = deed.clone();
        self.owner.call(DAILY, move |connection| connection.using(true, |link| link.prove(&deed))).await
    }

    /// AES-GCM under a given IV: `ciphertext || tag`.
    ///
    /// # Errors
    /// [`TokenError::Missing`], or a token that does not answer.
    pub async fn seal(&self, id: ObjectId, iv: [u8; 12], aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, TokenError> {
        let (aad, plaintext) = (aad.to_vec(), Zeroizing::new(plaintext.to_vec()));
        let work =
            move |connection: &mut Connection| connection.using(true, |link| link.seal(id, iv, &aad, &plaintext));
        self.owner.call(DAILY, work).await
    }

    /// Opens what [`Token::seal`] made.
    ///
    /// # Errors
    /// [`TokenError::Rejected`] when it does not open.
    pub async fn open(
        &self,
        id: ObjectId,
        iv: [u8; 12],
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        let (aad, sealed) = (aad.to_vec(), sealed.to_vec());
        let work = move |connection: &mut Connection| connection.using(true, |link| link.open(id, iv, &aad, &sealed));
        self.owner.call(DAILY, work).await
    }

    /// Signs a SHA-256 digest; DER for ECDSA.
    ///
    /// # Errors
    /// [`TokenError::Unsuitable`] when the algorithm does not fit.
    pub async fn sign(&self, deed: &Deed, algorithm: SignAlgorithm, digest: &[u8]) -> Result<Vec<u8>, TokenError> {
        let (deed, digest) = (deed.clone(), digest.to_vec());
        let work =
            move |connection: &mut Connection| connection.using(true, |link| link.sign(&deed, algorithm, &digest));
        self.owner.call(DAILY, work).await
    }

    /// Opens an RSA-OAEP ciphertext.
    ///
    /// # Errors
    /// [`TokenError::Rejected`] when it does not open, [`TokenError::Unsuitable`] when the token does not do it.
    pub async fn decrypt(
        &self,
        deed: &Deed,
        algorithm: DecryptAlgorithm,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        let (deed, ciphertext) = (deed.clone(), ciphertext.to_vec());
        let work = move |connection: &mut Connection| {
            connection.using(true, |link| link.decrypt(&deed, algorithm, &ciphertext))
        };
        self.owner.call(DAILY, work).await
    }
}

/// Keys of a session are not missing in the token: they went with the session.
fn session_bound<T>(outcome: Result<T, TokenError>) -> Result<T, TokenError> {
    match outcome {
        Err(TokenError::Missing(_)) => Err(TokenError::OfferGone),
        other => other,
    }
}
