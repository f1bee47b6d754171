//! Commands as they are typed, against canned answers on a real socket and against the real admin server.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use clap::{CommandFactory, Parser};
use serde_json::{Value, json};

use super::{Arguments, Exit, Terminal, execute};
use crate::admin::protocol::JobShape;
use crate::admin::testing::{ACCOUNT, INSTANCE, REGION, TestDaemon};
use crate::model::JobState;

#[derive(Clone, Default)]
struct Stream(Arc<Mutex<Vec<u8>>>);

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Stream {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

struct Ran {
    exit: Exit,
    data: String,
    talk: String,
}

impl Ran {
    fn document(&self) -> Value {
        serde_json::from_str(&self.data).unwrap()
    }
}

/// Types a command; `answer` is what somebody at the terminal types, `None`: nobody sits there.
async fn type_in(socket: &Path, line: &str, answer: Option<&str>) -> Ran {
    let words = ["keyferry", "--socket", socket.to_str().unwrap()].into_iter().chain(line.split(' '));
    let arguments = Arguments::try_parse_from(words).unwrap();
    let (data, talk) = (Stream::default(), Stream::default());
    let input = Cursor::new(answer.unwrap_or_default().to_owned());
    let mut terminal = Terminal::of_streams(
        Box::new(input),
        Box::new(data.clone()),
        Box::new(talk.clone()),
        answer.is_some(),
        arguments.json,
    );
    let exit = execute(arguments, &mut terminal).await;
    Ran { exit, data: data.text(), talk: talk.text() }
}

/// A server that gives canned answers by method and path, on a socket in a directory of its own.
struct Stub {
    socket: PathBuf,
    _directory: tempfile::TempDir,
}

impl Stub {
    fn start(answers: impl Fn(&str, &str) -> (u16, String) + Send + Sync + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("stub.sock");
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let answers = Arc::new(answers);
        let router = Router::new().fallback(move |request: axum::extract::Request| {
            let (status, body) = answers(request.method().as_str(), request.uri().path());
            std::future::ready((StatusCode::from_u16(status).unwrap(), body).into_response())
        });
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { socket, _directory: directory }
    }

    fn always(status: u16, body: Value) -> Self {
        Self::start(move |_, _| (status, body.to_string()))
    }
}

/// A job that has moved one of two keys and none of three secrets.
pub(super) fn job_shape(state: &str) -> JobShape {
    let ended = ["complete", "failed", "canceled", "rehearsed"].contains(&state);
    serde_json::from_value(json!({
        "id": "job-0198a1b2c3d4e5f60718", "group": null, "state": state, "task_status": "x", "method": "manual",
        "rehearsal": false, "schedule": null, "region": REGION, "account": ACCOUNT, "instance": INSTANCE,
        "scheduled_for": "2026-12-01T02:00:00Z", "started_at": null,
        "finished_at": if ended { json!("2026-12-01T02:00:09Z") } else { Value::Null },
        "keys_total": 2, "keys_done": 1, "secrets_total": 3, "secrets_done": 0, "locked_at": null, "unlocked_at": null,
        "failure": null, "left_behind": [], "a_field_of_a_newer_daemon": 1,
    }))
    .unwrap()
}

fn error(code: &str) -> Value {
    json!({ "error": { "code": code, "message": "cause", "remedy": "remedy" } })
}

const SELECTION: &str = "--region cn-hangzhou --account 1000000000000001 --instance kst-hzz1";

#[test]
fn the_arguments_are_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn wrong_usage_is_refused_before_anything_is_done() {
    for line in [
        "",
        "nonsense",
        "plan --region cn-hangzhou --account 1000000000000001 --instance kst-1",
        &format!("plan {SELECTION} --all --key k"),
        &format!("migrate {SELECTION} --all --strict"),
        "hold",
        "run --dir /x",
        &format!("schedule add n {SELECTION} --all"),
        &format!("schedule add n {SELECTION} --all --at x --cron y --time-zone z"),
        &format!("schedule add n {SELECTION} --all --cron y"),
        "instance share kst-1",
        "terraform check /x",
        "terraform check /x --plan",
        &format!("terraform check /x --plan {SELECTION}"),
        "terraform check /x --job j --sarif --json",
        "terraform check /x --job j --provider new",
        "terraform check /x --job j --all",
        "terraform rewrite /x --job j --strategy none",
    ] {
        let parsed = Arguments::try_parse_from(["keyferry"].into_iter().chain(line.split_whitespace()));
        assert_eq!(parsed.err().map(|error| error.exit_code()), Some(2), "{line}");
    }
}

#[test]
fn every_documented_command_is_understood() {
    for line in [
        "run",
        "run --role instance",
        "run --dev --dir /x",
        "demo --keys 3 --secrets 4 --dir /x",
        "config check",
        "config show --config /x",
        "check --region r --account a --exit-code --json",
        "resources --instance i --service-keys",
        &format!("plan {SELECTION} --all"),
        &format!("plan {SELECTION} --key a --key b --secret c d"),
        &format!("migrate {SELECTION} --account 2 --all --yes --wait --rehearse --strict"),
        "schedule list",
        &format!(
            "schedule add n {SELECTION} --all --at x --window 3h --if-missed skip --soak 1m --rehearse --acknowledge"
        ),
        &format!("schedule add n {SELECTION} --secret s --cron x --time-zone z"),
        "schedule show n",
        "schedule next n",
        "schedule pause n",
        "schedule resume n",
        "schedule cancel n",
        "job list",
        "job show j",
        "job watch j",
        "job cancel j",
        "job report j",
        "job report j --html",
        "audit verify",
        "audit verify --head 1:ab --offline",
        "audit key",
        "hold --region r --account a --now --reason x",
        "release",
        "instance list",
        "instance show i",
        "instance share i --with a",
        "instance unshare i --with a",
        "status --json",
        "terraform check --job j",
        "terraform check /x --state a --state b --resources c --provider 1.235.0 --var-file d --instance i --sarif",
        "terraform check /x --endpoint https://kms.example --access-key-secret-file f --ca g --region r",
        &format!("terraform check --plan {SELECTION} --all"),
        &format!("terraform check /x --plan {SELECTION} --key k --secret s --secret t --json"),
        "terraform rewrite /x --job j --strategy instance-id --write",
    ] {
        let parsed = Arguments::try_parse_from(["keyferry"].into_iter().chain(line.split_whitespace()));
        assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
    }
}

#[tokio::test]
async fn exit_codes_follow_the_answer() {
    for (status, exit) in [
        (400, Exit::Usage),
        (404, Exit::Usage),
        (409, Exit::Failed),
        (422, Exit::Refused),
        (423, Exit::Locked),
        (500, Exit::Failed),
    ] {
        let stub = Stub::always(status, error("Some"));
        let ran = type_in(&stub.socket, "status", None).await;
        assert_eq!((ran.exit, ran.data.as_str()), (exit, ""), "{status}");
        assert!(ran.talk.contains("cause") && ran.talk.contains("-> remedy"), "{}", ran.talk);
        let ran = type_in(&stub.socket, "status --json", None).await;
        assert_eq!((ran.exit, ran.document()), (exit, error("Some")), "{status}");
    }
    let ran = type_in(Path::new("/nonexistent/admin.sock"), "status", None).await;
    assert_eq!(ran.exit, Exit::Unreachable);
    assert!(ran.talk.contains("/nonexistent/admin.sock"), "{}", ran.talk);
}

#[tokio::test]
async fn check_draws_the_table_and_tells_what_is_left() {
    let row = |left: u64| {
        json!({ "regions": [{
            "region": REGION, "account": ACCOUNT, "keys_not_migrated": left, "keys_migrated": 12345, "secrets_not_migrated": 0,
            "secrets_migrated": 7, "task_status": "Migration Complete",
            "lock": { "job": "job-0198a1b2c3d4e5f60718", "since": "2026-12-01T02:00:00.5Z", "until": "2026-12-01T04:00:00Z" },
            "not_migratable": [{ "kind": "key", "id": "0f3c9a52-6a7e-4c0f-9d8e-1b2a3c4d5e6f", "code": "UnsupportedKeySpec",
                "message": "RSA_3072 cannot be held by any kind of instance" }],
        }]})
    };
    let stub = Stub::always(200, row(1));
    let ran = type_in(&stub.socket, "check --exit-code", None).await;
    assert_eq!(ran.exit, Exit::Failed);
    assert!(ran.data.lines().all(|line| line.chars().count() <= 80), "{}", ran.data);
    for text in [REGION, ACCOUNT, "12345", "UnsupportedKeySpec", "job-0198a1b2c3d4e5f60718"] {
        assert!(ran.data.contains(text), "{text}: {}", ran.data);
    }
    assert_eq!(type_in(&stub.socket, "check", None).await.exit, Exit::Done);
    let stub = Stub::always(200, row(0));
    let ran = type_in(&stub.socket, "--json check --exit-code", None).await;
    assert_eq!((ran.exit, ran.document()), (Exit::Done, row(0)));
}

fn plans(refused: bool, code: &str) -> Value {
    let problem = json!({ "kind": "key", "id": "k", "code": code, "message": "why", "remedy": "what to do" });
    json!({ "plans": [{
        "region": REGION, "account": ACCOUNT, "instance": INSTANCE, "keys": ["k"], "secrets": ["s"],
        "problems": if refused { json!([problem]) } else { json!([]) }, "left_behind": [], "warnings": [], "refused": refused,
        "estimated_seconds": null,
    }]})
}

#[tokio::test]
async fn a_plan_with_a_problem_exits_with_4() {
    let stub = Stub::always(200, plans(true, "NoKeyMaterial"));
    let ran = type_in(&stub.socket, &format!("plan {SELECTION} --all"), None).await;
    assert_eq!(ran.exit, Exit::Refused);
    assert!(ran.data.contains("NoKeyMaterial: key k: why -> what to do"), "{}", ran.data);
    let ran = type_in(&stub.socket, &format!("plan {SELECTION} --all --json"), None).await;
    assert_eq!(ran.document()["account"], ACCOUNT);
}

fn migrating(ending: &'static str) -> Stub {
    Stub::start(move |method, path| match (method, path) {
        ("POST", "/v1/plan") => (200, plans(false, "").to_string()),
        ("POST", "/v1/jobs") => (200, json!({ "group": null, "jobs": [job_shape("queued")] }).to_string()),
        (_, path) if path.ends_with("/watch") => {
            let line = |state| serde_json::to_string(&job_shape(state)).unwrap();
            (200, format!("{}\n{}\n", line("copying"), line(ending)))
        }
        _ => (404, error("NoSuchPath").to_string()),
    })
}

#[tokio::test]
async fn migrate_asks_and_takes_no_for_an_answer() {
    let stub = migrating("complete");
    let line = format!("migrate {SELECTION} --all");
    let ran = type_in(&stub.socket, &line, None).await;
    assert_eq!(ran.exit, Exit::Usage);
    assert!(ran.talk.contains("--yes"), "{}", ran.talk);
    for answer in ["\n", "n\n", "", "perhaps\n"] {
        let ran = type_in(&stub.socket, &line, Some(answer)).await;
        assert_eq!((ran.exit, ran.data.as_str()), (Exit::Failed, ""), "{answer:?}");
        assert!(ran.talk.contains("Terraform") && ran.talk.contains("1 secret"), "{}", ran.talk);
    }
    let ran = type_in(&stub.socket, &line, Some("y\n")).await;
    assert_eq!((ran.exit, ran.data.trim()), (Exit::Done, "job-0198a1b2c3d4e5f60718"));
}

#[tokio::test]
async fn migrate_and_wait_ends_as_the_job_does() {
    for (ending, exit) in
        [("complete", Exit::Done), ("rehearsed", Exit::Done), ("failed", Exit::Failed), ("canceled", Exit::Failed)]
    {
        let stub = migrating(ending);
        let ran = type_in(&stub.socket, &format!("migrate {SELECTION} --all --yes --wait --json"), None).await;
        assert_eq!(ran.exit, exit, "{ending}: {}", ran.talk);
        assert_eq!(ran.document()["state"], ending, "one document, at the end");
        assert!(ran.talk.contains("copying"), "{}", ran.talk);
    }
}

#[tokio::test]
async fn what_to_run_next_is_named_where_something_moved() {
    let command = "keyferry terraform check DIR --job job-0198a1b2c3d4e5f60718";
    for (ending, told) in [("complete", true), ("rehearsed", false), ("failed", false)] {
        let stub = migrating(ending);
        let ran = type_in(&stub.socket, &format!("migrate {SELECTION} --all --yes --wait"), None).await;
        assert_eq!(ran.talk.contains(command), told, "{ending}: {}", ran.talk);
        let ran = type_in(&stub.socket, "job watch job-0198a1b2c3d4e5f60718", None).await;
        assert_eq!(ran.talk.contains(command), told, "{ending}: {}", ran.talk);
    }
}

#[tokio::test]
async fn a_plan_comes_with_the_migration_instructions() {
    let stub = Stub::always(200, plans(false, ""));
    let ran = type_in(&stub.socket, &format!("plan {SELECTION} --all"), None).await;
    assert!(
        ran.talk.contains("Migration Instructions") && ran.talk.contains("terraform check DIR --plan"),
        "{}",
        ran.talk
    );
    assert!(!ran.data.contains("Migration Instructions"), "they are no data");
    let ran = type_in(&stub.socket, &format!("plan {SELECTION} --all --json"), None).await;
    assert_eq!(ran.talk, "");
}

#[tokio::test]
async fn problems_are_told_before_anybody_is_asked() {
    for (code, line, exit) in [("ScopeLocked", "", Exit::Locked), ("QuotaExceeded", " --wait", Exit::Refused)] {
        let stub = Stub::always(200, plans(true, code));
        let ran = type_in(&stub.socket, &format!("migrate {SELECTION} --all{line}"), Some("y\n")).await;
        assert_eq!(ran.exit, exit);
        assert!(ran.talk.contains(code) && !ran.talk.contains("[y/N]"), "{}", ran.talk);
    }
}

#[tokio::test]
async fn a_schedule_goes_its_whole_way_through_the_real_server() {
    let daemon = TestDaemon::start();
    let run = async |line: String| type_in(&daemon.socket, &line, None).await;
    let ran =
        run(format!("schedule add night {SELECTION} --all --at 2126-12-01T02:00:00+08:00 --acknowledge --json")).await;
    assert_eq!(ran.exit, Exit::Done, "{}{}", ran.data, ran.talk);
    assert_eq!(ran.document()["next_run"], "2126-11-30T18:00:00Z");
    assert!(run("schedule list".to_owned()).await.data.contains("2126-11-30T18:00:00Z"));
    assert!(run("schedule next night".to_owned()).await.data.contains("2126-11-30T18:00:00Z"));
    assert!(run("status".to_owned()).await.data.contains("Next: night"));
    assert!(run("schedule pause night".to_owned()).await.data.contains("paused"));
    let ran = run("schedule show nobody".to_owned()).await;
    assert_eq!(ran.exit, Exit::Usage);
    assert!(ran.talk.contains("nobody") && ran.talk.contains("schedule list"), "{}", ran.talk);
    let ran = run(format!("schedule add bad {SELECTION} --all --at tomorrow")).await;
    assert_eq!(ran.exit, Exit::Usage);
    assert!(ran.talk.contains("RFC 3339"), "{}", ran.talk);
}

#[tokio::test]
async fn jobs_are_shown_watched_and_unknown_ones_named() {
    let daemon = TestDaemon::start();
    let id = daemon.job(JobState::Complete).await;
    let ran = type_in(&daemon.socket, &format!("job watch {id}"), None).await;
    assert_eq!(ran.exit, Exit::Done);
    assert!(ran.data.contains("complete") && ran.data.contains("100%"), "{}", ran.data);
    let ran = type_in(&daemon.socket, &format!("job watch {id} --json"), None).await;
    assert_eq!(ran.document()["id"], id.as_str());
    let ran = type_in(&daemon.socket, "job list", None).await;
    assert!(ran.data.contains(id.as_str()) && ran.data.lines().all(|l| l.chars().count() <= 80), "{}", ran.data);
    assert!(type_in(&daemon.socket, &format!("job report {id}"), None).await.data.contains("Keys of the plan (0)"));
    for command in ["show", "watch", "cancel", "report"] {
        let ran = type_in(&daemon.socket, &format!("job {command} job-x"), None).await;
        assert_eq!(ran.exit, Exit::Usage, "{command}");
        assert!(ran.talk.contains("there is no job job-x"), "{}", ran.talk);
    }
}

#[tokio::test]
async fn a_group_is_watched_and_reported_as_one_and_its_exit_code_tells() {
    let daemon = TestDaemon::start();
    let run = async |line: String| type_in(&daemon.socket, &line, None).await;
    let done = daemon.group(&[JobState::Complete, JobState::Complete]).await;
    let ran = run(format!("job watch {}", done[0])).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.talk);
    for (id, account) in [(&done[0], ACCOUNT), (&done[1], "1000000000000002")] {
        assert!(ran.data.contains(id.as_str()) && ran.data.contains(account), "{}", ran.data);
    }
    assert_eq!(run(format!("job watch {} --alone --json", done[0])).await.data.lines().count(), 1);
    let lines = run(format!("job watch {} --json", done[0])).await.data;
    let ids: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone()).collect();
    assert_eq!(ids, [json!(done[0].as_str()), json!(done[1].as_str())]);

    let refused = daemon.group(&[JobState::Queued, JobState::Complete]).await;
    daemon.refuse(&refused[0], "InstanceNotShared").await;
    assert_eq!(run(format!("job watch {}", refused[0])).await.exit, Exit::Refused);
    let failed = daemon.group(&[JobState::Failed, JobState::Queued, JobState::Complete]).await;
    daemon.refuse(&failed[1], "InstanceNotShared").await;
    assert_eq!(run(format!("job watch {}", failed[0])).await.exit, Exit::Failed, "a failure counts more");

    let report = run(format!("job report {}", refused[0])).await;
    assert_eq!(report.exit, Exit::Done);
    for words in ["(2 accounts)", "1 done, 1 refused by preflight", "InstanceNotShared", refused[1].as_str()] {
        assert!(report.data.contains(words), "{words}: {}", report.data);
    }
    let document = run(format!("job report {} --json", refused[0])).await.document();
    assert_eq!((&document["group"], document["jobs"].as_array().unwrap().len()), (&json!(refused[0].as_str()), 2));
    let page = run(format!("job report {} --html", refused[0])).await.data;
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("Account 1000000000000002"), "{page}");
    let alone = run(format!("job report {} --alone", refused[0])).await.data;
    assert!(!alone.contains("accounts)") && alone.contains("Keys of the plan (0)"), "{alone}");
    let other = run(format!("job report {}", refused[1])).await.data;
    assert!(!other.contains("accounts)"), "a member that is not the first has its own: {other}");
}

