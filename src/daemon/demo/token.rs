//! `demo --hardware`: SoftHSM2 in the demo's throw-away directory.
//!
//! SoftHSM2 learns where its tokens lie from the environment, and a process does not change its own: so the demo sets the
//! token up and tells its story in a second process.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::super::DaemonError;
use super::super::dev::{random_hex, write_private};
use super::DemoOptions;
use super::story::fault;

/// The token that the demo's instance uses.
#[derive(Debug, Clone)]
pub(super) struct DemoToken {
    /// The PKCS#11 module.
    pub(super) module: PathBuf,
    /// Where its PIN lies.
    pub(super) pin_file: PathBuf,
}

/// Its label.
pub(super) const LABEL: &str = "keyferry demo";
const CONFIGURATION: &str = "softhsm2.conf";
const VARIABLE: &str = "SOFTHSM2_CONF";
const PIN_FILE: &str = "pin";
const UTILITY: &str = "softhsm2-util";
/// Where distributions put the module.
const MODULES: [&str; 6] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];

/// The token in this directory, where this process was started to use it.
pub(super) fn here(directory: &Path) -> Result<Option<DemoToken>, DaemonError> {
    let configured = std::env::var_os(VARIABLE).is_some_and(|path| Path::new(&path) == directory.join(CONFIGURATION));
    if !configured {
        return Ok(None);
    }
    Ok(Some(DemoToken { module: module()?, pin_file: directory.join(PIN_FILE) }))
}

/// Makes a token in the directory and tells the story in a process that finds it.
pub(super) async fn tell_elsewhere(directory: &Path, options: &DemoOptions) -> Result<(), DaemonError> {
    let module = module()?;
    let configuration = directory.join(CONFIGURATION);
    let tokens = directory.join("tokens");
    std::fs::create_dir_all(&tokens).map_err(|error| DaemonError::Path {
        path: tokens.clone(),
        error,
        remedy: "name a directory that you can write to with --dir",
    })?;
    let text = format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
    write_private(&configuration, &text)?;
    let (pin, so_pin) = (random_hex(8), random_hex(8));
    write_private(&directory.join(PIN_FILE), &pin)?;
    let made = Command::new(UTILITY)
        .args(["--init-token", "--free", "--label", LABEL, "--pin", pin.as_str(), "--so-pin", so_pin.as_str()])
        .env(VARIABLE, &configuration)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| missing(&format!("{UTILITY} cannot be run: {error}")))?;
    if !made.status.success() {
        return Err(DaemonError::Demo(format!("{UTILITY}: {}", String::from_utf8_lossy(&made.stderr).trim())));
    }
    println!("A token of SoftHSM2 ({}) with the label {LABEL:?}, set up for this demo alone", module.display());
    let program = std::env::current_exe().map_err(fault)?;
    let (keys, secrets) = (options.keys.to_string(), options.secrets.to_string());
    let mut story = Command::new(program);
    story.args(["demo", "--hardware", "--keys", &keys, "--secrets", &secrets, "--dir"]).arg(directory);
    story.env(VARIABLE, &configuration);
    let ended = tokio::task::spawn_blocking(move || story.status()).await.map_err(fault)?.map_err(fault)?;
    if ended.success() { Ok(()) } else { Err(DaemonError::Demo("the story above did not end well".to_owned())) }
}

fn module() -> Result<PathBuf, DaemonError> {
    let found = MODULES.iter().map(Path::new).find(|path| path.exists());
    found.map(Path::to_path_buf).ok_or_else(|| missing("there is no libsofthsm2.so"))
}

fn missing(what: &str) -> DaemonError {
    let text =
        "demo --hardware needs SoftHSM2, a token in software: install the package softhsm2 (or softhsm) and try again";
    DaemonError::Demo(format!("{what}; {text}"))
}
