#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::time::Duration;

use super::testing::{INSTANCE, Kms, OWNER, SMALL, STRANGER, bytes, caller, generic, rds, value_of};
use super::*;
use crate::catalogue::KeyOrAlias;
use crate::kms::NewKey;
use crate::model::{KeySpec, KeystoreId, SecretType, SecretVersionId};

const DAY: Duration = Duration::from_secs(86_400);

fn id(text: &str) -> SecretVersionId {
    text.parse().unwrap()
}

fn name(text: &str) -> SecretName {
    text.parse().unwrap()
}

async fn read(kms: &Kms, secret: &str, which: WhichVersion) -> Result<String, KmsError> {
    let found = kms.service.get_secret_value(&caller(OWNER), &name(secret), &which).await?;
    Ok(String::from_utf8(found.value.to_vec()).unwrap())
}

fn stage(text: &str) -> WhichVersion {
    WhichVersion { id: None, stage: Some(text.to_owned()) }
}

async fn stages(kms: &Kms, secret: &str) -> Vec<(String, Vec<String>)> {
    let versions = kms.service.list_secret_versions(&caller(OWNER), &name(secret), true).await.unwrap();
    versions.into_iter().map(|v| (v.id.to_string(), v.stages.into_iter().collect())).collect()
}

/// How many records of resources the keystore keeps: a head each, a record each version.
async fn records(kms: &Kms, keystore: &KeystoreId) -> usize {
    kms.stores[keystore].scan(b"m/", Some(b"m0"), 1000).await.unwrap().entries.len()
}

fn shared() -> KeystoreId {
    "shared:cn-hangzhou".parse().unwrap()
}

#[tokio::test]
async fn values_come_back_under_the_system_key_and_under_a_key() {
    let kms = Kms::new().await;
    let who = caller(OWNER);
    let key = kms.key(&who, NewKey::default()).await;
    kms.service.create_secret(&caller(OWNER), &generic("plain", "one")).await.unwrap();
    let under = NewSecret { encryption_key: Some(KeyOrAlias::Id(key.clone())), ..generic("under", "two") };
    let made = kms.service.create_secret(&caller(OWNER), &under).await.unwrap();
    assert_eq!(made.secret.encryption_key, Some(key.clone()));
    assert_eq!(read(&kms, "plain", WhichVersion::default()).await.unwrap(), "one");
    assert_eq!(read(&kms, "under", WhichVersion::default()).await.unwrap(), "two");
    let under = kms.service.catalogue.secrets_under(&who.region, &key).await.unwrap();
    assert_eq!(under, vec![(who.account.clone(), name("under"))]);
    assert!(kms.service.catalogue.intents().await.unwrap().is_empty());

    kms.service.disable_key(&caller(OWNER), &key).await.unwrap();
    let refused = read(&kms, "under", WhichVersion::default()).await;
    assert!(matches!(refused, Err(KmsError::KeyState("Disabled"))));
    assert_eq!(read(&kms, "plain", WhichVersion::default()).await.unwrap(), "one");
}

#[tokio::test]
async fn a_value_under_a_key_is_nowhere_in_the_clear_nor_readable_without_the_key() {
    let kms = Kms::new().await;
    let key = kms.key(&caller(OWNER), NewKey::default()).await;
    let order = NewSecret { encryption_key: Some(KeyOrAlias::Id(key)), ..generic("s", "correct horse battery") };
    kms.service.create_secret(&caller(OWNER), &order).await.unwrap();
    for store in kms.stores.values().chain([kms.service.catalogue.store()]) {
        for (_, entry) in store.scan(b"", None, 1000).await.unwrap().entries {
            assert!(!entry.value.windows(5).any(|window| window == b"horse"));
        }
    }
}

