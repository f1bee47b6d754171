//! What holds for every policy: an allowance less or a denial more never widens access, and order never matters.

use proptest::prelude::*;

use super::*;
use crate::model::TagMap;

const ACTIONS: [&str; 5] = ["kms:Encrypt", "kms:Decrypt", "kms:DescribeKey", "kms:DisableKey", "kms:GetSecretValue"];
const RESOURCES: [&str; 3] = [
    "acs:kms:cn-hangzhou:1000000000000001:key/k1",
    "acs:kms:cn-hangzhou:1000000000000001:key/k2",
    "acs:kms:cn-hangzhou:1000000000000001:secret/s",
];

/// One statement as JSON; `of_resource`: with a principal.
fn statement(of_resource: bool) -> impl Strategy<Value = (bool, String)> {
    let actions = prop::sample::subsequence(
        vec!["kms:Encrypt", "kms:De*", "kms:*", "kms:?isableKey", "kms:GetSecretValue", "kms:encrypt"],
        1..4,
    );
    let resources =
        prop::sample::subsequence(vec!["*", "acs:kms:*:*:key/*", RESOURCES[0], "acs:kms:*:*:secret/*"], 1..3);
    let principals = prop::sample::subsequence(
        vec![
            "acs:ram::1000000000000001:*",
            "acs:ram::1000000000000001:user/alice",
            "acs:ram::1000000000000002:root",
            "acs:ram::1000000000000002:user/*",
            "acs:ram::1000000000000001:role/ci",
        ],
        1..3,
    );
    let condition = prop::sample::select(vec![
        "{}",
        r#"{"IpAddress":{"acs:SourceIp":"10.0.0.0/8"}}"#,
        r#"{"StringNotEquals":{"kms:tag/team":"pay"}}"#,
        r#"{"Bool":{"acs:SecureTransport":"true"}}"#,
    ]);
    (any::<bool>(), any::<bool>(), actions, resources, principals, condition).prop_map(
        move |(deny, but, actions, resources, principals, condition)| {
            let mut value = serde_json::json!({
                "Effect": if deny { "Deny" } else { "Allow" },
                (if but { "NotAction" } else { "Action" }): actions,
                "Resource": resources,
                "Condition": serde_json::from_str::<serde_json::Value>(condition).unwrap(),
            });
            if of_resource {
                value["Principal"] = serde_json::json!({ "RAM": principals });
            }
            (deny, value.to_string())
        },
    )
}

fn document(statements: &[(bool, String)]) -> String {
    let list: Vec<&str> = statements.iter().map(|(_, text)| text.as_str()).collect();
    format!(r#"{{"Version":"1","Statement":[{}]}}"#, list.join(","))
}

/// Every combination of who, what, which and how that these policies allow.
fn allowed(identity: &[(bool, String)], resource: &[(bool, String)]) -> Vec<bool> {
    let owner = account(OWNER);
    let attached = [attached(&document(identity))];
    let of_resource = Policy::resource(&document(resource)).unwrap();
    let tags = TagMap::from([("team".to_owned(), "pay".to_owned())]);
    let principals = [
        Principal::user(account(OWNER), "alice"),
        Principal::role(account(OWNER), "ci"),
        Principal::user(account(OTHER), "alice"),
        Principal::root(account(OTHER)),
    ];
    let contexts = [
        Context::default(),
        Context { source: Some([10, 1, 1, 1].into()), resource_tags: Some(&tags), ..Context::default() },
        Context { secure: Some(true), ..Context::default() },
    ];
    let mut outcomes = Vec::new();
    for principal in &principals {
        for action in ACTIONS {
            for resource in RESOURCES {
                for context in contexts {
                    let request = Request { principal, action, resource, owner: &owner, context };
                    let policies: &[Attached] = if principal.is_root() { &[] } else { &attached };
                    outcomes.push(decide(&request, policies, ResourcePolicy::Document(&of_resource)).is_allowed());
                }
            }
        }
    }
    outcomes
}

fn no_wider(narrower: &[bool], wider: &[bool]) -> bool {
    narrower.iter().zip(wider).all(|(narrower, wider)| !*narrower || *wider)
}

proptest! {
    #[test]
    fn an_allowance_less_or_a_denial_more_never_widens(
        identity in prop::collection::vec(statement(false), 1..5),
        resource in prop::collection::vec(statement(true), 1..5),
        at in any::<prop::sample::Index>(),
        denial in statement(false),
        denial_of_resource in statement(true),
    ) {
        let whole = allowed(&identity, &resource);
        for (list, is_identity) in [(&identity, true), (&resource, false)] {
            let index = at.index(list.len());
            let mut less = list.clone();
            let (was_denial, _) = less.remove(index);
            let outcome = if is_identity { allowed(&less, &resource) } else { allowed(&identity, &less) };
            if was_denial {
                prop_assert!(no_wider(&whole, &outcome), "a denial less narrowed access");
            } else {
                prop_assert!(no_wider(&outcome, &whole), "an allowance less widened access");
            }
        }
        let more = |list: &[(bool, String)], (was_denial, text): &(bool, String)| {
            let text = if *was_denial { text.clone() } else { text.replace("\"Allow\"", "\"Deny\"") };
            [list, &[(true, text)]].concat()
        };
        prop_assert!(no_wider(&allowed(&more(&identity, &denial), &resource), &whole));
        prop_assert!(no_wider(&allowed(&identity, &more(&resource, &denial_of_resource)), &whole));
    }

    #[test]
    fn the_order_of_statements_never_matters(
        identity in prop::collection::vec(statement(false), 1..6).prop_shuffle(),
        resource in prop::collection::vec(statement(true), 1..6).prop_shuffle(),
        by in 0_usize..6,
    ) {
        let whole = allowed(&identity, &resource);
        let (mut turned, mut turned_too) = (identity.clone(), resource.clone());
        turned.rotate_left(by % identity.len());
        turned_too.reverse();
        prop_assert_eq!(&allowed(&turned, &turned_too), &whole);
    }

    /// What a migration sets in the place of no policy gives nothing to anybody, and takes nothing away.
    #[test]
    fn the_default_policy_of_a_migration_changes_no_decision(identity in prop::collection::vec(statement(false), 1..5)) {
        let default = one(&format!(
            r#""Sid":"kms default key policy","Effect":"Allow","Principal":{{"RAM":["acs:ram::{OWNER}:*"]}},"Action":["kms:*"],"Resource":["*"]"#
        ));
        let default = Policy::resource(&default).unwrap();
        let attached = [attached(&document(&identity))];
        let owner = account(OWNER);
        for principal in [Principal::user(account(OWNER), "alice"), Principal::root(account(OWNER)),
            Principal::role(account(OWNER), "ci"), Principal::user(account(OTHER), "alice"), Principal::root(account(OTHER))]
        {
            for action in ACTIONS {
                let request = asked(&principal, action, &owner, Context::default());
                let before = decide(&request, &attached, ResourcePolicy::None).is_allowed();
                let after = decide(&request, &attached, ResourcePolicy::Document(&default)).is_allowed();
                prop_assert_eq!(before, after);
            }
        }
    }
}
