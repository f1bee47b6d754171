//! `[[rotator]]`: what changes credentials where they live, and which secrets each serves.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use super::keys;
use super::reader::{Found, Table};
use super::resources::{ACCOUNT, Named, secret_of};
use super::secret::{AccessKeySecret, SecretOrigin};
use crate::model::{AccountId, SecretType};
use crate::rotator::NamePattern;

/// A rotator.
#[derive(Clone, PartialEq, Eq)]
pub struct Rotator {
    /// Its name, unique in the file.
    pub name: String,
    /// What it reaches, and how.
    pub kind: RotatorKind,
    /// The key of a webhook's signatures, or the password of a database.
    pub secret: AccessKeySecret,
    /// Where that was written.
    pub origin: SecretOrigin,
    /// Types of secrets it serves; empty: all that are managed.
    pub types: Vec<SecretType>,
    /// Accounts it serves; empty: all.
    pub accounts: Vec<AccountId>,
    /// Names it serves; empty: all.
    pub names: Vec<NamePattern>,
    /// Systems it serves: `DBInstanceId`, `InstanceId` or `UserName`; empty: all.
    pub targets: Vec<String>,
    /// How long one try may take. Default 10 s.
    pub timeout: Duration,
    /// The pause after the first failure. Default 5 s.
    pub retry_after: Duration,
    /// Failures after which a rotation is `Invalid`. Default 8.
    pub attempts: u32,
}

/// The kinds of rotators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RotatorKind {
    /// One of the operator's own, over HTTPS.
    Webhook {
        /// Where.
        url: Url,
        /// Trusted instead of the system's certificates.
        ca: Option<PathBuf>,
    },
    /// PostgreSQL accounts.
    Postgresql {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
        /// Database.
        database: String,
        /// Role that may change passwords.
        user: String,
        /// Trusted certificates; `None`: without TLS, on loopback.
        ca: Option<PathBuf>,
    },
}

const KINDS: [&str; 2] = ["webhook", "postgresql"];
const WEBHOOK_ONLY: [&str; 1] = ["url"];
const POSTGRESQL_ONLY: [&str; 4] = ["host", "port", "database", "user"];
/// A signature is no better than its key.
const SHORTEST_KEY: usize = 32;
const TIMEOUT: Duration = Duration::from_secs(10);
/// A migration waits a minute for a rotation in flight; one that may take longer would always make it fail.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(30);
const RETRY_AFTER: Duration = Duration::from_secs(5);
const ATTEMPTS: u32 = 8;
const POSTGRESQL_PORT: u16 = 5432;

pub(super) fn rotators(root: &Table<'_>, named: &Named, readable_by_others: bool) -> Vec<Rotator> {
    let mut names: Vec<(String, usize)> = Vec::new();
    let mut rotators = Vec::new();
    for table in root.tables("rotator", &keys::ROTATOR) {
        let name = table.required("name", "a name for people", table.string("name", "a name for people"));
        if let Some(name) = &name {
            if let Some((_, first)) = names.iter().find(|(other, _)| other == name.value) {
                let line = table.source.line(*first);
                let allowed = format!("each rotator once (first in line {line})");
                table.source.problem(name.at, format!("the rotator {} a second time", name.value), allowed);
            } else {
                names.push((name.value.to_owned(), name.at));
            }
        }
        rotators.extend(rotator(&table, name, named, readable_by_others));
    }
    rotators
}

