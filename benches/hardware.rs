//! Operations a second through keyferry's hardware keystore, beside what the token itself does in the same run.
//!
//! `cargo bench --bench hardware [-- SECONDS]` (default 2 a row). Needs SoftHSM2; the token is a fresh one in a temporary
//! directory. The token's own speed is that of one session in a loop, with nothing of keyferry around it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, KeyType, ObjectClass};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use keyferry::crypto::material::SignAlgorithm;
use keyferry::crypto::sealing::RootKey;
use keyferry::keystore::hardware::{Pin, Token, TokenAddress};
use keyferry::keystore::software::SoftwareKeystore;
use keyferry::keystore::software::slots::memory::MemorySlots;
use keyferry::keystore::{Keystore, Label, Place};
use keyferry::model::*;
use keyferry::store::memory::MemoryStore;
use zeroize::Zeroizing;

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const CHILD: &str = "KEYFERRY_BENCH_TOKEN";
const LABEL: &str = "bench";
const PIN: &str = "1234";
const AAD: &[u8] = b"additional data of some length, as an encryption context has";
const LANES: usize = 32;

fn main() {
    let seconds = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(2);
    if std::env::var_os(CHILD).is_none() {
        return set_up_and_run(seconds);
    }
    let length = Duration::from_secs(seconds);
    let own = own(length);
    let ours = tokio::runtime::Runtime::new().unwrap().block_on(ours(length));
    println!("{:<28} {:>14} {:>14} {:>7}", "", "token alone", "keyferry", "share");
    for ((what, own), ours) in ["AES-256-GCM seal, 1 KiB", "ECDSA P-256 signature"].iter().zip(own).zip(ours) {
        println!("{what:<28} {own:>12.0}/s {ours:>12.0}/s {:>6.0}%", 100.0 * ours / own);
    }
}

/// SoftHSM2 is told by the environment where its tokens lie.
fn set_up_and_run(seconds: u64) {
    let directory = tempfile::tempdir().unwrap();
    let (tokens, configuration) = (directory.path().join("tokens"), directory.path().join("softhsm2.conf"));
    std::fs::create_dir(&tokens).unwrap();
    std::fs::write(&configuration, format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display()))
        .unwrap();
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", LABEL, "--pin", PIN, "--so-pin", PIN])
        .env("SOFTHSM2_CONF", &configuration)
        .output()
        .expect("the package softhsm2 is installed");
    assert!(made.status.success());
    let status = Command::new(std::env::current_exe().unwrap())
        .arg(seconds.to_string())
        .env("SOFTHSM2_CONF", &configuration)
        .env(CHILD, "1")
        .status()
        .unwrap();
    assert!(status.success());
}

/// One session, one thread, nothing else.
fn own(length: Duration) -> [f64; 2] {
    let context = Pkcs11::new(MODULE).unwrap();
    context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    let mut slots = context.get_slots_with_initialized_token().unwrap().into_iter();
    let session: Session = context.open_rw_session(slots.next().unwrap()).unwrap();
    session.login(UserType::User, Some(&AuthPin::from(PIN))).unwrap();
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(true),
        Attribute::ValueLen(32.into()),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
    ];
    let key = session.generate_key(&Mechanism::AesKeyGen, &template).unwrap();
    let text = vec![7; 1024];
    let sealed = rate(length, || {
        let mut iv = [0; 12];
        SystemRandom.fill(&mut iv);
        let params = GcmParams::new(&mut iv, AAD, 128.into()).unwrap();
        session.encrypt(&Mechanism::AesGcm(params), key, &text).unwrap();
    });
    let curve = vec![0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let (_, private) = session
        .generate_key_pair(
            &Mechanism::EccKeyPairGen,
            &[Attribute::EcParams(curve)],
            &[Attribute::Token(true), Attribute::Sign(true)],
        )
        .unwrap();
    let signed = rate(length, || {
        session.sign(&Mechanism::Ecdsa, private, &[7; 32]).unwrap();
    });
    [sealed, signed]
}

fn rate(length: Duration, mut one: impl FnMut()) -> f64 {
    let (begun, mut count) = (Instant::now(), 0.0);
    while begun.elapsed() < length {
        one();
        count += 1.0;
    }
    count / begun.elapsed().as_secs_f64()
}

/// Many callers at once through the keystore.
async fn ours(length: Duration) -> [f64; 2] {
    let instance: InstanceId = "kst-bench".parse().unwrap();
    let address = TokenAddress { module: MODULE.into(), label: LABEL.to_owned(), instance: instance.clone() };
    let token = Arc::new(Token::new(address, Pin::new(Zeroizing::new(PIN.to_owned()))).unwrap());
    let keystore = SoftwareKeystore::open(
        KeystoreId::Instance(instance),
        Arc::new(MemoryStore::new()),
        Arc::new(MemorySlots::default()),
        Some(RootKey::new(Zeroizing::new([1; 32])).unwrap()),
        Arc::new(SystemClock::default()),
        Arc::new(SystemRandom),
    );
    let keystore = Arc::new(keystore.await.unwrap().with_token(token));
    let aes = make(&keystore, KeySpec::Aes256).await;
    let text = vec![7; 1024];
    let sealed = lanes(length, || {
        let (keystore, aes, text) = (Arc::clone(&keystore), aes.clone(), text.clone());
        async move { drop(keystore.seal(&aes, AAD, &text).await.unwrap()) }
    });
    let sealed = sealed.await;
    let ec = make(&keystore, KeySpec::EcP256).await;
    let signed = lanes(length, || {
        let (keystore, ec) = (Arc::clone(&keystore), ec.clone());
        async move { drop(keystore.sign(&ec, SignAlgorithm::EcdsaSha256, &[7; 32]).await.unwrap()) }
    });
    [sealed, signed.await]
}

async fn lanes<F: Future<Output = ()> + Send + 'static>(length: Duration, one: impl Fn() -> F) -> f64 {
    let (begun, mut count) = (Instant::now(), 0.0);
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..LANES {
        running.spawn(one());
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
        count += 1.0;
        if begun.elapsed() < length {
            running.spawn(one());
        }
    }
    count / begun.elapsed().as_secs_f64()
}

async fn make(keystore: &SoftwareKeystore, spec: KeySpec) -> Place {
    let mut bytes = [0; 16];
    SystemRandom.fill(&mut bytes);
    let label = Label {
        scope: Scope { region: "cn-hangzhou".parse().unwrap(), account: "1000000000000001".parse().unwrap() },
        resource: ResourceId::Key(MaterialId::from_bytes(bytes).as_str().parse().unwrap()),
        incarnation: Incarnation::from_bytes(bytes),
        spec: Some(spec),
    };
    let place = Place { incarnation: label.incarnation.clone(), version: MaterialId::from_bytes(bytes) };
    keystore.generate(&label, &place).await.unwrap();
    place
}
