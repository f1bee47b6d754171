//! The rotator against a real PostgreSQL, which these tests start in a directory of their own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;
use tokio_postgres::{Client, Config, NoTls};
use zeroize::Zeroizing;

use super::{Order, Postgresql, PostgresqlSettings, Rotator, RotatorError};
use crate::model::{Scope, SecretType};

const OWNER: &str = "owner-password";
const ROTATOR: &str = "rotator-password";

/// A server that ends with its test.
struct Server {
    directory: tempfile::TempDir,
    user: Option<(u32, u32)>,
    port: u16,
    ca: Vec<u8>,
}

impl Server {
    fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("keyferry-pg-").tempdir().unwrap();
        let user = ordinary_user();
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let mut server = Self { directory, user, port: 0, ca: made.cert.pem().into_bytes() };
        server.file("owner", OWNER);
        server.file("tls.pem", &made.cert.pem());
        server.file("tls.key", &made.signing_key.serialize_pem());
        server.own(server.directory.path());
        let data = server.path("data").display().to_string();
        let password = format!("--pwfile={}", server.path("owner").display());
        server
            .run("initdb", &["-D", &data, "-U", "owner", "-A", "scram-sha-256", &password, "-E", "UTF8", "--no-sync"]);
        // Only encrypted for the rotator.
        server.file("hba", "hostnossl all rotator 127.0.0.1/32 reject\nhost all all 127.0.0.1/32 scram-sha-256\n");
        let place = server.directory.path().display().to_string();
        let log = format!("{place}/log");
        for tries in 1.. {
            server.port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let settings = format!(
                "listen_addresses='127.0.0.1'\nport={}\nunix_socket_directories='{place}'\nfsync=off\nssl=on\n\
                 ssl_cert_file='{place}/tls.pem'\nssl_key_file='{place}/tls.key'\nhba_file='{place}/hba'\n\
                 log_statement='all'\n",
                server.port
            );
            fs::write(server.path("data/postgresql.auto.conf"), settings).unwrap();
            // Somebody else may have been given the port meanwhile.
            match server.try_run("pg_ctl", &["-D", &data, "-l", &log, "-w", "-t", "60", "start"]) {
                Ok(()) => break,
                Err(said) => assert!(tries < 5, "{said}; {}", fs::read_to_string(&log).unwrap_or_default()),
            }
        }
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn file(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
        self.own(&self.path(name));
    }

