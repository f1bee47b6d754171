//! The real binary over a directory of its own, to be killed at will.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

pub const REGION: &str = "cn-hangzhou";
pub const ACCOUNT: &str = "1000000000000001";
pub const INSTANCE: &str = "kst-hzz1";
pub const ACCESS_KEY: &str = "LTAIcrash";
pub const ACCESS_SECRET: &str = "a-secret-of-this-test";

/// Nothing takes this long unless it is wrong.
const PATIENCE: Duration = Duration::from_secs(90);
const ENDS: [&str; 4] = ["migration.complete", "migration.failed", "migration.canceled", "migration.rehearsed"];

pub struct Daemon {
    child: Child,
    lines: UnboundedReceiver<Value>,
    /// Everything it has logged, as far as it was read.
    pub seen: Vec<Value>,
    directory: PathBuf,
    pub address: String,
    /// It has told of a lock.
    pub locked: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

/// What became of a wait.
#[derive(Debug, PartialEq, Eq)]
pub enum Came {
    /// A job has ended.
    End,
    /// A failpoint that stalls was reached.
    Stalled,
    /// The process is gone.
    Died,
}

impl Daemon {
    /// Starts it with failpoints, or none. `Err`: it died before it accepted requests.
    pub async fn start(directory: &Path, failpoints: &str) -> Result<Self, String> {
        let config = directory.join("keyferry.toml");
        if !config.exists() {
            std::fs::write(&config, CONFIG).unwrap();
            std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyferry"));
        command.arg("--config").arg(&config).arg("run").current_dir(directory);
        command.env_remove("NOTIFY_SOCKET").env_remove("KEYFERRY_FAILPOINT");
        if !failpoints.is_empty() {
            command.env("KEYFERRY_FAILPOINT", failpoints);
        }
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = unbounded_channel();
        let mut kept = OpenOptions::new().create(true).append(true).open(directory.join("daemon.log")).unwrap();
        let locked = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&locked);
        let reader = std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                writeln!(kept, "{line}").unwrap();
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if line["event"] == "lock.acquired" {
                    told.store(true, Ordering::Relaxed);
                }
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut daemon = Self {
            child,
            lines,
            seen: Vec::new(),
            directory: directory.to_owned(),
            address: String::new(),
            locked,
            reader: Some(reader),
        };
        while let Some(line) = daemon.next().await {
            if line["event"] == "daemon.started" {
                let message = line["message"].as_str().unwrap();
                daemon.address = message.rsplit(' ').next().unwrap().to_owned();
                return Ok(daemon);
            }
        }
        Err(daemon.tail())
    }

    async fn next(&mut self) -> Option<Value> {
        let line = tokio::time::timeout(PATIENCE, self.lines.recv()).await;
        let line = line.unwrap_or_else(|_| panic!("nothing happens any more; {}", self.tail()))?;
        self.seen.push(line.clone());
        Some(line)
    }

    /// Waits until a job ends, a failpoint stalls, or the process is gone.
    pub async fn outcome(&mut self) -> Came {
        // A job that tries the same for ever tells its progress all the time.
        let begun = Instant::now();
        while let Some(line) = self.next().await {
            assert!(begun.elapsed() < PATIENCE, "no end comes; {}", self.tail());
            if ENDS.iter().any(|end| line["event"] == *end) {
                return Came::End;
            }
            if line["message"].as_str().is_some_and(|text| text.contains("action=Stall")) {
                return Came::Stalled;
            }
        }
        Came::Died
    }

    /// Reads what it logs for a while; true when a job has ended.
    pub async fn run_for(&mut self, span: Duration) -> bool {
        tokio::time::timeout(span, self.outcome()).await.is_ok_and(|came| came == Came::End)
    }

    /// Waits for a failpoint that is traced.
    pub async fn passing(&mut self, point: &str) {
        while !self.passed().iter().any(|passed| passed == point) {
            assert!(self.next().await.is_some(), "{point} was not passed; {}", self.tail());
        }
    }

    /// The failpoints that it traced so far, in order.
    pub fn passed(&self) -> Vec<String> {
        let messages = self.seen.iter().filter_map(|line| line["message"].as_str());
        messages.filter_map(|text| Some(text.strip_prefix("failpoint passed failpoint=")?.to_owned())).collect()
    }

    /// A client command: its exit code and its JSON document.
    pub fn cli(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyferry"));
        // Relative: a socket's path must be short.
        command.args(["--socket", "admin.sock", "--json"]).args(arguments).current_dir(&self.directory);
        let done = command.env_remove("KEYFERRY_FAILPOINT").output().unwrap();
        let text = if done.stdout.is_empty() { done.stderr } else { done.stdout };
        (done.status.code(), serde_json::from_slice(&text).unwrap_or(Value::Null))
    }

    /// Asks for the migration of everything.
    pub fn migrate(&self) -> Option<i32> {
        let scope = ["migrate", "--region", REGION, "--account", ACCOUNT, "--instance", INSTANCE, "--all", "--yes"];
        self.cli(&scope).0
    }

    /// The newest job, if there is one.
    pub fn job(&self) -> Option<Value> {
        let (code, document) = self.cli(&["job", "list"]);
        assert_eq!(code, Some(0), "{document}");
        document["jobs"].as_array().unwrap().last().cloned()
    }

    /// True when it lives and its newest job has ended.
    pub fn has_ended(&self) -> bool {
        let (code, document) = self.cli(&["job", "list"]);
        let job = document["jobs"].as_array().and_then(|jobs| jobs.last());
        code == Some(0) && job.is_none_or(|job| !job["finished_at"].is_null())
    }

    /// True when it died as a failpoint lets it die.
    pub fn aborted(&mut self) -> bool {
        self.child.wait().unwrap().signal() == Some(6)
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it in peace; all failpoints that it traced.
    pub async fn stop(mut self) -> Vec<String> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        while self.next().await.is_some() {}
        assert!(self.child.wait().unwrap().success());
        self.passed()
    }

    /// The end of the log.
    pub fn tail(&self) -> String {
        let from = self.seen.len().saturating_sub(12);
        let lines: Vec<String> = self.seen[from..].iter().map(ToString::to_string).collect();
        format!("the log ends:\n{}", lines.join("\n"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // What it said last is kept, too.
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    std::fs::set_permissions(to, std::fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

const CONFIG: &str = r#"state_dir = "state"

[admin]
socket = "admin.sock"

[api]
listen = "127.0.0.1:0"

[[region]]
id = "cn-hangzhou"

[[account]]
id = "1000000000000001"

[[account.access_key]]
id = "LTAIcrash"
secret = "a-secret-of-this-test"

[[instance]]
id = "kst-hzz1"
region = "cn-hangzhou"
owner = "1000000000000001"
kind = "software"
"#;
