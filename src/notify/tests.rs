//! Against real receivers on this machine, over HTTP and HTTPS.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;
use crate::config::{AccessKeySecret, SecretOrigin, Template};
use crate::model::{Job, JobState, SystemClock};
use crate::store::memory::MemoryStore;
use crate::store::{Outcome, Page, Revision, SharedStore, Store, StoreError, Transaction, Versioned};

const PATIENCE: Duration = Duration::from_secs(20);
const QUICK: Patience = Patience {
    first_pause: Duration::from_millis(5),
    longest_pause: Duration::from_millis(50),
    give_up: Duration::from_secs(3600),
};

/// What a receiver got.
struct Got {
    headers: HeaderMap,
    query: String,
    body: Vec<u8>,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A webhook that first refuses as often as it is told to.
#[derive(Clone)]
struct Hook {
    refusals: Arc<AtomicU32>,
    answer: &'static str,
    got: UnboundedSender<Got>,
}

impl Hook {
    fn new(refusals: u32, answer: &'static str) -> (Self, UnboundedReceiver<Got>) {
        let (got, received) = unbounded_channel();
        (Self { refusals: Arc::new(AtomicU32::new(refusals)), answer, got }, received)
    }

    fn routes(self) -> Router {
        let take = |State(hook): State<Self>, headers: HeaderMap, RawQuery(query): RawQuery, body: Bytes| async move {
            let refuse = hook.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if refuse.is_ok() {
                return (StatusCode::BAD_GATEWAY, "");
            }
            let query = query.unwrap_or_default();
            hook.got.send(Got { headers, query, body: body.to_vec() }).unwrap();
            (StatusCode::OK, hook.answer)
        };
        Router::new().fallback(take).with_state(self)
    }

    /// Serves over HTTP; answers the address.
    async fn serve(self) -> String {
        self.serve_on(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn serve_on(self, listener: TcpListener) -> String {
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, self.routes()).await.unwrap() });
        format!("http://{address}/hook?token=t0ken")
    }

    /// Serves over HTTPS; answers the address.
    async fn serve_tls(self, certificate: Arc<rustls::ServerConfig>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let routes = TowerToHyperService::new(self.routes());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // A client that does not trust us leaves here.
                let Ok(stream) = tokio_rustls::TlsAcceptor::from(Arc::clone(&certificate)).accept(stream).await else {
                    continue;
                };
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), routes.clone()));
            }
        });
        format!("https://localhost:{port}/hook")
    }
}

fn config(name: &str, url: &str, template: Template, events: &[Event]) -> Notify {
    Notify {
        name: name.to_owned(),
        url: AccessKeySecret::new(url.to_owned().into()),
        url_origin: SecretOrigin::Inline,
        template,
        signing: Some((AccessKeySecret::new("SECdemo".to_owned().into()), SecretOrigin::Inline)),
        events: events.to_vec(),
        ca: None,
    }
}

