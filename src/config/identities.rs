//! Users and roles of an account, and the policies attached to them.

use std::io::Read;
use std::sync::Arc;

use super::keys::{self, Keys};
use super::reader::{Found, Table};
use super::resources::{Named, access_key};
use super::settings::{AttachedPolicy, PolicyOrigin, Role, User};
use crate::access::{Attached, BUILT_IN, MAX_POLICY_BYTES, Policy, is_identity_name};

const NAME: &str = "1 to 64 letters, digits and . _ - @ in quotes";

pub(super) fn users(account: &Table<'_>, named: &mut Named, readable_by_others: bool) -> Vec<User> {
    let mut users: Vec<User> = Vec::new();
    for table in account.tables("user", &keys::USER) {
        let name = unique_name(&table, "user", users.iter().map(|user| user.name.as_str()));
        let policies = policies(&table, &keys::USER_POLICY);
        let of_keys = table.tables("access_key", &keys::USER_KEY);
        let access_keys = of_keys.iter().filter_map(|key| access_key(key, named, readable_by_others)).collect();
        users.extend(name.map(|name| User { name, policies, access_keys }));
    }
    users
}

pub(super) fn roles(account: &Table<'_>) -> Vec<Role> {
    let mut roles: Vec<Role> = Vec::new();
    for table in account.tables("role", &keys::ROLE) {
        let name = unique_name(&table, "role", roles.iter().map(|role| role.name.as_str()));
        let policies = policies(&table, &keys::ROLE_POLICY);
        roles.extend(name.map(|name| Role { name, policies }));
    }
    roles
}

fn unique_name<'a>(table: &Table<'_>, what: &str, mut known: impl Iterator<Item = &'a str>) -> Option<String> {
    let name = table.required("name", NAME, identity_name(table))?;
    if known.any(|known| known == name.value) {
        table.source.problem(name.at, format!("the {what} {} a second time", name.value), format!("each {what} once"));
        return None;
    }
    Some(name.value.to_owned())
}

fn identity_name<'a>(table: &Table<'a>) -> Option<Found<&'a str>> {
    let name = table.string("name", NAME)?;
    if !is_identity_name(name.value) {
        table.source.problem(name.at, format!("{:?}", name.value), format!("name = {NAME}"));
        return None;
    }
    Some(name)
}

fn policies(table: &Table<'_>, written: &'static Keys) -> Vec<AttachedPolicy> {
    let known: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    let allowed = format!("a built-in policy: {}; others go into [[{}]]", known.join(", "), written.table);
    let mut policies: Vec<AttachedPolicy> = Vec::new();
    for found in table.list::<String>("policies", &allowed).unwrap_or_default() {
        match Attached::built_in(&found.value) {
            Some(Attached { name, policy }) => {
                policies.push(AttachedPolicy { name, origin: PolicyOrigin::BuiltIn, policy })
            }
            None => table.source.guess(found.at, &found.value, allowed.clone(), &known),
        }
    }
    for own in table.tables("policy", written) {
        let name = unique_name(&own, "policy", policies.iter().map(|policy| policy.name.as_str()));
        let read = policy(&own);
        if let (Some(name), Some((origin, policy))) = (name, read) {
            policies.push(AttachedPolicy { name, origin, policy });
        }
    }
    policies
}

fn policy(table: &Table<'_>) -> Option<(PolicyOrigin, Arc<Policy>)> {
    const EITHER: &str = "document = '''...''' (the policy itself, JSON) or file = \"PATH\"";
    let given = ["document", "file"].into_iter().filter(|key| table.get(key).is_some()).count();
    if given != 1 {
        let found = if given == 0 { "a policy without its document" } else { "a document in more than one place" };
        table.source.problem(table.at, found, EITHER);
        return None;
    }
    let (origin, text, at) = match table.string("document", "a policy in JSON") {
        Some(text) => (PolicyOrigin::Inline(text.value.to_owned()), text.value.to_owned(), text.at),
        None => {
            let file = table.string("file", "the path of a file with a policy in JSON")?;
            let path = table.source.path(file.value);
            let text = match read(&path) {
                Ok(text) => text,
                Err(error) => {
                    let found = format!("{:?}, which cannot be read ({error})", path.display().to_string());
                    table.source.problem(file.at, found, "a readable file with a policy in JSON");
                    return None;
                }
            };
            (PolicyOrigin::File(path), text, file.at)
        }
    };
    match Policy::identity(&text) {
        Ok(policy) => Some((origin, Arc::new(policy))),
        Err(fault) => {
            let place = match &origin {
                PolicyOrigin::File(path) => format!("in {}, ", path.display()),
                _ => String::new(),
            };
            table.source.problem(at, format!("{place}a policy with a fault at {fault}"), "a policy of version 1");
            None
        }
    }
}

fn read(path: &std::path::Path) -> std::io::Result<String> {
    let mut text = String::new();
    let most = u64::try_from(MAX_POLICY_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    std::fs::File::open(path)?.take(most).read_to_string(&mut text)?;
    Ok(text)
}
