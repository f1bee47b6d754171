#![allow(clippy::unwrap_used)]

use super::*;
use crate::api::request::decode;
use crate::api::testing::{ACCOUNT, V3, access_keys, join, raw, v1_pairs};

const NOW: &str = "2024-01-01T00:00:00Z";

fn check_at(raw: &RawRequest, now: &str) -> Result<Authenticated, ApiError> {
    authenticate(raw, &decode(raw)?, &access_keys(), now.parse().unwrap())
}

fn code(raw: &RawRequest) -> &'static str {
    check_at(raw, NOW).err().map(|e| e.code).unwrap_or("ok")
}

const COMMON: [(&str, &str); 7] = [
    ("Action", "DescribeKey"),
    ("Format", "JSON"),
    ("Version", "2016-01-20"),
    ("AccessKeyId", "AKID"),
    ("SignatureMethod", "HMAC-SHA1"),
    ("SignatureVersion", "1.0"),
    ("SignatureNonce", "n1"),
];

fn v1_query(secret: &str, own: &[(&str, &str)], common: &[(&str, &str)]) -> String {
    let signed = v1_pairs("POST", secret, own, common);
    let signed: Vec<_> = signed.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    join(&[own, &signed].concat())
}

fn common_with(timestamp: &'static str) -> Vec<(&'static str, &'static str)> {
    let mut common = COMMON.to_vec();
    common.push(("Timestamp", timestamp));
    common
}

#[test]
fn v1_fixed_vector_of_the_protocol_page() {
    let query = "Action=DescribeKey&Format=JSON&Version=2016-01-20&AccessKeyId=AKID&SignatureMethod=HMAC-SHA1&\
        SignatureVersion=1.0&SignatureNonce=n1&Timestamp=2024-01-01T00%3A00%3A00Z&KeyId=alias/a+b*~&\
        Signature=Rb9TTNo0%2BZLbeS6hN4ZBqUMDJF0%3D";
    let raw = raw("POST", query, &[], "");
    let request = decode(&raw).unwrap();
    assert_eq!(
        v1::to_sign("POST", &request).as_str(),
        "POST&%2F&AccessKeyId%3DAKID%26Action%3DDescribeKey%26Format%3DJSON%26KeyId%3Dalias%252Fa%2520b%252A~%26\
         SignatureMethod%3DHMAC-SHA1%26SignatureNonce%3Dn1%26SignatureVersion%3D1.0%26\
         Timestamp%3D2024-01-01T00%253A00%253A00Z%26Version%3D2016-01-20"
    );
    let who = check_at(&raw, NOW).unwrap();
    assert_eq!(
        (who.access_key_id.as_str(), who.identity.principal.account().as_str(), who.nonce.as_str()),
        ("AKID", ACCOUNT, "n1")
    );
    assert_eq!(who.timestamp, NOW.parse().unwrap());
}

#[test]
fn v1_with_the_parameters_in_the_form_body() {
    let own = [("KeyId", "alias/a b"), ("Description", "")];
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let signed = v1_pairs("POST", "SECRET", &own, &common_with(NOW));
    let signed: Vec<_> = signed.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(code(&raw("POST", &join(&signed), &form, &join(&own))), "ok");
    assert_eq!(code(&raw("POST", &join(&signed), &form, "KeyId=alias/c&Description=")), "SignatureDoesNotMatch");
}

