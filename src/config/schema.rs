//! The configuration file as a JSON schema (2020-12), for editors: the keys of `keys.rs` with their shapes, described in
//! the words of the sample. It finds what an editor can; what names must agree with each other is the reader's.

use serde_json::{Map, Value, json};

use super::keys;
use crate::observe::{LogFormat, LogLevel};

/// What a key's value looks like.
enum Shape {
    Text,
    /// A text that a regular expression describes (ECMA-262, as JSON Schema has it).
    Pattern(&'static str),
    Word(&'static [&'static str]),
    Boolean,
    Integer(u64, u64),
    /// A TOML date-time, which editors present as a string, or the same in quotes.
    Instant,
    List(&'static Self),
    Table(&'static str),
    Tables(&'static str),
    /// `"all"`, or a table.
    AllOr(&'static str),
}

const REGION: Shape = Shape::Pattern("^[a-z0-9]+(-[a-z0-9]+)*$");
const ACCOUNT: Shape = Shape::Pattern("^[0-9]{16}$");
const INSTANCE: Shape = Shape::Pattern("^kst-[a-z0-9]+$");
const NAME: Shape = Shape::Pattern("^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$");
const DURATION: Shape = Shape::Pattern("^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$");
const ADDRESS: Shape = Shape::Pattern("^(\\[[0-9A-Fa-f:.]+\\]|[0-9.]+):[0-9]+$");
const HOURS: Shape = Shape::Pattern("^[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2} [A-Za-z0-9_+/-]+$");
const PRODUCT: Shape = Shape::Pattern("^[a-z0-9-]{1,64}$");
const CREDENTIAL: Shape = Shape::Pattern("^[A-Za-z0-9_@-][A-Za-z0-9._@-]*$");
const KEY_ID: Shape = Shape::Pattern("^[A-Za-z0-9._-]{1,128}$");
const TEXTS: Shape = Shape::List(&Shape::Text);
const RATE: Shape = Shape::Integer(0, 1_000_000);
const QUOTA: Shape = Shape::Integer(0, 10_000_000);

/// Table, key, shape: every key of `keys.rs`.
const SHAPES: &[(&str, &str, Shape)] = &[
    ("", "state_dir", Shape::Text),
    ("", "log", Shape::Table("log")),
    ("", "admin", Shape::Table("admin")),
    ("", "api", Shape::Table("api")),
    ("", "store", Shape::Table("store")),
    ("", "seal", Shape::Table("seal")),
    ("", "migration", Shape::Table("migration")),
    ("", "limits", Shape::Table("limits")),
    ("", "backup", Shape::Table("backup")),
    ("", "metrics", Shape::Table("metrics")),
    ("", "notify", Shape::Tables("notify")),
    ("", "directory", Shape::Tables("directory")),
    ("", "rotator", Shape::Tables("rotator")),
    ("", "instance_server", Shape::Table("instance_server")),
    ("", "region", Shape::Tables("region")),
    ("", "account", Shape::Tables("account")),
    ("", "instance", Shape::Tables("instance")),
    ("", "schedule", Shape::Tables("schedule")),
    ("log", "format", Shape::Word(&LogFormat::NAMES)),
    ("log", "level", Shape::Word(&LogLevel::NAMES)),
    ("admin", "socket", Shape::Text),
    ("admin", "group", Shape::Text),
    ("admin", "rights", Shape::Tables("admin.rights")),
    ("admin.rights", "user", Shape::Text),
    ("admin.rights", "group", Shape::Text),
    ("admin.rights", "may", Shape::Word(&["view", "plan", "migrate", "administer"])),
    ("api", "listen", ADDRESS),
    ("api", "tls", Shape::Table("api.tls")),
    ("api.tls", "certificate", Shape::Text),
    ("api.tls", "private_key", Shape::Text),
    ("store", "engine", Shape::Word(&["sled"])),
    ("seal", "root_key", Shape::Table("root_key")),
    ("root_key", "credential", CREDENTIAL),
    ("root_key", "file", Shape::Text),
    ("migration", "workers", Shape::Integer(1, 64)),
    ("migration", "max_rate", RATE),
    ("migration", "allowed_hours", Shape::List(&HOURS)),
    ("migration", "approval", Shape::Boolean),
    ("metrics", "listen", ADDRESS),
    ("notify", "name", Shape::Text),
    ("notify", "url", Shape::Text),
    ("notify", "url_file", Shape::Text),
    ("notify", "url_credential", CREDENTIAL),
    ("notify", "template", Shape::Word(&["json", "slack", "dingtalk"])),
    ("notify", "events", TEXTS),
    ("notify", "secret", Shape::Text),
    ("notify", "secret_file", Shape::Text),
    ("notify", "credential", CREDENTIAL),
    ("notify", "ca", Shape::Text),
    ("directory", "id", Shape::Text),
    ("directory", "entity", Shape::Tables("directory.entity")),
    ("directory.entity", "name", Shape::Text),
    ("directory.entity", "verified", Shape::Boolean),
    ("directory.entity", "accounts", Shape::List(&ACCOUNT)),
    ("limits", "data_per_second", RATE),
    ("limits", "read_per_second", RATE),
    ("limits", "management_per_second", RATE),
    ("backup", "directory", Shape::Text),
    ("backup", "key_file", Shape::Text),
    ("backup", "every", DURATION),
    ("backup", "keep", Shape::Integer(1, 10_000)),
    ("backup", "max_age", DURATION),
    ("region", "id", REGION),
    ("region", "listen", ADDRESS),
    ("region", "service_keys", Shape::List(&PRODUCT)),
    ("account", "id", ACCOUNT),
    ("account", "name", Shape::Text),
    ("account", "access_key", Shape::Tables("account.access_key")),
    ("account", "user", Shape::Tables("account.user")),
    ("account", "role", Shape::Tables("account.role")),
    ("account.user", "name", Shape::Text),
    ("account.user", "policies", TEXTS),
    ("account.user", "policy", Shape::Tables("account.user.policy")),
    ("account.user", "access_key", Shape::Tables("account.user.access_key")),
    ("account.user.policy", "name", Shape::Text),
    ("account.user.policy", "document", Shape::Text),
    ("account.user.policy", "file", Shape::Text),
    ("account.user.access_key", "id", KEY_ID),
    ("account.user.access_key", "secret", Shape::Text),
    ("account.user.access_key", "secret_file", Shape::Text),
    ("account.user.access_key", "credential", CREDENTIAL),
    ("account.user.access_key", "disabled", Shape::Boolean),
    ("account.role", "name", Shape::Text),
    ("account.role", "policies", TEXTS),
    ("account.role", "policy", Shape::Tables("account.role.policy")),
    ("account.role.policy", "name", Shape::Text),
    ("account.role.policy", "document", Shape::Text),
    ("account.role.policy", "file", Shape::Text),
    ("account.access_key", "id", KEY_ID),
    ("account.access_key", "disabled", Shape::Boolean),
    ("account.access_key", "secret", Shape::Text),
    ("account.access_key", "secret_file", Shape::Text),
    ("account.access_key", "credential", CREDENTIAL),
    ("instance", "id", INSTANCE),
    ("instance", "region", REGION),
    ("instance", "owner", ACCOUNT),
    ("instance", "kind", Shape::Word(&["software", "hardware"])),
    ("instance", "root_key", Shape::Table("root_key")),
    ("instance", "key_quota", QUOTA),
    ("instance", "secret_quota", QUOTA),
    ("instance", "expires", Shape::Instant),
    ("instance", "auto_renew", Shape::Boolean),
    ("instance", "shared_with", Shape::List(&ACCOUNT)),
    ("instance", "pkcs11", Shape::Table("instance.pkcs11")),
    ("instance.pkcs11", "module", Shape::Text),
    ("instance.pkcs11", "token", Shape::Text),
    ("instance.pkcs11", "pin_file", Shape::Text),
    ("instance.pkcs11", "pin_credential", CREDENTIAL),
    ("instance", "enabled", Shape::Boolean),
    ("instance", "remote", Shape::Table("instance.remote")),
    ("instance.remote", "endpoint", Shape::Pattern("^https://")),
    ("instance.remote", "ca", Shape::Text),
    ("instance.remote", "certificate", Shape::Text),
    ("instance.remote", "private_key", Shape::Text),
    ("instance_server", "listen", ADDRESS),
    ("instance_server", "certificate", Shape::Text),
    ("instance_server", "private_key", Shape::Text),
    ("instance_server", "client_ca", Shape::Text),
    ("rotator", "name", Shape::Text),
    ("rotator", "kind", Shape::Word(&["webhook", "postgresql"])),
    ("rotator", "types", Shape::List(&Shape::Word(&["Rds", "RAMCredentials", "ECS"]))),
    ("rotator", "accounts", Shape::List(&ACCOUNT)),
    ("rotator", "names", Shape::List(&Shape::Pattern("^[A-Za-z0-9_/+=.@-]*\\*?$"))),
    ("rotator", "targets", Shape::List(&Shape::Text)),
    ("rotator", "timeout", DURATION),
    ("rotator", "retry_after", DURATION),
    ("rotator", "attempts", Shape::Integer(1, 100)),
    ("rotator", "url", Shape::Pattern("^https://")),
    ("rotator", "host", Shape::Text),
    ("rotator", "port", Shape::Integer(1, 65_535)),
    ("rotator", "database", Shape::Text),
    ("rotator", "user", Shape::Text),
    ("rotator", "ca", Shape::Text),
    ("rotator", "secret", Shape::Text),
    ("rotator", "secret_file", Shape::Text),
    ("rotator", "credential", CREDENTIAL),
    ("schedule", "name", NAME),
    ("schedule", "region", REGION),
    ("schedule", "account", ACCOUNT),
    ("schedule", "accounts", Shape::List(&ACCOUNT)),
    ("schedule", "instance", INSTANCE),
    ("schedule", "at", Shape::Instant),
    ("schedule", "cron", Shape::Pattern("^\\s*\\S+(\\s+\\S+){4}\\s*$")),
    ("schedule", "time_zone", Shape::Text),
    ("schedule", "resources", Shape::AllOr("schedule.resources")),
    ("schedule", "window", DURATION),
    ("schedule", "if_missed", Shape::Word(&["run", "skip"])),
    ("schedule", "soak", DURATION),
    ("schedule", "rehearse", Shape::Boolean),
    ("schedule", "acknowledge", Shape::Boolean),
    ("schedule.resources", "keys", TEXTS),
    ("schedule.resources", "secrets", TEXTS),
];

/// Keys that a table must have.
const REQUIRED: &[(&str, &[&str])] = &[
    ("", &["region"]),
    ("api.tls", &["certificate", "private_key"]),
    ("backup", &["directory", "key_file"]),
    ("admin.rights", &["may"]),
    ("metrics", &["listen"]),
    ("notify", &["name"]),
    ("directory", &["id", "entity"]),
    ("directory.entity", &["name"]),
    ("region", &["id"]),
    ("account", &["id"]),
    ("account.access_key", &["id"]),
    ("account.user", &["name"]),
    ("account.user.access_key", &["id"]),
    ("account.user.policy", &["name"]),
    ("account.role", &["name"]),
    ("account.role.policy", &["name"]),
    ("instance", &["id", "region", "owner", "kind"]),
    ("rotator", &["name", "kind"]),
    ("instance.pkcs11", &["module", "token"]),
    ("instance.remote", &["endpoint", "ca", "certificate", "private_key"]),
    ("instance_server", &["listen", "certificate", "private_key", "client_ca"]),
    ("schedule", &["name", "region", "instance", "resources"]),
];

/// Keys of which a table has exactly one.
const ONE_OF: &[(&str, &[&str])] = &[
    ("root_key", &["credential", "file"]),
    ("account.access_key", &["secret", "secret_file", "credential"]),
    ("rotator", &["secret", "secret_file", "credential"]),
    ("account.user.access_key", &["secret", "secret_file", "credential"]),
    ("account.user.policy", &["document", "file"]),
    ("account.role.policy", &["document", "file"]),
    ("admin.rights", &["user", "group"]),
    ("notify", &["url", "url_file", "url_credential"]),
    ("instance.pkcs11", &["pin_file", "pin_credential"]),
    ("schedule", &["at", "cron"]),
    ("schedule", &["account", "accounts"]),
];

/// Keys that a table has only together.
const TOGETHER: &[(&str, &str, &str)] = &[("schedule", "cron", "time_zone"), ("schedule", "time_zone", "cron")];

/// Tables whose keys the sample describes where another has the same.
const LIKE: &[(&str, &str)] = &[
    ("account.user.access_key", "account.access_key"),
    ("account.role.policy", "account.user.policy"),
    ("account.role", "account.user"),
    ("rotator", "account.access_key"),
];

/// The documented sample, whose comments describe the keys.
const SAMPLE: &str = include_str!("../../config/keyferry.toml");

/// The schema, with a line end.
#[must_use]
pub fn json_schema() -> String {
    let mut definitions: Map<String, Value> = Map::new();
    for table in keys::ALL.iter().filter(|table| !table.table.is_empty()) {
        definitions.insert(table.table.to_owned(), object(table));
    }
    let mut root = object(&keys::ROOT);
    if let Some(root) = root.as_object_mut() {
        root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        root.insert("title".to_owned(), json!("keyferry configuration"));
        root.insert("$defs".to_owned(), Value::Object(definitions));
    }
    serde_json::to_string_pretty(&root).unwrap_or_default() + "\n"
}

fn object(table: &keys::Keys) -> Value {
    let mut properties = Map::new();
    for key in table.keys {
        let found = SHAPES.iter().find(|(of, name, _)| *of == table.table && name == key);
        let mut schema = found.map_or_else(|| json!({}), |(_, _, shape)| schema_of(shape));
        if let (Some(schema), Some(text)) = (schema.as_object_mut(), described(table.table, key)) {
            schema.insert("description".to_owned(), json!(text));
        }
        properties.insert((*key).to_owned(), schema);
    }
    let mut object = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    let required = REQUIRED.iter().find(|(of, _)| *of == table.table).map(|(_, keys)| *keys);
    let alternatives: Vec<Value> = ONE_OF
        .iter()
        .filter(|(of, _)| *of == table.table)
        .map(|(_, keys)| json!({ "oneOf": keys.iter().map(|key| json!({ "required": [key] })).collect::<Vec<_>>() }))
        .collect();
    let together: Map<String, Value> = TOGETHER
        .iter()
        .filter(|(of, _, _)| *of == table.table)
        .map(|(_, key, other)| ((*key).to_owned(), json!([other])))
        .collect();
    if let Some(object) = object.as_object_mut() {
        object.extend(required.map(|keys| ("required".to_owned(), json!(keys))));
        object.extend((!alternatives.is_empty()).then(|| ("allOf".to_owned(), json!(alternatives))));
        object.extend((!together.is_empty()).then(|| ("dependentRequired".to_owned(), json!(together))));
    }
    object
}

fn schema_of(shape: &Shape) -> Value {
    let reference = |table: &str| json!({ "$ref": format!("#/$defs/{table}") });
    match shape {
        Shape::Text => json!({ "type": "string", "minLength": 1 }),
        Shape::Pattern(pattern) => json!({ "type": "string", "minLength": 1, "pattern": pattern }),
        Shape::Word(words) => json!({ "enum": words }),
        Shape::Boolean => json!({ "type": "boolean" }),
        Shape::Integer(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Shape::Instant => json!({ "type": "string", "format": "date-time" }),
        Shape::List(of) => json!({ "type": "array", "uniqueItems": true, "items": schema_of(of) }),
        Shape::Table(table) => reference(table),
        Shape::Tables(table) => json!({ "type": "array", "items": reference(table) }),
        Shape::AllOr(table) => json!({ "oneOf": [{ "const": "all" }, reference(table)] }),
    }
}

/// What the sample says of a key, there or in a table like it.
fn described(table: &str, key: &str) -> Option<String> {
    let like = LIKE.iter().filter(|(of, _)| *of == table).map(|(_, like)| *like);
    std::iter::once(table).chain(like).find_map(|table| description(SAMPLE, table, key))
}

/// What the sample says above a key of a table; keys without a comment of their own share the one before.
fn description(sample: &str, table: &str, key: &str) -> Option<String> {
    let (mut now, mut comment, mut described) = ("", Vec::new(), Vec::new());
    for line in sample.lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let is_key = bare.split_once(" = ").is_some_and(|(name, _)| is_bare_key(name));
        if let Some(header) = line.strip_prefix('[') {
            now = header.trim_start_matches('[').trim_end_matches(']');
            comment.clear();
        } else if is_key {
            // The comment of a key begins anew after the key before it.
            if !comment.is_empty() {
                described = std::mem::take(&mut comment);
            }
            let name = bare.split_once(" = ").map_or("", |(name, _)| name);
            if now == table && name == key {
                return (!described.is_empty()).then(|| described.join(" "));
            }
        } else if let Some(text) = line.strip_prefix("# ") {
            comment.push(text.to_owned());
        } else {
            comment.clear();
        }
    }
    None
}

fn is_bare_key(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_shape_and_every_shape_a_key() {
        for table in keys::ALL {
            for key in table.keys {
                let shapes = SHAPES.iter().filter(|(of, name, _)| *of == table.table && name == key).count();
                assert_eq!(shapes, 1, "[{}] {key} in SHAPES", table.table);
            }
        }
        let has = |table: &str, key: &str| keys::ALL.iter().any(|t| t.table == table && t.keys.contains(&key));
        let named = SHAPES.iter().map(|(table, key, _)| (*table, *key));
        let rules = REQUIRED.iter().chain(ONE_OF).flat_map(|(table, keys)| keys.iter().map(move |key| (*table, *key)));
        for (table, key) in named.chain(rules) {
            assert!(has(table, key), "[{table}] {key}");
        }
        let table_of = |shape: &Shape| match shape {
            Shape::Table(table) | Shape::Tables(table) | Shape::AllOr(table) => Some(*table),
            _ => None,
        };
        for table in SHAPES.iter().filter_map(|(_, _, shape)| table_of(shape)) {
            assert!(keys::ALL.iter().any(|known| known.table == table), "{table}");
        }
    }

    #[test]
    fn the_sample_describes_every_key_but_those_of_inline_tables() {
        const INLINE: [&str; 5] = ["api.tls", "root_key", "instance.pkcs11", "instance.remote", "instance_server"];
        for table in keys::ALL.iter().filter(|t| !t.table.is_empty() && !INLINE.contains(&t.table)) {
            for key in table.keys {
                let text = described(table.table, key);
                let inner = keys::ALL.iter().any(|t| t.table == format!("{}.{key}", table.table));
                // The other place of a document is named in the comment of the one.
                let other = table.table.ends_with(".policy") && *key == "file" || *key == "user";
                assert!(inner || other || text.is_some(), "[{}] {key} has no comment in the sample", table.table);
            }
        }
        let window = description(SAMPLE, "schedule", "window").unwrap();
        assert!(window.starts_with("Duration (\"2h\"") && window.ends_with("rolls back."), "{window}");
        let quotas = ["key_quota", "secret_quota"].map(|key| description(SAMPLE, "instance", key).unwrap());
        assert_eq!(quotas[0], quotas[1]);
        assert!(description(SAMPLE, "seal", "root_key").unwrap().starts_with("Table: "));
    }
}
