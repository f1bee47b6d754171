//! A client of any KMS that speaks this API, for questions. Requests are signed with V3 ([`super::signature::signing`]).

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Url;
use serde_json::Value;
use thiserror::Error;

use super::encoding;
use super::signature::signing::{Credentials, Unsigned, sign};

/// How long an answer is waited for.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A client with an access key.
pub struct Client {
    http: reqwest::Client,
    url: Url,
    host: String,
    region: Option<String>,
    credentials: Credentials,
}

/// A question that was not answered.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The address is none.
    #[error("{0} is not the address of a KMS, such as https://kms.cn-hangzhou.aliyuncs.com")]
    Address(String),
    /// The certificate of an authority is none.
    #[error("the certificates of --ca are not PEM")]
    Authority,
    /// It cannot be reached.
    #[error("{host} cannot be reached ({cause})")]
    Unreachable {
        /// Which.
        host: String,
        /// Why.
        cause: String,
    },
    /// It answered with an error.
    #[error("{action}: {code}: {message}")]
    Answered {
        /// The operation.
        action: &'static str,
        /// The HTTP status.
        status: u16,
        /// The code, such as `Forbidden.KeyNotFound`.
        code: String,
        /// The message.
        message: String,
    },
}

impl ClientError {
    /// True when the KMS knows no such resource.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Answered { code, .. } if code.ends_with("NotFound") && !code.starts_with("InvalidAccessKeyId"))
    }

    /// True when it was asked too often.
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        matches!(self, Self::Answered { status, code, .. } if code.starts_with("Throttling") || matches!(status, 429 | 503))
    }
}

impl Client {
    /// A client of the KMS at `address` (`https://` where it names no scheme). `region` goes with every request;
    /// `authority` are certificates in PEM that are trusted besides those of the machine.
    ///
    /// # Errors
    /// When the address or the certificates are none.
    pub fn new(
        address: &str,
        region: Option<String>,
        authority: Option<&[u8]>,
        credentials: Credentials,
    ) -> Result<Self, ClientError> {
        let bad = || ClientError::Address(address.to_owned());
        let whole = if address.contains("://") { address.to_owned() } else { format!("https://{address}") };
        let mut url = Url::parse(&whole).map_err(|_| bad())?;
        if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
            return Err(bad());
        }
        url.set_path("/");
        url.set_query(None);
        url.set_fragment(None);
        let name = url.host_str().ok_or_else(bad)?;
        let host = url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
        // Redirects are not followed: a signature is for one host.
        let mut builder = reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none());
        if let Some(pem) = authority {
            let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(|_| ClientError::Authority)?;
            if certificates.is_empty() {
                return Err(ClientError::Authority);
            }
            builder = builder.tls_certs_merge(certificates);
        }
        let http = builder.build().map_err(|error| unreachable(&host, &error))?;
        Ok(Self { http, url, host, region, credentials })
    }

    /// Calls an operation and answers its response object.
    ///
    /// # Errors
    /// When the KMS cannot be reached or refuses.
    pub async fn call(&self, action: &'static str, parameters: &[(&str, &str)]) -> Result<Value, ClientError> {
        let region = self.region.iter().map(|region| ("RegionId", region.as_str()));
        let body = encoding::canonical(parameters.iter().copied().chain(region));
        let nonce = uuid::Uuid::new_v4().to_string();
        let unsigned =
            Unsigned { host: &self.host, action, body: body.as_bytes(), nonce: &nonce, at: Timestamp::now() };
        let mut request = self.http.post(self.url.clone()).header("accept", "application/json");
        for (name, value) in sign(&unsigned, &self.credentials) {
            request = request.header(name, value);
        }
        let answer = request.body(body.as_bytes().to_vec()).send().await;
        let answer = answer.map_err(|error| unreachable(&self.host, &error))?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(|error| unreachable(&self.host, &error))?;
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() && value.is_object() {
            return Ok(value);
        }
        let field = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        Err(ClientError::Answered {
            action,
            status: status.as_u16(),
            code: field("Code").unwrap_or_else(|| status.to_string()),
            message: field("Message").unwrap_or_else(|| "the answer is not one of a KMS".to_owned()),
        })
    }
}

fn unreachable(host: &str, error: &reqwest::Error) -> ClientError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    ClientError::Unreachable { host: host.to_owned(), cause: cause.to_string() }
}
