//! The table of needs against the table of operations.

use std::collections::BTreeSet;

use super::needs::ROWS;
use crate::access::USES;
use crate::api::actions;
use crate::api::operations::table;

#[test]
fn every_operation_that_is_offered_has_its_needs_and_only_one_row() {
    let rows: BTreeSet<&str> = ROWS.iter().map(|row| row.operation).collect();
    assert_eq!(rows.len(), ROWS.len());
    assert_eq!(rows, table().map(|row| row.name).collect());
}

#[test]
fn rights_are_named_after_operations() {
    let needed = ROWS.iter().flat_map(|row| row.needs).filter_map(|need| need.right);
    for name in needed.chain(USES.iter().copied()) {
        assert!(actions::find(name).is_some(), "{name}");
    }
    // Another account is never allowed what changes something.
    for name in USES {
        assert_ne!(actions::find(name).map(|action| action.plane), Some(crate::api::Plane::Management), "{name}");
    }
}

#[test]
fn only_what_needs_no_right_has_no_needs() {
    let without: Vec<&str> = ROWS.iter().filter(|row| row.needs.is_empty()).map(|row| row.operation).collect();
    assert_eq!(without, ["BatchGetSecretValue", "DescribeRegions"]);
}

#[tokio::test]
#[allow(clippy::unwrap_used)]
async fn an_alias_is_used_as_what_it_stood_for_when_the_rights_were_looked_at() {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use crate::access::{Attached, Identity, Principal};
    use crate::api::operations::testing::{OWNER, World};
    use crate::api::{Caller, Parameters};
    use crate::kms::Acting;

    let world = World::new().await;
    let made = world.ask("CreateKey", &[], &BTreeMap::new()).await.unwrap();
    let key = made.pointer("/KeyMetadata/KeyId").unwrap().as_str().unwrap().to_owned();
    world.ask("CreateAlias", &[("KeyId", &key), ("AliasName", "alias/a")], &BTreeMap::new()).await.unwrap();
    let principal = Principal::user(OWNER.parse().unwrap(), "alice");
    let policies = vec![Attached::built_in("AliyunKMSFullAccess").unwrap()];
    let identity = Some(Arc::new(Identity { principal, policies, session: None }));
    for (operation, parameter, name, used) in [
        ("Encrypt", "KeyId", "alias/a".to_owned(), key.clone()),
        ("Encrypt", "KeyId", format!("acs:kms:cn-hangzhou:{OWNER}:alias/a"), key.clone()),
        ("ReEncrypt", "DestinationKeyId", "alias/a".to_owned(), key.clone()),
        ("ReEncrypt", "SourceKeyId", "alias/a".to_owned(), key.clone()),
        ("CreateSecret", "EncryptionKeyId", "alias/a".to_owned(), key.clone()),
        ("Encrypt", "KeyId", "alias/none".to_owned(), "alias/none".to_owned()),
        // These take no alias, and go on refusing it, or mean the alias itself.
        ("DisableKey", "KeyId", "alias/a".to_owned(), "alias/a".to_owned()),
        ("DeleteAlias", "AliasName", "alias/a".to_owned(), "alias/a".to_owned()),
    ] {
        let acting = Acting { identity: identity.clone(), ..Acting::default() };
        let caller = Caller { acting, ..world.caller(OWNER, operation, None) };
        let mut p = Parameters::new(vec![(parameter.to_owned(), name.into())], Vec::new()).unwrap();
        super::authorize(world.service(), &caller, operation, &mut p).await.unwrap();
        assert_eq!(p.optional(parameter), Some(used.as_str()), "{operation}");
    }
}
