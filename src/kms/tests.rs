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

mod import;
mod locked;
mod symmetric;

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
    let many = futures::future::join_all((0..6).map(|_| async { kms.service.create_key(&me(), here(SMALL)).await })).await;
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
async fn a_scheduled_deletion_destroys_entry_material_and_aliases_when_it_is_due() {
    let kms = Kms::new().await;
    let service = &kms.service;
    let id = kms.key(&me(), NewKey::default()).await;
    let other = kms.key(&me(), NewKey::default()).await;
    for n in 0..45 {
        service.create_alias(&me(), &format!("alias/a{n}"), &id).await.unwrap();
    }
    service.create_alias(&me(), "alias/kept", &other).await.unwrap();
    service.create_key_version(&me(), &by_id(&id)).await.unwrap();
    service.schedule_key_deletion(&me(), &id, 7).await.unwrap();
    kms.clock.advance(DAY * 7 - Duration::from_secs(1));
    assert_eq!(service.run_due(service.clock.now()).await.unwrap(), DueReport::default());
    kms.clock.advance(Duration::from_secs(1));
    let incarnation = service.find(&me().scope(), &by_id(&id)).await.unwrap().incarnation.clone();
    let report = service.run_due(service.clock.now()).await.unwrap();
    assert_eq!(report, DueReport { deleted_keys: 1, ..DueReport::default() });
    assert!(matches!(service.describe_key(&me(), &by_id(&id)).await, Err(KmsError::KeyNotFound)));
    assert_eq!(service.list_aliases(&me()).await.unwrap(), [("alias/kept".to_owned(), other.clone())]);
    assert_eq!(service.list_keys(&me(), &KeyFilters::new()).await.unwrap(), [other]);
    assert!(service.catalogue.key_versions(&incarnation).await.unwrap().is_empty());
    assert!(service.catalogue.intents().await.unwrap().is_empty());
    for store in kms.stores.values() {
        let all = store.scan(b"", None, 10_000).await.unwrap();
        let left = all.entries.iter().filter(|(key, _)| String::from_utf8_lossy(key).contains(incarnation.as_str()));
        assert_eq!(left.count(), 0);
    }
    assert_eq!(service.run_due(service.clock.now()).await.unwrap(), DueReport::default());
}

#[tokio::test]
async fn what_an_earlier_process_left_is_swept() {
    let kms = Kms::new().await;
    let id = kms.key(&me(), NewKey::default()).await;
    let key = kms.service.find(&me().scope(), &by_id(&id)).await.unwrap();
    let left = kms.service.generate_version(&key).await.unwrap();
    let now = kms.service.clock.now();
    assert_eq!(kms.service.sweep_intents(now).await.unwrap(), 0);
    let next = Service { worker: "worker-2".into(), ..kms.service.clone() };
    assert_eq!(next.sweep_intents(now).await.unwrap(), 1);
    assert!(next.catalogue.intents().await.unwrap().is_empty());
    // The rest of the key is whole, and the late commit is too late.
    assert!(kms.service.encrypt(&me(), &by_id(&id), b"x", &BTreeMap::new()).await.is_ok());
    let guarded = kms.service.catalogue.guard(&me().scope()).await.unwrap();
    let (late, _) = kms.service.add_version(&guarded, key, &left, now).unwrap();
    assert!(kms.service.catalogue.commit(late).await.is_err());
}

