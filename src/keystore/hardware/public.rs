//! Public keys and signatures in the forms of the API, from those of PKCS#11.

use rsa::pkcs8::EncodePublicKey;

use super::TokenError;
use crate::model::KeySpec;

/// DER of the object identifier of a curve (RFC 5480, SEC 2).
pub(super) const fn curve(spec: KeySpec) -> Option<&'static [u8]> {
    match spec {
        KeySpec::EcP256 => Some(&[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]),
        KeySpec::EcP256k => Some(&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a]),
        _ => None,
    }
}

/// SubjectPublicKeyInfo of an RSA key.
pub(super) fn rsa_der(modulus: &[u8], exponent: &[u8]) -> Result<Vec<u8>, TokenError> {
    let number = rsa::BoxedUint::from_be_slice_vartime;
    let key = rsa::PublicKey::new(number(modulus), number(exponent)).map_err(|_| unusable())?;
    Ok(key.to_public_key_der().map_err(|_| unusable())?.as_bytes().to_vec())
}

/// SubjectPublicKeyInfo of a point (CKA_EC_POINT: DER OCTET STRING around an uncompressed point; some tokens leave the
/// OCTET STRING out).
pub(super) fn ec_der(spec: KeySpec, point: &[u8]) -> Result<Vec<u8>, TokenError> {
    let bare = match point {
        [0x04, 0x41, rest @ ..] if rest.len() == 65 => rest,
        other => other,
    };
    let der = match spec {
        KeySpec::EcP256 => p256::PublicKey::from_sec1_bytes(bare)
            .map_err(|_| unusable())?
            .to_public_key_der()
            .map_err(|_| unusable())?,
        _ => k256::PublicKey::from_sec1_bytes(bare)
            .map_err(|_| unusable())?
            .to_public_key_der()
            .map_err(|_| unusable())?,
    };
    Ok(der.as_bytes().to_vec())
}

/// ASN.1 form of an ECDSA signature that comes as `r || s`.
pub(super) fn ecdsa_der(spec: KeySpec, raw: &[u8]) -> Result<Vec<u8>, TokenError> {
    if spec == KeySpec::EcP256 {
        let signature = p256::ecdsa::Signature::from_slice(raw).map_err(|_| unusable())?;
        return Ok(signature.to_der().as_bytes().to_vec());
    }
    // Verifiers of secp256k1 commonly take the lower of the two equivalent values only.
    let signature = k256::ecdsa::Signature::from_slice(raw).map_err(|_| unusable())?.normalize_s();
    Ok(signature.to_der().as_bytes().to_vec())
}

fn unusable() -> TokenError {
    TokenError::Failed("its public key or signature has no form that we know".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use k256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};

    use super::*;
    use crate::crypto::material::KeyMaterial;
    use crate::model::SystemRandom;

    #[test]
    fn points_with_and_without_their_octet_string_are_the_same_key() {
        for spec in [KeySpec::EcP256, KeySpec::EcP256k] {
            let der = KeyMaterial::generate(spec, &SystemRandom).unwrap().open().unwrap().public_key_der().unwrap();
            // The point ends the SubjectPublicKeyInfo.
            let bare = der.get(der.len() - 65..).unwrap();
            let wrapped = [&[0x04, 0x41], bare].concat();
            assert_eq!(ec_der(spec, bare).unwrap(), der);
            assert_eq!(ec_der(spec, &wrapped).unwrap(), der);
            assert!(ec_der(spec, &[4; 65]).is_err(), "not on the curve");
        }
    }

    #[test]
    fn signatures_come_out_in_their_lower_form() {
        let key = k256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
        let low: k256::ecdsa::Signature = key.sign_prehash(&[9; 32]).unwrap();
        let (r, s) = low.split_scalars();
        let high = k256::ecdsa::Signature::from_scalars(r, -s).unwrap();
        let der = ecdsa_der(KeySpec::EcP256k, &high.to_bytes()).unwrap();
        let found = k256::ecdsa::Signature::from_der(&der).unwrap();
        assert_eq!(found, low);
        key.verifying_key().verify_prehash(&[9; 32], &found).unwrap();
        assert!(ecdsa_der(KeySpec::EcP256, &[0; 64]).is_err());
    }
}
