//! The ciphertext header: what is read is written again byte for byte, so that no two blobs mean the same, and envelopes.
#![no_main]

use std::collections::BTreeMap;

use keyferry::crypto::blob;
use keyferry::crypto::envelope::SecretEnvelope;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = SecretEnvelope::decode(data);
    let Ok((header, sealed)) = blob::parse(data) else { return };
    assert_eq!(blob::assemble(&header, sealed), data);
    let context = BTreeMap::from([("name".to_owned(), String::from_utf8_lossy(sealed).into_owned())]);
    assert!(blob::aad(&header, &context).starts_with(&header.encode()));
    assert_ne!(blob::aad(&header, &context), blob::aad(&header, &BTreeMap::new()));
});
