//! A rotator of the operator's own, called over HTTPS (docs/rotators.md is the protocol).

use std::time::Duration;

use async_trait::async_trait;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Certificate, Client, StatusCode, Url, redirect};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{Order, Rotator, RotatorError};

/// An answer longer than this is not one of a receiver.
const LONGEST_ANSWER: usize = 64 * 1024;
/// Waiting longer for a connection than this helps nobody; nothing was sent yet.
const CONNECT: Duration = Duration::from_secs(5);

/// How a webhook is reached.
pub struct WebhookSettings {
    /// Where; `https`.
    pub url: Url,
    /// The key of the signature.
    pub key: Zeroizing<String>,
    /// Certificates that are trusted instead of the system's, PEM.
    pub ca: Option<Vec<u8>>,
}

/// A webhook.
pub struct Webhook {
    url: Url,
    key: Zeroizing<String>,
    client: Client,
}

impl Webhook {
    /// Makes the client.
    ///
    /// # Errors
    /// What is wrong with the certificates.
    pub fn new(settings: WebhookSettings) -> Result<Self, String> {
        let mut builder = Client::builder()
            .https_only(true)
            // The address that is configured is the one that gets the credential, and no other.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            // A connection that died while it was idle would leave it unknown whether a request arrived.
            .pool_max_idle_per_host(0)
            .user_agent(concat!("keyferry/", env!("CARGO_PKG_VERSION")));
        if let Some(ca) = &settings.ca {
            let trusted = Certificate::from_pem_bundle(ca).map_err(|error| chain(&error))?;
            if trusted.is_empty() {
                return Err("there is no certificate in PEM form in it".to_owned());
            }
            builder = builder.tls_certs_only(trusted);
        }
        let client = builder.build().map_err(|error| chain(&error))?;
        Ok(Self { url: settings.url, key: settings.key, client })
    }
}

#[derive(Deserialize)]
struct Answer {
    rotation_id: String,
}

#[async_trait]
impl Rotator for Webhook {
    async fn rotate(&self, order: &Order) -> Result<(), RotatorError> {
        let body = body(order)?;
        let timestamp = order.at.as_second().to_string();
        let request = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("x-keyferry-rotation", &order.rotation)
            .header("x-keyferry-timestamp", &timestamp)
            .header("x-keyferry-signature", signature(&self.key, &timestamp, &body))
            .body(body.to_vec());
        let mut response = request.send().await.map_err(|error| {
            let text = format!("no answer from the webhook: {}", chain(&error));
            if error.is_connect() || error.is_builder() {
                RotatorError::Unchanged(text)
            } else {
                RotatorError::Unsure(text)
            }
        })?;
        let status = response.status();
        if status != StatusCode::OK {
            let text = format!("the webhook answered {status}");
            // A receiver answers 3xx and 4xx only for what it has not begun.
            let untouched = status.is_client_error() || status.is_redirection();
            return Err(if untouched { RotatorError::Unchanged(text) } else { RotatorError::Unsure(text) });
        }
        let mut text = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if text.len().saturating_add(chunk.len()) <= LONGEST_ANSWER => {
                    text.extend_from_slice(&chunk);
                }
                Ok(None) => break,
                Ok(Some(_)) => return Err(nonsense()),
                Err(error) => {
                    return Err(RotatorError::Unsure(format!("the webhook's answer broke off: {}", chain(&error))));
                }
            }
        }
        // A page of some proxy in between is no answer.
        match serde_json::from_slice::<Answer>(&text) {
            Ok(answer) if answer.rotation_id == order.rotation => Ok(()),
            _ => Err(nonsense()),
        }
    }
}

/// `v1=` and the HMAC-SHA-256, in hex, of the time stamp, a full stop and the body.
#[must_use]
pub fn signature(key: &str, timestamp: &str, body: &[u8]) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else {
        return String::new();
    };
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    format!("v1={}", hex::encode(mac.finalize().into_bytes()))
}

/// The same bytes at every try.
fn body(order: &Order) -> Result<Zeroizing<Vec<u8>>, RotatorError> {
    let broken = |what: &str| RotatorError::Unchanged(format!("the secret's {what} is no JSON object"));
    let value: Value = serde_json::from_slice(&order.value).map_err(|_| broken("value"))?;
    let config: Value = serde_json::from_str(&order.extended_config).map_err(|_| broken("extended configuration"))?;
    let body = json!({
        "protocol": 1,
        "rotation_id": order.rotation,
        "region": order.scope.region,
        "account": order.scope.account,
        "secret_name": order.secret,
        "secret_type": order.secret_type.as_str(),
        "version_id": order.version,
        "extended_config": config,
        "value": value,
        "retires": order.retires,
    });
    serde_json::to_vec(&body).map(Zeroizing::new).map_err(|_| broken("value"))
}

fn nonsense() -> RotatorError {
    RotatorError::Unsure("the webhook answered 200 without a JSON object that repeats rotation_id".to_owned())
}

/// What happened, and why, without the address: that may carry a token.
fn chain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        cause = error.source();
    }
    if text.is_empty() {
        text = if error.is_timeout() { "timed out".to_owned() } else { "the request failed".to_owned() };
    }
    text
}
