//! A real listener with real connections, plain and TLS.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::gateway::Gateway;
use super::nonces::NonceMemory;
use super::server::{Endpoint, Limits, Server};
use super::testing::{V3, access_keys, join, v1_pairs};
use super::{ApiError, Call, Dispatcher, Regions, tls};
use crate::model::{SystemClock, format_utc};

/// Answers at once, but for `GetSecretValue`: that one says that it began, and waits.
#[derive(Default)]
struct Operations {
    began: Notify,
    go_on: Notify,
    served: AtomicU32,
}

#[async_trait]
impl Dispatcher for Operations {
    async fn dispatch(&self, call: Call) -> Result<Value, ApiError> {
        if call.action.name == "GetSecretValue" {
            self.began.notify_one();
            self.go_on.notified().await;
        }
        self.served.fetch_add(1, Ordering::SeqCst);
        if call.action.name == "DisableKey" {
            return Err(ApiError::migrating("job-1", Duration::from_secs(7)));
        }
        Ok(json!({"Length": call.parameters.required("KeyId")?.len(), "Region": call.caller.region}))
    }
}

struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
    operations: Arc<Operations>,
}

async fn start(limits: Limits, region: Option<&str>, identity: Option<tls::Identity>) -> Running {
    let operations = Arc::new(Operations::default());
    let gateway = Arc::new(Gateway {
        access_keys: Arc::new(access_keys()),
        regions: Arc::new(Regions::new(vec!["cn-hangzhou".parse().unwrap()])),
        nonces: Arc::new(NonceMemory::new()),
        throttle: Arc::default(),
        clock: Arc::new(SystemClock::default()),
        dispatcher: operations.clone(),
        running: TaskTracker::new(),
    });
    let endpoint = Endpoint {
        address: "127.0.0.1:0".parse().unwrap(),
        region: region.map(|region| region.parse().unwrap()),
        tls: identity.map(Arc::new),
    };
    let server = Server::bind(endpoint).await.unwrap();
    let (address, stop) = (server.address(), CancellationToken::new());
    let task = tokio::spawn(server.run(gateway, limits, stop.clone()));
    Running { address, stop, task, operations }
}

fn now() -> String {
    format_utc(jiff::Timestamp::now())
}

fn nonce() -> String {
    uuid::Uuid::new_v4().to_string()
}

fn wire(action: &str, query: &[(&str, &str)], body: &str) -> String {
    V3 { action, query, body, date: &now(), nonce: &nonce(), ..V3::default() }.wire()
}

/// Reads one response: status, headers as text, body.
async fn receive<S: AsyncRead + Unpin>(stream: &mut S) -> (u16, String, Value) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, request: &str) -> (u16, String, Value) {
    stream.write_all(request.as_bytes()).await.unwrap();
    receive(stream).await
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let running = start(Limits::default(), None, None).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let (status, head, body) = ask(&mut stream, &wire("Encrypt", &[("KeyId", "k")], "")).await;
    assert_eq!((status, &body["Length"], &body["Region"]), (200, &json!(1), &json!("cn-hangzhou")));
    assert!(head.contains("content-type: application/json;charset=utf-8"), "{head}");
    assert!(head.contains(&format!("x-acs-request-id: {}", body["RequestId"].as_str().unwrap())), "{head}");
    let (status, head, body) = ask(&mut stream, &wire("DisableKey", &[("KeyId", "k")], "SecretData=a+b")).await;
    assert_eq!((status, &body["Code"]), (409, &json!("Rejected.Migrating")));
    assert!(head.contains("retry-after: 7"), "{head}");
    let (status, _, body) = ask(&mut stream, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!((status, &body["Code"], &body["HostId"]), (400, &json!("IncompleteSignature"), &json!("x")));
    running.stop.cancel();
    running.task.await.unwrap();
}

#[tokio::test]
async fn a_listener_may_mean_a_region() {
    let running = start(Limits::default(), Some("cn-beijing"), None).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let (_, _, body) = ask(&mut stream, &wire("Encrypt", &[("KeyId", "k"), ("RegionId", "cn-hangzhou")], "")).await;
    assert_eq!(body["Region"], "cn-beijing");
}

#[tokio::test]
async fn requests_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let running = start(Limits::default(), None, Some(tls::Identity::load(&certificate, &key).unwrap())).await;

    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(running.address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), tcp).await.unwrap();
    let (status, _, body) = ask(&mut stream, &wire("Encrypt", &[("KeyId", "k")], "")).await;
    assert_eq!((status, &body["Length"]), (200, &json!(1)));
    let (status, _, body) = ask(&mut stream, &wire("Encrypt", &[("KeyId", &"k".repeat(200_000))], "")).await;
    assert_eq!((status, &body["Length"]), (200, &json!(200_000)));

    // Plain HTTP on the TLS port hurts nobody else.
    let mut plain = TcpStream::connect(running.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ = plain.read_to_end(&mut rest).await;
    let (status, _, _) = ask(&mut stream, &wire("Encrypt", &[("KeyId", "k")], "")).await;
    assert_eq!(status, 200);
    running.stop.cancel();
    running.task.await.unwrap();
}