    fn own(&self, path: &Path) {
        if let Some((uid, gid)) = self.user {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        self.try_run(program, arguments).unwrap();
    }

    fn try_run(&self, program: &str, arguments: &[&str]) -> Result<(), String> {
        let mut command = Command::new(programs().join(program));
        // The server keeps what it inherits.
        command.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(fs::File::create(self.path("errors")).unwrap());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        if command.status().unwrap().success() {
            return Ok(());
        }
        Err(format!("{program}: {}", fs::read_to_string(self.path("errors")).unwrap()))
    }

    async fn login(&self, user: &str, password: &str) -> Result<Client, tokio_postgres::Error> {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user(user).password(password).dbname("postgres");
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    fn rotator(&self, password: &str, ca: Option<&[u8]>) -> Postgresql {
        Postgresql::new(PostgresqlSettings {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            database: "postgres".to_owned(),
            user: "rotator".to_owned(),
            password: Zeroizing::new(password.to_owned()),
            ca: ca.map(<[u8]>::to_vec),
        })
        .unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.path("data").display().to_string();
        self.run("pg_ctl", &["-D", &data, "-m", "immediate", "-w", "stop"]);
    }
}

/// PostgreSQL refuses to run as root: then the user that its package made.
fn ordinary_user() -> Option<(u32, u32)> {
    let number = |option: &str, user: &[&str]| {
        let found = Command::new("id").arg(option).args(user).output().unwrap();
        String::from_utf8(found.stdout).unwrap().trim().parse::<u32>().ok()
    };
    if number("-u", &[]) != Some(0) {
        return None;
    }
    Some((number("-u", &["postgres"]).expect("the user postgres"), number("-g", &["postgres"]).expect("its group")))
}

fn programs() -> PathBuf {
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL (Debian: postgresql)")
        .map(|entry| entry.unwrap().path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().expect("PostgreSQL's initdb")
}

fn order(account: &str, password: &str) -> Order {
    Order {
        rotation: "6a5f0b0e-3c1d-4c9e-8a57-0d1f5a3b7c21".to_owned(),
        scope: Scope { region: "cn-hangzhou".parse().unwrap(), account: "1000000000000001".parse().unwrap() },
        secret: "db".parse().unwrap(),
        secret_type: SecretType::Rds,
        version: "v2".parse().unwrap(),
        extended_config: r#"{"SecretSubType":"SingleUser","DBInstanceId":"rm-1"}"#.to_owned(),
        value: Zeroizing::new(json!({"AccountName": account, "AccountPassword": password}).to_string().into_bytes()),
        retires: None,
        at: jiff::Timestamp::from_second(1_800_000_000).unwrap(),
    }
}

#[tokio::test]
async fn passwords_of_ordinary_roles_and_of_no_others_are_set() {
    let server = Server::start();
    let owner = server.login("owner", OWNER).await.unwrap();
    owner
        .batch_execute(&format!(
            "CREATE ROLE rotator LOGIN CREATEROLE PASSWORD '{ROTATOR}'; CREATE ROLE app LOGIN PASSWORD 'old'; \
             CREATE ROLE \"odd \"\"role\" LOGIN PASSWORD 'old'; CREATE ROLE team NOLOGIN; \
             CREATE ROLE maker LOGIN CREATEROLE PASSWORD 'old'; CREATE ROLE copier LOGIN REPLICATION PASSWORD 'old'; \
             CREATE ROLE seer LOGIN BYPASSRLS PASSWORD 'old'"
        ))
        .await
        .unwrap();
    let rotator = server.rotator(ROTATOR, Some(&server.ca));

    // Set, and set again: the same.
    for _ in 0..2 {
        rotator.rotate(&order("app", "new-password-1")).await.unwrap();
        assert!(server.login("app", "new-password-1").await.is_ok());
        assert!(server.login("app", "old").await.is_err());
    }
    rotator.rotate(&order("odd \"role", "it's \\ odd")).await.unwrap();
    assert!(server.login("odd \"role", "it's \\ odd").await.is_ok());
    // Statements are logged; the password is not in them.
    let log = fs::read_to_string(server.path("log")).unwrap();
    assert!(log.contains("ALTER ROLE \"app\" PASSWORD") && !log.contains("new-password-1"));

    // A tenant names the role: it must not be one that rules.
    for (role, why) in [
        ("owner", "superuser"),
        ("rotator", "the rotator's own"),
        ("maker", "creates roles"),
        ("copier", "replicates"),
        ("seer", "row security"),
        ("team", "may not log in"),
        ("nobody", "no such role"),
        ("app\"; DROP ROLE app; --", "no such role"),
        ("a\0b", "the role could not be read"),
    ] {
        let Err(RotatorError::Unchanged(text)) = rotator.rotate(&order(role, "taken-over")).await else {
            panic!("{role} was rotated");
        };
        assert!(text.contains(why) && !text.contains("taken-over"), "{role}: {text}");
    }
    assert!(server.login("owner", OWNER).await.is_ok());
    let ecs = Order { secret_type: SecretType::ECS, ..order("app", "x") };
    assert!(matches!(rotator.rotate(&ecs).await, Err(RotatorError::Unchanged(_))));

    // What it may not do, cannot reach or does not trust changes nothing.
    owner.batch_execute("ALTER ROLE rotator NOCREATEROLE").await.unwrap();
    let Err(RotatorError::Unchanged(text)) = rotator.rotate(&order("app", "later")).await else { panic!("allowed") };
    assert!(text.contains("42501"), "{text}");
    assert!(matches!(
        server.rotator("wrong", Some(&server.ca)).rotate(&order("app", "x")).await,
        Err(RotatorError::Unchanged(_))
    ));
    let unencrypted = server.rotator(ROTATOR, None).rotate(&order("app", "x")).await;
    assert!(matches!(unencrypted, Err(RotatorError::Unchanged(_))));
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let strange = server.rotator(ROTATOR, Some(other.cert.pem().as_bytes())).rotate(&order("app", "x")).await;
    assert!(matches!(strange, Err(RotatorError::Unchanged(_))));
    assert!(server.login("app", "new-password-1").await.is_ok());
    drop(server);
    assert!(matches!(rotator.rotate(&order("app", "x")).await, Err(RotatorError::Unchanged(_))));
}
