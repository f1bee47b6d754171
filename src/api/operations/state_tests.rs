//! Every state of a key and every operation that a key has a part in (kms-protocol.md §9): what is answered, and the state
//! after it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::table;
use super::testing::{INSTANCE, World};
use crate::crypto::material::{DecryptAlgorithm, KeyMaterial};
use crate::crypto::verify::encrypt_to;
use crate::model::{KeySpec, SystemRandom};

mod denied;
mod foreign;
mod matrix;
mod naming;

use State::{Disabled, Enabled, PendingDeletion, PendingImport};
use matrix::{Kind, MATRIX, Row, STATES, State, WITHOUT_KEY};

type Known = BTreeMap<&'static str, String>;

#[test]
fn the_matrix_has_every_operation() {
    let tried: BTreeSet<&str> = MATRIX.iter().map(|row| row.operation).collect();
    let without: BTreeSet<&str> = WITHOUT_KEY.iter().copied().collect();
    assert!(tried.is_disjoint(&without));
    let all: BTreeSet<&str> = table().map(|row| row.name).collect();
    assert_eq!(tried.union(&without).copied().collect::<BTreeSet<_>>(), all);
}

#[tokio::test]
async fn every_operation_answers_every_state_as_documented() {
    let world = World::new().await;
    let public = KeyMaterial::generate(KeySpec::Rsa2048, &SystemRandom).unwrap().open().unwrap();
    let mut known = Known::from([
        ("digest", STANDARD.encode([7; 32])),
        ("public", STANDARD.encode(public.public_key_der().unwrap())),
    ]);
    let other = create(&world, &[], &mut known, "other").await;
    let sealed = ask(&world, "Encrypt", &[("KeyId", &other), ("Plaintext", "aGk=")]).await;
    known.insert("other blob", sealed["CiphertextBlob"].as_str().unwrap().to_owned());
    let mut wrong = Vec::new();
    for (number, row) in MATRIX.iter().enumerate() {
        for (at, state) in STATES.into_iter().enumerate() {
            if state == PendingImport && matches!(row.kind, Kind::Signing | Kind::Rsa | Kind::Mac | Kind::There) {
                continue;
            }
            let subject = Subject { world: &world, known: &known, number: number * 4 + at };
            let known = subject.make(row.kind, state).await;
            let seen = outcome(&world, row, &known).await;
            let after = state_of(&world, &known["key"]).await;
            let expected = row.then[at].unwrap_or(state);
            if seen != row.outcomes[at] || after != format!("{expected:?}") {
                wrong.push(format!(
                    "{} in {state:?}: {seen:?} and {after}, not {:?} and {expected:?}",
                    row.operation, row.outcomes[at]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn rotation_is_suspended_while_the_key_is_not_enabled() {
    let world = World::new().await;
    let mut known = Known::new();
    let rotating = [("EnableAutomaticRotation", "true"), ("RotationInterval", "7d")];
    let key = create(&world, &rotating, &mut known, "key").await;
    for (operation, shown) in [
        ("EnableKey", "Enabled"),
        ("DisableKey", "Suspended"),
        ("ScheduleKeyDeletion", "Suspended"),
        ("CancelKeyDeletion", "Enabled"),
    ] {
        ask(&world, operation, &[("KeyId", &key), ("PendingWindowInDays", "7")]).await;
        let seen = ask(&world, "DescribeKey", &[("KeyId", &key)]).await;
        assert_eq!(seen["KeyMetadata"]["AutomaticRotation"], shown, "{operation}");
        assert!(seen["KeyMetadata"]["NextRotationDate"].is_string(), "{operation}");
    }
}

/// Makes a key of its own for each case.
struct Subject<'a> {
    world: &'a World,
    known: &'a Known,
    number: usize,
}

impl Subject<'_> {
    async fn make(&self, kind: Kind, state: State) -> Known {
        let (world, mut known) = (self.world, self.known.clone());
        let external = kind == Kind::External || state == PendingImport;
        let wishes: &[(&str, &str)] = match kind {
            _ if external => &[("Origin", "EXTERNAL")],
            Kind::Aes | Kind::External => &[],
            Kind::Signing => &[("KeySpec", "EC_P256")],
            Kind::Rsa => &[("KeySpec", "RSA_2048"), ("KeyUsage", "ENCRYPT/DECRYPT")],
            Kind::Mac => &[("KeySpec", "HMAC_SHA_256"), ("DKMSInstanceId", INSTANCE)],
            Kind::There => &[("DKMSInstanceId", INSTANCE)],
        };
        let key = create(world, wishes, &mut known, "key").await;
        if external {
            self.import(&key, &mut known).await;
        }
        for (name, text) in [
            ("new secret", format!("new/{}", self.number)),
            ("secret", format!("old/{}", self.number)),
            ("new alias", format!("alias/new-{}", self.number)),
            ("alias", format!("alias/old-{}", self.number)),
            ("other alias", format!("alias/other-{}", self.number)),
        ] {
            known.insert(name, text);
        }
        known.insert("batch", format!("[{{\"SecretName\":\"old/{}\"}}]", self.number));
        ask(world, "CreateAlias", &[("KeyId", &key), ("AliasName", &known["alias"])]).await;
        ask(world, "CreateAlias", &[("KeyId", &known["other"]), ("AliasName", &known["other alias"])]).await;
        match kind {
            Kind::Aes | Kind::External => {
                let sealed = ask(world, "Encrypt", &[("KeyId", &key), ("Plaintext", "aGk=")]).await;
                known.insert("blob", sealed["CiphertextBlob"].as_str().unwrap().to_owned());
                let secret = [
                    ("SecretName", known["secret"].as_str()),
                    ("SecretData", "v"),
                    ("VersionId", "v1"),
                    ("EncryptionKeyId", key.as_str()),
                ];
                ask(world, "CreateSecret", &secret).await;
            }
            _ => {
                let versions = ask(world, "ListKeyVersions", &[("KeyId", &key)]).await;
                let version = versions["KeyVersions"]["KeyVersion"][0]["KeyVersionId"].as_str().unwrap().to_owned();
                if kind == Kind::Rsa {
                    let wish = [
                        ("KeyId", key.as_str()),
                        ("KeyVersionId", version.as_str()),
                        ("Algorithm", "RSAES_OAEP_SHA_256"),
                        ("Plaintext", "aGk="),
                    ];
                    let made = ask(world, "AsymmetricEncrypt", &wish).await;
                    known.insert("ciphertext", made["CiphertextBlob"].as_str().unwrap().to_owned());
                }
                known.insert("version", version);
            }
        }
        match state {
            Enabled => {}
            Disabled => drop(ask(world, "DisableKey", &[("KeyId", &key)]).await),
            PendingDeletion => {
                ask(world, "ScheduleKeyDeletion", &[("KeyId", &key), ("PendingWindowInDays", "7")]).await;
            }
            PendingImport => drop(ask(world, "DeleteKeyMaterial", &[("KeyId", &key)]).await),
        }
        assert_eq!(state_of(world, &key).await, format!("{state:?}"));
        known
    }

    async fn import(&self, key: &str, known: &mut Known) {
        let wish = [("KeyId", key), ("WrappingKeySpec", "RSA_2048"), ("WrappingAlgorithm", "RSAES_OAEP_SHA_256")];
        let offer = ask(self.world, "GetParametersForImport", &wish).await;
        let public = STANDARD.decode(offer["PublicKey"].as_str().unwrap()).unwrap();
        let wrapped = STANDARD.encode(encrypt_to(&public, DecryptAlgorithm::OaepSha256, &[9; 32]).unwrap());
        let token = offer["ImportToken"].as_str().unwrap().to_owned();
        let order = [
            ("KeyId", key),
            ("ImportToken", token.as_str()),
            ("EncryptedKeyMaterial", wrapped.as_str()),
            ("KeyMaterialExpireUnix", "0"),
        ];
        ask(self.world, "ImportKeyMaterial", &order).await;
        known.insert("token", token);
        known.insert("wrapped", wrapped);
    }
}

async fn create(world: &World, wishes: &[(&str, &str)], known: &mut Known, name: &'static str) -> String {
    let made = ask(world, "CreateKey", wishes).await;
    let key = made["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned();
    known.insert(name, key.clone());
    key
}

async fn ask(world: &World, operation: &str, parameters: &[(&str, &str)]) -> serde_json::Value {
    world
        .ask(operation, parameters, &BTreeMap::new())
        .await
        .unwrap_or_else(|error| panic!("{operation}: {} {} {:?}", error.code, error.message, error.remedy))
}

/// The code that is answered, empty for success.
async fn outcome(world: &World, row: &Row, known: &Known) -> String {
    match world.ask(row.operation, row.parameters, known).await {
        Ok(answer) => answer["Errors"][0]["Code"].as_str().unwrap_or_default().to_owned(),
        Err(error) => error.code.to_owned(),
    }
}

async fn state_of(world: &World, key: &str) -> String {
    ask(world, "DescribeKey", &[("KeyId", key)]).await["KeyMetadata"]["KeyState"].as_str().unwrap().to_owned()
}
