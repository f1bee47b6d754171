//! How callers name keys and secrets: IDs, aliases and ARNs (kms-protocol.md §9).
//!
//! An ARN of another region or account names nothing here; a foreign key is to look like a missing one.

use std::str::FromStr;

use super::{Caller, KmsError};
use crate::catalogue::KeyOrAlias;
use crate::model::{AccountId, KeyId, RegionId, SecretName};

/// Reads a `KeyId` parameter: key ID, `alias/NAME`, key ARN or alias ARN.
///
/// # Errors
/// `KeyNotFound` or `AliasNotFound` for a name that cannot exist in the caller's scope.
pub fn key_name(caller: &Caller, text: &str) -> Result<KeyOrAlias, KmsError> {
    let local = local_part(caller, text);
    let name = local.unwrap_or_default();
    if name.starts_with("alias/") {
        return Ok(KeyOrAlias::Alias(name.to_owned()));
    }
    let id = match (text.starts_with("acs:kms:"), name.strip_prefix("key/")) {
        (true, Some(id)) => id,
        (false, _) => name,
        (true, None) if text.contains(":alias/") => return Err(KmsError::AliasNotFound),
        (true, None) => return Err(KmsError::KeyNotFound),
    };
    KeyId::from_str(id).map(KeyOrAlias::Id).map_err(|_| KmsError::KeyNotFound)
}

/// Reads a `SecretName` parameter: name or ARN.
///
/// # Errors
/// `ResourceNotFound` for a name that cannot exist in the caller's scope.
pub fn secret_name(caller: &Caller, text: &str) -> Result<SecretName, KmsError> {
    let name = match (text.starts_with("acs:kms:"), local_part(caller, text)) {
        (false, Some(name)) => Some(name),
        (true, Some(local)) => local.strip_prefix("secret/"),
        (_, None) => None,
    };
    name.and_then(|name| name.parse().ok()).ok_or(KmsError::ResourceNotFound)
}

/// `acs:kms:REGION:ACCOUNT:key/ID`.
#[must_use]
pub fn key_arn(region: &RegionId, account: &AccountId, id: &KeyId) -> String {
    format!("acs:kms:{region}:{account}:key/{id}")
}

/// `acs:kms:REGION:ACCOUNT:alias/NAME`; `alias` has its `alias/` prefix.
#[must_use]
pub fn alias_arn(region: &RegionId, account: &AccountId, alias: &str) -> String {
    format!("acs:kms:{region}:{account}:{alias}")
}

/// `acs:kms:REGION:ACCOUNT:secret/NAME`.
#[must_use]
pub fn secret_arn(region: &RegionId, account: &AccountId, name: &SecretName) -> String {
    format!("acs:kms:{region}:{account}:secret/{name}")
}

/// What names a resource within the caller's scope; `None` for an ARN of another scope.
fn local_part<'a>(caller: &Caller, text: &'a str) -> Option<&'a str> {
    let Some(rest) = text.strip_prefix("acs:kms:") else {
        return Some(text);
    };
    let (region, rest) = rest.split_once(':')?;
    let (account, local) = rest.split_once(':')?;
    (region == caller.region.as_str() && account == caller.scope().account.as_str()).then_some(local)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::kms::testing::caller;

    #[test]
    fn ids_aliases_and_arns_of_the_callers_scope_are_told_apart() {
        let who = caller("1000000000000001");
        let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
        let by_id = KeyOrAlias::Id(id.parse().unwrap());
        let by_alias = KeyOrAlias::Alias("alias/a".to_owned());
        let arn = |account: &str, local: &str| format!("acs:kms:cn-hangzhou:{account}:{local}");
        assert_eq!(key_name(&who, id).unwrap(), by_id);
        assert_eq!(key_name(&who, "alias/a").unwrap(), by_alias);
        assert_eq!(key_name(&who, &arn("1000000000000001", &format!("key/{id}"))).unwrap(), by_id);
        assert_eq!(key_name(&who, &arn("1000000000000001", "alias/a")).unwrap(), by_alias);
        for bad in ["", "nonsense", "acs:kms:x", &arn("1000000000000002", &format!("key/{id}"))] {
            assert!(matches!(key_name(&who, bad), Err(KmsError::KeyNotFound)), "{bad}");
        }
        assert!(matches!(key_name(&who, &arn("1000000000000002", "alias/a")), Err(KmsError::AliasNotFound)));
        assert_eq!(secret_name(&who, &arn("1000000000000001", "secret/a/b")).unwrap().as_str(), "a/b");
        assert!(secret_name(&who, &arn("1000000000000002", "secret/a")).is_err());
    }
}
