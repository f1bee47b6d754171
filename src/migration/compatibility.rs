//! Which keys go into which kind of instance: the vendor's table, as data.

use crate::model::{KeyOrigin, KeyRecord, KeySpec, KeyState, ProblemCode, ProtectionLevel};

/// One row: a spec, and whether an instance of each kind takes it with one version and with several.
struct Row {
    spec: KeySpec,
    software: Versions,
    hardware: Versions,
}

/// With how many versions a spec is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Versions {
    None,
    One,
    Any,
}

/// "Migrate resources from shared KMS to a KMS instance", section "Before you begin"; specs that are not listed there
/// (RSA_3072, AES_128, and the specs that only instances have) cannot migrate, and asymmetric keys are listed with one version only.
const TABLE: [Row; 8] = [
    Row { spec: KeySpec::Aes256, software: Versions::Any, hardware: Versions::One },
    Row { spec: KeySpec::Rsa2048, software: Versions::One, hardware: Versions::None },
    Row { spec: KeySpec::EcP256, software: Versions::One, hardware: Versions::None },
    Row { spec: KeySpec::EcP256k, software: Versions::One, hardware: Versions::None },
    Row { spec: KeySpec::Rsa3072, software: Versions::None, hardware: Versions::None },
    Row { spec: KeySpec::Rsa4096, software: Versions::None, hardware: Versions::None },
    Row { spec: KeySpec::Aes192, software: Versions::None, hardware: Versions::None },
    Row { spec: KeySpec::Aes128, software: Versions::None, hardware: Versions::None },
];

/// What stands in a key's way: code, reason and remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Code.
    pub code: ProblemCode,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: &'static str,
}

/// Whether a key can go into a hardware (or else software) instance; `None` when it can.
#[must_use]
pub fn compatibility(key: &KeyRecord, hardware: bool) -> Option<Verdict> {
    let verdict = |code, message: String, remedy| Some(Verdict { code, message, remedy });
    if let Some(product) = &key.service {
        return verdict(
            ProblemCode::ServiceKey,
            format!("it is the service key of {product}; service keys stay in the shared KMS"),
            "leave it out of the selection",
        );
    }
    if key.protection_level != ProtectionLevel::Software {
        return verdict(
            ProblemCode::UnsupportedProtectionLevel,
            format!("its protection level is {}; only SOFTWARE migrates", key.protection_level.as_str()),
            "create a new key in the instance and re-encrypt under it",
        );
    }
    let kind = if hardware { "hardware" } else { "software" };
    let row = TABLE.iter().find(|row| row.spec == key.spec);
    let versions = row.map_or(Versions::None, |row| if hardware { row.hardware } else { row.software });
    if versions == Versions::None {
        return verdict(
            ProblemCode::UnsupportedKeySpec,
            format!("a {kind} instance does not take {} keys", key.spec),
            "leave it in the shared KMS, or replace it by a key of a spec that migrates",
        );
    }
    if key.origin == KeyOrigin::External && key.imported.as_ref().is_none_or(|imported| !imported.present) {
        return verdict(
            ProblemCode::NoKeyMaterial,
            "its material was never imported, was deleted or has expired: there is nothing to move".to_owned(),
            "import the material first, or schedule the key's deletion",
        );
    }
    if key.version_count == 0 && !matches!(key.state, KeyState::PendingImport) {
        return verdict(
            ProblemCode::NoKeyMaterial,
            "it has no version".to_owned(),
            "create a version first, or schedule the key's deletion",
        );
    }
    if versions == Versions::One && key.version_count > 1 {
        return verdict(
            ProblemCode::MultiVersionNotSupported,
            format!(
                "it has {} versions; a {kind} instance takes {} keys with one version only",
                key.version_count, key.spec
            ),
            if hardware { "migrate it to a software instance" } else { "leave it in the shared KMS" },
        );
    }
    if hardware && key.rotation.enabled {
        return verdict(
            ProblemCode::RotationNotSupported,
            "automatic rotation is on, and a hardware instance keeps one version".to_owned(),
            "switch rotation off with UpdateRotationPolicy, or migrate it to a software instance",
        );
    }
    None
}
