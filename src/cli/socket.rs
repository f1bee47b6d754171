//! Which socket to talk to.

use std::path::{Path, PathBuf};

use super::outcome::{Exit, Failure};
use crate::config::{Config, locate};

/// `--socket`, else `$KEYFERRY_SOCKET`, else the configuration's, else the default. A configuration that was named on
/// the command line must be readable; another one may be missing, since whoever uses the socket need not be allowed to
/// read the secrets in it.
pub(super) fn find(flag: Option<&Path>, config: Option<&Path>) -> Result<PathBuf, Failure> {
    let variable = std::env::var_os("KEYFERRY_SOCKET").filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = flag.map(Path::to_owned).or(variable) {
        return Ok(path);
    }
    let file = locate(config);
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(of_config(&text).unwrap_or_else(default)),
        Err(error) if config.is_some() => {
            let message = format!("{} cannot be read ({error})", file.display());
            Err(Failure::new(Exit::Usage, "ConfigUnreadable", message, "name a readable file, or --socket"))
        }
        Err(_) => Ok(default()),
    }
}

/// Reads no more than where the socket is: the rest is the daemon's business, and a mistake in it no reason not to talk.
fn of_config(text: &str) -> Option<PathBuf> {
    let root: toml::Table = toml::from_str(text).ok()?;
    let socket = root.get("admin").and_then(|admin| admin.get("socket")).and_then(|socket| socket.as_str());
    let state = || root.get("state_dir").and_then(|dir| dir.as_str()).map(|dir| Path::new(dir).join(FILE));
    socket.map(PathBuf::from).or_else(state)
}

fn default() -> PathBuf {
    Path::new(Config::DEFAULT_STATE_DIR).join(FILE)
}

const FILE: &str = "admin.sock";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_names_the_socket_or_the_state_directory() {
        let socket = of_config("state_dir = \"/s\"\n[admin]\nsocket = \"/run/a.sock\"\n[unknown]\nx = 1");
        assert_eq!(socket.as_deref(), Some(Path::new("/run/a.sock")));
        assert_eq!(of_config("state_dir = \"/s\"").as_deref(), Some(Path::new("/s/admin.sock")));
        assert_eq!(of_config("[log]"), None);
        assert_eq!(of_config("not toml"), None);
    }
}
