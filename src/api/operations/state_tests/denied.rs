//! Identities × operations: who may do what, and that whoever may not learns nothing, neither by words nor by reads.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::foreign::{BY_NAME, MISSING, STRANGER, as_seen, of_missing_key, plain};
use super::matrix::Row;
use super::*;
use crate::access::{Attached, Identity, Policy, Principal};
use crate::api::operations::testing::OWNER;
use crate::api::{Plane, actions};
use crate::catalogue::Change;
use crate::kms::Acting;
use crate::model::Scope;

/// A user of an account with a policy.
fn user(account: &str, policies: Vec<Attached>) -> Acting {
    let principal = Principal::user(account.parse().unwrap(), "alice");
    Acting { identity: Some(Arc::new(Identity { principal, policies, session: None })), ..Acting::default() }
}

fn built_in(name: &str) -> Vec<Attached> {
    vec![Attached::built_in(name).unwrap()]
}

/// A policy with one allowing statement.
fn allowing(action: &str, resource: &str) -> Vec<Attached> {
    let text =
        format!(r#"{{"Version":"1","Statement":[{{"Effect":"Allow","Action":"{action}","Resource":"{resource}"}}]}}"#);
    vec![Attached { name: "own".to_owned(), policy: Arc::new(Policy::identity(&text).unwrap()) }]
}

fn rows() -> impl Iterator<Item = Row> {
    let named = BY_NAME.iter().map(|(operation, parameters)| Row { operation, parameters, ..plain() });
    let others = ["CreateKey", "ListKeys", "ListAliases", "ListSecrets", "ListKmsInstances", "GetRandomPassword"];
    let others = others.into_iter().map(|operation| Row { operation, ..plain() });
    MATRIX.iter().map(|row| Row { then: row.then, ..*row }).chain(named).chain(others)
}

/// What is there, and names of the same kinds that lead nowhere.
async fn world() -> (World, Known) {
    let world = World::new().await;
    let public = KeyMaterial::generate(KeySpec::Rsa2048, &SystemRandom).unwrap().open().unwrap();
    let mut known = Known::from([
        ("digest", STANDARD.encode([7; 32])),
        ("public", STANDARD.encode(public.public_key_der().unwrap())),
        ("instance", INSTANCE.to_owned()),
        ("policy", "{\"Version\":\"1\",\"Statement\":[]}".to_owned()),
    ]);
    let other = create(&world, &[], &mut known, "other").await;
    let sealed = ask(&world, "Encrypt", &[("KeyId", &other), ("Plaintext", "aGk=")]).await;
    known.insert("other blob", sealed["CiphertextBlob"].as_str().unwrap().to_owned());
    (world, known)
}

fn without(there: &Known) -> Known {
    let mut missing = there.clone();
    for (name, text) in [
        ("key", MISSING.to_owned()),
        ("other", MISSING.to_owned()),
        ("secret", "no/such".to_owned()),
        ("batch", "[{\"SecretName\":\"no/such\"}]".to_owned()),
        ("alias", "alias/none".to_owned()),
        ("other alias", "alias/none-either".to_owned()),
        ("instance", "kst-hzz9999999999999999".to_owned()),
    ] {
        missing.insert(name, text);
    }
    for (blob, key) in [("blob", "key"), ("other blob", "other")] {
        if let Some(sealed) = there.get(blob) {
            missing.insert(blob, of_missing_key(sealed, &there[key]));
        }
    }
    missing
}

/// The owner's key and secret as another account names them.
fn by_arn(known: &Known) -> Known {
    let mut named = known.clone();
    for (name, kind) in [("key", "key/"), ("secret", "secret/")] {
        named.insert(name, format!("acs:kms:cn-hangzhou:{OWNER}:{kind}{}", known[name]));
    }
    named
}

async fn code(world: &World, account: &str, acting: &Acting, row: &Row, known: &Known) -> String {
    match world.ask_acting(account, acting.clone(), row.operation, row.parameters, known).await {
        Ok(answer) => answer["Errors"][0]["Code"].as_str().unwrap_or_default().to_owned(),
        Err(error) => error.code.to_owned(),
    }
}

const DENIED: &str = "Forbidden.NoPermission";

#[tokio::test]
async fn a_user_without_a_right_is_told_the_same_of_what_is_there_and_what_is_not() {
    let (world, known) = world().await;
    let nobody = user(OWNER, Vec::new());
    for (number, row) in rows().enumerate() {
        let there = Subject { world: &world, known: &known, number }.make(row.kind, Enabled).await;
        let mut seen = Vec::new();
        for known in [&there, &without(&there)] {
            world.reads.lock().unwrap().clear();
            let answer = world.ask_acting(OWNER, nobody.clone(), row.operation, row.parameters, known).await;
            seen.push(as_seen(&world, &row, answer));
        }
        assert_eq!(seen[0], seen[1], "{} {:?}", row.operation, row.parameters);
        assert_eq!(seen[0].0, DENIED, "{} {:?}", row.operation, row.parameters);
    }
}

/// The policies of key and secret, and the caller's own, allow another account everything: it may use, and nothing else.
#[tokio::test]
async fn another_account_uses_and_never_administers_whatever_policies_allow() {
    let (world, known) = world().await;
    let all = format!(
        r#"{{"Version":"1","Statement":[{{"Effect":"Allow","Principal":{{"RAM":["acs:ram::{STRANGER}:*"]}},"Action":"kms:*"}}]}}"#
    );
    let scope = Scope { region: "cn-hangzhou".parse().unwrap(), account: OWNER.parse().unwrap() };
    let catalogue = &world.service().catalogue;
    let (mut used, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for (number, row) in rows().enumerate() {
        let names = |name: &str| row.parameters.iter().any(|(_, value)| *value == format!("{{{name}}}"));
        if !(names("key") || names("secret")) || row.operation == "CreateSecret" {
            continue;
        }
        let there = Subject { world: &world, known: &known, number }.make(row.kind, Enabled).await;
        for mut key in catalogue.keys(&scope).await.unwrap() {
            let mut change = Change::guarded(&catalogue.guard(&scope).await.unwrap());
            key.policy = Some(all.clone());
            change.update_key(&key).unwrap();
            catalogue.commit(change).await.unwrap();
        }
        for mut secret in catalogue.secrets(&scope).await.unwrap() {
            let mut change = Change::guarded(&catalogue.guard(&scope).await.unwrap());
            secret.policy = Some(all.clone());
            change.update_secret(&secret).unwrap();
            catalogue.commit(change).await.unwrap();
        }
        let seen = code(&world, STRANGER, &user(STRANGER, allowing("kms:*", "*")), &row, &by_arn(&there)).await;
        let uses = crate::access::is_use(&format!("kms:{}", row.operation));
        assert_eq!(seen != DENIED, uses, "{} {:?}: {seen}", row.operation, row.parameters);
        if uses {
            used.insert(row.operation)
        } else {
            refused.insert(row.operation)
        };
    }
    // Neither kind is missing from the walk.
    assert!(used.len() >= 12 && refused.len() >= 20, "{used:?} {refused:?}");
}

#[tokio::test]
async fn another_account_is_told_the_same_by_arn() {
    let (world, known) = world().await;
    for (number, row) in rows().enumerate() {
        let names = |name: &str| row.parameters.iter().any(|(_, value)| *value == format!("{{{name}}}"));
        // Only what names a key or a secret of the owner can be asked for by ARN.
        if !(names("key") || names("secret")) || row.operation == "CreateSecret" {
            continue;
        }
        let there = Subject { world: &world, known: &known, number }.make(row.kind, Enabled).await;
        for acting in [Acting::default(), user(STRANGER, allowing("kms:*", "*"))] {
            let mut seen = Vec::new();
            for known in [by_arn(&there), by_arn(&without(&there))] {
                world.reads.lock().unwrap().clear();
                let answer = world.ask_acting(STRANGER, acting.clone(), row.operation, row.parameters, &known).await;
                seen.push(as_seen(&world, &row, answer));
            }
            assert_eq!(seen[0], seen[1], "{} {:?}", row.operation, row.parameters);
            // To the root identity it is missing, a user is told of the right that is.
            if acting.identity.is_some() {
                assert_eq!(seen[0].0, DENIED, "{} {:?}", row.operation, row.parameters);
            } else {
                let missing = seen[0].0 != "200" || row.operation == "ListTagResources";
                assert!(missing && seen[0].0 != DENIED, "{} {:?} {:?}", row.operation, row.parameters, seen[0]);
            }
        }
    }
}

#[tokio::test]
async fn each_built_in_policy_permits_what_it_says_and_nothing_else() {
    let (world, known) = world().await;
    let cryptography = [
        "Encrypt",
        "Decrypt",
        "ReEncrypt",
        "GenerateDataKey",
        "GenerateDataKeyWithoutPlaintext",
        "ExportDataKey",
        "GenerateAndExportDataKey",
        "AsymmetricEncrypt",
        "AsymmetricDecrypt",
        "AsymmetricSign",
        "AsymmetricVerify",
        "GenerateMac",
        "VerifyMac",
        "GetPublicKey",
        "DescribeKey",
        "DescribeKeyVersion",
        "ListKeyVersions",
    ];
    let may = |policy: &str, operation: &str| match policy {
        "AliyunKMSFullAccess" => true,
        "AliyunKMSCryptoUserAccess" => cryptography.contains(&operation),
        _ => actions::find(operation).unwrap().plane == Plane::Read || operation == "GetPublicKey",
    };
    let mut number = 0;
    for row in rows() {
        for policy in ["AliyunKMSFullAccess", "AliyunKMSCryptoUserAccess", "AliyunKMSReadOnlyAccess"] {
            number += 1;
            let there = Subject { world: &world, known: &known, number }.make(row.kind, Enabled).await;
            let seen = code(&world, OWNER, &user(OWNER, built_in(policy)), &row, &there).await;
            assert_eq!(seen != DENIED, may(policy, row.operation), "{policy} {}: {seen}", row.operation);
            if policy == "AliyunKMSFullAccess" && MATRIX.iter().any(|of| of.operation == row.operation) {
                assert_eq!(seen, row.outcomes[0], "{}: as for the root identity", row.operation);
            }
        }
    }
}

#[tokio::test]
async fn a_right_to_one_key_is_one_to_that_key_alone() {
    let (world, mut known) = world().await;
    let mine = create(&world, &[], &mut known, "mine").await;
    ask(&world, "CreateAlias", &[("KeyId", &mine), ("AliasName", "alias/mine")]).await;
    ask(&world, "CreateAlias", &[("KeyId", &known["other"]), ("AliasName", "alias/other")]).await;
    let arn = format!("acs:kms:cn-hangzhou:{OWNER}:key/{mine}");
    let acting = user(OWNER, allowing("kms:Encrypt", &arn));
    let asked = async |key: &str| {
        let row = Row { operation: "Encrypt", parameters: &[("KeyId", "{asked}"), ("Plaintext", "aGk=")], ..plain() };
        let known = Known::from([("asked", key.to_owned())]);
        code(&world, OWNER, &acting, &row, &known).await
    };
    for name in [mine.as_str(), "alias/mine", &arn, &format!("acs:kms:cn-hangzhou:{OWNER}:alias/mine")] {
        assert_eq!(asked(name).await, "", "{name}");
    }
    for name in
        [known["other"].as_str(), "alias/other", "alias/none", MISSING, "nonsense", "acs:kms:cn-hangzhou:x:key/y"]
    {
        assert_eq!(asked(name).await, DENIED, "{name}");
    }
}

#[tokio::test]
async fn a_value_needs_the_right_to_decrypt_with_its_key() {
    let (world, known) = world().await;
    let there = Subject { world: &world, known: &known, number: 0 }.make(Kind::Aes, Enabled).await;
    let read = Row { operation: "GetSecretValue", parameters: &[("SecretName", "{secret}")], ..plain() };
    let only = user(OWNER, allowing("kms:GetSecretValue", "acs:kms:*:*:secret/old/*"));
    assert_eq!(code(&world, OWNER, &only, &read, &there).await, DENIED);
    let mut both = allowing("kms:GetSecretValue", "acs:kms:*:*:secret/old/*");
    both.extend(allowing("kms:Decrypt", &format!("acs:kms:*:*:key/{}", there["key"])));
    let both = user(OWNER, both);
    assert_eq!(code(&world, OWNER, &both, &read, &there).await, "");
    let batch = Row { operation: "BatchGetSecretValue", parameters: &[("SecretsList", "{batch}")], ..plain() };
    assert_eq!(code(&world, OWNER, &both, &batch, &there).await, "");
    assert_eq!(code(&world, OWNER, &only, &batch, &there).await, DENIED);
}

#[tokio::test]
async fn another_account_uses_what_the_policy_of_a_key_and_its_own_allow() {
    let (world, mut known) = world().await;
    let key = create(&world, &[("DKMSInstanceId", INSTANCE)], &mut known, "shared").await;
    let policy = format!(
        r#"{{"Version":"1","Statement":[{{"Effect":"Allow","Principal":{{"RAM":["acs:ram::{STRANGER}:*"]}},"Action":"kms:*"}}]}}"#
    );
    ask(&world, "SetKeyPolicy", &[("KeyId", &key), ("Policy", &policy)]).await;
    let arn = format!("acs:kms:cn-hangzhou:{OWNER}:key/{key}");
    known.insert("arn", arn.clone());
    let encrypt = Row { operation: "Encrypt", parameters: &[("KeyId", "{arn}"), ("Plaintext", "aGk=")], ..plain() };
    let by_id = Row { operation: "Encrypt", parameters: &[("KeyId", "{shared}"), ("Plaintext", "aGk=")], ..plain() };
    let disable = Row { operation: "DisableKey", parameters: &[("KeyId", "{arn}")], ..plain() };
    let own = allowing("kms:*", &arn);
    for (acting, encrypts) in [
        (Acting::default(), true),
        (user(STRANGER, own.clone()), true),
        (user(STRANGER, Vec::new()), false),
        (user(STRANGER, allowing("kms:*", "acs:kms:*:*:key/other")), false),
    ] {
        let seen = code(&world, STRANGER, &acting, &encrypt, &known).await;
        assert_eq!(seen, if encrypts { "" } else { DENIED });
        let refused = if acting.identity.is_some() { DENIED } else { "Forbidden.KeyNotFound" };
        assert_eq!(code(&world, STRANGER, &acting, &disable, &known).await, refused);
    }
    // Its own secrets lie under its own keys: otherwise they would lie in the other's scope, and pass its lock.
    let before = world.service().catalogue.scopes().await.unwrap();
    let under = Row {
        operation: "CreateSecret",
        parameters: &[("SecretName", "n"), ("VersionId", "v"), ("SecretData", "d"), ("EncryptionKeyId", "{arn}")],
        ..plain()
    };
    for acting in [Acting::default(), user(STRANGER, allowing("kms:*", "*"))] {
        assert_eq!(code(&world, STRANGER, &acting, &under, &known).await, "Forbidden.KeyNotFound");
    }
    assert_eq!(world.service().catalogue.scopes().await.unwrap(), before);
    // A plain ID names nothing of another account.
    assert_eq!(code(&world, STRANGER, &Acting::default(), &by_id, &known).await, "Forbidden.KeyNotFound");
    // What was encrypted there opens for who may, under the key that the blob names, and re-encrypts to an own key.
    let made = world.ask_acting(STRANGER, Acting::default(), "Encrypt", encrypt.parameters, &known).await.unwrap();
    known.insert("sealed", made["CiphertextBlob"].as_str().unwrap().to_owned());
    let mine = world.ask_as(STRANGER, "CreateKey", &[], &known).await.unwrap();
    known.insert("mine", mine["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned());
    let decrypt = Row { operation: "Decrypt", parameters: &[("CiphertextBlob", "{sealed}")], ..plain() };
    let again = Row {
        operation: "ReEncrypt",
        parameters: &[("CiphertextBlob", "{sealed}"), ("DestinationKeyId", "{mine}")],
        ..plain()
    };
    for row in [&decrypt, &again] {
        assert_eq!(code(&world, STRANGER, &Acting::default(), row, &known).await, "", "{}", row.operation);
    }
    let opened = world.ask_as(STRANGER, "Decrypt", decrypt.parameters, &known).await.unwrap();
    assert_eq!(opened["Plaintext"], "aGk=");
    // Taken back, the next request is refused, and the blob is one of a missing key.
    ask(&world, "SetKeyPolicy", &[("KeyId", &key), ("Policy", "{\"Version\":\"1\",\"Statement\":[]}")]).await;
    assert_eq!(code(&world, STRANGER, &user(STRANGER, own), &encrypt, &known).await, DENIED);
    assert_eq!(code(&world, STRANGER, &Acting::default(), &encrypt, &known).await, "Forbidden.KeyNotFound");
    assert_eq!(code(&world, STRANGER, &Acting::default(), &decrypt, &known).await, "InvalidParameter");
}

#[tokio::test]
async fn conditions_on_tags_follow_the_tags() {
    let (world, mut known) = world().await;
    let key = create(&world, &[("Tags", r#"[{"TagKey":"team","TagValue":"pay"}]"#)], &mut known, "tagged").await;
    let text = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*",
        "Condition":{"StringEquals":{"kms:tag/team":"pay"}}}]}"#;
    let policies = vec![Attached { name: "own".to_owned(), policy: Arc::new(Policy::identity(text).unwrap()) }];
    let acting = user(OWNER, policies);
    let describe =
        |name: &'static [(&'static str, &'static str)]| Row { operation: "DescribeKey", parameters: name, ..plain() };
    assert_eq!(code(&world, OWNER, &acting, &describe(&[("KeyId", "{tagged}")]), &known).await, "");
    assert_eq!(code(&world, OWNER, &acting, &describe(&[("KeyId", "{other}")]), &known).await, DENIED);
    ask(&world, "UntagResource", &[("KeyId", &key), ("TagKeys", "team")]).await;
    assert_eq!(code(&world, OWNER, &acting, &describe(&[("KeyId", "{tagged}")]), &known).await, DENIED);
}

#[tokio::test]
async fn a_denied_change_is_in_the_audit_trail_with_who_asked() {
    let (world, known) = world().await;
    let row = Row { operation: "DisableKey", parameters: &[("KeyId", "{other}")], ..plain() };
    assert_eq!(code(&world, OWNER, &user(OWNER, Vec::new()), &row, &known).await, DENIED);
    let entries = crate::store::scan_records::<crate::audit::Entry>(world.store.as_ref(), b"a/new/", None, usize::MAX)
        .await
        .unwrap();
    let denied: Vec<_> = entries.iter().filter(|(_, entry)| entry.action == "DisableKey").collect();
    assert_eq!(denied.len(), 1);
    assert_eq!(denied[0].1.outcome, DENIED);
    assert!(denied[0].1.actor.to_string().starts_with("user/alice of 1000000000000001 by access key LTAItest"));
}

#[tokio::test]
async fn a_blob_in_another_wording_is_no_way_around_a_denial() {
    let (world, mut known) = world().await;
    let text = format!(
        r#"{{"Version":"1","Statement":[{{"Effect":"Allow","Action":"kms:*","Resource":"*"}},
            {{"Effect":"Deny","Action":"kms:Decrypt","Resource":"acs:kms:*:*:key/{}"}}]}}"#,
        known["other"]
    );
    let policies = vec![Attached { name: "own".to_owned(), policy: Arc::new(Policy::identity(&text).unwrap()) }];
    let acting = user(OWNER, policies);
    let whole = known["other blob"].clone();
    for wording in [
        whole.clone(),
        format!("{whole}="),
        format!(" {whole}"),
        format!("{whole}\n"),
        whole.trim_end_matches('=').to_owned(),
        whole.replace('+', "-").replace('/', "_"),
        format!("{}AA==", whole.trim_end_matches('=')),
    ] {
        known.insert("worded", wording);
        let row = Row { operation: "Decrypt", parameters: &[("CiphertextBlob", "{worded}")], ..plain() };
        let seen = code(&world, OWNER, &acting, &row, &known).await;
        assert!(seen == DENIED || seen == "InvalidParameter", "{seen}");
    }
}
