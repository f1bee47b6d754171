//! The instance's listener: mutual TLS 1.3, one keystore behind it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use super::dispatch::Desk;
use super::wire::{
    self, CALL, HELLO, Hello, MAX_REQUEST, PROTOCOL_HEADER, PURPOSE, Protocols, SIGNATURE_HEADER, Welcome, encode,
    statement,
};
use crate::keystore::Target;
use crate::keystore::software::SoftwareKeystore;
use crate::model::{InstanceId, Random};
use crate::tls::{TlsError, authorities, end_of, pair, provider};

/// A keystore that can be served to another host: it signs its answers.
pub trait Hosted: Target {
    /// Signs with the identity, for a purpose.
    fn attest(&self, purpose: &'static str, statement: &[u8]) -> Vec<u8>;
}

impl Hosted for SoftwareKeystore {
    fn attest(&self, purpose: &'static str, statement: &[u8]) -> Vec<u8> {
        Self::attest(self, purpose, statement)
    }
}

/// What the listener presents, and whom it lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Papers {
    /// PEM: the instance's certificate.
    pub certificate: PathBuf,
    /// PEM: its key.
    pub private_key: PathBuf,
    /// PEM: the authorities that may vouch for a gateway's certificate.
    pub client_ca: PathBuf,
}

/// A listener that cannot be opened.
#[derive(Debug, Error)]
pub enum ListenError {
    /// The address.
    #[error("cannot listen on {address}: {error}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// Certificate, key or authority.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// An open listener.
pub struct InstanceServer {
    listener: TcpListener,
    address: SocketAddr,
    papers: Papers,
    presented: RwLock<Presented>,
    protocols: Protocols,
    instance: InstanceId,
    desk: Desk,
}

/// What is in force of the papers.
struct Presented {
    config: Arc<ServerConfig>,
    /// The first end of a certificate of the chain.
    until: Option<Timestamp>,
}

impl InstanceServer {
    /// Opens the listener. Connections are queued from here on, and served by [`InstanceServer::run`].
    ///
    /// # Errors
    /// An address that is taken, files that cannot be used.
    pub async fn bind(
        address: SocketAddr,
        papers: Papers,
        instance: InstanceId,
        keystore: Arc<dyn Hosted>,
        random: Arc<dyn Random>,
    ) -> Result<Arc<Self>, ListenError> {
        let presented = RwLock::new(papers.read()?);
        let failed = |error| ListenError::Address { address, error };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let desk = Desk::new(keystore, random);
        Ok(Arc::new(Self { listener, address, papers, presented, protocols: Protocols::SPOKEN, instance, desk }))
    }

    /// Speaks other protocols than this release does, to rehearse an upgrade.
    #[must_use]
    pub fn speaking(self: Arc<Self>, protocols: Protocols) -> Option<Arc<Self>> {
        Arc::into_inner(self).map(|mut server| {
            server.protocols = protocols;
            Arc::new(server)
        })
    }

    /// The address, with the port it was given.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads certificate, key and authorities again; later connections use them.
    ///
    /// # Errors
    /// Names the file; then nothing has changed.
    pub fn reload(&self) -> Result<(), TlsError> {
        let presented = self.papers.read()?;
        *self.presented.write().unwrap_or_else(PoisonError::into_inner) = presented;
        Ok(())
    }

    /// Until when the certificate that it presents is good, or what vouches for it if that ends before.
    #[must_use]
    pub fn presented_until(&self) -> Option<Timestamp> {
        self.presented.read().unwrap_or_else(PoisonError::into_inner).until
    }

