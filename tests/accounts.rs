//! The bench of many accounts in one instance, small: no call of any account's clients fails while all migrate as one
//! group, and each account has in the instance what it had.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs, unreachable_pub, dead_code)]

#[path = "../benches/accounts/world.rs"]
mod world;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_accounts_migrate_as_a_group_under_load_and_no_call_fails() {
    let figures = world::run(6, 5, 10, 12).await;
    assert_eq!(figures.failures, Vec::<String>::new());
    assert_eq!(figures.blocked.len(), 6);
    assert!(figures.calls > 100, "{} calls", figures.calls);
}
