//! Every management operation leaves exactly one entry in the audit trail, in its own transaction; a refused one too.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::testing::{INSTANCE, World};
use super::{refused, table};
use crate::api::{ApiError, Plane, actions};
use crate::audit::{Entry, Trail};
use crate::catalogue::GateRecord;
use crate::crypto::material::DecryptAlgorithm;
use crate::crypto::verify::encrypt_to;
use crate::model::SystemClock;
use crate::store::{Record, Revision, Stored, Transaction, decode, scan_records};

const VALUE: &str = "the-value-of-a-secret-4711";
const SECOND_VALUE: &str = "another-value-of-a-secret-0815";
const MATERIAL: [u8; 32] = *b"material of a key, 32 bytes long";

const POLICY: &str =
    "{\"Version\":\"1\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":[\"kms:*\"],\"Resource\":[\"*\"]}]}";
/// What is always refused: the service is open for every account that can ask.
const ALWAYS_REFUSED: &[&str] = &["OpenKmsService"];

/// An operation that changes something, with what it needs; `{name}` is an answer of before.
type Case = (&'static str, &'static [(&'static str, &'static str)]);

/// In an order in which each succeeds.
const CASES: &[Case] = &[
    ("CreateKey", &[]),
    ("UpdateKeyDescription", &[("KeyId", "{key}"), ("Description", "d")]),
    ("DisableKey", &[("KeyId", "{key}")]),
    ("EnableKey", &[("KeyId", "{key}")]),
    ("UpdateRotationPolicy", &[("KeyId", "{key}"), ("EnableAutomaticRotation", "true"), ("RotationInterval", "7d")]),
    ("CreateKeyVersion", &[("KeyId", "{key}")]),
    ("CreateAlias", &[("KeyId", "{key}"), ("AliasName", "alias/a")]),
    ("UpdateAlias", &[("KeyId", "{external}"), ("AliasName", "alias/a")]),
    ("DeleteAlias", &[("AliasName", "alias/a")]),
    ("TagResource", &[("KeyId", "{key}"), ("Tags", "[{\"TagKey\":\"k\",\"TagValue\":\"v\"}]")]),
    ("UntagResource", &[("KeyId", "{key}"), ("TagKeys", "[\"k\"]")]),
    (
        "TagResources",
        &[
            ("RegionId", "cn-hangzhou"),
            ("ResourceType", "key"),
            ("ResourceId.1", "{key}"),
            ("Tag.1.Key", "k"),
            ("Tag.1.Value", "v"),
        ],
    ),
    (
        "UntagResources",
        &[("RegionId", "cn-hangzhou"), ("ResourceType", "key"), ("ResourceId.1", "{key}"), ("All", "true")],
    ),
    ("SetKeyPolicy", &[("KeyId", "{instance key}"), ("Policy", POLICY)]),
    ("SetDeletionProtection", &[("KeyId", "{key}"), ("EnableDeletionProtection", "false")]),
    (
        "GetParametersForImport",
        &[("KeyId", "{external}"), ("WrappingKeySpec", "RSA_2048"), ("WrappingAlgorithm", "RSAES_OAEP_SHA_256")],
    ),
    (
        "ImportKeyMaterial",
        &[
            ("KeyId", "{external}"),
            ("ImportToken", "{token}"),
            ("EncryptedKeyMaterial", "{wrapped}"),
            ("KeyMaterialExpireUnix", "0"),
        ],
    ),
    ("DeleteKeyMaterial", &[("KeyId", "{external}")]),
    ("ScheduleKeyDeletion", &[("KeyId", "{key}"), ("PendingWindowInDays", "7")]),
    ("CancelKeyDeletion", &[("KeyId", "{key}")]),
    ("CreateSecret", &[("SecretName", "db/password"), ("SecretData", VALUE), ("VersionId", "v1")]),
    ("UpdateSecret", &[("SecretName", "db/password"), ("Description", "d")]),
    ("PutSecretValue", &[("SecretName", "db/password"), ("SecretData", SECOND_VALUE), ("VersionId", "v2")]),
    ("UpdateSecretVersionStage", &[("SecretName", "db/password"), ("VersionStage", "mine"), ("MoveToVersion", "v2")]),
    (
        "UpdateSecretRotationPolicy",
        &[("SecretName", "managed"), ("EnableAutomaticRotation", "true"), ("RotationInterval", "7d")],
    ),
    ("RotateSecret", &[("SecretName", "managed"), ("VersionId", "v1")]),
    ("SetSecretPolicy", &[("SecretName", "instance/secret"), ("Policy", POLICY)]),
    ("DeleteSecret", &[("SecretName", "db/password"), ("RecoveryWindowInDays", "7")]),
    ("RestoreSecret", &[("SecretName", "db/password")]),
    ("ConnectKmsInstance", &[("KmsInstanceId", INSTANCE)]),
];

impl World {
    /// Every entry that is not chained, by its revision.
    async fn entries(&self) -> Vec<Stored<Entry>> {
        let mut found: Vec<Stored<Entry>> =
            self.records().await.iter().map(|(key, value)| decode(key, value, &[]).unwrap()).collect();
        found.sort_by_key(Stored::revision);
        found
    }

    async fn records(&self) -> Vec<(Vec<u8>, crate::store::Versioned)> {
        self.store.scan(b"a/new/", Some(b"a/new0"), usize::MAX).await.unwrap().entries
    }

    /// What clients did; what the daemon made for itself on the way left entries of its own.
    async fn of_clients(&self) -> Vec<Stored<Entry>> {
        self.entries().await.into_iter().filter(|entry| entry.request.is_some()).collect()
    }

    async fn nonces_claimed_at(&self) -> BTreeSet<Revision> {
        let page = self.store.scan(b"n/", Some(b"n0"), usize::MAX).await.unwrap();
        page.entries.into_iter().map(|(_, nonce)| nonce.revision).collect()
    }

    /// Carries out a case and answers its one entry.
    async fn one_entry(&self, case: &Case, known: &BTreeMap<&str, String>) -> (Result<Value, ApiError>, Stored<Entry>) {
        let before = self.of_clients().await.len();
        let answer = self.ask(case.0, case.1, known).await;
        let mut entries = self.of_clients().await.split_off(before);
        assert_eq!(entries.len(), 1, "{} left {} entries", case.0, entries.len());
        let entry = entries.remove(0);
        assert_eq!(entry.action, case.0);
        (answer, entry)
    }
}

/// What the cases build on.
async fn prepare(world: &World) -> BTreeMap<&'static str, String> {
    let mut known = BTreeMap::new();
    let id = |answer: Value| answer["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned();
    known.insert("key", id(world.ask("CreateKey", &[], &known).await.unwrap_or_else(|e| panic!("{}", e.message))));
    known.insert(
        "external",
        id(world.ask("CreateKey", &[("Origin", "EXTERNAL")], &known).await.unwrap_or_else(|e| panic!("{}", e.message))),
    );
    let there = [("DKMSInstanceId", INSTANCE)];
    known.insert(
        "instance key",
        id(world.ask("CreateKey", &there, &known).await.unwrap_or_else(|e| panic!("{}", e.message))),
    );
    let there = [
        ("DKMSInstanceId", INSTANCE),
        ("EncryptionKeyId", "{instance key}"),
        ("SecretName", "instance/secret"),
        ("SecretData", VALUE),
        ("VersionId", "v1"),
    ];
    world.ask("CreateSecret", &there, &known).await.unwrap_or_else(|error| panic!("{}", error.message));
    let managed = [
        ("SecretName", "managed"),
        ("SecretType", "Rds"),
        ("SecretData", "{\"Accounts\":[{\"AccountName\":\"u\",\"AccountPassword\":\"password-4711\"}]}"),
        ("VersionId", "v1"),
        ("ExtendedConfig", "{\"SecretSubType\":\"SingleUser\",\"DBInstanceId\":\"rm-1\"}"),
    ];
    world.ask("CreateSecret", &managed, &known).await.unwrap_or_else(|error| panic!("{}", error.message));
    known
}

#[test]
fn the_cases_are_all_management_operations_there_are() {
    let cases: BTreeSet<&str> = CASES.iter().map(|case| case.0).collect();
    let management = |name: &&str| {
        !ALWAYS_REFUSED.contains(name) && actions::find(name).is_some_and(|action| action.plane == Plane::Management)
    };
    let rows: BTreeSet<&str> = table().map(|row| row.name).filter(management).collect();
    assert_eq!(cases, rows, "a new management operation needs a case here");
}

#[tokio::test]
async fn each_leaves_one_entry_in_its_own_transaction_and_never_a_value() {
    let world = World::new().await;
    let mut known = prepare(&world).await;
    for case in CASES {
        let (answer, entry) = world.one_entry(case, &known).await;
        let answer = answer.unwrap_or_else(|error| panic!("{}: {}", case.0, error.message));
        assert_eq!(entry.outcome, "ok", "{}", case.0);
        // The nonce is claimed by the transaction that does the work.
        assert!(world.nonces_claimed_at().await.contains(&entry.revision()), "{} has a transaction of its own", case.0);
        let text = serde_json::to_string(&*entry).unwrap();
        assert!(text.contains("LTAItest") && text.contains("1000000000000001"), "{text}");
        let changes = !["GetParametersForImport", "RotateSecret"].contains(&case.0);
        assert!(!changes || !entry.resources.is_empty(), "{text}");
        if case.0 == "GetParametersForImport" {
            known.insert("token", answer["ImportToken"].as_str().unwrap().to_owned());
            let key = STANDARD.decode(answer["PublicKey"].as_str().unwrap()).unwrap();
            let wrapped = encrypt_to(&key, DecryptAlgorithm::OaepSha256, &MATERIAL).unwrap();
            known.insert("wrapped", STANDARD.encode(wrapped));
        }
    }
    // One that succeeds and changes nothing.
    let again: Case =
        ("PutSecretValue", &[("SecretName", "db/password"), ("SecretData", SECOND_VALUE), ("VersionId", "v2")]);
    let (answer, entry) = world.one_entry(&again, &known).await;
    assert!(answer.is_ok() && entry.outcome == "ok");
    // Refused ones, by the operation and by its parameters, one with a value where a name should be.
    let refused: [(Case, &str); 7] = [
        (("OpenKmsService", &[]), "Forbidden.Opened"),
        (("RotateSecret", &[("SecretName", "managed"), ("VersionId", "v2")]), "UnsupportedOperation"),
        (("EnableKey", &[("KeyId", "11111111-2222-4333-8444-555555555555")]), "Forbidden.KeyNotFound"),
        (
            ("CreateSecret", &[("SecretName", "db/password"), ("SecretData", VALUE), ("VersionId", "v9")]),
            "Rejected.ResourceExist",
        ),
        (("DeleteSecret", &[("SecretName", "a value, not a name: 4711")]), "Forbidden.ResourceNotFound"),
        (("SetKeyPolicy", &[("KeyId", "{key}"), ("Policy", POLICY)]), "UnsupportedOperation"),
        (("ReleaseKmsInstance", &[("KmsInstanceId", INSTANCE)]), "UnsupportedOperation"),
    ];
    for (case, code) in &refused {
        let (answer, entry) = world.one_entry(case, &known).await;
        assert_eq!(answer.err().map(|error| error.code), Some(*code), "{}", case.0);
        assert_eq!(entry.outcome, *code, "{}", case.0);
    }
    // What only reads or uses leaves none.
    let before = world.entries().await.len();
    world
        .ask("GetSecretValue", &[("SecretName", "db/password")], &known)
        .await
        .unwrap_or_else(|e| panic!("{}", e.message));
    world.ask("DescribeKey", &[("KeyId", "{key}")], &known).await.unwrap_or_else(|e| panic!("{}", e.message));
    assert_eq!(world.entries().await.len(), before);

    // Chained and signed, nothing under the trail's prefix holds a value, or material, in any form it came in.
    let trail = Trail::new(Arc::clone(&world.store), Arc::new(SystemClock::default()), None);
    trail.chain().await.unwrap();
    let everything = world.store.scan(b"a/", Some(b"a0"), usize::MAX).await.unwrap().entries;
    assert!(everything.len() > CASES.len());
    let secrets: Vec<Vec<u8>> = [VALUE.as_bytes(), SECOND_VALUE.as_bytes(), b"password-4711", b"not a name", &MATERIAL]
        .iter()
        .flat_map(|secret| [secret.to_vec(), STANDARD.encode(secret).into_bytes(), hex::encode(secret).into_bytes()])
        .chain([known["token"].clone().into_bytes(), known["wrapped"].clone().into_bytes()])
        .collect();
    for (key, value) in everything {
        for secret in &secrets {
            let found = value.value.windows(secret.len()).any(|window| window == secret.as_slice());
            assert!(!found, "{} holds {}", String::from_utf8_lossy(&key), String::from_utf8_lossy(secret));
        }
    }
}

#[tokio::test]
async fn each_refused_by_a_lock_leaves_one_entry() {
    let world = World::new().await;
    let known = prepare(&world).await;
    let now = jiff::Timestamp::now();
    let gate = GateRecord { job: "job-0198a1b2c3d4e5f60718".parse().unwrap(), since: now, until: now };
    let mut transaction = Transaction::new();
    transaction.create(b"l/gate/cn-hangzhou/1000000000000001", &gate).unwrap();
    let _ = world.store.commit(transaction).await.unwrap();
    let mut known = known;
    known.insert("token", STANDARD.encode("x"));
    known.insert("wrapped", STANDARD.encode("x"));
    let records = scan_records::<crate::model::KeyRecord>(world.store.as_ref(), b"c/key/", None, usize::MAX);
    let before = records.await.unwrap();
    for case in CASES {
        let (answer, entry) = world.one_entry(case, &known).await;
        let error = answer.unwrap_err();
        assert_eq!(error.code, "Rejected.Migrating", "{}", case.0);
        assert_eq!(entry.outcome, "Rejected.Migrating", "{}", case.0);
        let named = case.1.iter().any(|(name, _)| ["KeyId", "SecretName"].contains(name));
        assert_eq!(entry.detail.is_some(), named, "{}", case.0);
        // What the event tells.
        let fields = refused(&world.caller("1000000000000001", case.0, entry.detail.as_deref()), &error);
        assert_eq!(fields.job.as_deref(), Some("job-0198a1b2c3d4e5f60718"), "{}", case.0);
        assert_eq!(
            (fields.resource, fields.account.as_deref()),
            (entry.detail.clone(), Some("1000000000000001")),
            "{}",
            case.0
        );
    }
    let records = scan_records::<crate::model::KeyRecord>(world.store.as_ref(), b"c/key/", None, usize::MAX);
    assert_eq!(records.await.unwrap(), before);
    assert_eq!(Entry::KIND, "audit entry");
}
