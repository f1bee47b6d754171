//! Signature V3: no input is taken for a signed one, and what another implementation signs is accepted.
#![no_main]

use std::sync::LazyLock;

use keyferry::access::AccessKeyTable;
use keyferry::api::request::{AuthForm, decode};
use keyferry::api::signature::authenticate;
use keyferry_fuzz::{ACCESS_KEY, NOW, SECRET, access_keys, canonical, hmac_sha256, pairs, request};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};

static KEYS: LazyLock<AccessKeyTable> = LazyLock::new(access_keys);

fuzz_target!(|data: &[u8]| {
    let now = NOW.parse().unwrap();
    if let Some(raw) = request(data)
        && let Ok(request) = decode(&raw)
    {
        assert!(request.form == AuthForm::V1 || authenticate(&raw, &request, &*KEYS, now).is_err(), "forged");
    }
    let query = canonical(&pairs(data));
    let body_hash = hex::encode(Sha256::digest(b""));
    let headers = [
        ("host", "127.0.0.1:18099"),
        ("x-acs-action", "DescribeKey"),
        ("x-acs-content-sha256", &body_hash),
        ("x-acs-date", NOW),
        ("x-acs-signature-nonce", "n1"),
        ("x-acs-version", "2016-01-20"),
    ];
    let names = headers.map(|(name, _)| name).join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let canonical_request = format!("POST\n/\n{query}\n{lines}\n{names}\n{body_hash}");
    let to_sign = format!("ACS3-HMAC-SHA256\n{}", hex::encode(Sha256::digest(canonical_request)));
    let signature = hex::encode(hmac_sha256(SECRET, &to_sign));
    let authorization = format!("ACS3-HMAC-SHA256 Credential={ACCESS_KEY},SignedHeaders={names},Signature={signature}");
    let text = format!("POST /?{query}\n{lines}authorization: {authorization}\n\n");
    let raw = request(text.as_bytes()).unwrap();
    let decoded = decode(&raw).map_err(|error| error.to_string()).unwrap();
    let done = authenticate(&raw, &decoded, &*KEYS, now);
    assert!(done.is_ok(), "{:?}", done.err());
});
