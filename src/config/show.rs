//! `config show`: the effective configuration, defaults filled in, secrets masked; itself a valid file.

use std::fmt::Display;

use toml::value::{Array, Table, Value};

use super::duration::format_duration;
use super::rotators::{Rotator, RotatorKind};
use super::secret::{RootKey, SecretOrigin};
use super::settings::{
    AccessKey, Account, AdminRights, AttachedPolicy, Config, Instance, InstanceKind, Notify, PolicyOrigin, Region,
    Role, StoreEngine, User, Who,
};
use crate::model::{Directory, Entity, IfMissed, ScheduleEntry, Selection, When};

impl Config {
    /// The effective configuration as TOML, with secrets masked.
    #[must_use]
    pub fn to_masked_toml(&self) -> String {
        let mut root = Table::new();
        put(&mut root, "state_dir", self.state_dir.display());
        let mut log = Table::new();
        put(&mut log, "format", self.log.format.as_str());
        put(&mut log, "level", self.log.level.as_str());
        let mut admin = Table::new();
        put(&mut admin, "socket", self.admin.socket.display());
        put_some(&mut admin, "group", self.admin.group.as_ref());
        put_tables(&mut admin, "rights", &self.admin.rights, rights);
        let mut api = Table::new();
        put(&mut api, "listen", self.api.listen);
        if let Some(tls) = &self.api.tls {
            let mut table = Table::new();
            put(&mut table, "certificate", tls.certificate.display());
            put(&mut table, "private_key", tls.private_key.display());
            api.insert("tls".to_owned(), Value::Table(table));
        }
        let mut store = Table::new();
        let StoreEngine::Sled = self.store;
        put(&mut store, "engine", "sled");
        let mut migration = Table::new();
        migration.insert("workers".to_owned(), Value::Integer(self.migration.workers.into()));
        migration.insert("max_rate".to_owned(), Value::Integer(self.migration.max_rate.into()));
        put_list(&mut migration, "allowed_hours", self.migration.allowed_hours.ranges());
        migration.insert("approval".to_owned(), Value::Boolean(self.migration.approval));
        let mut limits = Table::new();
        for (name, rate) in [
            ("data_per_second", self.limits.data_per_second),
            ("read_per_second", self.limits.read_per_second),
            ("management_per_second", self.limits.management_per_second),
        ] {
            limits.insert(name.to_owned(), Value::Integer(rate.into()));
        }
        let mut backup = Table::new();
        if let Some(settings) = &self.backup {
            let path = |path: &std::path::Path| Value::String(path.display().to_string());
            backup.insert("directory".to_owned(), path(&settings.directory));
            backup.insert("key_file".to_owned(), path(&settings.key_file));
            backup.insert("every".to_owned(), Value::String(format_duration(settings.every)));
            let keep = i64::try_from(settings.keep).unwrap_or(i64::MAX);
            backup.insert("keep".to_owned(), Value::Integer(keep));
            if let Some(age) = settings.max_age {
                backup.insert("max_age".to_owned(), Value::String(format_duration(age)));
            }
        }
        let mut instance_server = Table::new();
        if let Some(server) = &self.instance_server {
            put(&mut instance_server, "listen", server.listen);
            put(&mut instance_server, "certificate", server.certificate.display());
            put(&mut instance_server, "private_key", server.private_key.display());
            put(&mut instance_server, "client_ca", server.client_ca.display());
        }
        let mut seal = Table::new();
        put_root_key(&mut seal, &self.root_key);
        for (name, table) in [
            ("log", log),
            ("admin", admin),
            ("api", api),
            ("store", store),
            ("migration", migration),
            ("limits", limits),
            ("backup", backup),
            ("instance_server", instance_server),
            ("seal", seal),
        ] {
            if !table.is_empty() {
                root.insert(name.to_owned(), Value::Table(table));
            }
        }
        if let Some(metrics) = &self.metrics {
            let mut table = Table::new();
            put(&mut table, "listen", metrics.listen);
            root.insert("metrics".to_owned(), Value::Table(table));
        }
        put_tables(&mut root, "notify", &self.notify, notify);
        put_tables(&mut root, "region", &self.regions, region);
        put_tables(&mut root, "account", &self.accounts, account);
        put_tables(&mut root, "directory", &self.directories.0, directory);
        put_tables(&mut root, "instance", &self.instances, instance);
        put_tables(&mut root, "rotator", &self.rotators, rotator);
        put_tables(&mut root, "schedule", &self.schedules, schedule);
        toml::to_string(&root).unwrap_or_default()
    }
}

const MASK: &str = "********";

