//! Where the configuration file and systemd credentials are.

use std::path::{Path, PathBuf};

/// The file that is read when nobody names another.
pub const DEFAULT_PATH: &str = "/etc/keyferry/keyferry.toml";

/// The configuration file: `--config`, else `$KEYFERRY_CONFIG`, else [`DEFAULT_PATH`].
#[must_use]
pub fn locate(flag: Option<&Path>) -> PathBuf {
    choose(flag, std::env::var_os("KEYFERRY_CONFIG").map(PathBuf::from))
}

/// The file of a systemd credential; `None` when the service has none (`$CREDENTIALS_DIRECTORY`, systemd.exec(5)).
#[must_use]
pub fn credential_path(name: &str) -> Option<PathBuf> {
    credentials_directory().map(|directory| directory.join(name))
}

pub(super) fn credentials_directory() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn choose(flag: Option<&Path>, variable: Option<PathBuf>) -> PathBuf {
    let variable = variable.filter(|path| !path.as_os_str().is_empty());
    flag.map(Path::to_owned).or(variable).unwrap_or_else(|| PathBuf::from(DEFAULT_PATH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_then_the_variable_then_the_default() {
        let variable = || Some(PathBuf::from("/v"));
        assert_eq!(choose(Some(Path::new("/f")), variable()), Path::new("/f"));
        assert_eq!(choose(None, variable()), Path::new("/v"));
        assert_eq!(choose(None, Some(PathBuf::new())), Path::new(DEFAULT_PATH));
        assert_eq!(choose(None, None), Path::new(DEFAULT_PATH));
    }
}
