//! Rotation by a scripted rotator: each answer it can give, each point at which a process can die, gates and locks.

mod migrating;
mod serving;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::Notify;
use zeroize::Zeroizing;

use super::{Driven, RotationReport};
use crate::catalogue::{CatalogueError, Demand, RotationRecord};
use crate::kms::secrets::testing::{Kms, OWNER, bytes, caller, generic, rds};
use crate::kms::secrets::{Deletion, NewSecret, RotationOrder, WhichVersion};
use crate::kms::testing::{FRIEND, job};
use crate::kms::{DueReport, KmsError, NewKey, Rotators, Service};
use crate::model::{ResourceId, SecretName, SecretRecord, SecretType};
use crate::rotator::{Order, Rotator, RotatorError, Rule, Serving};
use crate::store::Transaction;

const DAY: Duration = Duration::from_secs(86_400);

enum Reply {
    Yes,
    No,
    Lost,
    /// Never.
    Hang,
}

/// What a rotator was asked.
#[derive(Clone, PartialEq)]
struct Asked {
    rotation: String,
    version: String,
    value: Zeroizing<Vec<u8>>,
    retires: Option<String>,
}

#[derive(Default)]
struct Scripted {
    replies: Mutex<VecDeque<Reply>>,
    asked: Mutex<Vec<Asked>>,
    hangs: Notify,
}

#[async_trait]
impl Rotator for Scripted {
    async fn rotate(&self, order: &Order) -> Result<(), RotatorError> {
        self.asked.lock().unwrap().push(Asked {
            rotation: order.rotation.clone(),
            version: order.version.to_string(),
            value: order.value.clone(),
            retires: order.retires.clone(),
        });
        let reply = self.replies.lock().unwrap().pop_front();
        match reply.unwrap_or(Reply::Yes) {
            Reply::Yes => Ok(()),
            Reply::No => Err(RotatorError::Unchanged("refused".to_owned())),
            Reply::Lost => Err(RotatorError::Unsure("no answer".to_owned())),
            Reply::Hang => {
                self.hangs.notify_one();
                std::future::pending().await
            }
        }
    }
}

