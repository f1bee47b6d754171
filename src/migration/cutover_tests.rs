#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::*;

const FLIPPED: [&str; 4] = ["keystore", "policy", "protection_level", "placement"];

const KEY: &str = r#"{
    "id": "key-abc", "account": "1000000000000001", "region": "cn-hangzhou",
    "incarnation": "11111111-1111-4111-8111-111111111111", "keystore": "shared:cn-hangzhou", "spec": "Aliyun_AES_256",
    "usage": "ENCRYPT/DECRYPT", "origin": "Aliyun_KMS", "protection_level": "SOFTWARE", "state": {"state": "Enabled"},
    "description": "", "creator": "1000000000000001", "service": null, "created_at": "2026-11-01T00:00:00Z",
    "primary_version": "22222222-2222-4222-8222-222222222222", "version_count": 1,
    "rotation": {"enabled": false, "interval": null, "last": null, "invalid": false, "since": null},
    "deletion_protection": false, "deletion_protection_description": "", "aliases": [], "tags": {}, "policy": null,
    "imported": null, "placement": null
}"#;

const OTHER_KEY: &str = r#"{
    "id": "key-abd", "account": "1000000000000002", "region": "cn-beijing",
    "incarnation": "11111111-1111-4111-8111-111111111112", "keystore": "kst-a", "spec": "RSA_2048",
    "usage": "SIGN/VERIFY", "origin": "EXTERNAL", "protection_level": "HSM",
    "state": {"state": "PendingDeletion", "delete_at": "2026-12-01T00:00:00Z"},
    "description": "other", "creator": "oss", "service": "oss", "created_at": "2026-11-01T00:00:00.000000001Z",
    "primary_version": null, "version_count": 2,
    "rotation": {"enabled": false, "interval": null, "last": null, "invalid": false, "since": "2026-11-01T00:00:00Z"},
    "deletion_protection": true, "deletion_protection_description": "other", "aliases": ["alias/a"],
    "tags": {"a": "b"}, "policy": "{}",
    "imported": {
        "check_value": "AA==", "check_key": "AA==", "expires_at": null,
        "version": "22222222-2222-4222-8222-222222222222", "present": true
    },
    "placement": {
        "job": "job-00000000000000000001", "keystore": "shared:cn-hangzhou", "policy": null, "protection_level": null,
        "earlier": null
    }
}"#;

const SECRET: &str = r#"{
    "name": "db/password", "account": "1000000000000001", "region": "cn-hangzhou",
    "incarnation": "11111111-1111-4111-8111-111111111111", "keystore": "shared:cn-hangzhou", "secret_type": "Generic",
    "encryption_key": null, "description": "", "extended_config": "", "created_at": "2026-11-01T00:00:00Z",
    "updated_at": "2026-11-01T00:00:00Z", "planned_delete_at": null,
    "rotation": {"enabled": false, "interval": null, "last": null, "invalid": false, "since": null},
    "tags": {}, "policy": null, "version_count": 1, "placement": null
}"#;

const OTHER_SECRET: &str = r#"{
    "name": "db/passwords", "account": "1000000000000002", "region": "cn-beijing",
    "incarnation": "11111111-1111-4111-8111-111111111112", "keystore": "kst-a", "secret_type": "Rds",
    "encryption_key": "key-abc", "description": "other", "extended_config": "{}", "created_at": "2026-11-01T00:00:01Z",
    "updated_at": "2026-11-01T00:00:01Z", "planned_delete_at": "2026-12-01T00:00:00Z",
    "rotation": {
        "enabled": true, "interval": {"secs": 86400, "nanos": 0}, "last": null, "invalid": false, "since": null
    },
    "tags": {"a": "b"}, "policy": "{}", "version_count": 2,
    "placement": {
        "job": "job-00000000000000000001", "keystore": "shared:cn-hangzhou", "policy": null, "protection_level": null,
        "earlier": null
    }
}"#;

/// Takes over one field after the other from an entry that is another in every field.
fn each_field_counts<T: Flip + DeserializeOwned>(entry: &str, other: &str) {
    let (entry, other): (Value, Value) = (serde_json::from_str(entry).unwrap(), serde_json::from_str(other).unwrap());
    let before: T = serde_json::from_value(entry.clone()).unwrap();
    assert_eq!(serde_json::to_value(&before).unwrap(), entry, "every field stands there");
    for field in entry.as_object().unwrap().keys() {
        assert_ne!(entry[field], other[field], "{field}");
        let mut changed = entry.clone();
        changed[field] = other[field].clone();
        let after: T = serde_json::from_value(changed).unwrap();
        let expected = if FLIPPED.contains(&field.as_str()) { Ok(()) } else { Err(format!("field {field} differs")) };
        assert_eq!(same_but_for_the_flip(&before, &after), expected);
        assert_eq!(same_but_for_the_flip(&after, &before), expected);
        assert_eq!(same_but_for_the_flip(&after, &after), Ok(()));
    }
}

#[test]
fn a_difference_in_any_field_is_named_unless_a_flip_makes_it() {
    each_field_counts::<KeyRecord>(KEY, OTHER_KEY);
    each_field_counts::<SecretRecord>(SECRET, OTHER_SECRET);
}

fn flips_and_returns<T: Flip + Clone + PartialEq + std::fmt::Debug + DeserializeOwned>(entry: &str) {
    let before: T = serde_json::from_str(entry).unwrap();
    let to = Destination {
        job: "job-00000000000000000002".parse().unwrap(),
        instance: "kst-b".parse().unwrap(),
        hardware: true,
    };
    let mut entry = before.clone();
    assert!(entry.flip(&to));
    assert_ne!(entry, before);
    assert_eq!(same_but_for_the_flip(&before, &entry), Ok(()));
    assert!(entry.flip_back(&to.job));
    assert_eq!(entry, before);
}

#[test]
fn a_flip_changes_nothing_but_what_it_may() {
    flips_and_returns::<KeyRecord>(KEY);
    flips_and_returns::<KeyRecord>(OTHER_KEY);
    flips_and_returns::<SecretRecord>(SECRET);
    flips_and_returns::<SecretRecord>(OTHER_SECRET);
}

/// The digest lies in plans.
#[test]
fn the_digest_of_an_entry_is_over_its_json() {
    let entry: KeyRecord = serde_json::from_str(OTHER_KEY).unwrap();
    let expected = hex::encode(Sha256::digest(serde_json::to_string(&entry).unwrap()));
    assert_eq!(entry_digest(&entry).unwrap(), expected);
}
