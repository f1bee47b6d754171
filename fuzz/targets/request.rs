//! The request decoder and every way operations read parameters: nothing panics, and what is decoded comes out again.
#![no_main]

use std::time::Duration;

use keyferry::api::request::decode;
use keyferry_fuzz::request;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(raw) = request(data) else { return };
    let _ = (raw.format(), raw.host());
    let Ok(request) = decode(&raw) else { return };
    let p = &request.parameters;
    let names: Vec<String> = p.all().map(|(name, _)| name.to_owned()).collect();
    for (at, name) in names.iter().enumerate() {
        assert!(!names[at + 1..].contains(name), "a parameter twice");
        assert!(p.text(name).is_some());
        let _ = (p.boolean(name), p.integer::<u32>(name, 1..=100), p.base64(name, 6144), p.tags(name));
        let _ = (p.interval(name, Duration::from_secs(1)..=Duration::from_secs(1 << 40)), p.json_list(name));
        let _ = (p.json_or_comma_list(name), p.context(name), p.list(name, 50), p.flattened_tags(name));
    }
    let _ = (p.paging(10, 1..=100), p.filters(&["KeyState", "TagKey"]));
});
