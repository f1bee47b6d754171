//! What a KMS would have to be asked about a configuration.

use std::collections::BTreeSet;

use super::configuration::Configuration;
use super::matching::Searched;
use super::provider::Kind;
use super::state::State;

/// Names of keys and secrets in a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// IDs of keys, from state files and `import` blocks.
    pub key_ids: BTreeSet<String>,
    /// Aliases of keys, from `alicloud_kms_alias`.
    pub aliases: BTreeSet<String>,
    /// Names of secrets.
    pub secrets: BTreeSet<String>,
    /// There are keys with neither, so that only a list of all keys tells.
    pub unnamed_keys: bool,
}

/// Gathers the names that a KMS can be asked about.
#[must_use]
pub fn names(configuration: &Configuration, state: &State) -> Names {
    let mut names = Names::default();
    for item in &state.items {
        match Kind::of_type(&item.kind) {
            Some(Kind::Key) => drop(names.key_ids.insert(item.id.clone())),
            Some(Kind::Secret) => drop(names.secrets.insert(item.id.clone())),
            None => {}
        }
    }
    let searched = Searched::of(configuration, state);
    for place in searched.uses() {
        let Some(found) = searched.identity(place) else { continue };
        match found.kind {
            Kind::Secret => names.secrets.extend(found.names.iter().filter_map(|name| name.text())),
            Kind::Key => {
                let aliases: Vec<String> = found.names.iter().filter_map(|alias| alias.text()).collect();
                names.key_ids.extend(found.imported.iter().cloned());
                names.unnamed_keys |= found.stated.is_empty() && found.imported.is_empty() && aliases.is_empty();
                names.aliases.extend(aliases);
            }
        }
    }
    names
}
