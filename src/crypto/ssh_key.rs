//! Key pairs for SSH logins, in the forms OpenSSH reads: RSA with 2,048 bits, as the vendor's key pairs are.

use aws_lc_rs::rsa::KeySize;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rsa::PrivateKey;
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::pkcs8::DecodePrivateKey;
use rsa::traits::PublicKeyParts;
use zeroize::Zeroizing;

use super::CryptoError;
use super::material::rsa_pkcs8;

/// A key pair. No `Debug`: it carries the private key.
pub struct SshKey {
    /// One line of `authorized_keys`, without a comment.
    pub public: String,
    /// PKCS#1, PEM.
    pub private: Zeroizing<String>,
}

/// Draws a key pair. Takes a while.
///
/// # Errors
/// [`CryptoError`] when none can be made.
pub fn draw_ssh_key() -> Result<SshKey, CryptoError> {
    let unsuitable = || CryptoError::Unsuitable("a fresh key pair cannot be written down");
    let pkcs8 = rsa_pkcs8(KeySize::Rsa2048)?;
    let key = PrivateKey::from_pkcs8_der(&pkcs8).map_err(|_| unsuitable())?;
    let private = key.to_pkcs1_pem(rsa::pkcs1::LineEnding::LF).map_err(|_| unsuitable())?;
    // RFC 4253, 6.6: the name, the exponent, the modulus.
    let mut blob = Vec::new();
    put(&mut blob, b"ssh-rsa")?;
    put(&mut blob, &positive(&key.e_bytes()))?;
    put(&mut blob, &positive(&key.n_bytes()))?;
    Ok(SshKey { public: format!("ssh-rsa {}", STANDARD.encode(blob)), private: Zeroizing::new(private.to_string()) })
}

fn put(blob: &mut Vec<u8>, bytes: &[u8]) -> Result<(), CryptoError> {
    let length = u32::try_from(bytes.len()).map_err(|_| CryptoError::Unsuitable("a number is too long"))?;
    blob.extend_from_slice(&length.to_be_bytes());
    blob.extend_from_slice(bytes);
    Ok(())
}

/// A number whose first bit is set would read as a negative one.
fn positive(bytes: &[u8]) -> Vec<u8> {
    let mut number = Vec::with_capacity(bytes.len().saturating_add(1));
    if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        number.push(0);
    }
    number.extend_from_slice(bytes);
    number
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn openssh_reads_the_private_key_and_finds_the_same_public_one() {
        let drawn = draw_ssh_key().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        std::fs::write(&file, drawn.private.as_bytes()).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let found = Command::new("ssh-keygen").arg("-y").arg("-f").arg(&file).output().expect("ssh-keygen");
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
        assert_eq!(String::from_utf8(found.stdout).unwrap().trim(), drawn.public);
    }
}
