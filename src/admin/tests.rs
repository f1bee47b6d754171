//! Over a real socket, as a client sees it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

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
    let mut watch = client.0.get(format!("http://keyferry/v1/jobs/{id}/watch")).send().await.unwrap();
    let line = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    assert_eq!(line(&watch.chunk().await.unwrap().unwrap())["state"], "copying");
    daemon.advance(&id, JobState::Verifying).await;
    assert_eq!(line(&watch.chunk().await.unwrap().unwrap())["state"], "verifying");
    daemon.advance(&id, JobState::Complete).await;
    assert_eq!(line(&watch.chunk().await.unwrap().unwrap())["task_status"], "Migration Complete");
    assert_eq!(watch.chunk().await.unwrap(), None);
    let (status, unknown) = client.get("/jobs/job-1").await;
    assert_eq!((status, unknown["error"]["code"].as_str()), (404, Some("JobNotFound")));
}

#[tokio::test]
async fn stopping_ends_a_watch_and_removes_the_socket() {
    let daemon = TestDaemon::start();
    let client = Client::new(&daemon);
    let id = daemon.job(JobState::Copying).await;
    let mut watch = client.0.get(format!("http://keyferry/v1/jobs/{id}/watch")).send().await.unwrap();
    assert!(watch.chunk().await.unwrap().is_some());
    daemon.stop.cancel();
    assert_eq!(watch.chunk().await.unwrap(), None);
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
