//! Keys on their way in: an ephemeral AES key by RSA-OAEP, keys by AES key wrap with padding (RFC 5649) under it.
//!
//! Which hash the token's OAEP takes, and that its key wrap is the one of the RFC, is found out by doing it once with a
//! known key: what modules say of their mechanisms is not always so.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, KeyType, ObjectClass};

use super::connection::Link;
use super::owner::Owner;
use super::using::{IV, oaep};
use super::{Deed, ObjectId, TokenError};
use crate::crypto::material::KeyMaterial;
use crate::crypto::oaep::OaepHash;
use crate::crypto::transport::TransportKeys;
use crate::model::{KeySpec, Random, SystemRandom};

/// How keys come in, as tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unwrapping {
    pub(super) oaep: OaepHash,
}

/// Names the private key behind an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferId(pub(super) ObjectId);

/// Names an ephemeral key that came in under an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KekId(pub(super) ObjectId);

/// An offer's key: the private half is in the token as long as this lives, and no longer than the token's session.
pub struct TokenOffer {
    pub(super) id: OfferId,
    pub(super) public: Vec<u8>,
    pub(super) oaep: OaepHash,
    owner: Weak<Owner>,
    /// The ephemeral keys that came in under it: they go with it.
    keks: Mutex<Vec<ObjectId>>,
}

impl TokenOffer {
    /// Names it.
    #[must_use]
    pub const fn id(&self) -> OfferId {
        self.id
    }

    /// The public half as DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn public_der(&self) -> &[u8] {
        &self.public
    }

    /// The strongest hash that the token's OAEP takes.
    #[must_use]
    pub const fn oaep(&self) -> OaepHash {
        self.oaep
    }
}

impl Drop for TokenOffer {
    fn drop(&mut self) {
        let OfferId(id) = self.id;
        let mut ids = std::mem::take(self.keks.get_mut().unwrap_or_else(PoisonError::into_inner));
        ids.push(id);
        if let Some(owner) = self.owner.upgrade() {
            owner.leave(move |connection| {
                // A lost session has taken them along.
                let _ = connection.using(false, |link| ids.iter().try_for_each(|id| link.destroy(*id)));
            });
        }
    }
}

impl Link {
    /// A new pair for an offer, for the life of this session.
    pub(super) fn offer(&mut self, id: ObjectId) -> Result<(Vec<u8>, OaepHash), TokenError> {
        let Unwrapping { oaep } = self.unwrapping()?;
        Ok((self.transport_pair(id)?, oaep))
    }

