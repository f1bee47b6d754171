//! The configuration file: TOML, read with every mistake reported at once, by place and with what is allowed.
//!
//! `config/keyferry.toml` is the documented sample.

mod directories;
mod duration;
mod identities;
mod keys;
mod load;
mod location;
mod observers;
mod pkcs11;
mod problem;
mod reader;
mod reload;
mod resources;
mod rotators;
mod schedules;
mod schema;
mod secret;
mod server;
mod settings;
mod show;
#[cfg(test)]
mod tests;

pub use duration::{DurationError, format_duration, parse_duration};
pub use load::Loaded;
pub use location::{DEFAULT_PATH, credential_path, locate};
pub use pkcs11::{Pkcs11, TokenIdentity};
pub(crate) use problem::nearest;
pub use problem::{ConfigProblem, ConfigWarning, Position};
pub use reload::{Changes, InUse, Tenant, check_start, reload_diff};
pub use rotators::{Rotator, RotatorKind};
pub use schema::json_schema;
pub use secret::{AccessKeySecret, RootKey, SecretOrigin};
pub use settings::{
    AccessKey, Account, Admin, AdminRights, Api, AttachedPolicy, Backup, Config, Instance, InstanceIdentity,
    InstanceKind, InstanceServer, Limits, Log, Metrics, Migration, Notify, PolicyOrigin, Region, Remote, Role,
    StoreEngine, Template, Tls, User, Who,
};
