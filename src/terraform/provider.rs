//! The provider's schema of keys and secrets as far as a migration meets it: what forces a replacement, in which
//! versions, and the remedies. `docs/terraform.md` gives the source of each fact.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::TerraformError;

/// A version of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl FromStr for Version {
    type Err = TerraformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || TerraformError::Version(text.to_owned());
        let text = text.trim();
        let numbers = text.strip_prefix('v').unwrap_or(text).split('.').map(str::parse::<u32>);
        let numbers: Vec<u32> = numbers.collect::<Result<_, _>>().map_err(|_| bad())?;
        match numbers.as_slice() {
            [major, minor] => Ok(Self(*major, *minor, 0)),
            [major, minor, patch] => Ok(Self(*major, *minor, *patch)),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// Where a key is protected; the instance's kind decides it (software: `SOFTWARE`, hardware: `HSM`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ProtectionLevel {
    /// In software.
    Software,
    /// In a hardware security module.
    Hsm,
}

impl ProtectionLevel {
    /// As the provider and the API write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Software => "SOFTWARE",
            Self::Hsm => "HSM",
        }
    }

    /// Reads what the provider or the API wrote.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        [Self::Software, Self::Hsm].into_iter().find(|level| level.as_str() == text)
    }
}

/// What can be done about a replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Remedy 1: the attributes that the migration changed go into `ignore_changes`.
    IgnoreChanges,
    /// Remedy 2: `dkms_instance_id` is stated.
    InstanceId,
}

/// Resources that a migration moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `alicloud_kms_key`
    Key,
    /// `alicloud_kms_secret`
    Secret,
}

/// The attribute that names the instance.
pub const INSTANCE_ID: &str = "dkms_instance_id";
/// The attribute that names the protection level of a key.
pub const PROTECTION_LEVEL: &str = "protection_level";
/// What the provider takes where a key's protection level is not stated.
pub const DEFAULT_PROTECTION_LEVEL: ProtectionLevel = ProtectionLevel::Software;
/// Resources and data sources of this product begin with this.
pub const TYPE_PREFIX: &str = "alicloud_kms_";

/// An attribute of the schema and how it takes part in a replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttributeFact {
    /// Whose.
    pub kind: Kind,
    /// Its name.
    pub name: &'static str,
    /// A difference destroys and creates.
    pub force_new: bool,
    /// The first version that knows it: before it, it must not be named anywhere.
    pub since: Version,
    /// The last version in which a value that is not stated counts as a difference; `None`: all do.
    pub not_computed_until: Option<Version>,
    /// What is taken where it is not stated.
    pub default: Option<&'static str>,
}

/// The schema. A computed attribute that is not stated keeps the value that was read and makes no difference.
///
/// `dkms_instance_id` was marked as computed while 1.235.0 was made; the vendor's page wants it listed up to and
/// including 1.235.0. The cautious reading holds here, since one attribute too many in the list does no harm.
pub const ATTRIBUTES: [AttributeFact; 8] = [
    AttributeFact {
        kind: Kind::Key,
        name: INSTANCE_ID,
        force_new: true,
        since: Version(1, 183, 0),
        not_computed_until: Some(Version(1, 235, 0)),
        default: None,
    },
    AttributeFact {
        kind: Kind::Key,
        name: "automatic_rotation",
        force_new: false,
        since: Version(1, 85, 0),
        not_computed_until: Some(Version(0, 0, 0)),
        default: None,
    },
    AttributeFact {
        kind: Kind::Key,
        name: "rotation_interval",
        force_new: false,
        since: Version(1, 85, 0),
        not_computed_until: None,
        default: None,
    },
    AttributeFact {
        kind: Kind::Key,
        name: PROTECTION_LEVEL,
        force_new: true,
        since: Version(1, 85, 0),
        not_computed_until: None,
        default: Some(DEFAULT_PROTECTION_LEVEL.as_str()),
    },
    AttributeFact {
        kind: Kind::Secret,
        name: INSTANCE_ID,
        force_new: true,
        since: Version(1, 183, 0),
        not_computed_until: None,
        default: None,
    },
    AttributeFact {
        kind: Kind::Secret,
        name: "enable_automatic_rotation",
        force_new: false,
        since: Version(1, 124, 0),
        not_computed_until: None,
        default: None,
    },
    AttributeFact {
        kind: Kind::Secret,
        name: "rotation_interval",
        force_new: false,
        since: Version(1, 124, 0),
        not_computed_until: None,
        default: None,
    },
    AttributeFact {
        kind: Kind::Secret,
        name: "encryption_key_id",
        force_new: true,
        since: Version(1, 76, 0),
        not_computed_until: None,
        default: None,
    },
];

