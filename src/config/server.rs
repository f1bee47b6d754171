//! The tables about the daemon itself: log, admin, api, store, seal, migration, limits, backup.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::keys;
use super::reader::{Found, Table};
use super::secret::RootKey;
use super::settings::{
    Admin, AdminRights, Api, Backup, Config, InstanceServer, Limits, Log, Migration, StoreEngine, Tls, Who,
};
use crate::model::{AdminRight, AllowedHours, HoursRange};
use crate::observe::{LogFormat, LogLevel};

pub(super) fn log(root: &Table<'_>) -> Log {
    let Some(table) = root.table("log", &keys::LOG) else {
        return Log::default();
    };
    let format = table.word("format", &LogFormat::NAMES, |word| word.parse().ok());
    let level = table.word("level", &LogLevel::NAMES, |word| word.parse().ok());
    Log { format: format.map(|f| f.value).unwrap_or_default(), level: level.map(|l| l.value).unwrap_or_default() }
}

pub(super) fn admin(root: &Table<'_>, state_dir: &Path) -> Admin {
    let table = root.table("admin", &keys::ADMIN);
    let socket = table.and_then(|t| t.string("socket", "the path of a Unix socket"));
    let group = table.and_then(|t| t.string("group", "the name of a group"));
    let rights = table.map(|t| t.tables("rights", &keys::ADMIN_RIGHTS)).unwrap_or_default();
    Admin {
        socket: socket.map_or_else(|| state_dir.join("admin.sock"), |s| root.source.path(s.value)),
        group: group.map(|g| g.value.to_owned()),
        rights: rights.iter().filter_map(admin_rights).collect(),
    }
}

/// One table of `[[admin.rights]]`.
fn admin_rights(table: &Table<'_>) -> Option<AdminRights> {
    let user = table.string("user", "the name or number of a user of this machine");
    let group = table.string("group", "the name or number of a group of this machine");
    let may = table.word("may", &AdminRight::NAMES, |word| word.parse().ok());
    let may = table.required("may", "the highest right, such as \"plan\"", may);
    let who = match (user, group) {
        (Some(user), None) => Who::User(user.value.to_owned()),
        (None, Some(group)) => Who::Group(group.value.to_owned()),
        _ => {
            table.source.problem(
                table.at,
                "rights of nobody, or of two",
                "user = \"NAME\" or group = \"NAME\", one of them",
            );
            return None;
        }
    };
    Some(AdminRights { who, may: may?.value })
}

/// The API, and where `listen` stands if it is in the file.
pub(super) fn api(root: &Table<'_>) -> (Api, Option<Found<SocketAddr>>) {
    let Some(table) = root.table("api", &keys::API) else {
        return (Api { listen: Config::DEFAULT_LISTEN, tls: None }, None);
    };
    let listen = address(&table);
    let tls = table.table("tls", &keys::TLS).and_then(|tls| {
        let certificate = pem(&tls, "certificate");
        let private_key = pem(&tls, "private_key");
        if let (Some(path), Some(value)) = (&private_key, tls.get("private_key")) {
            super::load::warn_if_open_to_others(&tls, value.span().start, path);
        }
        Some(Tls { certificate: certificate?, private_key: private_key? })
    });
    let has_tls = table.get("tls").is_some();
    if let Some(found) = &listen {
        check_loopback(&table, found, has_tls);
    }
    (Api { listen: listen.as_ref().map_or(Config::DEFAULT_LISTEN, |l| l.value), tls }, listen)
}

/// Reads `listen`.
pub(super) fn address(table: &Table<'_>) -> Option<Found<SocketAddr>> {
    table.parsed("listen", "an IP address and a port, such as \"127.0.0.1:8780\" or \"[::1]:8780\"")
}

/// Requests carry secrets: without TLS they must not leave the machine.
pub(super) fn check_loopback(table: &Table<'_>, listen: &Found<SocketAddr>, has_tls: bool) {
    if !listen.value.ip().is_loopback() && !has_tls {
        table.source.problem(
            listen.at,
            format!("\"{}\" without tls in [api]", listen.value),
            "a loopback address, or tls = { certificate = \"...\", private_key = \"...\" } in [api]",
        );
    }
}

pub(super) fn store(root: &Table<'_>) -> StoreEngine {
    let Some(table) = root.table("store", &keys::STORE) else {
        return StoreEngine::Sled;
    };
    if let Some(engine) = table.string("engine", "\"sled\"") {
        match engine.value {
            "sled" => {}
            "etcd" => {
                table.source.problem(engine.at, "\"etcd\"", "engine = \"sled\" (etcd comes in a later release)");
            }
            other => table.source.guess(engine.at, other, "engine = \"sled\"".to_owned(), &["sled"]),
        }
    }
    StoreEngine::Sled
}

pub(super) fn seal(root: &Table<'_>) -> RootKey {
    root.table("seal", &keys::SEAL).map_or(RootKey::Generated, |table| root_key(&table))
}

