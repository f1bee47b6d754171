use std::collections::BTreeSet;

use axum::body::{Body, to_bytes};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};

use super::*;
use crate::access::{AccessKeyTable, Attached, Identity, Principal, SessionKey};
use crate::admin::server::routes;
use crate::admin::testing::{ACCOUNT, INSTANCE, REGION, TestDaemon};
use crate::migration::Settings;
use crate::model::JobState;
use crate::store::scan_records;

const SOMEBODY: u32 = 54_321;
const COLLEAGUE: u32 = 54_322;

fn machine() -> Machine {
    Machine {
        users: "root:x:0:0::/:/bin/sh\nops:x:54321:54321::/:/bin/sh\nother:x:54322:54322::/:/bin/sh\n".to_owned(),
        groups: "wheel:x:10:root,ops\nown:x:54321:\nwheels:x:11:other\n".to_owned(),
    }
}

fn given(who: Who, may: AdminRight) -> AdminRights {
    AdminRights { who, may }
}

fn user(name: &str) -> Who {
    Who::User(name.to_owned())
}

fn group(name: &str) -> Who {
    Who::Group(name.to_owned())
}

/// Asks as a user of the machine, as if over the socket.
async fn ask(state: &State, uid: u32, method: &str, path: &str, body: Value) -> (u16, Value) {
    let router = routes(state).with_state(state.clone());
    let request = axum::http::Request::builder().method(method).uri(format!("{ROOT}{path}"));
    let mut request = request.header("content-type", "application/json").body(Body::from(body.to_string())).unwrap();
    request.extensions_mut().insert(ConnectInfo(Peer { uid: Some(uid), gid: Some(uid) }));
    let response = TowerToHyperService::new(router).call(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

async fn entries(state: &State) -> Vec<(String, String)> {
    let found = scan_records::<Entry>(state.catalogue().store().as_ref(), b"a/new/", None, usize::MAX).await.unwrap();
    found.into_iter().map(|(_, entry)| (entry.detail.clone().unwrap_or_default(), entry.outcome.clone())).collect()
}

#[test]
fn every_route_has_a_right_and_every_right_a_route() {
    let source = include_str!("server.rs");
    let mut routes = BTreeSet::new();
    for call in source.split(".route(\"").skip(1) {
        let (path, rest) = call.split_once("\", ").unwrap();
        let handlers = rest.split("\n").next().unwrap();
        for method in ["get", "post", "delete", "put", "patch"] {
            if handlers.contains(&format!("{method}(")) {
                routes.insert((method.to_uppercase(), path.to_owned()));
            }
        }
    }
    assert!(routes.len() > 30);
    let named: BTreeSet<(String, String)> =
        COMMANDS.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(named.len(), COMMANDS.len());
    assert_eq!(named, routes);
}

#[test]
fn what_is_not_in_the_table_needs_the_highest_right() {
    assert_eq!(needed(&Method::GET, "/jobs/job-1/watch"), AdminRight::View);
    assert_eq!(needed(&Method::POST, "/jobs"), AdminRight::Migrate);
    for (method, path) in
        [(Method::PUT, "/jobs"), (Method::GET, "/new"), (Method::GET, "/jobs/"), (Method::GET, "//jobs")]
    {
        assert_eq!(needed(&method, path), AdminRight::Administer, "{method} {path}");
    }
}

#[test]
fn rights_follow_users_and_groups_by_name_and_number() {
    let ops = Peer { uid: Some(SOMEBODY), gid: Some(SOMEBODY) };
    let other = Peer { uid: Some(COLLEAGUE), gid: Some(COLLEAGUE) };
    let nobody = Peer { uid: None, gid: None };
    for (who, of_ops, of_other) in [
        (user("ops"), true, false),
        (user("54321"), true, false),
        (user("op"), false, false),
        (group("wheel"), true, false),
        (group("10"), true, false),
        (group("own"), true, false),
        (group("wheels"), false, true),
        (group("none"), false, false),
    ] {
        let rights = [given(who.clone(), AdminRight::Plan)];
        assert_eq!(has(ops, &rights, &machine()).is_some(), of_ops, "{who:?}");
        assert_eq!(has(other, &rights, &machine()).is_some(), of_other, "{who:?}");
        assert_eq!(has(nobody, &rights, &machine()), None);
    }
    let both = [given(user("ops"), AdminRight::View), given(group("wheel"), AdminRight::Migrate)];
    assert_eq!(has(ops, &both, &machine()), Some(AdminRight::Migrate));
    assert_eq!(has(Peer { uid: Some(0), gid: Some(0) }, &both, &machine()), Some(AdminRight::Administer));
}

#[tokio::test]
async fn each_command_is_refused_below_its_right_and_reached_with_it() {
    let daemon = TestDaemon::start();
    let state = &daemon.state;
    for may in AdminRight::ALL {
        state.rights().replace(vec![given(user(&SOMEBODY.to_string()), may)]);
        for (method, path, needed) in COMMANDS {
            // Streams and whole scans are reached like the others; here only the door is tried.
            let path = path.replace("{id}", "job-x").replace("{name}", "x");
            let (status, answer) = ask(state, SOMEBODY, method, &path, Value::Null).await;
            let refused = status == 403 && answer["error"]["code"] == "NoRight";
            assert_eq!(refused, may < *needed, "{may} {method} {path}: {status}");
        }
        let (status, _) = ask(state, COLLEAGUE, "GET", "/status", Value::Null).await;
        assert_eq!(status, 403, "somebody without any right");
    }
    state.rights().replace(Vec::new());
    assert_eq!(
        ask(state, COLLEAGUE, "GET", "/status", Value::Null).await.0,
        200,
        "no rights are given: as without them"
    );
}

#[tokio::test]
async fn every_use_is_in_the_audit_trail() {
    let daemon = TestDaemon::start();
    let state = &daemon.state;
    state.rights().replace(vec![given(user(&SOMEBODY.to_string()), AdminRight::View)]);
    for _ in 0..3 {
        ask(state, SOMEBODY, "GET", "/status", Value::Null).await;
        ask(state, SOMEBODY, "POST", "/clock/confirm", Value::Null).await;
    }
    while entries(state).await.len() < 4 {
        tokio::task::yield_now().await;
    }
    let seen = entries(state).await;
    let of = |detail: &str, outcome: &str| seen.iter().filter(|(d, o)| d == detail && o == outcome).count();
    assert_eq!(of("GET /status", "ok"), 1, "a view once an hour: {seen:?}");
    assert_eq!(of("POST /clock/confirm", "NoRight"), 3, "a refusal each time: {seen:?}");
    // Without any rights given, too.
    state.rights().replace(Vec::new());
    ask(state, COLLEAGUE, "GET", "/holds", Value::Null).await;
    while !entries(state).await.contains(&("GET /holds".to_owned(), "ok".to_owned())) {
        tokio::task::yield_now().await;
    }
    // What may change something is noted once, with what it changes.
    state.rights().replace(vec![given(user(&SOMEBODY.to_string()), AdminRight::Migrate)]);
    let hold = json!({"region": null, "account": null, "reason": "x", "now": false});
    assert_eq!(ask(state, SOMEBODY, "POST", "/holds", hold).await.0, 200);
    let seen = entries(state).await;
    assert_eq!(seen.iter().filter(|(detail, _)| detail.starts_with("hold")).count(), 1, "{seen:?}");
}

#[test]
fn the_next_note_of_a_view_counts_those_between() {
    let (rights, now) = (Rights::default(), Timestamp::UNIX_EPOCH);
    let later = now.checked_add(VIEWS_EVERY).unwrap();
    let asked = |at| rights.is_news(SOMEBODY, "GET /status", at);
    assert_eq!([asked(now), asked(now), asked(now), asked(later), asked(later)], [Some(0), None, None, Some(2), None]);
    assert_eq!(rights.is_news(COLLEAGUE, "GET /status", now), Some(0), "each user by itself");
}

fn order() -> Value {
    json!({"region": REGION, "accounts": [ACCOUNT, "1000000000000002"], "instance": INSTANCE, "resources": "all"})
}

#[tokio::test]
async fn a_job_starts_only_after_somebody_elses_approval() {
    let daemon = TestDaemon::start();
    let state = &daemon.state;
    daemon.migrations.reload(Settings { approval: true, ..Settings::default() });
    let (status, asked) = ask(state, SOMEBODY, "POST", "/jobs", order()).await;
    assert_eq!(status, 200, "{asked}");
    let ids: Vec<String> =
        asked["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        asked["jobs"][0]["approval"],
        json!({"asked_by": format!("operator, uid {SOMEBODY}"), "approved_by": null})
    );
    let approve = format!("/jobs/{}/approve", ids[1]);
    let (status, own) = ask(state, SOMEBODY, "POST", &approve, Value::Null).await;
    assert_eq!((status, own["error"]["code"].as_str()), (403, Some("OwnApproval")));
    let (status, done) = ask(state, COLLEAGUE, "POST", &approve, Value::Null).await;
    assert_eq!(status, 200, "{done}");
    // The whole group, once.
    for id in &ids {
        let (_, job) = ask(state, COLLEAGUE, "GET", &format!("/jobs/{id}"), Value::Null).await;
        assert_eq!(job["approval"]["approved_by"], format!("operator, uid {COLLEAGUE}"));
    }
    let (status, again) = ask(state, COLLEAGUE, "POST", &approve, Value::Null).await;
    assert_eq!((status, again["error"]["code"].as_str()), (409, Some("NotAwaited")));
    let seen = entries(state).await;
    assert!(
        seen.iter().any(|(detail, outcome)| detail.starts_with("job approve") && outcome == "OwnApproval"),
        "{seen:?}"
    );
    // Without the setting nobody is asked.
    daemon.migrations.reload(Settings::default());
    let (_, asked) = ask(state, SOMEBODY, "POST", "/jobs", order()).await;
    assert_eq!(asked["jobs"][0]["approval"], Value::Null);
    let other = daemon.job(JobState::Complete).await;
    let (status, _) = ask(state, COLLEAGUE, "POST", &format!("/jobs/{other}/approve"), Value::Null).await;
    assert_eq!(status, 409);
}

#[tokio::test]
async fn decisions_are_explained_and_credentials_issued() {
    let daemon = TestDaemon::start();
    let state = &daemon.state;
    let table = Arc::new(AccessKeyTable::default());
    let account: crate::model::AccountId = ACCOUNT.parse().unwrap();
    let policies = vec![Attached::built_in("AliyunKMSCryptoUserAccess").unwrap()];
    let app =
        Identity { principal: Principal::user(account.clone(), "app"), policies: policies.clone(), session: None };
    let ci = Identity { principal: Principal::role(account, "ci"), policies, session: None };
    table.replace([], [Arc::new(app), Arc::new(ci)]);
    table.set_session_key(SessionKey::new(b"seed"));
    state.set_identities(table);
    let (_, known) = ask(state, 0, "GET", "/identities", Value::Null).await;
    assert_eq!(known["identities"][1], format!("acs:ram::{ACCOUNT}:user/app"));
    let why = async |identity: &str, action: &str, resource: &str| {
        let asked = json!({"identity": format!("acs:ram::{ACCOUNT}:{identity}"), "action": action,
            "resource": format!("acs:kms:{REGION}:{ACCOUNT}:{resource}")});
        ask(state, 0, "POST", "/policy/explain", asked).await
    };
    let (_, yes) = why("user/app", "kms:Encrypt", "key/11111111-2222-4333-8444-555555555555").await;
    assert_eq!((&yes["now"]["allowed"], &yes["exists"]), (&json!(true), &json!(false)));
    assert_eq!(yes["now"]["policy"], "AliyunKMSCryptoUserAccess");
    assert_eq!(yes["after_migration"], Value::Null);
    let (_, no) = why("user/app", "DisableKey", "alias/none").await;
    assert_eq!((&no["now"]["allowed"], &no["action"]), (&json!(false), &json!("kms:DisableKey")));
    assert_eq!(no["now"]["reason"], "denied: no statement allows it");
    for (identity, action, resource, status) in [
        ("user/x", "kms:Encrypt", "key", 404),
        ("user/app", "kms:*", "key", 400),
        ("user/app", "kms:Encrypt", "key/no id", 400),
    ] {
        assert_eq!(why(identity, action, resource).await.0, status, "{identity} {action} {resource}");
    }
    let credentials = async |role: &str, seconds: u64| {
        let asked = json!({"account": ACCOUNT, "role": role, "session": "me", "seconds": seconds});
        ask(state, 0, "POST", "/roles/credentials", asked).await
    };
    let (status, made) = credentials("ci", 900).await;
    assert_eq!(status, 200, "{made}");
    assert!(made["access_key_id"].as_str().unwrap().starts_with("STS."));
    for (role, seconds, status) in
        [("none", 900, 404), ("ci", 59, 400), ("ci", 12 * 3600 + 1, 400), ("ci", u64::MAX, 400)]
    {
        assert_eq!(credentials(role, seconds).await.0, status, "{role} {seconds}");
    }
    let seen = entries(state).await;
    assert!(
        seen.iter().any(|(detail, outcome)| detail.contains(&format!("{ACCOUNT}/ci for me")) && outcome == "ok"),
        "{seen:?}"
    );
    let secret = made["access_key_secret"].as_str().unwrap();
    assert!(seen.iter().all(|(detail, _)| !detail.contains(secret)));
}
