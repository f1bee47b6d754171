//! A webhook over real TLS: what is sent, and what each answer means.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use super::{Order, Rotator, RotatorError, Webhook, WebhookSettings, signature};
use crate::model::{Scope, SecretType};

const KEY: &str = "0123456789abcdef0123456789abcdef";
const ROTATION: &str = "6a5f0b0e-3c1d-4c9e-8a57-0d1f5a3b7c21";

fn order() -> Order {
    Order {
        rotation: ROTATION.to_owned(),
        scope: Scope { region: "cn-hangzhou".parse().unwrap(), account: "1000000000000001".parse().unwrap() },
        secret: "orders/database".parse().unwrap(),
        secret_type: SecretType::Rds,
        version: "v2".parse().unwrap(),
        extended_config: r#"{"SecretSubType":"SingleUser","DBInstanceId":"rm-1"}"#.to_owned(),
        value: Zeroizing::new(br#"{"AccountName":"app","AccountPassword":"new"}"#.to_vec()),
        retires: None,
        at: jiff::Timestamp::from_second(1_800_000_000).unwrap(),
    }
}

struct Receiver {
    url: String,
    certificate: String,
    /// The request it got.
    request: JoinHandle<String>,
}

/// Takes one connection and one request, and answers with these bytes; none at all: it hangs up.
async fn receiver(answer: String) -> Receiver {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://127.0.0.1:{}/rotate?from=test", listener.local_addr().unwrap().port());
    let request = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await else { return String::new() };
        let mut request = Vec::new();
        loop {
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await.unwrap();
            request.extend_from_slice(&buffer[..read]);
            let text = String::from_utf8_lossy(&request).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                if body.len() == length.parse::<usize>().unwrap() {
                    break;
                }
            }
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.ok();
        String::from_utf8(request).unwrap()
    });
    Receiver { url, certificate: made.cert.pem(), request }
}

fn webhook(receiver: &Receiver) -> Webhook {
    Webhook::new(WebhookSettings {
        url: receiver.url.parse().unwrap(),
        key: Zeroizing::new(KEY.to_owned()),
        ca: Some(receiver.certificate.clone().into_bytes()),
    })
    .unwrap()
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn yes() -> String {
    answer("200 OK", &json!({"rotation_id": ROTATION, "note": "done"}).to_string())
}

#[tokio::test]
async fn the_request_is_signed_and_says_what_is_to_change() {
    let receiver = receiver(yes()).await;
    webhook(&receiver).rotate(&order()).await.unwrap();
    let request = receiver.request.await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap().to_owned();
    assert!(head.starts_with("POST /rotate?from=test HTTP/1.1\r\n"));
    assert_eq!(header("x-keyferry-rotation"), ROTATION);
    assert_eq!(header("x-keyferry-timestamp"), "1800000000");
    assert_eq!(header("x-keyferry-signature"), signature(KEY, "1800000000", body.as_bytes()));
    assert_eq!(
        serde_json::from_str::<Value>(body).unwrap(),
        json!({
            "protocol": 1,
            "rotation_id": ROTATION,
            "region": "cn-hangzhou",
            "account": "1000000000000001",
            "secret_name": "orders/database",
            "secret_type": "Rds",
            "version_id": "v2",
            "extended_config": {"SecretSubType": "SingleUser", "DBInstanceId": "rm-1"},
            "value": {"AccountName": "app", "AccountPassword": "new"},
            "retires": null,
        })
    );
}

/// Computed with `printf '1800000000.{}' | openssl dgst -sha256 -hmac KEY`.
#[test]
fn the_signature_is_the_documented_one() {
    let known = "v1=a8471f58daa469f8073cbebd823830f85e8942f4bbc0acd2ef47c28edc8c488e";
    assert_eq!(signature(KEY, "1800000000", b"{}"), known);
    assert_ne!(signature(KEY, "1800000000", b"{}"), signature(KEY, "1800000001", b"{}"));
    assert_ne!(signature(KEY, "1800000000", b"{}"), signature("another", "1800000000", b"{}"));
}

#[tokio::test]
async fn only_a_yes_that_repeats_the_rotation_counts() {
    let other = json!({"rotation_id": "another"}).to_string();
    let endless = format!("{{\"rotation_id\":\"{ROTATION}\",\"x\":\"{}\"}}", "y".repeat(70_000));
    let unsure = [
        answer("200 OK", "<html>Please log in</html>"),
        answer("200 OK", &other),
        answer("200 OK", ""),
        answer("200 OK", &endless),
        answer("202 Accepted", &json!({"rotation_id": ROTATION}).to_string()),
        answer("500 Internal Server Error", ""),
        answer("504 Gateway Timeout", ""),
        String::new(),
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_owned(),
    ];
    for text in unsure {
        let receiver = receiver(text.clone()).await;
        let found = webhook(&receiver).rotate(&order()).await;
        assert!(matches!(found, Err(RotatorError::Unsure(_))), "{text:?}: {found:?}");
    }
    let elsewhere = "HTTP/1.1 307 Temporary Redirect\r\nlocation: https://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    for text in
        [answer("400 Bad Request", ""), answer("403 Forbidden", "no"), answer("429 Too Many", ""), elsewhere.into()]
    {
        let receiver = receiver(text.clone()).await;
        let found = webhook(&receiver).rotate(&order()).await;
        assert!(matches!(found, Err(RotatorError::Unchanged(_))), "{text:?}: {found:?}");
    }
}

#[tokio::test]
async fn nothing_is_sent_to_one_that_is_not_trusted_or_not_there() {
    let receiver = receiver(yes()).await;
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let settings = |ca: Option<Vec<u8>>| WebhookSettings {
        url: receiver.url.parse().unwrap(),
        key: Zeroizing::new(KEY.to_owned()),
        ca,
    };
    let wrong = Webhook::new(settings(Some(other.cert.pem().into_bytes()))).unwrap();
    assert!(matches!(wrong.rotate(&order()).await, Err(RotatorError::Unchanged(_))));
    assert_eq!(receiver.request.await.unwrap(), "");
    // Nobody listens there any more.
    let gone = Webhook::new(settings(Some(receiver.certificate.clone().into_bytes()))).unwrap();
    let Err(RotatorError::Unchanged(text)) = gone.rotate(&order()).await else { panic!("an answer") };
    assert!(!text.contains("from=test"), "{text}");
    assert!(Webhook::new(settings(Some(b"no certificate".to_vec()))).is_err());
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_leaves_it_open() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://127.0.0.1:{}/", listener.local_addr().unwrap().port());
    let settings = WebhookSettings { url: url.parse().unwrap(), key: Zeroizing::new(KEY.to_owned()), ca: None };
    let webhook = Webhook::new(settings).unwrap();
    let order = order();
    let hanging = tokio::time::timeout(Duration::from_millis(200), webhook.rotate(&order)).await;
    assert!(hanging.is_err());
}
