//! The policy parser: any text leads to an answer, and what is accepted is a JSON object of version 1.
#![no_main]

use keyferry::access::{MAX_POLICY_BYTES, Policy};
use keyferry::kms::check_policy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    assert_eq!(check_policy(text).is_ok(), Policy::resource(text).is_ok());
    for parsed in [Policy::resource(text), Policy::identity(text)] {
        match parsed {
            Ok(policy) => {
                let document: serde_json::Value = serde_json::from_str(text).unwrap();
                assert_eq!(document["Version"], "1");
                assert!(text.len() <= MAX_POLICY_BYTES);
                assert_eq!(policy.statements().len(), document["Statement"].as_array().map_or(1, Vec::len));
            }
            // It says what is wrong.
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});
