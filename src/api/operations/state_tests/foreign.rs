//! What is somebody else's and what does not exist: the same answer after the same reads, so that neither words nor time
//! tell them apart.

use serde_json::Value;

use super::matrix::Row;
use super::*;
use crate::api::ApiError;

pub(super) const STRANGER: &str = "1000000000000002";
pub(super) const MISSING: &str = "11111111-2222-4333-8444-555555555555";

/// Operations that name something else than a key, beside those of the matrix.
pub(super) const BY_NAME: &[(&str, &[(&str, &str)])] = &[
    ("DescribeSecret", &[("SecretName", "{secret}")]),
    ("ListSecretVersionIds", &[("SecretName", "{secret}")]),
    ("UpdateSecret", &[("SecretName", "{secret}"), ("Description", "d")]),
    ("UpdateSecretVersionStage", &[("SecretName", "{secret}"), ("VersionStage", "x"), ("MoveToVersion", "v1")]),
    ("UpdateSecretRotationPolicy", &[("SecretName", "{secret}"), ("EnableAutomaticRotation", "false")]),
    ("RotateSecret", &[("SecretName", "{secret}"), ("VersionId", "v2")]),
    ("DeleteSecret", &[("SecretName", "{secret}")]),
    ("DeleteSecret", &[("SecretName", "{secret}"), ("ForceDeleteWithoutRecovery", "true")]),
    ("RestoreSecret", &[("SecretName", "{secret}")]),
    ("SetSecretPolicy", &[("SecretName", "{secret}"), ("Policy", "{policy}")]),
    ("GetSecretPolicy", &[("SecretName", "{secret}")]),
    ("TagResource", &[("SecretName", "{secret}"), ("Tags", "[{\"TagKey\":\"k\",\"TagValue\":\"v\"}]")]),
    ("ConnectKmsInstance", &[("KmsInstanceId", "{instance}")]),
    ("GetKmsInstance", &[("KmsInstanceId", "{instance}")]),
    ("GetKmsInstanceQuotaInfos", &[("KmsInstanceId", "{instance}")]),
    ("CreateKey", &[("DKMSInstanceId", "{instance}")]),
];

#[tokio::test]
async fn a_foreign_resource_is_a_missing_one() {
    let world = World::new().await;
    let public = KeyMaterial::generate(KeySpec::Rsa2048, &SystemRandom).unwrap().open().unwrap();
    let base = Known::from([
        ("digest", STANDARD.encode([7; 32])),
        ("public", STANDARD.encode(public.public_key_der().unwrap())),
        ("instance", INSTANCE.to_owned()),
        ("policy", "{\"Version\":\"1\",\"Statement\":[]}".to_owned()),
    ]);
    let mut owners = base.clone();
    create(&world, &[], &mut owners, "other").await;
    // What a stranger brings along is the stranger's own.
    let own = world.ask_as(STRANGER, "CreateKey", &[], &base).await.unwrap_or_else(|e| panic!("{}", e.message));
    let own = own["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned();
    let sealed = [("KeyId", own.as_str()), ("Plaintext", "aGk=")];
    let sealed = world.ask_as(STRANGER, "Encrypt", &sealed, &base).await.unwrap_or_else(|e| panic!("{}", e.message));
    let sealed = sealed["CiphertextBlob"].as_str().unwrap().to_owned();

    let named = BY_NAME.iter().map(|(operation, parameters)| Row { operation, parameters, ..plain() });
    let matrix = MATRIX.iter().map(|row| Row { then: row.then, ..*row });
    for (number, row) in matrix.chain(named).enumerate() {
        let subject = Subject { world: &world, known: &owners, number };
        let mut foreign = subject.make(row.kind, Enabled).await;
        foreign.insert("other", own.clone());
        foreign.insert("other blob", sealed.clone());
        let mut missing = foreign.clone();
        for (name, text) in [
            ("key", MISSING.to_owned()),
            ("secret", "no/such".to_owned()),
            ("batch", "[{\"SecretName\":\"no/such\"}]".to_owned()),
            ("alias", "alias/none".to_owned()),
            ("other alias", "alias/none-either".to_owned()),
            ("instance", "kst-hzz9999999999999999".to_owned()),
        ] {
            missing.insert(name, text);
        }
        if let Some(blob) = foreign.get("blob") {
            missing.insert("blob", of_missing_key(blob, &foreign["key"]));
        }
        let seen = told(&world, &row, &foreign).await;
        assert_eq!(seen, told(&world, &row, &missing).await, "{} {:?}", row.operation, row.parameters);
        let refused = seen.0 != "200" || row.operation == "ListTagResources";
        assert!(refused, "{} {:?} {seen:?}", row.operation, row.parameters);
        assert!(!seen.2.is_empty() || row.parameters.is_empty(), "{}", row.operation);
    }
}

pub(super) fn plain() -> Row {
    Row { operation: "", parameters: &[], kind: Kind::Aes, outcomes: [""; 4], then: [None; 4] }
}

/// Code and texts as a stranger sees them, and what was read for them.
pub(super) async fn told(world: &World, row: &Row, known: &Known) -> (String, String, Vec<String>) {
    world.reads.lock().unwrap().clear();
    let answer = world.ask_as(STRANGER, row.operation, row.parameters, known).await;
    as_seen(world, row, answer)
}

/// An answer without what differs from request to request, and the reads before it.
pub(super) fn as_seen(world: &World, row: &Row, answer: Result<Value, ApiError>) -> (String, String, Vec<String>) {
    let reads = world.reads.lock().unwrap().clone();
    let (code, text) = match answer {
        Ok(Value::Object(mut answer)) if row.operation == "BatchGetSecretValue" => {
            let errors = answer.remove("Errors").unwrap_or_default();
            (errors[0]["Code"].as_str().unwrap_or("200").to_owned(), errors[0]["Message"].to_string())
        }
        Ok(answer) => ("200".to_owned(), answer.to_string()),
        Err(ApiError { code, message, remedy, .. }) => (code.to_owned(), format!("{message} {remedy:?}")),
    };
    (code, text, reads)
}

/// The blob with another key's ID in its header.
pub(super) fn of_missing_key(blob: &str, key: &str) -> String {
    let mut bytes = STANDARD.decode(blob).unwrap();
    let at = bytes.windows(key.len()).position(|window| window == key.as_bytes()).unwrap();
    bytes[at..at + MISSING.len()].copy_from_slice(MISSING.as_bytes());
    STANDARD.encode(bytes)
}
