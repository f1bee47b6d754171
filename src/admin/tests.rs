//! Over a real socket, as a client sees it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::testing::{ACCOUNT, INSTANCE, REGION, TestDaemon};
use crate::model::JobState;

struct Client(reqwest::Client);

impl Client {
    fn new(daemon: &TestDaemon) -> Self {
        Self(reqwest::Client::builder().unix_socket(daemon.socket.as_path()).build().unwrap())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let response = self.0.get(format!("http://keyferry/v1{path}")).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn send(&self, method: reqwest::Method, path: &str, body: Value) -> (u16, Value) {
        let response = self.0.request(method, format!("http://keyferry/v1{path}")).json(&body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(reqwest::Method::POST, path, body).await
    }
}

/// The watch of a job or of a group, as far as it tells news: how things stand it may say again every five seconds.
struct Watch {
    response: reqwest::Response,
    opened: Instant,
    buffer: Vec<u8>,
    told: BTreeMap<String, Value>,
}

impl Watch {
    async fn open(client: &Client, path: &str) -> Self {
        let opened = Instant::now();
        let response = client.0.get(format!("http://keyferry/v1{path}")).send().await.unwrap();
        Self { response, opened, buffer: Vec::new(), told: BTreeMap::new() }
    }

    /// The next news; `None`: the watch has ended.
    async fn next(&mut self) -> Option<Value> {
        loop {
            let job = self.line().await?;
            let before = self.told.insert(job["id"].as_str().unwrap().to_owned(), job.clone());
            if before.as_ref() != Some(&job) {
                return Some(job);
            }
            assert!(self.opened.elapsed() >= Duration::from_secs(5), "said again too early: {job}");
        }
    }

    async fn line(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let Some(chunk) = self.response.chunk().await.unwrap() else {
                assert!(self.buffer.is_empty(), "half a line");
                return None;
            };
            self.buffer.extend_from_slice(&chunk);
        }
    }
}

#[tokio::test]
async fn check_has_a_row_for_each_scope_and_status_leaves_the_reasons_out() {
    let daemon = TestDaemon::start();
    let client = Client::new(&daemon);
    let (status, check) = client.get("/check").await;
    assert_eq!(status, 200);
    assert_eq!(check["regions"].as_array().unwrap().len(), 2);
    assert_eq!(check["regions"][0]["task_status"], "Not Started");
    assert_eq!(check["regions"][0]["not_migratable"], json!([]));
    assert_eq!(check["regions"][0]["lock"], Value::Null);
    let (_, one) = client.get("/check?account=1000000000000002").await;
    assert_eq!(one["regions"].as_array().unwrap().len(), 1);
    let (status, unknown) = client.get("/check?region=cn-nowhere").await;
    assert_eq!((status, unknown["error"]["code"].as_str()), (404, Some("RegionNotFound")));
    let (_, status) = client.get("/status").await;
    assert!(status["scopes"][0].get("not_migratable").is_none());
    assert!(status["job"].is_null() && status["next"].is_null());
}

#[tokio::test]
async fn the_task_status_follows_the_jobs_and_schedules() {
    let daemon = TestDaemon::start();
    let client = Client::new(&daemon);
    let row = async || client.get("/check").await.1["regions"][0]["task_status"].as_str().unwrap().to_owned();
    let schedule = json!({
        "name": "night", "region": REGION, "accounts": [ACCOUNT], "instance": INSTANCE, "resources": "all",
        "at": "2126-12-01T02:00:00+08:00", "acknowledge": true,
    });
    assert_eq!(client.post("/schedules", schedule).await.0, 200);
    assert_eq!(row().await, "Scheduled");
    let id = daemon.job(JobState::Copying).await;
    assert_eq!(row().await, "Migrating");
    daemon.advance(&id, JobState::Complete).await;
    assert_eq!(row().await, "Migration Complete");
}

#[tokio::test]
async fn schedules_are_added_shown_paused_and_refused() {
    let daemon = TestDaemon::start();
    let client = Client::new(&daemon);
    let entry = json!({
        "name": "sundays", "region": REGION, "accounts": [ACCOUNT], "instance": INSTANCE,
        "resources": { "keys": [], "secrets": ["db"] }, "cron": "0 2 * * Sun", "time_zone": "Asia/Shanghai", "window": "3h",
    });
    let (status, added) = client.post("/schedules", entry.clone()).await;
    assert_eq!(status, 200, "{added}");
    assert_eq!(added["source"], "cli");
    assert_eq!(added["window"], "3h");
    assert_eq!(added["resources"]["secrets"], json!(["db"]));
    let (status, again) = client.post("/schedules", entry.clone()).await;
    assert_eq!((status, again["error"]["code"].as_str()), (400, Some("NameTaken")));
    let (_, runs) = client.get("/schedules/sundays/next").await;
    assert_eq!(runs["runs"].as_array().unwrap().len(), 5);
    assert!(runs["runs"][0]["local"].as_str().unwrap().ends_with("T02:00:00+08:00"), "{runs}");
    assert_eq!(client.post("/schedules/sundays/pause", Value::Null).await.1["state"], "paused");
    assert_eq!(client.get("/schedules/sundays").await.1["next_run"], Value::Null);
    assert_eq!(client.post("/schedules/nobody/pause", Value::Null).await.0, 404);
    for (field, value) in [
        ("name", json!("-x")),
        ("soak", json!("3h")),
        ("cron", json!("nonsense")),
        ("window", json!("0s")),
        ("accounts", json!([])),
        ("time_zone", json!("Mars/Olympus")),
        ("resources", json!({})),
    ] {
        let mut bad = entry.clone();
        bad["name"] = json!("other");
        bad[field] = value;
        let (status, answer) = client.post("/schedules", bad).await;
        assert_eq!(status, 400, "{field}: {answer}");
        assert_eq!(answer["error"]["code"], "InvalidValue", "{field}");
    }
    let past = json!({ "name": "past", "region": REGION, "accounts": [ACCOUNT], "instance": INSTANCE, "resources": "all",
        "at": "2020-01-01T00:00:00Z" });
    assert_eq!(client.post("/schedules", past).await.0, 400);
}

#[tokio::test]
async fn holds_stand_until_they_are_released() {
    let daemon = TestDaemon::start();
    let client = Client::new(&daemon);
    let hold = json!({ "region": REGION, "account": null, "reason": "freeze" });
    let (_, held) = client.post("/holds", hold).await;
    assert_eq!((&held["holds"][0]["region"], &held["holds"][0]["account"]), (&json!(REGION), &Value::Null));
    assert_eq!(client.get("/status").await.1["holds"][0]["reason"], "freeze");
    let other = json!({ "region": null, "account": ACCOUNT });
    assert_eq!(client.send(reqwest::Method::DELETE, "/holds", other).await.0, 404);
    let (status, left) = client.send(reqwest::Method::DELETE, "/holds", json!({})).await;
    assert_eq!((status, &left["holds"]), (200, &json!([])));
    assert_eq!(client.post("/holds", json!({ "region": null, "account": null, "reason": " " })).await.0, 400);
}

#[tokio::test]
async fn a_watch_tells_each_change_and_ends_with_the_job() {
    let daemon = TestDaemon::start();
    let client = Client::new(&daemon);
    let id = daemon.job(JobState::Copying).await;
    let mut watch = Watch::open(&client, &format!("/jobs/{id}/watch")).await;
    assert_eq!(watch.next().await.unwrap()["state"], "copying");
    daemon.advance(&id, JobState::Verifying).await;
    assert_eq!(watch.next().await.unwrap()["state"], "verifying");
    daemon.advance(&id, JobState::Complete).await;
    assert_eq!(watch.next().await.unwrap()["task_status"], "Migration Complete");
    assert_eq!(watch.next().await, None);
    let (status, unknown) = client.get("/jobs/job-1").await;
    assert_eq!((status, unknown["error"]["code"].as_str()), (404, Some("JobNotFound")));
}

#[tokio::test]
async fn the_id_of_a_group_watches_and_reports_all_of_its_jobs() {
    let daemon = TestDaemon::start();
    let client = Client::new(&daemon);
    let ids = daemon.group(&[JobState::Copying, JobState::Queued, JobState::Queued]).await;
    let at = format!("/jobs/{}/watch", ids[0]);
    let mut watch = Watch::open(&client, &at).await;
    for id in &ids {
        assert_eq!(watch.next().await.unwrap()["id"], id.as_str(), "first how each stands");
    }
    let mut alone = Watch::open(&client, &format!("{at}?alone=true")).await;
    assert_eq!(alone.next().await.unwrap()["id"], ids[0].as_str());
    daemon.advance(&ids[0], JobState::Complete).await;
    assert_eq!(watch.next().await.unwrap()["state"], "complete");
    assert_eq!(alone.next().await.unwrap()["state"], "complete");
    assert_eq!(alone.next().await, None, "that one has ended");

    daemon.refuse(&ids[1], "QuotaExceeded").await;
    daemon.advance(&ids[2], JobState::Rehearsed).await;
    let mut ended: Vec<Value> = Vec::new();
    while let Some(job) = watch.next().await {
        ended.push(job);
    }
    let told: Vec<(&str, &str)> =
        ended.iter().map(|job| (job["id"].as_str().unwrap(), job["state"].as_str().unwrap())).collect();
    assert_eq!(told, [(ids[1].as_str(), "failed"), (ids[2].as_str(), "rehearsed")]);

    let (status, report) = client.get(&format!("/groups/{}/report", ids[0])).await;
    assert_eq!(status, 200);
    let counts = ["jobs_done", "jobs_refused", "jobs_failed", "jobs_left"].map(|name| report[name].as_u64().unwrap());
    assert_eq!(counts, [2, 1, 0, 0]);
    assert_eq!(report["jobs"].as_array().unwrap().len(), 3);
    assert_eq!(report["jobs"][1]["failure"]["code"], "QuotaExceeded");
    assert_eq!(report["jobs"][1]["evidence"]["scope"]["account"], "1000000000000002");
    let (status, none) = client.get(&format!("/groups/{}/report", ids[1])).await;
    assert_eq!((status, none["error"]["code"].as_str()), (404, Some("GroupNotFound")));
    // A member that is not the first is watched by itself.
    let own = client.0.get(format!("http://keyferry/v1/jobs/{}/watch", ids[1])).send().await.unwrap();
    assert_eq!(own.text().await.unwrap().lines().count(), 1);
}

#[tokio::test]
async fn stopping_ends_a_watch_and_removes_the_socket() {
    let daemon = TestDaemon::start();
    let client = Client::new(&daemon);
    let id = daemon.job(JobState::Copying).await;
    let mut watch = Watch::open(&client, &format!("/jobs/{id}/watch")).await;
    assert!(watch.next().await.is_some());
    daemon.stop.cancel();
    assert_eq!(watch.next().await, None);
    let TestDaemon { served, socket, .. } = daemon;
    served.await.unwrap();
    assert!(!socket.exists());
}

#[tokio::test]
async fn instances_are_listed_and_shares_are_checked() {
    let daemon = TestDaemon::start();
    let client = Client::new(&daemon);
    let (_, all) = client.get("/instances").await;
    assert_eq!(all["instances"][0]["id"], INSTANCE);
    assert_eq!(all["instances"][0]["lock"], Value::Null);
    let share = |account: &str| json!({ "account": account });
    let path = format!("/instances/{INSTANCE}/share");
    assert_eq!(client.post(&path, share(ACCOUNT)).await.0, 400, "its owner needs no share");
    assert_eq!(client.post(&path, share("1000000000000009")).await.0, 404);
    assert_eq!(client.post("/instances/kst-none/share", share(ACCOUNT)).await.0, 404);
}

const OTHER: &str = "1000000000000002";

#[tokio::test]
async fn shares_follow_the_directories_and_end_when_nothing_is_left() {
    let daemon = TestDaemon::start();
    let client = Client::new(&daemon);
    let service = daemon.migrations.service();
    let (catalogue, id) = (&service.catalogue, INSTANCE.parse().unwrap());
    let identity = crate::crypto::identity::Identity::generate(service.random.as_ref()).unwrap().public();
    catalogue.pin_identity(&id, &identity).await.unwrap();
    let entity = |verified| crate::model::Entity {
        name: "Retail".to_owned(),
        verified,
        accounts: vec![ACCOUNT.parse().unwrap(), OTHER.parse().unwrap()],
    };
    let directories =
        |entities| crate::model::Directories(vec![crate::model::Directory { id: "rd-a".to_owned(), entities }]);
    let alone = crate::model::Entity { accounts: vec![ACCOUNT.parse().unwrap()], ..entity(true) };
    let apart =
        crate::model::Entity { name: "Other".to_owned(), accounts: vec![OTHER.parse().unwrap()], ..entity(true) };
    let change =
        async |what: &str| client.post(&format!("/instances/{INSTANCE}/{what}"), json!({ "account": OTHER })).await;
    for (entities, code, words) in [
        (vec![alone.clone()], "NotInDirectory", "is a member of no resource directory"),
        (vec![alone, apart], "OtherEntity", "belongs to the entity"),
        (vec![entity(false)], "EntityNotVerified", "has not passed real-name verification"),
    ] {
        service.keystores.set_directories(directories(entities));
        let (status, answer) = change("share").await;
        assert_eq!((status, answer["error"]["code"].as_str()), (409, Some(code)), "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(words), "{answer}");
        assert!(!answer["error"]["remedy"].as_str().unwrap().is_empty());
    }
    service.keystores.set_directories(directories(vec![entity(true)]));
    let (status, shown) = change("share").await;
    assert_eq!((status, &shown["shared_by_cli"]), (200, &json!([OTHER])), "{shown}");
    assert_eq!(change("share").await.0, 200, "twice is once");

    // Something of the account is there: the share stays.
    let scope = crate::model::Scope { region: REGION.parse().unwrap(), account: OTHER.parse().unwrap() };
    let count = async |plus: u64, minus: u64| {
        let guarded = catalogue.guard(&scope).await.unwrap();
        let mut change = crate::catalogue::Change::guarded(&guarded);
        let demand = |keys| crate::catalogue::Demand { keys, secrets: 0 };
        catalogue.count_in(&mut change, &id, demand(plus), demand(minus)).await.unwrap();
        catalogue.commit(change).await.unwrap();
    };
    count(2, 0).await;
    let (status, refused) = change("unshare").await;
    assert_eq!((status, refused["error"]["code"].as_str()), (409, Some("InstanceInUse")), "{refused}");
    assert!(refused["error"]["message"].as_str().unwrap().contains("has 2 keys and 0 secrets"), "{refused}");
    let (_, shown) = client.get(&format!("/instances/{INSTANCE}")).await;
    assert_eq!(
        shown["accounts"][0],
        json!({ "account": OTHER, "keys": 2, "secrets": 0, "keys_reserved": 0, "secrets_reserved": 0 })
    );

    // A share that the directory has taken away is at rest, not gone.
    service.keystores.set_directories(directories(vec![entity(false)]));
    let (_, shown) = client.get(&format!("/instances/{INSTANCE}")).await;
    assert_eq!(shown["shares_at_rest"][0]["code"], "EntityNotVerified", "{shown}");
    count(0, 2).await;
    let (status, shown) = change("unshare").await;
    assert_eq!((status, &shown["shared_with"]), (200, &json!([])), "{shown}");
    let (status, again) = change("unshare").await;
    assert_eq!((status, again["error"]["code"].as_str()), (404, Some("NotShared")));
    // All of it, refusals too, is in the audit trail; looking is noted apart, in its own time.
    let entries = crate::store::scan_records::<crate::audit::Entry>(catalogue.store().as_ref(), b"a/new/", None, 100);
    let entries = entries.await.unwrap();
    let changes = entries.iter().filter(|(_, entry)| entry.action != "admin.request");
    assert_eq!(changes.count(), 8, "{entries:?}");
}
