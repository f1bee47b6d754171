//! The HTTP client of one instance: mutual TLS 1.3 against one certificate authority, pooled connections.

use std::path::PathBuf;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::version::TLS13;

use crate::tls::{TlsError, authorities, pair, provider};

/// Where an instance is, and how gateway and instance know each other's machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// `https://HOST:PORT`.
    pub endpoint: String,
    /// PEM: the authorities that may vouch for the instance's certificate.
    pub ca: PathBuf,
    /// PEM: our certificate.
    pub certificate: PathBuf,
    /// PEM: its key.
    pub private_key: PathBuf,
}

/// How long a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect, TLS included. Default 3 s.
    pub connect: Duration,
    /// A cryptographic operation or a read. Default 10 s.
    pub quick: Duration,
    /// What makes keys or writes much. Default 60 s.
    pub slow: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(3), quick: Duration::from_secs(10), slow: Duration::from_secs(60) }
    }
}

impl Link {
    /// Reads the files and makes the clients.
    pub(super) fn clients(&self, timeouts: &Timeouts) -> Result<Clients, TlsError> {
        let roots = authorities(&self.ca)?;
        let (chain, key) = pair(&self.certificate, &self.private_key)?;
        let unusable = |error| TlsError::Unusable {
            certificate: self.certificate.clone(),
            private_key: self.private_key.clone(),
            error,
        };
        let mut tls = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(unusable)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A session taken up again would not show that the certificate has ended since.
        tls.resumption = rustls::client::Resumption::disabled();
        let build = |tls: ClientConfig, idle: usize| {
            let built = reqwest::Client::builder()
                .tls_backend_preconfigured(tls)
                .https_only(true)
                .http1_only()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .tcp_nodelay(true)
                // What the instance presents can be seen, and so when it ends.
                .tls_info(true)
                .connect_timeout(timeouts.connect)
                .pool_idle_timeout(POOL_IDLE)
                .pool_max_idle_per_host(idle)
                .build();
            built.map_err(|error| unusable(rustls::Error::General(error.to_string())))
        };
        Ok(Clients { pooled: build(tls.clone(), POOL_SIZE)?, fresh: build(tls, 0)? })
    }
}

/// The two ways to an instance.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    /// Over connections that are kept, for work.
    pub(super) pooled: reqwest::Client,
    /// Over a connection of its own, for hellos: certificates are looked at when a connection is made, and at no other time.
    pub(super) fresh: reqwest::Client,
}

/// Shorter than the server keeps an idle connection.
const POOL_IDLE: Duration = Duration::from_secs(30);
const POOL_SIZE: usize = 64;