#[tokio::test]
async fn long_request_lines_are_served_and_longer_ones_refused() {
    let running = start(Limits::default(), None, None).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    for length in [1, 59_000, 65_000, 65_600, 2, 250_000, 3, 120_000] {
        let name = "k".repeat(length);
        let (status, _, body) = ask(&mut stream, &wire("Encrypt", &[("KeyId", &name)], "SecretData=a")).await;
        assert_eq!((status, &body["Length"]), (200, &json!(length)));
    }
    let longer = wire("Encrypt", &[("KeyId", &"k".repeat(300_000))], "SecretData=a");
    let (status, head, body) = ask(&mut stream, &longer).await;
    assert_eq!((status, &body["Code"]), (413, &json!("RequestTooLarge")));
    assert!(head.contains(&format!("x-acs-request-id: {}", body["RequestId"].as_str().unwrap())), "{head}");
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn pipelined_requests_keep_their_queries() {
    let running = start(Limits::default(), None, None).await;
    let lengths = [70_000, 1, 100_000, 80_000, 2, 3, 90_000];
    let request = |length: usize| wire("Encrypt", &[("KeyId", &"k".repeat(length))], "SecretData=GET+/?");
    let all: String = lengths.iter().map(|length| request(*length)).collect();
    for size in [1000, 1_000_000] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (mut reader, mut writer) = stream.split();
        let sending = async {
            for piece in all.as_bytes().chunks(size) {
                writer.write_all(piece).await.unwrap();
            }
        };
        let receiving = async {
            for length in lengths {
                let (status, _, body) = receive(&mut reader).await;
                // The same requests for the second time: each is known by its nonce.
                let expected = if size == 1000 { (200, json!(length)) } else { (400, Value::Null) };
                assert_eq!((status, body["Length"].clone()), expected);
            }
        };
        tokio::join!(sending, receiving);
    }
}

#[tokio::test]
async fn a_long_query_is_signed_and_counts_for_no_other_request() {
    let running = start(Limits::default(), None, None).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let name = "k".repeat(70_000);
    let time = now();
    let nonce = nonce();
    let common = [
        ("AccessKeyId", "AKID"),
        ("Action", "Encrypt"),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureNonce", &nonce),
        ("SignatureVersion", "1.0"),
        ("Timestamp", &time),
        ("Version", "2016-01-20"),
    ];
    let signed = v1_pairs("POST", "SECRET", &[("KeyId", &name)], &common);
    let mut signed: Vec<_> = signed.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    signed.push(("KeyId", &name));
    let good = format!("POST /?{} HTTP/1.1\r\nhost: x\r\n\r\n", join(&signed));
    let tampered = good.replacen("KeyId=k", "KeyId=j", 1);
    let bare = "POST / HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all([&tampered, bare, &good, bare].concat().as_bytes()).await.unwrap();
    assert_eq!(receive(&mut stream).await.2["Code"], "SignatureDoesNotMatch");
    assert_eq!(receive(&mut stream).await.2["Code"], "IncompleteSignature");
    assert_eq!(receive(&mut stream).await.2["Length"], 70_000);
    assert_eq!(receive(&mut stream).await.2["Code"], "IncompleteSignature");
}

