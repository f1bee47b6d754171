//! Regions, accounts and instances, and what they may name of each other.

use std::collections::HashMap;
use std::hash::Hash;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;

use zeroize::Zeroizing;

use super::identities::{roles, users};
use super::keys;
use super::pkcs11::{TokenIdentity, pkcs11};
use super::reader::{Found, Table};
use super::secret::{AccessKeySecret, SecretOrigin};
use super::server::{CREDENTIAL_NAME, address, check_loopback, is_credential_name, pem, root_key};
use super::settings::{AccessKey, Account, Instance, InstanceKind, Region, Remote};
use crate::model::{AccountId, Directories, InstanceId, RegionId};

/// What the file has named so far, and where.
#[derive(Default)]
pub(super) struct Named {
    regions: HashMap<RegionId, usize>,
    accounts: HashMap<AccountId, usize>,
    access_keys: HashMap<String, usize>,
    instances: HashMap<InstanceId, usize>,
    listeners: HashMap<SocketAddr, usize>,
    tokens: HashMap<TokenIdentity, usize>,
}

pub(super) const REGION: &str = "a region of this file, such as \"cn-hangzhou\"";
pub(super) const ACCOUNT: &str = "an account of this file: 16 digits in quotes";
pub(super) const INSTANCE: &str = "an instance of this file, such as \"kst-hzz0000000000000001\"";

impl Named {
    /// Notes a token: it belongs to one instance. One module under two names is one module.
    pub(super) fn token(&mut self, table: &Table<'_>, token: &TokenIdentity, at: usize) {
        let module = token.module.canonicalize().unwrap_or_else(|_| token.module.clone());
        let value = TokenIdentity { module, label: token.label.clone() };
        note(&mut self.tokens, table, &Found { value, at }, "token");
    }

    /// Notes a listener; port 0 (any free one) never collides.
    pub(super) fn listener(&mut self, table: &Table<'_>, listen: &Found<SocketAddr>) {
        if listen.value.port() != 0 {
            note(&mut self.listeners, table, listen, "listener");
        }
    }

    /// Checks that a region is in the file.
    pub(super) fn check_region(&self, table: &Table<'_>, id: &Found<RegionId>) {
        check(&self.regions, table, id, id.value.as_str(), "region", RegionId::as_str);
    }

    /// Checks that an account is in the file.
    pub(super) fn check_account(&self, table: &Table<'_>, id: &Found<AccountId>) {
        check(&self.accounts, table, id, id.value.as_str(), "account", AccountId::as_str);
    }

    /// Checks that an instance is in the file.
    pub(super) fn check_instance(&self, table: &Table<'_>, id: &Found<InstanceId>) {
        check(&self.instances, table, id, id.value.as_str(), "instance", InstanceId::as_str);
    }
}

pub(super) fn regions(root: &Table<'_>, named: &mut Named, has_tls: bool) -> Vec<Region> {
    let read = |table: Table<'_>| {
        const ALLOWED: &str = "\"cn-hangzhou\" or the like";
        let id: Option<Found<RegionId>> = table.required("id", ALLOWED, table.parsed("id", ALLOWED));
        if let Some(id) = &id {
            note(&mut named.regions, &table, id, "region");
        }
        let listen = address(&table);
        if let Some(listen) = &listen {
            check_loopback(&table, listen, has_tls);
            named.listener(&table, listen);
        }
        let products = table.list::<Product>("service_keys", "\"ecs\" or the like").unwrap_or_default();
        Some(Region {
            id: id?.value,
            listen: listen.map(|l| l.value),
            service_keys: products.into_iter().map(|product| product.value.0).collect(),
        })
    };
    let regions: Vec<Region> = root.tables("region", &keys::REGION).into_iter().filter_map(read).collect();
    if root.get("region").is_none() {
        root.source.problem(root.at, "a file without [[region]]", "at least one table that begins with [[region]]");
    }
    regions
}