#[tokio::test]
async fn holds_and_instances_through_the_real_server() {
    let daemon = TestDaemon::start();
    let ran = type_in(&daemon.socket, "hold --region cn-hangzhou --reason freeze", None).await;
    assert!(ran.data.contains("every account, cn-hangzhou") && ran.data.contains("freeze"), "{}", ran.data);
    assert_eq!(type_in(&daemon.socket, "release", None).await.data.trim(), "Nothing is held.");
    let ran = type_in(&daemon.socket, "instance show kst-hzz1", None).await;
    assert!(ran.data.contains("0 of 1000"), "{}", ran.data);
    let ran = type_in(&daemon.socket, "instance show kst-other", None).await;
    assert_eq!(ran.exit, Exit::Usage);
    assert!(ran.talk.contains("kst-other") && ran.talk.contains("instance list"), "{}", ran.talk);
}

#[tokio::test]
async fn config_check_names_every_mistake_and_exits_with_2() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keyferry.toml");
    std::fs::write(&file, "state_dri = \"/x\"\n[log]\nformat = \"xml\"\n").unwrap();
    let line = format!("--config {} config check", file.display());
    let ran = type_in(Path::new("unused"), &line, None).await;
    assert_eq!((ran.exit, ran.data.as_str()), (Exit::Usage, ""));
    assert!(ran.talk.contains("state_dir") && ran.talk.contains("xml"), "{}", ran.talk);
}

