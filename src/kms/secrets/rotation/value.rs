//! The value that a rotation brings.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::crypto::password::PasswordRules;
use crate::crypto::ssh_key::draw_ssh_key;
use crate::kms::{KmsError, Service};
use crate::model::{SecretRecord, SecretType, format_utc};

/// Characters of a password. Letters and digits alone: a password goes through shells, URLs and configuration files.
const PASSWORD: usize = 32;
/// ECS takes at most 30 characters.
const ECS_PASSWORD: usize = 30;
/// An access key's ID begins like this.
const ACCESS_KEY: &str = "LTAI5t";
const ACCESS_KEY_ID: usize = 24;
const ACCESS_KEY_SECRET: usize = 30;

/// What a rotation brings. No `Debug`: it carries the value.
pub(super) struct Fresh {
    pub(super) value: Zeroizing<Vec<u8>>,
    /// The access key that goes out of use.
    pub(super) retires: Option<String>,
}

impl Service {
    /// The next value of a managed secret, from the current one and the one before.
    pub(super) async fn next_value(
        &self,
        secret: &SecretRecord,
        current: &[u8],
        previous: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<Fresh, KmsError> {
        let (current, previous) = (object(secret, current)?, previous.map(|value| object(secret, value)).transpose()?);
        let (value, retires) = match secret.secret_type {
            SecretType::Generic => return Err(KmsError::Internal("a Generic secret does not rotate".to_owned())),
            SecretType::Rds => {
                // The account that nobody reads now, if there are two.
                let account = member(secret, previous.as_ref().unwrap_or(&current), "AccountName")?;
                let password = self.draw_password(PASSWORD)?;
                (json!({"AccountName": account, "AccountPassword": password.as_str()}), None)
            }
            SecretType::RAMCredentials => {
                let retires = match &previous {
                    Some(previous) => Some(member(secret, previous, "AccessKeyId")?.to_owned()),
                    None => None,
                };
                let random = self.draw_password(ACCESS_KEY_ID.saturating_sub(ACCESS_KEY.len()))?;
                let key = self.draw_password(ACCESS_KEY_SECRET)?;
                let value = json!({
                    "AccessKeyId": format!("{ACCESS_KEY}{}", random.as_str()),
                    "AccessKeySecret": key.as_str(),
                    "GenerateTimestamp": format_utc(now),
                });
                (value, retires)
            }
            SecretType::ECS => {
                let user = member(secret, &current, "UserName")?;
                if current.contains_key("Password") {
                    let password = self.draw_password(ECS_PASSWORD)?;
                    (json!({"UserName": user, "Password": password.as_str()}), None)
                } else {
                    // Finding primes takes a while.
                    let drawn = tokio::task::spawn_blocking(draw_ssh_key).await;
                    let pair = drawn.map_err(internal)?.map_err(internal)?;
                    let private = pair.private.as_str();
                    (json!({"UserName": user, "PublicKey": pair.public, "PrivateKey": private}), None)
                }
            }
        };
        let value = serde_json::to_vec(&value).map(Zeroizing::new).map_err(internal)?;
        Ok(Fresh { value, retires })
    }

    fn draw_password(&self, length: usize) -> Result<Zeroizing<String>, KmsError> {
        let rules = PasswordRules {
            length,
            without_lowercase: false,
            without_uppercase: false,
            without_numbers: false,
            without_punctuation: true,
            without: String::new(),
            each_kind: true,
        };
        rules.draw(self.random.as_ref()).map_err(internal)
    }
}

fn object(secret: &SecretRecord, value: &[u8]) -> Result<Map<String, Value>, KmsError> {
    serde_json::from_slice(value)
        .map_err(|_| KmsError::Internal(format!("the value of managed secret {} is no JSON object", secret.name)))
}

fn member<'a>(secret: &SecretRecord, object: &'a Map<String, Value>, name: &str) -> Result<&'a str, KmsError> {
    object
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| KmsError::Internal(format!("the value of managed secret {} has no {name}", secret.name)))
}

fn internal(error: impl ToString) -> KmsError {
    KmsError::Internal(error.to_string())
}
