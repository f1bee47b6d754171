//! A small client of the KMS API with signature V3 (ACS3-HMAC-SHA256), written apart from the server's verification: the
//! demo is to go through the front door.

use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::model::format_utc;

/// A client with an access key. Cheap to clone.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    host: String,
    id: String,
    secret: Arc<Zeroizing<String>>,
}

/// A call that did not succeed.
#[derive(Debug, Error)]
#[error("{action}: {code}: {message}")]
pub(super) struct CallError {
    /// The operation.
    pub(super) action: &'static str,
    /// The code of the answer, or `Transport`.
    pub(super) code: String,
    /// Its message.
    pub(super) message: String,
}

impl Client {
    /// A client of the KMS at `host`.
    pub(super) fn new(host: String, id: String, secret: Zeroizing<String>) -> Result<Self, CallError> {
        // Over the loopback in the clear; see the client of the admin socket.
        let builder = reqwest::Client::builder().tls_certs_only([]).no_proxy();
        let http = builder.timeout(Duration::from_secs(20)).build();
        let http = http.map_err(|error| transport("connect", &error))?;
        Ok(Self { http, host, id, secret: Arc::new(secret) })
    }

    /// Calls an operation; answers its response object.
    pub(super) async fn call(&self, action: &'static str, parameters: &[(&str, &str)]) -> Result<Value, CallError> {
        let pairs = parameters.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        let body = Zeroizing::new(pairs.collect::<Vec<_>>().join("&"));
        let headers = [
            ("host", self.host.clone()),
            ("x-acs-action", action.to_owned()),
            ("x-acs-content-sha256", sha256(body.as_bytes())),
            ("x-acs-date", format_utc(jiff::Timestamp::now())),
            ("x-acs-signature-nonce", uuid::Uuid::new_v4().to_string()),
            ("x-acs-version", "2016-01-20".to_owned()),
        ];
        let mut request = self.http.post(format!("http://{}/", self.host));
        for (name, value) in &headers {
            request = request.header(*name, value);
        }
        let answer = request
            .header("authorization", self.authorization(&headers))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.as_bytes().to_vec())
            .send()
            .await
            .map_err(|error| transport(action, &error))?;
        let good = answer.status().is_success();
        let text = Zeroizing::new(answer.bytes().await.map_err(|error| transport(action, &error))?.to_vec());
        let value: Value = serde_json::from_slice(&text).unwrap_or_default();
        if good {
            return Ok(value);
        }
        let field = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Err(CallError { action, code: field("Code"), message: field("Message") })
    }

    fn authorization(&self, headers: &[(&str, String)]) -> String {
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let hash = headers.iter().find(|(name, _)| *name == "x-acs-content-sha256");
        let hash = hash.map_or("", |(_, value)| value.as_str());
        let canonical = format!("POST\n/\n\n{lines}\n{names}\n{hash}");
        let to_sign = format!("ACS3-HMAC-SHA256\n{}", sha256(canonical.as_bytes()));
        // HMAC takes keys of any length.
        let signature = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).map(|mut mac| {
            mac.update(to_sign.as_bytes());
            hex::encode(mac.finalize().into_bytes())
        });
        let signature = signature.unwrap_or_default();
        format!("ACS3-HMAC-SHA256 Credential={},SignedHeaders={names},Signature={signature}", self.id)
    }
}

/// The text at a path of field names; empty if there is none.
pub(super) fn text_at(value: &Value, path: &[&str]) -> String {
    let found = path.iter().try_fold(value, |value, name| value.get(name));
    found.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The list at a path of field names.
pub(super) fn list_at(value: &Value, path: &[&str]) -> Vec<Value> {
    let found = path.iter().try_fold(value, |value, name| value.get(name));
    found.and_then(Value::as_array).cloned().unwrap_or_default()
}

/// RFC 3986: everything but letters, digits and `-_.~`.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn transport(action: &'static str, error: &reqwest::Error) -> CallError {
    CallError { action, code: "Transport".to_owned(), message: error.to_string() }
}
