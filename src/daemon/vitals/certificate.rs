//! When a certificate ends.

use jiff::Timestamp;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The end of a certificate (DER); `None` when it cannot be read.
pub(in crate::daemon) fn ends(certificate: &[u8]) -> Option<Timestamp> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
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
