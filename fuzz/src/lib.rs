//! What the fuzz targets share.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method};
use jiff::Timestamp;
use keyferry::access::{AccessKey, AccessKeyTable, Identity, Principal};
use keyferry::api::request::RawRequest;
use keyferry::crypto::sealing::RootKey;
use keyferry::keystore::software::SoftwareKeystore;
use keyferry::keystore::software::slots::memory::MemorySlots;
use keyferry::model::{Clock, SystemRandom};
use keyferry::store::memory::MemoryStore;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

pub const ACCOUNT: &str = "1000000000000001";
pub const ACCESS_KEY: &str = "LTAIfuzz";
pub const SECRET: &str = "a secret that no input knows";
pub const NOW: &str = "2027-01-15T08:00:00Z";

/// Stands still.
pub struct StandingClock;

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        NOW.parse().unwrap()
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// Runs to the end.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> =
        LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap());
    RUNTIME.block_on(future)
}

/// A keystore in memory.
pub fn keystore(id: &str) -> SoftwareKeystore {
    let root = RootKey::new(Zeroizing::new([7; 32])).unwrap();
    let (store, slots) = (Arc::new(MemoryStore::new()), Arc::new(MemorySlots::default()));
    let opened = SoftwareKeystore::open(
        id.parse().unwrap(),
        store,
        slots,
        Some(root),
        Arc::new(StandingClock),
        Arc::new(SystemRandom),
    );
    wait(opened).map_err(|error| error.to_string()).unwrap()
}

/// The one access key there is.
pub fn access_keys() -> AccessKeyTable {
    let secret = Arc::new(Zeroizing::new(SECRET.to_owned()));
    let identity = Arc::new(Identity::root(Principal::root(ACCOUNT.parse().unwrap())));
    AccessKeyTable::new([(ACCESS_KEY.to_owned(), AccessKey { identity, secret, enabled: true })])
}

/// An input as a request: `METHOD TARGET`, lines of `name: value`, an empty line, the body.
pub fn request(data: &[u8]) -> Option<RawRequest> {
    let (head, body) = match data.windows(2).position(|pair| pair == b"\n\n") {
        Some(at) => (&data[..at], &data[at + 2..]),
        None => (data, &[][..]),
    };
    let mut lines = head.split(|b| *b == b'\n');
    let first = std::str::from_utf8(lines.next()?).ok()?;
    let (method, target) = first.split_once(' ')?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = HeaderMap::new();
    for line in lines {
        let at = line.iter().position(|b| *b == b':')?;
        let name = HeaderName::from_bytes(&line[..at]).ok()?;
        let value = HeaderValue::from_bytes(line[at + 1..].trim_ascii()).ok()?;
        headers.try_append(name, value).ok()?;
    }
    Some(RawRequest {
        method: Method::from_bytes(method.as_bytes()).ok()?,
        path: path.to_owned(),
        query: Zeroizing::new(query.to_owned()),
        headers,
        body: Zeroizing::new(body.to_vec()),
    })
}

/// Names and values out of an input: lines of `name=value`, any text. Each name once.
pub fn pairs(data: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(data);
    let lines = text.split('\n').filter_map(|line| line.split_once('='));
    // The server takes at most so many.
    lines.filter(|(name, _)| !name.is_empty()).take(100).map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

/// RFC 3986, as the vendor describes it (kms-protocol.md §2): an implementation of its own.
pub fn encoded(text: &str) -> String {
    const BARE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(text, BARE).to_string()
}

/// `name=value` joined with `&`, in byte order of the names.
pub fn canonical(pairs: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.join("&")
}

pub fn hmac_sha1(key: &str, text: &str) -> Vec<u8> {
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

pub fn hmac_sha256(key: &str, text: &str) -> Vec<u8> {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
