//! Requests to the daemon over its admin socket.

use std::path::PathBuf;

use reqwest::{Method, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::outcome::{Exit, Failure};
use crate::admin::protocol::{ErrorShape, ROOT};

/// A daemon's admin socket.
pub(super) struct Client {
    socket: PathBuf,
}

/// An answer as it came, so that `--json` prints also what a newer daemon adds, and as the shape this release knows.
pub(super) struct Answer<T> {
    pub(super) raw: Value,
    pub(super) shape: T,
}

impl Client {
    pub(super) const fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, Failure> {
        read(self.open(Method::GET, path, None::<&()>).await?).await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Answer<T>, Failure> {
        read(self.open(Method::POST, path, Some(body)).await?).await
    }

    pub(super) async fn delete<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Answer<T>, Failure> {
        read(self.open(Method::DELETE, path, Some(body)).await?).await
    }

    /// Opens a stream of lines.
    pub(super) async fn lines(&self, path: &str) -> Result<Lines, Failure> {
        let response = self.open(Method::GET, path, None::<&()>).await?;
        Ok(Lines { response, buffer: Vec::new() })
    }

    /// Asks for an answer that is not a document.
    pub(super) async fn stream(&self, path: &str, body: &impl Serialize) -> Result<Bytes, Failure> {
        let response = self.open(Method::POST, path, Some(body)).await?;
        let socket = self.socket.clone();
        Ok(Bytes { response, socket })
    }

    async fn open(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Result<Response, Failure> {
        // Nothing is encrypted over the socket: a machine without certificate authorities must do.
        let builder = reqwest::Client::builder().tls_certs_only([]);
        let client = builder.unix_socket(self.socket.as_path()).no_proxy().build();
        let client = client.map_err(|error| Failure::new(Exit::Failed, "Internal", error.to_string(), ""))?;
        // The host is never resolved: the socket is the address.
        let mut request = client.request(method, format!("http://keyferry{ROOT}{path}"));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.map_err(|error| self.unreachable(&error))?;
        Err(match serde_json::from_str::<ErrorShape>(&text) {
            Ok(body) => Failure::answered(status.as_u16(), body),
            Err(_) => {
                let message = format!("the daemon answered {status}: {}", text.chars().take(500).collect::<String>());
                Failure::new(Exit::of_status(status.as_u16()), "UnexpectedAnswer", message, "compare the versions")
            }
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut cause: &dyn std::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        let remedy = "is the daemon running, and may you use its socket? See --socket and [admin] in the configuration";
        let message = format!("the daemon cannot be reached at {} ({cause})", self.socket.display());
        Failure::new(Exit::Unreachable, "Unreachable", message, remedy)
    }
}

/// An answer that is read piece by piece.
pub(super) struct Bytes {
    response: Response,
    socket: PathBuf,
}

impl Bytes {
    /// The next piece; `None` at the end.
    pub(super) async fn next_bytes(&mut self) -> Result<Option<bytes::Bytes>, Failure> {
        let broken = |error: reqwest::Error| {
            let message = format!("the answer over {} broke off ({error})", self.socket.display());
            Failure::new(Exit::Unreachable, "Unreachable", message, "try again; the daemon's log says more")
        };
        self.response.chunk().await.map_err(broken)
    }
}

/// A stream of JSON documents, one a line.
pub(super) struct Lines {
    response: Response,
    buffer: Vec<u8>,
}

impl Lines {
    /// The next document; `None` when the stream has ended or broken off.
    pub(super) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<Answer<T>>, Failure> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return parse(serde_json::from_slice(&line)).map(Some);
            }
            match self.response.chunk().await {
                Ok(Some(bytes)) => self.buffer.extend_from_slice(&bytes),
                Ok(None) | Err(_) => return Ok(None),
            }
        }
    }
}

/// A name as one segment of a path (RFC 3986 §2.3: all but the unreserved characters are escaped).
pub(super) fn segment(name: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    percent_encoding::utf8_percent_encode(name, KEPT).to_string()
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<Answer<T>, Failure> {
    match response.json::<Value>().await {
        Ok(raw) => parse(Ok(raw)),
        Err(error) => Err(strange(&error.to_string())),
    }
}

fn parse<T: DeserializeOwned>(raw: Result<Value, serde_json::Error>) -> Result<Answer<T>, Failure> {
    let raw = raw.map_err(|error| strange(&error.to_string()))?;
    let shape = serde_json::from_value(raw.clone()).map_err(|error| strange(&error.to_string()))?;
    Ok(Answer { raw, shape })
}

fn strange(cause: &str) -> Failure {
    let message = format!("the daemon's answer is not understood ({cause})");
    Failure::new(Exit::Failed, "UnexpectedAnswer", message, "use the keyferry of the daemon's version")
}
