//! Secrets as tests make them.

use std::time::Duration;

use zeroize::Zeroizing;

use super::{NewSecret, NewValue, RotationOrder};
pub(super) use crate::kms::testing::*;
use crate::model::{SecretType, TagMap};

pub(super) fn generic(name: &str, value: &str) -> NewSecret {
    NewSecret {
        name: name.to_owned(),
        secret_type: SecretType::Generic,
        value: bytes(value),
        binary: false,
        version: "v1".parse().unwrap(),
        description: String::new(),
        encryption_key: None,
        instance: None,
        extended_config: None,
        rotation: RotationOrder::default(),
        tags: TagMap::new(),
        policy: None,
    }
}

pub(in crate::kms) fn rds(name: &str) -> NewSecret {
    NewSecret {
        secret_type: SecretType::Rds,
        value: bytes(r#"{"Accounts":[{"AccountName":"app","AccountPassword":"p1"}]}"#),
        extended_config: Some(r#"{"SecretSubType":"SingleUser","DBInstanceId":"rm-1"}"#.to_owned()),
        rotation: RotationOrder { enabled: true, interval: Some(Duration::from_secs(7 * 86_400)) },
        ..generic(name, "")
    }
}

pub(super) fn value_of(name: &str, version: &str, value: &str) -> NewValue {
    NewValue {
        name: name.parse().unwrap(),
        version: version.parse().unwrap(),
        value: bytes(value),
        binary: false,
        stages: None,
    }
}

pub(super) fn bytes(text: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(text.as_bytes().to_vec())
}
