//! The audit trail of the real binary: heads in its log, verified through the admin socket and offline, attacked in the
//! database.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use keyferry::store::sled::{Options, SledStore};
use keyferry::store::{Outcome, Store, Transaction};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn heads_and_reports_of_a_daemon_hold_until_somebody_writes_to_its_database() {
    let dir = tempfile::tempdir().unwrap();
    let config = configuration(dir.path());
    let mut daemon = Daemon::start(&config);
    daemon.event(|line| line["event"] == "daemon.started");

    // Every mutating command leaves its entry; a refused one too.
    let key = keyferry(&config, &["audit", "key"]);
    assert_eq!((key.code, key.out.trim().len()), (0, 44), "{key:?}");
    assert_eq!(keyferry(&config, &["hold", "--reason", "<b>why</b>"]).code, 0);
    assert_eq!(keyferry(&config, &["release"]).code, 0);
    let add = "schedule add nightly --region cn-hangzhou --account 1000000000000001 --instance kst-one --all \
               --cron 0_2_*_*_Sun --time-zone UTC";
    let add: Vec<String> = add.split_whitespace().map(|word| word.replace('_', " ")).collect();
    assert_eq!(keyferry(&config, &add.iter().map(String::as_str).collect::<Vec<_>>()).code, 0);
    assert_eq!(keyferry(&config, &["schedule", "pause", "nightly"]).code, 0);
    assert_eq!(keyferry(&config, &["schedule", "pause", "nobody"]).code, 2);
    assert_eq!(keyferry(&config, &["instance", "unshare", "kst-one", "--with", "1000000000000002"]).code, 2);
    let migrate =
        ["migrate", "--region", "cn-hangzhou", "--account", "1000000000000001", "--instance", "kst-one", "--all"];
    let migrated = keyferry(&config, &[migrate.as_slice(), &["--yes", "--wait", "--json"]].concat());
    assert_eq!(migrated.code, 0, "{migrated:?}");
    let job = migrated.json()["id"].as_str().unwrap().to_owned();

    // A head is told once its report is filed.
    let told = daemon.event(|line| line["event"] == "audit.head" && line["job"] == job.as_str());
    let head = told["head"].as_str().unwrap().to_owned();
    let verified = keyferry(&config, &["audit", "verify", "--head", &head, "--json"]);
    assert_eq!((verified.code, &verified.json()["intact"]), (0, &Value::Bool(true)), "{verified:?}");
    assert_eq!(verified.json()["reports"], 1);
    assert_eq!(verified.json()["public_key"].as_str(), Some(key.out.trim()));
    let other = format!("{}:{}", head.split_once(':').unwrap().0, "0".repeat(64));
    let refused = keyferry(&config, &["audit", "verify", "--head", &other, "--json"]);
    assert_eq!((refused.code, &refused.json()["findings"][0]["code"]), (1, &Value::from("GivenHeadDiffers")));
    assert_eq!(keyferry(&config, &["audit", "verify", "--head", "rubbish"]).code, 2);

    let report = keyferry(&config, &["job", "report", &job, "--json"]).json();
    assert_eq!(report["signature"]["intact"], true);
    assert_eq!(report["signature"]["signer"].as_str(), Some(key.out.trim()));
    assert!(report["evidence"]["asked_by"].as_str().unwrap().starts_with("operator, uid "), "{report}");
    let page = keyferry(&config, &["job", "report", &job, "--html"]).out;
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains(&job) && !page.contains("<script"), "{page}");
    assert!(!page.contains("secret-of-the-access-key"));
    assert!(keyferry(&config, &["job", "report", &job]).out.contains("Signed by"));

    // Offline only while no daemon has the store.
    assert_eq!(keyferry(&config, &["audit", "verify", "--offline"]).code, 1);
    daemon.stop();
    let offline = keyferry(&config, &["audit", "verify", "--offline", "--head", &head, "--json"]);
    assert_eq!((offline.code, &offline.json()["intact"]), (0, &Value::Bool(true)), "{offline:?}");
    assert_eq!(offline.json()["pending"], 0, "the last entries were chained at the end");

    let said = commands(dir.path());
    for command in [
        "hold: <b>why</b>",
        "release: 1 hold(s)",
        "schedule add nightly",
        "schedule pause nightly",
        "schedule pause nobody",
    ] {
        assert_eq!(said.iter().filter(|(detail, _)| detail == command).count(), 1, "{command}: {said:?}");
    }
    let outcome = |command: &str| said.iter().find(|(detail, _)| detail.starts_with(command)).unwrap().1.clone();
    assert_eq!(outcome("schedule pause nobody"), "ScheduleNotFound");
    assert_eq!(outcome("instance unshare"), "NotShared");
    assert_eq!((outcome("migrate"), outcome("release")), ("ok".to_owned(), "ok".to_owned()));

    // Somebody takes one entry out of the database.
    with_store(dir.path(), |store, runtime| {
        let mut transaction = Transaction::new();
        transaction.delete(format!("a/log/{:020}", 3));
        assert!(matches!(runtime.block_on(store.commit(transaction)).unwrap(), Outcome::Committed(_)));
    });
    let found = keyferry(&config, &["audit", "verify", "--offline", "--json"]);
    assert_eq!((found.code, &found.json()["findings"][0]["code"]), (1, &Value::from("EntryMissing")), "{found:?}");
    // And the daemon says so too; the rest of it goes on.
    let mut daemon = Daemon::start(&config);
    daemon.event(|line| line["event"] == "daemon.started");
    assert_eq!(keyferry(&config, &["audit", "verify"]).code, 1);
    daemon.stop();
    let log: String = daemon.seen.iter().map(ToString::to_string).collect();
    assert!(!log.contains("secret-of-the-access-key"));
}

