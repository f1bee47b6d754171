//! Certificates of gateway and instance, in files. Shared with tests and benches outside.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};

use keyferry::keystore::remote::Link;
use keyferry::keystore::remote::server::Papers;

/// A certificate authority.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
        Self { issuer: CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap() }
    }

    pub(super) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Certificate and key; `ended`: one whose time is over.
    pub(super) fn issue(&self, name: &str, ended: bool) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        if ended {
            parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
            parameters.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        (parameters.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// Where the files of one gateway and its instance lie.
pub(super) struct Desk {
    dir: tempfile::TempDir,
    gateways: Authority,
    instance_ca: Mutex<String>,
}

impl Desk {
    pub(super) fn new() -> Self {
        let desk = Self {
            dir: tempfile::tempdir().unwrap(),
            gateways: Authority::new("gateways"),
            instance_ca: Mutex::new(String::new()),
        };
        desk.gateway(&desk.gateways, false);
        desk
    }

    /// Gives the gateway a certificate.
    pub(super) fn gateway(&self, authority: &Authority, ended: bool) {
        let (certificate, key) = authority.issue("gateway", ended);
        self.write("gateway.pem", &certificate);
        self.write("gateway.key", &key);
    }

    pub(super) const fn gateways(&self) -> &Authority {
        &self.gateways
    }

    /// Gives the instance a certificate of an authority, which the gateway trusts unless `trusted` names another.
    pub(super) fn papers(&self, authority: &Authority, name: &str, trusted: Option<&Authority>) -> Papers {
        let (certificate, key) = authority.issue(name, false);
        self.install(&certificate, &key, trusted.unwrap_or(authority))
    }

    /// As [`Desk::papers`], with a certificate whose time is over.
    pub(super) fn ended_papers(&self, authority: &Authority) -> Papers {
        let (certificate, key) = authority.issue("localhost", true);
        self.install(&certificate, &key, authority)
    }

    fn install(&self, certificate: &str, key: &str, trusted: &Authority) -> Papers {
        *self.instance_ca.lock().unwrap() = trusted.pem();
        self.write("instance-ca.pem", &trusted.pem());
        Papers {
            certificate: self.write("instance.pem", certificate),
            private_key: self.write("instance.key", key),
            client_ca: self.write("gateway-ca.pem", &self.gateways.pem()),
        }
    }

    pub(super) fn link(&self) -> Link {
        Link {
            endpoint: String::new(),
            ca: self.path("instance-ca.pem"),
            certificate: self.path("gateway.pem"),
            private_key: self.path("gateway.key"),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        write(&path, text);
        path
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}