fn notify(receiver: &Notify) -> Table {
    let mut table = Table::new();
    put(&mut table, "name", &receiver.name);
    match &receiver.url_origin {
        // The host is no secret, what comes behind it may be.
        SecretOrigin::Inline => {
            let host = reqwest::Url::parse(receiver.url.expose()).ok();
            let shown = host.map(|url| format!("{}/{MASK}", url.origin().ascii_serialization()));
            put(&mut table, "url", shown.as_deref().unwrap_or(MASK));
        }
        SecretOrigin::File(path) => put(&mut table, "url_file", path.display()),
        SecretOrigin::Credential(name) => put(&mut table, "url_credential", name),
    }
    put(&mut table, "template", receiver.template.as_str());
    match receiver.signing.as_ref().map(|(_, origin)| origin) {
        None => {}
        Some(SecretOrigin::Inline) => put(&mut table, "secret", MASK),
        Some(SecretOrigin::File(path)) => put(&mut table, "secret_file", path.display()),
        Some(SecretOrigin::Credential(name)) => put(&mut table, "credential", name),
    }
    let events: Vec<&str> = receiver.events.iter().map(|event| event.as_str()).collect();
    put_list(&mut table, "events", &events);
    put_some(&mut table, "ca", receiver.ca.as_ref().map(|path| path.display()));
    table
}

fn region(region: &Region) -> Table {
    let mut table = Table::new();
    put(&mut table, "id", &region.id);
    put_some(&mut table, "listen", region.listen);
    put_list(&mut table, "service_keys", &region.service_keys);
    table
}

fn account(account: &Account) -> Table {
    let mut table = Table::new();
    put(&mut table, "id", &account.id);
    put_some(&mut table, "name", Some(&account.name).filter(|name| !name.is_empty()));
    put_tables(&mut table, "access_key", &account.access_keys, access_key);
    put_tables(&mut table, "user", &account.users, user);
    put_tables(&mut table, "role", &account.roles, role);
    table
}

fn user(user: &User) -> Table {
    let mut table = Table::new();
    put(&mut table, "name", &user.name);
    put_policies(&mut table, &user.policies);
    put_tables(&mut table, "access_key", &user.access_keys, access_key);
    table
}

fn role(role: &Role) -> Table {
    let mut table = Table::new();
    put(&mut table, "name", &role.name);
    put_policies(&mut table, &role.policies);
    table
}

fn rights(rights: &AdminRights) -> Table {
    let mut table = Table::new();
    match &rights.who {
        Who::User(name) => put(&mut table, "user", name),
        Who::Group(name) => put(&mut table, "group", name),
    }
    put(&mut table, "may", rights.may);
    table
}

fn put_policies(table: &mut Table, policies: &[AttachedPolicy]) {
    let (built_in, written): (Vec<_>, Vec<_>) =
        policies.iter().cloned().partition(|policy| policy.origin == PolicyOrigin::BuiltIn);
    let names: Vec<&String> = built_in.iter().map(|policy| &policy.name).collect();
    put_list(table, "policies", &names);
    put_tables(table, "policy", &written, |policy| {
        let mut table = Table::new();
        put(&mut table, "name", &policy.name);
        match &policy.origin {
            PolicyOrigin::Inline(text) => put(&mut table, "document", text),
            PolicyOrigin::File(path) => put(&mut table, "file", path.display()),
            PolicyOrigin::BuiltIn => {}
        }
        table
    });
}

fn access_key(key: &AccessKey) -> Table {
    let mut table = Table::new();
    put(&mut table, "id", &key.id);
    put_secret(&mut table, &key.origin);
    table.insert("disabled".to_owned(), Value::Boolean(key.disabled));
    table
}

fn put_secret(table: &mut Table, origin: &SecretOrigin) {
    match origin {
        SecretOrigin::Inline => put(table, "secret", MASK),
        SecretOrigin::File(path) => put(table, "secret_file", path.display()),
        SecretOrigin::Credential(name) => put(table, "credential", name),
    }
}

fn rotator(rotator: &Rotator) -> Table {
    let mut table = Table::new();
    put(&mut table, "name", &rotator.name);
    match &rotator.kind {
        RotatorKind::Webhook { url, ca } => {
            put(&mut table, "kind", "webhook");
            put(&mut table, "url", url);
            put_some(&mut table, "ca", ca.as_ref().map(|path| path.display()));
        }
        RotatorKind::Postgresql { host, port, database, user, ca } => {
            put(&mut table, "kind", "postgresql");
            put(&mut table, "host", host);
            table.insert("port".to_owned(), Value::Integer((*port).into()));
            put(&mut table, "database", database);
            put(&mut table, "user", user);
            put_some(&mut table, "ca", ca.as_ref().map(|path| path.display()));
        }
    }
    put_secret(&mut table, &rotator.origin);
    if rotator.origin == SecretOrigin::Inline {
        // As long as a signature key has to be.
        put(&mut table, "secret", MASK.repeat(4));
    }
    put_list(&mut table, "types", &rotator.types);
    put_list(&mut table, "accounts", &rotator.accounts);
    put_list(&mut table, "names", &rotator.names);
    put_list(&mut table, "targets", &rotator.targets);
    put(&mut table, "timeout", format_duration(rotator.timeout));
    put(&mut table, "retry_after", format_duration(rotator.retry_after));
    table.insert("attempts".to_owned(), Value::Integer(rotator.attempts.into()));
    table
}

fn directory(directory: &Directory) -> Table {
    let mut table = Table::new();
    put(&mut table, "id", &directory.id);
    put_tables(&mut table, "entity", &directory.entities, entity);
    table
}

