//! Listeners: HTTP/1.1 with keep-alive on TCP, plain or TLS, that do not let a slow or greedy client hold them up.
//!
//! A request line may have 256 KiB, as a body may: [`super::request_lines`] carries long ones past the `http` crate, which
//! takes 65,534 bytes of path and query.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures::StreamExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use super::gateway::{Arrival, Gateway};
use super::request::{MAX_BODY_BYTES, RawRequest};
use super::request_lines::{Lines, Query};
use super::response::Reply;
use super::{ApiError, tls};
use crate::model::RegionId;

/// Where to listen, and what that means.
pub struct Endpoint {
    /// The address; port 0 takes any free one.
    pub address: SocketAddr,
    /// The region every request here is for; `None`: requests say.
    pub region: Option<RegionId>,
    /// Certificate and key; `None`: plain HTTP.
    pub tls: Option<Arc<tls::Identity>>,
}

/// How long and how much a client may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For a TLS handshake. Default 10 s.
    pub handshake: Duration,
    /// From the first wait for a request to the end of its headers, so also how long a kept-alive connection may be
    /// idle. Default 60 s.
    pub headers: Duration,
    /// For a body. Default 30 s.
    pub body: Duration,
    /// For requests under way when the listener stops. Default 20 s.
    pub drain: Duration,
    /// Connections at a time; further ones wait to be accepted. Default 4096.
    pub connections: usize,
}

/// A listener that cannot be opened.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {error}")]
pub struct ServerError {
    /// The address.
    pub address: SocketAddr,
    /// Why.
    pub error: std::io::Error,
}

/// An open listener.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    region: Option<RegionId>,
    tls: Option<Arc<tls::Identity>>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            headers: Duration::from_secs(60),
            body: Duration::from_secs(30),
            drain: Duration::from_secs(20),
            connections: 4096,
        }
    }
}

impl Server {
    /// Opens a listener. Connections are queued from here on, and served by [`Server::run`].
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn bind(endpoint: Endpoint) -> Result<Self, ServerError> {
        let failed = |error| ServerError { address: endpoint.address, error };
        let listener = TcpListener::bind(endpoint.address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, region: endpoint.region, tls: endpoint.tls })
    }

    /// Serves a listener that is open already; it listens at the endpoint's address.
    ///
    /// # Errors
    /// When it is no usable listener.
    pub fn adopt(endpoint: Endpoint, listener: std::net::TcpListener) -> Result<Self, ServerError> {
        let failed = |error| ServerError { address: endpoint.address, error };
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, region: endpoint.region, tls: endpoint.tls })
    }

    /// The address, with the port it was given.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`; then accepts nothing more, finishes the requests under way, and returns at the latest after
    /// [`Limits::drain`]. Operations themselves run on in [`Gateway::running`].
    pub async fn run(self, gateway: Arc<Gateway>, limits: Limits, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(limits.connections));
        let connections = TaskTracker::new();
        let abort = CancellationToken::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.accept(&places) => accepted,
            };
            let Some((stream, peer, place)) = accepted else {
                continue;
            };
            let connection = Connection {
                gateway: Arc::clone(&gateway),
                arrival: Arrival {
                    region: self.region.clone(),
                    source: peer.ip().to_canonical(),
                    secure: self.tls.is_some(),
                },
                limits,
                stop: stop.clone(),
            };
            let tls = self.tls.as_ref().map(|identity| identity.config());
            let abort = abort.clone();
            connections.spawn(async move {
                let _place = place;
                tokio::select! {
                    () = abort.cancelled() => {}
                    () = connection.serve_stream(stream, tls) => {}
                }
            });
        }
        drop(self.listener);
        connections.close();
        if tokio::time::timeout(limits.drain, connections.wait()).await.is_err() {
            tracing::warn!(
                left = connections.len(),
                "requests were still under way when the time to finish them ended"
            );
            abort.cancel();
            connections.wait().await;
        }
    }

    async fn accept(
        &self,
        places: &Arc<Semaphore>,
    ) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
        let place = Arc::clone(places).acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, peer)) => Some((stream, peer, place)),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                // Out of file descriptors, most likely; without a pause this would spin.
                tokio::time::sleep(ACCEPT_PAUSE).await;
                None
            }
        }
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Room for the longest request line that hyper gets and the headers behind it.
const MAX_HEAD_BYTES: usize = 192 * 1024;

struct Connection {
    gateway: Arc<Gateway>,
    arrival: Arrival,
    limits: Limits,
    stop: CancellationToken,
}

impl Connection {
    async fn serve_stream(self, stream: TcpStream, tls: Option<Arc<rustls::ServerConfig>>) {
        // Answers are small and wait for nothing behind them.
        let _ = stream.set_nodelay(true);
        let Some(config) = tls else {
            return self.serve(stream).await;
        };
        let handshake = tokio_rustls::TlsAcceptor::from(config).accept(stream);
        let handshake = tokio::select! {
            () = self.stop.cancelled() => return,
            done = tokio::time::timeout(self.limits.handshake, handshake) => done,
        };
        match handshake {
            Ok(Ok(stream)) => self.serve(stream).await,
            Ok(Err(error)) => {
                tracing::debug!(source = %self.arrival.source, %error, "a TLS handshake failed")
            }
            Err(_) => {
                tracing::debug!(source = %self.arrival.source, "a TLS handshake took too long")
            }
        }
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self, stream: S) {
        let (reader, writer) = tokio::io::split(stream);
        let (reader, requests) = Lines::new(reader);
        let this = &self;
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            // Here and not in the future: hyper calls a service before it reads anything behind the head.
            let length = request.body().size_hint().exact();
            let query = requests.take_up(length);
            async move {
                let reply = this.answer(request, query).await;
                // Where a chunked body ends, and so where a next request would begin, only hyper knows.
                Ok::<_, Infallible>(response(Reply { close: reply.close || length.is_none(), ..reply }))
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.headers)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(tokio::io::join(reader, writer)), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(source = %self.arrival.source, %error, "a connection ended early");
        }
    }

    async fn answer(&self, request: Request<Incoming>, query: Result<Query, ApiError>) -> Reply {
        let (head, body) = request.into_parts();
        let body = match tokio::time::timeout(self.limits.body, read_body(body)).await {
            Ok(body) => body,
            Err(_) => Err(ApiError::request_timeout()),
        };
        // A request is read to its end also where its line is refused: who still sends may not see the answer.
        match body.and_then(|body| Ok((body, query?))) {
            Ok((body, query)) => {
                let query = match query {
                    Query::InPlace => Zeroizing::new(head.uri.query().unwrap_or_default().to_owned()),
                    Query::Carried(query) => query,
                };
                let path = head.uri.path().to_owned();
                let raw = RawRequest { method: head.method, path, query, headers: head.headers, body };
                self.gateway.answer(raw, &self.arrival).await
            }
            Err(error) => self.gateway.refuse(&error, self.arrival.source),
        }
    }
}

async fn read_body(body: Incoming) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > MAX_BODY_BYTES {
        return Err(ApiError::request_too_large());
    }
    // Reserved at once, so that no growth leaves a copy of a secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(if body.is_end_stream() { 0 } else { announced.max(1024) }));
    let mut chunks = Body::new(body).into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| ApiError::unparsable().with_internal(error))?;
        if bytes.len().saturating_add(chunk.len()) > MAX_BODY_BYTES {
            return Err(ApiError::request_too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn response(reply: Reply) -> Response<Body> {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    if let Ok(id) = HeaderValue::from_str(&reply.request_id) {
        headers.insert("x-acs-request-id", id);
    }
    if let Some(seconds) = reply.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if reply.close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
