//! What must hold after the migration. Each is printed with its outcome.

use serde_json::Value;

use super::client::{CallError, Client, text_at};
use super::keys::{CONTEXT, Key, Made};
use super::secrets::{self, Secret};
use super::story::{INSTANCE, Story};
use crate::catalogue::CatalogueError;
use crate::keystore::{KeystoreError, Place};

/// Outcomes so far.
#[derive(Debug, Default)]
pub(super) struct Checks {
    failed: usize,
}

impl Checks {
    /// Prints a check with its outcome.
    pub(super) fn tell(&mut self, what: &str, held: bool, detail: &str) {
        if held {
            println!("  ok      {what}");
        } else {
            self.failed = self.failed.saturating_add(1);
            println!("  FAILED  {what}: {detail}");
        }
    }

    /// How many did not hold.
    pub(super) const fn failed(&self) -> usize {
        self.failed
    }

    /// Checks keys: what was made with them, where they are, and every field of theirs.
    pub(super) async fn keys(&mut self, client: &Client, keys: &[Key]) -> Result<(), CallError> {
        let (mut bad, mut misplaced, mut changed, mut tried) = (Vec::new(), Vec::new(), Vec::new(), 0_usize);
        for key in keys {
            let state = text_at(&key.before, &["KeyMetadata", "KeyState"]);
            let after = client.call("DescribeKey", &[("KeyId", &key.id)]).await?;
            changed.extend(differences(&key.id, key.before.get("KeyMetadata"), after.get("KeyMetadata")));
            // Management works again: what is not usable is made so for the proof, and put back.
            match state.as_str() {
                "Disabled" => drop(client.call("EnableKey", &[("KeyId", &key.id)]).await?),
                "PendingDeletion" => drop(client.call("CancelKeyDeletion", &[("KeyId", &key.id)]).await?),
                _ => {}
            }
            for made in &key.made {
                tried = tried.saturating_add(1);
                if !still_good(client, &key.id, made).await.unwrap_or(false) {
                    bad.push(format!("{} ({})", key.id, key.what));
                }
            }
            if state == "Disabled" {
                client.call("DisableKey", &[("KeyId", &key.id)]).await?;
            }
            let expected = if key.moves { INSTANCE } else { "" };
            if text_at(&after, &["KeyMetadata", "DKMSInstanceId"]) != expected {
                misplaced.push(key.id.clone());
            }
        }
        self.tell(&format!("{tried} old ciphertexts open and old signatures verify"), bad.is_empty(), &bad.join(", "));
        self.tell(
            "every key that can move shows the instance, the others do not",
            misplaced.is_empty(),
            &misplaced.join(", "),
        );
        self.tell("no other field of any key has changed", changed.is_empty(), &changed.join(", "));
        Ok(())
    }

    /// Checks secrets: every version, its stages, and every field.
    pub(super) async fn secrets(&mut self, client: &Client, before: &[Secret]) -> Result<(), CallError> {
        let (mut unequal, mut misplaced, mut changed, mut versions) = (Vec::new(), Vec::new(), Vec::new(), 0_usize);
        for secret in before {
            let after = client.call("DescribeSecret", &[("SecretName", &secret.name), ("FetchTags", "true")]).await?;
            let values = secrets::read(client, &secret.name, &text_at(&after, &["SecretType"])).await?;
            versions = versions.saturating_add(values.len());
            if values != secret.values {
                unequal.push(secret.name.clone());
            }
            if text_at(&after, &["DKMSInstanceId"]) != INSTANCE {
                misplaced.push(secret.name.clone());
            }
            changed.extend(differences(&secret.name, Some(&secret.before), Some(&after)));
        }
        self.tell(
            &format!("{versions} secret versions have their values and stages"),
            unequal.is_empty(),
            &unequal.join(", "),
        );
        self.tell("every secret shows the instance", misplaced.is_empty(), &misplaced.join(", "));
        self.tell("no other field of any secret has changed", changed.is_empty(), &changed.join(", "));
        Ok(())
    }

    /// Checks that the shared keystore holds nothing any more of what has moved; asked past the API.
    pub(super) async fn source_is_empty(&mut self, story: &Story) -> Result<(), CatalogueError> {
        let (scope, service) = (story.scope(), story.service());
        let Some(source) = service.keystores.source(&scope.region) else {
            self.tell("the shared keystore answers", false, "there is none");
            return Ok(());
        };
        let (mut asked, mut left) = (0_usize, Vec::new());
        for key in service.catalogue.keys(&scope).await?.iter().filter(|key| key.keystore.instance().is_some()) {
            for version in service.catalogue.key_versions(&key.incarnation).await? {
                let place = Place { incarnation: key.incarnation.clone(), version: version.id.clone() };
                asked = asked.saturating_add(1);
                if !matches!(source.public_key(&place).await, Err(KeystoreError::Moved(_))) {
                    left.push(key.id.to_string());
                }
            }
        }
        for secret in service.catalogue.secrets(&scope).await?.iter().filter(|s| s.keystore.instance().is_some()) {
            for version in service.catalogue.secret_versions(&secret.incarnation).await? {
                let place = Place { incarnation: secret.incarnation.clone(), version: version.material.clone() };
                asked = asked.saturating_add(1);
                if !matches!(source.read_value(&place).await, Err(KeystoreError::Moved(_))) {
                    left.push(secret.name.to_string());
                }
            }
        }
        let what = format!("the shared keystore holds none of the {asked} versions that moved");
        self.tell(&what, asked > 0 && left.is_empty(), &left.join(", "));
        Ok(())
    }

