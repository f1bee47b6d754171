//! Every key of the file, table by table: what is not here is a mistake.

/// A table and its keys. Tables in tables are named `outer.inner`.
pub(super) struct Keys {
    pub(super) table: &'static str,
    pub(super) keys: &'static [&'static str],
}

/// Every table.
pub(super) const ALL: &[&Keys] = &[
    &ROOT,
    &LOG,
    &ADMIN,
    &API,
    &TLS,
    &STORE,
    &SEAL,
    &ROOT_KEY,
    &MIGRATION,
    &LIMITS,
    &BACKUP,
    &INSTANCE_SERVER,
    &DIRECTORY,
    &ENTITY,
    &METRICS,
    &NOTIFY,
    &REGION,
    &ACCOUNT,
    &ACCESS_KEY,
    &USER,
    &USER_KEY,
    &USER_POLICY,
    &ROLE,
    &ROLE_POLICY,
    &ADMIN_RIGHTS,
    &INSTANCE,
    &REMOTE,
    &ROTATOR,
    &PKCS11,
    &SCHEDULE,
    &RESOURCES,
];

/// Tables that later releases bring.
pub(super) const RESERVED: &[&str] = &["console"];

pub(super) const ROOT: Keys = Keys {
    table: "",
    keys: &[
        "state_dir",
        "log",
        "admin",
        "api",
        "store",
        "seal",
        "migration",
        "limits",
        "backup",
        "instance_server",
        "metrics",
        "notify",
        "region",
        "account",
        "directory",
        "instance",
        "rotator",
        "schedule",
    ],
};
pub(super) const LOG: Keys = Keys { table: "log", keys: &["format", "level"] };
pub(super) const ADMIN: Keys = Keys { table: "admin", keys: &["socket", "group", "rights"] };
pub(super) const ADMIN_RIGHTS: Keys = Keys { table: "admin.rights", keys: &["user", "group", "may"] };
pub(super) const API: Keys = Keys { table: "api", keys: &["listen", "tls"] };
pub(super) const TLS: Keys = Keys { table: "api.tls", keys: &["certificate", "private_key"] };
pub(super) const STORE: Keys = Keys { table: "store", keys: &["engine"] };
pub(super) const SEAL: Keys = Keys { table: "seal", keys: &["root_key"] };
pub(super) const ROOT_KEY: Keys = Keys { table: "root_key", keys: &["credential", "file"] };
pub(super) const MIGRATION: Keys =
    Keys { table: "migration", keys: &["workers", "max_rate", "allowed_hours", "approval"] };
pub(super) const LIMITS: Keys =
    Keys { table: "limits", keys: &["data_per_second", "read_per_second", "management_per_second"] };
pub(super) const BACKUP: Keys = Keys { table: "backup", keys: &["directory", "key_file", "every", "keep", "max_age"] };
pub(super) const INSTANCE_SERVER: Keys =
    Keys { table: "instance_server", keys: &["listen", "certificate", "private_key", "client_ca"] };
pub(super) const DIRECTORY: Keys = Keys { table: "directory", keys: &["id", "entity"] };
pub(super) const ENTITY: Keys = Keys { table: "directory.entity", keys: &["name", "verified", "accounts"] };
pub(super) const METRICS: Keys = Keys { table: "metrics", keys: &["listen"] };
pub(super) const NOTIFY: Keys = Keys {
    table: "notify",
    keys: &[
        "name",
        "url",
        "url_file",
        "url_credential",
        "template",
        "events",
        "secret",
        "secret_file",
        "credential",
        "ca",
    ],
};
pub(super) const REGION: Keys = Keys { table: "region", keys: &["id", "listen", "service_keys"] };
pub(super) const ACCOUNT: Keys = Keys { table: "account", keys: &["id", "name", "access_key", "user", "role"] };
pub(super) const ACCESS_KEY: Keys =
    Keys { table: "account.access_key", keys: &["id", "secret", "secret_file", "credential", "disabled"] };
pub(super) const USER: Keys = Keys { table: "account.user", keys: &["name", "policies", "policy", "access_key"] };
pub(super) const USER_KEY: Keys =
    Keys { table: "account.user.access_key", keys: &["id", "secret", "secret_file", "credential", "disabled"] };
pub(super) const USER_POLICY: Keys = Keys { table: "account.user.policy", keys: &["name", "document", "file"] };
pub(super) const ROLE: Keys = Keys { table: "account.role", keys: &["name", "policies", "policy"] };
pub(super) const ROLE_POLICY: Keys = Keys { table: "account.role.policy", keys: &["name", "document", "file"] };
pub(super) const INSTANCE: Keys = Keys {
    table: "instance",
    keys: &[
        "id",
        "region",
        "owner",
        "kind",
        "root_key",
        "enabled",
        "key_quota",
        "secret_quota",
        "expires",
        "auto_renew",
        "shared_with",
        "pkcs11",
        "remote",
    ],
};
pub(super) const REMOTE: Keys =
    Keys { table: "instance.remote", keys: &["endpoint", "ca", "certificate", "private_key"] };
pub(super) const ROTATOR: Keys = Keys {
    table: "rotator",
    keys: &[
        "name",
        "kind",
        "types",
        "accounts",
        "names",
        "targets",
        "timeout",
        "retry_after",
        "attempts",
        "url",
        "host",
        "port",
        "database",
        "user",
        "ca",
        "secret",
        "secret_file",
        "credential",
    ],
};
pub(super) const PKCS11: Keys =
    Keys { table: "instance.pkcs11", keys: &["module", "token", "pin_file", "pin_credential"] };
pub(super) const SCHEDULE: Keys = Keys {
    table: "schedule",
    keys: &[
        "name",
        "region",
        "account",
        "accounts",
        "instance",
        "at",
        "cron",
        "time_zone",
        "resources",
        "window",
        "if_missed",
        "soak",
        "rehearse",
        "acknowledge",
    ],
};
pub(super) const RESOURCES: Keys = Keys { table: "schedule.resources", keys: &["keys", "secrets"] };