fn rotator(table: &Table<'_>, name: Option<Found<&str>>, named: &Named, readable_by_others: bool) -> Option<Rotator> {
    let word = table.word("kind", &KINDS, |word| KINDS.into_iter().find(|kind| *kind == word));
    let kind = table.required("kind", "\"webhook\" or \"postgresql\"", word);
    let is_webhook = kind.as_ref().map(|kind| kind.value == "webhook");
    let foreign: &[&'static str] = match is_webhook {
        Some(true) => &POSTGRESQL_ONLY,
        Some(false) => &WEBHOOK_ONLY,
        None => &[],
    };
    for key in foreign {
        if let Some(value) = table.get(key) {
            let kinds = if is_webhook == Some(true) { "postgresql" } else { "webhook" };
            table.source.problem(
                value.span().start,
                format!("the key {key:?}"),
                format!("it only with kind = \"{kinds}\""),
            );
        }
    }
    let ca = table
        .string("ca", "the path of a PEM file")
        .map(|found| Found { value: table.source.path(found.value), at: found.at });
    check_ca(table, ca.as_ref());
    let kind = match is_webhook {
        Some(true) => webhook(table, ca),
        Some(false) => postgresql(table, ca),
        None => None,
    };
    let what = if is_webhook == Some(false) { "a database's user" } else { "a webhook" };
    let secret = secret_of(table, what, readable_by_others);
    if is_webhook == Some(true) && secret.as_ref().is_some_and(|(secret, _)| secret.expose().len() < SHORTEST_KEY) {
        table.source.problem(
            table.at,
            format!("a signature key of fewer than {SHORTEST_KEY} characters"),
            "a random one, such as from: openssl rand -hex 32",
        );
    }
    let types = types(table, is_webhook == Some(false));
    let accounts = table.list::<AccountId>("accounts", ACCOUNT).unwrap_or_default();
    for account in &accounts {
        named.check_account(table, account);
    }
    let duration = |key, longest: Duration, default| {
        let Some(found) = table.duration(key) else { return default };
        if found.value.is_zero() || found.value > longest {
            let allowed = format!("{key} of 1s to {}", super::format_duration(longest));
            table.source.problem(found.at, super::format_duration(found.value), allowed);
        }
        found.value
    };
    let attempts = table.integer("attempts", 1..=100).and_then(|found| u32::try_from(found.value).ok());
    let names = table.list::<NamePattern>("names", "\"orders/database\" or \"orders/*\"").unwrap_or_default();
    let targets = table.list::<Target>("targets", "\"rm-bp1234567890\" or the like").unwrap_or_default();
    let rotator = Rotator {
        types,
        accounts: accounts.into_iter().map(|found| found.value).collect(),
        names: names.into_iter().map(|found| found.value).collect(),
        targets: targets.into_iter().map(|found| found.value.0).collect(),
        timeout: duration("timeout", LONGEST_TIMEOUT, TIMEOUT),
        retry_after: duration("retry_after", Duration::from_secs(3600), RETRY_AFTER),
        attempts: attempts.unwrap_or(ATTEMPTS),
        name: name?.value.to_owned(),
        kind: kind?,
        secret: secret.as_ref()?.0.clone(),
        origin: secret?.1,
    };
    Some(rotator)
}

fn webhook(table: &Table<'_>, ca: Option<Found<PathBuf>>) -> Option<RotatorKind> {
    const ALLOWED: &str = "\"https://rotator.example/rotate\" or the like, without user and password";
    let text = table.required("url", ALLOWED, table.string("url", ALLOWED))?;
    let url = text.value.parse::<Url>().ok().filter(|url| {
        url.scheme() == "https" && url.username().is_empty() && url.password().is_none() && url.fragment().is_none()
    });
    if url.is_none() {
        table.source.problem(text.at, format!("{:?}", text.value), format!("url = {ALLOWED}"));
    }
    Some(RotatorKind::Webhook { url: url?, ca: ca.map(|found| found.value) })
}

fn postgresql(table: &Table<'_>, ca: Option<Found<PathBuf>>) -> Option<RotatorKind> {
    let needed = |key, allowed| table.required(key, allowed, table.string(key, allowed));
    let host = needed("host", "a host name or an address");
    let database = needed("database", "the name of a database");
    let user = needed("user", "a role that may change the passwords of others");
    let port = table.integer("port", 1..=65_535).and_then(|port| u16::try_from(port.value).ok());
    if let Some(host) = host.as_ref().filter(|_| ca.is_none() && table.get("ca").is_none())
        && !is_loopback(host.value)
    {
        let found = format!("{:?} without ca", host.value);
        let allowed = "ca = \"PATH\", the certificates that the database's is checked against, or a loopback address";
        table.source.problem(host.at, found, allowed);
    }
    Some(RotatorKind::Postgresql {
        host: host?.value.to_owned(),
        port: port.unwrap_or(POSTGRESQL_PORT),
        database: database?.value.to_owned(),
        user: user?.value.to_owned(),
        ca: ca.map(|found| found.value),
    })
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn check_ca(table: &Table<'_>, ca: Option<&Found<PathBuf>>) {
    let Some(ca) = ca else { return };
    if let Err(error) = std::fs::File::open(&ca.value) {
        table.source.problem(
            ca.at,
            format!("{:?}, which cannot be read ({error})", ca.value.display().to_string()),
            "ca = the path of a PEM file that this user can read",
        );
    }
}

fn types(table: &Table<'_>, rds_only: bool) -> Vec<SecretType> {
    let managed: Vec<&str> = SecretType::ALL
        .into_iter()
        .filter(|kind| if rds_only { *kind == SecretType::Rds } else { *kind != SecretType::Generic })
        .map(SecretType::as_str)
        .collect();
    let allowed = managed.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
    let mut types = Vec::new();
    for word in table.list::<String>("types", &allowed).unwrap_or_default() {
        match word.value.parse::<SecretType>().ok().filter(|kind| managed.contains(&kind.as_str())) {
            Some(kind) => types.push(kind),
            None => table.source.guess(word.at, &word.value, format!("types = [{allowed}]"), &managed),
        }
    }
    if types.is_empty() && rds_only { vec![SecretType::Rds] } else { types }
}

#[derive(PartialEq)]
struct Target(String);

impl std::str::FromStr for Target {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = text.len() <= 128 && text.chars().all(|c| !c.is_control());
        if fits { Ok(Self(text.to_owned())) } else { Err("at most 128 characters") }
    }
}
