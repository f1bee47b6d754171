//! One decision over 100 statements, and over a policy of the size that is allowed, beside a baseline in the same run.
//!
//! `cargo bench --bench access`. The baseline compares action and resource with 100 literal texts each and nothing else: what
//! any evaluation has to do at least. Aim: under 5 microseconds for a decision with 100 statements.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyferry::access::{Attached, Context, Policy, Principal, Request, ResourcePolicy, decide};
use keyferry::model::{AccountId, TagMap};

const ROUNDS: u32 = 20_000;
const AIM: Duration = Duration::from_micros(5);

fn main() {
    let account: AccountId = "1000000000000001".parse().unwrap();
    let user = Principal::user(account.clone(), "app");
    let tags = TagMap::from([("team".to_owned(), "orders".to_owned())]);
    let context = Context {
        now: Some("2026-12-01T00:00:00Z".parse().unwrap()),
        source: Some([10, 0, 0, 7].into()),
        secure: Some(true),
        resource_tags: Some(&tags),
        request_tags: None,
    };
    let resource = "acs:kms:cn-hangzhou:1000000000000001:key/6a5f0b0e-3c1d-4c9e-8a57-0d1f5a3b7c21";
    let request = Request { principal: &user, action: "kms:Encrypt", resource, owner: &account, context };
    let literals: Vec<(String, String)> =
        (0..100).map(|n| (format!("kms:Operation{n}"), format!("{}{n}", &resource[..resource.len() - 2]))).collect();
    let baseline = time(|| {
        let found =
            literals.iter().any(|(action, name)| action == black_box(request.action) && name == black_box(resource));
        black_box(found);
    });
    println!("baseline: 100 comparisons of texts                        {baseline:>10.2?}");
    let mut worst = Duration::ZERO;
    for (what, statements) in [
        ("100 statements of other actions, none applies", (0..100).map(other_action).collect::<Vec<_>>()),
        ("100 statements for the action on other keys", (0..100).map(other_key).collect()),
        ("100 statements with globs and two conditions each", (0..100).map(conditional).collect()),
        ("99 that do not apply, and one that allows", (0..99).map(conditional).chain([allow()]).collect()),
    ] {
        let text = format!(r#"{{"Version":"1","Statement":[{}]}}"#, statements.join(","));
        let of_identity = [Attached { name: "bench".to_owned(), policy: Arc::new(Policy::identity(&text).unwrap()) }];
        let of_resource = Policy::resource(r#"{"Version":"1","Statement":[{"Effect":"Deny","Principal":{"RAM":["acs:ram::1000000000000001:user/other"]},"Action":"kms:*"}]}"#).unwrap();
        let took = time(|| {
            black_box(decide(black_box(&request), &of_identity, ResourcePolicy::Document(&of_resource)));
        });
        println!("{what:<57} {took:>10.2?}  ({:.1} x baseline)", took.as_secs_f64() / baseline.as_secs_f64());
        worst = worst.max(took);
        if what.starts_with("100 statements with globs") {
            let parsed = time_of(200, || drop(black_box(Policy::identity(&text))));
            println!("  parsing it, once ({} bytes)                           {parsed:>10.2?}", text.len());
        }
    }
    println!("worst: {worst:.2?}; aim: under {AIM:?}");
    assert!(worst < AIM, "a decision with 100 statements takes {worst:?}");
}

fn other_action(n: usize) -> String {
    format!(r#"{{"Effect":"Allow","Action":["kms:Describe{n}","kms:List*"],"Resource":"acs:kms:*:*:key/*"}}"#)
}

fn other_key(n: usize) -> String {
    format!(
        r#"{{"Effect":"Allow","Action":"kms:Encrypt","Resource":"acs:kms:cn-hangzhou:1000000000000001:key/{n:08x}-3c1d-*"}}"#
    )
}

fn conditional(n: usize) -> String {
    format!(
        r#"{{"Effect":"{}","Action":"kms:*crypt","Resource":"acs:kms:*:*:key/*","Condition":{{"StringEquals":{{"kms:tag/team":"team-{n}"}},"NotIpAddress":{{"acs:SourceIp":"192.168.0.0/16"}}}}}}"#,
        if n.is_multiple_of(2) { "Allow" } else { "Deny" }
    )
}

fn allow() -> String {
    r#"{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*"}"#.to_owned()
}

fn time(work: impl FnMut()) -> Duration {
    time_of(ROUNDS, work)
}

/// The median of eleven runs, for one round.
fn time_of(rounds: u32, mut work: impl FnMut()) -> Duration {
    let mut runs: Vec<Duration> = (0..11)
        .map(|_| {
            let began = Instant::now();
            for _ in 0..rounds {
                work();
            }
            began.elapsed() / rounds
        })
        .collect();
    runs.sort();
    runs.get(5).copied().unwrap_or_default()
}
