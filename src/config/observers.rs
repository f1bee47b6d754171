//! The tables about those who look at the daemon: metrics, notify.

use std::collections::HashSet;
use std::path::Path;

use super::keys;
use super::reader::{Found, Table};
use super::resources::{SecretKeys, secret};
use super::secret::AccessKeySecret;
use super::server::address;
use super::settings::{Metrics, Notify, Template};
use crate::observe::Event;

pub(super) fn metrics(root: &Table<'_>) -> Option<Metrics> {
    const ALLOWED: &str = "an IP address and a port, such as \"127.0.0.1:9780\"";
    let table = root.table("metrics", &keys::METRICS)?;
    let listen = table.required("listen", ALLOWED, address(&table))?;
    Some(Metrics { listen: listen.value })
}

pub(super) fn notify(root: &Table<'_>, readable_by_others: bool) -> Vec<Notify> {
    let mut names = HashSet::new();
    let tables = root.tables("notify", &keys::NOTIFY).into_iter();
    tables.filter_map(|table| receiver(&table, &mut names, readable_by_others)).collect()
}

fn receiver(table: &Table<'_>, names: &mut HashSet<String>, readable_by_others: bool) -> Option<Notify> {
    const NAME: &str = "a name in quotes, 1 to 64 letters, digits and . _ -";
    let name = table.required("name", NAME, table.string("name", NAME));
    if let Some(name) = &name {
        let fits =
            name.value.len() <= 64 && name.value.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if !fits {
            table.source.problem(name.at, format!("{:?}", name.value), format!("name = {NAME}"));
        } else if !names.insert(name.value.to_owned()) {
            table.source.problem(name.at, format!("the receiver {} a second time", name.value), "each receiver once");
        }
    }
    let url = secret(table, &URL, readable_by_others);
    if let Some((found, _)) = &url {
        check_url(table, found);
    }
    let signs = SIGNING.all().into_iter().any(|key| table.get(key).is_some());
    let signing = if signs { Some(secret(table, &SIGNING, readable_by_others)?) } else { None };
    let template = table.word("template", &Template::NAMES, |word| word.parse().ok());
    let ca = table.string("ca", "the path of a PEM file").map(|path| table.source.path(path.value));
    if let Some(path) = &ca {
        check_ca(table, path);
    }
    let (url, url_origin) = url?;
    Some(Notify {
        name: name?.value.to_owned(),
        url,
        url_origin,
        template: template.map(|t| t.value).unwrap_or_default(),
        signing,
        events: events(table),
        ca,
    })
}

const URL: SecretKeys = SecretKeys {
    inline: "url",
    file: "url_file",
    credential: "url_credential",
    what: "a receiver",
    text: "the address",
};
const SIGNING: SecretKeys = SecretKeys {
    inline: "secret",
    file: "secret_file",
    credential: "credential",
    what: "a receiver",
    text: "the secret",
};

/// What is told tells much about the deployment, and the address is often all the receiver asks for: it goes over TLS.
fn check_url(table: &Table<'_>, url: &AccessKeySecret) {
    const ALLOWED: &str = "an https:// address (http:// only to this machine)";
    let parsed = reqwest::Url::parse(url.expose());
    let fits = parsed.is_ok_and(|url| match (url.scheme(), url.host_str()) {
        ("https", Some(_)) => true,
        ("http", Some(host)) => matches!(host, "localhost" | "[::1]") || host.starts_with("127."),
        _ => false,
    });
    if !fits {
        // Not repeated: addresses of chats carry tokens.
        table.source.problem(table.at, "a receiver whose address cannot be used", ALLOWED);
    }
}

fn check_ca(table: &Table<'_>, path: &Path) {
    let read = std::fs::read(path).map_err(|error| error.to_string());
    let read = read.and_then(|pem| reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| error.to_string()));
    if let Err(error) = read {
        let found = format!("{:?}, which cannot be used ({error})", path.display().to_string());
        table.source.problem(table.at, found, "ca = the path of a PEM file with certificates");
    }
}

fn events(table: &Table<'_>) -> Vec<Event> {
    let known: Vec<&str> = Event::ALL.iter().filter(|event| event.is_single()).map(|event| event.as_str()).collect();
    let Some(names) = table.list::<String>("events", "\"migration.failed\" or the like") else {
        return Notify::DEFAULT_EVENTS.to_vec();
    };
    let mut events = Vec::new();
    for Found { value, at } in names {
        match Event::ALL.iter().find(|event| event.is_single() && event.as_str() == value) {
            Some(event) => events.push(*event),
            None => table.source.guess(at, &value, format!("events that can be told: {}", known.join(", ")), &known),
        }
    }
    events
}
