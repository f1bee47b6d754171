//! From the file to the configuration.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use toml::de::DeTable;
use zeroize::Zeroizing;

use super::location::credentials_directory;
use super::problem::{ConfigProblem, ConfigWarning, Position};
use super::reader::{Source, Table};
use super::settings::Config;
use super::{directories, keys, observers, resources, rotators, schedules, server};

/// A configuration without mistakes.
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// What should be looked at.
    pub warnings: Vec<ConfigWarning>,
}

impl Config {
    /// Reads a file, and the secret files and systemd credentials it names.
    ///
    /// # Errors
    /// Every mistake, in the order of the file.
    pub fn load(path: &Path) -> Result<Loaded, Vec<ConfigProblem>> {
        Self::load_with(path, credentials_directory().as_deref())
    }

    /// As [`Config::load`], with systemd credentials from a directory of the caller's choice.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_with(path: &Path, credentials: Option<&Path>) -> Result<Loaded, Vec<ConfigProblem>> {
        let mut text = Zeroizing::new(String::new());
        let read = File::open(path).and_then(|mut file| {
            // Room for all of it at once, so that growing leaves no copy of a secret behind.
            text.reserve_exact(usize::try_from(file.metadata()?.len()).unwrap_or_default().saturating_add(1));
            file.read_to_string(&mut text)?;
            Ok(is_readable_by_others(&file))
        });
        match read {
            Ok(readable_by_others) => parse(path, &text, credentials, readable_by_others),
            Err(error) => Err(vec![ConfigProblem {
                file: path.to_owned(),
                position: None,
                found: format!("a file that cannot be read ({error})"),
                allowed: "a readable TOML file in UTF-8; see --config and $KEYFERRY_CONFIG".to_owned(),
                suggestion: None,
            }]),
        }
    }

    /// Reads a text as if it stood in a file of this name, which others cannot read.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Loaded, Vec<ConfigProblem>> {
        parse(path, text, credentials_directory().as_deref(), false)
    }
}

/// Can users other than owner and group read this file?
pub(super) fn is_readable_by_others(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

/// Warns of a file with a secret that users other than owner and group can read or write.
pub(super) fn warn_if_open_to_others(table: &Table<'_>, at: usize, path: &Path) {
    let mode = path.metadata().map_or(0, |metadata| metadata.permissions().mode());
    let what = match (mode & 0o004 != 0, mode & 0o002 != 0) {
        (_, true) => "written",
        (true, false) => "read",
        (false, false) => return,
    };
    table.source.warn(at, format!("{} can be {what} by every user of the machine: chmod o=", path.display()));
}

fn parse(
    path: &Path,
    text: &str,
    credentials: Option<&Path>,
    readable_by_others: bool,
) -> Result<Loaded, Vec<ConfigProblem>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // After a slip of the pen the rest of its line is noise; what the keys mean is read once the file is TOML.
        let mut problems: Vec<_> = errors.iter().map(|error| syntax(path, text, error)).collect();
        problems.sort_by_key(|problem| problem.position);
        problems.dedup_by_key(|problem| problem.position.map(|p| p.line));
        return Err(problems);
    }
    let source = Source::new(path, text, credentials);
    let root = Table::new(&source, document.get_ref(), 0..0, &keys::ROOT);
    let config = read(&root, readable_by_others);
    let (problems, warnings) = source.finish();
    if problems.is_empty() { Ok(Loaded { config, warnings }) } else { Err(problems) }
}

fn read(root: &Table<'_>, readable_by_others: bool) -> Config {
    let state_dir = root.string("state_dir", "the path of a directory");
    let state_dir =
        state_dir.map_or_else(|| PathBuf::from(Config::DEFAULT_STATE_DIR), |found| root.source.path(found.value));
    let mut named = resources::Named::default();
    let (api, listen) = server::api(root);
    let has_tls = root.table_has("api", "tls");
    match listen {
        Some(listen) => named.listener(root, &listen),
        None => named.listener(root, &super::reader::Found { value: Config::DEFAULT_LISTEN, at: 0 }),
    }
    let regions = resources::regions(root, &mut named, has_tls);
    let accounts = resources::accounts(root, &mut named, readable_by_others);
    let directories = directories::directories(root, &named);
    let instances = resources::instances(root, &mut named, &directories);
    let rotators = rotators::rotators(root, &named, readable_by_others);
    let schedules = schedules::schedules(root, &named, &instances, &directories);
    Config {
        log: server::log(root),
        admin: server::admin(root, &state_dir),
        api,
        store: server::store(root),
        root_key: server::seal(root),
        migration: server::migration(root),
        limits: server::limits(root),
        backup: server::backup(root),
        instance_server: server::instance_server(root),
        metrics: observers::metrics(root),
        notify: observers::notify(root, readable_by_others),
        state_dir,
        regions,
        accounts,
        directories,
        instances,
        rotators,
        schedules,
    }
}

/// The parser's own text would repeat the line, and the line may hold a secret.
fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> ConfigProblem {
    ConfigProblem {
        file: path.to_owned(),
        position: Some(Position::of(text, error.span().map_or(0, |span| span.start))),
        found: format!("a mistake in the TOML ({})", error.message().lines().next().unwrap_or_default()),
        allowed: "TOML 1.0".to_owned(),
        suggestion: None,
    }
}
