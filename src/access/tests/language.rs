//! What is a policy and what is not, and where the fault is.

use proptest::prelude::*;

use super::*;
use crate::model::TagMap;

fn fault(text: &str) -> String {
    Policy::identity(text).unwrap_err().to_string()
}

#[test]
fn a_fault_is_told_with_its_place() {
    assert_eq!(fault("{\n  \"Version\": \"1\",,\n}"), "line 2, column 18: key must be a string");
    assert!(fault(r#"{"Version":"1","Version":"1","Statement":[]}"#).contains("\"Version\" comes a second time"));
    assert!(
        fault(&one(r#""Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*""#)).starts_with("line 1, column ")
    );
    let allow = |rest: &str| fault(&one(&format!(r#""Effect":"Allow",{rest}"#)));
    for (found, begins) in [
        (fault("[]"), "$: found a list"),
        (fault(r#"{"Version":"2","Statement":[]}"#), "$.Version: found \"2\"; allowed: \"1\""),
        (fault(r#"{"Version":"1"}"#), "$: found no Statement"),
        (fault(r#"{"Version":"1","Statement":[],"Id":"x"}"#), "$: found the unknown name \"Id\""),
        (fault(&one(r#""Effect":"allow","Action":"*","Resource":"*""#)), "$.Statement[0].Effect: found \"allow\""),
        (allow(r#""Action":"Encrypt","Resource":"*""#), "$.Statement[0].Action: found \"Encrypt\""),
        (allow(r#""Action":["kms:*","kms:"],"Resource":"*""#), "$.Statement[0].Action[1]: found \"kms:\""),
        (allow(r#""Action":[],"Resource":"*""#), "$.Statement[0].Action: found an empty list"),
        (allow(r#""Action":"kms:a b:Encrypt","Resource":"*""#), "$.Statement[0].Action: found \"kms:a b:Encrypt\""),
        (allow(r#""Action":"*","NotAction":"*","Resource":"*""#), "$.Statement[0]: found both Action and NotAction"),
        (allow(r#""Action":"*""#), "$.Statement[0]: found no Resource"),
        (allow(r#""Action":"*","Resource":["*","key/x"]"#), "$.Statement[0].Resource[1]: found \"key/x\""),
        (allow(r#""Action":"*","Resource":"*","Principal":{"RAM":"*"}"#), "$.Statement[0]: found the unknown name"),
        (
            allow(r#""Action":"*","Resource":"*","Condition":{"IpAdress":{"acs:SourceIp":"1.1.1.1"}}"#),
            "$.Statement[0].Condition: found the unknown name \"IpAdress\"",
        ),
        (
            allow(r#""Action":"*","Resource":"*","Condition":{"IpAddress":{"acs:SourceIp":["1.1.1.1","1.1.1.1/33"]}}"#),
            "$.Statement[0].Condition.IpAddress[\"acs:SourceIp\"][1]: found \"1.1.1.1/33\"",
        ),
        (
            allow(r#""Action":"*","Resource":"*","Condition":{"StringEquals":{"acs:CurrentTime":"x"}}"#),
            "$.Statement[0].Condition.StringEquals[\"acs:CurrentTime\"]: found the key",
        ),
        (
            allow(r#""Action":"*","Resource":"*","Condition":{"Bool":{}}"#),
            "$.Statement[0].Condition.Bool: found an empty",
        ),
    ] {
        assert!(found.starts_with(begins), "{found}\n{begins}");
    }
    let resource = |rest: &str| Policy::resource(&one(&format!(r#""Effect":"Allow",{rest}"#))).unwrap_err().to_string();
    assert!(resource(r#""Action":"ecs:*""#).starts_with("$.Statement[0].Action: found \"ecs:*\""));
    assert!(resource(r#""Action":"*""#).starts_with("$.Statement[0].Action: found \"*\""));
    for bad in
        ["*", "alice", "acs:ram::1:user/a", "acs:ram::1000000000000001:user/", "acs:ram::1000000000000001:group/a"]
    {
        let text = resource(&format!(r#""Action":"kms:*","Principal":{{"RAM":["{bad}"]}}"#));
        assert!(text.starts_with("$.Statement[0].Principal.RAM[0]: found"), "{text}");
    }
    assert!(matches!(Policy::identity(&" ".repeat(MAX_POLICY_BYTES + 1)), Err(PolicyError::TooLong { .. })));
}

#[test]
fn a_deep_document_is_refused_and_does_not_overflow() {
    let deep = format!("{}{}", "[".repeat(16_000), "]".repeat(16_000));
    assert!(matches!(Policy::identity(&deep), Err(PolicyError::Syntax { .. })));
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_fail_otherwise_than_with_an_error(text in "\\PC{0,200}") {
        let _ = Policy::identity(&text);
        let _ = Policy::resource(&text);
    }

    #[test]
    fn nor_does_one_that_is_nearly_a_policy(
        at in 0_usize..400,
        put in prop::sample::select(vec!["", "\"", "{", "}", "[", "]", ",", ":", "*", "null", "1", "\\u0000"]),
    ) {
        let whole = one(r#""Sid":"a","Effect":"Allow","Principal":{"RAM":["acs:ram::1000000000000001:user/a"]},"Action":["kms:*"],
            "Resource":"*","Condition":{"IpAddress":{"acs:SourceIp":["10.0.0.0/8"]},"Bool":{"acs:SecureTransport":"true"},
            "DateLessThan":{"acs:CurrentTime":"2030-01-01T00:00:00Z"},"StringLike":{"kms:tag/team":"a*"}}"#);
        prop_assert!(Policy::resource(&whole).is_ok());
        let at = at.min(whole.len());
        let mut broken = whole.clone();
        broken.replace_range(at..(at + 1).min(whole.len()), put);
        if let Err(error) = Policy::resource(&broken) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

/// Whether a user with one allowing statement under `condition` may, in these circumstances.
fn holds(condition: &str, context: Context<'_>) -> bool {
    let text = one(&format!(r#""Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{condition}"#));
    let (owner, user) = (account(OWNER), Principal::user(account(OWNER), "alice"));
    decide(&asked(&user, "kms:Encrypt", &owner, context), &[attached(&text)], ResourcePolicy::None).is_allowed()
}

#[test]
fn conditions_hold_when_they_should() {
    let tags = TagMap::from([("team".to_owned(), "Pay".to_owned()), ("level".to_owned(), "7".to_owned())]);
    let full = Context {
        now: Some("2026-12-01T00:00:00Z".parse().unwrap()),
        source: Some("192.168.3.4".parse().unwrap()),
        secure: Some(true),
        resource_tags: Some(&tags),
        request_tags: None,
    };
    for (condition, with, without) in [
        (r#"{"IpAddress":{"acs:SourceIp":"192.168.0.0/16"}}"#, true, false),
        (r#"{"IpAddress":{"acs:SourceIp":["10.0.0.0/8","192.168.3.4"]}}"#, true, false),
        (r#"{"IpAddress":{"acs:SourceIp":"0.0.0.0/0"}}"#, true, false),
        (r#"{"IpAddress":{"acs:SourceIp":"::/0"}}"#, false, false),
        (r#"{"NotIpAddress":{"acs:SourceIp":["10.0.0.0/8","192.168.0.0/16"]}}"#, false, true),
        (r#"{"NotIpAddress":{"acs:SourceIp":"10.0.0.0/8"}}"#, true, true),
        (r#"{"Bool":{"acs:SecureTransport":"true"}}"#, true, false),
        (r#"{"Bool":{"acs:SecureTransport":false}}"#, false, false),
        (r#"{"Bool":{"acs:MFAPresent":true}}"#, false, false),
        (r#"{"DateLessThan":{"acs:CurrentTime":"2026-12-01T08:00:01+08:00"}}"#, true, false),
        (r#"{"DateLessThan":{"acs:CurrentTime":"2026-12-01T08:00:00+08:00"}}"#, false, false),
        (r#"{"DateLessThanEquals":{"acs:CurrentTime":"2026-12-01T08:00:00+08:00"}}"#, true, false),
        (r#"{"DateGreaterThan":{"acs:CurrentTime":"2026-11-30T00:00:00Z"}}"#, true, false),
        (r#"{"DateNotEquals":{"acs:CurrentTime":"2026-11-30T00:00:00Z"}}"#, true, true),
        (r#"{"StringEquals":{"kms:tag/team":["Ops","Pay"]}}"#, true, false),
        (r#"{"StringEquals":{"acs:ResourceTag/team":"pay"}}"#, false, false),
        (r#"{"StringEqualsIgnoreCase":{"acs:ResourceTag/team":"pay"}}"#, true, false),
        (r#"{"StringNotEquals":{"kms:tag/team":["Ops","Pay"]}}"#, false, true),
        (r#"{"StringLike":{"kms:tag/team":"P?y"}}"#, true, false),
        (r#"{"StringNotLike":{"kms:tag/team":"P*"}}"#, false, true),
        (r#"{"StringEquals":{"acs:RequestTag/team":"Pay"}}"#, false, false),
        (r#"{"StringLike":{"acs:PrincipalARN":"acs:ram::*:user/ali*"}}"#, true, true),
        (r#"{"NumericLessThan":{"kms:tag/level":"8"}}"#, true, false),
        (r#"{"NumericGreaterThanEquals":{"kms:tag/level":8}}"#, false, false),
        (r#"{"NumericEquals":{"kms:tag/team":"1"}}"#, false, false),
        (r#"{"Bool":{"acs:SecureTransport":"true"},"IpAddress":{"acs:SourceIp":"10.0.0.0/8"}}"#, false, false),
    ] {
        assert_eq!((holds(condition, full), holds(condition, Context::default())), (with, without), "{condition}");
    }
    let mapped = Context { source: Some("::ffff:192.168.3.4".parse().unwrap()), ..Context::default() };
    assert!(holds(r#"{"IpAddress":{"acs:SourceIp":"192.168.0.0/16"}}"#, mapped));
}

#[test]
fn every_built_in_policy_is_one_and_only_reads_what_it_says() {
    let (owner, user) = (account(OWNER), Principal::user(account(OWNER), "alice"));
    for (name, _) in BUILT_IN {
        assert!(Attached::built_in(name).is_some(), "{name}");
    }
    let may = |name: &str, action: &str| {
        let policies = [Attached::built_in(name).unwrap()];
        decide(&asked(&user, action, &owner, Context::default()), &policies, ResourcePolicy::None).is_allowed()
    };
    for action in
        ["kms:GetSecretValue", "kms:BatchGetSecretValue", "kms:Decrypt", "kms:CreateKey", "kms:GetRandomPassword"]
    {
        assert!(!may("AliyunKMSReadOnlyAccess", action), "{action}");
        assert!(may("AliyunKMSFullAccess", action), "{action}");
    }
    assert!(may("AliyunKMSReadOnlyAccess", "kms:DescribeSecret"));
    for action in ["kms:GetSecretValue", "kms:DisableKey", "kms:SetKeyPolicy", "kms:ScheduleKeyDeletion"] {
        assert!(!may("AliyunKMSCryptoUserAccess", action), "{action}");
    }
    assert!(may("AliyunKMSCryptoUserAccess", "kms:GenerateDataKey"));
}
