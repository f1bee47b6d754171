//! `demo --remote`: the instance as a process of its own, with its own store and root key, behind mutual TLS.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use zeroize::Zeroizing;

use super::super::DaemonError;
use super::super::dev::{ACCOUNT, REGION, write_private};
use super::story::{INSTANCE, fault};

/// The instance's process; it ends with this value.
pub(super) struct Elsewhere {
    process: Child,
    port: u16,
    place: PathBuf,
}

impl Elsewhere {
    /// Makes two authorities and a certificate of each, and starts the instance.
    pub(super) fn start(dir: &Path) -> Result<Self, DaemonError> {
        let place = dir.join("elsewhere");
        std::fs::create_dir_all(&place).map_err(fault)?;
        issue(&place, "instance", ExtendedKeyUsagePurpose::ServerAuth)?;
        issue(&place, "gateway", ExtendedKeyUsagePurpose::ClientAuth)?;
        let config = place.join("instance.toml");
        write_private(&config, &configuration(&place))?;
        let program = std::env::current_exe().map_err(fault)?;
        let mut process = Command::new(program)
            .arg("--config")
            .arg(&config)
            .args(["run", "--role", "instance"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(fault)?;
        let log = process.stderr.take();
        let mut elsewhere = Self { process, port: 0, place };
        let (sender, receiver) = std::sync::mpsc::channel();
        // It reads to the end, so that the instance can always write.
        std::thread::spawn(move || {
            for line in log.map(BufReader::new).into_iter().flat_map(BufRead::lines).map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut last = String::new();
        while let Ok(line) = receiver.recv_timeout(PATIENCE) {
            if let Some(port) = port_in(&line) {
                elsewhere.port = port;
                return Ok(elsewhere);
            }
            last = line;
        }
        Err(DaemonError::Demo(format!("the instance did not start: {last}")))
    }

    /// The key of the instance in the gateway's configuration.
    pub(super) fn key(&self) -> String {
        let path = |name: &str| self.place.join(name).display().to_string();
        format!(
            "remote = {{ endpoint = \"https://localhost:{}\", ca = {:?}, certificate = {:?}, private_key = {:?} }}\n",
            self.port,
            path("instance-ca.pem"),
            path("gateway.pem"),
            path("gateway.key")
        )
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The line of `daemon.started` names the address.
fn port_in(line: &str) -> Option<u16> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    if line.get("event")?.as_str()? != "daemon.started" {
        return None;
    }
    let (_, rest) = line.get("message")?.as_str()?.split_once(" on 127.0.0.1:")?;
    rest.split(';').next()?.parse().ok()
}

fn issue(place: &Path, name: &str, usage: ExtendedKeyUsagePurpose) -> Result<(), DaemonError> {
    let mut authority = CertificateParams::new(Vec::new()).map_err(fault)?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, format!("authority of the {name}"));
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().map_err(fault)?).map_err(fault)?;
    let key = KeyPair::generate().map_err(fault)?;
    let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).map_err(fault)?;
    parameters.extended_key_usages = vec![usage];
    let certificate = parameters.signed_by(&key, &authority).map_err(fault)?;
    write_private(&place.join(format!("{name}-ca.pem")), &authority.pem())?;
    write_private(&place.join(format!("{name}.pem")), &certificate.pem())?;
    write_private(&place.join(format!("{name}.key")), &Zeroizing::new(key.serialize_pem()))
}

fn configuration(place: &Path) -> String {
    let path = |name: &str| place.join(name).display().to_string();
    format!(
        r#"state_dir = {:?}
instance_server = {{ listen = "127.0.0.1:0", certificate = {:?}, private_key = {:?}, client_ca = {:?} }}

[[region]]
id = "{REGION}"

[[account]]
id = "{ACCOUNT}"

[[instance]]
id = "{INSTANCE}"
region = "{REGION}"
owner = "{ACCOUNT}"
kind = "software"
"#,
        path("state"),
        path("instance.pem"),
        path("instance.key"),
        path("gateway-ca.pem")
    )
}

const PATIENCE: Duration = Duration::from_secs(30);