#[tokio::test]
async fn a_foreign_or_unsuitable_key_is_refused() {
    let kms = Kms::new().await;
    let foreign = kms.key(&caller(STRANGER), NewKey::default()).await;
    let rsa = kms.key(&caller(OWNER), NewKey { spec: KeySpec::EcP256, ..NewKey::default() }).await;
    let own = kms.key(&caller(OWNER), NewKey { instance: Some(INSTANCE.parse().unwrap()), ..NewKey::default() }).await;
    let with = |key, instance: Option<&str>| NewSecret {
        encryption_key: Some(KeyOrAlias::Id(key)),
        instance: instance.map(|text| text.parse().unwrap()),
        ..generic("s", "x")
    };
    let create = async |order| kms.service.create_secret(&caller(OWNER), &order).await;
    assert!(matches!(create(with(foreign, None)).await, Err(KmsError::KeyNotFound)));
    let refused = create(with(rsa, None)).await;
    assert!(matches!(refused, Err(KmsError::InvalidParameterBecause { name: "EncryptionKeyId", .. })));
    let refused = create(with(own.clone(), Some(SMALL))).await;
    assert!(matches!(refused, Err(KmsError::InvalidParameterBecause { name: "EncryptionKeyId", .. })));
    let made = create(with(own, None)).await.unwrap();
    assert_eq!(made.secret.keystore, INSTANCE.parse().unwrap(), "a secret lies where its key lies");
    assert!(made.secret.policy.is_some_and(|policy| policy.contains("kms default secret policy")));
    assert_eq!(records(&kms, &shared()).await, 4, "the two keys, and nothing of what was refused");
}

#[tokio::test]
async fn an_instance_is_for_its_accounts_and_up_to_its_quota() {
    let kms = Kms::new().await;
    let inside = |text: &str| NewSecret { instance: Some(SMALL.parse().unwrap()), ..generic(text, "x") };
    let refused = kms.service.create_secret(&caller(STRANGER), &inside("a")).await;
    assert!(matches!(refused, Err(KmsError::InstanceNotFound)));
    for text in ["a", "b"] {
        kms.service.create_secret(&caller(OWNER), &inside(text)).await.unwrap();
    }
    let refused = kms.service.create_secret(&caller(OWNER), &inside("c")).await;
    assert!(matches!(refused, Err(KmsError::LimitExceeded(_))));
    kms.service.delete_secret(&caller(OWNER), &name("a"), Deletion::Forced).await.unwrap();
    kms.service.create_secret(&caller(OWNER), &inside("c")).await.unwrap();
    assert_eq!(kms.service.catalogue.quota(&SMALL.parse().unwrap()).await.unwrap().used.secrets, 2);
}

#[tokio::test]
async fn new_values_move_the_stages() {
    let kms = Kms::new().await;
    kms.service.create_secret(&caller(OWNER), &generic("s", "1")).await.unwrap();
    for (version, value) in [("v2", "2"), ("v3", "3")] {
        kms.service.put_secret_value(&caller(OWNER), &value_of("s", version, value)).await.unwrap();
    }
    let custom = NewValue { stages: Some(vec!["canary".to_owned()]), ..value_of("s", "v4", "4") };
    let given = kms.service.put_secret_value(&caller(OWNER), &custom).await.unwrap();
    assert_eq!(given, BTreeSet::from(["canary".to_owned()]));
    let expected = [("v1", vec![]), ("v2", vec![PREVIOUS]), ("v3", vec![CURRENT]), ("v4", vec!["canary"])];
    let found = stages(&kms, "s").await;
    let found: Vec<(&str, Vec<&str>)> =
        found.iter().map(|(v, s)| (v.as_str(), s.iter().map(String::as_str).collect())).collect();
    assert_eq!(found, expected);
    assert_eq!(read(&kms, "s", WhichVersion::default()).await.unwrap(), "3");
    assert_eq!(read(&kms, "s", stage(PREVIOUS)).await.unwrap(), "2");
    assert_eq!(read(&kms, "s", stage("canary")).await.unwrap(), "4");
    assert_eq!(read(&kms, "s", WhichVersion { id: Some("v1".to_owned()), stage: None }).await.unwrap(), "1");
    assert!(matches!(read(&kms, "s", stage("none")).await, Err(KmsError::ResourceNotFound)));
    let staged = kms.service.list_secret_versions(&caller(OWNER), &name("s"), false).await.unwrap();
    assert_eq!(staged.len(), 3);
}

