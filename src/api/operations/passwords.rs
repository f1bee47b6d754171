//! GetRandomPassword: touches no resource.

use serde_json::{Value, json};

use super::rows;
use crate::api::{ApiError, Caller, Parameters};
use crate::crypto::password::PasswordRules;
use crate::kms::Service;

rows! {
    "GetRandomPassword" => get_random_password,
}

#[allow(clippy::unused_async)] // as every operation
pub(super) async fn get_random_password(
    service: &Service,
    _caller: &Caller,
    p: &Parameters,
) -> Result<Value, ApiError> {
    let without = |name: &str| p.boolean(name).map(|given| given.unwrap_or(false));
    let rules = PasswordRules {
        length: p.integer("PasswordLength", 8..=128)?.unwrap_or(32),
        without_lowercase: without("ExcludeLowercase")?,
        without_uppercase: without("ExcludeUppercase")?,
        without_numbers: without("ExcludeNumbers")?,
        without_punctuation: without("ExcludePunctuation")?,
        without: p.optional("ExcludeCharacters").unwrap_or_default().to_owned(),
        each_kind: p.boolean("RequireEachIncludedType")?.unwrap_or(true),
    };
    let password = rules.draw(service.random.as_ref()).map_err(|_| {
        ApiError::invalid_parameter("ExcludeCharacters")
            .with_remedy("Leave characters of each kind that is to be there.")
    })?;
    Ok(json!({"RandomPassword": password.as_str()}))
}