/// Commands in the trail, with their outcomes.
fn commands(dir: &Path) -> Vec<(String, String)> {
    let mut said = Vec::new();
    with_store(dir, |store, runtime| {
        let page = runtime.block_on(store.scan(b"a/log/", Some(b"a/log0"), usize::MAX)).unwrap();
        for (_, value) in page.entries {
            let json = value.value.iter().position(|byte| *byte == b'{').unwrap();
            // The link in front may hold any byte: the entry's text begins at the first brace from which it is JSON.
            let entry =
                (json..value.value.len()).find_map(|at| serde_json::from_slice::<Value>(&value.value[at..]).ok());
            let entry = entry.unwrap();
            if entry["action"] == "admin.command" {
                let text = |field: &str| entry[field].as_str().unwrap().to_owned();
                said.push((text("detail"), text("outcome")));
            }
        }
    });
    said
}

fn with_store(dir: &Path, work: impl FnOnce(&SledStore, &tokio::runtime::Runtime)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let opened = SledStore::open(dir.join("state/control"), &Options::default()).unwrap();
    work(&opened.store, &runtime);
}

#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    #[allow(dead_code, reason = "shown when an assertion fails")]
    talk: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

fn keyferry(config: &Path, words: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyferry"));
    let output = command.arg("--config").arg(config).args(words).env_remove("KEYFERRY_SOCKET").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), talk: text(output.stderr) }
}

struct Daemon {
    child: Child,
    lines: Receiver<Value>,
    seen: Vec<Value>,
}

impl Daemon {
    fn start(config: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyferry"));
        command.arg("--config").arg(config).arg("run").stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.env_remove("NOTIFY_SOCKET").spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if sender.send(serde_json::from_str(&line).unwrap_or(Value::String(line))).is_err() {
                    break;
                }
            }
        });
        Self { child, lines, seen: Vec::new() }
    }

    fn event(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("{:?}", self.seen));
            self.seen.push(line.clone());
            if wanted(&line) {
                return line;
            }
        }
    }

    fn stop(&mut self) {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.seen.push(line);
        }
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(dir: &Path) -> PathBuf {
    let path = dir.join("keyferry.toml");
    let text = r#"state_dir = "STATE"

[api]
listen = "127.0.0.1:0"

[[region]]
id = "cn-hangzhou"
service_keys = ["ecs"]

[[account]]
id = "1000000000000001"

[[account.access_key]]
id = "LTAIone"
secret = "secret-of-the-access-key"

[[account]]
id = "1000000000000002"

[[instance]]
id = "kst-one"
region = "cn-hangzhou"
owner = "1000000000000001"
kind = "software"
"#;
    let text = text.replace("STATE", dir.join("state").to_str().unwrap());
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}
