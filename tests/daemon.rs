//! The real binary as a service: it starts, tells its service manager, reads its configuration again, and leaves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn it_starts_reloads_and_stops() {
    let dir = tempfile::tempdir().unwrap();
    let notify = UnixDatagram::bind(dir.path().join("notify")).unwrap();
    notify.set_read_timeout(Some(PATIENCE)).unwrap();
    let config = dir.path().join("keyferry.toml");
    write(&config, &text("", "secret-one"));
    let mut daemon = Daemon::start(dir.path(), &config);
    let started = daemon.event("daemon.started");
    assert_eq!(started["schema"], 1);
    assert!(told(&notify, "READY=1"));
    assert!(daemon.seen.iter().any(|line| line["event"] == "seal.generated"));

    write(&config, "state_dir = 7\n[[regoin]]\n");
    daemon.signal("-HUP");
    let rejected = daemon.event("config.rejected");
    assert!(rejected["message"].as_str().unwrap().contains("regoin"), "{rejected}");
    // All or nothing, and it goes on.
    write(&config, &text("", "secret-two"));
    daemon.signal("-HUP");
    let reloaded = daemon.event("config.reloaded");
    assert!(reloaded["message"].as_str().unwrap().contains("accounts"), "{reloaded}");
    assert!(told(&notify, "RELOADING=1") && told(&notify, "READY=1"));

    daemon.signal("-TERM");
    daemon.event("daemon.stopping");
    assert!(daemon.ended(Duration::from_secs(30)).success());
    assert!(told(&notify, "STOPPING=1"));
    let log: String = daemon.seen.iter().map(ToString::to_string).collect();
    assert!(!log.contains("secret-one") && !log.contains("secret-two"), "a secret is in the log");

    // What it has made it finds again.
    let mut again = Daemon::start(dir.path(), &config);
    again.event("daemon.started");
    assert!(again.seen.iter().all(|line| line["event"] != "seal.generated"));
    again.signal("-TERM");
    assert!(again.ended(Duration::from_secs(30)).success());
}

#[test]
fn time_zones_need_nothing_of_the_machine() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("keyferry.toml");
    let schedule = "[[schedule]]\nname = \"nightly\"\nregion = \"cn-hangzhou\"\naccount = \"1000000000000001\"\n\
        instance = \"kst-one\"\ncron = \"0 2 * * *\"\ntime_zone = \"ZONE\"\nresources = \"all\"\n";
    let check = |zone: &str| {
        write(&config, &text(&schedule.replace("ZONE", zone), "s"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyferry"));
        command.env("TZDIR", dir.path()).arg("--config").arg(&config).args(["config", "check"]);
        command.output().unwrap()
    };
    let known = check("America/St_Johns");
    assert!(known.status.success(), "{}", String::from_utf8_lossy(&known.stderr));
    assert_eq!(check("America/Saint_Johns").status.code(), Some(2));
}

#[test]
fn another_root_key_is_refused_in_words_and_the_right_one_still_opens() {
    let dir = tempfile::tempdir().unwrap();
    let (right, wrong) = (dir.path().join("right.key"), dir.path().join("wrong.key"));
    write(&right, &"11".repeat(32));
    write(&wrong, &"22".repeat(32));
    let config = dir.path().join("keyferry.toml");
    let with = |key: &Path| text(&format!("[seal]\nroot_key = {{ file = {:?} }}\n", key.display().to_string()), "s");
    write(&config, &with(&right));
    let mut daemon = Daemon::start(dir.path(), &config);
    daemon.event("daemon.started");
    daemon.signal("-TERM");
    assert!(daemon.ended(Duration::from_secs(30)).success());

    write(&config, &with(&wrong));
    let refused = run(&config);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("root key") && said.contains("nothing has been changed"), "{said}");

    std::fs::set_permissions(&right, std::fs::Permissions::from_mode(0o644)).unwrap();
    write(&config, &with(&right));
    let said = String::from_utf8(run(&config).stderr).unwrap();
    assert!(said.contains("chmod 0600"), "{said}");
    std::fs::set_permissions(&right, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut daemon = Daemon::start(dir.path(), &config);
    daemon.event("daemon.started");
    daemon.signal("-TERM");
    assert!(daemon.ended(Duration::from_secs(30)).success());
}

#[test]
fn a_generated_root_key_that_is_gone_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("keyferry.toml");
    write(&config, &text("", "s"));
    let mut daemon = Daemon::start(dir.path(), &config);
    daemon.event("daemon.started");
    daemon.signal("-TERM");
    assert!(daemon.ended(Duration::from_secs(30)).success());
    std::fs::remove_file(dir.path().join("state/keys/kst-one.key")).unwrap();
    let refused = run(&config);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("kst-one.key") && said.contains("backup"), "{said}");
}

#[test]
fn every_problem_of_the_configuration_is_told_and_the_code_is_2() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("keyferry.toml");
    write(&config, &format!("{}\n[log]\nformat = \"xml\"\nlevle = \"info\"\n", text("", "s")));
    let refused = run(&config);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("xml") && said.contains("levle"), "{said}");
}

#[test]
fn a_second_daemon_on_the_same_state_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("keyferry.toml");
    write(&config, &text("", "s"));
    let mut daemon = Daemon::start(dir.path(), &config);
    daemon.event("daemon.started");
    let refused = run(&config);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("another process"));
    daemon.signal("-INT");
    assert!(daemon.ended(Duration::from_secs(30)).success());
}

struct Daemon {
    child: Child,
    lines: Receiver<serde_json::Value>,
    seen: Vec<serde_json::Value>,
}

impl Daemon {
    fn start(dir: &Path, config: &Path) -> Self {
        let mut child =
            command(config).env("NOTIFY_SOCKET", dir.join("notify")).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(serde_json::Value::String(line));
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines, seen: Vec::new() }
    }

    fn event(&mut self, name: &str) -> serde_json::Value {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no {name} in {:?}", self.seen));
            self.seen.push(line.clone());
            if line["event"] == name {
                return line;
            }
        }
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    fn ended(&mut self, within: Duration) -> std::process::ExitStatus {
        let begun = Instant::now();
        // The log ends with the process.
        while let Ok(line) = self.lines.recv_timeout(within.saturating_sub(begun.elapsed())) {
            self.seen.push(line);
        }
        assert!(begun.elapsed() < within, "it did not end in time");
        self.child.wait().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(config: &Path) -> Output {
    let mut child = command(config).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = Vec::new();
    child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
    Output { status: child.wait().unwrap(), stdout: Vec::new(), stderr }
}

fn command(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyferry"));
    command.arg("--config").arg(config).arg("run").stdout(Stdio::null()).env_remove("NOTIFY_SOCKET");
    command
}

/// Waits for a message of the daemon to its service manager.
fn told(notify: &UnixDatagram, what: &str) -> bool {
    let mut room = [0; 4096];
    loop {
        let Ok(length) = notify.recv(&mut room) else {
            return false;
        };
        if String::from_utf8_lossy(&room[..length]).lines().any(|line| line == what) {
            return true;
        }
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn text(more: &str, secret: &str) -> String {
    format!(
        r#"state_dir = "state"

[api]
listen = "127.0.0.1:0"

{more}
[[region]]
id = "cn-hangzhou"
service_keys = ["ecs"]

[[account]]
id = "1000000000000001"

[[account.access_key]]
id = "LTAIone"
secret = "{secret}"

[[instance]]
id = "kst-one"
region = "cn-hangzhou"
owner = "1000000000000001"
kind = "software"
"#
    )
}