/// A notifier that runs until it is dropped.
struct Running {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(store: &SharedStore, receivers: &[Notify]) -> Self {
        let catalogue = Catalogue::new(Arc::clone(store));
        let notifier = Notifier::new(catalogue, Arc::new(SystemClock::default()), receivers, QUICK).unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        Self { stop, task: tokio::spawn(async move { notifier.run(stopped).await }) }
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// The next message that holds `mark`: other tests of this process emit events too.
async fn next(got: &mut UnboundedReceiver<Got>, mark: &str) -> Got {
    next_of(got, &[mark]).await
}

/// The next message that holds one of `marks`.
async fn next_of(got: &mut UnboundedReceiver<Got>, marks: &[&str]) -> Got {
    let wait = async {
        loop {
            let message = got.recv().await.unwrap();
            if marks.iter().any(|mark| String::from_utf8_lossy(&message.body).contains(*mark)) {
                return message;
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("nothing arrived")
}

/// Waits until nothing is left to tell `receiver`: it has a message before the notifier has its answer.
async fn all_told(store: &SharedStore, receiver: &str) {
    let outbox = Outbox::new(Arc::clone(store));
    let wait = async {
        while outbox.len(receiver).await.unwrap() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("something is left to tell");
}

/// Whether a message that holds `mark` is among those that have arrived.
fn arrived(got: &mut UnboundedReceiver<Got>, mark: &str) -> bool {
    std::iter::from_fn(|| got.try_recv().ok()).any(|message| String::from_utf8_lossy(&message.body).contains(mark))
}

fn of_job(job: &str) -> Fields {
    Fields { job: Some(job.to_owned()), region: Some("cn-hangzhou".to_owned()), ..Fields::new() }
        .progress((1, 2), (3, 4))
}

/// A place of this machine where nobody listens, and which nobody else is given meanwhile.
fn nobody() -> (TcpSocket, String) {
    let place = TcpSocket::new_v4().unwrap();
    place.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/", place.local_addr().unwrap());
    (place, url)
}

fn memory() -> SharedStore {
    Arc::new(MemoryStore::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_https_is_signed_and_goes_only_to_whom_the_operator_trusts() {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (directory.path().join("c.pem"), directory.path().join("k.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let identity = crate::api::tls::Identity::load(&certificate, &key).unwrap();
    let (hook, mut got) = Hook::new(0, "");
    let url = hook.serve_tls(identity.config()).await;
    let events = [Event::MigrationFailed];
    let trusted = Notify { ca: Some(certificate), ..config("trusted", &url, Template::Json, &events) };
    let stranger = config("stranger", &url, Template::Json, &events);
    let running = Running::start(&memory(), &[stranger, trusted]);
    emit(Event::MigrationFailed, &of_job("mig-https").code("WindowEnded"), "the window ended");

    let message = next(&mut got, "mig-https").await;
    let body = message.json();
    assert_eq!((&body["event"], &body["severity"]), (&Value::from("migration.failed"), &Value::from("error")));
    assert_eq!((&body["message"], &body["code"]), (&Value::from("the window ended"), &Value::from("WindowEnded")));
    assert_eq!((&body["schema"], &body["secrets_total"]), (&Value::from(1), &Value::from(4)));
    assert!(body["remedy"].as_str().unwrap().contains("job show"));
    assert_eq!(body["id"], message.header("x-keyferry-id"));
    // As a receiver would check it, with another implementation.
    let to_sign = [
        format!("v1:{}:{}:", message.header("x-keyferry-timestamp"), message.header("x-keyferry-id")).as_bytes(),
        &message.body,
    ]
    .concat();
    let file = directory.path().join("signed");
    std::fs::write(&file, to_sign).unwrap();
    let said = std::process::Command::new("openssl").args(["dgst", "-sha256", "-hmac", "SECdemo"]).arg(&file).output();
    let said = String::from_utf8(said.unwrap().stdout).unwrap();
    let expected = said.trim().rsplit(' ').next().unwrap();
    assert_eq!(message.header("x-keyferry-signature"), format!("v1={expected}"));
    // The other receiver has the same address, but its certificate is not trusted: nothing more has come.
    assert!(!arrived(&mut got, "mig-https"));
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_arrive_is_tried_again_in_order_and_never_told_twice() {
    let store = memory();
    let (hook, mut got) = Hook::new(4, "");
    let url = hook.clone().serve().await;
    let receivers = [config("r", &url, Template::Json, &[Event::MigrationStarted, Event::MigrationComplete])];
    let running = Running::start(&store, &receivers);
    emit(Event::MigrationStarted, &of_job("mig-again"), "migration started");
    emit(Event::MigrationStarted, &of_job("mig-again"), "migration started");
    emit(Event::MigrationComplete, &of_job("mig-again"), "Migration Complete");
    assert_eq!(next(&mut got, "mig-again").await.json()["event"], "migration.started");
    assert_eq!(next(&mut got, "mig-again").await.json()["event"], "migration.complete");
    all_told(&store, "r").await;
    running.end().await;

    // A restart, after which the daemon says some of it once more.
    let running = Running::start(&store, &receivers);
    emit(Event::MigrationComplete, &of_job("mig-again"), "Migration Complete");
    emit(Event::MigrationStarted, &of_job("mig-other"), "migration started");
    assert_eq!(next_of(&mut got, &["mig-again", "mig-other"]).await.json()["job"], "mig-other");
    assert!(!arrived(&mut got, "mig-again"));
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_away_holds_nothing_up_and_hears_it_later() {
    let store = memory();
    let (place, url) = nobody();
    let receivers = [config("away", &url, Template::Json, &[Event::MigrationStarted])];
    let running = Running::start(&store, &receivers);
    let begun = Instant::now();
    for n in 0..50 {
        emit(Event::MigrationStarted, &of_job(&format!("mig-away-{n:02}.")), "migration started");
    }
    assert!(begun.elapsed() < PATIENCE, "it took {:?}", begun.elapsed());
    // Written down in order; what other tests emit is among it, so their number tells nothing.
    let last = tap::Told { event: Event::MigrationStarted, fields: of_job("mig-away-49."), message: String::new() };
    let last = Notice::new(&last, jiff::Timestamp::now()).id;
    let outbox = Outbox::new(Arc::clone(&store));
    while !outbox.was_told("away", &last).await.unwrap() {
        tokio::task::yield_now().await;
    }
    // It goes on after a restart, once somebody is there.
    running.end().await;
    let running = Running::start(&store, &receivers);
    let (hook, mut got) = Hook::new(0, "");
    hook.serve_on(place.listen(1024).unwrap());
    for n in 0..50 {
        next(&mut got, &format!("mig-away-{n:02}.")).await;
    }
    all_told(&store, "away").await;
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chats_get_messages_in_their_own_form() {
    let (slack, mut to_slack) = Hook::new(0, "ok");
    let (dingtalk, mut to_dingtalk) = Hook::new(0, "{\"errcode\":0,\"errmsg\":\"ok\"}");
    let (slack, dingtalk) = (slack.serve().await, dingtalk.serve().await);
    let events = [Event::ScheduleMissed];
    let receivers =
        [config("s", &slack, Template::Slack, &events), config("d", &dingtalk, Template::DingTalk, &events)];
    let running = Running::start(&memory(), &receivers);
    let fields = Fields::new().schedule("nightly").region(&"cn-hangzhou".parse().unwrap());
    emit(Event::ScheduleMissed, &fields, "chat <!channel> & *all* @all did not happen");

    let message = next(&mut to_slack, "chat").await.json();
    let text = message["text"].as_str().unwrap();
    assert!(text.contains("*schedule.missed* chat &lt;!channel&gt; &amp; *all*"), "{text}");
    assert!(text.contains("schedule nightly · region cn-hangzhou"), "{text}");

    let got = next(&mut to_dingtalk, "chat").await;
    let message = got.json();
    assert_eq!(message["msgtype"], "markdown");
    assert_eq!(message["markdown"]["title"], "keyferry: schedule.missed");
    let text = message["markdown"]["text"].as_str().unwrap();
    assert!(text.contains("chat \\<\\!channel\\> & \\*all\\* ＠all"), "{text}");
    let url = reqwest::Url::parse(&format!("http://x/?{}", got.query)).unwrap();
    let query: HashMap<String, String> = url.query_pairs().into_owned().collect();
    assert_eq!(query["token"], "t0ken");
    assert_eq!(query["sign"], receiver::dingtalk_signature("SECdemo", &query["timestamp"]));
    assert_eq!(query["timestamp"].len(), 13);
    running.end().await;
}

#[test]
fn dingtalks_signature_is_that_of_its_documentation() {
    // base64(hmac_sha256(secret, timestamp + "\n" + secret)), computed with Python's hmac.
    assert_eq!(
        receiver::dingtalk_signature("SECdemo", "1700000000000"),
        "lOvVf9TQCVugV68mGbSZCg0gzOl1SVjxWi1MyVZCUuA="
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dingtalk_refuses_in_its_answer_is_tried_again() {
    let (hook, mut got) = Hook::new(0, "{\"errcode\":310000,\"errmsg\":\"sign not match\"}");
    let url = hook.serve().await;
    let running = Running::start(&memory(), &[config("d", &url, Template::DingTalk, &[Event::ScheduleMissed])]);
    emit(Event::ScheduleMissed, &Fields::new(), "ding-refused did not happen");
    next(&mut got, "ding-refused").await;
    next(&mut got, "ding-refused").await;
    running.end().await;
}

/// A store that takes no writes any more.
struct Refusing(MemoryStore);

#[async_trait]
impl Store for Refusing {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>, StoreError> {
        self.0.get(key).await
    }

    async fn scan(&self, start: &[u8], end: Option<&[u8]>, limit: usize) -> Result<Page, StoreError> {
        self.0.scan(start, end, limit).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Outcome, StoreError> {
        transaction.check()?;
        Err(StoreError::Unavailable("the disk is gone".to_owned()))
    }

    async fn changed(&self, prefix: &[u8], since: Revision) {
        self.0.changed(prefix, since).await;
    }

    fn revision(&self) -> Revision {
        self.0.revision()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn that_the_store_takes_nothing_is_told_all_the_same() {
    let (hook, mut got) = Hook::new(1, "");
    let url = hook.serve().await;
    let store: SharedStore = Arc::new(Refusing(MemoryStore::new()));
    let running = Running::start(&store, &[config("r", &url, Template::Json, &[Event::StoreDegraded])]);
    emit(Event::StoreDegraded, &Fields::new(), "store-refuses: no more writes");
    next(&mut got, "store-refuses").await;
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_job_whose_start_was_told_is_told_after_a_restart() {
    let store = memory();
    let (hook, mut got) = Hook::new(0, "");
    let url = hook.serve().await;
    let receivers = [config("r", &url, Template::Json, &[Event::MigrationStarted, Event::MigrationComplete])];
    let catalogue = Catalogue::new(Arc::clone(&store));
    let jobs: Vec<Job> = [JobState::Complete, JobState::Complete].map(crate::admin::testing::job).into();
    catalogue.create_jobs(&jobs, Transaction::new()).await.unwrap();
    let running = Running::start(&store, &receivers);
    emit(Event::MigrationStarted, &Fields::of_job(&jobs[0]), "migration started");
    next(&mut got, jobs[0].id.as_str()).await;
    all_told(&store, "r").await;
    running.end().await;

    let running = Running::start(&store, &receivers);
    let told = next(&mut got, jobs[0].id.as_str()).await.json();
    assert_eq!((&told["event"], &told["phase"]), (&Value::from("migration.complete"), &Value::from("complete")));
    // It says it itself too, if it was not killed: that is the same.
    emit(Event::MigrationComplete, &Fields::of_job(&jobs[0]), "Migration Complete");
    emit(Event::MigrationComplete, &of_job("mig-last"), "Migration Complete");
    let last = next_of(&mut got, &[jobs[0].id.as_str(), "mig-last"]).await.json();
    assert_eq!(last["job"], "mig-last", "{last}");
    running.end().await;
    // Of the other, nobody had heard.
    assert!(!arrived(&mut got, jobs[1].id.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_goes_takes_what_waits_for_it_along_and_a_new_one_is_told() {
    let store = memory();
    let outbox = Outbox::new(Arc::clone(&store));
    let told = tap::Told { event: Event::BackupFailed, fields: Fields::new(), message: "exchange-one".to_owned() };
    outbox.put("gone", &Notice::new(&told, jiff::Timestamp::now())).await.unwrap();
    let (hook, mut got) = Hook::new(0, "");
    let url = hook.serve().await;
    let notifier = Notifier::new(Catalogue::new(store), Arc::new(SystemClock::default()), &[], QUICK).unwrap();
    let (notifier, stop) = (Arc::new(notifier), CancellationToken::new());
    let (runs, stopped) = (Arc::clone(&notifier), stop.clone());
    let task = tokio::spawn(async move { runs.run(stopped).await });
    while outbox.len("gone").await.unwrap() > 0 {
        tokio::task::yield_now().await;
    }
    notifier.exchange(Notifier::prepare(&[config("new", &url, Template::Json, &[Event::BackupFailed])]).unwrap());
    emit(Event::BackupFailed, &Fields::new(), "exchange-two");
    next(&mut got, "exchange-two").await;
    stop.cancel();
    task.await.unwrap();
    let missing = Notify { ca: Some(PathBuf::from("/nonexistent/ca")), ..config("x", &url, Template::Json, &[]) };
    assert!(Notifier::prepare(&[missing]).err().unwrap().to_string().contains("/nonexistent/ca"));
}

#[test]
fn ids_tell_happenings_apart_and_say_the_same_of_the_same() {
    let at = |text: &str| text.parse().unwrap();
    let id = |event, fields: &Fields, message: &str, now: &str| {
        Notice::new(&tap::Told { event, fields: fields.clone(), message: message.to_owned() }, at(now)).id
    };
    let (morning, evening, tomorrow) = ("2026-12-01T06:00:00Z", "2026-12-01T18:00:00Z", "2026-12-02T06:00:00Z");
    let none = Fields::new();
    let upcoming = |text, now| id(Event::ScheduleUpcoming, &none, text, now);
    assert_eq!(upcoming("due within a day, at X", morning), upcoming("due within a day, at X", tomorrow));
    assert_ne!(upcoming("due within a day, at X", morning), upcoming("due within an hour, at X", morning));
    let failed = |now| id(Event::BackupFailed, &none, "no space", now);
    assert_eq!(failed(morning), failed(evening));
    assert_ne!(failed(morning), failed(tomorrow));
    let (one, other) = (of_job("mig-1"), of_job("mig-2"));
    let ended = |fields| id(Event::MigrationFailed, fields, "why", morning);
    assert_ne!(ended(&one), ended(&other));
    assert_ne!(id(Event::LockOverdue, &one, "x", morning), id(Event::MigrationWindowEnding, &one, "x", morning));
    let job = crate::admin::testing::job(JobState::Copying);
    assert_eq!(id(Event::MigrationStarted, &Fields::of_job(&job), "x", morning), Notice::start_id(&job.id));
}

#[tokio::test]
async fn at_most_so_many_wait_and_the_oldest_go_first() {
    let store = memory();
    let outbox = Outbox::new(Arc::clone(&store));
    let start: jiff::Timestamp = jiff::Timestamp::now();
    let put = |n: i64| {
        let told = tap::Told { event: Event::BackupFailed, fields: Fields::new(), message: format!("room-{n:04}.") };
        Notice::new(&told, start.saturating_add(jiff::SignedDuration::from_millis(n)).unwrap())
    };
    let many = i64::try_from(outbox::ROOM).unwrap() + 5;
    for n in 0..many {
        outbox.put("full", &put(n)).await.unwrap();
    }
    let (_place, url) = nobody();
    let before = METRICS.undelivered.get();
    let running = Running::start(&store, &[config("full", &url, Template::Json, &[])]);
    while outbox.len("full").await.unwrap() > outbox::ROOM {
        tokio::task::yield_now().await;
    }
    running.end().await;
    assert!(METRICS.undelivered.get() >= before + 5);
    assert_eq!(outbox.next("full").await.unwrap().unwrap().notice.message, "room-0005.");
}
