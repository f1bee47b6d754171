//! The configuration file: TOML, read with every mistake reported at once, by place and with what is allowed.
//!
//! `config/keyferry.toml` is the documented sample.

mod duration;
mod keys;
mod load;
mod location;
mod pkcs11;
mod problem;
mod reader;
mod reload;
mod resources;
mod schedules;
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
pub use problem::{ConfigProblem, ConfigWarning, Position};
pub use reload::{Changes, InUse, check_start, reload_diff};
pub use secret::{AccessKeySecret, RootKey, SecretOrigin};
pub use settings::{
    AccessKey, Account, Admin, Api, Backup, Config, Instance, InstanceIdentity, InstanceKind, InstanceServer, Limits,
    Log, Migration, Region, Remote, StoreEngine, Tls,
};