    /// Checks that the gateway has neither store nor root key of an instance elsewhere.
    pub(super) fn apart(&mut self, story: &Story) {
        let Some(state) = story.gateway_alone() else { return };
        let places = [state.join("instances").join(INSTANCE), state.join("keys").join(format!("{INSTANCE}.key"))];
        let there: Vec<String> =
            places.iter().filter(|place| place.exists()).map(|place| place.display().to_string()).collect();
        self.tell("the gateway has no store and no root key of the instance", there.is_empty(), &there.join(", "));
    }

    /// Checks that keys are in the token of a hardware instance, and work there; asked past the API, too.
    pub(super) async fn in_token(&mut self, story: &Story, client: &Client, keys: &[Key]) -> Result<(), CallError> {
        let mut elsewhere = Vec::new();
        for key in keys {
            let after = client.call("DescribeKey", &[("KeyId", &key.id)]).await?;
            let expected = if key.moves { "HSM" } else { "SOFTWARE" };
            if text_at(&after, &["KeyMetadata", "ProtectionLevel"]) != expected {
                elsewhere.push(key.id.clone());
            }
        }
        let what = "protection level is HSM for what moved, SOFTWARE for what did not";
        self.tell(what, elsewhere.is_empty(), &elsewhere.join(", "));
        let target = INSTANCE.parse().ok().and_then(|id| story.service().keystores.target(&id));
        let Some(target) = target else {
            self.tell("the instance answers", false, "there is none");
            return Ok(());
        };
        match target.inventory().await {
            Ok(held) => {
                let bad: Vec<String> = held
                    .iter()
                    .flat_map(|held| held.versions.iter().filter_map(|version| version.fault.clone()))
                    .collect();
                let keys = held.iter().filter(|held| held.label.as_ref().is_ok_and(|label| label.spec.is_some()));
                let what = format!("each of the {} keys that the instance holds works in the token", keys.count());
                self.tell(&what, bad.is_empty(), &bad.join(", "));
            }
            Err(error) => self.tell("the token answers", false, &error.to_string()),
        }
        Ok(())
    }

    /// Checks that the scope is as open as before.
    pub(super) async fn open_again(&mut self, story: &Story, client: &Client, keys: &[Key]) -> Result<(), CallError> {
        let scope = story.scope();
        let catalogue = &story.service().catalogue;
        let gone = matches!((catalogue.gate(&scope).await, catalogue.lock_of(&scope).await), (Ok(None), Ok(None)));
        self.tell("the lock is gone", gone, "it is still there");
        let marks = catalogue.all_marks().await.map(|marks| marks.len());
        self.tell("no rotation is held back", matches!(marks, Ok(0)), "marks are left");
        let rotating = keys.iter().find(|key| text_at(&key.before, &["KeyMetadata", "AutomaticRotation"]) == "Enabled");
        if let Some(key) = rotating {
            let after = client.call("DescribeKey", &[("KeyId", &key.id)]).await?;
            let rotation = text_at(&after, &["KeyMetadata", "AutomaticRotation"]);
            self.tell("rotation is on again where it was on", rotation == "Enabled", &rotation);
        }
        if let Some(key) = keys.first() {
            let done = client.call("UpdateKeyDescription", &[("KeyId", &key.id), ("Description", key.what)]).await;
            self.tell(
                "management operations work again",
                done.is_ok(),
                &done.err().map(|e| e.to_string()).unwrap_or_default(),
            );
        }
        Ok(())
    }
}

/// Whether something that was made with a key is still good.
pub(super) async fn still_good(client: &Client, id: &str, made: &Made) -> Result<bool, CallError> {
    match made {
        Made::Sealed { blob, plaintext } => {
            let answer = client.call("Decrypt", &[("CiphertextBlob", blob), ("EncryptionContext", CONTEXT)]).await?;
            Ok(text_at(&answer, &["Plaintext"]) == *plaintext)
        }
        Made::Wrapped { version, blob, plaintext } => {
            let parameters = [
                ("KeyId", id),
                ("KeyVersionId", version),
                ("Algorithm", "RSAES_OAEP_SHA_256"),
                ("CiphertextBlob", blob),
            ];
            let answer = client.call("AsymmetricDecrypt", &parameters).await?;
            Ok(text_at(&answer, &["Plaintext"]) == *plaintext)
        }
        Made::Signature { version, algorithm, digest, value } => {
            let parameters = [
                ("KeyId", id),
                ("KeyVersionId", version),
                ("Algorithm", algorithm),
                ("Digest", digest),
                ("Value", value),
            ];
            let answer = client.call("AsymmetricVerify", &parameters).await?;
            Ok(answer.get("Value") == Some(&Value::Bool(true)))
        }
    }
}

/// Fields that differ; the instance may, and what goes with it.
fn differences(name: &str, before: Option<&Value>, after: Option<&Value>) -> Vec<String> {
    const MAY: [&str; 3] = ["DKMSInstanceId", "ProtectionLevel", "RequestId"];
    let (Some(Value::Object(before)), Some(Value::Object(after))) = (before, after) else {
        return vec![format!("{name} cannot be compared")];
    };
    let fields = before.keys().chain(after.keys().filter(|field| !before.contains_key(*field)));
    let changed = fields.filter(|field| !MAY.contains(&field.as_str()) && before.get(*field) != after.get(*field));
    changed.map(|field| format!("{name} {field}")).collect()
}