pub(super) fn accounts(root: &Table<'_>, named: &mut Named, readable_by_others: bool) -> Vec<Account> {
    let read = |table: Table<'_>| {
        const ALLOWED: &str = "16 digits in quotes";
        let id: Option<Found<AccountId>> = table.required("id", ALLOWED, table.parsed("id", ALLOWED));
        if let Some(id) = &id {
            note(&mut named.accounts, &table, id, "account");
        }
        let name = table.string("name", "a name for people");
        let access_keys = table.tables("access_key", &keys::ACCESS_KEY);
        let access_keys: Vec<_> =
            access_keys.into_iter().filter_map(|key| access_key(&key, named, readable_by_others)).collect();
        let users = users(&table, named, readable_by_others);
        let roles = roles(&table);
        let name = name.map(|n| n.value.to_owned()).unwrap_or_default();
        Some(Account { id: id?.value, name, access_keys, users, roles })
    };
    root.tables("account", &keys::ACCOUNT).into_iter().filter_map(read).collect()
}

pub(super) fn instances(root: &Table<'_>, named: &mut Named, directories: &Directories) -> Vec<Instance> {
    let tables = root.tables("instance", &keys::INSTANCE);
    tables.into_iter().filter_map(|table| instance(&table, named, directories)).collect()
}

fn instance(table: &Table<'_>, named: &mut Named, directories: &Directories) -> Option<Instance> {
    const ALLOWED: &str = "kst- and lower-case letters and digits, in quotes";
    const KIND: &str = "\"software\" or \"hardware\"";
    let id = table.required("id", ALLOWED, table.parsed("id", ALLOWED));
    if let Some(id) = &id {
        note(&mut named.instances, table, id, "instance");
    }
    let region = table.required("region", REGION, table.parsed("region", REGION));
    if let Some(region) = &region {
        named.check_region(table, region);
    }
    let owner = table.required("owner", ACCOUNT, table.parsed("owner", ACCOUNT));
    if let Some(owner) = &owner {
        named.check_account(table, owner);
    }
    let kind = table.required("kind", KIND, table.string("kind", KIND));
    let kind = kind.and_then(|kind| match kind.value {
        "software" => Some(InstanceKind::Software),
        "hardware" => Some(InstanceKind::Hardware),
        other => {
            table.source.guess(kind.at, other, format!("kind = {KIND}"), &["software", "hardware"]);
            None
        }
    });
    let elsewhere = table.table("remote", &keys::REMOTE);
    let remote = elsewhere.as_ref().and_then(remote);
    // The token of an instance on another host is named there.
    let pkcs11 = pkcs11(table, kind == Some(InstanceKind::Hardware) && elsewhere.is_none(), named);
    if elsewhere.is_some()
        && let Some(value) = table.get("root_key")
    {
        let allowed = "root_key in the configuration of the instance's own host, not here";
        table.source.problem(value.span().start, "root_key of an instance on another host", allowed);
    }
    let shared = table.list::<AccountId>("shared_with", ACCOUNT).unwrap_or_default();
    for account in &shared {
        named.check_account(table, account);
        if owner.as_ref().is_some_and(|owner| owner.value == account.value) {
            table.source.problem(account.at, "the owner in shared_with", "accounts other than the owner");
        } else if let Some(owner) = &owner
            && let Err(refusal) = directories.check_share(&owner.value, &account.value)
        {
            let found = format!("{} in shared_with, but {refusal}", account.value);
            let allowed = format!("accounts of the owner's verified entity in its directory: {}", refusal.remedy());
            table.source.problem(account.at, found, allowed);
        }
    }
    let quota = |key| table.integer(key, 0..=10_000_000).map_or(DEFAULT_QUOTA, |n| n.value);
    let instance = Instance {
        key_quota: quota("key_quota"),
        secret_quota: quota("secret_quota"),
        root_key: root_key(table),
        remote,
        enabled: table.boolean("enabled").is_none_or(|b| b.value),
        expires: table.instant("expires").map(|t| t.value),
        auto_renew: table.boolean("auto_renew").is_some_and(|b| b.value),
        shared_with: shared.into_iter().map(|found| found.value).collect(),
        id: id?.value,
        region: region?.value,
        owner: owner?.value,
        kind: kind?,
        pkcs11,
    };
    Some(instance)
}

