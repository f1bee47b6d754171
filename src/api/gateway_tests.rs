#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use async_trait::async_trait;
use serde_json::json;

use super::*;
use crate::api::testing::{ACCOUNT, StandingClock, V3, access_keys, join, raw, v1_pairs};

/// Tells what it was asked.
struct Echo;

#[async_trait]
impl Dispatcher for Echo {
    async fn dispatch(&self, call: Call) -> Result<Value, ApiError> {
        match call.action.name {
            "DescribeKey" => Ok(json!({
                "Account": call.caller.account,
                "Region": call.caller.region,
                "Nonce": call.caller.nonce.as_ref().map(|n| n.nonce.as_str()),
                "KeyId": call.parameters.required("KeyId")?,
            })),
            "Encrypt" => panic!("a bug"),
            _ => Err(ApiError::unsupported_operation()),
        }
    }
}

fn gateway(regions: &[&str]) -> (Gateway, Arc<StandingClock>) {
    let clock = Arc::new(StandingClock::at("2024-01-01T00:00:00Z"));
    let gateway = Gateway {
        access_keys: Arc::new(access_keys()),
        regions: Arc::new(Regions::new(regions.iter().map(|r| r.parse().unwrap()).collect())),
        nonces: Arc::new(NonceMemory::new()),
        throttle: Arc::default(),
        clock: clock.clone(),
        dispatcher: Arc::new(Echo),
        running: TaskTracker::new(),
    };
    (gateway, clock)
}

fn arrival() -> Arrival {
    Arrival { region: None, source: [127, 0, 0, 1].into(), secure: false }
}

async fn ask(gateway: &Gateway, raw: RawRequest) -> (u16, Value) {
    let reply = gateway.answer(raw, &arrival()).await;
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(body["RequestId"], reply.request_id.as_str());
    (reply.status, body)
}

#[tokio::test]
async fn a_signed_request_reaches_its_operation_once() {
    let (gateway, clock) = gateway(&["cn-hangzhou"]);
    let (status, body) = ask(&gateway, V3::default().raw()).await;
    assert_eq!(status, 200);
    assert_eq!(body["Account"], ACCOUNT);
    assert_eq!(
        (&body["Region"], &body["Nonce"], &body["KeyId"]),
        (&json!("cn-hangzhou"), &json!("n1"), &json!("alias/x"))
    );

    clock.set("2024-01-01T00:15:00Z");
    let (status, body) = ask(&gateway, V3::default().raw()).await;
    assert_eq!((status, &body["Code"]), (400, &json!("SignatureNonceUsed")));
    // Another operation, of another plane and signature version, with the same nonce.
    let common = [
        ("Action", "DisableKey"),
        ("Version", "2016-01-20"),
        ("AccessKeyId", "AKID"),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureVersion", "1.0"),
        ("SignatureNonce", "n1"),
        ("Timestamp", "2024-01-01T00:15:00Z"),
    ];
    let pairs = v1_pairs("GET", "SECRET", &[], &common);
    let pairs: Vec<_> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let (_, body) = ask(&gateway, raw("GET", &join(&pairs), &[], "")).await;
    assert_eq!(body["Code"], "SignatureNonceUsed");

    clock.set("2024-01-01T00:15:01Z");
    let (_, body) = ask(&gateway, V3::default().raw()).await;
    assert_eq!(body["Code"], "InvalidTimeStamp.Expired");
}

#[tokio::test]
async fn a_wrong_signature_burns_no_nonce() {
    let (gateway, _) = gateway(&["cn-hangzhou"]);
    let (status, body) = ask(&gateway, V3 { secret: "OTHER", ..V3::default() }.raw()).await;
    assert_eq!(
        (status, &body["Code"], &body["HostId"]),
        (400, &json!("SignatureDoesNotMatch"), &json!("127.0.0.1:18099"))
    );
    assert!(gateway.nonces.is_empty());
    assert_eq!(ask(&gateway, V3::default().raw()).await.0, 200);
}

#[tokio::test]
async fn unknown_unimplemented_and_failing_actions() {
    let (gateway, _) = gateway(&["cn-hangzhou"]);
    let code = async |action: &str, nonce: &str| {
        let (status, body) = ask(&gateway, V3 { action, nonce, ..V3::default() }.raw()).await;
        (status, body["Code"].as_str().unwrap().to_owned())
    };
    assert_eq!(code("MigrateKeys", "1").await, (404, "InvalidApi.NotFound".to_owned()));
    assert_eq!(code("OpenKmsService", "2").await, (400, "UnsupportedOperation".to_owned()));
    assert_eq!(code("Encrypt", "3").await, (500, "InternalFailure".to_owned()));
}

#[tokio::test]
async fn another_version_is_refused() {
    let (gateway, _) = gateway(&["cn-hangzhou"]);
    let common = [
        ("Action", "DescribeKey"),
        ("Version", "2016-01-21"),
        ("AccessKeyId", "AKID"),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureVersion", "1.0"),
        ("SignatureNonce", "n1"),
        ("Timestamp", "2024-01-01T00:00:00Z"),
        ("Format", "XML"),
    ];
    let pairs = v1_pairs("GET", "SECRET", &[], &common);
    let pairs: Vec<_> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let reply = gateway.answer(raw("GET", &join(&pairs), &[], ""), &arrival()).await;
    assert_eq!((reply.status, reply.content_type), (400, "text/xml;charset=utf-8"));
    assert!(String::from_utf8(reply.body).unwrap().contains("<Code>InvalidVersion</Code>"));
}

#[tokio::test]
async fn the_region_comes_from_listener_or_parameter() {
    let (gateway, _) = gateway(&["cn-hangzhou", "cn-beijing"]);
    let (_, body) = ask(&gateway, V3::default().raw()).await;
    assert_eq!(body["Message"], "The parameter \"RegionId\" is needed but not provided.");
    let query = [("KeyId", "k"), ("RegionId", "cn-beijing")];
    let (_, body) = ask(&gateway, V3 { query: &query, nonce: "n2", ..V3::default() }.raw()).await;
    assert_eq!(body["Region"], "cn-beijing");
    let own = Arrival { region: Some("cn-hangzhou".parse().unwrap()), ..arrival() };
    let reply = gateway.answer(V3 { query: &query, nonce: "n3", ..V3::default() }.raw(), &own).await;
    assert_eq!(serde_json::from_slice::<Value>(&reply.body).unwrap()["Region"], "cn-hangzhou");
}

#[tokio::test]
async fn an_operation_ends_although_its_client_has_gone() {
    struct Slow(tokio::sync::Notify, tokio::sync::Notify, std::sync::atomic::AtomicBool);
    #[async_trait]
    impl Dispatcher for Slow {
        async fn dispatch(&self, _: Call) -> Result<Value, ApiError> {
            self.0.notify_one();
            self.1.notified().await;
            self.2.store(true, std::sync::atomic::Ordering::SeqCst);
            Ok(Value::Null)
        }
    }
    let slow = Arc::new(Slow(tokio::sync::Notify::new(), tokio::sync::Notify::new(), false.into()));
    let (gateway, _) = gateway(&["cn-hangzhou"]);
    let gateway = Gateway { dispatcher: slow.clone(), ..gateway };
    let here = arrival();
    tokio::select! {
        _ = gateway.answer(V3::default().raw(), &here) => panic!("answered too early"),
        () = slow.0.notified() => {}
    }
    slow.1.notify_one();
    gateway.running.close();
    gateway.running.wait().await;
    assert!(slow.2.load(std::sync::atomic::Ordering::SeqCst));
}