/// Reads `root_key` of `[seal]` or of an instance.
pub(super) fn root_key(table: &Table<'_>) -> RootKey {
    const ALLOWED: &str = "{ credential = \"NAME\" } or { file = \"PATH\" }";
    let Some(source) = table.table("root_key", &keys::ROOT_KEY) else {
        return RootKey::Generated;
    };
    let credential = source.string("credential", "the name of a systemd credential");
    let file = source.string("file", "the path of a file of mode 0600");
    match (credential, file) {
        (Some(name), None) => {
            if !is_credential_name(name.value) {
                source.source.problem(name.at, format!("{:?}", name.value), CREDENTIAL_NAME);
            }
            RootKey::Credential(name.value.to_owned())
        }
        (None, Some(path)) => RootKey::File(source.source.path(path.value)),
        (Some(_), Some(_)) => {
            source.source.problem(source.at, "both credential and file", format!("root_key = {ALLOWED}"));
            RootKey::Generated
        }
        (None, None) => {
            if source.get("credential").is_none() && source.get("file").is_none() {
                source.source.problem(source.at, "neither credential nor file", format!("root_key = {ALLOWED}"));
            }
            RootKey::Generated
        }
    }
}

pub(super) const CREDENTIAL_NAME: &str = "the name of a systemd credential: letters, digits and . _ - without a slash";

/// A credential's name is a file name inside one directory and must not lead out of it.
pub(super) fn is_credential_name(name: &str) -> bool {
    !name.starts_with('.') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b))
}

pub(super) fn migration(root: &Table<'_>) -> Migration {
    let table = root.table("migration", &keys::MIGRATION);
    let number = |key, range| {
        let found = table.and_then(|t| t.integer(key, range));
        found.and_then(|n| u32::try_from(n.value).ok())
    };
    let hours = table.and_then(|t| {
        let list = t.list::<HoursRange>("allowed_hours", "\"HH:MM-HH:MM Zone\"")?;
        // An empty list would read as "never" to some and is "always".
        if list.is_empty()
            && t.get("allowed_hours").is_some_and(|v| v.get_ref().as_array().is_some_and(|a| a.is_empty()))
        {
            t.source.problem(
                t.at,
                "an empty list in allowed_hours",
                "at least one range; for always leave the key out",
            );
        }
        Some(list)
    });
    let ranges = hours.unwrap_or_default().into_iter().map(|found| found.value).collect();
    Migration {
        workers: number("workers", 1..=64).unwrap_or(8),
        max_rate: number("max_rate", 0..=1_000_000).unwrap_or(0),
        allowed_hours: AllowedHours::new(ranges),
        approval: table.and_then(|t| t.boolean("approval")).is_some_and(|found| found.value),
    }
}

pub(super) fn limits(root: &Table<'_>) -> Limits {
    let table = root.table("limits", &keys::LIMITS);
    let number = |key| {
        let found = table.and_then(|t| t.integer(key, 0..=1_000_000));
        found.and_then(|n| u32::try_from(n.value).ok()).unwrap_or_default()
    };
    Limits {
        data_per_second: number("data_per_second"),
        read_per_second: number("read_per_second"),
        management_per_second: number("management_per_second"),
    }
}

pub(super) fn backup(root: &Table<'_>) -> Option<Backup> {
    let table = root.table("backup", &keys::BACKUP)?;
    let path = |key, allowed| table.required(key, allowed, table.string(key, allowed));
    let directory = path("directory", "the directory that backups go to");
    let key_file = path("key_file", "the file of the backup key, apart from the directory");
    let every = table.duration("every");
    if let Some(zero) = every.as_ref().filter(|every| every.value.is_zero()) {
        table.source.problem(zero.at, "every 0s", "how old the newest backup may become, such as \"24h\"");
    }
    let keep = table.integer("keep", 1..=10_000).and_then(|keep| usize::try_from(keep.value).ok());
    let (directory, key_file) = (directory?, key_file?);
    let (at, directory, key_file) =
        (key_file.at, table.source.path(directory.value), table.source.path(key_file.value));
    if key_file.starts_with(&directory) {
        table.source.problem(at, "the backup key among the backups", "a place apart: who has both reads everything");
    }
    Some(Backup {
        directory,
        key_file,
        every: every.map_or(DAY, |every| every.value),
        keep: keep.unwrap_or(7),
        max_age: table.duration("max_age").map(|age| age.value),
    })
}

/// The listener of `run --role instance`. Always TLS, so it may leave the machine.
pub(super) fn instance_server(root: &Table<'_>) -> Option<InstanceServer> {
    let table = root.table("instance_server", &keys::INSTANCE_SERVER)?;
    let listen = table.required("listen", "an IP address and a port, such as \"0.0.0.0:8785\"", address(&table));
    let (certificate, private_key) = (pem(&table, "certificate"), pem(&table, "private_key"));
    let client_ca = pem(&table, "client_ca");
    Some(InstanceServer {
        listen: listen?.value,
        certificate: certificate?,
        private_key: private_key?,
        client_ca: client_ca?,
    })
}

const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn pem(table: &Table<'_>, key: &'static str) -> Option<PathBuf> {
    const ALLOWED: &str = "the path of a PEM file";
    let found = table.required(key, ALLOWED, table.string(key, ALLOWED))?;
    let path = table.source.path(found.value);
    if let Err(error) = File::open(&path) {
        table.source.problem(
            found.at,
            format!("{:?}, which cannot be read ({error})", path.display().to_string()),
            format!("{key} = the path of a PEM file that this user can read"),
        );
    }
    Some(path)
}