    /// Takes an ephemeral key in, for the life of this session.
    pub(super) fn take_kek(
        &mut self,
        offer: ObjectId,
        id: ObjectId,
        hash: OaepHash,
        wrapped: &[u8],
    ) -> Result<(), TokenError> {
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Token(false),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(false),
            Attribute::Decrypt(false),
            Attribute::Unwrap(true),
            Attribute::Id(id.0.to_vec()),
            Attribute::Label(self.label.clone().into_bytes()),
        ];
        let handle = self.with_key(offer, |session, key| {
            session.unwrap_key(&Mechanism::RsaPkcsOaep(oaep(hash)), key, wrapped, &template)
        })?;
        self.remember(id, handle);
        Ok(())
    }

    /// Takes a key in that is wrapped under an ephemeral one.
    pub(super) fn unwrap(
        &mut self,
        kek: ObjectId,
        id: ObjectId,
        spec: KeySpec,
        wrapped: &[u8],
    ) -> Result<Deed, TokenError> {
        let length = spec.raw_len().filter(|_| spec.is_symmetric());
        let length = length.ok_or(TokenError::Unsuitable("only AES keys come into a token"))?;
        // RFC 5649: whole blocks of 8 bytes and one more.
        if wrapped.len() != length.saturating_add(8) {
            return Err(TokenError::Rejected);
        }
        let template = self.aes_template(id);
        let handle =
            self.with_key(kek, |session, key| session.unwrap_key(&Mechanism::AesKeyWrapPad, key, wrapped, &template))?;
        if let Err(error) = self.check_sensitive(handle) {
            self.destroy(id)?;
            return Err(error);
        }
        self.remember(id, handle);
        Ok(Deed { object: id, spec, public: Vec::new() })
    }

    /// Takes in a key that the process holds (BYOK), by the same way.
    pub(super) fn import(&mut self, id: ObjectId, material: &KeyMaterial) -> Result<Deed, TokenError> {
        let Unwrapping { oaep } = self.unwrapping()?;
        let pair = ObjectId::generate(&SystemRandom);
        let public = self.transport_pair(pair)?;
        let brought = self.bring(pair, &public, oaep, id, material);
        let gone = self.destroy(pair);
        let deed = brought?;
        gone?;
        Ok(deed)
    }

    fn bring(
        &mut self,
        pair: ObjectId,
        public: &[u8],
        oaep: OaepHash,
        id: ObjectId,
        material: &KeyMaterial,
    ) -> Result<Deed, TokenError> {
        let failed = |_| TokenError::Failed("wrapping for it".to_owned());
        let keys = TransportKeys::generate(&SystemRandom);
        let wrapped_kek = keys.wrap_kek(public, oaep).map_err(failed)?;
        let wrapped = keys.wrap_material(material).map_err(failed)?;
        let kek = ObjectId::generate(&SystemRandom);
        self.take_kek(pair, kek, oaep, &wrapped_kek)?;
        let deed = self.unwrap(kek, id, material.spec(), &wrapped);
        self.destroy(kek)?;
        deed
    }

    fn transport_pair(&mut self, id: ObjectId) -> Result<Vec<u8>, TokenError> {
        let bits = self.transport_bits();
        self.rsa_pair(id, false, bits, &[Attribute::Unwrap(true), Attribute::Decrypt(false), Attribute::Sign(false)])
    }

    /// What works, tried once a session.
    pub(super) fn unwrapping(&mut self) -> Result<Unwrapping, TokenError> {
        if let Some(known) = self.unwrapping {
            return Ok(known);
        }
        for (mechanism, text) in NEEDED {
            if !self.offers(mechanism) {
                return Err(TokenError::Unsuitable(text));
            }
        }
        let pair = ObjectId::generate(&SystemRandom);
        let public = self.transport_pair(pair)?;
        let mut found =
            Err(TokenError::Unsuitable("the token takes OAEP with none of SHA-512, SHA-384, SHA-256 and SHA-1"));
        for oaep in OaepHash::ALL {
            match self.try_out(pair, &public, oaep) {
                Ok(()) => {
                    found = Ok(Unwrapping { oaep });
                    break;
                }
                Err(error @ (TokenError::Full(_) | TokenError::PinRefused(_))) => {
                    found = Err(error);
                    break;
                }
                Err(_) => {}
            }
        }
        self.destroy(pair)?;
        let found = found?;
        self.unwrapping = Some(found);
        Ok(found)
    }

    /// Brings a known key in, uses it, and destroys it.
    fn try_out(&mut self, pair: ObjectId, public: &[u8], oaep: OaepHash) -> Result<(), TokenError> {
        let failed = |_| TokenError::Failed("wrapping for it".to_owned());
        let material = KeyMaterial::generate(KeySpec::Aes256, &SystemRandom).map_err(failed)?;
        let opened = material.open().map_err(failed)?;
        let id = ObjectId::generate(&SystemRandom);
        self.bring(pair, public, oaep, id, &material)?;
        let mut iv = [0; IV];
        SystemRandom.fill(&mut iv);
        let sealed = self.seal(id, iv, TRIAL, TRIAL);
        self.destroy(id)?;
        let whole = [iv.as_slice(), &sealed?].concat();
        match opened.open(TRIAL, &whole) {
            Ok(text) if text.as_slice() == TRIAL => Ok(()),
            _ => Err(TokenError::Failed("its AES-GCM or key wrap is another one than ours".to_owned())),
        }
    }
}

/// Without these nothing comes in or works.
const NEEDED: [(MechanismType, &str); 4] = [
    (MechanismType::AES_GCM, "the token does not offer CKM_AES_GCM, which every symmetric key needs"),
    (MechanismType::RSA_PKCS_KEY_PAIR_GEN, "the token does not offer CKM_RSA_PKCS_KEY_PAIR_GEN, which import needs"),
    (MechanismType::RSA_PKCS_OAEP, "the token does not offer CKM_RSA_PKCS_OAEP, which import needs"),
    (MechanismType::AES_KEY_WRAP_PAD, "the token does not offer CKM_AES_KEY_WRAP_PAD, which import needs"),
];
const TRIAL: &[u8] = b"keyferry trial v1";

impl TokenOffer {
    pub(super) fn new(id: ObjectId, public: Vec<u8>, oaep: OaepHash, owner: &Arc<Owner>) -> Self {
        Self { id: OfferId(id), public, oaep, owner: Arc::downgrade(owner), keks: Mutex::default() }
    }

    /// Notes an ephemeral key that is to go with the offer.
    pub(super) fn note(&self, kek: ObjectId) {
        self.keks.lock().unwrap_or_else(PoisonError::into_inner).push(kek);
    }
}
