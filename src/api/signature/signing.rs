//! Signature V3 as a client makes it (reference/kms-protocol.md §3): all parameters in a form body, so that nothing of a
//! request stands in logs of what lies between.

use aws_lc_rs::{digest, hmac};
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::V3_SCHEME;
use crate::model::format_utc;

/// An access key as its owner has it. No `Debug`: it carries the secret.
pub struct Credentials {
    /// AccessKeyId.
    pub id: String,
    /// AccessKeySecret.
    pub secret: Zeroizing<String>,
    /// The token of a session, where the key is one of a session.
    pub session: Option<Zeroizing<String>>,
}

/// A request to sign.
pub struct Unsigned<'a> {
    /// As it is sent: with the port where that is not the scheme's own.
    pub host: &'a str,
    /// The operation.
    pub action: &'a str,
    /// The form body.
    pub body: &'a [u8],
    /// Never used before with this access key.
    pub nonce: &'a str,
    /// Now.
    pub at: Timestamp,
}

/// The headers of a POST to `/` without a query, `authorization` among them.
#[must_use]
pub fn sign(request: &Unsigned<'_>, key: &Credentials) -> Vec<(&'static str, String)> {
    let hash = sha256(request.body);
    let mut headers = vec![
        ("content-type", "application/x-www-form-urlencoded".to_owned()),
        ("host", request.host.to_owned()),
        ("x-acs-action", request.action.to_owned()),
        ("x-acs-content-sha256", hash.clone()),
        ("x-acs-date", format_utc(request.at)),
    ];
    if let Some(session) = &key.session {
        headers.push(("x-acs-security-token", session.to_string()));
    }
    headers.push(("x-acs-signature-nonce", request.nonce.to_owned()));
    headers.push(("x-acs-version", "2016-01-20".to_owned()));
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let canonical = format!("POST\n/\n\n{lines}\n{names}\n{hash}");
    let to_sign = format!("{V3_SCHEME_NAME}\n{}", sha256(canonical.as_bytes()));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.secret.as_bytes()), to_sign.as_bytes());
    let authorization =
        format!("{V3_SCHEME}Credential={},SignedHeaders={names},Signature={}", key.id, hex::encode(signature.as_ref()));
    headers.push(("authorization", authorization));
    headers
}

const V3_SCHEME_NAME: &str = "ACS3-HMAC-SHA256";

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::api::request::decode;
    use crate::api::signature::authenticate;
    use crate::api::testing::{access_keys, raw};

    fn signed(secret: &str) -> Vec<(&'static str, String)> {
        let at = "2024-01-01T00:00:00Z".parse().unwrap();
        let request =
            Unsigned { host: "kms.example:8443", action: "DescribeKey", body: b"KeyId=alias%2Fx", nonce: "n1", at };
        let key = Credentials { id: "AKID".to_owned(), secret: Zeroizing::new(secret.to_owned()), session: None };
        sign(&request, &key)
    }

    #[test]
    fn the_server_takes_what_is_signed_here_and_nothing_that_was_changed() {
        let check = |headers: &[(&str, String)], body: &str| {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let raw = raw("POST", "", &headers, body);
            let request = decode(&raw).unwrap();
            let now = "2024-01-01T00:00:05Z".parse().unwrap();
            authenticate(&raw, &request, &access_keys(), now).map(|who| who.access_key_id).map_err(|error| error.code)
        };
        assert_eq!(check(&signed("SECRET"), "KeyId=alias%2Fx").as_deref(), Ok("AKID"));
        assert_eq!(check(&signed("OTHER"), "KeyId=alias%2Fx"), Err("SignatureDoesNotMatch"));
        assert_eq!(check(&signed("SECRET"), "KeyId=alias%2Fy"), Err("SignatureDoesNotMatch"));
        let mut other = signed("SECRET");
        other.iter_mut().find(|(name, _)| *name == "x-acs-action").unwrap().1 = "DisableKey".to_owned();
        assert_eq!(check(&other, "KeyId=alias%2Fx"), Err("SignatureDoesNotMatch"));
    }
}
