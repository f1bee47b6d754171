//! SoftHSM2 in a directory of the test's own. Its configuration comes from the environment of a process, and a module is
//! initialised once a process: so each test runs in a child of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use keyferry::keystore::hardware::{Pin, Token, TokenAddress, all_have_left};
use zeroize::Zeroizing;

pub const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";
pub const PIN: &str = "482916";
const LABEL: &str = "kst-hzz1";
/// A second token of the same module.
pub const SECOND: &str = "kst-hzz2";
const HERE: &str = "KEYFERRY_TEST_TOKENS";

/// A token, and the means to break it.
pub struct Hsm {
    pub directory: PathBuf,
}

impl Drop for Hsm {
    /// Where a process exits while a session is being closed, the module falls down beneath it.
    fn drop(&mut self) {
        all_have_left(Duration::from_secs(10));
    }
}

/// Runs the named test in a child; there it answers the token.
pub fn hsm(test: &str) -> Option<Hsm> {
    if let Some(directory) = std::env::var_os(HERE) {
        return Some(Hsm { directory: directory.into() });
    }
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let configuration = at.join("softhsm2.conf");
    std::fs::create_dir(at.join("tokens")).unwrap();
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        at.join("tokens").display()
    );
    std::fs::write(&configuration, text).unwrap();
    let run = |command: &mut Command| {
        let output = command.env("SOFTHSM2_CONF", &configuration).output().expect("installed: see tests/run");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    for label in [LABEL, SECOND] {
        run(Command::new("softhsm2-util").args([
            "--init-token",
            "--free",
            "--label",
            label,
            "--pin",
            PIN,
            "--so-pin",
            "00000000",
        ]));
    }
    let control = at.join("control");
    run(Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(at.join("shim.so"))
        .arg(format!("-DCONTROL=\"{}\"", control.display()))
        .arg(format!("-DSOFTHSM=\"{SOFTHSM}\""))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hardware/shim.c"))
        .arg("-ldl"));
    let status = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env("SOFTHSM2_CONF", &configuration)
        .env(HERE, at)
        .status()
        .unwrap();
    assert!(status.success(), "{test} failed in its child: see above");
    None
}

impl Hsm {
    /// The token through the module that fails on demand.
    pub fn token(&self) -> Arc<Token> {
        self.token_with(PIN)
    }

    pub fn token_with(&self, pin: &str) -> Arc<Token> {
        self.token_named(LABEL, pin)
    }

    pub fn token_named(&self, label: &str, pin: &str) -> Arc<Token> {
        let instance = label.parse().unwrap();
        let address = TokenAddress { module: self.directory.join("shim.so"), label: label.to_owned(), instance };
        Arc::new(Token::new(address, self.pin(pin)).unwrap())
    }

    pub fn pin(&self, pin: &str) -> Pin {
        Pin::new(Zeroizing::new(pin.to_owned()))
    }

    /// Tells the module what to do.
    pub fn order(&self, what: &str) {
        std::fs::write(self.directory.join("control"), what).unwrap();
    }

    /// How often it was logged into.
    pub fn logins(&self) -> usize {
        std::fs::read_to_string(self.directory.join("control.logins")).unwrap_or_default().lines().count()
    }

    /// Hash and MGF of each unwrapping under OAEP that was asked of the module.
    pub fn oaep(&self) -> Vec<String> {
        let noted = std::fs::read_to_string(self.directory.join("control.oaep")).unwrap_or_default();
        noted.lines().map(str::to_owned).collect()
    }

    pub fn tokens(&self) -> PathBuf {
        self.directory.join("tokens")
    }

    /// What another program sees in the token: one entry an object, with its attributes.
    pub fn objects(&self) -> Vec<String> {
        let output = Command::new("pkcs11-tool")
            .args(["--module", SOFTHSM, "--token-label", LABEL, "--login", "--pin", PIN, "--list-objects"])
            .output()
            .expect("installed: see tests/run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let mut objects: Vec<String> = Vec::new();
        for line in text.lines() {
            if line.contains("Object;") {
                objects.push(String::new());
            }
            if let Some(last) = objects.last_mut() {
                last.push_str(line);
                last.push('\n');
            }
        }
        objects
    }

    /// Moves the token's files away, or back.
    pub fn move_tokens(&self, away: bool) {
        let (here, there) = (self.tokens(), self.directory.join("elsewhere"));
        let (from, to): (&Path, &Path) = if away { (&here, &there) } else { (&there, &here) };
        std::fs::rename(from, to).unwrap();
    }
}
