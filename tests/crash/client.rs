//! A client of the API with signature V3, as an application would have it.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::daemon::{ACCESS_KEY, ACCESS_SECRET};

pub struct Client {
    http: reqwest::Client,
    host: String,
}

impl Client {
    pub fn new(host: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        Self { http, host: host.to_owned() }
    }

    /// The response object, or code and message of the refusal.
    pub async fn call(&self, action: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let pairs = parameters.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        let body = pairs.collect::<Vec<_>>().join("&");
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let headers = [
            ("host", self.host.clone()),
            ("x-acs-action", action.to_owned()),
            ("x-acs-content-sha256", sha256(body.as_bytes())),
            ("x-acs-date", now),
            ("x-acs-signature-nonce", uuid::Uuid::new_v4().to_string()),
            ("x-acs-version", "2016-01-20".to_owned()),
        ];
        let mut request = self.http.post(format!("http://{}/", self.host));
        for (name, value) in &headers {
            request = request.header(*name, value);
        }
        let answer = request
            .header("authorization", authorization(&headers))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .map_err(|error| format!("{action}: {error}"))?;
        let good = answer.status().is_success();
        let value: Value = answer.json().await.map_err(|error| format!("{action}: {error}"))?;
        if good { Ok(value) } else { Err(format!("{action}: {} {}", value["Code"], value["Message"])) }
    }

    /// A text in the response, at a JSON pointer.
    pub async fn text(&self, action: &str, parameters: &[(&str, &str)], at: &str) -> Result<String, String> {
        let answer = self.call(action, parameters).await?;
        answer
            .pointer(at)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| format!("{action}: no {at} in {answer}"))
    }
}

fn authorization(headers: &[(&str, String)]) -> String {
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let hash = &headers.iter().find(|(name, _)| *name == "x-acs-content-sha256").unwrap().1;
    let canonical = format!("POST\n/\n\n{lines}\n{names}\n{hash}");
    let mut mac = Hmac::<Sha256>::new_from_slice(ACCESS_SECRET.as_bytes()).unwrap();
    mac.update(format!("ACS3-HMAC-SHA256\n{}", sha256(canonical.as_bytes())).as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    format!("ACS3-HMAC-SHA256 Credential={ACCESS_KEY},SignedHeaders={names},Signature={signature}")
}

/// RFC 3986: everything but letters, digits and `-_.~`.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
