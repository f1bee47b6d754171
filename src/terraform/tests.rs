//! Configurations on disk, checked and rewritten.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod changes;
mod hostile;
mod properties;
mod rule;
mod trees;

use std::path::{Path, PathBuf};

use super::*;

pub(super) const INSTANCE: &str = "kst-hzz0000000000000001";

/// A configuration on disk.
pub(super) struct World {
    directory: tempfile::TempDir,
    pub(super) moved: Moved,
    pub(super) state: State,
    pub(super) version: Option<Version>,
}

impl World {
    pub(super) fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let world = Self { directory, moved: Moved::default(), state: State::default(), version: None };
        for (name, text) in files {
            world.put(name, text);
        }
        world
    }

    /// One file, in which the key with the alias `alias/k` and the secret `s` have moved.
    pub(super) fn of(text: &str) -> Self {
        Self::new(&[("main.tf", text)]).key("k1", "alias/k").secret("s")
    }

    pub(super) fn put(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn dir(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn key(mut self, id: &str, alias: &str) -> Self {
        self.moved.keys.push(MovedKey {
            id: id.to_owned(),
            aliases: if alias.is_empty() { Vec::new() } else { vec![alias.to_owned()] },
            instance: Some(INSTANCE.to_owned()),
            protection: Some(ProtectionLevel::Software),
            ..MovedKey::default()
        });
        self
    }

    pub(super) fn described(mut self, id: &str, description: &str) -> Self {
        self = self.key(id, "");
        self.moved.keys.last_mut().unwrap().description = Some(description.to_owned());
        self
    }

    pub(super) fn secret(mut self, name: &str) -> Self {
        let instance = Some(INSTANCE.to_owned());
        self.moved.secrets.push(MovedSecret { name: name.to_owned(), instance, rotates: None });
        self
    }

    pub(super) fn provider(mut self, version: &str) -> Self {
        self.version = Some(version.parse().unwrap());
        self
    }

    pub(super) fn state(mut self, document: &serde_json::Value) -> Self {
        self.put("of/terraform.tfstate", &document.to_string());
        self.state.read(&self.path("of/terraform.tfstate")).unwrap();
        self
    }

    pub(super) fn read(&self) -> Configuration {
        Configuration::read(self.dir(), &[]).unwrap()
    }

    pub(super) fn check(&self) -> Assessment {
        let configuration = self.read();
        assess(&configuration, &self.state, &self.moved, self.version.or(configuration.provider()))
    }

    /// Address, rule and certainty of each finding.
    pub(super) fn findings(&self) -> Vec<String> {
        let line = |f: &Finding| format!("{} {} {:?}", f.address, f.rule.as_str(), f.certainty);
        self.check().findings.iter().map(line).collect()
    }

    pub(super) fn rewrite(&self, strategy: Strategy) -> Rewrite {
        let configuration = self.read();
        let version = self.version.or(configuration.provider());
        let assessment = assess(&configuration, &self.state, &self.moved, version);
        rewrite(&configuration, &assessment, strategy, version)
    }

    /// Rewrites on disk, and answers the only file that was to change. A second time must change nothing, and nothing
    /// that was rewritten may be found again.
    pub(super) fn rewritten(&self, strategy: Strategy) -> String {
        let made = self.rewrite(strategy);
        assert_eq!(made.left, [], "nothing is to be left");
        assert_eq!(made.files.len(), 1, "{:?}", made.files);
        made.write().unwrap();
        assert!(self.check().is_clean(), "{:?}", self.check());
        assert!(self.rewrite(strategy).files.is_empty(), "a second time changes nothing");
        std::fs::read_to_string(&made.files[0].real).unwrap()
    }
}

/// The alias that makes `alicloud_kms_key.k` the key that has moved.
pub(super) const ALIAS: &str =
    "resource \"alicloud_kms_alias\" \"k\" {\n  alias_name = \"alias/k\"\n  key_id     = alicloud_kms_key.k.id\n}\n";
