//! The life of keys over real keystores in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::testing::{FRIEND, INSTANCE, Kms, OWNER, SMALL, STRANGER, caller};
use super::*;
use crate::catalogue::KeyOrAlias;
use crate::crypto::material::{DecryptAlgorithm, SignAlgorithm};
use crate::model::{
    AccountId, KeyId, KeyOrigin, KeySpec, KeyState, KeyUsage, ProtectionLevel, RegionId, ResourceId, Scope, TagMap,
};

mod asymmetric;
mod clock;
mod due;
mod import;
mod locked;
mod mac;
mod naming;
mod policy;
mod reencryption;
mod sharing;
mod symmetric;
mod withdrawal;

const DAY: Duration = Duration::from_secs(86_400);

fn by_id(id: &KeyId) -> KeyOrAlias {
    KeyOrAlias::Id(id.clone())
}

fn me() -> Caller {
    caller(OWNER)
}

async fn state(kms: &Kms, id: &KeyId) -> &'static str {
    kms.service.describe_key(&me(), &by_id(id)).await.unwrap().state.as_str()
}

#[tokio::test]
async fn a_new_key_has_one_version_and_the_defaults_of_its_spec() {
    let kms = Kms::new().await;
    for (spec, usage) in [
        (KeySpec::Aes256, KeyUsage::EncryptDecrypt),
        (KeySpec::Aes128, KeyUsage::EncryptDecrypt),
        (KeySpec::EcP256, KeyUsage::SignVerify),
        (KeySpec::EcP256k, KeyUsage::SignVerify),
        (KeySpec::Rsa2048, KeyUsage::SignVerify),
    ] {
        let view = kms.service.create_key(&me(), NewKey { spec, ..NewKey::default() }).await.unwrap();
        assert_eq!((view.key.usage, view.state, view.key.version_count), (usage, KeyState::Enabled, 1));
        assert_eq!(kms.service.describe_key(&me(), &by_id(&view.key.id)).await.unwrap(), view);
        assert!(matches!(
            kms.service.describe_key(&caller(STRANGER), &by_id(&view.key.id)).await,
            Err(KmsError::KeyNotFound)
        ));
        assert_eq!(kms.service.list_key_versions(&me(), &by_id(&view.key.id)).await.unwrap().1.len(), 1);
    }
    assert!(kms.service.catalogue.intents().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_does_not_fit_together_is_refused() {
    let kms = Kms::new().await;
    let create = |new: NewKey| async { kms.service.create_key(&me(), new).await.map(|_| ()) };
    let usage = NewKey { usage: Some(KeyUsage::SignVerify), ..NewKey::default() };
    assert!(matches!(create(usage).await, Err(KmsError::InvalidParameterBecause { name: "KeyUsage", .. })));
    let external = NewKey { spec: KeySpec::EcP256, origin: KeyOrigin::External, ..NewKey::default() };
    assert!(matches!(create(external).await, Err(KmsError::UnsupportedOrigin)));
    let rotating = NewKey { origin: KeyOrigin::External, rotation: Some(DAY * 7), ..NewKey::default() };
    assert!(matches!(create(rotating).await, Err(KmsError::UnsupportedOrigin)));
    let rotating = NewKey { spec: KeySpec::Rsa2048, rotation: Some(DAY * 7), ..NewKey::default() };
    assert!(matches!(create(rotating).await, Err(KmsError::UnsupportedOperation(_))));
    let hsm = NewKey { protection: Some(ProtectionLevel::Hsm), ..NewKey::default() };
    assert!(matches!(create(hsm).await, Err(KmsError::UnsupportedProtectionLevel)));
    let policy = NewKey { policy: Some("{}".to_owned()), ..NewKey::default() };
    assert!(matches!(create(policy).await, Err(KmsError::InvalidParameterBecause { name: "Policy", .. })));
    let unknown = NewKey { instance: Some("kst-nowhere".parse().unwrap()), ..NewKey::default() };
    assert!(matches!(create(unknown).await, Err(KmsError::InstanceNotFound)));
    assert!(kms.service.list_keys(&me(), &KeyFilters::new()).await.unwrap().is_empty());
}

#[tokio::test]
async fn instances_take_keys_of_their_accounts_up_to_their_quota() {
    let kms = Kms::new().await;
    let here = |id: &str| NewKey { instance: Some(id.parse().unwrap()), ..NewKey::default() };
    let view = kms.service.create_key(&me(), here(INSTANCE)).await.unwrap();
    assert!(view.key.id.as_str().starts_with("key-hzz"), "{}", view.key.id);
    assert!(view.key.policy.is_some());
    assert!(kms.service.create_key(&caller(FRIEND), here(INSTANCE)).await.is_ok());
    let refused = kms.service.create_key(&caller(STRANGER), here(INSTANCE)).await;
    assert!(matches!(refused, Err(KmsError::InstanceNotFound)));
    // Many at once: the quota holds also between a check and its commit.
    let many =
        futures::future::join_all((0..6).map(|_| async { kms.service.create_key(&me(), here(SMALL)).await })).await;
    assert_eq!(many.iter().filter(|made| made.is_ok()).count(), 2);
    assert!(many.iter().filter_map(|made| made.as_ref().err()).all(|e| matches!(e, KmsError::LimitExceeded(_))));
    assert!(kms.service.catalogue.intents().await.unwrap().is_empty());
}

#[tokio::test]
async fn states_change_as_documented() {
    let kms = Kms::new().await;
    let (service, id) = (&kms.service, kms.key(&me(), NewKey::default()).await);
    service.disable_key(&me(), &id).await.unwrap();
    service.disable_key(&me(), &id).await.unwrap();
    assert_eq!(state(&kms, &id).await, "Disabled");
    assert!(matches!(service.cancel_key_deletion(&me(), &id).await, Err(KmsError::StateModifiedFailed)));
    service.set_deletion_protection(&me(), &id, true, "prod").await.unwrap();
    assert!(matches!(service.schedule_key_deletion(&me(), &id, 7).await, Err(KmsError::DeletionProtected)));
    service.set_deletion_protection(&me(), &id, false, "").await.unwrap();
    service.schedule_key_deletion(&me(), &id, 7).await.unwrap();
    assert!(matches!(service.schedule_key_deletion(&me(), &id, 7).await, Err(KmsError::KeyState("PendingDeletion"))));
    for refused in [service.enable_key(&me(), &id).await, service.disable_key(&me(), &id).await] {
        assert!(matches!(refused, Err(KmsError::StateModifiedFailed)));
    }
    assert!(matches!(service.create_alias(&me(), "alias/a", &id).await, Err(KmsError::StateModifiedFailed)));
    service.cancel_key_deletion(&me(), &id).await.unwrap();
    assert_eq!(state(&kms, &id).await, "Enabled");
}

#[tokio::test]
async fn a_nonce_is_used_once() {
    let kms = Kms::new().await;
    let (who, id) = (me(), kms.key(&me(), NewKey::default()).await);
    kms.service.disable_key(&who, &id).await.unwrap();
    assert!(matches!(kms.service.enable_key(&who, &id).await, Err(KmsError::NonceUsed)));
    assert_eq!(state(&kms, &id).await, "Disabled");
}

#[tokio::test]
async fn versions_are_made_up_to_fifty() {
    let kms = Kms::new().await;
    let id = kms.key(&me(), NewKey::default()).await;
    for _ in 1..50 {
        kms.service.create_key_version(&me(), &by_id(&id)).await.unwrap();
    }
    let over = kms.service.create_key_version(&me(), &by_id(&id)).await;
    assert!(matches!(over, Err(KmsError::LimitExceeded(_))));
    let (_, versions) = kms.service.list_key_versions(&me(), &by_id(&id)).await.unwrap();
    assert!(versions.iter().zip(1..=50).all(|(version, number)| version.number == number) && versions.len() == 50);
    // The primary version of an asymmetric key stays.
    let ec = kms.key(&me(), NewKey { spec: KeySpec::EcP256, ..NewKey::default() }).await;
    let first = kms.service.describe_key(&me(), &by_id(&ec)).await.unwrap().key.primary_version;
    kms.service.create_key_version(&me(), &by_id(&ec)).await.unwrap();
    assert_eq!(kms.service.describe_key(&me(), &by_id(&ec)).await.unwrap().key.primary_version, first);
}