#[tokio::test]
async fn rotation_makes_a_new_primary_version_when_it_is_due() {
    let kms = Kms::new().await;
    let service = &kms.service;
    let id = kms.key(&me(), NewKey { rotation: Some(DAY * 7), ..NewKey::default() }).await;
    let sealed = service.encrypt(&me(), &by_id(&id), b"old", &BTreeMap::new()).await.unwrap();
    kms.clock.advance(DAY * 7 - Duration::from_secs(1));
    assert_eq!(service.run_due(service.clock.now()).await.unwrap().rotated, 0);
    kms.clock.advance(Duration::from_secs(1));
    assert_eq!(service.run_due(service.clock.now()).await.unwrap().rotated, 1);
    assert_eq!(service.run_due(service.clock.now()).await.unwrap().rotated, 0);
    let view = service.describe_key(&me(), &by_id(&id)).await.unwrap();
    assert_eq!((view.key.version_count, view.key.rotation.last), (2, Some(service.clock.now())));
    assert_ne!(view.key.primary_version, Some(sealed.version.clone()));
    let opened = service.decrypt(&me(), &sealed.blob, &BTreeMap::new()).await.unwrap();
    assert_eq!((opened.plaintext.as_slice(), opened.version), (b"old".as_slice(), sealed.version));

    // Held back while the key is disabled, made up for when it is enabled again.
    service.disable_key(&me(), &id).await.unwrap();
    kms.clock.advance(DAY * 8);
    assert_eq!(service.run_due(service.clock.now()).await.unwrap().rotated, 0);
    let view = service.describe_key(&me(), &by_id(&id)).await.unwrap();
    assert_eq!(view.rotation, AutomaticRotation::Suspended);
    service.enable_key(&me(), &id).await.unwrap();
    assert_eq!(service.run_due(service.clock.now()).await.unwrap().rotated, 1);
    service.update_rotation_policy(&me(), &id, false, None).await.unwrap();
    kms.clock.advance(DAY * 30);
    assert_eq!(service.run_due(service.clock.now()).await.unwrap(), DueReport::default());
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

#[tokio::test]
async fn aliases_name_one_key_each() {
    let kms = Kms::new().await;
    let service = &kms.service;
    let (a, b) = (kms.key(&me(), NewKey::default()).await, kms.key(&me(), NewKey::default()).await);
    let name = KeyOrAlias::Alias("alias/x".to_owned());
    service.create_alias(&me(), "alias/x", &a).await.unwrap();
    assert!(matches!(service.create_alias(&me(), "alias/x", &b).await, Err(KmsError::AliasExists)));
    assert_eq!(service.describe_key(&me(), &name).await.unwrap().key.id, a);
    service.update_alias(&me(), "alias/x", &b).await.unwrap();
    assert_eq!(service.describe_key(&me(), &name).await.unwrap().key.id, b);
    assert!(service.list_aliases_of(&me(), &by_id(&a)).await.unwrap().is_empty());
    assert_eq!(service.list_aliases_of(&me(), &by_id(&b)).await.unwrap().len(), 1);
    service.delete_alias(&me(), "alias/x").await.unwrap();
    for refused in [
        service.delete_alias(&me(), "alias/x").await,
        service.update_alias(&me(), "alias/x", &a).await,
        service.describe_key(&me(), &name).await.map(|_| ()),
    ] {
        assert!(matches!(refused, Err(KmsError::AliasNotFound)));
    }
    for bad in ["x", "alias/", "alias/acs/ecs", "alias/a b", &format!("alias/{}", "x".repeat(250))] {
        let refused = service.create_alias(&me(), bad, &a).await;
        assert!(matches!(refused, Err(KmsError::InvalidParameterBecause { name: "AliasName", .. })), "{bad}");
    }
}

#[tokio::test]
async fn a_resource_has_at_most_twenty_tags() {
    let kms = Kms::new().await;
    let id = ResourceId::Key(kms.key(&me(), NewKey::default()).await);
    let tags = |range: std::ops::Range<u32>| -> TagMap { range.map(|n| (format!("k{n}"), "v".to_owned())).collect() };
    kms.service.tag_resource(&me(), &id, &tags(0..15)).await.unwrap();
    assert!(matches!(kms.service.tag_resource(&me(), &id, &tags(15..21)).await, Err(KmsError::LimitExceeded(_))));
    kms.service.tag_resource(&me(), &id, &tags(10..20)).await.unwrap();
    kms.service.untag_resource(&me(), &id, &["k0".to_owned(), "none".to_owned()]).await.unwrap();
    let ResourceId::Key(key) = &id else { panic!("a key") };
    assert_eq!(kms.service.key_tags(&me(), &by_id(key)).await.unwrap().1, tags(1..20));
}

#[tokio::test]
async fn service_keys_are_made_once_and_cannot_be_managed() {
    let kms = Kms::new().await;
    let (region, account): (RegionId, AccountId) = (me().region, me().account);
    assert_eq!(kms.service.ensure_service_keys(&region, &account).await.unwrap(), 2);
    assert_eq!(kms.service.ensure_service_keys(&region, &account).await.unwrap(), 0);
    let name = KeyOrAlias::Alias("alias/acs/ecs".to_owned());
    let view = kms.service.describe_key(&me(), &name).await.unwrap();
    assert_eq!((view.key.creator.as_str(), view.key.service.as_deref()), ("ecs", Some("ecs")));
    let id = view.key.id;
    let refused = [
        kms.service.disable_key(&me(), &id).await,
        kms.service.schedule_key_deletion(&me(), &id, 7).await.map(|_| ()),
        kms.service.create_alias(&me(), "alias/mine", &id).await,
        kms.service.create_key_version(&me(), &by_id(&id)).await.map(|_| ()),
        kms.service.tag_resource(&me(), &ResourceId::Key(id.clone()), &TagMap::new()).await,
    ];
    assert!(refused.iter().all(|r| matches!(r, Err(KmsError::UnsupportedOperation(_)))), "{refused:?}");
    assert!(kms.service.encrypt(&me(), &name, b"x", &BTreeMap::new()).await.is_ok());
}

#[tokio::test]
async fn lists_are_filtered_by_and_and_or() {
    let kms = Kms::new().await;
    let aes = kms.key(&me(), NewKey::default()).await;
    let ec = kms.key(&me(), NewKey { spec: KeySpec::EcP256, ..NewKey::default() }).await;
    let here = NewKey { instance: Some(INSTANCE.parse().unwrap()), ..NewKey::default() };
    let moved = kms.key(&me(), here).await;
    kms.service.disable_key(&me(), &ec).await.unwrap();
    kms.service.create_alias(&me(), "alias/x", &aes).await.unwrap();
    let list = |filters: Vec<(KeyFilter, Vec<&str>)>| {
        let filters: KeyFilters = filters
            .into_iter()
            .map(|(f, v)| (f, v.into_iter().map(str::to_owned).collect::<BTreeSet<String>>()))
            .collect();
        let service = &kms.service;
        async move { service.list_keys(&me(), &filters).await.unwrap() }
    };
    assert_eq!(list(vec![]).await, [aes.clone(), ec.clone(), moved.clone()]);
    assert_eq!(list(vec![(KeyFilter::State, vec!["Disabled"])]).await, [ec.clone()]);
    assert_eq!(list(vec![(KeyFilter::State, vec!["Disabled", "Enabled"])]).await.len(), 3);
    let both = vec![(KeyFilter::State, vec!["Enabled"]), (KeyFilter::Instance, vec![INSTANCE])];
    assert_eq!(list(both).await, [moved]);
    assert_eq!(list(vec![(KeyFilter::Alias, vec!["alias/x"])]).await, [aes.clone()]);
    assert_eq!(list(vec![(KeyFilter::Spec, vec!["EC_P256"])]).await, [ec]);
    assert!(list(vec![(KeyFilter::CreatorType, vec!["Service"])]).await.is_empty());
}

#[tokio::test]
async fn asymmetric_keys_sign_and_decrypt_by_version() {
    let kms = Kms::new().await;
    let service = &kms.service;
    let digest: [u8; 32] = Sha256::digest(b"message").into();
    for (spec, algorithm) in [
        (KeySpec::EcP256, SignAlgorithm::EcdsaSha256),
        (KeySpec::EcP256k, SignAlgorithm::EcdsaSha256),
        (KeySpec::Rsa2048, SignAlgorithm::RsaPssSha256),
        (KeySpec::Rsa2048, SignAlgorithm::RsaPkcs1Sha256),
    ] {
        let key = service.create_key(&me(), NewKey { spec, ..NewKey::default() }).await.unwrap().key;
        let (name, version) = (by_id(&key.id), key.primary_version.unwrap().to_string());
        let signed = service.asymmetric_sign(&me(), &name, &version, algorithm, &digest).await.unwrap();
        let verify = |digest: [u8; 32]| {
            let (name, version, value) = (&name, &version, &signed.value);
            async move { service.asymmetric_verify(&me(), name, version, algorithm, &digest, value).await.unwrap().value }
        };
        assert!(verify(digest).await && !verify([0; 32]).await);
        let short = service.asymmetric_sign(&me(), &name, &version, algorithm, &digest[..31]).await;
        assert!(matches!(short, Err(KmsError::InvalidParameter("Digest"))));
        let pem = service.get_public_key(&me(), &name, &version).await.unwrap().value;
        assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----"));
        let other = service.new_version_id().to_string();
        let unknown = service.get_public_key(&me(), &name, &other).await;
        assert!(matches!(unknown, Err(KmsError::KeyVersionNotFound)));
        let usage = service.asymmetric_encrypt(&me(), &name, &version, DecryptAlgorithm::OaepSha256, b"x").await;
        assert!(matches!(usage, Err(KmsError::UnsupportedOperation(_))));
    }
    let new = NewKey { spec: KeySpec::Rsa2048, usage: Some(KeyUsage::EncryptDecrypt), ..NewKey::default() };
    let key = service.create_key(&me(), new).await.unwrap().key;
    let (name, version) = (by_id(&key.id), key.primary_version.unwrap().to_string());
    for algorithm in DecryptAlgorithm::ALL {
        let mut made = service.asymmetric_encrypt(&me(), &name, &version, algorithm, b"text").await.unwrap();
        let opened = service.asymmetric_decrypt(&me(), &name, &version, algorithm, &made.value).await.unwrap();
        assert_eq!(opened.value.as_slice(), b"text");
        made.value[9] ^= 1;
        let damaged = service.asymmetric_decrypt(&me(), &name, &version, algorithm, &made.value).await;
        assert!(matches!(damaged, Err(KmsError::InvalidParameter("CiphertextBlob"))));
    }
    let long = service.asymmetric_encrypt(&me(), &name, &version, DecryptAlgorithm::OaepSha256, &[0; 191]).await;
    assert!(matches!(long, Err(KmsError::InvalidParameter("Plaintext"))));
}

#[tokio::test]
async fn an_unknown_scope_has_no_keys() {
    let kms = Kms::new().await;
    kms.key(&me(), NewKey::default()).await;
    let scope = Scope { account: STRANGER.parse().unwrap(), ..me().scope() };
    assert!(kms.service.catalogue.keys(&scope).await.unwrap().is_empty());
}
