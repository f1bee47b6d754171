//! Objects in the token: made, described, destroyed. On its owner's thread.

use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};

use super::connection::Link;
use super::error::{NOT_OFFERED, classify};
use super::public::{curve, ec_der, rsa_der};
use super::{Deed, ObjectId, TokenError};
use crate::model::KeySpec;

/// F4, the public exponent of every RSA key.
const EXPONENT: [u8; 3] = [1, 0, 1];

impl Link {
    /// Makes a key in the token.
    pub(super) fn generate(&mut self, id: ObjectId, spec: KeySpec) -> Result<Deed, TokenError> {
        match spec {
            KeySpec::Aes128 | KeySpec::Aes192 | KeySpec::Aes256 => {
                let bytes = spec.raw_len().and_then(|length| u64::try_from(length).ok()).unwrap_or_default();
                let mut template = self.aes_template(id);
                template.push(Attribute::ValueLen(bytes.into()));
                let handle = self.session.generate_key(&Mechanism::AesKeyGen, &template).map_err(classify)?;
                self.remember(id, handle);
                Ok(Deed { object: id, spec, public: Vec::new() })
            }
            KeySpec::Rsa2048 | KeySpec::Rsa3072 | KeySpec::Rsa4096 => {
                let bits = match spec {
                    KeySpec::Rsa2048 => 2048,
                    KeySpec::Rsa3072 => 3072,
                    _ => 4096,
                };
                let public = self.rsa_pair(id, true, bits, &[Attribute::Decrypt(true), Attribute::Sign(true)])?;
                Ok(Deed { object: id, spec, public })
            }
            KeySpec::EcP256 | KeySpec::EcP256k => {
                let parameters = curve(spec).ok_or(TokenError::Unsuitable(NOT_OFFERED))?.to_vec();
                let public = [
                    Attribute::Token(false),
                    Attribute::Private(false),
                    Attribute::Verify(true),
                    Attribute::EcParams(parameters),
                ];
                let mut private = self.private_template(id, true);
                private.push(Attribute::Sign(true));
                let pair = self.session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private);
                let (public, private) = pair.map_err(classify)?;
                self.remember(id, private);
                let point = self.bytes(public, AttributeType::EcPoint);
                self.drop_public(public);
                Ok(Deed { object: id, spec, public: ec_der(spec, &point?)? })
            }
            KeySpec::HmacSha224 | KeySpec::HmacSha256 | KeySpec::HmacSha384 | KeySpec::HmacSha512 => {
                Err(TokenError::Unsuitable("a hardware instance does not take HMAC keys"))
            }
        }
    }

    /// Makes an RSA pair; answers the public half as DER SubjectPublicKeyInfo.
    pub(super) fn rsa_pair(
        &mut self,
        id: ObjectId,
        token: bool,
        bits: u64,
        uses: &[Attribute],
    ) -> Result<Vec<u8>, TokenError> {
        let public = [
            Attribute::Token(false),
            Attribute::Private(false),
            Attribute::ModulusBits(bits.into()),
            Attribute::PublicExponent(EXPONENT.to_vec()),
        ];
        let mut private = self.private_template(id, token);
        private.extend_from_slice(uses);
        let pair = self.session.generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &public, &private);
        let (public, private) = pair.map_err(classify)?;
        self.remember(id, private);
        let parts = self.bytes(public, AttributeType::Modulus).and_then(|modulus| {
            let exponent = self.bytes(public, AttributeType::PublicExponent)?;
            rsa_der(&modulus, &exponent)
        });
        self.drop_public(public);
        parts
    }

    /// The largest RSA key up to 3072 bits that the token makes.
    pub(super) fn transport_bits(&self) -> u64 {
        let info = self.context.get_mechanism_info(self.slot, MechanismType::RSA_PKCS_KEY_PAIR_GEN);
        if info.is_ok_and(|info| info.max_key_size() < 3072) { 2048 } else { 3072 }
    }

    /// What every AES key of ours is.
    pub(super) fn aes_template(&self, id: ObjectId) -> Vec<Attribute> {
        vec![
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            Attribute::Wrap(false),
            Attribute::Unwrap(false),
            Attribute::Id(id.0.to_vec()),
            Attribute::Label(self.label.clone().into_bytes()),
        ]
    }

    fn private_template(&self, id: ObjectId, token: bool) -> Vec<Attribute> {
        vec![
            Attribute::Token(token),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Id(id.0.to_vec()),
            Attribute::Label(self.label.clone().into_bytes()),
        ]
    }

    /// Holds an imported key to what we asked for: sensitive, and not extractable.
    pub(super) fn check_sensitive(&self, handle: ObjectHandle) -> Result<(), TokenError> {
        let asked = [AttributeType::Sensitive, AttributeType::Extractable];
        let found = self.session.get_attributes(handle, &asked).map_err(classify)?;
        if found.contains(&Attribute::Sensitive(true)) && found.contains(&Attribute::Extractable(false)) {
            return Ok(());
        }
        Err(TokenError::Failed("it made a key extractable that was not to be".to_owned()))
    }

    /// Destroys every object of ours of this name. Nothing to do where there is none.
    pub(super) fn destroy(&mut self, id: ObjectId) -> Result<(), TokenError> {
        self.forget(id);
        let ours = [Attribute::Id(id.0.to_vec()), Attribute::Label(self.label.clone().into_bytes())];
        for handle in self.session.find_objects(&ours).map_err(classify)? {
            self.session.destroy_object(handle).map_err(classify)?;
        }
        Ok(())
    }

    fn bytes(&self, handle: ObjectHandle, what: AttributeType) -> Result<Vec<u8>, TokenError> {
        let found = self.session.get_attributes(handle, &[what]).map_err(classify)?;
        match found.into_iter().next() {
            Some(Attribute::Modulus(bytes) | Attribute::PublicExponent(bytes) | Attribute::EcPoint(bytes)) => Ok(bytes),
            _ => Err(TokenError::Failed("it does not tell a public key".to_owned())),
        }
    }

    /// The public half is in the deed; in the token it would only take room.
    fn drop_public(&self, handle: ObjectHandle) {
        let _ = self.session.destroy_object(handle);
    }
}
