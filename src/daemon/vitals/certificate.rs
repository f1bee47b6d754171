//! When a certificate ends.

use jiff::Timestamp;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::config::Config;

/// The end of a certificate (DER); `None` when it cannot be read.
pub(in crate::daemon) fn ends(certificate: &[u8]) -> Option<Timestamp> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

/// The end of the certificate that ends first of those that connections to instances on other hosts stand on: the
/// gateway's, and their authorities'. A file that cannot be read is left out; `status` names it. Reads files.
pub(in crate::daemon) fn ends_elsewhere(config: &Config) -> Option<Timestamp> {
    let remotes = config.instances.iter().filter_map(|instance| instance.remote.as_ref());
    let files = remotes.flat_map(|remote| [&remote.certificate, &remote.ca]);
    files.filter_map(|file| crate::tls::expires(file).ok()).min()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_read() {
        let mut wanted = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        wanted.not_after = rcgen::date_time_ymd(2031, 5, 17);
        let made = wanted.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        assert_eq!(ends(made.der()), Some("2031-05-17T00:00:00Z".parse().unwrap()));
        assert_eq!(ends(b"no certificate"), None);
    }
}