impl Kind {
    /// Of the type of a Terraform resource.
    #[must_use]
    pub fn of_type(name: &str) -> Option<Self> {
        match name {
            "alicloud_kms_key" => Some(Self::Key),
            "alicloud_kms_secret" => Some(Self::Secret),
            _ => None,
        }
    }

    /// `key` or `secret`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Secret => "secret",
        }
    }

    /// The attribute that switches rotation on, and what it is set to when it is off and on.
    #[must_use]
    pub const fn rotation_switch(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Key => ("automatic_rotation", "Disabled", "Enabled"),
            Self::Secret => ("enable_automatic_rotation", "false", "true"),
        }
    }

    /// The attributes of rotation.
    #[must_use]
    pub const fn rotation(self) -> [&'static str; 2] {
        [self.rotation_switch().0, "rotation_interval"]
    }

    /// The list of remedy 1, in the vendor's order. The vendor gives one list for keys and secrets; a secret has no
    /// `automatic_rotation` and no `protection_level`, and Terraform refuses a list with attributes that do not exist.
    #[must_use]
    pub fn remedy(self, version: Option<Version>) -> Vec<&'static str> {
        let [switch, interval] = self.rotation();
        let mut list = Vec::new();
        if instance_id_known(version) && !instance_id_computed(self, version) {
            list.push(INSTANCE_ID);
        }
        list.extend([switch, interval]);
        if self == Self::Key {
            list.push(PROTECTION_LEVEL);
        }
        list
    }
}

/// True when this version of the provider knows the instance ID. An unknown version is taken for one that does.
#[must_use]
pub fn instance_id_known(version: Option<Version>) -> bool {
    version.is_none_or(|version| fact(Kind::Key, INSTANCE_ID).is_none_or(|fact| version >= fact.since))
}

/// True when an instance ID that is not stated makes no difference. An unknown version is taken for one where it does.
#[must_use]
pub fn instance_id_computed(kind: Kind, version: Option<Version>) -> bool {
    let until = fact(kind, INSTANCE_ID).and_then(|fact| fact.not_computed_until);
    version.zip(until).is_some_and(|(version, until)| version > until)
}

fn fact(kind: Kind, name: &str) -> Option<&'static AttributeFact> {
    ATTRIBUTES.iter().find(|fact| fact.kind == kind && fact.name == name)
}