    /// Serves until `stop`; then accepts nothing more, and returns when the calls under way have been answered, at the
    /// latest after 20 s.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let connections = TaskTracker::new();
        let abort = CancellationToken::new();
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let (server, stop, abort) = (Arc::clone(&self), stop.clone(), abort.clone());
                    connections.spawn(async move {
                        let _place = place;
                        tokio::select! {
                            () = abort.cancelled() => {}
                            () = server.serve(stream, peer, stop) => {}
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    // Out of file descriptors, most likely; without a pause this would spin.
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        connections.close();
        if tokio::time::timeout(DRAIN, connections.wait()).await.is_err() {
            abort.cancel();
            connections.wait().await;
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, stop: CancellationToken) {
        let _ = stream.set_nodelay(true);
        let config = Arc::clone(&self.presented.read().unwrap_or_else(PoisonError::into_inner).config);
        let handshake = tokio_rustls::TlsAcceptor::from(config).accept(stream).into_fallible();
        let stream = match tokio::time::timeout(HANDSHAKE, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err((error, stream))) => {
                tracing::warn!(%peer, %error, "a connection without an accepted certificate was refused");
                return linger(stream).await;
            }
            Err(_) => return,
        };
        let server = Arc::clone(&self);
        let service = hyper::service::service_fn(move |request| {
            let server = Arc::clone(&server);
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection ended early");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        if head.method != Method::POST {
            return plain(StatusCode::METHOD_NOT_ALLOWED);
        }
        let body = match tokio::time::timeout(BODY, read(body)).await {
            Ok(Some(body)) => body,
            Ok(None) => return plain(StatusCode::PAYLOAD_TOO_LARGE),
            Err(_) => return plain(StatusCode::REQUEST_TIMEOUT),
        };
        let answer = match head.uri.path() {
            HELLO => self.hello(&body),
            CALL => {
                let protocol = head.headers.get(PROTOCOL_HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
                if !protocol.is_some_and(|protocol| self.protocols.speaks(protocol)) {
                    return plain(StatusCode::UPGRADE_REQUIRED);
                }
                match serde_json::from_slice::<wire::Request>(&body) {
                    Ok(request) => encode(&self.desk.answer(request.call).await).ok(),
                    Err(_) => None,
                }
            }
            _ => return plain(StatusCode::NOT_FOUND),
        };
        let Some(answer) = answer else { return plain(StatusCode::BAD_REQUEST) };
        let signature = self.desk.keystore.attest(PURPOSE, &statement(&body, &answer));
        let Ok(signature) = HeaderValue::from_str(&STANDARD.encode(signature)) else {
            return plain(StatusCode::INTERNAL_SERVER_ERROR);
        };
        let mut response = Response::new(Body::from(answer.to_vec()));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().insert(SIGNATURE_HEADER, signature);
        response
    }

    fn hello(&self, body: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        // Whoever is not looking for this instance learns so from the answer.
        let _: Hello = serde_json::from_slice(body).ok()?;
        let welcome = Welcome {
            protocols: self.protocols,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instance: self.instance.clone(),
            identity: self.desk.keystore.identity(),
        };
        encode(&welcome).ok()
    }
}

impl Papers {
    fn read(&self) -> Result<Presented, TlsError> {
        let unusable = |error| TlsError::Unusable {
            certificate: self.certificate.clone(),
            private_key: self.private_key.clone(),
            error,
        };
        let roots = authorities(&self.client_ca)?;
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build().map_err(|error| {
            TlsError::Pem { path: self.client_ca.clone(), what: "certificate authority", error: error.to_string() }
        })?;
        let (chain, key) = pair(&self.certificate, &self.private_key)?;
        let until = chain.iter().filter_map(|certificate| end_of(certificate).ok()).min();
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Every connection shows its certificate anew.
        config.send_tls13_tickets = 0;
        Ok(Presented { config: Arc::new(config), until })
    }
}

/// A client whose certificate is refused has sent its request already. Closing over unread bytes would reset the
/// connection, and the reset can overtake the alert that says why.
async fn linger(mut stream: TcpStream) {
    let reading = async {
        let _ = stream.shutdown().await;
        let mut room = [0; 4096];
        let mut left = LINGER_BYTES;
        while let Ok(read @ 1..) = stream.read(&mut room).await {
            left = left.saturating_sub(read);
            if left == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(LINGER, reading).await;
}

async fn read(body: Incoming) -> Option<Zeroizing<Vec<u8>>> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > MAX_REQUEST {
        return None;
    }
    // Reserved at once, so that no growth leaves a copy of a secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(announced));
    let mut chunks = Body::new(body).into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.ok()?;
        if bytes.len().saturating_add(chunk.len()) > MAX_REQUEST {
            return None;
        }
        bytes.extend_from_slice(&chunk);
    }
    Some(bytes)
}

fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Connections at a time; a gateway keeps at most 64 idle ones.
const CONNECTIONS: usize = 1024;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a kept-alive connection may be idle.
const IDLE: Duration = Duration::from_secs(90);
const BODY: Duration = Duration::from_secs(30);
const DRAIN: Duration = Duration::from_secs(20);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;