fn entity(entity: &Entity) -> Table {
    let mut table = Table::new();
    put(&mut table, "name", &entity.name);
    table.insert("verified".to_owned(), Value::Boolean(entity.verified));
    put_list(&mut table, "accounts", &entity.accounts);
    table
}

fn instance(instance: &Instance) -> Table {
    let mut table = Table::new();
    put(&mut table, "id", &instance.id);
    put(&mut table, "region", &instance.region);
    put(&mut table, "owner", &instance.owner);
    put(&mut table, "kind", if instance.kind == InstanceKind::Hardware { "hardware" } else { "software" });
    if let Some(pkcs11) = &instance.pkcs11 {
        let mut inner = Table::new();
        put(&mut inner, "module", pkcs11.token.module.display());
        put(&mut inner, "token", &pkcs11.token.label);
        match &pkcs11.pin_origin {
            SecretOrigin::Credential(name) => put(&mut inner, "pin_credential", name),
            SecretOrigin::File(path) => put(&mut inner, "pin_file", path.display()),
            // A PIN is never in the file.
            SecretOrigin::Inline => {}
        }
        table.insert("pkcs11".to_owned(), Value::Table(inner));
    }
    put_root_key(&mut table, &instance.root_key);
    if let Some(remote) = &instance.remote {
        let mut place = Table::new();
        put(&mut place, "endpoint", &remote.endpoint);
        put(&mut place, "ca", remote.ca.display());
        put(&mut place, "certificate", remote.certificate.display());
        put(&mut place, "private_key", remote.private_key.display());
        table.insert("remote".to_owned(), Value::Table(place));
    }
    table.insert("enabled".to_owned(), Value::Boolean(instance.enabled));
    for (key, quota) in [("key_quota", instance.key_quota), ("secret_quota", instance.secret_quota)] {
        table.insert(key.to_owned(), Value::Integer(i64::try_from(quota).unwrap_or(i64::MAX)));
    }
    put_instant(&mut table, "expires", instance.expires);
    table.insert("auto_renew".to_owned(), Value::Boolean(instance.auto_renew));
    put_list(&mut table, "shared_with", &instance.shared_with);
    table
}

fn schedule(entry: &ScheduleEntry) -> Table {
    let mut table = Table::new();
    put(&mut table, "name", &entry.name);
    put(&mut table, "region", &entry.region);
    put_list(&mut table, "accounts", &entry.accounts);
    put(&mut table, "instance", &entry.instance);
    match &entry.when {
        When::At(at) => put_instant(&mut table, "at", Some(*at)),
        When::Cron { pattern, time_zone } => {
            put(&mut table, "cron", pattern);
            put(&mut table, "time_zone", time_zone);
        }
    }
    match &entry.resources {
        Selection::All => put(&mut table, "resources", "all"),
        Selection::Picked { keys, secrets } => {
            let mut picked = Table::new();
            put_list(&mut picked, "keys", keys);
            put_list(&mut picked, "secrets", secrets);
            table.insert("resources".to_owned(), Value::Table(picked));
        }
    }
    put(&mut table, "window", format_duration(entry.window));
    put(
        &mut table,
        "if_missed",
        match entry.if_missed {
            IfMissed::Run => "run",
            IfMissed::Skip => "skip",
        },
    );
    put(&mut table, "soak", format_duration(entry.soak));
    table.insert("rehearse".to_owned(), Value::Boolean(entry.rehearse));
    table.insert("acknowledge".to_owned(), Value::Boolean(entry.acknowledge));
    table
}

fn put(table: &mut Table, key: &str, value: impl Display) {
    table.insert(key.to_owned(), Value::String(value.to_string()));
}

fn put_some(table: &mut Table, key: &str, value: Option<impl Display>) {
    if let Some(value) = value {
        put(table, key, value);
    }
}

fn put_instant(table: &mut Table, key: &str, instant: Option<jiff::Timestamp>) {
    // The offset it was written with is not kept: UTC names the same instant.
    if let Some(datetime) = instant.and_then(|instant| instant.to_string().parse().ok()) {
        table.insert(key.to_owned(), Value::Datetime(datetime));
    }
}

fn put_list(table: &mut Table, key: &str, items: &[impl Display]) {
    if !items.is_empty() {
        let items: Array = items.iter().map(|item| Value::String(item.to_string())).collect();
        table.insert(key.to_owned(), Value::Array(items));
    }
}

fn put_tables<T>(table: &mut Table, key: &str, items: &[T], write: fn(&T) -> Table) {
    if !items.is_empty() {
        table.insert(key.to_owned(), Value::Array(items.iter().map(|item| Value::Table(write(item))).collect()));
    }
}

fn put_root_key(table: &mut Table, root_key: &RootKey) {
    let mut source = Table::new();
    match root_key {
        RootKey::Generated => return,
        RootKey::Credential(name) => put(&mut source, "credential", name),
        RootKey::File(path) => put(&mut source, "file", path.display()),
    }
    table.insert("root_key".to_owned(), Value::Table(source));
}
