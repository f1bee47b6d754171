//! Policies of resources, each parsed once: by the digest of its text, so that it does not matter who set it where and
//! when, and nothing has to be forgotten when a policy changes.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use aws_lc_rs::digest;

use super::{Policy, PolicyError};

/// Policies that are kept; when there are more, all are forgotten and parsed again as they are needed.
const MOST: usize = 4096;

type Parsed = Arc<Result<Policy, PolicyError>>;

static CACHE: LazyLock<RwLock<HashMap<[u8; 32], Parsed>>> = LazyLock::new(RwLock::default);

/// The policy of a resource, from its stored text.
#[must_use]
pub fn resource_policy(text: &str) -> Parsed {
    let key = digest::digest(&digest::SHA256, text.as_bytes());
    let Ok(key) = <[u8; 32]>::try_from(key.as_ref()) else { return Arc::new(Policy::resource(text)) };
    if let Some(found) = CACHE.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return Arc::clone(found);
    }
    let parsed = Arc::new(Policy::resource(text));
    let mut cache = CACHE.write().unwrap_or_else(PoisonError::into_inner);
    if cache.len() >= MOST {
        cache.clear();
    }
    cache.insert(key, Arc::clone(&parsed));
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_parsed_once_and_a_faulty_one_is_remembered_as_such() {
        let text = r#"{"Version":"1","Statement":[{"Sid":"cached","Effect":"Allow","Action":"kms:*"}]}"#;
        assert!(Arc::ptr_eq(&resource_policy(text), &resource_policy(text)));
        assert!(resource_policy("{").is_err());
        assert!(!Arc::ptr_eq(&resource_policy(text), &resource_policy(&text.replace("cached", "other"))));
    }
}
