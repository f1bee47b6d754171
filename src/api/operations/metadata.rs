//! `KeyMetadata` and the forms of its fields.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::kms::{AutomaticRotation, KeyView, key_arn};
use crate::model::{KeyState, format_utc};

/// `KeyMetadata` of CreateKey; DescribeKey adds deletion protection.
pub(super) fn key_metadata(view: &KeyView, with_protection: bool) -> Value {
    let key = &view.key;
    let mut members = Map::new();
    let mut set = |name: &str, value: Value| members.insert(name.to_owned(), value);
    set("Arn", json!(key_arn(&key.region, &key.account, &key.id)));
    set("KeyId", json!(key.id));
    set("CreationDate", json!(format_utc(key.created_at)));
    set("Creator", json!(key.creator));
    set("Description", json!(key.description));
    set("KeySpec", json!(key.spec.as_str()));
    set("KeyState", json!(view.state.as_str()));
    set("KeyUsage", json!(key.usage.as_str()));
    set("Origin", json!(key.origin.as_str()));
    set("ProtectionLevel", json!(key.protection_level.as_str()));
    set("AutomaticRotation", json!(view.rotation.as_str()));
    let delete_at = match view.state {
        KeyState::PendingDeletion { delete_at } => Some(delete_at),
        _ => None,
    };
    set("DeleteDate", json!(date(delete_at)));
    set("MaterialExpireTime", json!(date(key.imported.as_ref().filter(|m| m.present).and_then(|m| m.expires_at))));
    if let Some(instance) = key.keystore.instance() {
        set("DKMSInstanceId", json!(instance));
    }
    if key.spec.is_symmetric()
        && let Some(version) = &key.primary_version
    {
        set("PrimaryKeyVersion", json!(version));
    }
    if let Some(last) = key.rotation.last {
        set("LastRotationDate", json!(format_utc(last)));
    }
    if view.rotation != AutomaticRotation::Disabled {
        if let Some(interval) = key.rotation.interval {
            set("RotationInterval", json!(seconds(interval)));
        }
        if let Some(next) = view.next_rotation {
            set("NextRotationDate", json!(format_utc(next)));
        }
    }
    if with_protection {
        set("DeletionProtection", json!(if key.deletion_protection { "Enabled" } else { "Disabled" }));
        if key.deletion_protection {
            set("DeletionProtectionDescription", json!(key.deletion_protection_description));
        }
    }
    Value::Object(members)
}

/// A period as it is answered: `604800s`.
pub(super) fn seconds(interval: Duration) -> String {
    format!("{}s", interval.as_secs())
}

fn date(instant: Option<Timestamp>) -> String {
    instant.map(format_utc).unwrap_or_default()
}
