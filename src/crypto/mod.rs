//! Cryptography without storage: key material, ciphertext blobs, sealing, envelopes and parcels.
//!
//! Knows only [`crate::model`]. Served operations run in aws-lc-rs (secp256k1 in k256); [`verify`] is a second,
//! independent implementation (RustCrypto) for the proofs and for public-key operations.

pub mod archive;
pub mod blob;
mod encoding;
pub mod envelope;
mod error;
pub mod identity;
pub mod mac;
pub mod material;
pub mod oaep;
pub mod offer;
mod opened;
pub mod parcel;
pub mod password;
pub mod sealing;
pub mod ssh_key;
pub mod transport;
pub mod verify;

pub use encoding::base64_bytes;
pub(crate) use encoding::{Reader, Writer, digest_field};
pub use error::CryptoError;
