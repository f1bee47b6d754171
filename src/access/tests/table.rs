//! Identities × policies × operations, with the outcome the documentation gives ("key policy overview", "How RAM evaluates
//! policies").

use super::*;

const ALLOW: &str = r#""Effect":"Allow","Action":"kms:*","Resource":"*""#;
const DENY: &str = r#""Effect":"Deny","Action":"kms:*","Resource":"*""#;

fn resource(effect: &str, principal: &str) -> Policy {
    Policy::resource(&one(&format!(
        r#""Effect":"{effect}","Principal":{{"RAM":["{principal}"]}},"Action":["kms:*"],"Resource":["*"]"#
    )))
    .unwrap()
}

/// May `who`, with these own statements, use (Encrypt) and administer (DisableKey)?
fn may(who: &Principal, own: &[&str], policy: Option<&Policy>) -> (bool, bool) {
    let owner = account(OWNER);
    let policies: Vec<Attached> = own.iter().map(|rest| attached(&one(rest))).collect();
    let policy = policy.map_or(ResourcePolicy::None, ResourcePolicy::Document);
    let ask = |action| decide(&asked(who, action, &owner, Context::default()), &policies, policy).is_allowed();
    (ask("kms:Encrypt"), ask("kms:DisableKey"))
}

#[test]
fn in_the_owners_account_either_side_suffices_and_a_denial_wins() {
    let alice = Principal::user(account(OWNER), "alice");
    let (yes, no) = ((true, true), (false, false));
    let allows = resource("Allow", "acs:ram::1000000000000001:user/alice");
    let denies = resource("Deny", "acs:ram::1000000000000001:user/alice");
    let silent = resource("Allow", "acs:ram::1000000000000001:user/bob");
    // The nine rows of the vendor's table: the key's policy, the identity's, the outcome.
    for (of_key, own, outcome) in [
        (&allows, &[][..], yes),
        (&silent, &[ALLOW], yes),
        (&allows, &[ALLOW], yes),
        (&allows, &[DENY], no),
        (&denies, &[ALLOW], no),
        (&silent, &[], no),
        (&silent, &[DENY], no),
        (&denies, &[], no),
        (&denies, &[DENY], no),
    ] {
        assert_eq!(may(&alice, own, Some(of_key)), outcome, "{own:?}");
    }
    assert_eq!(may(&alice, &[ALLOW, DENY], None), no);
    assert_eq!(may(&alice, &[], None), no);
}

#[test]
fn the_root_identity_is_never_locked_out_of_its_own() {
    let root = Principal::root(account(OWNER));
    let denies = resource("Deny", "acs:ram::1000000000000001:*");
    assert_eq!(may(&root, &[], Some(&denies)), (true, true));
    assert_eq!(may(&root, &[], None), (true, true));
}

#[test]
fn another_account_needs_both_sides_and_may_only_use() {
    let (eve, root) = (Principal::user(account(OTHER), "eve"), Principal::root(account(OTHER)));
    let named = resource("Allow", "acs:ram::1000000000000002:user/eve");
    let account_named = resource("Allow", "acs:ram::1000000000000002:*");
    let (used, none) = ((true, false), (false, false));
    assert_eq!(may(&eve, &[ALLOW], Some(&named)), used);
    assert_eq!(may(&eve, &[ALLOW], Some(&account_named)), used);
    assert_eq!(may(&eve, &[], Some(&named)), none);
    assert_eq!(may(&eve, &[ALLOW, DENY], Some(&named)), none);
    assert_eq!(may(&eve, &[ALLOW], None), none);
    assert_eq!(may(&eve, &[ALLOW], Some(&resource("Allow", "acs:ram::1000000000000001:user/eve"))), none);
    assert_eq!(may(&eve, &[ALLOW], Some(&resource("Deny", "acs:ram::1000000000000002:user/eve"))), none);
    assert_eq!(may(&root, &[], Some(&account_named)), used);
    assert_eq!(may(&root, &[], Some(&named)), none);
    assert_eq!(may(&root, &[], None), none);
}

#[test]
fn names_of_principals_are_whole_and_roles_are_no_users() {
    let policy = resource("Allow", "acs:ram::1000000000000001:user/alice");
    for (who, outcome) in [
        (Principal::user(account(OWNER), "alice"), (true, true)),
        (Principal::user(account(OWNER), "alice2"), (false, false)),
        (Principal::user(account(OWNER), "Alice"), (false, false)),
        (Principal::role(account(OWNER), "alice"), (false, false)),
        (Principal::user(account(OTHER), "alice"), (false, false)),
    ] {
        assert_eq!(may(&who, &[], Some(&policy)), outcome, "{who}");
    }
    let all = resource("Allow", "acs:ram::1000000000000001:role/*");
    assert_eq!(may(&Principal::role(account(OWNER), "ci"), &[], Some(&all)), (true, true));
    assert_eq!(may(&Principal::user(account(OWNER), "ci"), &[], Some(&all)), (false, false));
}

#[test]
fn a_policy_that_cannot_be_read_lets_nobody_pass_but_the_owner() {
    let owner = account(OWNER);
    let own = [attached(&one(ALLOW))];
    let ask = |who: &Principal| {
        decide(&asked(who, "kms:Encrypt", &owner, Context::default()), &own, ResourcePolicy::Unreadable).is_allowed()
    };
    assert!(!ask(&Principal::user(account(OWNER), "alice")));
    assert!(!ask(&Principal::root(account(OTHER))));
    assert!(ask(&Principal::root(account(OWNER))));
}

#[test]
fn the_statement_that_decided_is_named() {
    let owner = account(OWNER);
    let alice = Principal::user(account(OWNER), "alice");
    let two = r#"{"Version":"1","Statement":[
        {"Effect":"Allow","Action":"kms:*","Resource":"*"},
        {"Sid":"not this one","Effect":"Deny","Action":"kms:Decrypt","Resource":"acs:kms:*:*:key/k1"}]}"#;
    let own = [attached(two)];
    let told =
        |action| decide(&asked(&alice, action, &owner, Context::default()), &own, ResourcePolicy::None).to_string();
    assert_eq!(told("kms:Decrypt"), "denied by statement 1 (not this one) of the policy p");
    assert_eq!(told("kms:Encrypt"), "allowed by statement 0 of the policy p");
}
