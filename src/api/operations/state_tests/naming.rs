//! How each operation lets a key be named (kms-protocol.md §9): its ID and its ARN everywhere, aliases where the vendor
//! documents them. Answers give the ID, whatever was sent.

use serde_json::Value;

use super::*;
use crate::api::operations::testing::OWNER;

/// Operations that take an alias for the key.
const TAKE_ALIASES: &[&str] = &[
    "AsymmetricDecrypt",
    "AsymmetricEncrypt",
    "AsymmetricSign",
    "AsymmetricVerify",
    "CreateKeyVersion",
    "DescribeKey",
    "DescribeKeyVersion",
    "Encrypt",
    "GenerateAndExportDataKey",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateMac",
    "GetPublicKey",
    "ListKeyVersions",
    "VerifyMac",
];

#[tokio::test]
async fn ids_and_arns_name_a_key_everywhere_and_aliases_where_documented() {
    let world = World::new().await;
    let public = KeyMaterial::generate(KeySpec::Rsa2048, &SystemRandom).unwrap().open().unwrap();
    let mut base = Known::from([
        ("digest", STANDARD.encode([7; 32])),
        ("public", STANDARD.encode(public.public_key_der().unwrap())),
    ]);
    create(&world, &[], &mut base, "other").await;
    let mut number = 0;
    let mut took = BTreeSet::new();
    for row in MATRIX.iter().filter(|row| row.parameters.contains(&("KeyId", "{key}"))) {
        for form in ["id", "arn", "alias", "alias arn"] {
            // Cancelling needs a key that waits for its deletion.
            let state = if row.outcomes[0].is_empty() { Enabled } else { PendingDeletion };
            let mut known = Subject { world: &world, known: &base, number }.make(row.kind, state).await;
            number += 1;
            let id = known["key"].clone();
            let alias = known["alias"].clone();
            let named = match form {
                "id" => id.clone(),
                "arn" => format!("acs:kms:cn-hangzhou:{OWNER}:key/{id}"),
                "alias" => alias,
                _ => format!("acs:kms:cn-hangzhou:{OWNER}:{alias}"),
            };
            known.insert("key", named);
            let answer = world.ask(row.operation, row.parameters, &known).await;
            let aliased = form.starts_with("alias");
            match answer {
                Ok(answer) => {
                    if aliased {
                        took.insert(row.operation);
                    }
                    let mut ids = Vec::new();
                    key_ids(&answer, &mut ids);
                    assert!(ids.iter().all(|shown| *shown == id), "{} by {form}: {answer}", row.operation);
                }
                Err(error) => {
                    assert!(aliased, "{} by {form}: {} {}", row.operation, error.code, error.message);
                    assert_eq!(error.code, "Unsupported.Alias", "{} by {form}", row.operation);
                    assert!(!TAKE_ALIASES.contains(&row.operation), "{} by {form}", row.operation);
                }
            }
        }
    }
    assert_eq!(took, TAKE_ALIASES.iter().copied().collect());
}

/// Every `KeyId` in an answer.
fn key_ids(answer: &Value, found: &mut Vec<String>) {
    match answer {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if name == "KeyId" => found.push(text.clone()),
                    other => key_ids(other, found),
                }
            }
        }
        Value::Array(entries) => entries.iter().for_each(|entry| key_ids(entry, found)),
        _ => {}
    }
}
