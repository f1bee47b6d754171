//! Whoever is not who he should be: wrong, ended and missing certificates, another identity, other protocols, replayed
//! parcels.

use jiff::Timestamp;

use super::*;
use crate::keystore::{Keystore, KeystoreError, Source, Target, Unfit, WrapOrder};
use crate::model::InstanceState;

fn unfit(error: KeystoreError) -> (Unfit, String, String) {
    match error {
        KeystoreError::Unfit { fault, detail, remedy, .. } => (fault, detail, remedy),
        other => panic!("{other}"),
    }
}

async fn refused(far: &RemoteKeystore) -> (Unfit, String, String) {
    let found = unfit(far.ready().await.unwrap_err());
    assert_eq!(far.state(), InstanceState::Error);
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_that_do_not_do_are_told_apart_with_their_remedy() {
    let here = instance(1).await;
    let pinned = Some(here.public_identity());

    let desk = Desk::new();
    let (right, wrong) = (Authority::new("instances"), Authority::new("somebody else"));
    let served = Served::new(&here, desk.papers(&wrong, "localhost", Some(&right))).await;
    let (fault, detail, remedy) = refused(&client(&desk, &served, pinned)).await;
    assert_eq!(fault, Unfit::Certificate);
    assert!(detail.contains("UnknownIssuer") && remedy.contains("`ca`"), "{detail}; {remedy}");

    let served = Served::new(&here, desk.ended_papers(&right)).await;
    let (fault, detail, remedy) = refused(&client(&desk, &served, pinned)).await;
    assert_eq!(fault, Unfit::Certificate);
    assert!(detail.contains("expired") && remedy.contains("renew"), "{detail}; {remedy}");

    let served = Served::new(&here, desk.papers(&right, "another.example", None)).await;
    let (fault, detail, remedy) = refused(&client(&desk, &served, pinned)).await;
    assert_eq!(fault, Unfit::Certificate);
    assert!(detail.contains("not valid for name") && remedy.contains("endpoint"), "{detail}; {remedy}");

    // The gateway's own.
    let served = Served::new(&here, desk.papers(&right, "localhost", None)).await;
    desk.gateway(&wrong, false);
    let (fault, detail, remedy) = refused(&client(&desk, &served, pinned)).await;
    assert_eq!(fault, Unfit::Certificate);
    assert!(detail.contains("our certificate") && remedy.contains("client_ca"), "{detail}; {remedy}");
    desk.gateway(desk.gateways(), true);
    let far = client(&desk, &served, pinned);
    let (fault, detail, remedy) = refused(&far).await;
    assert_eq!(fault, Unfit::Certificate);
    assert!(detail.contains("our certificate") && remedy.contains("gateway's certificate"), "{detail}; {remedy}");

    // A new one, and it is read again.
    desk.gateway(desk.gateways(), false);
    far.reload();
    assert!(far.ready().await.is_ok());
    std::fs::write(desk.path("gateway.key"), "no key").unwrap();
    far.reload();
    let (fault, detail, remedy) = refused(&far).await;
    assert!(fault == Unfit::Certificate && detail.contains("gateway.key") && remedy.contains("reload"), "{detail}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_certificate_nobody_gets_in() {
    let desk = Desk::new();
    let here = instance(1).await;
    let served = Served::new(&here, usual(&desk)).await;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in crate::tls::certificates(&desk.path("instance-ca.pem")).unwrap() {
        roots.add(certificate).unwrap();
    }
    let tls = rustls::ClientConfig::builder_with_provider(crate::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let http = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap();
    let port = served.server.address().port();
    let answer = http.post(format!("https://localhost:{port}/keystore/hello")).body("{}").send().await;
    assert!(answer.is_err());
    let plain = reqwest::Client::builder().no_proxy().build().unwrap();
    assert!(plain.post(format!("http://localhost:{port}/keystore/hello")).send().await.is_err());
}

/// It has a certificate that the gateway trusts, but not the identity.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rogue_with_a_good_certificate_is_refused_at_every_call() {
    let desk = Desk::new();
    let (here, rogue) = (instance(1).await, instance(2).await);
    let served = Served::new(&rogue, usual(&desk)).await;
    let far = client(&desk, &served, Some(here.public_identity()));
    let (fault, detail, _) = refused(&far).await;
    assert_eq!(fault, Unfit::Identity, "{detail}");
    // Who answers is told: preflight compares it with the pinned one.
    assert_eq!(far.identity(), rogue.public_identity());
    let (label, place) = new_key(KeySpec::Aes256);
    assert_eq!(unfit(far.generate(&label, &place).await.unwrap_err()).0, Unfit::Identity);
    assert!(rogue.inventory().await.unwrap().is_empty(), "it was told to make a key");
    assert_eq!(unfit(far.seal(&place, b"", b"secret").await.map(|_| ()).unwrap_err()).0, Unfit::Identity);

    // It comes in the place of the right one after the first call.
    let served = Served::new(&here, usual(&desk)).await;
    let far = client(&desk, &served, Some(here.public_identity()));
    assert!(far.ready().await.is_ok());
    far.pin(rogue.public_identity());
    assert_eq!(unfit(far.seal(&place, b"", b"secret").await.map(|_| ()).unwrap_err()).0, Unfit::Identity);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protocols_that_do_not_meet_are_refused_by_name() {
    let desk = Desk::new();
    let here = instance(1).await;
    for (spoken, who) in [
        (Protocols { oldest: 0, newest: 0 }, "upgrade the instance"),
        (Protocols { oldest: 7, newest: 9 }, "upgrade this gateway"),
    ] {
        let served = Served::speaking(&here, usual(&desk), spoken).await;
        let far = client(&desk, &served, Some(here.public_identity()));
        let (fault, detail, remedy) = refused(&far).await;
        assert_eq!(fault, Unfit::Protocol);
        assert!(detail.contains(&format!("protocol {spoken}")) && remedy.contains(who), "{detail}; {remedy}");
        let (_, place) = new_key(KeySpec::Aes256);
        assert_eq!(unfit(far.public_key(&place).await.map(|_| ()).unwrap_err()).0, Unfit::Protocol);
    }
    // A range that meets is spoken.
    let served = Served::speaking(&here, usual(&desk), Protocols { oldest: 1, newest: 9 }).await;
    assert!(client(&desk, &served, Some(here.public_identity())).ready().await.is_ok());
}

/// The two processes hold nothing of each other's; what passes between them opens nowhere else and at no other time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parcels_open_only_in_their_target_and_only_once() {
    let desk = Desk::new();
    let (here, rogue) = (instance(1).await, instance(2).await);
    let shared = keystore(KeystoreId::Shared("cn-hangzhou".parse().unwrap()), 3).await;
    let (label, place) = new_key(KeySpec::Aes256);
    shared.generate(&label, &place).await.unwrap();
    let orders = [WrapOrder { label: label.clone(), places: vec![place.clone()] }];
    let (job, now): (JobId, _) = ("job-00000000000000000001".parse().unwrap(), Timestamp::now());

    // The rogue's own transport key, offered in the name of the instance: the source does not wrap for it.
    let pinned = here.public_identity();
    let nonce = Source::nonce(shared.as_ref(), &job).await.unwrap();
    let served = Served::new(&rogue, usual(&desk)).await;
    let far = client(&desk, &served, Some(rogue.public_identity()));
    let offer = far.offer(&job, 5, nonce, now).await.unwrap();
    let wrapped = shared.wrap_out(&offer, &pinned, now, &orders).await;
    assert!(matches!(wrapped, Err(KeystoreError::Refused(_))), "the source wrapped for a rogue");

    let served = Served::new(&here, usual(&desk)).await;
    let far = client(&desk, &served, Some(pinned));
    let offer = far.offer(&job, 5, nonce, now).await.unwrap();
    let parcel = shared.wrap_out(&offer, &pinned, now, &orders).await.unwrap();
    let source = Source::identity(shared.as_ref());
    // To somebody else.
    assert!(matches!(
        rogue.stage(&parcel, &source).await,
        Err(KeystoreError::Refused(_) | KeystoreError::StagingOpen(_))
    ));
    // From somebody else.
    let stranger = rogue.public_identity();
    assert!(matches!(far.stage(&parcel, &stranger).await, Err(KeystoreError::Refused(_))));
    // Twice is once.
    far.stage(&parcel, &source).await.unwrap();
    far.stage(&parcel, &source).await.unwrap();
    let manifest = far.close(&job, 5).await.unwrap();
    assert_eq!(far.closed(&job, 5).await.unwrap(), Some(manifest));
    assert!(far.stage(&parcel, &source).await.is_err(), "a parcel is taken after the closing");
    assert!(matches!(far.public_key(&place).await, Err(KeystoreError::Moved(_))), "a staged copy is visible");
    far.forget(&job, 5).await.unwrap();
    // Replayed after the roll-back, under its own and under a later job.
    assert!(matches!(far.stage(&parcel, &source).await, Err(KeystoreError::Forgotten(_))));
    let later: JobId = "job-00000000000000000002".parse().unwrap();
    far.offer(&later, 6, nonce, now).await.unwrap();
    assert!(far.stage(&parcel, &source).await.is_err());
    let mut renamed = parcel.clone();
    renamed.job = later;
    renamed.token = 6;
    assert!(matches!(far.stage(&renamed, &source).await, Err(KeystoreError::Refused(_))));
    assert!(far.inventory().await.unwrap().is_empty());
    // An older worker.
    assert!(matches!(
        far.offer(&"job-00000000000000000002".parse().unwrap(), 4, nonce, now).await,
        Err(KeystoreError::Fenced { .. })
    ));
}
