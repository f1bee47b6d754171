//! A webhook: how it is asked, how a message to it is signed, and what its answer means.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Url, redirect};
use thiserror::Error;

use super::message::body;
use super::notice::Notice;
use crate::config::{AccessKeySecret, Notify, Template};
use crate::observe::Event;

/// A receiver that cannot be used as it is configured.
#[derive(Debug, Error)]
#[error("the receiver of notifications {name}: {why}")]
pub struct ReceiverError {
    /// Which.
    pub name: String,
    /// Why.
    pub why: String,
}

/// Why a message did not arrive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotArrived {
    /// In words; never with the address, which may be a secret.
    pub(super) why: String,
    /// The receiver will not take this message, however often it is asked.
    pub(super) refused: bool,
    /// When to come back, if it said so.
    pub(super) after: Option<Duration>,
}

/// One receiver.
pub(super) struct Receiver {
    name: String,
    url: Url,
    template: Template,
    signing: Option<AccessKeySecret>,
    events: Vec<Event>,
    client: Client,
    /// What the store did not take.
    kept: Mutex<VecDeque<Notice>>,
}

impl Receiver {
    pub(super) fn new(config: &Notify) -> Result<Self, ReceiverError> {
        let failed = |why: String| ReceiverError { name: config.name.clone(), why };
        let url = Url::parse(config.url.expose()).map_err(|error| failed(error.to_string()))?;
        let mut client = Client::builder()
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            // A message goes where the operator said, and nowhere else.
            .redirect(redirect::Policy::none())
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")));
        if url.scheme() == "http" {
            // To this machine only.
            client = client.no_proxy();
        }
        if let Some(path) = &config.ca {
            let pem = std::fs::read(path).map_err(|error| failed(format!("{}: {error}", path.display())))?;
            let found = reqwest::Certificate::from_pem_bundle(&pem);
            let found = found.map_err(|error| failed(format!("{}: {error}", path.display())))?;
            client = client.tls_certs_merge(found);
        }
        let client = client.build().map_err(|error| failed(error.without_url().to_string()))?;
        Ok(Self {
            name: config.name.clone(),
            url,
            template: config.template,
            signing: config.signing.as_ref().map(|(secret, _)| secret.clone()),
            events: config.events.clone(),
            client,
            kept: Mutex::default(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn wants(&self, event: Event) -> bool {
        self.events.contains(&event)
    }

    /// Keeps in memory what the store did not take.
    pub(super) fn keep(&self, notice: Notice) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT && kept.iter().all(|other| other.id != notice.id) {
            kept.push_back(notice);
        }
    }

    /// The first of what is kept in memory.
    pub(super) fn kept(&self) -> Option<Notice> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).front().cloned()
    }

    /// The first of what is kept has been dealt with.
    pub(super) fn drop_kept(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    }

    /// Sends a message, once.
    pub(super) async fn send(&self, notice: &Notice, now: Timestamp) -> Result<(), NotArrived> {
        let body = body(self.template, notice);
        let mut request = self.client.post(self.url(now)).header(CONTENT_TYPE, "application/json; charset=utf-8");
        request = request.header("x-keyferry-id", &notice.id).header("x-keyferry-event", &notice.event);
        if let Some(signature) = self.signature(now, &notice.id, &body) {
            request = request.header("x-keyferry-timestamp", now.as_second()).header("x-keyferry-signature", signature);
        }
        let mut answer = request.body(body).send().await.map_err(|error| NotArrived {
            why: describe(error),
            refused: false,
            after: None,
        })?;
        let status = answer.status();
        if !status.is_success() {
            let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            return Err(NotArrived {
                why: format!("it answered {status}"),
                // What is wrong with the message stays wrong with it; all else may pass.
                refused: matches!(status.as_u16(), 400 | 413 | 415 | 422),
                after: after.map(Duration::from_secs),
            });
        }
        if self.template == Template::DingTalk {
            let mut text = Vec::new();
            while let Ok(Some(piece)) = answer.chunk().await {
                text.extend_from_slice(&piece);
                if text.len() > LONGEST_ANSWER {
                    break;
                }
            }
            return dingtalk_took_it(&text);
        }
        Ok(())
    }

    /// The address, with DingTalk's own signature where it is for DingTalk.
    fn url(&self, now: Timestamp) -> Url {
        let mut url = self.url.clone();
        if let (Template::DingTalk, Some(secret)) = (self.template, &self.signing) {
            let timestamp = now.as_millisecond().to_string();
            let sign = dingtalk_signature(secret.expose(), &timestamp);
            url.query_pairs_mut().append_pair("timestamp", &timestamp).append_pair("sign", &sign);
        }
        url
    }

    /// `v1=` and the HMAC-SHA-256 (hexadecimal) over `v1:TIMESTAMP:ID:BODY`.
    fn signature(&self, now: Timestamp, id: &str, body: &[u8]) -> Option<HeaderValue> {
        let secret = self.signing.as_ref().filter(|_| self.template != Template::DingTalk)?;
        let key = hmac_key(secret.expose());
        let mut context = aws_lc_rs::hmac::Context::with_key(&key);
        context.update(format!("v1:{}:{id}:", now.as_second()).as_bytes());
        context.update(body);
        HeaderValue::from_str(&format!("v1={}", hex::encode(context.sign()))).ok()
    }
}

const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);
const LONGEST_ANSWER: usize = 4096;
/// Kept in memory at most.
const KEPT: usize = 100;

fn hmac_key(secret: &str) -> aws_lc_rs::hmac::Key {
    aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes())
}

/// As DingTalk's custom robots want it: Base64 of HMAC-SHA-256 under the secret over timestamp (ms), line feed, secret.
pub(super) fn dingtalk_signature(secret: &str, timestamp: &str) -> String {
    let signed = aws_lc_rs::hmac::sign(&hmac_key(secret), format!("{timestamp}\n{secret}").as_bytes());
    BASE64.encode(signed)
}

/// DingTalk answers 200 also to what it refuses.
fn dingtalk_took_it(answer: &[u8]) -> Result<(), NotArrived> {
    let answer: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
    match answer.get("errcode").and_then(serde_json::Value::as_i64) {
        Some(0) => Ok(()),
        Some(code) => {
            let text = answer.get("errmsg").and_then(serde_json::Value::as_str).unwrap_or_default();
            let why = format!("DingTalk answered {code} {}", text.chars().take(200).collect::<String>());
            Err(NotArrived { why, refused: false, after: None })
        }
        None => Err(NotArrived { why: "it does not answer as DingTalk does".to_owned(), refused: false, after: None }),
    }
}

fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    format!("it cannot be reached ({cause})")
}