fn remote(table: &Table<'_>) -> Option<Remote> {
    const ALLOWED: &str = "\"https://HOST:PORT\"";
    let endpoint = table.required("endpoint", ALLOWED, table.string("endpoint", ALLOWED));
    let endpoint = endpoint.and_then(|found| {
        let text = found.value.strip_suffix('/').unwrap_or(found.value);
        let fits = reqwest::Url::parse(text).is_ok_and(|url| {
            url.scheme() == "https"
                && url.has_host()
                && url.path() == "/"
                && url.query().is_none()
                && url.username().is_empty()
        });
        if !fits {
            table.source.problem(found.at, format!("{:?}", found.value), format!("endpoint = {ALLOWED}"));
        }
        fits.then(|| text.to_owned())
    });
    let (ca, certificate, private_key) = (pem(table, "ca"), pem(table, "certificate"), pem(table, "private_key"));
    Some(Remote { endpoint: endpoint?, ca: ca?, certificate: certificate?, private_key: private_key? })
}

const DEFAULT_QUOTA: u64 = 1000;
const LONGEST_SECRET: u64 = 4096;

pub(super) fn access_key(table: &Table<'_>, named: &mut Named, readable_by_others: bool) -> Option<AccessKey> {
    const ALLOWED: &str = "1 to 128 letters, digits and . _ - in quotes";
    let id: Option<Found<KeyName>> = table.required("id", ALLOWED, table.parsed("id", ALLOWED));
    if let Some(id) = &id {
        note(&mut named.access_keys, table, &Found { value: id.value.0.clone(), at: id.at }, "access key");
    }
    let (secret, origin) = secret_of(table, "an access key", readable_by_others)?;
    let disabled = table.boolean("disabled").is_some_and(|found| found.value);
    Some(AccessKey { id: id?.value.0, secret, origin, disabled })
}

/// The secret of a table, under its usual names.
pub(super) fn secret_of(
    table: &Table<'_>,
    what: &'static str,
    readable_by_others: bool,
) -> Option<(AccessKeySecret, SecretOrigin)> {
    let (inline, file, credential) = ("secret", "secret_file", "credential");
    secret(table, &SecretKeys { inline, file, credential, what, text: "its secret" }, readable_by_others)
}

/// The three places that a secret may stand in, and what it is.
pub(super) struct SecretKeys {
    pub(super) inline: &'static str,
    pub(super) file: &'static str,
    pub(super) credential: &'static str,
    pub(super) what: &'static str,
    pub(super) text: &'static str,
}

impl SecretKeys {
    pub(super) const fn all(&self) -> [&'static str; 3] {
        [self.inline, self.file, self.credential]
    }
}

/// Reads a secret from where it stands; a problem unless it stands in exactly one place.
pub(super) fn secret(
    table: &Table<'_>,
    keys: &SecretKeys,
    readable_by_others: bool,
) -> Option<(AccessKeySecret, SecretOrigin)> {
    let SecretKeys { inline, file, credential, what, text } = *keys;
    let given = keys.all().into_iter().filter(|key| table.get(key).is_some()).count();
    if given != 1 {
        let found =
            if given == 0 { format!("{what} without {text}") } else { format!("{text} in more than one place") };
        let either = format!("{inline} = \"...\", {file} = \"PATH\" or {credential} = \"NAME\"");
        table.source.problem(table.at, found, either);
        return None;
    }
    let inline = table.string(inline, &format!("{text} in quotes"));
    let file = table.string(file, &format!("the path of a file with {text}"));
    let credential = table.string(credential, CREDENTIAL_NAME);
    Some(if let Some(secret) = inline {
        if readable_by_others {
            table.source.warn(
                secret.at,
                "this secret stands in a file that every user of the machine can read: chmod o-r, or use secret_file or \
                 credential",
            );
        }
        (AccessKeySecret::new(Zeroizing::new(secret.value.to_owned())), SecretOrigin::Inline)
    } else if let Some(file) = file {
        let path = table.source.path(file.value);
        (secret_in(table, file.at, &path)?, SecretOrigin::File(path))
    } else {
        let name = credential?;
        (secret_in_credential(table, &name, keys.file)?, SecretOrigin::Credential(name.value.to_owned()))
    })
}

