//! Signature V3: HMAC-SHA256 over query, chosen headers and the body's hash.

use aws_lc_rs::digest;
use aws_lc_rs::hmac::HMAC_SHA256;
use hyper::header::AUTHORIZATION;
use zeroize::Zeroizing;

use super::{Proof, V3_SCHEME};
use crate::api::request::{RawRequest, Request};
use crate::api::{ApiError, encoding};

/// Reads what a V3 request offers as proof, and checks the body against its hash.
pub(super) fn read(raw: &RawRequest, request: &Request) -> Result<Proof, ApiError> {
    let authorization = Authorization::read(raw).ok_or_else(ApiError::incomplete_signature)?;
    authorization.check_coverage(raw)?;
    let body_hash = raw.header("x-acs-content-sha256").ok_or_else(ApiError::incomplete_signature)?;
    if body_hash != sha256(&raw.body) {
        return Err(ApiError::signature_mismatch().with_remedy("x-acs-content-sha256 is not the SHA-256 of the body."));
    }
    let canonical = canonical_request(raw, request, &authorization, body_hash)?;
    Ok(Proof {
        access_key_id: authorization.credential.to_owned(),
        nonce: raw
            .header("x-acs-signature-nonce")
            .filter(|n| !n.is_empty())
            .map(str::to_owned)
            .ok_or_else(|| ApiError::missing_parameter("SignatureNonce"))?,
        timestamp: raw
            .header("x-acs-date")
            .filter(|d| !d.is_empty())
            .map(str::to_owned)
            .ok_or_else(ApiError::timestamp_missing)?,
        security_token: raw.header("x-acs-security-token").filter(|token| !token.is_empty()).map(str::to_owned),
        algorithm: HMAC_SHA256,
        key_suffix: "",
        to_sign: Zeroizing::new(format!("ACS3-HMAC-SHA256\n{}", sha256(&canonical))),
        signature: authorization.signature,
    })
}

/// The `Authorization` header, taken apart.
struct Authorization<'a> {
    credential: &'a str,
    signed_headers: &'a str,
    signature: Vec<u8>,
}

impl<'a> Authorization<'a> {
    fn read(raw: &'a RawRequest) -> Option<Self> {
        let text = raw.header(AUTHORIZATION.as_str())?.strip_prefix(V3_SCHEME)?;
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for part in text.split(',') {
            let (name, value) = part.trim().split_once('=')?;
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return None,
            };
            if slot.replace(value).is_some() {
                return None;
            }
        }
        Some(Self {
            credential: credential.filter(|id| !id.is_empty())?,
            signed_headers: signed_headers?,
            signature: hex::decode(signature?).ok()?,
        })
    }

    fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.signed_headers.split(';')
    }

    /// Host and every x-acs-* header must be signed; what is signed must be there.
    fn check_coverage(&self, raw: &RawRequest) -> Result<(), ApiError> {
        let signed = |name: &str| self.names().any(|signed| signed.eq_ignore_ascii_case(name));
        let incomplete = |why: String| Err(ApiError::incomplete_signature().with_remedy(why));
        for name in raw.headers.keys().map(hyper::header::HeaderName::as_str) {
            if (name == "host" || name.starts_with("x-acs-")) && !signed(name) {
                return incomplete(format!("The header {name} is not signed."));
            }
            if name.starts_with("x-acs-") && raw.headers.get_all(name).iter().count() > 1 {
                return incomplete(format!("The header {name} comes more than once."));
            }
        }
        if raw.host().is_none() {
            return incomplete("The request has no Host, or more than one.".to_owned());
        }
        match self.names().find(|name| !raw.headers.contains_key(*name)) {
            Some(_) => incomplete("A header named in SignedHeaders is not in the request.".to_owned()),
            None => Ok(()),
        }
    }
}

fn canonical_request(
    raw: &RawRequest,
    request: &Request,
    authorization: &Authorization<'_>,
    body_hash: &str,
) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    let query = encoding::canonical(request.parameters.in_query());
    let mut text = Zeroizing::new(Vec::with_capacity(query.len().saturating_add(4096)));
    text.extend_from_slice(raw.method.as_str().as_bytes());
    text.extend_from_slice(b"\n/\n");
    text.extend_from_slice(query.as_bytes());
    text.push(b'\n');
    for name in authorization.names() {
        text.extend_from_slice(name.to_ascii_lowercase().as_bytes());
        text.push(b':');
        for (index, value) in raw.headers.get_all(name).iter().enumerate() {
            if index > 0 {
                text.push(b',');
            }
            text.extend_from_slice(value.as_bytes().trim_ascii());
        }
        text.push(b'\n');
    }
    text.push(b'\n');
    text.extend_from_slice(authorization.signed_headers.as_bytes());
    text.push(b'\n');
    text.extend_from_slice(body_hash.as_bytes());
    Ok(text)
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::api::request::decode;
    use crate::api::testing::raw;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn the_fixed_vector_of_the_protocol_page() {
        let authorization = "ACS3-HMAC-SHA256 Credential=AKID,SignedHeaders=host;x-acs-action;x-acs-content-sha256;\
            x-acs-date;x-acs-signature-nonce;x-acs-version,\
            Signature=953893769699858a761b83cdfd8786e913189a24e585e65cc1c65a9eade489ab";
        let headers = [
            ("host", "127.0.0.1:18099"),
            ("x-acs-action", "DescribeKey"),
            ("x-acs-content-sha256", EMPTY),
            ("x-acs-date", "2024-01-01T00:00:00Z"),
            ("x-acs-signature-nonce", "n1"),
            ("x-acs-version", "2016-01-20"),
            ("authorization", authorization),
        ];
        let raw = raw("POST", "KeyId=alias%2Fx", &headers, "");
        let proof = read(&raw, &decode(&raw).unwrap()).unwrap();
        let expected = "ACS3-HMAC-SHA256\n9a51a6095dce23ab29fd93dab398fcb182557a589f499e72196174c33b8e2a20";
        assert_eq!(proof.to_sign.as_str(), expected);
        assert!(proof.signed_by("SECRET"));
        assert!(!proof.signed_by("SECRET&"));
    }
}
