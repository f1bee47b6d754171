//! The language, the decision, and what must hold for every policy.

mod language;
mod properties;
mod table;

use std::sync::Arc;

use super::*;
use crate::model::AccountId;

const OWNER: &str = "1000000000000001";
const OTHER: &str = "1000000000000002";
const KEY: &str = "acs:kms:cn-hangzhou:1000000000000001:key/k1";

fn account(text: &str) -> AccountId {
    text.parse().unwrap()
}

fn attached(text: &str) -> Attached {
    Attached { name: "p".to_owned(), policy: Arc::new(Policy::identity(text).unwrap()) }
}

/// A policy with one statement; `rest` are its members.
fn one(rest: &str) -> String {
    format!(r#"{{"Version":"1","Statement":[{{{rest}}}]}}"#)
}

fn asked<'a>(principal: &'a Principal, action: &'a str, owner: &'a AccountId, context: Context<'a>) -> Request<'a> {
    Request { principal, action, resource: KEY, owner, context }
}