/// What a systemd credential holds; `instead` is the key that names a file.
pub(super) fn secret_in_credential(table: &Table<'_>, name: &Found<&str>, instead: &str) -> Option<AccessKeySecret> {
    if !is_credential_name(name.value) {
        // It may be the secret itself, in the wrong place.
        table.source.problem(name.at, "a credential name with other characters", CREDENTIAL_NAME);
        return None;
    }
    let Some(directory) = table.source.credentials_directory else {
        table.source.problem(
            name.at,
            format!("{:?}, but there is no $CREDENTIALS_DIRECTORY", name.value),
            format!("a credential that systemd hands to the service (LoadCredential=), or {instead} = \"PATH\""),
        );
        return None;
    };
    secret_in(table, name.at, &directory.join(name.value))
}

pub(super) fn secret_in(table: &Table<'_>, at: usize, path: &Path) -> Option<AccessKeySecret> {
    let refuse = |found: String| {
        let found = format!("{:?}, {found}", path.display().to_string());
        table.source.problem(at, found, "a readable file that holds the secret and nothing else");
    };
    let mut text = Zeroizing::new(String::new());
    let read = std::fs::File::open(path).and_then(|file| {
        super::load::warn_if_open_to_others(table, at, path);
        // One buffer from the start, so that growing leaves no copy behind.
        text.reserve_exact(usize::try_from(LONGEST_SECRET).unwrap_or_default().saturating_add(1));
        file.take(LONGEST_SECRET.saturating_add(1)).read_to_string(&mut text)
    });
    match read {
        Err(error) => refuse(format!("which cannot be read ({error})")),
        Ok(length) if u64::try_from(length).is_ok_and(|n| n > LONGEST_SECRET) => refuse("which is too long".to_owned()),
        Ok(_) => {
            let secret = text.trim_end_matches(['\r', '\n']);
            if !secret.is_empty() {
                return Some(AccessKeySecret::new(Zeroizing::new(secret.to_owned())));
            }
            refuse("which is empty".to_owned());
        }
    }
    None
}

fn note<T: Eq + Hash + Clone + std::fmt::Display>(
    map: &mut HashMap<T, usize>,
    table: &Table<'_>,
    found: &Found<T>,
    what: &str,
) {
    if let Some(first) = map.get(&found.value) {
        let line = table.source.line(*first);
        table.source.problem(
            found.at,
            format!("the {what} {} a second time", found.value),
            format!("each {what} once (first in line {line})"),
        );
    } else {
        map.insert(found.value.clone(), found.at);
    }
}

fn check<T: Eq + Hash>(
    map: &HashMap<T, usize>,
    table: &Table<'_>,
    found: &Found<T>,
    text: &str,
    what: &str,
    name: fn(&T) -> &str,
) {
    if map.contains_key(&found.value) {
        return;
    }
    let mut known: Vec<&str> = map.keys().map(name).collect();
    known.sort_unstable();
    let allowed = if known.is_empty() { format!("none: the file has no [[{what}]]") } else { known.join(", ") };
    table.source.guess(found.at, text, format!("one {what} of this file: {allowed}"), &known);
}

#[derive(PartialEq)]
struct Product(String);

#[derive(PartialEq)]
struct KeyName(String);

impl std::str::FromStr for Product {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = text.len() <= 64 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits { Ok(Self(text.to_owned())) } else { Err("at most 64 lower-case letters, digits and hyphens") }
    }
}

impl std::str::FromStr for KeyName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = text.len() <= 128 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if fits { Ok(Self(text.to_owned())) } else { Err("1 to 128 letters, digits and . _ -") }
    }
}
