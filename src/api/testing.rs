//! Requests as clients make them, for the tests of this room: signed by code of their own, not by the verifier's.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::request::RawRequest;
use crate::access::{AccessKey, AccessKeyTable, Identity, Principal};
use crate::model::Clock;

pub(crate) const ACCOUNT: &str = "1000000000000001";

/// A clock that stands where it is put.
pub(crate) struct StandingClock(Mutex<Timestamp>);

impl StandingClock {
    pub(crate) fn at(text: &str) -> Self {
        Self(Mutex::new(text.parse().unwrap()))
    }

    pub(crate) fn set(&self, text: &str) {
        *self.0.lock().unwrap() = text.parse().unwrap();
    }
}

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

pub(crate) fn access_keys() -> AccessKeyTable {
    let key = |secret: &str, enabled| AccessKey {
        identity: Arc::new(Identity::root(Principal::root(ACCOUNT.parse().unwrap()))),
        secret: Arc::new(Zeroizing::new(secret.to_owned())),
        enabled,
    };
    AccessKeyTable::new([("AKID".to_owned(), key("SECRET", true)), ("OFF".to_owned(), key("SECRET", false))])
}

pub(crate) fn raw(method: &str, query: &str, headers: &[(&str, &str)], body: &str) -> RawRequest {
    let headers: HeaderMap = headers
        .iter()
        .map(|(n, v)| (HeaderName::from_bytes(n.as_bytes()).unwrap(), HeaderValue::from_str(v).unwrap()))
        .collect();
    RawRequest {
        method: method.parse().unwrap(),
        path: "/".to_owned(),
        query: Zeroizing::new(query.to_owned()),
        headers,
        body: Zeroizing::new(body.as_bytes().to_vec()),
    }
}

/// A V3 request in the shape of the Python SDK 3.3.1. Parameters are sorted, a space is `+` on the wire.
pub(crate) struct V3<'a> {
    pub(crate) id: &'a str,
    pub(crate) secret: &'a str,
    pub(crate) action: &'a str,
    pub(crate) query: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a str,
    pub(crate) host: &'a str,
    pub(crate) date: &'a str,
    pub(crate) nonce: &'a str,
}

impl Default for V3<'_> {
    fn default() -> Self {
        Self {
            id: "AKID",
            secret: "SECRET",
            action: "DescribeKey",
            query: &[("KeyId", "alias/x")],
            body: "",
            host: "127.0.0.1:18099",
            date: "2024-01-01T00:00:00Z",
            nonce: "n1",
        }
    }
}

impl V3<'_> {
    pub(crate) fn query_on_the_wire(&self) -> String {
        join(self.query).replace("%20", "+")
    }

    pub(crate) fn headers(&self) -> Vec<(&'static str, String)> {
        let hash = sha256(self.body.as_bytes());
        let mut headers = vec![
            ("accept", "application/json".to_owned()),
            ("host", self.host.to_owned()),
            ("user-agent", "AlibabaCloud (Linux; x86_64) Python/3.11 Core/0.4.4 TeaDSL/2".to_owned()),
            ("x-acs-action", self.action.to_owned()),
            ("x-acs-content-sha256", hash.clone()),
            ("x-acs-credentials-provider", "static_ak".to_owned()),
            ("x-acs-date", self.date.to_owned()),
            ("x-acs-signature-nonce", self.nonce.to_owned()),
            ("x-acs-version", "2016-01-20".to_owned()),
        ];
        if !self.body.is_empty() {
            headers.insert(1, ("content-type", "application/x-www-form-urlencoded".to_owned()));
        }
        let names = headers.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(";");
        let lines: String = headers.iter().map(|(n, v)| format!("{n}:{v}\n")).collect();
        let mut sorted = self.query.to_vec();
        sorted.sort_unstable();
        let canonical = format!("POST\n/\n{}\n{lines}\n{names}\n{hash}", join(&sorted));
        let to_sign = format!("ACS3-HMAC-SHA256\n{}", sha256(canonical.as_bytes()));
        let signature = hex::encode(hmac_sha256(self.secret, &to_sign));
        let authorization =
            format!("ACS3-HMAC-SHA256 Credential={},SignedHeaders={names},Signature={signature}", self.id);
        headers.push(("authorization", authorization));
        headers
    }

    pub(crate) fn raw(&self) -> RawRequest {
        let headers = self.headers();
        let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        raw("POST", &self.query_on_the_wire(), &headers, self.body)
    }

    /// The whole request as text.
    pub(crate) fn wire(&self) -> String {
        let lines: String = self.headers().iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
        let length = self.body.len();
        format!("POST /?{} HTTP/1.1\r\n{lines}content-length: {length}\r\n\r\n{}", self.query_on_the_wire(), self.body)
    }
}

/// The common parameters of a V1 request with the signature over them and `own`, in the order of aliyun-python-sdk.
pub(crate) fn v1_pairs(
    method: &str,
    secret: &str,
    own: &[(&str, &str)],
    common: &[(&str, &str)],
) -> Vec<(String, String)> {
    use base64::Engine as _;
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut all = own.to_vec();
    all.extend_from_slice(common);
    all.sort_unstable();
    let to_sign = format!("{method}&%2F&{}", encode(&join(&all)));
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(format!("{secret}&").as_bytes()).unwrap();
    mac.update(to_sign.as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    let mut pairs: Vec<_> = common.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    pairs.push(("Signature".to_owned(), signature));
    pairs
}

/// `a=b&c=d`, encoded, in the order given.
pub(crate) fn join(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect::<Vec<_>>().join("&")
}

fn encode(text: &str) -> String {
    let keep = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes().map(|b| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(bytes))
}

fn hmac_sha256(secret: &str, text: &str) -> Vec<u8> {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