#[tokio::test]
async fn a_version_is_written_once() {
    let kms = Kms::new().await;
    kms.service.create_secret(&caller(OWNER), &generic("s", "1")).await.unwrap();
    kms.service.put_secret_value(&caller(OWNER), &value_of("s", "v2", "2")).await.unwrap();
    let before = (stages(&kms, "s").await, records(&kms, &shared()).await);
    let again = kms.service.put_secret_value(&caller(OWNER), &value_of("s", "v1", "1")).await.unwrap();
    assert_eq!(again, BTreeSet::from([PREVIOUS.to_owned()]), "the stages it has, none moved");
    let other = kms.service.put_secret_value(&caller(OWNER), &value_of("s", "v1", "other")).await;
    assert!(matches!(other, Err(KmsError::ResourceExists)));
    // The vendor compares ID and value alone.
    let binary = NewValue { binary: true, ..value_of("s", "v1", "1") };
    assert_eq!(kms.service.put_secret_value(&caller(OWNER), &binary).await.unwrap(), again);
    assert_eq!((stages(&kms, "s").await, records(&kms, &shared()).await), before);
}

#[tokio::test]
async fn two_requests_with_one_id_and_value_both_succeed() {
    let kms = Kms::new().await;
    kms.service.create_secret(&caller(OWNER), &generic("s", "1")).await.unwrap();
    let put = || async { kms.service.put_secret_value(&caller(OWNER), &value_of("s", "v2", "2")).await };
    let (a, b, c) = tokio::join!(put(), put(), put());
    assert!(a.is_ok() && b.is_ok() && c.is_ok(), "{:?}", (a.err(), b.err(), c.err()));
    assert_eq!(stages(&kms, "s").await.len(), 2);
    assert_eq!(records(&kms, &shared()).await, 3, "head and two values");
    assert!(kms.service.catalogue.intents().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_oldest_version_without_a_stage_makes_room_and_is_destroyed() {
    let kms = Kms::new().await;
    kms.service.create_secret(&caller(OWNER), &generic("s", "0")).await.unwrap();
    let keep = NewValue { stages: Some(vec!["keep".to_owned()]), ..value_of("s", "kept", "k") };
    kms.service.put_secret_value(&caller(OWNER), &keep).await.unwrap();
    for n in 2..=MAX_VERSIONS {
        kms.service.put_secret_value(&caller(OWNER), &value_of("s", &format!("w{n}"), &n.to_string())).await.unwrap();
    }
    let found = stages(&kms, "s").await;
    assert_eq!(found.len(), MAX_VERSIONS);
    assert!(found.iter().all(|(version, _)| version != "v1"), "the oldest went");
    assert_eq!(read(&kms, "s", stage("keep")).await.unwrap(), "k");
    assert_eq!(records(&kms, &shared()).await, MAX_VERSIONS + 1, "its value is destroyed");
    let secret = kms.service.describe_secret(&caller(OWNER), &name("s")).await.unwrap();
    assert_eq!(secret.version_count, u32::try_from(MAX_VERSIONS).unwrap());
}

#[tokio::test]
async fn stages_move_by_their_rules() {
    let kms = Kms::new().await;
    kms.service.create_secret(&caller(OWNER), &generic("s", "1")).await.unwrap();
    for version in ["v2", "v3"] {
        kms.service.put_secret_value(&caller(OWNER), &value_of("s", version, version)).await.unwrap();
    }
    let shift = |stage: &str, to: Option<&str>, from: Option<&str>| {
        let order = StageMove { stage: stage.to_owned(), to: to.map(id), from: from.map(id) };
        let service = kms.service.clone();
        async move { service.update_secret_version_stage(&caller(OWNER), &name("s"), &order).await }
    };
    shift(CURRENT, Some("v1"), Some("v3")).await.unwrap();
    let list = |s: &[&str]| s.iter().map(|t| (*t).to_owned()).collect::<Vec<String>>();
    assert_eq!(
        stages(&kms, "s").await,
        vec![("v1".into(), list(&[CURRENT])), ("v2".into(), vec![]), ("v3".into(), list(&[PREVIOUS]))]
    );
    shift("blue", Some("v2"), None).await.unwrap();
    shift("blue", Some("v1"), None).await.unwrap();
    assert_eq!(stages(&kms, "s").await[0].1, list(&[CURRENT, "blue"]));
    shift("blue", None, Some("v1")).await.unwrap();
    assert_eq!(stages(&kms, "s").await[0].1, list(&[CURRENT]));
    assert!(matches!(shift(CURRENT, None, Some("v1")).await, Err(KmsError::MissingParameter("MoveToVersion"))));
    assert!(matches!(shift("blue", None, None).await, Err(KmsError::MissingParameter("MoveToVersion"))));
    let wrong = shift(CURRENT, Some("v2"), Some("v3")).await;
    assert!(matches!(wrong, Err(KmsError::InvalidParameterBecause { name: "RemoveFromVersion", .. })));
    assert!(matches!(shift(CURRENT, Some("v9"), None).await, Err(KmsError::ResourceNotFound)));
}

#[tokio::test]
async fn a_deleted_secret_waits_and_can_be_restored() {
    let kms = Kms::new().await;
    kms.service.create_secret(&caller(OWNER), &generic("s", "1")).await.unwrap();
    assert!(matches!(kms.service.restore_secret(&caller(OWNER), &name("s")).await, Err(KmsError::ResourceInUse)));
    let now = kms.service.clock.now();
    let at = kms.service.delete_secret(&caller(OWNER), &name("s"), Deletion::Window(7)).await.unwrap();
    assert_eq!(at.duration_since(now).as_secs(), 7 * 86_400);
    let refused = kms.service.create_secret(&caller(OWNER), &generic("s", "2")).await;
    assert!(matches!(refused, Err(KmsError::InDeleteWindow)));
    assert!(matches!(read(&kms, "s", WhichVersion::default()).await, Err(KmsError::InDeleteWindow)));
    let put = kms.service.put_secret_value(&caller(OWNER), &value_of("s", "v2", "2")).await;
    assert!(matches!(put, Err(KmsError::InDeleteWindow)));
    kms.service.restore_secret(&caller(OWNER), &name("s")).await.unwrap();
    assert_eq!(read(&kms, "s", WhichVersion::default()).await.unwrap(), "1");
}

#[tokio::test]
async fn deletion_by_force_and_at_the_end_of_the_window_leaves_nothing() {
    let kms = Kms::new().await;
    for secret in ["now", "later"] {
        kms.service.create_secret(&caller(OWNER), &generic(secret, "1")).await.unwrap();
        kms.service.put_secret_value(&caller(OWNER), &value_of(secret, "v2", "2")).await.unwrap();
    }
    kms.service.delete_secret(&caller(OWNER), &name("now"), Deletion::Forced).await.unwrap();
    assert!(matches!(read(&kms, "now", WhichVersion::default()).await, Err(KmsError::ResourceNotFound)));
    assert_eq!(records(&kms, &shared()).await, 3);
    kms.service.delete_secret(&caller(OWNER), &name("later"), Deletion::Window(7)).await.unwrap();
    kms.clock.advance(7 * DAY - Duration::from_secs(1));
    kms.service.run_due(kms.service.clock.now()).await.unwrap();
    assert_eq!(records(&kms, &shared()).await, 3);
    kms.clock.advance(Duration::from_secs(1));
    kms.service.run_due(kms.service.clock.now()).await.unwrap();
    assert_eq!(records(&kms, &shared()).await, 0);
    assert!(kms.service.catalogue.secrets(&caller(OWNER).scope()).await.unwrap().is_empty());
    kms.service.create_secret(&caller(OWNER), &generic("now", "again")).await.unwrap();
    assert_eq!(read(&kms, "now", WhichVersion::default()).await.unwrap(), "again");
}

#[tokio::test]
async fn managed_secrets_have_their_shapes() {
    let kms = Kms::new().await;
    let made = kms.service.create_secret(&caller(OWNER), &rds("db")).await.unwrap();
    let rotation = made.secret.rotation;
    assert_eq!(rotation.next(), made.secret.created_at.checked_add(jiff::SignedDuration::from_hours(168)).ok());
    let value: serde_json::Value = serde_json::from_str(&read(&kms, "db", stage(CURRENT)).await.unwrap()).unwrap();
    assert_eq!(value, serde_json::json!({"AccountName": "app", "AccountPassword": "p1"}));
    // The ID is ignored for managed types; custom stages are refused.
    let by_id = WhichVersion { id: Some("nonsense".to_owned()), stage: None };
    assert!(read(&kms, "db", by_id).await.is_ok());
    assert!(matches!(read(&kms, "db", stage("x")).await, Err(KmsError::InvalidParameterBecause { .. })));
    assert!(matches!(read(&kms, "db", stage(PREVIOUS)).await, Err(KmsError::ResourceNotFound)));
    let put = kms.service.put_secret_value(&caller(OWNER), &value_of("db", "v2", "2")).await;
    assert!(matches!(put, Err(KmsError::UnsupportedOperation(_))));

    let ram = NewSecret {
        secret_type: SecretType::RAMCredentials,
        value: bytes(
            r#"{"AccessKeys":[{"AccessKeyId":"a","AccessKeySecret":"b"},{"AccessKeyId":"c","AccessKeySecret":"d"}]}"#,
        ),
        extended_config: Some(r#"{"SecretSubType":"RamUserAccessKey","UserName":"alice"}"#.to_owned()),
        ..generic("$Auto", "")
    };
    let made = kms.service.create_secret(&caller(OWNER), &ram).await.unwrap();
    assert_eq!(made.secret.name.as_str(), "acs/ram/user/alice");
    assert!(read(&kms, "acs/ram/user/alice", stage(CURRENT)).await.unwrap().contains(r#""AccessKeyId":"a""#));
    assert!(read(&kms, "acs/ram/user/alice", stage(PREVIOUS)).await.unwrap().contains(r#""AccessKeyId":"c""#));

    let ecs = NewSecret {
        secret_type: SecretType::ECS,
        value: bytes(r#"{"UserName":"root","Password":"x"}"#),
        extended_config: Some(
            r#"{"SecretSubType":"Password","RegionId":"cn-hangzhou","InstanceId":"i-1","CustomData":{"a":"b"}}"#
                .to_owned(),
        ),
        ..generic("acs/ecs/web", "")
    };
    let made = kms.service.create_secret(&caller(OWNER), &ecs).await.unwrap();
    assert!(made.secret.extended_config.contains(r#""CustomData":{"a":"b"}"#));
}

#[tokio::test]
async fn what_does_not_fit_the_type_is_refused_and_leaves_nothing() {
    let kms = Kms::new().await;
    let ecs = |name: &str, sub: &str| NewSecret {
        secret_type: SecretType::ECS,
        value: bytes(r#"{"UserName":"root","Password":"x"}"#),
        extended_config: Some(format!(r#"{{"SecretSubType":"{sub}","RegionId":"r","InstanceId":"i"}}"#)),
        ..generic(name, "")
    };
    let interval = Some(DAY);
    let wrong: Vec<(&str, NewSecret)> = vec![
        ("reserved name", generic("acs/x", "1")),
        ("empty value", generic("s", "")),
        ("large value", generic("s", &"x".repeat(MAX_VALUE + 1))),
        ("rotating Generic", NewSecret { rotation: RotationOrder { enabled: true, interval }, ..generic("s", "1") }),
        ("policy in the shared KMS", NewSecret { policy: Some("{}".to_owned()), ..generic("s", "1") }),
        ("no configuration", NewSecret { extended_config: None, ..rds("s") }),
        (
            "no database",
            NewSecret { extended_config: Some(r#"{"SecretSubType":"SingleUser"}"#.to_owned()), ..rds("s") },
        ),
        ("binary", NewSecret { binary: true, ..rds("s") }),
        ("not the shape", NewSecret { value: bytes(r#"{"AccountName":"a"}"#), ..rds("s") }),
        ("no interval", NewSecret { rotation: RotationOrder { enabled: true, interval: None }, ..rds("s") }),
        ("ECS name", ecs("web", "Password")),
        ("SSH key without a key", ecs("acs/ecs/web", "SSHKey")),
    ];
    for (what, order) in wrong {
        assert!(kms.service.create_secret(&caller(OWNER), &order).await.is_err(), "{what}");
    }
    assert!(kms.service.create_secret(&caller(OWNER), &generic("s", &"x".repeat(MAX_VALUE))).await.is_ok());
    assert_eq!(records(&kms, &shared()).await, 3, "the last one alone: a head and two chunks");
}

#[tokio::test]
async fn settings_change() {
    let kms = Kms::new().await;
    kms.service.create_secret(&caller(OWNER), &rds("db")).await.unwrap();
    kms.service.create_secret(&caller(OWNER), &generic("s", "1")).await.unwrap();
    let custom = serde_json::from_str(r#"{"team":"x"}"#).unwrap();
    let changes = SecretChanges { description: Some("new".to_owned()), custom_data: Some(custom) };
    kms.service.update_secret(&caller(OWNER), &name("db"), &changes).await.unwrap();
    let secret = kms.service.describe_secret(&caller(OWNER), &name("db")).await.unwrap();
    assert_eq!(secret.description, "new");
    assert!(secret.extended_config.contains(r#""team":"x""#) && secret.extended_config.contains("rm-1"));

    let order = |enabled, interval| RotationOrder { enabled, interval };
    let set =
        async |secret: &str, order| kms.service.update_secret_rotation(&caller(OWNER), &name(secret), order).await;
    assert!(matches!(set("s", order(true, Some(DAY))).await, Err(KmsError::UnsupportedOperation(_))));
    assert!(matches!(set("db", order(true, None)).await, Err(KmsError::MissingParameter("RotationInterval"))));
    set("db", order(false, None)).await.unwrap();
    let rotation = kms.service.describe_secret(&caller(OWNER), &name("db")).await.unwrap().rotation;
    assert_eq!((rotation.enabled, rotation.interval, rotation.next()), (false, Some(7 * DAY), None));
    kms.clock.advance(30 * DAY);
    set("db", order(true, Some(DAY))).await.unwrap();
    let next = kms.service.describe_secret(&caller(OWNER), &name("db")).await.unwrap().rotation.next().unwrap();
    assert_eq!(next.duration_since(kms.service.clock.now()).as_secs(), 86_400, "counted from when it was switched on");
}

#[tokio::test]
async fn lists_page_and_filter() {
    let kms = Kms::new().await;
    for n in 0..5 {
        kms.service.create_secret(&caller(OWNER), &generic(&format!("app-{n}"), "1")).await.unwrap();
        kms.clock.advance(Duration::from_secs(1));
    }
    kms.service.create_secret(&caller(OWNER), &rds("db")).await.unwrap();
    kms.service.create_secret(&caller(STRANGER), &generic("app-9", "1")).await.unwrap();
    let list = async |filters: &[SecretFilter], skip, take| {
        let (page, total) = kms.service.list_secrets(&caller(OWNER), filters, skip, take).await.unwrap();
        (page.into_iter().map(|s| s.name.to_string()).collect::<Vec<_>>(), total)
    };
    assert_eq!(list(&[], 4, 10).await, (vec!["app-4".to_owned(), "db".to_owned()], 6));
    assert_eq!(list(&[], 60, 10).await, (vec![], 6));
    let by = |key, value: &str| (key, BTreeSet::from([value.to_owned()]));
    assert_eq!(list(&[by(SecretFilterKey::SecretType, "Rds")], 0, 10).await, (vec!["db".to_owned()], 1));
    assert_eq!(list(&[by(SecretFilterKey::SecretName, "app-")], 1, 1).await, (vec!["app-1".to_owned()], 5));
    assert_eq!(list(&[by(SecretFilterKey::Instance, INSTANCE)], 0, 10).await, (vec![], 0));
}

#[tokio::test]
async fn another_account_sees_nothing() {
    let kms = Kms::new().await;
    kms.service.create_secret(&caller(OWNER), &generic("s", "1")).await.unwrap();
    let stranger = caller(STRANGER);
    let read = kms.service.get_secret_value(&stranger, &name("s"), &WhichVersion::default()).await;
    assert!(matches!(read.err(), Some(KmsError::ResourceNotFound)));
    let deleted = kms.service.delete_secret(&stranger, &name("s"), Deletion::Forced).await;
    assert!(matches!(deleted, Err(KmsError::ResourceNotFound)));
}

#[tokio::test]
async fn a_locked_scope_refuses_every_change_and_no_read() {
    let kms = Kms::new().await;
    kms.service.create_secret(&caller(OWNER), &generic("s", "1")).await.unwrap();
    kms.service.create_secret(&caller(OWNER), &rds("db")).await.unwrap();
    kms.service.create_secret(&caller(OWNER), &generic("gone", "1")).await.unwrap();
    kms.service.delete_secret(&caller(OWNER), &name("gone"), Deletion::Window(7)).await.unwrap();
    let before = records(&kms, &shared()).await;
    kms.lock().await;
    let who = || caller(OWNER);
    let service = &kms.service;
    let order = StageMove { stage: "blue".to_owned(), to: Some(id("v1")), from: None };
    let off = RotationOrder::default();
    let answers = [
        ("CreateSecret", service.create_secret(&who(), &generic("t", "1")).await.map(drop)),
        ("PutSecretValue", service.put_secret_value(&who(), &value_of("s", "v2", "2")).await.map(drop)),
        ("UpdateSecret", service.update_secret(&who(), &name("s"), &SecretChanges::default()).await),
        ("DeleteSecret", service.delete_secret(&who(), &name("s"), Deletion::Window(7)).await.map(drop)),
        ("DeleteSecret by force", service.delete_secret(&who(), &name("s"), Deletion::Forced).await.map(drop)),
        ("RestoreSecret", service.restore_secret(&who(), &name("gone")).await),
        ("UpdateSecretVersionStage", service.update_secret_version_stage(&who(), &name("s"), &order).await),
        ("UpdateSecretRotationPolicy", service.update_secret_rotation(&who(), &name("db"), off).await),
    ];
    for (operation, answer) in answers {
        assert!(matches!(answer, Err(KmsError::Migrating(_))), "{operation}: {answer:?}");
    }
    kms.clock.advance(8 * DAY);
    service.run_due(service.clock.now()).await.unwrap();
    assert_eq!(records(&kms, &shared()).await, before, "nothing was filed, nothing falls due");
    assert_eq!(read(&kms, "s", WhichVersion::default()).await.unwrap(), "1");
    assert!(service.describe_secret(&who(), &name("s")).await.is_ok());
    assert_eq!(service.list_secrets(&who(), &[], 0, 10).await.unwrap().1, 3);
    service.create_secret(&caller(STRANGER), &generic("s", "1")).await.unwrap();
}