/// What happens to a resource that names a key when that key is replaced: `key_id` and `encryption_key_id` force a
/// replacement, but an alias is pointed at the new key.
#[must_use]
pub fn effect_on_dependent(resource_type: &str) -> Option<&'static str> {
    match resource_type {
        "alicloud_kms_alias" => Some("would point at the new, empty key"),
        "alicloud_kms_key_version" | "alicloud_kms_ciphertext" => Some("would be replaced with it"),
        "alicloud_kms_secret" => Some("would be replaced, since encryption_key_id forces it"),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn the_model_says_what_migration_facts_section_8_says() {
        let list = |kind: Kind, version: &str| kind.remedy(Some(version.parse().unwrap())).join(", ");
        let whole = "dkms_instance_id, automatic_rotation, rotation_interval, protection_level";
        for version in ["1.183.0", "1.210.0", "1.235.0", "v1.235"] {
            assert_eq!(list(Kind::Key, version), whole, "{version}");
        }
        for version in ["1.235.1", "1.236.0", "1.260.0", "2.0.0"] {
            assert_eq!(
                list(Kind::Key, version),
                "automatic_rotation, rotation_interval, protection_level",
                "{version}"
            );
        }
        assert_eq!(Kind::Key.remedy(None).join(", "), whole, "an unknown version may be an old one");
        for version in ["1.183.0", "1.235.0", "1.260.0"] {
            let secret = list(Kind::Secret, version);
            assert!(secret.starts_with("dkms_instance_id, "), "a secret's ID is never computed: {version} {secret}");
            assert!(!secret.contains(PROTECTION_LEVEL) && !secret.contains(" automatic_rotation"), "{secret}");
        }
        let forced: Vec<_> = ATTRIBUTES.iter().filter(|f| f.force_new).map(|f| (f.kind, f.name)).collect();
        assert!(forced.contains(&(Kind::Key, INSTANCE_ID)) && forced.contains(&(Kind::Key, PROTECTION_LEVEL)));
        assert!(forced.contains(&(Kind::Secret, INSTANCE_ID)));
        assert_eq!(DEFAULT_PROTECTION_LEVEL, ProtectionLevel::Software);
    }

    /// What the reference says of the schema lies in a file of its own, which the model is held to.
    #[test]
    fn the_model_agrees_with_the_facts_on_file() {
        let facts: toml::Table = toml::from_str(include_str!("../../tests/sdk/terraform/schema-facts.toml")).unwrap();
        let strings = |value: &toml::Value| -> Vec<String> {
            value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        let mut held = 0;
        for (resource, attributes) in facts["attribute"].as_table().unwrap() {
            let kind = Kind::of_type(resource).unwrap();
            for (name, said) in attributes.as_table().unwrap() {
                let modelled = fact(kind, name).unwrap();
                let text = |member: &str| said.get(member).map(|value| value.as_str().unwrap().to_owned());
                assert_eq!(Some(modelled.force_new), said["force_new"].as_bool(), "{resource} {name}");
                assert_eq!(modelled.default.map(str::to_owned), text("default"), "{resource} {name}");
                let until = modelled.not_computed_until.map(|version| version.to_string());
                assert_eq!(until, text("not_computed_until"), "{resource} {name}");
                held += 1;
            }
        }
        assert!(held >= 2, "{held} attributes");
        let key = &facts["ignore_changes"]["alicloud_kms_key"];
        let (whole, until) = (strings(&key["list"]), key["until"].as_str().unwrap().parse::<Version>().unwrap());
        assert_eq!(Kind::Key.remedy(None), whole);
        assert_eq!(Kind::Key.remedy(Some(until)), whole);
        let gone = strings(&key["not_needed_after"]);
        let later: Vec<String> = whole.into_iter().filter(|name| !gone.contains(name)).collect();
        assert_eq!(Kind::Key.remedy(Some(Version(until.0, until.1, until.2 + 1))), later);
        for name in strings(&facts["ignore_changes"]["alicloud_kms_secret"]["at_least"]) {
            assert!(Kind::Secret.remedy(None).contains(&name.as_str()), "{name}");
        }
        assert_eq!(facts["instance_id"]["attribute"].as_str(), Some(INSTANCE_ID));
        assert!(strings(&facts["instance_id"]["does_not_solve"]).contains(&PROTECTION_LEVEL.to_owned()));
    }

    #[test]
    fn what_a_version_does_not_know_is_not_named() {
        let old = Some(Version(1, 182, 0));
        assert!(!instance_id_known(old));
        for kind in [Kind::Key, Kind::Secret] {
            assert!(!kind.remedy(old).contains(&INSTANCE_ID));
            let known: Vec<_> = ATTRIBUTES.iter().filter(|fact| fact.kind == kind).map(|fact| fact.name).collect();
            assert!(kind.remedy(None).iter().all(|name| known.contains(name)), "Terraform refuses unknown attributes");
        }
    }

    #[test]
    fn versions_are_read_and_ordered() {
        assert!("1.9.0".parse::<Version>().unwrap() < "1.235.0".parse::<Version>().unwrap());
        for bad in ["", "x", "1", "1.2.3.4", "1.-2", ">= 1.2"] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
    }
}
