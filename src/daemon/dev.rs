//! `run --dev`: a KMS for a laptop or CI. One account, one region, one instance; keeps its state only where asked to.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::running::Daemon;
use super::{DaemonError, serve};
use crate::config::Config;
use crate::model::{Random, SystemRandom};
use crate::observe;

/// How to run for development.
#[derive(Debug, Clone, Default)]
pub struct DevOptions {
    /// Where state is kept; `None`: in a temporary directory that is removed at the end.
    pub dir: Option<PathBuf>,
}

/// The only account.
pub(super) const ACCOUNT: &str = "1000000000000001";
/// The only region.
pub(super) const REGION: &str = "cn-hangzhou";
/// The only instance.
const INSTANCE: &str = "kst-dev1";

/// Runs until TERM or INT. What to connect with goes to standard output.
pub(super) async fn run(options: DevOptions) -> Result<(), DaemonError> {
    let dir = Scratch::new("dev", options.dir.as_deref())?;
    let path = dir.path().join("keyferry.toml");
    if !path.exists() {
        write_private(&path, &text(dir.path()))?;
    }
    let loaded = super::load(&path)?;
    let log = observe::install(loaded.config.log.format, loaded.config.log.level)?;
    let outcome = serve(path, loaded, Some(log), greet).await;
    drop(dir);
    outcome
}

/// A directory that is removed when dropped, unless the caller named it.
pub(super) struct Scratch {
    path: PathBuf,
    temporary: bool,
}

impl Scratch {
    /// The named directory, or a fresh temporary one (mode 0700) with `purpose` in its name.
    pub(super) fn new(purpose: &str, named: Option<&Path>) -> Result<Self, DaemonError> {
        use std::os::unix::fs::DirBuilderExt;
        let (path, temporary) = match named {
            Some(path) => (path.to_owned(), false),
            None => (std::env::temp_dir().join(format!("keyferry-{purpose}-{}", random_hex(8).as_str())), true),
        };
        let made = std::fs::DirBuilder::new().recursive(!temporary).mode(0o700).create(&path);
        let failed = |error| DaemonError::Path {
            path: path.clone(),
            error,
            remedy: "name a directory that you can write to with --dir",
        };
        made.map_err(failed)?;
        // The file in it names paths: they must not depend on where the process is started.
        let path = path.canonicalize().map_err(failed)?;
        Ok(Self { path, temporary })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.temporary {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// Random bytes in hexadecimal.
pub(super) fn random_hex(bytes: usize) -> Zeroizing<String> {
    let mut raw = Zeroizing::new(vec![0; bytes]);
    SystemRandom.fill(&mut raw);
    Zeroizing::new(hex::encode(raw.as_slice()))
}

/// Writes a file that only this user can read.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), DaemonError> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let opened = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    opened.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| DaemonError::Path {
        path: path.to_owned(),
        error,
        remedy: "the directory must be writable",
    })
}

fn text(dir: &Path) -> Zeroizing<String> {
    Zeroizing::new(format!(
        r#"# Made by `keyferry run --dev`; yours to change.
state_dir = {state:?}

[log]
format = "text"

[[region]]
id = "{REGION}"

[[account]]
id = "{ACCOUNT}"
name = "dev"

[[account.access_key]]
id = "LTAI{id}"
secret = "{secret}"

[[instance]]
id = "{INSTANCE}"
region = "{REGION}"
owner = "{ACCOUNT}"
kind = "software"
"#,
        state = dir.join("state").display().to_string(),
        id = random_hex(8).as_str(),
        secret = random_hex(15).as_str(),
    ))
}

fn greet(daemon: &Daemon) {
    let config: &Config = &daemon.parts().config();
    let Some(address) = daemon.address() else {
        return;
    };
    let key = config.accounts.iter().flat_map(|account| &account.access_keys).next();
    let (id, secret) = key.map_or(("", ""), |key| (key.id.as_str(), key.secret.expose()));
    println!(
        r#"A KMS for this machine; do not put anything in it that matters. Ctrl-C ends it.

  endpoint           http://{address}
  region             {REGION}
  account            {ACCOUNT}
  instance           {INSTANCE}
  access key ID      {id}
  access key secret  {secret}
  admin socket       {socket}

  export KEYFERRY_SOCKET={socket}

Python (pip install alibabacloud_kms20160120):

from alibabacloud_kms20160120.client import Client
from alibabacloud_kms20160120 import models
from alibabacloud_tea_openapi.models import Config
kms = Client(Config(access_key_id="{id}", access_key_secret="{secret}",
                    region_id="{REGION}", endpoint="{address}", protocol="HTTP"))
print(kms.create_key(models.CreateKeyRequest()).body)
"#,
        socket = config.admin.socket.display(),
    );
}