impl Scripted {
    fn then(&self, replies: impl IntoIterator<Item = Reply>) {
        self.replies.lock().unwrap().extend(replies);
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serving(rotator: &Arc<Scripted>) -> Serving {
    Serving {
        name: "scripted".to_owned(),
        rule: Rule::default(),
        rotator: rotator.clone(),
        timeout: Duration::from_secs(3600),
        retry_after: Duration::from_secs(5),
        attempts: 3,
    }
}

async fn world() -> (Kms, Arc<Scripted>) {
    let kms = Kms::new().await;
    let rotator = Arc::new(Scripted::default());
    kms.service.rotators.replace(vec![serving(&rotator)]);
    (kms, rotator)
}

/// The process died; another one runs over the same stores.
fn next_process(kms: &Kms, rotator: &Arc<Scripted>) -> Service {
    let rotators = Rotators::default();
    rotators.replace(vec![serving(rotator)]);
    Service { worker: "worker-2".into(), rotators: Arc::new(rotators), ..kms.service.clone() }
}

fn name(text: &str) -> SecretName {
    text.parse().unwrap()
}

fn double(secret: &str) -> NewSecret {
    NewSecret {
        value: bytes(
            r#"{"Accounts":[{"AccountName":"app","AccountPassword":"p1"},{"AccountName":"app_clone","AccountPassword":"p2"}]}"#,
        ),
        extended_config: Some(r#"{"SecretSubType":"DoubleUsers","DBInstanceId":"rm-1"}"#.to_owned()),
        ..rds(secret)
    }
}

async fn secret(service: &Service, of: &str) -> SecretRecord {
    service.describe_secret(&caller(OWNER), &name(of)).await.unwrap()
}

async fn at(service: &Service, of: &str, stage: &str) -> Value {
    let which = WhichVersion { id: None, stage: Some(stage.to_owned()) };
    let found = service.get_secret_value(&caller(OWNER), &name(of), &which).await.unwrap();
    serde_json::from_slice(&found.value).unwrap()
}

async fn record(service: &Service, of: &str) -> Option<RotationRecord> {
    let found = service.catalogue.rotation(&caller(OWNER).scope(), &name(of)).await.unwrap();
    found.map(crate::store::Stored::into_value)
}

async fn run(service: &Service) -> RotationReport {
    service.run_rotations(service.clock.now()).await.unwrap()
}

async fn due(service: &Service) -> DueReport {
    service.run_due(service.clock.now()).await.unwrap()
}

fn parsed(asked: &Asked) -> Value {
    serde_json::from_slice(&asked.value).unwrap()
}

#[tokio::test]
async fn a_due_secret_gets_a_new_password_that_is_stored_before_it_is_set() {
    let (kms, rotator) = world().await;
    let service = &kms.service;
    service.create_secret(&caller(OWNER), &rds("db")).await.unwrap();
    kms.clock.advance(DAY * 7 - Duration::from_secs(1));
    assert_eq!(due(service).await, DueReport::default());
    kms.clock.advance(Duration::from_secs(1));
    assert_eq!(due(service).await, DueReport { begun: 1, ..DueReport::default() });
    // Stored, without a stage, and nobody has been asked.
    assert!(rotator.asked().is_empty());
    let versions = service.list_secret_versions(&caller(OWNER), &name("db"), true).await.unwrap();
    assert_eq!((versions.len(), versions[1].stages.is_empty()), (2, true));
    assert_eq!(at(service, "db", "ACSCurrent").await["AccountPassword"], "p1");
    assert_eq!(service.list_secret_versions(&caller(OWNER), &name("db"), false).await.unwrap().len(), 1);
    assert_eq!(due(service).await, DueReport::default());

    assert_eq!(run(service).await, RotationReport { rotated: 1, ..RotationReport::default() });
    let asked = rotator.asked();
    assert_eq!((asked.len(), asked[0].version.as_str()), (1, versions[1].id.as_str()));
    let current = at(service, "db", "ACSCurrent").await;
    assert_eq!((current.clone(), current["AccountName"].as_str()), (parsed(&asked[0]), Some("app")));
    assert_eq!(current["AccountPassword"].as_str().unwrap().len(), 32);
    assert_eq!(at(service, "db", "ACSPrevious").await["AccountPassword"], "p1");
    let now = service.clock.now();
    let after = secret(service, "db").await;
    assert_eq!((after.rotation.last, after.updated_at, after.version_count), (Some(now), now, 2));
    assert_eq!(after.rotation.next(), Some(now.checked_add(DAY * 7).unwrap()));
    assert!(record(service, "db").await.is_none() && service.catalogue.intents().await.unwrap().is_empty());
    assert_eq!(run(service).await, RotationReport::default());

    kms.clock.advance(DAY * 7);
    assert_eq!((due(service).await.begun, run(service).await.rotated), (1, 1));
    assert_eq!(at(service, "db", "ACSPrevious").await, current);
    assert_ne!(rotator.asked()[1].rotation, asked[0].rotation);
}

#[tokio::test]
async fn of_two_accounts_the_one_nobody_reads_is_reset_and_the_stages_swap() {
    let (kms, rotator) = world().await;
    let service = &kms.service;
    service.create_secret(&caller(OWNER), &double("db")).await.unwrap();
    for (turn, current, previous) in [(1, "app_clone", "app"), (2, "app", "app_clone"), (3, "app_clone", "app")] {
        let before = at(service, "db", "ACSCurrent").await;
        kms.clock.advance(DAY * 7);
        assert_eq!((due(service).await.begun, run(service).await.rotated), (1, 1));
        assert_eq!(parsed(&rotator.asked()[turn - 1])["AccountName"], current);
        assert_eq!(at(service, "db", "ACSCurrent").await, parsed(&rotator.asked()[turn - 1]));
        // What applications hold goes on working.
        assert_eq!(at(service, "db", "ACSPrevious").await, before);
        assert_eq!(before["AccountName"], previous);
    }
}

#[tokio::test]
async fn other_types_get_values_of_their_shape() {
    let (kms, rotator) = world().await;
    let service = &kms.service;
    let keys = r#"{"AccessKeys":[{"AccessKeyId":"LTAI1","AccessKeySecret":"s1"},{"AccessKeyId":"LTAI2","AccessKeySecret":"s2"}]}"#;
    let ram = NewSecret {
        secret_type: SecretType::RAMCredentials,
        name: "$Auto".to_owned(),
        value: bytes(keys),
        extended_config: Some(r#"{"SecretSubType":"RamUserAccessKey","UserName":"robot"}"#.to_owned()),
        ..rds("")
    };
    let ecs = |name: &str, value: &str, kind: &str| NewSecret {
        secret_type: SecretType::ECS,
        value: bytes(value),
        extended_config: Some(format!(r#"{{"SecretSubType":"{kind}","RegionId":"cn-hangzhou","InstanceId":"i-1"}}"#)),
        ..rds(name)
    };
    let login = ecs("acs/ecs/pw", r#"{"UserName":"root","Password":"old"}"#, "Password");
    let ssh = ecs("acs/ecs/key", r#"{"UserName":"ops","PublicKey":"a","PrivateKey":"b"}"#, "SSHKey");
    for new in [&ram, &login, &ssh] {
        service.create_secret(&caller(OWNER), new).await.unwrap();
    }
    kms.clock.advance(DAY * 7);
    assert_eq!((due(service).await.begun, run(service).await.rotated), (3, 3));
    let pair = at(service, "acs/ram/user/robot", "ACSCurrent").await;
    assert_eq!(pair["AccessKeyId"].as_str().map(|id| (id.len(), &id[..6])), Some((24, "LTAI5t")));
    assert_eq!(pair["AccessKeySecret"].as_str().unwrap().len(), 30);
    assert!(pair["GenerateTimestamp"].is_string());
    assert_eq!(at(service, "acs/ram/user/robot", "ACSPrevious").await["AccessKeyId"], "LTAI1");
    let retired: Vec<_> = rotator.asked().into_iter().filter_map(|asked| asked.retires).collect();
    assert_eq!(retired, ["LTAI2"]);
    let login = at(service, "acs/ecs/pw", "ACSCurrent").await;
    assert_eq!((login["UserName"].as_str(), login["Password"].as_str().unwrap().len()), (Some("root"), 30));
    let ssh = at(service, "acs/ecs/key", "ACSCurrent").await;
    assert!(ssh["PublicKey"].as_str().unwrap().starts_with("ssh-rsa AAAA"));
    assert!(ssh["PrivateKey"].as_str().unwrap().starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    assert_eq!(ssh["UserName"], "ops");
}

#[tokio::test]
async fn what_keeps_failing_is_invalid_and_still_tried_with_the_same_value() {
    let (kms, rotator) = world().await;
    let service = &kms.service;
    service.create_secret(&caller(OWNER), &rds("db")).await.unwrap();
    rotator.then([Reply::No, Reply::Lost, Reply::No, Reply::No]);
    kms.clock.advance(DAY * 7);
    assert_eq!(due(service).await.begun, 1);
    let mut pauses = Vec::new();
    for failures in 1..=4 {
        assert_eq!(run(service).await, RotationReport { failed: 1, ..RotationReport::default() });
        assert_eq!(run(service).await, RotationReport::default(), "not before its time");
        let found = record(service, "db").await.unwrap();
        assert_eq!((found.failures, found.unsure), (failures, failures > 1));
        // In flight between two tries only while the outcome is open and the rotator has tries left.
        assert_eq!(found.in_flight, failures == 2);
        assert_eq!(secret(service, "db").await.rotation.invalid, failures >= 3);
        assert_eq!(at(service, "db", "ACSCurrent").await["AccountPassword"], "p1");
        let pause = found.next_try.duration_since(service.clock.now()).as_secs();
        pauses.push(pause);
        kms.clock.advance(Duration::from_secs(u64::try_from(pause).unwrap()));
    }
    assert_eq!(pauses, [5, 10, 20, 40]);
    // An entry that is filed again meanwhile begins no second rotation.
    service.update_secret(&caller(OWNER), &name("db"), &Default::default()).await.unwrap();
    assert_eq!(due(service).await, DueReport::default());
    assert_eq!(run(service).await.rotated, 1);
    let asked = rotator.asked();
    assert!(asked.len() == 5 && asked.iter().all(|one| *one == asked[0]));
    assert!(!secret(service, "db").await.rotation.invalid && record(service, "db").await.is_none());
    assert_eq!(at(service, "db", "ACSCurrent").await, parsed(&asked[0]));
    assert_eq!(service.list_secret_versions(&caller(OWNER), &name("db"), true).await.unwrap().len(), 2);
}

#[tokio::test]
async fn wherever_the_process_dies_the_next_one_goes_on_with_the_same_rotation() {
    let (kms, rotator) = world().await;
    let service = &kms.service;
    service.create_secret(&caller(OWNER), &double("db")).await.unwrap();
    kms.clock.advance(DAY * 7);
    assert_eq!(due(service).await.begun, 1);
    let begun = record(service, "db").await.unwrap();
    // After the value was stored.
    let second = next_process(&kms, &rotator);
    second.sweep_intents(second.clock.now()).await.unwrap();
    assert_eq!(due(&second).await, DueReport::default());
    // During the call, or after it and before the stages move: the store looks the same.
    rotator.then([Reply::Hang]);
    tokio::select! {
        _ = second.run_rotations(second.clock.now()) => unreachable!(),
        () = rotator.hangs.notified() => {}
    }
    let flying = record(&second, "db").await.unwrap();
    assert_eq!((flying.id.as_str(), flying.in_flight), (begun.id.as_str(), true));
    let third = next_process(&kms, &rotator);
    assert_eq!(run(&third).await.rotated, 1);
    let asked = rotator.asked();
    assert!(asked.len() == 2 && asked[0] == asked[1] && asked[0].rotation == begun.id);
    assert_eq!(at(&third, "db", "ACSCurrent").await, parsed(&asked[0]));
    assert_eq!(at(&third, "db", "ACSPrevious").await["AccountName"], "app");
    assert!(third.catalogue.intents().await.unwrap().is_empty());
    // After the stages moved there is nothing left to do.
    let fourth = next_process(&kms, &rotator);
    assert_eq!((due(&fourth).await, run(&fourth).await), (DueReport::default(), RotationReport::default()));
    assert!(fourth.catalogue.in_flight(&caller(OWNER).scope(), &name("db")).await.is_err());
}

#[tokio::test]
async fn what_was_put_off_while_a_round_waited_for_its_turn_is_not_tried() {
    let (kms, rotator) = world().await;
    let service = &kms.service;
    service.create_secret(&caller(OWNER), &rds("app")).await.unwrap();
    kms.clock.advance(DAY * 7);
    assert_eq!(due(service).await.begun, 1);
    let scope = caller(OWNER).scope();
    let turn = service.rotators.turn(&scope, &name("app")).await;
    let round = tokio::spawn({
        let service = service.clone();
        async move { run(&service).await }
    });
    // The runtime has one thread and the store answers at once: the round comes to where it waits.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let mut record = service.catalogue.rotation(&scope, &name("app")).await.unwrap().unwrap();
    record.next_try = service.clock.now() + Duration::from_secs(5);
    service.catalogue.postpone_rotation(&record).await.unwrap();
    drop(turn);
    assert_eq!(round.await.unwrap(), RotationReport::default());
    assert_eq!(rotator.asked().len(), 0);
    kms.clock.advance(Duration::from_secs(5));
    assert_eq!(run(service).await.rotated, 1);
}

#[tokio::test]
async fn a_request_rotates_at_once_and_may_be_repeated() {
    let (kms, rotator) = world().await;
    let service = &kms.service;
    let quiet = NewSecret { rotation: RotationOrder::default(), ..rds("db") };
    service.create_secret(&caller(OWNER), &quiet).await.unwrap();
    service.create_secret(&caller(OWNER), &generic("plain", "v")).await.unwrap();
    let rotate = |secret: &'static str, version: &'static str| async move {
        service.rotate_secret(&caller(OWNER), &name(secret), &version.parse().unwrap()).await
    };
    assert!(matches!(rotate("plain", "v2").await, Err(KmsError::UnsupportedOperation(_))));
    assert!(matches!(rotate("absent", "v2").await, Err(KmsError::ResourceNotFound)));
    let rotated = rotate("db", "r1").await.unwrap();
    assert_eq!((rotated.rotation.last, rotated.rotation.next()), (Some(service.clock.now()), None));
    let current = at(service, "db", "ACSCurrent").await;
    rotate("db", "r1").await.unwrap();
    rotate("db", "v1").await.unwrap();
    assert_eq!((rotator.asked().len(), at(service, "db", "ACSCurrent").await), (1, current));

    // A rotator that fails: the rotation stays, and the same request goes on with it.
    rotator.then([Reply::No, Reply::Lost]);
    assert!(matches!(rotate("db", "r2").await, Err(KmsError::RotatorFailed(_))));
    assert!(matches!(rotate("db", "r3").await, Err(KmsError::RotationUnderWay(v)) if v.as_str() == "r2"));
    assert!(matches!(rotate("db", "r2").await, Err(KmsError::RotatorFailed(_))));
    rotate("db", "r2").await.unwrap();
    let asked = rotator.asked();
    assert!(asked[1] == asked[2] && asked[2] == asked[3] && asked[3].version == "r2");
    // ... also by itself, though automatic rotation is off.
    rotator.then([Reply::No]);
    assert!(matches!(rotate("db", "r3").await, Err(KmsError::RotatorFailed(_))));
    kms.clock.advance(Duration::from_secs(5));
    assert_eq!(run(service).await.rotated, 1);
    rotate("db", "r3").await.unwrap();
    // Nobody serves it.
    service.rotators.replace(Vec::new());
    assert!(matches!(rotate("db", "r4").await, Err(KmsError::UnsupportedOperation(_))));
    rotate("db", "r3").await.unwrap();
}

#[tokio::test]
async fn a_secret_that_goes_takes_its_rotation_along() {
    let (kms, rotator) = world().await;
    let service = &kms.service;
    let scope = caller(OWNER).scope();
    service.create_secret(&caller(OWNER), &rds("db")).await.unwrap();
    kms.clock.advance(DAY * 7);
    due(service).await;
    rotator.then([Reply::Lost]);
    assert_eq!(run(service).await.failed, 1);
    // In its recovery window nothing is called, and nothing holds a migration up.
    service.delete_secret(&caller(OWNER), &name("db"), Deletion::Window(7)).await.unwrap();
    kms.clock.advance(Duration::from_secs(5));
    assert_eq!(run(service).await, RotationReport::default());
    assert!(!record(service, "db").await.unwrap().in_flight);
    assert!(service.catalogue.in_flight(&scope, &name("db")).await.is_err());
    service.restore_secret(&caller(OWNER), &name("db")).await.unwrap();
    kms.clock.advance(Duration::from_secs(60));
    rotator.then([Reply::Lost]);
    assert_eq!((run(service).await.failed, rotator.asked().len()), (1, 2));
    // Deleted at once and made again: the old rotation has nothing to do with it.
    service.delete_secret(&caller(OWNER), &name("db"), Deletion::Forced).await.unwrap();
    service.create_secret(&caller(OWNER), &rds("db")).await.unwrap();
    kms.clock.advance(DAY);
    assert_eq!(run(service).await, RotationReport::default());
    assert!(record(service, "db").await.is_none());
    assert!(service.catalogue.in_flight(&scope, &name("db")).await.is_err());
    service.rotate_secret(&caller(OWNER), &name("db"), &"r1".parse().unwrap()).await.unwrap();
    assert_eq!(rotator.asked().len(), 3);
}

#[tokio::test]
async fn rotation_switched_off_in_time_is_given_up() {
    let (kms, rotator) = world().await;
    let service = &kms.service;
    service.create_secret(&caller(OWNER), &rds("db")).await.unwrap();
    kms.clock.advance(DAY * 7);
    due(service).await;
    service.update_secret_rotation(&caller(OWNER), &name("db"), RotationOrder::default()).await.unwrap();
    assert_eq!((run(service).await, rotator.asked().len()), (RotationReport::default(), 0));
    assert!(record(service, "db").await.is_none());
    assert_eq!(at(service, "db", "ACSCurrent").await["AccountPassword"], "p1");
}

#[tokio::test]
async fn a_clock_that_was_ahead_does_not_put_a_rotation_off() {
    let (kms, rotator) = world().await;
    let service = &kms.service;
    service.create_secret(&caller(OWNER), &rds("db")).await.unwrap();
    kms.clock.advance(DAY * 40);
    due(service).await;
    rotator.then([Reply::No]);
    assert_eq!(run(service).await.failed, 1);
    let before = service.clock.now().checked_sub(jiff::SignedDuration::from_hours(33 * 24)).unwrap();
    assert_eq!(service.run_rotations(before).await.unwrap().rotated, 1);
}

#[tokio::test]
async fn a_key_that_cannot_be_used_leaves_everything_as_it_is() {
    let (kms, rotator) = world().await;
    let service = &kms.service;
    let key = kms.key(&caller(OWNER), NewKey::default()).await;
    let under = NewSecret { encryption_key: Some(crate::catalogue::KeyOrAlias::Id(key.clone())), ..rds("db") };
    service.create_secret(&caller(OWNER), &under).await.unwrap();
    kms.clock.advance(DAY * 7);
    service.disable_key(&caller(OWNER), &key).await.unwrap();
    assert_eq!(due(service).await, DueReport { failed: 1, ..DueReport::default() });
    assert_eq!(due(service).await, DueReport::default(), "not every second");
    assert!(service.catalogue.intents().await.unwrap().is_empty());
    service.enable_key(&caller(OWNER), &key).await.unwrap();
    kms.clock.advance(Duration::from_secs(60));
    assert_eq!(due(service).await.begun, 1);
    // Disabled between the value and the call: nothing is sent.
    service.disable_key(&caller(OWNER), &key).await.unwrap();
    assert_eq!((run(service).await.failed, rotator.asked().len()), (1, 0));
    service.enable_key(&caller(OWNER), &key).await.unwrap();
    kms.clock.advance(Duration::from_secs(5));
    assert_eq!(run(service).await.rotated, 1);
}
