//! State files: which resource of a configuration is which resource of the KMS.
//!
//! Only IDs, instance IDs, aliases, protection levels, descriptions of keys and rotation are read; values of secrets are
//! skipped where they lie.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::address::{Address, Segment};
use super::provider::{Kind, ProtectionLevel, TYPE_PREFIX};
use super::{Moved, MovedKey, MovedSecret, TerraformError};

/// The resources of the KMS in state files.
#[derive(Debug, Default)]
pub struct State {
    pub(super) items: Vec<StateItem>,
    by_name: HashMap<Name, Vec<usize>>,
}

/// Names of modules, type and name.
type Name = (Vec<String>, String, String);

/// A resource in a state file.
#[derive(Debug)]
pub(super) struct StateItem {
    pub(super) modules: Vec<Segment>,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) index: Option<String>,
    pub(super) id: String,
    pub(super) instance: Option<String>,
    protection: Option<ProtectionLevel>,
    rotates: Option<bool>,
    description: Option<String>,
    key_id: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    module: String,
    #[serde(rename = "type")]
    kind: String,
    name: String,
    #[serde(default)]
    instances: Vec<Instance>,
}

#[derive(Deserialize)]
struct Instance {
    #[serde(default)]
    index_key: Option<IndexKey>,
    #[serde(default)]
    deposed: Option<String>,
    #[serde(default)]
    attributes: Option<Attributes>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum IndexKey {
    Number(u64),
    Text(String),
}

#[derive(Deserialize, Default)]
struct Attributes {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    dkms_instance_id: Option<String>,
    #[serde(default)]
    protection_level: Option<String>,
    #[serde(default)]
    automatic_rotation: Option<String>,
    #[serde(default)]
    enable_automatic_rotation: Option<bool>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    key_id: Option<String>,
}

impl State {
    /// Reads a state file of version 4 (Terraform since 0.12), as `terraform state pull` prints it, and adds it.
    ///
    /// # Errors
    /// When it cannot be read or is not a state file. The text never quotes the file.
    pub fn read(&mut self, path: &Path) -> Result<(), TerraformError> {
        let failed = |cause: String| TerraformError::File { path: path.to_owned(), cause };
        let bytes = std::fs::read(path).map_err(|error| failed(format!("cannot be read ({error})")))?;
        // The values of other resources may be of any shape: those are not looked into.
        let raw: RawFile<'_> = serde_json::from_slice(&bytes).map_err(|error| {
            failed(format!("is not a state file (line {}); `terraform state pull` prints one", error.line()))
        })?;
        if raw.version != 4 {
            return Err(failed(format!(
                "is a state file of version {}; only version 4 (Terraform since 0.12) is read",
                raw.version
            )));
        }
        for entry in raw.resources {
            let head: Head = serde_json::from_str(entry.get())
                .map_err(|_| failed("has a resource that is not understood".to_owned()))?;
            if head.mode == "managed" && head.kind.starts_with(TYPE_PREFIX) {
                let entry: Entry = serde_json::from_str(entry.get()).map_err(|_| {
                    failed(format!("has {}.{} in a shape that is not understood", head.kind, head.name))
                })?;
                self.add(entry);
            }
        }
        Ok(())
    }

    fn add(&mut self, entry: Entry) {
        let modules = match entry.module.as_str() {
            "" => Some(Vec::new()),
            text => Address::parse(text).filter(|address| address.resource.is_none()).map(|address| address.modules),
        };
        let Some(modules) = modules else { return };
        for instance in entry.instances.into_iter().filter(|instance| instance.deposed.is_none()) {
            let attributes = instance.attributes.unwrap_or_default();
            let Some(id) = attributes.id.filter(|id| !id.is_empty()) else { continue };
            let names = modules.iter().map(|segment| segment.name.clone()).collect();
            let place = self.items.len();
            self.by_name.entry((names, entry.kind.clone(), entry.name.clone())).or_default().push(place);
            self.items.push(StateItem {
                modules: modules.clone(),
                kind: entry.kind.clone(),
                name: entry.name.clone(),
                index: instance.index_key.map(|key| match key {
                    IndexKey::Number(number) => number.to_string(),
                    IndexKey::Text(text) => super::address::quoted(&text),
                }),
                id,
                instance: attributes.dkms_instance_id.filter(|id| !id.is_empty()),
                protection: attributes.protection_level.as_deref().and_then(ProtectionLevel::read),
                rotates: attributes
                    .automatic_rotation
                    .filter(|text| !text.is_empty())
                    .map(|text| text == "Enabled")
                    .or(attributes.enable_automatic_rotation),
                description: attributes.description,
                key_id: attributes.key_id,
            });
        }
    }

    /// True when there is no resource of the KMS in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// What the state says is in an instance. `None` when it holds keys or secrets and says so of none: then it was
    /// written before the migration, and does not tell what moved.
    #[must_use]
    pub fn moved(&self) -> Option<Moved> {
        let resources = || self.items.iter().filter(|item| Kind::of_type(&item.kind).is_some());
        if resources().next().is_some() && resources().all(|item| item.instance.is_none()) {
            return None;
        }
        Some(self.gather(|item| item.instance.is_some()))
    }

    /// Every key and secret in it, as if all had moved.
    #[must_use]
    pub fn all(&self) -> Moved {
        self.gather(|_| true)
    }

    /// Adds what the state knows of keys that moved: aliases and descriptions, whatever else the source told.
    pub fn enrich(&self, moved: &mut Moved) {
        let known: std::collections::HashSet<String> = moved.keys.iter().map(|key| key.id.clone()).collect();
        let mut more = self.gather(|item| known.contains(&item.id));
        more.secrets.clear();
        for key in &mut more.keys {
            // The state may be older than the migration: of these it says what was.
            key.protection = None;
            key.rotates = None;
        }
        moved.merge(more);
    }

    fn gather(&self, wanted: impl Fn(&StateItem) -> bool) -> Moved {
        let mut aliases: HashMap<&str, Vec<String>> = HashMap::new();
        for item in self.items.iter().filter(|item| item.kind == "alicloud_kms_alias") {
            if let Some(key) = &item.key_id {
                aliases.entry(key).or_default().push(item.id.clone());
            }
        }
        let mut moved = Moved::default();
        for item in self.items.iter().filter(|item| wanted(item)) {
            match Kind::of_type(&item.kind) {
                Some(Kind::Key) => moved.keys.push(MovedKey {
                    id: item.id.clone(),
                    aliases: aliases.get(item.id.as_str()).cloned().unwrap_or_default(),
                    description: item.description.clone(),
                    instance: item.instance.clone(),
                    protection: item.instance.as_ref().and(item.protection),
                    rotates: item.instance.as_ref().and(item.rotates),
                }),
                Some(Kind::Secret) => moved.secrets.push(MovedSecret {
                    name: item.id.clone(),
                    instance: item.instance.clone(),
                    rotates: item.instance.as_ref().and(item.rotates),
                }),
                None => {}
            }
        }
        moved
    }

    /// The items of a resource, whatever their indexes.
    pub(super) fn of(&self, modules: &[String], kind: &str, name: &str) -> impl Iterator<Item = &StateItem> {
        let found = self.by_name.get(&(modules.to_vec(), kind.to_owned(), name.to_owned()));
        found.into_iter().flatten().filter_map(|place| self.items.get(*place))
    }
}

#[derive(Deserialize)]
struct RawFile<'a> {
    version: u64,
    #[serde(default, borrow)]
    resources: Vec<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    mode: String,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    name: String,
}
