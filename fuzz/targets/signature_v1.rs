//! Signature V1: no input is taken for a signed one, and what another implementation signs is accepted.
#![no_main]

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyferry::access::AccessKeyTable;
use keyferry::api::request::{AuthForm, decode};
use keyferry::api::signature::authenticate;
use keyferry_fuzz::{ACCESS_KEY, NOW, SECRET, access_keys, canonical, encoded, hmac_sha1, pairs, request};
use libfuzzer_sys::fuzz_target;

static KEYS: LazyLock<AccessKeyTable> = LazyLock::new(access_keys);

fuzz_target!(|data: &[u8]| {
    let now = NOW.parse().unwrap();
    if let Some(raw) = request(data)
        && let Ok(request) = decode(&raw)
    {
        assert!(request.form == AuthForm::V3 || authenticate(&raw, &request, &*KEYS, now).is_err(), "forged");
    }
    let mut signed = pairs(data);
    for (name, value) in [
        ("AccessKeyId", ACCESS_KEY),
        ("Action", "DescribeKey"),
        ("Format", "JSON"),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureNonce", "n1"),
        ("SignatureVersion", "1.0"),
        ("Timestamp", NOW),
        ("Version", "2016-01-20"),
    ] {
        signed.insert(name.to_owned(), value.to_owned());
    }
    signed.remove("SecurityToken");
    signed.remove("Signature");
    let to_sign = format!("POST&%2F&{}", encoded(&canonical(&signed)));
    let signature = STANDARD.encode(hmac_sha1(&format!("{SECRET}&"), &to_sign));
    signed.insert("Signature".to_owned(), signature);
    // Half in the query, half in the body, as clients do.
    let (in_query, in_body): (Vec<_>, Vec<_>) = signed.iter().partition(|(name, _)| name.len() % 2 == 0);
    let form = |some: Vec<(&String, &String)>| {
        some.iter().map(|(n, v)| format!("{}={}", encoded(n), encoded(v))).collect::<Vec<_>>().join("&")
    };
    let text = format!("POST /?{}\nhost: kms\n\n{}", form(in_query), form(in_body));
    let raw = request(text.as_bytes()).unwrap();
    let decoded = decode(&raw).map_err(|error| error.to_string()).unwrap();
    let done = authenticate(&raw, &decoded, &*KEYS, now);
    assert!(done.is_ok(), "{:?}", done.err());
});