#[tokio::test]
async fn the_next_request_waits_for_the_answer_before_it() {
    let running = start(Limits::default(), None, None).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(wire("GetSecretValue", &[("KeyId", &"k".repeat(70_000))], "").as_bytes()).await.unwrap();
    running.operations.began.notified().await;
    // hyper reads ahead meanwhile, to see whether the client is still there.
    stream.write_all(wire("Encrypt", &[("KeyId", &"k".repeat(80_000))], "").as_bytes()).await.unwrap();
    stream.write_all(wire("Encrypt", &[("KeyId", "k")], "").as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    running.operations.go_on.notify_one();
    for length in [70_000, 80_000, 1] {
        assert_eq!(receive(&mut stream).await.2["Length"], length);
    }
}

#[tokio::test]
async fn a_chunked_body_is_the_last_of_its_connection() {
    let running = start(Limits::default(), None, None).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let chunked = wire("Encrypt", &[("KeyId", "k")], "SecretData=a")
        .replace("content-length: 12", "transfer-encoding: chunked")
        .replace("SecretData=a", "c\r\nSecretData=a\r\n0\r\n\r\n");
    stream.write_all(chunked.as_bytes()).await.unwrap();
    stream.write_all(wire("Encrypt", &[("KeyId", "k")], "").as_bytes()).await.unwrap();
    let (status, head, _) = receive(&mut stream).await;
    assert_eq!(status, 200);
    assert!(head.contains("connection: close"), "{head}");
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    assert_eq!(running.operations.served.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn large_bodies_are_served_and_larger_ones_refused() {
    let running = start(Limits::default(), None, None).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let body = format!("SecretData={}", "%41".repeat(30_720));
    let (status, _, _) = ask(&mut stream, &wire("PutSecretValue", &[("KeyId", "k")], &body)).await;
    assert_eq!(status, 200);
    let announced = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 300000\r\n\r\n";
    let (status, head, answer) = ask(&mut stream, announced).await;
    assert_eq!((status, &answer["Code"]), (413, &json!("RequestTooLarge")));
    assert!(head.contains("connection: close"), "{head}");

    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    let chunk = format!("{:x}\r\n{}\r\n", 65_536, "a".repeat(65_536));
    for _ in 0..5 {
        // The server may hang up on us while we send.
        let _ = stream.write_all(chunk.as_bytes()).await;
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 413"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(running.operations.served.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn slow_clients_are_hung_up_on() {
    let quick = Limits { headers: Duration::from_millis(200), body: Duration::from_millis(200), ..Limits::default() };
    let running = start(quick, None, None).await;
    let mut silent = TcpStream::connect(running.address).await.unwrap();
    let mut half = TcpStream::connect(running.address).await.unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    let mut lineless = TcpStream::connect(running.address).await.unwrap();
    lineless.write_all(format!("GET /?{}", "a".repeat(100_000)).as_bytes()).await.unwrap();
    // One that goes on sending, a byte at a time, gets no more time than others.
    let mut trickling = TcpStream::connect(running.address).await.unwrap();
    let dripping = async {
        while trickling.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), dripping).await.is_ok(), "the connection stayed open");
    let mut bodiless = TcpStream::connect(running.address).await.unwrap();
    let (status, _, body) = ask(&mut bodiless, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc").await;
    assert_eq!((status, &body["Code"]), (408, &json!("RequestTimeout")));
    for stream in [&mut silent, &mut half, &mut lineless, &mut bodiless] {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "the connection stayed open");
    }
}

#[tokio::test]
async fn stopping_finishes_what_is_under_way() {
    let running = start(Limits::default(), None, None).await;
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    let (status, _, _) = ask(&mut idle, &wire("Encrypt", &[("KeyId", "k")], "")).await;
    assert_eq!(status, 200);
    let mut busy = TcpStream::connect(running.address).await.unwrap();
    busy.write_all(wire("GetSecretValue", &[("KeyId", "k")], "").as_bytes()).await.unwrap();
    running.operations.began.notified().await;
    running.stop.cancel();
    // The idle connection ends, so the server has seen the stop.
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap(), 0);
    // Nobody listens there. Asked while a request is under way: until then the port is given to nobody else. A program
    // that another test starts has our descriptors for a moment, until it is another program.
    let closed = async {
        while TcpStream::connect(running.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), closed).await.is_ok(), "it still listens");
    running.operations.go_on.notify_one();
    let (status, _, _) = receive(&mut busy).await;
    assert_eq!(status, 200);
    running.task.await.unwrap();
}

#[tokio::test]
async fn stopping_is_bounded() {
    let running = start(Limits { drain: Duration::from_millis(100), ..Limits::default() }, None, None).await;
    let mut busy = TcpStream::connect(running.address).await.unwrap();
    busy.write_all(wire("GetSecretValue", &[("KeyId", "k")], "").as_bytes()).await.unwrap();
    running.operations.began.notified().await;
    running.stop.cancel();
    tokio::time::timeout(Duration::from_secs(20), running.task).await.unwrap().unwrap();
    // Its operation runs on; the client is not answered any more.
    let mut rest = Vec::new();
    let _ = busy.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    running.operations.go_on.notify_one();
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let running = start(Limits { connections: 1, ..Limits::default() }, None, None).await;
    let mut first = TcpStream::connect(running.address).await.unwrap();
    assert_eq!(ask(&mut first, &wire("Encrypt", &[("KeyId", "k")], "")).await.0, 200);
    let mut second = TcpStream::connect(running.address).await.unwrap();
    second.write_all(wire("Encrypt", &[("KeyId", "k")], "").as_bytes()).await.unwrap();
    assert_eq!(ask(&mut first, &wire("Encrypt", &[("KeyId", "k")], "")).await.0, 200);
    assert_eq!(running.operations.served.load(Ordering::SeqCst), 2);
    drop(first);
    assert_eq!(receive(&mut second).await.0, 200);
}