#[test]
fn v1_as_aliyun_python_sdk_sends_it() {
    let own = [("KeyId", "k1"), ("Plaintext", "aGk="), ("EncryptionContext", r#"{"a": " b c*~"}"#)];
    let mut common = common_with(NOW);
    common.extend([("RegionId", "cn-hangzhou"), ("SignatureType", "")]);
    let query = v1_query("SECRET", &own, &common).replace("%7E", "~");
    assert_eq!(code(&raw("POST", &query, &[("x-acs-action", "Encrypt"), ("x-acs-version", "2016-01-20")], "")), "ok");
}

#[test]
fn v1_tampered_in_each_part() {
    let query = v1_query("SECRET", &[("KeyId", "k1")], &common_with(NOW));
    assert_eq!(code(&raw("POST", &query, &[], "")), "ok");
    for (from, to) in [
        ("KeyId=k1", "KeyId=k2"),
        ("KeyId=k1", "KeyId=k1&Extra="),
        ("Action=DescribeKey", "Action=DisableKey"),
        ("SignatureNonce=n1", "SignatureNonce=n2"),
        ("00%3A00%3A00Z", "00%3A00%3A01Z"),
        ("&Format=JSON", ""),
        ("Signature=", "Signature=AAAA"),
    ] {
        assert!(query.contains(from), "{from}");
        assert_eq!(
            code(&raw("POST", &query.replacen(from, to, 1), &[], "")),
            "SignatureDoesNotMatch",
            "{from} -> {to}"
        );
    }
    assert_eq!(code(&raw("GET", &query, &[], "")), "SignatureDoesNotMatch");
    assert_eq!(code(&raw("POST", &v1_query("OTHER", &[], &common_with(NOW)), &[], "")), "SignatureDoesNotMatch");
}

#[test]
fn v1_lacking_each_part() {
    let query = v1_query("SECRET", &[], &common_with(NOW));
    for (part, expected) in [
        ("AccessKeyId=AKID&", "MissingParameter"),
        ("SignatureNonce=n1&", "MissingParameter"),
        ("SignatureMethod=HMAC-SHA1&", "MissingParameter"),
        ("SignatureVersion=1.0&", "MissingParameter"),
        ("Timestamp=2024-01-01T00%3A00%3A00Z&", "IllegalTimestamp"),
    ] {
        assert_eq!(code(&raw("POST", &query.replace(part, ""), &[], "")), expected, "{part}");
    }
    assert_eq!(code(&raw("POST", &query.replace("HMAC-SHA1", "SHA256withRSA"), &[], "")), "InvalidParameter");
}

#[test]
fn v3_as_the_python_sdk_sends_it() {
    let query = [("EncryptionContext", r#"{"a":"b c"}"#), ("KeyId", "k1"), ("Plaintext", "aGk=")];
    let request = V3 { action: "Encrypt", query: &query, ..V3::default() };
    assert!(request.query_on_the_wire().contains("b+c"));
    assert_eq!(code(&request.raw()), "ok");
    let with_body = V3 { action: "PutSecretValue", body: "SecretData=s%26+x", ..V3::default() };
    assert_eq!(code(&with_body.raw()), "ok");
}

#[test]
fn v3_with_a_content_type_but_no_body() {
    let mut raw = V3 { action: "GetSecretValue", ..V3::default() }.raw();
    // Sent but not signed; where the SDK signs it, it is one header like any other.
    raw.headers.insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    assert_eq!(code(&raw), "ok");
}

#[test]
fn v3_tampered_in_each_part() {
    let fresh = || V3 { body: "SecretData=s", ..V3::default() }.raw();
    assert_eq!(code(&fresh()), "ok");
    for header in [
        "accept",
        "host",
        "user-agent",
        "x-acs-action",
        "x-acs-signature-nonce",
        "x-acs-version",
        "x-acs-content-sha256",
        "content-type",
    ] {
        let mut raw = fresh();
        let changed = match header {
            "content-type" => "application/x-www-form-urlencoded; charset=utf-8",
            _ => "changed",
        };
        raw.headers.insert(header, changed.parse().unwrap());
        assert_eq!(code(&raw), "SignatureDoesNotMatch", "{header}");
    }
    let mut raw = fresh();
    raw.headers.insert("x-acs-date", "2024-01-01T00:00:01Z".parse().unwrap());
    assert_eq!(code(&raw), "SignatureDoesNotMatch");
    let mut raw = fresh();
    raw.query.push_str("&More=");
    assert_eq!(code(&raw), "SignatureDoesNotMatch");
    let mut raw = fresh();
    raw.method = hyper::Method::GET;
    raw.body.clear();
    assert_eq!(code(&raw), "SignatureDoesNotMatch");
    let mut raw = fresh();
    raw.body.push(b'x');
    assert_eq!(code(&raw), "SignatureDoesNotMatch");
    assert_eq!(code(&V3 { secret: "OTHER", ..V3::default() }.raw()), "SignatureDoesNotMatch");
}

#[test]
fn v3_must_cover_host_and_every_acs_header() {
    let mut raw = V3::default().raw();
    raw.headers.insert("x-acs-extra", "1".parse().unwrap());
    assert_eq!(code(&raw), "IncompleteSignature");
    let mut raw = V3::default().raw();
    raw.headers.append("x-acs-action", "DisableKey".parse().unwrap());
    assert_eq!(code(&raw), "MissingParameter");
    let mut raw = V3::default().raw();
    raw.headers.remove("host");
    assert_eq!(code(&raw), "IncompleteSignature");
    let mut raw = V3::default().raw();
    raw.headers.remove("accept");
    assert_eq!(code(&raw), "IncompleteSignature");
    let whole = V3::default().raw().header("authorization").unwrap().to_owned();
    for (from, to) in [
        (";host", ""),
        ("Credential=AKID,", ""),
        ("Credential=AKID", "Credential="),
        (",Signature=", ",Signature=zz"),
        (",Signature=", ",Sig="),
    ] {
        let mut raw = V3::default().raw();
        raw.headers.insert("authorization", whole.replace(from, to).parse().unwrap());
        assert_eq!(code(&raw), "IncompleteSignature", "{from} -> {to}");
    }
}

#[test]
fn the_clock_window_is_fifteen_minutes_to_the_second() {
    let raw = V3::default().raw();
    for (now, expected) in [
        ("2024-01-01T00:15:00Z", "ok"),
        ("2023-12-31T23:45:00Z", "ok"),
        ("2024-01-01T00:15:01Z", "InvalidTimeStamp.Expired"),
        ("2023-12-31T23:44:59Z", "InvalidTimeStamp.Expired"),
    ] {
        assert_eq!(check_at(&raw, now).err().map_or("ok", |e| e.code), expected, "{now}");
    }
    for date in [
        "2024-01-01T00:00:00",
        "2024-01-01 00:00:00Z",
        "2024-01-01T00:00:00.0Z",
        "2024-13-01T00:00:00Z",
        "+024-01-01T00:00:00Z",
    ] {
        assert_eq!(code(&V3 { date, ..V3::default() }.raw()), "InvalidTimeStamp.Format", "{date}");
    }
    assert_eq!(code(&V3 { date: "", ..V3::default() }.raw()), "IllegalTimestamp");
}

#[test]
fn unknown_and_disabled_access_keys() {
    let unknown = check_at(&V3 { id: "NOBODY", ..V3::default() }.raw(), NOW).unwrap_err();
    assert_eq!((unknown.http, unknown.code), (404, "InvalidAccessKeyId.NotFound"));
    assert_eq!(code(&V3 { id: "OFF", ..V3::default() }.raw()), "Forbidden.AccessKey");
    assert_eq!(code(&V3 { id: "OFF", secret: "OTHER", ..V3::default() }.raw()), "SignatureDoesNotMatch");
}

#[test]
fn nonces_are_bounded_and_sessions_refused() {
    let long = "n".repeat(MAX_NONCE_BYTES + 1);
    assert_eq!(code(&V3 { nonce: &long, ..V3::default() }.raw()), "InvalidParameter");
    assert_eq!(code(&V3 { nonce: "", ..V3::default() }.raw()), "MissingParameter");
    let mut common = common_with(NOW);
    common.push(("SecurityToken", "t"));
    assert_eq!(code(&raw("POST", &v1_query("SECRET", &[], &common), &[], "")), "InvalidSecurityToken.Malformed");
}

#[test]
fn a_claim_lasts_until_the_time_stamp_alone_refuses() {
    let who = check_at(&V3::default().raw(), "2023-12-31T23:50:00Z").unwrap();
    let expires = |now: &str| who.claim(now.parse().unwrap()).expires_at.to_string();
    assert_eq!(expires("2023-12-31T23:50:00Z"), "2024-01-01T00:15:00Z");
    assert_eq!(expires("2024-01-01T00:10:00Z"), "2024-01-01T00:25:00Z");
}

#[test]
fn temporary_credentials_sign_with_their_token_until_they_end() {
    use crate::access::{AccessKeyTable, Identity, Principal, SessionKey};
    use crate::model::SystemRandom;
    let table = AccessKeyTable::default();
    let account: crate::model::AccountId = ACCOUNT.parse().unwrap();
    table.replace([], [Arc::new(Identity::root(Principal::role(account.clone(), "ci")))]);
    table.set_session_key(SessionKey::new(b"seed"));
    let until = "2024-01-01T00:10:00Z".parse().unwrap();
    let made = table.issue(&account, "ci", "me", until, &SystemRandom).unwrap();
    let asked = |secret: &str, token: &str, now: &str| {
        let mut common = common_with(NOW);
        common.retain(|(name, _)| *name != "AccessKeyId");
        common.extend([("AccessKeyId", made.access_key_id.as_str()), ("SecurityToken", token)]);
        let raw = raw("POST", &v1_query(secret, &[], &common), &[], "");
        authenticate(&raw, &decode(&raw).unwrap(), &table, now.parse().unwrap()).map(|who| who.identity.label())
    };
    let (secret, token) = (made.access_key_secret.as_str(), made.security_token.as_str());
    assert_eq!(asked(secret, token, "2024-01-01T00:09:59Z").unwrap(), "role/ci/me");
    assert_eq!(asked(secret, token, "2024-01-01T00:10:00Z").unwrap_err().code, "InvalidSecurityToken.Expired");
    // That it has expired is told only to who knows the secret.
    assert_eq!(asked("OTHER", token, "2024-01-01T00:10:00Z").unwrap_err().code, "SignatureDoesNotMatch");
    assert_eq!(asked(secret, "AAAA", NOW).unwrap_err().code, "InvalidSecurityToken.Malformed");
    assert_eq!(asked(secret, "", NOW).unwrap_err().code, "InvalidAccessKeyId.NotFound");
}
