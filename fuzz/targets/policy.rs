//! The policy parser: any text leads to an answer, and what is accepted is a JSON object of version 1.
#![no_main]

use keyferry::kms::check_policy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if check_policy(text).is_ok() {
        let policy: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(policy["Version"], "1");
        assert!(text.len() <= 32_768);
    }
});
