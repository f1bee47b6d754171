//! What the sealed store knows of a key that lies in a token.

use std::fmt;

use crate::crypto::{CryptoError, Reader, Writer};
use crate::model::{KeySpec, Random};

/// Names an object in a token: its CKA_ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub [u8; ObjectId::LEN]);

impl ObjectId {
    /// Bytes of an ID.
    pub const LEN: usize = 16;

    /// A new name.
    #[must_use]
    pub fn generate(random: &dyn Random) -> Self {
        let mut id = [0; Self::LEN];
        random.fill(&mut id);
        Self(id)
    }

    /// The name that hexadecimal text spells.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok()).map(Self)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A key in the token, as a sealed record describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// The object.
    pub object: ObjectId,
    /// What it is.
    pub spec: KeySpec,
    /// The public half as DER SubjectPublicKeyInfo; empty for symmetric keys.
    pub public: Vec<u8>,
}

impl Deed {
    /// The canonical form, to be sealed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(FORMAT).field(&self.object.0).text(self.spec.as_str()).field(&self.public).finish()
    }

    /// Reads it back.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] when it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, CryptoError> {
        let malformed = CryptoError::Malformed(WHAT);
        let mut reader = Reader::new(bytes, WHAT);
        if reader.u8()? != FORMAT {
            return Err(malformed);
        }
        let object = ObjectId(reader.field()?.try_into().map_err(|_| malformed)?);
        let (spec, public) = (reader.text()?, reader.field()?.to_vec());
        reader.end()?;
        Ok(Self { object, spec, public })
    }
}

const FORMAT: u8 = 1;
const WHAT: &str = "reference to a token object";
