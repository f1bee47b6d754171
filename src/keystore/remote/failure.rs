//! Why a request did not come through, in the operator's words.

use std::error::Error;

use rustls::{AlertDescription, CertificateError};

/// What a failed request means.
pub(super) enum Failure {
    /// A certificate does not do; trying again does not help.
    Certificate {
        /// What is wrong.
        detail: String,
        /// What to do.
        remedy: String,
    },
    /// No connection could be made: nothing was sent.
    NoConnection(String),
    /// It took too long: it may have been carried out.
    TimedOut(String),
    /// The connection broke: the request may have been carried out.
    Broken(String),
}

impl Failure {
    /// Reads the chain of causes of an error.
    pub(super) fn of(error: &reqwest::Error) -> Self {
        if let Some(tls) = tls_cause(error)
            && let Some((detail, remedy)) = certificate(tls)
        {
            return Self::Certificate { detail, remedy: remedy.to_owned() };
        }
        let detail = causes(error);
        if error.is_timeout() && !error.is_connect() {
            Self::TimedOut(detail)
        } else if error.is_connect() {
            Self::NoConnection(detail)
        } else {
            Self::Broken(detail)
        }
    }
}

/// TLS errors lie inside I/O errors, which do not name what they wrap as their source.
fn tls_cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next: Option<&'a (dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        if let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref)
            && let Some(tls) = tls_cause(inner)
        {
            return Some(tls);
        }
        next = error.source();
    }
    None
}

fn certificate(error: &rustls::Error) -> Option<(String, &'static str)> {
    const RENEW: &str =
        "renew the certificate of the instance's listener ([instance_server] certificate) and reload it";
    const OURS: &str = "renew the gateway's certificate (`certificate` in `remote`) and reload it";
    match error {
        rustls::Error::InvalidCertificate(found) => {
            let remedy = match found {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => RENEW,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    "set the clock of this host and of the instance's right"
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    "name the endpoint as its certificate does, or give the instance a certificate for that name"
                }
                _ => {
                    "check that `ca` in `remote` is the authority of the instance's certificate, and who answers there"
                }
            };
            Some((format!("its certificate is not accepted ({found})"), remedy))
        }
        rustls::Error::AlertReceived(alert) => {
            let remedy = match alert {
                AlertDescription::CertificateExpired => OURS,
                AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateRequired
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::DecryptError
                | AlertDescription::AccessDenied => {
                    "check that the instance's `client_ca` is the authority of `certificate` in `remote`"
                }
                _ => return None,
            };
            Some((format!("it does not accept our certificate ({alert:?})"), remedy))
        }
        _ => None,
    }
}

/// The innermost causes say most; URLs are left out.
fn causes(error: &reqwest::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if parts.last().is_none_or(|last| !last.contains(&text)) {
            parts.push(text);
        }
        next = cause.source();
    }
    if parts.is_empty() { error.to_string() } else { parts.join(": ") }
}