#[tokio::test]
async fn resources_are_grouped_by_where_they_are_and_their_ids_stay_whole() {
    let id = "0f3c9a52-6a7e-4c0f-9d8e-1b2a3c4d5e6f";
    let key = |instance: Value| {
        json!({ "id": id, "account": ACCOUNT, "region": REGION, "instance": instance, "alias": ["alias/a", "alias/b"],
            "spec": "Aliyun_AES_256", "usage": "ENCRYPT/DECRYPT", "state": "PendingDeletion", "service": null })
    };
    let secret = json!({ "name": "db", "account": ACCOUNT, "region": REGION, "instance": INSTANCE, "type": "Generic",
        "versions": 3 });
    let all = json!({ "keys": [key(Value::Null), key(json!(INSTANCE))], "secrets": [secret] });
    let stub = Stub::always(200, all.clone());
    let ran = type_in(&stub.socket, "resources", None).await;
    assert_eq!(ran.data.matches(id).count(), 2, "{}", ran.data);
    assert!(ran.data.contains("shared KMS") && ran.data.contains("cn-hangzhou, kst-hzz1"), "{}", ran.data);
    assert!(ran.data.lines().all(|line| line.chars().count() <= 80), "{}", ran.data);
    assert_eq!(type_in(&stub.socket, "resources --json", None).await.document(), all);
}
